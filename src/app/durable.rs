//! Commit first, act afterwards; and what is done while nothing can be committed.
//!
//! Where the disk is full or may not be written, changes wait in memory, with every act that promises them: acknowledgements,
//! answers, trainings, a head coming into service. What promises nothing goes on. The engine hears of it before anything
//! else, and makes next to no changes from then on, so what waits stays small: the batch that failed, and what was under
//! way. (Decision 19.)

use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::effects::Rim;
use super::run::RunError;
use crate::engine::{Effect, Event, Write};
use crate::store::StoreError;
use crate::wire::Topic;
use crate::words::told;

/// How long to wait before a commit that failed for want of room is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Changes that are not durable yet, and the acts that wait for them.
#[derive(Debug)]
pub(super) struct Unstored {
    writes: Vec<Write>,
    acts: Vec<Effect>,
    full: bool,
    tried: Instant,
}

impl Rim {
    /// Makes the changes durable and returns the acts that can be done now, in order.
    ///
    /// # Errors
    /// [`RunError`] when the store fails in a way that does not pass by itself.
    pub(super) fn made_durable(&mut self, writes: Vec<Write>, acts: Vec<Effect>) -> Result<Vec<Effect>, RunError> {
        let now = Instant::now();
        match self.unstored.take() {
            None if writes.is_empty() => Ok(acts),
            None => self.commit(writes, acts, now),
            Some(waiting) => self.commit_later(waiting, writes, acts, now),
        }
    }

    fn commit(&mut self, writes: Vec<Write>, acts: Vec<Effect>, now: Instant) -> Result<Vec<Effect>, RunError> {
        match self.store.commit(&writes) {
            Ok(()) => {
                log_events(&writes);
                Ok(acts)
            }
            Err(error) => {
                let full = self.bears(error, writes.len())?;
                let (free, bound) = acts.into_iter().partition(promises_nothing);
                Ok(self.wait(Unstored { writes, acts: bound, full, tried: now }, free))
            }
        }
    }

    /// Changes waited before these.
    fn commit_later(
        &mut self,
        mut waiting: Unstored,
        writes: Vec<Write>,
        acts: Vec<Effect>,
        now: Instant,
    ) -> Result<Vec<Effect>, RunError> {
        // The engine answers only what it can without a change.
        let free =
            |act: &Effect| promises_nothing(act) || matches!(act, Effect::Answer { .. } | Effect::FindOut { .. });
        let (free, bound): (Vec<Effect>, Vec<Effect>) = acts.into_iter().partition(free);
        waiting.writes.extend(writes);
        waiting.acts.extend(bound);
        if now.duration_since(waiting.tried) < RETRY && !waiting.is_last() {
            self.unstored = Some(waiting);
            return Ok(free);
        }
        match self.store.commit(&waiting.writes) {
            Ok(()) => {
                info!(changes = waiting.writes.len(), "the store takes changes again");
                log_events(&waiting.writes);
                self.heard.push(Event::StoreWorks);
                Ok(waiting.acts.into_iter().chain(free).collect())
            }
            Err(error) => {
                waiting.tried = now;
                let former = waiting.full;
                waiting.full = is_full(&error);
                if former != waiting.full {
                    self.bears(error, waiting.writes.len())?;
                } else if !error.passes() {
                    return Err(error.into());
                }
                Ok(self.wait(waiting, free))
            }
        }
    }

    /// Tells the engine of an error that passes by itself; whether it is for want of room.
    fn bears(&mut self, error: StoreError, changes: usize) -> Result<bool, RunError> {
        if !error.passes() {
            return Err(error.into());
        }
        let (full, reason) = (is_full(&error), told(&error));
        error!(error = reason, changes, "nothing can be stored");
        self.heard.push(Event::StoreFails { full, reason });
        Ok(full)
    }

    /// Keeps what waits; only the end of the daemon is not waited with.
    fn wait(&mut self, waiting: Unstored, mut free: Vec<Effect>) -> Vec<Effect> {
        if waiting.is_last() {
            let changes = waiting.writes.len();
            error!(changes, "ending without the changes that could not be stored; none of them was acknowledged");
            free.push(Effect::Exit);
        } else {
            self.unstored = Some(waiting);
        }
        free
    }
}

impl Unstored {
    fn is_last(&self) -> bool {
        self.acts.iter().any(|act| matches!(act, Effect::Exit))
    }
}

fn is_full(error: &StoreError) -> bool {
    matches!(error, StoreError::Full { .. })
}

/// Whether an act may go ahead of the changes that were made with it.
fn promises_nothing(act: &Effect) -> bool {
    use Effect::{Hold, Ingest, Look, Publish, Scan, Service};
    matches!(act, Publish { .. } | Ingest { .. } | Look { .. } | Scan | Hold(_) | Service(_))
}

/// Events after which somebody may want to look, though the daemon goes on by itself.
const WARNINGS: [&str; 5] = ["quarantined", "error", "update_failed", "rolled_back", "drift"];

/// Events go to the log too: where there is no broker, people look there.
fn log_events(writes: &[Write]) {
    for write in writes {
        if let Write::Outbox(message) = write
            && message.topic == Topic::Event
        {
            let parsed: serde_json::Value = serde_json::from_slice(&message.payload).unwrap_or_default();
            let event = String::from_utf8_lossy(&message.payload);
            if WARNINGS.iter().any(|kind| parsed["event_type"] == *kind) { warn!(%event) } else { info!(%event) }
        }
    }
}
