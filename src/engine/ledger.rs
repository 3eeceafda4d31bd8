//! Answers remembered, so that a transaction has one effect however often it is asked for.

use std::collections::{BTreeMap, VecDeque};

use super::effect::LedgerEntry;

/// Answers remembered; past it the oldest is forgotten.
pub(super) const LEDGER_MAX: usize = 1_024;
/// Bytes of them, since a list of samples is long; past it the oldest is forgotten, but never the latest.
pub(super) const LEDGER_BYTES: usize = 4_194_304;

/// Remembered answers by transaction.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<String, LedgerEntry>,
    order: VecDeque<String>,
    bytes: usize,
}

impl Ledger {
    pub fn new(entries: Vec<LedgerEntry>) -> Self {
        let order = entries.iter().map(|entry| entry.transaction.clone()).collect();
        let bytes = entries.iter().map(|entry| entry.answer.len()).sum();
        Self { entries: entries.into_iter().map(|entry| (entry.transaction.clone(), entry)).collect(), order, bytes }
    }

    /// The answer that this transaction got.
    pub fn answer(&self, transaction: &str) -> Option<&LedgerEntry> {
        self.entries.get(transaction)
    }

    /// Remembers an answer; returns the transactions that are forgotten for it.
    pub fn remember(&mut self, entry: LedgerEntry) -> Vec<String> {
        self.bytes += entry.answer.len();
        self.order.push_back(entry.transaction.clone());
        self.entries.insert(entry.transaction.clone(), entry);
        let mut forgotten = Vec::new();
        while self.order.len() > LEDGER_MAX || (self.bytes > LEDGER_BYTES && self.order.len() > 1) {
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

    fn entry(n: usize, bytes: usize) -> LedgerEntry {
        LedgerEntry { transaction: format!("{n}"), name: "samples".into(), answer: vec![b' '; bytes], at: Timestamp(0) }
    }

    #[test]
    fn the_oldest_answers_go_when_they_are_too_many_or_too_long() {
        let mut ledger = Ledger::new((0..LEDGER_MAX).map(|n| entry(n, 1)).collect());
        assert_eq!(ledger.remember(entry(LEDGER_MAX, 1)), ["0"]);
        let mut ledger = Ledger::new(vec![entry(1, LEDGER_BYTES / 2), entry(2, LEDGER_BYTES / 2)]);
        assert_eq!(ledger.remember(entry(3, 1)), ["1"]);
        assert_eq!(ledger.remember(entry(4, 2 * LEDGER_BYTES)), ["2", "3"]);
        assert!(ledger.answer("4").is_some() && ledger.answer("3").is_none());
        assert_eq!(ledger.remember(entry(5, 1)), ["4"], "what was counted is counted back");
        assert_eq!(ledger.remember(entry(6, LEDGER_BYTES - 1)), Vec::<String>::new());
    }
}
