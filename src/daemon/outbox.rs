//! The store's outbox as the link reads it.

use crate::engine::OutboxMessage;
use crate::mqtt::{self, Lane, OutboxError};
use crate::store::Reader;

/// Reads beside the daemon's writer.
pub(super) struct Outbox(pub Reader);

impl mqtt::Outbox for Outbox {
    fn after(&mut self, lane: Lane, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, OutboxError> {
        let Self(reader) = self;
        Ok(match lane {
            Lane::Answers => reader.answers_after(seq, limit)?,
            Lane::Reports => reader.reports_after(seq, limit)?,
        })
    }

    fn newest(&mut self) -> Result<u64, OutboxError> {
        Ok(self.0.outbox_newest()?)
    }
}
