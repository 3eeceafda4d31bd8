//! The life of a request between its arrival and its answer.
//!
//! A request comes by one of two ways, the broker or the socket, and means the same. With a transaction the answer is
//! remembered in the same commit as the effect: the same transaction again gets the same answer and has no second
//! effect, restarts included. What needs the store or computing is found out by the shell; the answer, and the
//! acknowledgement of a message, wait for it.

use super::super::context::Cx;
use super::super::event::DeliveryId;
use super::super::step::{Act, Query, Systemd};
use super::super::write::{RememberedReply, Write};
use super::{JobId, ReplyTo};
use crate::wire::command::{Reload, Spec as _};
use crate::wire::{Answer, Command, ErrorCode, Payload, Request};
use crate::words::{Component, Now};

/// The answer to requests that come or wait during a restart.
const STARTS_ANEW: &str = "the daemon is applying other settings; send the request again in a second";

/// A request as it came.
#[derive(Debug)]
pub(in crate::engine) struct IncomingRequest<'a> {
    pub reply_to: ReplyTo,
    pub name: &'a str,
    pub payload: &'a [u8],
    /// Whether the broker had kept it.
    pub retained: bool,
}

/// What to do with a request.
pub(in crate::engine) enum Admission {
    /// It is to be done now.
    New(Request),
    /// It has its answer.
    Answered,
    /// It waits for an answer that is being found out already.
    Waits,
}

/// Topics that are remembered as having a kept message that is too long.
const OVERSIZED_MAX: usize = 64;

impl Cx<'_> {
    /// Whether a request is to be done; where it is not, it is answered or waits.
    pub fn admit(&mut self, incoming: &IncomingRequest<'_>) -> Admission {
        let IncomingRequest { reply_to, name, .. } = *incoming;
        let request = match Request::parse(name, incoming.payload) {
            Ok(request) => request,
            Err(bad) => {
                if let ReplyTo::Broker(_) = reply_to {
                    self.error_on_topic(&format!("request/{name}"), bad.to_string());
                }
                let answer = Answer::error(ErrorCode::BadRequest, bad.to_string());
                self.respond(reply_to, name, bad.transaction, answer);
                return Admission::Answered;
            }
        };
        if let Some(pending) = self.messages.pending.of(request.transaction.as_deref()) {
            if pending.request.name == request.name {
                pending.reply_to.push(reply_to);
                return Admission::Waits;
            }
            let answer = reused(&pending.request.name, &request);
            self.respond(reply_to, name, request.transaction, answer);
            return Admission::Answered;
        }
        if let Some(answer) = self.remembered(&request) {
            // What is remembered may not be stored yet, and a crash would undo it.
            let answer = self.refused_by_outage(&request).unwrap_or(answer);
            self.respond(reply_to, name, request.transaction, answer);
            return Admission::Answered;
        }
        let refused = refusal(self.now, incoming.retained, &request)
            .or_else(|| self.refused_by_outage(&request))
            .or_else(|| self.refused_by_restart(&request));
        match refused {
            Some(answer) => {
                self.answer(reply_to, request, answer);
                Admission::Answered
            }
            None => Admission::New(request),
        }
    }

    /// The head in service may be about to change: nothing chooses another one now, nor further settings.
    fn refused_by_restart(&self, request: &Request) -> Option<Answer> {
        let chooses = matches!(request.command, Command::Rollback(_) | Command::Promote(_))
            || (matches!(request.command, Command::Config(_)) && request.command.changes());
        (chooses && self.is_stopping()).then(|| Answer::error(ErrorCode::Busy, STARTS_ANEW))
    }

    /// Answers a request and remembers the answer.
    pub fn answer(&mut self, reply_to: ReplyTo, request: Request, answer: Answer) {
        self.remember(&request, &answer);
        self.respond(reply_to, &request.name, request.transaction, answer);
    }

    /// Starts answering in the background; false if it is refused, and so answered, because too many are in progress.
    pub fn find_out(&mut self, reply_to: ReplyTo, request: Request, query: Query) -> bool {
        let refused = if self.is_stopping() {
            Some(STARTS_ANEW)
        } else if let Some(job) = self.messages.pending.begin(request.clone(), Some(reply_to)) {
            self.start_query(job, query);
            None
        } else {
            Some("too many requests are in progress; send it again later")
        };
        if let Some(reason) = refused {
            self.answer(reply_to, request, Answer::error(ErrorCode::Busy, reason));
        }
        refused.is_none()
    }

    /// A signal requests a reload of the configuration: nobody waits for the answer.
    pub fn reload(&mut self) {
        if self.storage_is_out() {
            let reason = "the configuration cannot be reloaded while nothing can be stored; try again when that is \
                          over";
            return self.error(Component::Config, reason.to_owned());
        }
        let (name, command) = (Reload::NAME.to_owned(), Reload.into());
        let request = Request { name, command, task: None, transaction: None, expires: None };
        match self.messages.pending.begin(request, None).filter(|_| !self.is_stopping()) {
            Some(job) => self.start_query(job, Query::Reload),
            None => self.error(
                Component::Config,
                "too many requests are in progress to reload the configuration; try again later".to_owned(),
            ),
        }
    }

    /// The service manager is notified now that a reload is running, and later how it ended.
    fn start_query(&mut self, job: JobId, query: Query) {
        if matches!(query, Query::Reload) {
            self.notify(Systemd::Reloading);
        }
        self.act(Act::Query { job, query });
    }

    /// A request that is being answered in the background.
    pub fn request_of(&self, job: JobId) -> Option<&Request> {
        self.messages.pending.request(job)
    }

    /// The command of a request that is being answered in the background.
    pub fn command_of(&self, job: JobId) -> Option<&Command> {
        self.messages.pending.request(job).map(|request| &request.command)
    }

    /// An answer is ready: everybody who waits gets it; a configuration that was refused is reported to all.
    pub fn found_out(&mut self, job: JobId, answer: &Answer) {
        let Some(pending) = self.messages.pending.end(job) else { return };
        if let (Command::Reload(_), Answer::Error { error }) = (&pending.request.command, answer) {
            self.error(Component::Config, error.message.clone());
            self.notify(Systemd::Ready);
        }
        self.remember(&pending.request, answer);
        for reply_to in pending.reply_to {
            let Request { name, transaction, .. } = &pending.request;
            self.respond(reply_to, name, transaction.clone(), answer.clone());
            if let ReplyTo::Broker(delivery) = reply_to {
                self.acknowledge(delivery);
            }
        }
    }

    /// Answers still in progress will not come: the workers are replaced.
    pub fn give_up_requests(&mut self) {
        for job in self.messages.pending.jobs() {
            self.found_out(job, &Answer::error(ErrorCode::Busy, STARTS_ANEW));
        }
    }

    /// A message of the broker arrived.
    pub fn arrived(&mut self, delivery: DeliveryId) {
        self.messages.acks.arrived(delivery);
    }

    /// A message was longer than allowed: it changes nothing. One that the broker keeps comes with every connection and
    /// is reported once.
    pub fn report_oversized(&mut self, topic: &str, bytes: usize, retained: bool) {
        if retained && !self.messages.oversized.insert(topic.to_owned()) {
            return;
        }
        if self.messages.oversized.len() > OVERSIZED_MAX {
            self.messages.oversized.clear();
        }
        let remedy = if retained {
            format!(
                "clear it with 'mosquitto_pub -r -n -t {}/{topic}', or raise mqtt.max_packet_kb",
                self.settings().base
            )
        } else {
            "send less at a time, or raise mqtt.max_packet_kb".to_owned()
        };
        self.error_on_topic(
            topic,
            format!("a message of {bytes} bytes is longer than mqtt.max_packet_kb allows; {remedy}"),
        );
    }

    /// The effect of a message is durable once this step is.
    pub fn acknowledge(&mut self, delivery: DeliveryId) {
        for delivery in self.messages.acks.done(delivery) {
            self.act(Act::Ack(delivery));
        }
    }

    /// The link is about to end: acknowledges what is done and was held back.
    pub fn acknowledge_the_rest(&mut self) {
        for delivery in self.messages.acks.rest() {
            self.act(Act::Ack(delivery));
        }
    }

    /// The broker has a message of the outbox.
    pub fn delivered(&mut self, seq: u64) {
        if self.messages.outbox.delivered(seq) {
            self.write(Write::DeleteMessage { seq });
        }
        self.left_outbox(seq);
    }

    /// Drops messages that have become too old.
    pub fn expire_outbox(&mut self) {
        let ages = self.ages();
        let expired = self.messages.outbox.expire(&ages);
        self.drop_spooled(expired);
    }

    /// The answer that this transaction got before.
    fn remembered(&self, request: &Request) -> Option<Answer> {
        let entry = self.messages.replies.answer(request.transaction.as_deref()?)?;
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

    /// What was too much now is not remembered: the same transaction may come again.
    fn remember(&mut self, request: &Request, answer: &Answer) {
        let Some(transaction) = request.transaction.clone() else { return };
        // While nothing can be stored only reads are answered.
        if answer.is(ErrorCode::Busy) || self.storage_is_out() {
            return;
        }
        let at = self.now.wall;
        let entry = RememberedReply { transaction, name: request.name.clone(), answer: answer.encode(), at };
        self.write(Write::Reply(entry.clone()));
        for transaction in self.messages.replies.remember(entry) {
            self.write(Write::DeleteReply { transaction });
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
