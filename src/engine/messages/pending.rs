//! Memory of requests: those answered in the background, acknowledgements in the order of arrival, remembered answers.
//!
//! MQTT 3.1.1 requires PUBACKs in the order of the messages (MQTT-4.6.0-2). Most messages are done within their step; a
//! request that is answered in the background delays those that came after it, for as long as that takes.

use std::collections::{BTreeMap, VecDeque};

use super::super::event::{DeliveryId, Ticket};
use super::super::write::RememberedReply;
use crate::wire::Request;

/// Answers that are found out at a time; past it a request is refused as `busy`.
pub const UNDER_WAY_MAX: usize = 16;

/// Names one search for an answer.
pub type JobId = u64;

/// Where a request came from, and where its answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum ReplyTo {
    /// The broker: the answer is spooled, and the message acknowledged then.
    Broker(DeliveryId),
    /// The socket.
    Socket(Ticket),
}

/// A request and everybody who waits for it.
#[derive(Debug)]
pub(super) struct PendingRequest {
    pub request: Request,
    pub reply_to: Vec<ReplyTo>,
}

/// All requests in progress.
#[derive(Debug, Default)]
pub(super) struct PendingRequests {
    pending: BTreeMap<JobId, PendingRequest>,
    last: JobId,
}

impl PendingRequests {
    /// The request of this transaction, if one is in progress.
    pub fn of(&mut self, transaction: Option<&str>) -> Option<&mut PendingRequest> {
        let transaction = transaction?;
        self.pending.values_mut().find(|pending| pending.request.transaction.as_deref() == Some(transaction))
    }

    /// Starts one, unless too many are in progress. A signal's request has nobody waiting.
    pub fn begin(&mut self, request: Request, reply_to: Option<ReplyTo>) -> Option<JobId> {
        if self.pending.len() >= UNDER_WAY_MAX {
            return None;
        }
        self.last += 1;
        self.pending.insert(self.last, PendingRequest { request, reply_to: reply_to.into_iter().collect() });
        Some(self.last)
    }

    /// All that are in progress.
    pub fn jobs(&self) -> Vec<JobId> {
        self.pending.keys().copied().collect()
    }

    /// The request that this search is for.
    pub fn request(&self, job: JobId) -> Option<&Request> {
        self.pending.get(&job).map(|pending| &pending.request)
    }

    /// The answer is there.
    pub fn end(&mut self, job: JobId) -> Option<PendingRequest> {
        self.pending.remove(&job)
    }
}

/// Messages that came and are not acknowledged yet, with whether they are done.
#[derive(Debug, Default)]
pub(super) struct Acks {
    messages: VecDeque<(DeliveryId, bool)>,
}

impl Acks {
    /// A message came.
    pub fn arrived(&mut self, delivery: DeliveryId) {
        self.messages.push_back((delivery, false));
    }

    /// A message is done; returns those that can be acknowledged now, in order.
    pub fn done(&mut self, delivery: DeliveryId) -> Vec<DeliveryId> {
        if let Some(message) = self.messages.iter_mut().find(|(other, done)| *other == delivery && !done) {
            message.1 = true;
        }
        let mut ready = Vec::new();
        while let Some((delivery, true)) = self.messages.front() {
            ready.push(*delivery);
            self.messages.pop_front();
        }
        ready
    }

    /// The link is about to end: what is done and was held back.
    pub fn rest(&mut self) -> Vec<DeliveryId> {
        self.messages.drain(..).filter(|(_, done)| *done).map(|(delivery, _)| delivery).collect()
    }
}

/// Answers remembered; past it the oldest is forgotten.
pub(super) const REPLIES_MAX: usize = 1_024;
/// Bytes of them, since a list of samples is long; past it the oldest is forgotten, but never the latest.
pub(super) const REPLIES_BYTES: usize = 4_194_304;

/// Remembered answers by transaction.
#[derive(Debug, Default)]
pub(super) struct IdempotencyCache {
    entries: BTreeMap<String, RememberedReply>,
    order: VecDeque<String>,
    bytes: usize,
}

impl IdempotencyCache {
    pub fn new(entries: Vec<RememberedReply>) -> Self {
        let order = entries.iter().map(|entry| entry.transaction.clone()).collect();
        let bytes = entries.iter().map(|entry| entry.answer.len()).sum();
        Self { entries: entries.into_iter().map(|entry| (entry.transaction.clone(), entry)).collect(), order, bytes }
    }

    /// The answer that this transaction got.
    pub fn answer(&self, transaction: &str) -> Option<&RememberedReply> {
        self.entries.get(transaction)
    }

    /// Remembers an answer; returns the transactions that are forgotten for it.
    pub fn remember(&mut self, entry: RememberedReply) -> Vec<String> {
        self.bytes += entry.answer.len();
        self.order.push_back(entry.transaction.clone());
        self.entries.insert(entry.transaction.clone(), entry);
        let mut forgotten = Vec::new();
        while self.order.len() > REPLIES_MAX || (self.bytes > REPLIES_BYTES && self.order.len() > 1) {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.entries.remove(&oldest).map_or(0, |entry| entry.answer.len());
            forgotten.push(oldest);
        }
        forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Timestamp;

    #[test]
    fn a_slow_message_delays_acknowledgements_of_later_messages_and_of_none_before() {
        let mut acks = Acks::default();
        (1..=4).for_each(|delivery| acks.arrived(delivery));
        assert_eq!(acks.done(1), [1]);
        assert!(acks.done(3).is_empty());
        assert_eq!(acks.done(2), [2, 3]);
        acks.arrived(5);
        assert!(acks.done(5).is_empty());
        assert_eq!(acks.rest(), [5], "at the end what is done is acknowledged, what is not is not");
        assert!(acks.done(4).is_empty(), "a message of a link that is gone");
    }

    fn entry(n: usize, bytes: usize) -> RememberedReply {
        RememberedReply {
            transaction: format!("{n}"),
            name: "samples".into(),
            answer: vec![b' '; bytes],
            at: Timestamp(0),
        }
    }

    #[test]
    fn the_oldest_answers_go_when_they_are_too_many_or_too_long() {
        let mut replies = IdempotencyCache::new((0..REPLIES_MAX).map(|n| entry(n, 1)).collect());
        assert_eq!(replies.remember(entry(REPLIES_MAX, 1)), ["0"]);
        let mut replies = IdempotencyCache::new(vec![entry(1, REPLIES_BYTES / 2), entry(2, REPLIES_BYTES / 2)]);
        assert_eq!(replies.remember(entry(3, 1)), ["1"]);
        assert_eq!(replies.remember(entry(4, 2 * REPLIES_BYTES)), ["2", "3"]);
        assert!(replies.answer("4").is_some() && replies.answer("3").is_none());
        assert_eq!(replies.remember(entry(5, 1)), ["4"], "what was counted is counted back");
        assert_eq!(replies.remember(entry(6, REPLIES_BYTES - 1)), Vec::<String>::new());
    }
}
