//! Answers remembered, so that a transaction has one effect however often it is asked for.

use std::collections::{BTreeMap, VecDeque};

use super::effect::LedgerEntry;

/// Answers remembered; past it the oldest is forgotten.
pub(super) const LEDGER_MAX: usize = 1_024;

/// Remembered answers by transaction.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: BTreeMap<String, LedgerEntry>,
    order: VecDeque<String>,
}

impl Ledger {
    pub fn new(entries: Vec<LedgerEntry>) -> Self {
        let order = entries.iter().map(|entry| entry.transaction.clone()).collect();
        Self { entries: entries.into_iter().map(|entry| (entry.transaction.clone(), entry)).collect(), order }
    }

    /// The answer that this transaction got.
    pub fn answer(&self, transaction: &str) -> Option<&LedgerEntry> {
        self.entries.get(transaction)
    }

    /// Remembers an answer; returns the transaction that is forgotten for it.
    pub fn remember(&mut self, entry: LedgerEntry) -> Option<String> {
        self.order.push_back(entry.transaction.clone());
        self.entries.insert(entry.transaction.clone(), entry);
        if self.order.len() <= LEDGER_MAX {
            return None;
        }
        let oldest = self.order.pop_front()?;
        self.entries.remove(&oldest);
        Some(oldest)
    }
}
