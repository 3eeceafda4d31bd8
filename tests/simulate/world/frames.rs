//! What has to hold of frames: each is reported when it is read and is one sample, who waits for one is answered once, and a
//! camera that stays away is missed.

use std::collections::BTreeMap;
use std::time::Duration;

use edgetuned::engine::{Act, Event, FrameOutcome, StateMachine, Step, StoreEvent, Ticket, Write};
use edgetuned::wire::{AlertId, TaskTopic, Topic};
use edgetuned::words::{Origin, SampleId, SourceId, TaskId};
use serde_json::Value;

use super::World;

/// What becomes true of a camera or a state within this time after it is due.
const SOON: Duration = Duration::from_secs(2);
/// After so many failures in a row a source is reported.
const FAILURES: u64 = 3;

/// What was read of the cameras.
#[derive(Debug, Default)]
pub struct Frames {
    /// Frames that the engine has been told of since the last commit, while it took the store to be well.
    read: Vec<(SampleId, SourceId)>,
    /// How often each was read that shows the present.
    fresh: BTreeMap<SampleId, usize>,
    /// When a task was last shown a frame of the present, since the life began.
    shown: BTreeMap<TaskId, Duration>,
    /// How each source fares as this engine knows it.
    fares: BTreeMap<SourceId, Fare>,
    /// When this engine began, since the life began.
    began: Duration,
    /// Whether the engine knows that nothing can be stored.
    is_outage: bool,
    /// Whether samples to evict were found since the last commit.
    pub(super) is_searched: bool,
}

#[derive(Debug, Default, Clone, Copy)]
struct Fare {
    /// When its last picture was read.
    seen: Duration,
    failures: u64,
}

/// What a step has to do with a frame.
#[derive(Debug)]
pub enum Expected {
    Nothing,
    /// To report it in these tasks, to store its bytes or not where it is new, and to answer who waits.
    Frame {
        id: SampleId,
        source: SourceId,
        tasks: Vec<TaskId>,
        stale: bool,
        is_kept: bool,
        waiter: Option<Ticket>,
    },
    /// To answer these.
    Answers(Vec<Ticket>),
    /// To store no sample.
    NoSample,
}

impl Frames {
    /// Another engine begins.
    pub(super) fn engine_begins(&mut self, now: Duration) {
        self.read.clear();
        self.fares.clear();
        (self.began, self.is_outage, self.is_searched) = (now, false, false);
    }

    /// How often a frame was read that showed the present then.
    pub(super) fn votes(&self, id: &SampleId) -> usize {
        self.fresh.get(id).copied().unwrap_or(0)
    }

    pub(super) fn store_event(&mut self, event: &StoreEvent) {
        self.is_outage = matches!(event, StoreEvent::Unavailable { .. });
    }
}

impl World {
    /// An event of cameras goes to the engine: what has to come of it.
    pub(super) fn expects(&mut self, event: &Event) -> Expected {
        let (elapsed, began) = (self.clock.elapsed, self.observed.frames.began);
        let fresh = Fare { seen: began, failures: 0 };
        match event {
            Event::Frames { news, dropped } => {
                for news in news {
                    let fare = self.observed.frames.fares.entry(news.source.clone()).or_insert(fresh);
                    fare.failures += if news.failure.is_some() { news.counts.failed.max(1) } else { 0 };
                }
                Expected::Answers(dropped.clone())
            }
            Event::Frame(read) => {
                self.frame_is_read();
                let quota = self.settings.quota_bytes;
                let frames = &mut self.observed.frames;
                let fare = frames.fares.entry(read.source.clone()).or_insert(fresh);
                match &read.outcome {
                    FrameOutcome::Image(image) => {
                        *fare = Fare { seen: elapsed, failures: 0 };
                        let tasks: Vec<TaskId> = image.views.iter().map(|view| view.task.clone()).collect();
                        if !read.stale {
                            *frames.fresh.entry(image.id).or_default() += 1;
                            frames.shown.extend(tasks.iter().map(|task| (task.clone(), elapsed)));
                        }
                        if !frames.is_outage {
                            frames.read.push((image.id, read.source.clone()));
                        }
                        Expected::Frame {
                            id: image.id,
                            source: read.source.clone(),
                            tasks,
                            stale: read.stale,
                            is_kept: image.picture.as_ref().is_some_and(|bytes| bytes.len() as u64 <= quota / 32),
                            waiter: read.waiter,
                        }
                    }
                    FrameOutcome::Bad { .. } | FrameOutcome::Unreadable { .. } => {
                        fare.failures += 1;
                        Expected::Answers(read.waiter.into_iter().collect())
                    }
                    FrameOutcome::Gone => Expected::Answers(read.waiter.into_iter().collect()),
                }
            }
            Event::Picture(_) => Expected::NoSample,
            _ => Expected::Nothing,
        }
    }

    /// The step that followed.
    pub(super) fn check_expected(&self, expected: &Expected, step: &Step) {
        let stored = step.writes.iter().filter_map(|write| match write {
            Write::Sample(sample) => Some(sample),
            _ => None,
        });
        let is_answered = |ticket: &Ticket| {
            let of_it = |act: &&Act| matches!(act, Act::Answer { ticket: other, .. } if other == ticket);
            step.acts.iter().filter(of_it).count() == 1
        };
        match expected {
            Expected::Nothing => {}
            Expected::NoSample => assert_eq!(stored.count(), 0, "a kept frame that is read again is stored"),
            Expected::Answers(tickets) => {
                assert!(tickets.iter().all(is_answered), "who waits for a frame is answered once");
            }
            Expected::Frame { id, source, tasks, stale, is_kept, waiter } => {
                assert!(waiter.iter().all(is_answered), "who waits for frame {id} is answered once");
                let mut reported = self.reported_frames(step, id, source, *stale);
                let mut tasks = tasks.clone();
                reported.sort();
                tasks.sort();
                assert_eq!(reported, tasks, "frame {id} of {source} is reported in each task when it is read");
                for sample in stored {
                    let is_its_own = sample.id == *id && sample.origin == Origin::Source(source.clone());
                    assert!(is_its_own, "sample {} is stored when frame {id} is read", sample.id);
                    assert_eq!(sample.picture.is_some(), *is_kept, "the bytes of frame {id} are stored as kept");
                }
            }
        }
    }

    /// The tasks in which a step reports this frame.
    fn reported_frames(&self, step: &Step, id: &SampleId, source: &SourceId, stale: bool) -> Vec<TaskId> {
        let spooled = step.writes.iter().filter_map(|write| match write {
            Write::Outbox(message) => Some((&message.topic, &message.payload)),
            _ => None,
        });
        let direct = step.acts.iter().filter_map(|act| match act {
            Act::Publish { topic, payload } => Some((topic, payload)),
            _ => None,
        });
        let said = |(topic, payload): (&Topic, &Vec<u8>)| {
            let (task, TaskTopic::Prediction) = self.task_of(topic)? else { return None };
            let json: Value = serde_json::from_slice(payload).expect("a prediction is JSON");
            let is_it = json["image"] == id.to_string().as_str() && json["source"] == source.as_str();
            assert_eq!(json["stale"] == true, stale, "frame {id} is said to be of the past");
            is_it.then_some(task)
        };
        spooled.chain(direct).filter_map(said).collect()
    }

    /// A batch was carried out and is durable: each frame that was read is a sample of its source.
    pub(super) fn check_frames(&mut self) {
        self.observed.frames.is_searched = false;
        for (id, source) in std::mem::take(&mut self.observed.frames.read) {
            let origin = self.model.sources.get(&id);
            let is_stored = origin == Some(&source) && self.model.samples.contains(&id);
            let is_there = is_stored || self.observed.was_let_go(&id);
            assert!(is_there, "frame {id} of {source} was read and is no sample of it, but of {origin:?}");
            self.counts.frames += 1;
        }
    }

    /// Time passed: a camera that fails or stays away is reported, and nothing is known of what only it shows.
    pub(super) fn check_cameras(&mut self) {
        if self.settings.sources.is_empty() || self.storage.waits_since().is_some() || !self.feedback.is_empty() {
            return;
        }
        let since = |at: Duration| self.clock.elapsed.saturating_sub(at);
        let frames = &self.observed.frames;
        let connected_for = self.now.mono.saturating_sub(self.broker.connected_at);
        let is_heard = self.connected && self.observed.tasks.is_heard && self.broker.refuses.is_none();
        for source in self.settings.sources.iter().filter(|_| is_heard && connected_for >= SOON) {
            let begun = Fare { seen: frames.began, failures: 0 };
            let Fare { seen, failures } = frames.fares.get(&source.id).copied().unwrap_or(begun);
            let is_up = self.broker.retained.contains_key(&format!("alert/{}", AlertId::Source(source.id.clone())));
            let away = since(seen);
            let has_cause = failures >= FAILURES || away >= source.unknown_after + SOON;
            assert!(is_up || !has_cause, "{} fails {failures} times, is away for {away:?}: no alert", source.id);
            let is_well = failures == 0 && away < source.unknown_after && since(frames.began) > SOON;
            assert!(!is_up || !is_well, "{} sent a picture {away:?} ago, and its alert is up", source.id);
        }
        for task in self.settings.tasks.iter().filter(|task| self.watches_only_sources(&task.id)) {
            let Some(settings) = &task.state else { continue };
            let shown = frames.shown.get(&task.id).copied().unwrap_or_default().max(frames.began);
            if since(shown) < settings.unknown_after + SOON {
                continue;
            }
            let record = self.model.of(&task.id).state.clone();
            let state = StateMachine::new(settings.clone(), record).view().state;
            assert_eq!(state.class(), None, "nothing was shown to {} for {:?}", task.id, since(shown));
        }
    }
}
