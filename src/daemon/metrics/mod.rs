//! What is measured while the daemon runs, and the text that `/metrics` gives of it.
//!
//! Counters rise where things happen: the loop reports what events and steps hold, workers how long they took. What has to
//! be asked of the engine is a snapshot that the loop leaves here once a second, so a scrape waits for nobody. Without
//! scrapes nothing else is done.
//!
//! | file | what it has |
//! | --- | --- |
//! | `families` | every metric: name, kind, labels |
//! | `scrape`, `page` | the text |
//! | `classes` | the bound of series by class |

mod classes;
mod families;
mod page;
mod scrape;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

use self::families::Family;
use super::heartbeat::Heartbeats;
use crate::engine::{
    AdapterEvent, BrokerEvent, Certainty, EmbeddedImage, Event, FrameOutcome, Gauges, ImageResult, IngestOutcome, Note,
    TrainerEvent, TrainingResult, Write,
};
use crate::head::HeadRecord;
use crate::wire::TrainingPhase;
use crate::words::{Component, Keyword as _, Label, TaskId};

// Few buckets each: a histogram with a label is most of what a scrape weighs.
/// Seconds: of stages, from decoding to publishing.
const STAGE_BUCKETS: [f64; 5] = [0.001, 0.01, 0.1, 1.0, 10.0];
/// Seconds: of an image.
const LATENCY_BUCKETS: [f64; 6] = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
/// Seconds: of a stage of a training.
const TRAINING_BUCKETS: [f64; 3] = [1.0, 10.0, 100.0];
/// Seconds: of an answer.
const HTTP_BUCKETS: [f64; 3] = [0.01, 0.1, 1.0];
/// Messages whose way to the broker is timed; of more that wait, the latest.
const TIMED: usize = 1_024;
/// Scrapes that are further apart are single ones.
const SCRAPES: Duration = Duration::from_mins(2);
/// Where a request went that met no route, or was refused before.
const NO_ROUTE: &str = "other";

/// Everything that is measured; it lives as long as the process.
pub(crate) struct Metrics {
    /// When the process began, in Unix time.
    started: f64,
    registry: Registry,
    images: IntCounterVec,
    stages: HistogramVec,
    latency: Histogram,
    training: HistogramVec,
    errors: IntCounterVec,
    requests: IntCounterVec,
    answers: HistogramVec,
    /// When each message was put into the outbox, by number.
    spooled: Mutex<BTreeMap<u64, Instant>>,
    counts: Mutex<Counts>,
    /// When the last scrape was.
    scraped: Mutex<Option<Instant>>,
}

/// What a scrape takes a copy of.
#[derive(Debug, Clone, Default)]
struct Counts {
    /// By task, class and certainty; see [`classes`].
    predictions: BTreeMap<(TaskId, String, Certainty), u64>,
    label_changes: BTreeMap<(TaskId, &'static str), u64>,
    trainings: BTreeMap<(TaskId, TrainingResult), u64>,
    connections: u64,
    published: u64,
    dropped: u64,
    /// What the training that runs is at, and since when.
    training: Option<(TrainingPhase, Instant)>,
    heads: BTreeMap<TaskId, HeadFigures>,
    /// How near the embeddings of each task are to the alarm of drift.
    embedding_drift: BTreeMap<TaskId, f64>,
    /// How everything was, and when.
    gauges: Option<(Instant, Arc<Gauges>)>,
    heartbeats: Heartbeats,
}

/// What the head in service was measured at.
#[derive(Debug, Clone, PartialEq)]
struct HeadFigures {
    accuracy: f64,
    balanced_accuracy: f64,
    /// Of each class, with the number of images.
    recall: Vec<(Label, f64, u64)>,
}

impl Metrics {
    pub fn new() -> Self {
        let registry = Registry::new();
        let images = counters(&registry, &families::IMAGES);
        for result in ImageResult::WORDS {
            images.with_label_values(&[result]);
        }
        let errors = counters(&registry, &families::ERRORS);
        for source in Component::WORDS.iter().chain([&Note::MESSAGES]) {
            errors.with_label_values(&[source]);
        }
        let latency = Histogram::with_opts(opts_of(&families::LATENCY, &LATENCY_BUCKETS)).expect(SOUND);
        registry.register(Box::new(latency.clone())).expect(SOUND);
        Self {
            started: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            images,
            stages: histograms(&registry, &families::STAGES, &STAGE_BUCKETS),
            latency,
            training: histograms(&registry, &families::TRAINING, &TRAINING_BUCKETS),
            errors,
            requests: counters(&registry, &families::REQUESTS),
            answers: histograms(&registry, &families::ANSWERS, &HTTP_BUCKETS),
            spooled: Mutex::default(),
            counts: Mutex::default(),
            scraped: Mutex::default(),
            registry,
        }
    }

    /// The workers whose heartbeats count from now on.
    pub fn supervise(&self, heartbeats: Heartbeats) {
        self.counts().heartbeats = heartbeats;
    }

    /// Whether somebody scrapes regularly, who is to find fresh figures.
    pub fn are_scraped(&self) -> bool {
        lock(&self.scraped).is_some_and(|at| at.elapsed() < SCRAPES)
    }

    /// How everything is now.
    pub fn show(&self, gauges: Gauges) {
        self.counts().gauges = Some((Instant::now(), Arc::new(gauges)));
    }

    /// This event reaches the loop.
    pub fn heard(&self, event: &Event) {
        match event {
            Event::Ingest(read) => {
                if let IngestOutcome::Image(image) = &read.outcome {
                    self.embedded(image);
                }
            }
            Event::Frame(read) => {
                if let FrameOutcome::Image(image) = &read.outcome {
                    self.embedded(image);
                }
            }
            Event::Broker(BrokerEvent::Connected { .. }) => self.counts().connections += 1,
            Event::Broker(BrokerEvent::Delivered { seq }) => self.delivered(*seq),
            Event::Trainer(_, TrainerEvent::Progress { phase, .. }) => self.trains(Some(*phase)),
            Event::Trainer(..) => self.trains(None),
            Event::Adapter(AdapterEvent::EmbeddingDrift(task, _)) => self.embeddings_drift(task, 1.0),
            _ => {}
        }
    }

    fn embedded(&self, image: &EmbeddedImage) {
        self.took("decode", image.decode);
        if !image.embed.is_zero() {
            self.took("embed", image.embed);
        }
    }

    /// A stage of an image's way took so long.
    pub fn took(&self, stage: &str, time: Duration) {
        self.stages.with_label_values(&[stage]).observe(time.as_secs_f64());
    }

    fn delivered(&self, seq: u64) {
        self.counts().published += 1;
        if let Some(at) = lock(&self.spooled).remove(&seq) {
            self.took("publish", at.elapsed());
        }
    }

    /// A training is at this now; `None` when it ended.
    pub fn trains(&self, phase: Option<TrainingPhase>) {
        let mut counts = self.counts();
        let Some((former, since)) = counts.training else {
            // What comes of a training that was cancelled has no beginning.
            counts.training = phase.map(|phase| (phase, Instant::now()));
            return;
        };
        if phase != Some(former) {
            counts.training = phase.map(|phase| (phase, Instant::now()));
            drop(counts);
            self.training.with_label_values(&[word_of(former)]).observe(since.elapsed().as_secs_f64());
        }
    }

    /// A training begins, whatever became of the one before.
    pub fn training_begins(&self) {
        self.counts().training = Some((TrainingPhase::Collecting, Instant::now()));
    }

    /// What these writes will have changed.
    pub fn written(writes: &[Write]) -> Written {
        let mut written = Written::default();
        for write in writes {
            match write {
                Write::Label { task, source, .. } => written.labels.push((task.clone(), source.as_str())),
                Write::Outbox(message) => written.messages.push(message.seq),
                _ => {}
            }
        }
        written
    }

    /// A step was committed, which took so long where that succeeded; `now` is the monotonic time.
    pub fn committed(&self, took: Option<Duration>, written: Written, notes: Vec<Note>, now: Duration) {
        if let Some(took) = took {
            self.took("commit", took);
        }
        if !written.messages.is_empty() {
            let mut spooled = lock(&self.spooled);
            let at = Instant::now();
            spooled.extend(written.messages.into_iter().map(|seq| (seq, at)));
            while spooled.len() > TIMED {
                spooled.pop_first();
            }
        }
        if !written.labels.is_empty() {
            let mut counts = self.counts();
            for key in written.labels {
                *counts.label_changes.entry(key).or_default() += 1;
            }
        }
        for note in notes {
            self.noted(note, took, now);
        }
    }

    fn noted(&self, note: Note, took: Option<Duration>, now: Duration) {
        match note {
            Note::Image(result) => self.images.with_label_values(&[result.as_str()]).inc(),
            Note::Prediction { task, class, certainty } => {
                let counts = &mut *self.counts();
                let tasks = counts.gauges.as_ref().map_or(0, |(_, gauges)| gauges.tasks.len());
                classes::count(tasks, &mut counts.predictions, task, &class, certainty);
            }
            // Nothing was committed.
            Note::Arrived { .. } if took.is_none() => {}
            Note::Arrived { settled, ready_at } => {
                let settled = settled.inspect(|settled| self.took("settle", *settled)).unwrap_or_default();
                self.latency.observe((settled + now.saturating_sub(ready_at)).as_secs_f64());
            }
            Note::Training { task, result } => *self.counts().trainings.entry((task, result)).or_default() += 1,
            Note::Error { source } => self.errors.with_label_values(&[source]).inc(),
            Note::Dropped { messages } => self.counts().dropped += messages,
        }
    }

    /// This head answers for a task now.
    pub fn serves(&self, task: &TaskId, head: Option<&HeadRecord>) {
        let figures = head.and_then(|head| head.figures.as_ref()).map(|figures| {
            let (accuracy, balanced_accuracy) = (figures.accuracy, figures.balanced_accuracy);
            let measured = figures.per_class.iter().filter(|class| class.support > 0);
            let recall = measured.map(|class| (class.class.clone(), class.recall, class.support)).collect();
            HeadFigures { accuracy, balanced_accuracy, recall }
        });
        let mut counts = self.counts();
        counts.embedding_drift.remove(task);
        match figures {
            Some(figures) => _ = counts.heads.insert(task.clone(), figures),
            None => _ = counts.heads.remove(task),
        }
    }

    /// How near the embeddings of a task are to the alarm of drift.
    pub fn embeddings_drift(&self, task: &TaskId, nearness: f64) {
        self.counts().embedding_drift.insert(task.clone(), nearness);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        lock(&self.counts)
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl crate::ports::Metrics for Metrics {
    fn answered(&self, route: Option<&str>, status: u16, took: Duration) {
        self.requests.with_label_values(&[route.unwrap_or(NO_ROUTE), &status.to_string()]).inc();
        if let Some(route) = route {
            self.answers.with_label_values(&[route]).observe(took.as_secs_f64());
        }
    }

    fn text(&self, watchers: usize) -> String {
        *lock(&self.scraped) = Some(Instant::now());
        self.scrape(watchers)
    }
}

/// What a commit changes, as far as it is counted.
#[derive(Debug, Default)]
pub(crate) struct Written {
    labels: Vec<(TaskId, &'static str)>,
    messages: Vec<u64>,
}

/// Names and labels of all metrics are constants, which a test goes through.
const SOUND: &str = "the families are sound, and each is there once";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn opts_of(family: &Family, buckets: &[f64]) -> HistogramOpts {
    HistogramOpts::new(family.name, family.help).buckets(buckets.to_vec())
}

fn counters(registry: &Registry, family: &Family) -> IntCounterVec {
    let counters = IntCounterVec::new(Opts::new(family.name, family.help), family.labels).expect(SOUND);
    registry.register(Box::new(counters.clone())).expect(SOUND);
    counters
}

fn histograms(registry: &Registry, family: &Family, buckets: &[f64]) -> HistogramVec {
    let histograms = HistogramVec::new(opts_of(family, buckets), family.labels).expect(SOUND);
    registry.register(Box::new(histograms.clone())).expect(SOUND);
    histograms
}

fn word_of(phase: TrainingPhase) -> &'static str {
    match phase {
        TrainingPhase::Idle => "idle",
        TrainingPhase::Collecting => "collecting",
        TrainingPhase::Fitting => "fitting",
        TrainingPhase::Tuning => "tuning",
        TrainingPhase::Evaluating => "evaluating",
        TrainingPhase::Promoting => "promoting",
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
