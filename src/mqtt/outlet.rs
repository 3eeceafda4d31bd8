//! Which messages of the outbox go next over one connection.
//!
//! Invariant: what waited when the connection came up goes at [`Pace`]'s rate, except for answers; what is newer goes as
//! fast as the window allows, behind it.

use std::time::Duration;

use tokio::time::Instant;

use super::pace::Pace;
use super::window::{Lane, Window};
use super::{Outbox, OutboxError};
use crate::engine::OutboxMessage;

/// Until an outbox that could not be read is tried again.
pub(super) const OUTBOX_RETRY: Duration = Duration::from_secs(5);

/// What one connection knows of the outbox, and at which pace it sends.
#[derive(Debug)]
pub(super) struct Outlet {
    /// Whether a lane may hold messages beyond the window's cursor.
    answers: bool,
    reports: bool,
    retry_at: Option<Instant>,
    /// The highest `seq` that waited when the outbox was read for the first time.
    backlog_to: Option<u64>,
    pace: Pace,
}

impl Outlet {
    pub(super) fn new(now: Instant) -> Self {
        Self { answers: true, reports: true, retry_at: None, backlog_to: None, pace: Pace::new(now) }
    }

    /// Whether messages may still be there.
    pub(super) fn has_more(&self) -> bool {
        self.answers || self.reports
    }

    /// Has the outbox read again when it changed, or when it is time to try again.
    pub(super) fn refresh(&mut self, changed: bool, now: Instant) {
        if changed || self.retry_at.is_some_and(|at| now >= at) {
            (self.answers, self.reports, self.retry_at) = (true, true, None);
        }
    }

    /// The lane to take from now, and how many messages at most; `None` when nothing may go now.
    pub(super) fn next(&self, window: &Window, room: usize, now: Instant) -> Option<(Lane, usize)> {
        if self.answers || (self.reports && self.backlog_to.is_none()) {
            return Some((Lane::Answers, room));
        }
        let paced = if self.is_replaying(window) { room.min(self.pace.room(now)) } else { room };
        (self.reports && paced > 0).then_some((Lane::Reports, paced))
    }

    /// When [`Outlet::next`] may have something though nothing happened.
    pub(super) fn due(&self) -> Option<Instant> {
        // Without a backlog a lane that has more is taken from at once, so that only its pace can hold it up.
        self.retry_at.or_else(|| self.reports.then(|| self.pace.due()))
    }

    fn is_replaying(&self, window: &Window) -> bool {
        self.backlog_to.is_some_and(|to| window.cursor(Lane::Reports) < to)
    }

    /// Takes messages of `lane`.
    ///
    /// # Errors
    /// When the outbox cannot be read; nothing is taken until [`OUTBOX_RETRY`] later.
    pub(super) fn take(
        &mut self,
        lane: Lane,
        limit: usize,
        outbox: &mut dyn Outbox,
        window: &mut Window,
        now: Instant,
    ) -> Result<Vec<OutboxMessage>, OutboxError> {
        let read = self.read(lane, limit, outbox, window);
        match &read {
            Ok(messages) if lane == Lane::Reports && self.is_replaying(window) => self.pace.took(messages.len(), now),
            Ok(_) => {}
            Err(_) => (self.answers, self.reports, self.retry_at) = (false, false, Some(now + OUTBOX_RETRY)),
        }
        read
    }

    fn read(
        &mut self,
        lane: Lane,
        limit: usize,
        outbox: &mut dyn Outbox,
        window: &mut Window,
    ) -> Result<Vec<OutboxMessage>, OutboxError> {
        // Read first: answers up to it are then among those that are found.
        let newest = outbox.newest()?;
        self.backlog_to.get_or_insert(newest);
        let messages = outbox.after(lane, window.cursor(lane), limit)?;
        let more = messages.len() >= limit;
        match lane {
            Lane::Answers => {
                self.answers = more;
                if messages.is_empty() {
                    // So that a backlog of reports is searched for answers once, and not at every change.
                    window.skip(Lane::Answers, newest);
                }
            }
            Lane::Reports => self.reports = more,
        }
        Ok(messages)
    }
}
