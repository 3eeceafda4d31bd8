//! What a request may do, and its answer.
//!
//! A request comes through one of two doors, the broker or the socket, and means the same. With a transaction the
//! answer is remembered in the same commit as the effect: the same transaction again gets the same answer and has no
//! second effect, restarts included. What needs the store or computing is found out by the rim; the answer, and the
//! acknowledgement of a message, wait for it.

use super::Engine;
use super::effect::{Effect, LedgerEntry, Service, Task, Write};
use super::under_way::{Door, JobId};
use crate::wire::{
    Answer, Command, ErrorCode, HeadEntry, Link, Payload, Request, RolledBack, SampleQuery, StatusReport, TrainAccepted,
};
use crate::words::{Now, SampleId};

/// What is said of requests that come or wait while everything starts anew.
const STARTS_ANEW: &str = "the daemon takes other settings just now; send it again in a second";

/// A request as it came.
#[derive(Debug)]
pub(super) struct Asked<'a> {
    pub door: Door,
    pub name: &'a str,
    pub payload: &'a [u8],
    /// Whether the broker had kept it.
    pub retained: bool,
}

/// What becomes of a request in its step.
enum Outcome {
    /// It is answered.
    Done(Answer),
    /// Its answer has to be found out.
    Later(Task),
}

impl Engine {
    /// Answers a request; false when the answer has to be found out first.
    pub(super) fn asked(&mut self, now: Now, asked: &Asked<'_>) -> bool {
        let request = match Request::parse(asked.name, asked.payload) {
            Ok(request) => request,
            Err(bad) => {
                if let Door::Broker(_) = asked.door {
                    self.error_on_topic(now, &format!("request/{}", asked.name), bad.to_string());
                }
                let answer = Answer::error(ErrorCode::BadRequest, bad.to_string());
                self.respond(now, asked.door, asked.name, bad.transaction, answer);
                return true;
            }
        };
        if let Some(pending) = self.under_way.of(request.transaction.as_deref()) {
            if pending.request.name == request.name {
                pending.doors.push(asked.door);
                return false;
            }
            let answer = reused(&pending.request.name, &request);
            self.respond(now, asked.door, asked.name, request.transaction, answer);
            return true;
        }
        if let Some(answer) = self.remembered(&request) {
            self.respond(now, asked.door, asked.name, request.transaction, answer);
            return true;
        }
        let refused = refusal(now, asked.retained, &request).or_else(|| self.refused_by_outage(&request));
        let outcome = match refused {
            Some(answer) => Outcome::Done(answer),
            None => self.execute(now, &request),
        };
        let answer = match outcome {
            Outcome::Done(answer) => answer,
            Outcome::Later(_) if self.stopping => Answer::error(ErrorCode::Busy, STARTS_ANEW),
            Outcome::Later(task) => match self.under_way.begin(request.clone(), Some(asked.door)) {
                Some(job) => {
                    self.find_out(job, task);
                    return false;
                }
                None => Answer::error(ErrorCode::Busy, "too many requests are under way; send it again a little later"),
            },
        };
        self.remember(now, &request, &answer);
        self.respond(now, asked.door, asked.name, request.transaction, answer);
        true
    }

    /// A signal asks for the configuration to be read again: a request for whose answer nobody waits.
    pub(super) fn reload(&mut self, now: Now) {
        if self.outage.lasts() {
            let reason = "the configuration is not read while nothing can be stored; ask again when that is over";
            return self.error(now, "config", reason.to_owned());
        }
        let request = Request { name: "reload".to_owned(), command: Command::Reload, transaction: None, expires: None };
        match self.under_way.begin(request, None).filter(|_| !self.stopping) {
            Some(job) => self.find_out(job, Task::Reload),
            None => self.error(now, "config", "too much is under way to read the configuration; ask again".to_owned()),
        }
    }

    /// Has an answer found out. Of a reload the service manager hears now that it goes on, and later how it ended.
    fn find_out(&mut self, job: JobId, task: Task) {
        if matches!(task, Task::Reload) {
            self.tell(Service::Reloading);
        }
        self.effects.push(Effect::FindOut { job, task });
    }

    /// The rim found out an answer: everybody who waits gets it; a configuration that is not taken is told to all.
    pub(super) fn found_out(&mut self, now: Now, job: JobId, answer: &Answer) {
        let Some(pending) = self.under_way.end(job) else { return };
        if let (Command::Reload, Answer::Error { error }) = (&pending.request.command, answer) {
            self.error(now, "config", error.message.clone());
            self.tell(Service::Ready);
        }
        self.remember(now, &pending.request, answer);
        for door in pending.doors {
            let Request { name, transaction, .. } = &pending.request;
            self.respond(now, door, name, transaction.clone(), answer.clone());
            if let Door::Broker(delivery) = door {
                self.acknowledge(delivery);
            }
        }
    }

    /// Nobody will find the answers out that are still under way: the workers make way for others.
    pub(super) fn give_up_requests(&mut self, now: Now) {
        for job in self.under_way.jobs() {
            self.found_out(now, job, &Answer::error(ErrorCode::Busy, STARTS_ANEW));
        }
    }

    /// The answer that this transaction got before.
    fn remembered(&self, request: &Request) -> Option<Answer> {
        let entry = self.ledger.answer(request.transaction.as_deref()?)?;
        if entry.name != request.name {
            return Some(reused(&entry.name, request));
        }
        Some(Answer::decode(&entry.answer).unwrap_or_else(|why| {
            Answer::error(
                ErrorCode::Failed,
                format!("the remembered answer cannot be read: {why}; use a new transaction"),
            )
        }))
    }

    fn execute(&mut self, now: Now, request: &Request) -> Outcome {
        match &request.command {
            Command::Train => Outcome::Done(self.order_training(now)),
            Command::Rescan => {
                self.effects.push(Effect::Scan);
                Outcome::Done(Answer::ok(&serde_json::json!({})))
            }
            Command::Reload => Outcome::Later(Task::Reload),
            Command::Rollback => Outcome::Done(self.roll_back(now)),
            Command::Promote { head } => Outcome::Done(self.promote_on_request(now, head)),
            Command::Predict { image } => match self.image_named(image) {
                Ok(id) => Outcome::Later(Task::Predict(id)),
                Err(answer) => Outcome::Done(answer),
            },
            Command::Samples(query) => self.list_samples(query),
            Command::Heads => {
                let entries: Vec<HeadEntry> = self.heads.all().iter().map(HeadEntry::from).collect();
                Outcome::Done(Answer::ok(&entries))
            }
            Command::Export => self.export(),
            Command::Status => Outcome::Done(Answer::ok(&self.status())),
            Command::Review => Outcome::Done(Answer::ok(self.asks.asked())),
            Command::Label { items } => Outcome::Done(self.take_labels(now, items)),
            Command::Unknown => {
                let reason = format!("there is no request/{}; there are {}", request.name, Command::NAMES.join(", "));
                Outcome::Done(Answer::error(ErrorCode::UnknownRequest, reason))
            }
        }
    }

    fn export(&self) -> Outcome {
        let reason = "no head is in service; label images of two classes and train";
        let refused = || Outcome::Done(Answer::error(ErrorCode::NotPossible, reason));
        self.heads.champion().map_or_else(refused, |champion| Outcome::Later(Task::Export(champion.head.clone())))
    }

    fn list_samples(&self, query: &SampleQuery) -> Outcome {
        let SampleQuery { limit, after, label, unlabelled } = query.clone();
        let after = match after.map(|prefix| self.image_named(&prefix)).transpose() {
            Ok(after) => after,
            Err(answer) => return Outcome::Done(answer),
        };
        Outcome::Later(Task::Samples { limit, after, label, unlabelled })
    }

    /// The stored image that is meant by the first digits of its digest.
    fn image_named(&self, prefix: &crate::wire::ImagePrefix) -> Result<SampleId, Answer> {
        use super::catalogue::Resolved;
        match self.catalogue.resolve(prefix.as_str()) {
            Resolved::Known(id) => Ok(id),
            Resolved::Unknown => {
                let reason = format!("no sample's SHA-256 begins with {prefix}; request/samples names them");
                Err(Answer::error(ErrorCode::NotFound, reason))
            }
            Resolved::Ambiguous => Err(super::labels::ambiguous(prefix)),
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
        let Some(rollback) = self.heads.roll_back(self.clock.stamp(now.wall), "on request") else {
            let reason = "no earlier head is kept for this backbone; see 'edgetuned heads list'";
            return Answer::error(ErrorCode::NotPossible, reason);
        };
        let answer = Answer::ok(&RolledBack { head: Some(rollback.to.clone()), from: rollback.from.clone() });
        self.rolled_back(now, rollback);
        answer
    }

    /// What was too much now is not remembered: the same transaction may come again.
    fn remember(&mut self, now: Now, request: &Request, answer: &Answer) {
        let Some(transaction) = request.transaction.clone() else { return };
        // While nothing can be stored only reads are answered.
        if answer.is(ErrorCode::Busy) || self.outage.lasts() {
            return;
        }
        let entry = LedgerEntry { transaction, name: request.name.clone(), answer: answer.encode(), at: now.wall };
        self.write(Write::Ledger(entry.clone()));
        for transaction in self.ledger.remember(entry) {
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
            alerts: self.raised(),
        }
    }
}

fn reused(before: &str, request: &Request) -> Answer {
    let transaction = request.transaction.as_deref().unwrap_or_default();
    let reason = format!("transaction {transaction} was used for request/{before}; use a new one");
    Answer::error(ErrorCode::TransactionReused, reason)
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
