//! How far the wall clock can be believed.
//!
//! Edge machines without a battery wake up in 1970, learn the time when the network comes, and are set by hand to
//! another decade. Nothing may be lost over that: while the clock is doubted nothing expires by age, and what has to
//! be in order (labels, promotions, what a verdict has seen) is stamped with times that never go back.

use std::time::Duration;

use super::super::snapshot::Snapshot;
use super::Cx;
use crate::wire::{AlertId, Severity};
use crate::words::{Component, Now, Timestamp};

/// Beyond this the wall clock was set and did not only drift.
const JUMP_MS: i64 = 3_600_000;
/// A changed clock is trusted after this long, or when a time server agrees.
const SETTLES: Duration = Duration::from_hours(24);
/// How long a time server may take to say that the clock it set is not its own.
const AGREES: Duration = Duration::from_mins(1);
/// 2026-01-01T00:00:00Z: this program is younger.
pub(in crate::engine) const BORN: Timestamp = Timestamp(1_767_225_600_000);

/// What is known of the wall clock.
#[derive(Debug, Default)]
pub(in crate::engine) struct WallClock {
    looked: Option<Now>,
    /// How far it was set since it was last believed, in milliseconds, and when last.
    jump: Option<(i64, Duration)>,
    /// No stamp is earlier.
    latest: Option<Timestamp>,
}

/// Why the wall clock is doubted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// It is older than this program.
    BeforeBirth,
    /// It was changed by this many milliseconds.
    Jumped(i64),
    /// No time server has agreed yet.
    Unsynced,
}

impl WallClock {
    /// A clock that stamps nothing earlier than what is stored.
    pub fn new(snapshot: &Snapshot) -> Self {
        let promoted = snapshot.heads.iter().filter_map(|head| head.promoted_at);
        let trained = [snapshot.training.began, snapshot.training.settled].into_iter().flatten();
        Self { latest: promoted.chain(trained).max(), ..Self::default() }
    }

    /// The time of something that must come after all before it.
    pub fn monotonic_stamp(&mut self, wall: Timestamp) -> Timestamp {
        let stamp = match self.latest {
            Some(latest) if wall < latest => Timestamp(latest.0.saturating_add(1)),
            _ => wall,
        };
        self.latest = Some(stamp);
        stamp
    }

    /// An engine begins: a clock that is set from now on is noticed.
    pub fn begin(&mut self, now: Now) {
        self.looked.get_or_insert(now);
    }

    /// Compares how the wall clock and the monotonic one advanced since the last check.
    /// Returns by how many milliseconds it was set since then, where it was.
    fn look(&mut self, now: Now, synced: Option<bool>) -> Option<i64> {
        let looked = self.looked.replace(now);
        let mut set_by = None;
        if let Some(before) = looked {
            let passed = i64::try_from(now.mono.saturating_sub(before.mono).as_millis()).unwrap_or(i64::MAX);
            let step = now.wall.0.saturating_sub(before.wall.0).saturating_sub(passed);
            if step.saturating_abs() > JUMP_MS {
                let so_far = self.jump.map_or(0, |(by, _)| by);
                self.jump = Some((so_far.saturating_add(step), now.mono));
                set_by = Some(step);
            }
        }
        self.jump = self.jump.filter(|(by, at)| {
            let stood = now.mono.saturating_sub(*at);
            by.saturating_abs() > JUMP_MS && stood < SETTLES && !(synced == Some(true) && stood >= AGREES)
        });
        set_by
    }

    fn doubt(&self, now: Now, synced: Option<bool>) -> Option<Doubt> {
        match self.jump {
            _ if now.wall < BORN => Some(Doubt::BeforeBirth),
            Some((by, _)) => Some(Doubt::Jumped(by)),
            None if synced == Some(false) && now.mono < SETTLES => Some(Doubt::Unsynced),
            None => None,
        }
    }

    /// Whether ages by the clock can be trusted.
    pub fn is_believed(&self, now: Now, synced: Option<bool>) -> bool {
        self.doubt(now, synced).is_none()
    }
}

impl Cx<'_> {
    /// Checks the clock, and raises an alert when it cannot be right. Returns by how many milliseconds it was set since
    /// the last check, where it was: what waits with the time of its arrival is no older for that.
    pub fn look_at_clock(&mut self) -> Option<i64> {
        let synced = self.messages.time_synced();
        let set_by = self.context.clock.look(self.now, synced);
        // Before anything is written with the new time.
        if let Some(by_ms) = set_by {
            self.clock_was_set(by_ms);
        }
        self.report_doubt(synced);
        set_by
    }

    fn report_doubt(&mut self, synced: Option<bool>) {
        let (severity, text) = match self.context.clock.doubt(self.now, synced) {
            None | Some(Doubt::Unsynced) => return self.clear(AlertId::Clock),
            Some(Doubt::BeforeBirth) => (
                Severity::Error,
                "the clock shows a time before this program was built, so every reported time is wrong; set it, or use \
                 a time server (timedatectl)"
                    .to_owned(),
            ),
            Some(Doubt::Jumped(by)) => (
                Severity::Warning,
                format!(
                    "the clock was changed by {:+.1} h; nothing expires by age until it has been steady for a day or a \
                     time server agrees; times from before and after the change are not comparable, check the clock \
                     with 'timedatectl'",
                    by as f64 / 3_600_000.0
                ),
            ),
        };
        if self.raise(AlertId::Clock, severity, text.clone()) {
            self.error(Component::Clock, text);
        }
    }
}

#[cfg(test)]
#[path = "clock_tests.rs"]
mod tests;
