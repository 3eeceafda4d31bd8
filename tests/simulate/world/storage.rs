//! The store's shell: one commit for several steps, and what goes on while it takes none, as the daemon does it.

use std::time::Duration;

use edgetuned::engine::{Act, Event, Next, StoreEvent, TaskAct, Write};
use rand::RngExt;

use super::World;

/// How long to wait before a commit that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the store may lag behind what the broker acknowledged.
const LAG: Duration = Duration::from_secs(1);

/// Whether the store takes changes, and what waits for it.
#[derive(Debug, Default)]
pub struct Storage {
    /// Whether it refuses, and then for want of room.
    pub refuses: Option<bool>,
    until: Duration,
    unstored: Option<Unstored>,
    /// Deliveries that it does not know of yet, and since when.
    delivered: Vec<Write>,
    delivered_since: Option<Duration>,
}

/// Changes that are not durable yet, and the acts that wait for them.
#[derive(Debug)]
struct Unstored {
    writes: Vec<Write>,
    acts: Vec<Act>,
    then: Next,
    full: bool,
    tried: Duration,
    since: Duration,
}

impl Storage {
    /// Since when changes wait.
    pub(super) fn waits_since(&self) -> Option<Duration> {
        self.unstored.as_ref().map(|waiting| waiting.since)
    }

    /// What of it dies with the process.
    pub(super) fn forget(&mut self) {
        (self.unstored, self.delivered, self.delivered_since) = (None, Vec::new(), None);
    }

    /// What is to be committed now.
    fn due(&mut self, writes: Vec<Write>, now: Duration) -> Vec<Write> {
        let can_wait = writes.iter().all(|write| matches!(write, Write::DeleteMessage { .. }));
        self.delivered.extend(writes);
        if self.delivered.is_empty() {
            return Vec::new();
        }
        let since = *self.delivered_since.get_or_insert(now);
        if can_wait && now.saturating_sub(since) < LAG {
            return Vec::new();
        }
        self.delivered_since = None;
        std::mem::take(&mut self.delivered)
    }
}

impl World {
    /// The store begins to refuse, or goes over from one reason to the other.
    pub(super) fn storage_faults(&mut self) {
        let now = self.now.mono;
        if self.storage.refuses.is_some() && now >= self.storage.until {
            self.storage.refuses = None;
        } else if self.chance(self.chances.outage) {
            if self.storage.refuses.is_none() {
                self.storage.until = now + Duration::from_millis(self.rng.random_range(200..20_000));
                self.counts.outages += 1;
            }
            self.storage.refuses = Some(self.rng.random_bool(0.5));
        }
    }

    /// Makes the changes durable, if it can be, and returns what can be done now.
    pub(super) fn made_durable(&mut self, writes: Vec<Write>, acts: Vec<Act>, then: Next) -> (Vec<Act>, Next) {
        let now = self.now.mono;
        let writes = self.storage.due(writes, now);
        match (self.storage.unstored.take(), self.storage.refuses) {
            (None, _) if writes.is_empty() => (acts, then),
            (None, None) => {
                self.commit(&writes);
                (acts, then)
            }
            (None, Some(full)) => {
                self.store_failed(full);
                let (free, bound) = acts.into_iter().partition(promises_nothing);
                self.wait(Unstored { writes, acts: bound, then, full, tried: now, since: now }, free)
            }
            (Some(waiting), _) => self.commit_later(waiting, writes, acts, then),
        }
    }

    /// Changes waited before these.
    fn commit_later(
        &mut self,
        mut waiting: Unstored,
        writes: Vec<Write>,
        acts: Vec<Act>,
        then: Next,
    ) -> (Vec<Act>, Next) {
        let now = self.now.mono;
        let is_free = |act: &Act| promises_nothing(act) || matches!(act, Act::Answer { .. } | Act::Query { .. });
        let (free, bound): (Vec<Act>, Vec<Act>) = acts.into_iter().partition(is_free);
        waiting.writes.extend(writes);
        waiting.acts.extend(bound);
        if waiting.then == Next::Continue {
            waiting.then = then;
        }
        if now.saturating_sub(waiting.tried) < RETRY && waiting.then != Next::Exit {
            self.storage.unstored = Some(waiting);
            return (free, Next::Continue);
        }
        let Some(full) = self.storage.refuses else {
            self.observed.late = true;
            self.commit(&waiting.writes);
            self.observed.late = false;
            self.feedback.push(Event::Store(StoreEvent::Recovered));
            return (waiting.acts.into_iter().chain(free).collect(), waiting.then);
        };
        waiting.tried = now;
        if std::mem::replace(&mut waiting.full, full) != full {
            self.store_failed(full);
        }
        self.wait(waiting, free)
    }

    fn store_failed(&mut self, full: bool) {
        let reason = if full { "no space left on the device" } else { "a read-only file system" };
        self.feedback.push(Event::Store(StoreEvent::Unavailable { full, reason: reason.into() }));
    }

    /// Keeps what waits; only the end of the daemon is not waited with.
    fn wait(&mut self, waiting: Unstored, free: Vec<Act>) -> (Vec<Act>, Next) {
        if waiting.then == Next::Exit {
            return (free, Next::Exit);
        }
        self.storage.unstored = Some(waiting);
        (free, Next::Continue)
    }

    /// Before the engine ends: what the broker has got, where that can be noted.
    pub(super) fn note_deliveries(&mut self) {
        let writes = std::mem::take(&mut self.storage.delivered);
        if self.storage.refuses.is_none() {
            self.commit(&writes);
        }
        self.storage.delivered_since = None;
    }

    /// One transaction, change by change under the eyes of the observed.
    pub(super) fn commit(&mut self, writes: &[Write]) {
        self.commit_begins();
        for write in writes {
            if self.is_traced {
                eprintln!("    {write:.200?}");
            }
            self.check_write(write);
            self.model.apply(write);
        }
        self.check_commit();
    }
}

/// Whether an act may go ahead of the changes that were made with it.
fn promises_nothing(act: &Act) -> bool {
    use Act::{
        AdaptToBroker, Burst, FindUnseen, Ingest, IngestFrame, IngestPicture, PauseScans, Publish, Rescan, Stat,
        Systemd, Task,
    };
    matches!(
        act,
        Publish { .. }
            | AdaptToBroker(_)
            | Ingest { .. }
            | IngestFrame { .. }
            | IngestPicture { .. }
            | Burst(_)
            | Stat { .. }
            | Rescan
            | PauseScans(_)
            | FindUnseen { .. }
            | Task(_, TaskAct::Resume(_))
            | Systemd(_)
    )
}
