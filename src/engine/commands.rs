//! Executes requests: each command goes to the machine that it concerns.

use super::Engine;
use super::context::Cx;
use super::messages::{Admission, IncomingRequest};
use super::step::{Act, Query};
use crate::wire::{Answer, Command, ErrorCode, Link, Request, StatusReport};
use crate::words::Now;

/// The outcome of a request in its step.
pub(super) enum Outcome {
    /// It is answered.
    Done(Answer),
    /// Its answer has to be found out.
    Later(Query),
}

impl Engine {
    /// Answers a request; false when the answer has to be found out first.
    pub(super) fn request(&mut self, now: Now, incoming: &IncomingRequest<'_>) -> bool {
        let request = match self.cx(now).admit(incoming) {
            Admission::New(request) => request,
            Admission::Answered => return true,
            Admission::Waits => return false,
        };
        match self.execute(now, &request) {
            Outcome::Done(answer) => {
                // What it changes comes before its answer.
                self.hand_out_facts(now);
                self.cx(now).answer(incoming.reply_to, request, answer);
                true
            }
            Outcome::Later(query) => !self.cx(now).find_out(incoming.reply_to, request, query),
        }
    }

    fn execute(&mut self, now: Now, request: &Request) -> Outcome {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        match &request.command {
            Command::Train => Outcome::Done(self.model.train_on_request(cx)),
            Command::Rescan => {
                cx.act(Act::Rescan);
                Outcome::Done(Answer::ok(&serde_json::json!({})))
            }
            Command::Reload => Outcome::Later(Query::Reload),
            Command::Rollback => Outcome::Done(self.model.roll_back_on_request(cx)),
            Command::Promote { head } => Outcome::Done(self.model.promote_on_request(cx, head)),
            Command::Predict { image } => match self.labels.image_named(image) {
                Ok(id) => Outcome::Later(Query::Predict(id)),
                Err(answer) => Outcome::Done(answer),
            },
            Command::Samples(query) => self.labels.list_samples(query),
            Command::Heads => Outcome::Done(self.model.list_heads()),
            Command::Export => self.model.export(),
            Command::Status => Outcome::Done(Answer::ok(&self.status(now))),
            Command::Review => Outcome::Done(self.labels.show_review_list()),
            Command::Label { items } => Outcome::Done(self.labels.take_labels(cx, items)),
            Command::Unknown => {
                let reason = format!("there is no request/{}; there are {}", request.name, Command::NAMES.join(", "));
                Outcome::Done(Answer::error(ErrorCode::UnknownRequest, reason))
            }
        }
    }

    fn status(&mut self, now: Now) -> StatusReport {
        let overview = super::overview(&self.files, &self.labels, &self.model);
        let cx = Cx::new(now, &mut self.messages, &mut self.context);
        StatusReport {
            health: cx.health(&overview),
            head: overview.champion.map(|champion| champion.head.clone()),
            backbone: cx.settings().backbone.name.clone(),
            phase: overview.phase,
            live: self.model.live_figures(),
            shadow: self.model.shadow_head(),
            broker: if cx.messages.is_connected() { Link::Connected } else { Link::Disconnected },
            alerts: cx.raised(),
        }
    }
}
