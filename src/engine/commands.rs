//! What a request may do, and its answer.
//!
//! With a transaction the answer is remembered in the same commit as the effect: the same transaction again gets the
//! same answer and has no second effect, restarts included.

use super::Engine;
use super::effect::{Effect, LedgerEntry, Write};
use super::event::Inbound;
use crate::wire::{Answer, Command, ErrorCode, Link, Payload, Request, RolledBack, StatusReport, TrainAccepted};
use crate::words::Now;

impl Engine {
    pub(super) fn request_message(&mut self, now: Now, name: &str, inbound: &Inbound) {
        let request = match Request::parse(name, &inbound.payload) {
            Ok(request) => request,
            Err(bad) => {
                self.error_on_topic(now, &inbound.topic, bad.to_string());
                let answer = Answer::error(ErrorCode::BadRequest, bad.to_string());
                return self.respond(now, name, bad.transaction, answer);
            }
        };
        let answer = if let Some(answer) = self.remembered(&request) {
            answer
        } else {
            let answer = refusal(now, inbound.retained, &request).unwrap_or_else(|| self.execute(now, &request));
            self.remember(now, &request, &answer);
            answer
        };
        self.respond(now, name, request.transaction, answer);
    }

    /// The answer that this transaction got before.
    fn remembered(&self, request: &Request) -> Option<Answer> {
        let entry = self.ledger.answer(request.transaction.as_deref()?)?;
        if entry.name != request.name {
            let reason =
                format!("transaction {} was used for request/{}; use a new one", entry.transaction, entry.name);
            return Some(Answer::error(ErrorCode::TransactionReused, reason));
        }
        Some(Answer::decode(&entry.answer).unwrap_or_else(|why| {
            Answer::error(
                ErrorCode::Failed,
                format!("the remembered answer cannot be read: {why}; use a new transaction"),
            )
        }))
    }

    fn execute(&mut self, now: Now, request: &Request) -> Answer {
        match request.command {
            Command::Train => self.order_training(now),
            Command::Rescan => {
                self.effects.push(Effect::Scan);
                Answer::ok(&serde_json::json!({}))
            }
            Command::Rollback => self.roll_back(now),
            Command::Status => Answer::ok(&self.status()),
            Command::Review => Answer::ok(self.asks.asked()),
            Command::Unknown => {
                let reason = format!(
                    "there is no request/{}; there are train, rescan, rollback, review and status",
                    request.name
                );
                Answer::error(ErrorCode::UnknownRequest, reason)
            }
        }
    }

    fn order_training(&mut self, now: Now) -> Answer {
        if let Err(reason) = self.trainable() {
            return Answer::error(ErrorCode::NotPossible, reason);
        }
        let order = self.schedule.request("request");
        self.write(Write::Training(self.schedule.memory().clone()));
        self.begin_training(now);
        Answer::ok(&TrainAccepted { training: order.id })
    }

    fn roll_back(&mut self, now: Now) -> Answer {
        let Some(rollback) = self.heads.roll_back(now.wall, "on request") else {
            let reason = "no earlier head is kept for this backbone; see 'edgetuned heads list'";
            return Answer::error(ErrorCode::NotPossible, reason);
        };
        let answer = Answer::ok(&RolledBack { head: Some(rollback.to.clone()), from: rollback.from.clone() });
        self.rolled_back(now, rollback);
        answer
    }

    fn remember(&mut self, now: Now, request: &Request, answer: &Answer) {
        let Some(transaction) = request.transaction.clone() else { return };
        let entry = LedgerEntry { transaction, name: request.name.clone(), answer: answer.encode(), at: now.wall };
        self.write(Write::Ledger(entry.clone()));
        if let Some(transaction) = self.ledger.remember(entry) {
            self.write(Write::LedgerRemove { transaction });
        }
    }

    fn status(&self) -> StatusReport {
        StatusReport {
            health: self.health(),
            head: self.heads.champion().map(|champion| champion.head.clone()),
            backbone: self.settings.backbone.name.clone(),
            phase: self.reports.phase,
            live: self.live.figures(),
            shadow: self.live.shadow.as_ref().map(|shadow| shadow.head.clone()),
            broker: if self.reports.connected { Link::Connected } else { Link::Disconnected },
        }
    }
}

fn refusal(now: Now, retained: bool, request: &Request) -> Option<Answer> {
    if retained {
        let reason = "a retained request would run again at every connection; send it without the retain flag";
        return Some(Answer::error(ErrorCode::Retained, reason));
    }
    let expires = request.expires?;
    (now.wall > expires).then(|| {
        Answer::error(
            ErrorCode::Expired,
            format!("the request expired at {expires}, it is {} here; send it again", now.wall),
        )
    })
}
