//! Commit first, act afterwards; and what is done while nothing can be committed.
//!
//! Where the disk is full or may not be written, changes wait in memory, with every act that promises them:
//! acknowledgements, answers, trainings, a head going live. Everything else goes on. The engine is notified before
//! anything else, and makes next to no changes from then on, so what waits stays small: the batch that failed, and
//! what was under way. (Decision 19.)
//!
//! That a message was delivered promises nothing to anybody: to forget it only sends the message again. Such changes
//! wait for the next commit, a minute at most ([`Delivered`]), which spares flash a synchronised write for each
//! message.

use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use crate::engine::{Act, Next, OutboxMessage, Step, StoreEvent, TaskAct, Write};
use crate::mqtt::WINDOW;
use crate::store::{Reader, Store, StoreError};
use crate::wire::TaskTopic;
use crate::words::error_chain;

/// How long to wait before a commit that failed because the disk is full is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// How long the store may lag behind what the broker acknowledged.
const LAG: Duration = Duration::from_mins(1);

/// Deliveries that the store does not know of yet.
#[derive(Debug, Default)]
struct Delivered {
    writes: Vec<Write>,
    since: Option<Instant>,
}

impl Delivered {
    /// What is to be committed now, of these changes and of those that waited: all or nothing.
    fn due(&mut self, writes: Vec<Write>, now: Instant) -> Vec<Write> {
        let can_wait = writes.iter().all(|write| matches!(write, Write::DeleteMessage { .. }));
        self.writes.extend(writes);
        if self.writes.is_empty() {
            return Vec::new();
        }
        let since = *self.since.get_or_insert(now);
        // As many messages as may be in flight: that many more may arrive twice after a crash.
        if can_wait && self.writes.len() < WINDOW && now.duration_since(since) < LAG {
            return Vec::new();
        }
        self.take()
    }

    fn take(&mut self) -> Vec<Write> {
        self.since = None;
        std::mem::take(&mut self.writes)
    }
}

/// What may be done by now: whatever it promises is durable.
#[derive(Debug, Default)]
pub(super) struct Durable {
    pub acts: Vec<Act>,
    pub then: Next,
    /// What the engine has to know of the store in its next step.
    pub event: Option<StoreEvent>,
    /// Messages of the batch that were published instead of being stored, by `seq`.
    pub published: Vec<u64>,
    /// How long the commit took, where there was one.
    pub took: Option<Duration>,
}

/// Changes that are not durable yet, and the acts that wait for them.
#[derive(Debug)]
struct Unstored {
    step: Step,
    full: bool,
    tried: Instant,
}

/// The one writer of the database, and what waits for it.
#[derive(Debug)]
pub(super) struct Committer {
    store: Store,
    /// Deliveries that go into the next commit.
    delivered: Delivered,
    /// Changes that could not be committed, with the acts that wait for them.
    unstored: Option<Unstored>,
}

impl Committer {
    /// Closes the store; see [`Store::close`].
    pub(super) fn close(self) -> Result<bool, StoreError> {
        self.store.close()
    }

    pub(super) fn new(store: Store) -> Self {
        Self { store, delivered: Delivered::default(), unstored: None }
    }

    /// A connection of its own for another thread.
    ///
    /// # Errors
    /// As [`Store::reader`].
    pub(super) fn reader(&self) -> Result<Reader, StoreError> {
        self.store.reader()
    }

    /// Whether changes wait for a later commit.
    pub(super) fn waits(&self) -> bool {
        !self.delivered.writes.is_empty() || self.unstored.is_some()
    }

    /// Makes the changes durable and returns what can be done now, in order. Predictions that cannot be stored go to
    /// `publish`, as the engine sends those that come later; it returns false where the broker is not there, and they
    /// wait like all other changes.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails permanently.
    pub(super) fn make_durable(
        &mut self,
        step: Step,
        publish: &dyn Fn(&OutboxMessage) -> bool,
    ) -> Result<Durable, StoreError> {
        let now = Instant::now();
        let step = Step { writes: self.delivered.due(step.writes, now), ..step };
        match self.unstored.take() {
            None if step.writes.is_empty() => Ok(Durable { acts: step.acts, then: step.then, ..Durable::default() }),
            None => self.commit(step, now, publish),
            Some(waiting) => self.commit_later(waiting, step, now),
        }
    }

    /// Notes what the broker has got before the engine ends; where that fails, it gets it again.
    pub(super) fn note_deliveries(&mut self) {
        let writes = self.delivered.take();
        if !writes.is_empty()
            && let Err(error) = self.store.commit(&writes)
        {
            warn!(
                error = error_chain(&error),
                "cannot record which messages the broker has received; they will be sent again"
            );
        }
    }

    fn commit(
        &mut self,
        step: Step,
        now: Instant,
        publish: &dyn Fn(&OutboxMessage) -> bool,
    ) -> Result<Durable, StoreError> {
        let Step { writes, acts, then, .. } = step;
        match self.store.commit(&writes) {
            Ok(()) => Ok(Durable { acts, then, took: Some(now.elapsed()), ..Durable::default() }),
            Err(error) => {
                let full = is_full(&error);
                let event = unavailable(error, writes.len())?;
                let (writes, published) = publish_predictions(writes, publish);
                let (free, bound) = acts.into_iter().partition(promises_nothing);
                let step = Step { writes, acts: bound, then, ..Step::default() };
                let waiting = Unstored { step, full, tried: now };
                Ok(Durable { event: Some(event), published, ..self.wait(waiting, free) })
            }
        }
    }

    /// Changes waited before these.
    fn commit_later(&mut self, mut waiting: Unstored, step: Step, now: Instant) -> Result<Durable, StoreError> {
        let (free, bound): (Vec<Act>, Vec<Act>) = step.acts.into_iter().partition(is_free_in_an_outage);
        waiting.step.append(Step { acts: bound, ..step });
        if now.duration_since(waiting.tried) < RETRY && !waiting.is_last() {
            self.unstored = Some(waiting);
            return Ok(Durable { acts: free, ..Durable::default() });
        }
        match self.store.commit(&waiting.step.writes) {
            Ok(()) => {
                let Step { writes, mut acts, then, .. } = waiting.step;
                info!(changes = writes.len(), "the store accepts changes again");
                acts.extend(free);
                let event = Some(StoreEvent::Recovered);
                Ok(Durable { acts, then, event, took: Some(now.elapsed()), ..Durable::default() })
            }
            Err(error) => {
                waiting.tried = now;
                let former = waiting.full;
                waiting.full = is_full(&error);
                let event = if former != waiting.full {
                    Some(unavailable(error, waiting.step.writes.len())?)
                } else if error.passes() {
                    None
                } else {
                    return Err(error);
                };
                Ok(Durable { event, ..self.wait(waiting, free) })
            }
        }
    }

    /// Keeps what waits; only the end of the daemon is not waited with.
    fn wait(&mut self, waiting: Unstored, free: Vec<Act>) -> Durable {
        if waiting.is_last() {
            let changes = waiting.step.writes.len();
            error!(changes, "exiting without the changes that could not be stored; none of them was acknowledged");
            return Durable { acts: free, then: Next::Exit, ..Durable::default() };
        }
        self.unstored = Some(waiting);
        Durable { acts: free, ..Durable::default() }
    }
}

impl Unstored {
    fn is_last(&self) -> bool {
        self.step.then == Next::Exit
    }
}

/// Publishes the predictions among `writes`; what is left to be stored, and the numbers of the published messages.
fn publish_predictions(mut writes: Vec<Write>, publish: &dyn Fn(&OutboxMessage) -> bool) -> (Vec<Write>, Vec<u64>) {
    let mut published = Vec::new();
    writes.retain(|write| match write {
        Write::Outbox(message) if message.topic.of_task() == Some(TaskTopic::Prediction) && publish(message) => {
            published.push(message.seq);
            false
        }
        _ => true,
    });
    (writes, published)
}

/// The report of a temporary error.
///
/// # Errors
/// The error itself when it does not pass.
fn unavailable(error: StoreError, changes: usize) -> Result<StoreEvent, StoreError> {
    if !error.passes() {
        return Err(error);
    }
    let (full, reason) = (is_full(&error), error_chain(&error));
    error!(error = reason, changes, "nothing can be stored");
    Ok(StoreEvent::Unavailable { full, reason })
}

fn is_full(error: &StoreError) -> bool {
    matches!(error, StoreError::Full { .. })
}

/// Whether an act may go ahead of the changes that were made with it.
fn promises_nothing(act: &Act) -> bool {
    use Act::{
        AdaptToBroker, Burst, FindUnseen, Ingest, IngestFrame, IngestPicture, PauseScans, Publish, Rescan, Show, Stat,
        Systemd, Task,
    };
    matches!(
        act,
        Publish { .. }
            | Show { .. }
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

/// The same while the engine knows that nothing can be stored: it answers only what it can without a change, and events
/// go to the broker unstored.
fn is_free_in_an_outage(act: &Act) -> bool {
    promises_nothing(act) || matches!(act, Act::Answer { .. } | Act::Query { .. } | Act::LogEvent(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Envelope, EventKind, EventReport};
    use crate::words::{TaskId, Timestamp};

    const REMOVE: Write = Write::DeleteMessage { seq: 7 };

    #[test]
    fn deliveries_wait_for_the_next_commit_and_a_minute_at_most() {
        let (mut delivered, begun) = (Delivered::default(), Instant::now());
        assert!(delivered.due(vec![], begun).is_empty());
        assert!(delivered.due(vec![REMOVE], begun).is_empty());
        let both = delivered.due(vec![Write::SeqReserved(9), REMOVE], begun);
        assert!(
            matches!(both[..], [Write::DeleteMessage { .. }, Write::SeqReserved(9), Write::DeleteMessage { .. }]),
            "in order: {both:?}"
        );
        let later = begun + 10 * LAG;
        assert!(delivered.due(vec![REMOVE], later).is_empty(), "the time counts from the first one that waits");
        assert!(delivered.due(vec![], later + LAG / 2).is_empty());
        assert_eq!(delivered.due(vec![], later + LAG).len(), 1, "a tick is enough");
    }

    #[test]
    fn the_journal_has_an_event_with_its_commit_and_at_once_while_nothing_can_be_stored() {
        let envelope = Envelope::new(Timestamp(0), 1, "boot");
        let kind = EventKind::Stopped { reason: "asked to stop".into() };
        let log = Act::LogEvent(Box::new(EventReport { envelope, task: None, kind }));
        assert!(!promises_nothing(&log), "what the batch changed is not durable yet");
        assert!(is_free_in_an_outage(&log), "it goes to the broker as it is, and to the journal too");
    }

    #[test]
    fn after_a_start_the_stored_champion_serves_though_nothing_can_be_stored() {
        assert!(promises_nothing(&Act::Task(TaskId::default(), TaskAct::Resume(3))));
        assert!(
            !promises_nothing(&Act::Task(TaskId::default(), TaskAct::Serve(Some(3)))),
            "a promotion waits until it is durable"
        );
    }

    #[test]
    fn no_more_wait_than_may_be_in_flight() {
        let (mut delivered, now) = (Delivered::default(), Instant::now());
        for _ in 1..WINDOW {
            assert!(delivered.due(vec![REMOVE], now).is_empty());
        }
        assert_eq!(delivered.due(vec![REMOVE], now).len(), WINDOW);
    }
}
