//! Remembered answers, so that a transaction has one effect however often it is requested.

use std::collections::{BTreeMap, VecDeque};

use super::super::write::RememberedReply;

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
