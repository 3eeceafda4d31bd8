//! Executes requests: each command goes to the machine that it concerns.

use super::context::Cx;
use super::messages::{Admission, IncomingRequest, ReplyTo};
use super::model::Model;
use super::step::{Act, Query};
use super::write::Write;
use super::{Engine, FoundBackbone, JobId, StoredChange};
use crate::wire::command::{self, Command, Empty, Purged, Spec as _};
use crate::wire::{Answer, ErrorCode, Request, StatusReport};
use crate::words::{Now, SampleId, TaskId};

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
        match self.execute(now, &request, incoming.reply_to) {
            Outcome::Done(answer) => {
                // What it changes comes before its answer.
                self.hand_out_facts(now);
                self.cx(now).answer(incoming.reply_to, request, answer);
                true
            }
            Outcome::Later(query) => {
                let is_begun = self.cx(now).find_out(incoming.reply_to, request, query.clone());
                match query {
                    Query::Forget(ids) if is_begun => self.labels.leaves(ids),
                    Query::Undo { .. } if is_begun => self.labels.undo_begins(),
                    _ => {}
                }
                !is_begun
            }
        }
    }

    fn execute(&mut self, now: Now, request: &Request, reply_to: ReplyTo) -> Outcome {
        let mut cx = Cx::new(now, &mut self.messages, &mut self.context);
        let tasks = cx.settings().task_ids();
        let task = match request.settle(&tasks) {
            Ok(task) => task.cloned().unwrap_or_else(|| cx.settings().first_task()),
            Err(why) => return Outcome::Done(Answer::from(&why)),
        };
        let cx = &mut cx.of(&task);
        let model = self.models.of(&task).expect("it is one of the settings' tasks, and each has heads");
        match &request.command {
            Command::Train(_) => Outcome::Done(model.train_on_request(cx)),
            Command::Tune(_) => Outcome::Done(model.tune_on_request(cx)),
            Command::Rescan(_) => {
                cx.act(Act::Rescan);
                Outcome::Done(command::Rescan::answer(&Empty {}))
            }
            Command::Reload(_) => Outcome::Later(Query::Reload),
            Command::Rollback(_) => Outcome::Done(model.roll_back_on_request(cx)),
            Command::Promote(promote) => Outcome::Done(model.promote_on_request(cx, &promote.head)),
            Command::Predict(predict) => match self.labels.image_named(&predict.image) {
                Ok(id) => Outcome::Later(Query::Predict(task.clone(), id)),
                Err(answer) => Outcome::Done(answer),
            },
            Command::Samples(samples) => self.labels.list_samples(&task, samples),
            Command::Heads(_) => Outcome::Done(model.list_heads()),
            Command::Export(_) => model.export(&task),
            Command::Status(_) => {
                let task = request.task.clone().or_else(|| cx.settings().task_meant(None).ok());
                Outcome::Done(command::Status::answer(&self.status(now, task)))
            }
            Command::Review(_) => Outcome::Done(self.labels.show_review_list(&task)),
            Command::Label(label) => Outcome::Done(self.labels.take_labels(cx, &label.items)),
            Command::Forget(forget) => self.labels.forget(&task, forget),
            Command::Relabel(relabel) => Outcome::Done(self.labels.relabel(cx, &task, relabel)),
            Command::Exclude(exclude) => Outcome::Done(self.labels.exclude(cx, &task, exclude)),
            Command::Import(import) => Outcome::Done(self.labels.import(cx, import)),
            Command::Undo(undo) => self.labels.undo(undo),
            Command::Switch(switch) => switch_asked(switch, reply_to),
            Command::Burst(burst) => Outcome::Done(self.sources.burst_on_request(cx, &burst.source)),
            Command::Config(config) => Outcome::Done(self.remote.config_on_request(cx, config)),
            Command::Purge(purge) if tasks.contains(&purge.task) => {
                Outcome::Done(Answer::error(ErrorCode::NotPossible, Purged::still_there(&purge.task)))
            }
            Command::Purge(purge) => Outcome::Later(Query::Purge(purge.task.clone())),
            Command::Statistics(part) => shared(cx, |min_class_count| Query::Statistics {
                task: task.clone(),
                min_class_count,
                part: part.clone(),
            }),
            Command::Score(score) => shared(cx, |_| Query::Score(task.clone(), score.head.clone())),
            Command::Unknown => {
                let reason = format!("there is no request/{}; there are {}", request.name, Command::NAMES.join(", "));
                Outcome::Done(Answer::error(ErrorCode::UnknownRequest, reason))
            }
        }
    }

    /// The answer to a request was found out.
    pub(super) fn query_answered(&mut self, now: Now, job: JobId, answer: &Answer) {
        let mut cx = self.cx(now);
        match cx.command_of(job).cloned() {
            Some(Command::Undo(_)) => self.labels.undo_ends(),
            Some(Command::Purge(purge)) if matches!(answer, Answer::Ok { .. }) => {
                if cx.storage_is_out() {
                    let reason = "nothing can be stored now ('edgetuned ctl status' says why), so the task was not \
                                  ended; send it again when that is over";
                    return cx.found_out(job, &Answer::error(ErrorCode::Busy, reason));
                }
                cx.purged(&purge.task);
                cx.write(Write::PurgeTask { task: purge.task });
            }
            _ => {}
        }
        self.cx(now).found_out(job, answer);
    }

    /// A change of labels was found, for a request to undo it; nothing is undone where nobody waits for the answer any
    /// more.
    pub(super) fn change_found(&mut self, now: Now, job: JobId, found: Option<StoredChange>) {
        let Some(Command::Undo(undo)) = self.cx(now).command_of(job).cloned() else { return };
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        self.labels.undo_change(cx, job, &undo, found);
    }

    /// The backbone of a request to switch was looked up.
    pub(super) fn backbone_found(&mut self, now: Now, job: JobId, found: Result<Box<FoundBackbone>, String>) {
        if self.cx(now).command_of(job).is_none() {
            return;
        }
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        let answer = match found {
            Ok(found) => self.remote.switch_to(cx, *found),
            Err(reason) => Answer::error(ErrorCode::NotPossible, reason),
        };
        // What it changes comes before its answer.
        self.hand_out_facts(now);
        self.cx(now).found_out(job, &answer);
    }

    /// The statistics are without these samples, for a request to forget them.
    pub(super) fn forgotten(&mut self, now: Now, job: JobId, ids: &[SampleId], files: Vec<(TaskId, Vec<u8>)>) {
        let cx = &mut Cx::new(now, &mut self.messages, &mut self.context);
        let asked = match cx.request_of(job) {
            Some(request @ Request { command: Command::Forget(forget), .. }) => {
                let tasks = cx.settings().task_ids();
                let task = request.settle(&tasks).ok();
                task.map(|task| (task.cloned().unwrap_or_else(|| cx.settings().first_task()), forget.clone()))
            }
            _ => None,
        };
        let asked = asked.as_ref().map(|(task, forget)| (task, forget));
        self.labels.delete_forgotten(cx, job, asked, ids, files);
    }

    fn status(&mut self, now: Now, task: Option<TaskId>) -> StatusReport {
        let overview = super::overview(&self.files, &self.sources, &self.labels, &self.models);
        let cx = Cx::new(now, &mut self.messages, &mut self.context);
        let model = task.as_ref().and_then(|task| self.models.get(task));
        StatusReport {
            health: cx.health(&overview),
            task: task.filter(|_| cx.settings().names_tasks),
            head: model.and_then(Model::champion).map(|champion| champion.head.clone()),
            backbone: cx.settings().backbone.name.clone(),
            phase: overview.phase,
            live: model.map(Model::live_figures).unwrap_or_default(),
            shadow: model.and_then(Model::shadow_head),
            switch: self.remote.switch_report(&cx),
            broker: cx.link(),
            broker_reason: cx.broker_reason(),
            alerts: cx.raised(),
        }
    }
}

/// What is found out for a fleet, where the device shares anything.
fn shared(cx: &Cx<'_>, query: impl FnOnce(u64) -> Query) -> Outcome {
    let Some(min_class_count) = cx.settings().share else {
        let reason = "this device shares nothing; set fleet.share: true in its own configuration to change that";
        return Outcome::Done(Answer::error(ErrorCode::NotPossible, reason));
    };
    Outcome::Later(query(min_class_count))
}

/// A backbone is to be looked up. Manifests by path are for people at the device: what lies in its folders may have come
/// over the network.
fn switch_asked(asked: &command::Switch, reply_to: ReplyTo) -> Outcome {
    if asked.is_path() && matches!(reply_to, ReplyTo::Broker(_)) {
        let reason = "over the broker a backbone is named by its bundled name; on the device 'edgetuned backbone switch' \
                      takes a manifest's path, and a signed update brings another model";
        return Outcome::Done(Answer::error(ErrorCode::NotPossible, reason));
    }
    Outcome::Later(Query::Backbone(asked.backbone.clone()))
}
