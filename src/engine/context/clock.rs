//! How far the wall clock can be believed.
//!
//! Edge machines without a battery wake up in 1970, learn the time when the network comes, and are set by hand to
//! another decade. Nothing may be lost over that. What has to be in order (labels, promotions, what a verdict has seen)
//! is stamped with times that never go back. What expires does so by [`Ages`]: the monotonic clock measures what was made
//! in this run, whatever the wall clock did meanwhile; a stamp of a former run counts only if the clock was believed when
//! it was made, and is believed now.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::snapshot::Snapshot;
use super::super::write::Write;
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
const BORN: Timestamp = Timestamp(1_767_225_600_000);
/// Doubted times are stored this far ahead, so that not every look is a write.
const AHEAD: Duration = Duration::from_hours(1);
/// Spans of doubted times that are remembered; more are joined.
const SPANS_MAX: usize = 16;

/// Times that the wall clock showed while it was doubted, over all runs: a stamp within them says nothing of an age.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DoubtedTimes(Vec<[Timestamp; 2]>);

impl DoubtedTimes {
    fn contains(&self, stamp: Timestamp) -> bool {
        self.0.iter().any(|[from, to]| (*from..=*to).contains(&stamp))
    }

    /// Adds the times from `from` to `to`; past the bound the two spans with the least between them become one.
    fn add(&mut self, from: Timestamp, to: Timestamp) {
        self.0.push([from, to]);
        self.0.sort_unstable();
        self.join(|gap| gap <= 0);
        if self.0.len() > SPANS_MAX {
            let least = self.0.windows(2).map(|pair| gap(pair[0], pair[1])).min().unwrap_or(0);
            self.join(|gap| gap <= least);
        }
    }

    fn join(&mut self, is_near: impl Fn(i64) -> bool) {
        self.0.dedup_by(|later, earlier| {
            let joins = is_near(gap(*earlier, *later));
            if joins {
                earlier[1] = earlier[1].max(later[1]);
            }
            joins
        });
    }
}

fn gap(earlier: [Timestamp; 2], later: [Timestamp; 2]) -> i64 {
    later[0].0.saturating_sub(earlier[1].0)
}

/// When something was made that expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Made {
    /// In this run, by the monotonic clock.
    InThisRun(Duration),
    /// In a former run, by the wall clock of then.
    Before(Timestamp),
}

/// The present, and how old things are as far as that can be told.
#[derive(Debug)]
pub struct Ages {
    now: Now,
    is_believed: bool,
    doubted: DoubtedTimes,
    /// This run's beginning, where the clock was believed then and was set since.
    set_since: Option<Now>,
}

impl Ages {
    /// With a clock that was always right.
    #[must_use]
    pub fn believing(now: Now) -> Self {
        Self { now, is_believed: true, doubted: DoubtedTimes::default(), set_since: None }
    }

    /// The present.
    pub(in crate::engine) fn now(&self) -> Now {
        self.now
    }

    /// The age of what was made then; `None` where it is not known, so that nothing may expire by it.
    pub(in crate::engine) fn of(&self, made: Made) -> Option<Duration> {
        let stamp = match made {
            Made::InThisRun(mono) => return Some(self.now.mono.saturating_sub(mono)),
            Made::Before(stamp) => stamp,
        };
        if !self.is_believed || stamp < BORN || self.doubted.contains(stamp) {
            return None;
        }
        // After the clock was set, what it showed before may have been right as well: the lower age counts.
        let before = self.set_since.map(|then| then.wall.since(stamp) + self.now.mono.saturating_sub(then.mono));
        Some(self.now.wall.since(stamp).min(before.unwrap_or(Duration::MAX)))
    }
}

/// What is known of the wall clock.
#[derive(Debug, Default)]
pub(in crate::engine) struct WallClock {
    looked: Option<Now>,
    /// When this run was first looked at.
    began: Option<Now>,
    /// When the clock showed the latest time of this run.
    highest: Option<Now>,
    /// Whether the clock was known to be wrong, or set by nobody yet, before it was set in this run.
    began_in_doubt: bool,
    /// The first time that the clock may have shown since it was set last, where it was set in this run.
    set_to: Option<Timestamp>,
    doubted: DoubtedTimes,
    /// Whether the store lacks some of them.
    has_news: bool,
    /// How far it was set since it was last believed, in milliseconds, and when last.
    jump: Option<(i64, Duration)>,
    /// No stamp is earlier.
    latest: Option<Timestamp>,
    /// The latest stamp of a former run by which something expires.
    stored: Option<Timestamp>,
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

/// How far the wall clock was set between two looks, in milliseconds.
fn set_between(then: Now, now: Now) -> i64 {
    let passed = i64::try_from(now.mono.saturating_sub(then.mono).as_millis()).unwrap_or(i64::MAX);
    now.wall.0.saturating_sub(then.wall.0).saturating_sub(passed)
}

/// The same where the clock did not only drift.
pub(in crate::engine) fn jump_between(then: Now, now: Now) -> Option<i64> {
    Some(set_between(then, now)).filter(|by| by.saturating_abs() > JUMP_MS)
}

impl WallClock {
    /// A clock that stamps nothing earlier than what is stored.
    pub fn new(snapshot: &Snapshot) -> Self {
        let tasks = || snapshot.tasks.values();
        let promoted = tasks().flat_map(|task| &task.heads).filter_map(|head| head.promoted_at);
        let trained = tasks().flat_map(|task| [task.training.began, task.training.settled]).flatten();
        let messages = snapshot.outbox.iter().map(|message| message.made_at);
        let stored = snapshot.awaited.iter().map(|label| label.at).chain(messages).max();
        Self { latest: promoted.chain(trained).max(), stored, doubted: snapshot.doubted.clone(), ..Self::default() }
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
        self.began.get_or_insert(now);
    }

    /// Compares how the wall clock and the monotonic one advanced since the last check.
    fn look(&mut self, now: Now, synced: Option<bool>) {
        let looked = self.looked.replace(now);
        self.began.get_or_insert(now);
        if let Some(before) = looked
            && let Some(step) = jump_between(before, now)
        {
            let so_far = self.jump.map_or(0, |(by, _)| by);
            self.jump = Some((so_far.saturating_add(step), now.mono));
            // It may have been set right after the last look, and things stamped since.
            let passed = i64::try_from(now.mono.saturating_sub(before.mono).as_millis()).unwrap_or(i64::MAX);
            self.set_to = Some(Timestamp(now.wall.0.saturating_sub(passed)));
            // What was stamped before the clock was set ahead is not as old as it says, in later runs either; nor is
            // what was stamped before it had been set back.
            let is_ahead_of = |then: &Now| then.wall > BORN && set_between(*then, now) > JUMP_MS;
            let before = std::iter::once(before).chain(self.highest).filter(is_ahead_of).map(|then| then.wall).max();
            // A former run may have stamped later than this one, before the clock was set back.
            let former = self.stored.filter(|stamp| before.is_some() && now.wall.0.saturating_sub(stamp.0) > JUMP_MS);
            if let Some(latest) = before.max(former) {
                self.doubted.add(BORN, latest);
                self.has_news = true;
            }
        }
        if self.highest.is_none_or(|highest| now.wall > highest.wall) {
            self.highest = Some(now);
        }
        self.jump = self.jump.filter(|(by, at)| {
            let stood = now.mono.saturating_sub(*at);
            by.saturating_abs() > JUMP_MS && stood < SETTLES && !(synced == Some(true) && stood >= AGREES)
        });
    }

    fn doubt(&self, now: Now, synced: Option<bool>) -> Option<Doubt> {
        match self.jump {
            _ if now.wall < BORN => Some(Doubt::BeforeBirth),
            Some((by, _)) => Some(Doubt::Jumped(by)),
            None if synced == Some(false) && now.mono < SETTLES => Some(Doubt::Unsynced),
            None => None,
        }
    }

    /// The ages of things now.
    pub(super) fn ages(&self, now: Now, synced: Option<bool>) -> Ages {
        let set_since = self.began.filter(|_| self.set_to.is_some() && !self.began_in_doubt);
        Ages { now, is_believed: self.doubt(now, synced).is_none(), doubted: self.doubted.clone(), set_since }
    }

    /// Records that what is stamped now has no age for later runs.
    fn note_doubt(&mut self, now: Now) {
        self.began_in_doubt |= self.set_to.is_none();
        // The kernel says only after a while that no time server was heard: until then the clock was doubtful as well.
        let since = self.set_to.or_else(|| self.began.map(|began| began.wall));
        let since = since.map_or(now.wall, |since| since.min(now.wall));
        if [since, now.wall, now.wall.plus(AHEAD / 2)].iter().all(|time| self.doubted.contains(*time)) {
            return;
        }
        self.doubted.add(since, now.wall.plus(AHEAD));
        self.has_news = true;
    }

    /// What is to be stored, where the store lacks some of it.
    fn take_news(&mut self) -> Option<DoubtedTimes> {
        std::mem::take(&mut self.has_news).then(|| self.doubted.clone())
    }
}

impl Cx<'_> {
    /// Checks the clock, and raises an alert when it cannot be right.
    pub fn look_at_clock(&mut self) {
        let synced = self.messages.time_synced();
        self.context.clock.look(self.now, synced);
        let doubt = self.context.clock.doubt(self.now, synced);
        if !self.storage_is_out() {
            if doubt.is_some() {
                self.context.clock.note_doubt(self.now);
            }
            if let Some(doubted) = self.context.clock.take_news() {
                self.write(Write::DoubtedTimes(doubted));
            }
        }
        let (severity, text) = match doubt {
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
