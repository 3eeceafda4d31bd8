//! The wall clock: somebody sets it, it starts in 1970, and a time server sets it right in the end.

use std::time::Duration;

use edgetuned::engine::{Event, StoreEvent};
use edgetuned::words::Timestamp;

use super::World;

/// When a life begins.
pub const BEGIN: Timestamp = Timestamp(1_772_323_200_000);

/// What is known of time apart from what the clock shows.
#[derive(Debug, Default)]
pub struct Clock {
    /// Time since the life began, whatever the clock shows and however many processes there were.
    pub elapsed: Duration,
    /// Whether the clock follows a time server, where the kernel tells.
    pub synced: Option<bool>,
    /// Whether it was set since the last tick.
    pub(super) is_news: bool,
    /// Whether it was ever set when no process could see it, or remember it: the ages of what waits are unknown then.
    pub was_set_unseen: bool,
}

impl World {
    /// So much time passes.
    pub(super) fn pass(&mut self, span: Duration) {
        self.clock.elapsed += span;
        self.now.mono += span;
        self.now.wall = self.now.wall.plus(span);
    }

    /// The clock of a device without a battery, before it hears from a time server.
    pub fn start_in_1970(&mut self) {
        (self.now.wall, self.clock.synced) = (Timestamp(60_000), Some(false));
        self.counts.clock_changes += 1;
    }

    /// Somebody sets the clock.
    pub fn set_clock(&mut self, by_ms: i64) {
        self.now.wall = Timestamp(self.now.wall.0 + by_ms);
        self.clock.is_news = true;
        self.counts.clock_changes += 1;
    }

    /// A time server sets it right.
    pub fn sync_clock(&mut self) {
        (self.now.wall, self.clock.synced) = (BEGIN.plus(self.clock.elapsed), Some(true));
        self.clock.is_news = true;
    }

    /// A process ends.
    pub(super) fn lose_clock(&mut self) {
        let has_not_heard = self.feedback.iter().any(|event| matches!(event, Event::Store(StoreEvent::Recovered)));
        // One that stops on request waits for nothing any more.
        let is_outage = self.storage.waits_since().is_some() || self.storage.refuses.is_some() || has_not_heard;
        let is_forgotten = self.counts.clock_changes > 0 && is_outage;
        self.clock.was_set_unseen |= self.clock.is_news || is_forgotten;
    }
}
