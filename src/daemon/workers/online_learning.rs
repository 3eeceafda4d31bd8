//! The background worker that learns from each label at once, watches for drift, and works out what to ask and what to
//! drop: one thread, one thing after another, none of it in the way of an image.
//!
//! It reads what is committed and sends events; what follows from them is the engine's matter. Its statistics are exact
//! sums ([`crate::train::Learner`]): at a start they are taken from the store and brought in line with the labels of today.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{self, JoinHandle};

use super::{review_query, training_data};
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::serving::Serving;
use crate::engine::{Drifted, Event};
use crate::eval::budget::Why;
use crate::eval::drift::Monitor;
use crate::head::HeadRecord;
use crate::store::{CurrentLabel, Reader, StoreError};
use crate::train::{self, Learner};
use crate::words::{Digest, EmbeddingSpace, Label, SampleId, Timestamp};

/// Files looked at each time whether they are gone: in a day more than a million.
const GONE: usize = 1_000;
/// Samples read at a time.
const CHUNK: usize = 256;
/// New embeddings that may wait; more are not looked at for drift.
const OBSERVED: usize = 64;

/// Something to do.
enum Job {
    Serve(Option<Arc<HeadRecord>>),
    Learn(Vec<SampleId>),
    Settle(Timestamp),
    Review(Option<Timestamp>),
    Evict(usize),
    LookForGone,
    Observed(Observed),
}

/// A new image, as it was served.
#[derive(Debug)]
pub(crate) struct Observed {
    pub group: SampleId,
    /// (dim,)
    pub embedding: Vec<f32>,
    /// What was said of it.
    pub said: Option<Label>,
    pub arrived_at: Timestamp,
}

/// The way to hand it things to do; it never waits.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    jobs: Sender<Job>,
    observed: Arc<AtomicUsize>,
}

impl Handle {
    pub fn serve(&self, champion: Option<Arc<HeadRecord>>) {
        self.send(Job::Serve(champion));
    }

    pub fn learn(&self, ids: Vec<SampleId>) {
        self.send(Job::Learn(ids));
    }

    pub fn settle(&self, before: Timestamp) {
        self.send(Job::Settle(before));
    }

    pub fn review(&self, since: Option<Timestamp>) {
        self.send(Job::Review(since));
    }

    pub fn evict(&self, count: usize) {
        self.send(Job::Evict(count));
    }

    pub fn look_for_gone(&self) {
        self.send(Job::LookForGone);
    }

    /// Lets it see a new image, unless it is too far behind.
    pub fn observe(&self, observed: Observed) {
        if self.observed.fetch_add(1, Ordering::Relaxed) < OBSERVED {
            self.send(Job::Observed(observed));
        } else {
            self.observed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn send(&self, job: Job) {
        // It ends only when the daemon does, or is seen to have ended.
        let _ = self.jobs.send(job);
    }
}

/// What it needs.
pub(crate) struct Parts {
    pub reader: Reader,
    pub space: EmbeddingSpace,
    pub serving: Serving,
    pub heartbeat: Heartbeat,
    pub events: SyncSender<Event>,
    /// Labels given since are evidence that no verdict has seen.
    pub settled: Option<Timestamp>,
    /// Whether labels correct at once.
    pub instant: bool,
    pub seed: u64,
}

/// The worker and the way to it; it ends when every handle is dropped.
pub(crate) fn spawn(parts: Parts) -> io::Result<(Handle, JoinHandle<Result<(), StoreError>>)> {
    let (sender, jobs) = channel();
    let handle = Handle { jobs: sender, observed: Arc::default() };
    let observed = Arc::clone(&handle.observed);
    let thread = thread::Builder::new()
        .name("adapt".into())
        .spawn(move || OnlineWorker::start(parts)?.work(&jobs, &observed))?;
    Ok((handle, thread))
}

struct OnlineWorker {
    parts: Parts,
    learner: Learner,
    /// Of the statistics as they were sent last.
    sent: Option<Digest>,
    champion: Option<Arc<HeadRecord>>,
    /// Up to when labels were seen by a verdict.
    settled: Option<Timestamp>,
    monitor: Option<Monitor>,
    /// Near-duplicates that were said to go and are still in the store: the statistics hold them no longer.
    leaving: Vec<SampleId>,
    /// Group and time of the images observed last.
    arrived: VecDeque<(SampleId, Timestamp)>,
    /// Up to which path files were looked for that are gone.
    looked_for: PathBuf,
}

impl OnlineWorker {
    fn start(parts: Parts) -> Result<Self, StoreError> {
        let statistics = training_data::statistics(&parts.reader, parts.space)?;
        let (learner, settled) = (Learner::new(statistics), parts.settled);
        let arrived = VecDeque::new();
        let mut adapt = Self {
            parts,
            learner,
            sent: None,
            settled,
            champion: None,
            monitor: None,
            leaving: Vec::new(),
            arrived,
            looked_for: PathBuf::new(),
        };
        adapt.catch_up()?;
        // Before the first verdict there is no head to correct.
        if adapt.settled.is_some() {
            for sample in adapt.parts.reader.labelled_since(adapt.settled)? {
                adapt.take(&sample);
            }
        }
        Ok(adapt)
    }

    fn work(mut self, jobs: &Receiver<Job>, observed: &AtomicUsize) -> Result<(), StoreError> {
        let heartbeat = self.parts.heartbeat.clone();
        jobs.iter().try_for_each(|job| heartbeat.during(|| self.do_one(job, observed)))
    }

    fn do_one(&mut self, job: Job, observed: &AtomicUsize) -> Result<(), StoreError> {
        match job {
            Job::Serve(champion) => self.serve(champion)?,
            Job::Learn(ids) => self.learn(&ids)?,
            Job::Settle(before) => self.settle(before)?,
            Job::Review(since) => self.review(since)?,
            Job::Evict(count) => self.evict(count)?,
            Job::LookForGone => self.look_for_gone()?,
            Job::Observed(image) => {
                observed.fetch_sub(1, Ordering::Relaxed);
                self.observe(&image);
            }
        }
        Ok(())
    }

    /// Another head serves: corrections go over it, and what is normal is what it learned from.
    fn serve(&mut self, champion: Option<Arc<HeadRecord>>) -> Result<(), StoreError> {
        self.champion = champion;
        self.correct();
        self.monitor = None;
        if let Some(champion) = &self.champion {
            self.monitor = review_query::monitor(&self.parts.reader, champion, self.parts.seed)?;
        }
        Ok(())
    }

    fn learn(&mut self, ids: &[SampleId]) -> Result<(), StoreError> {
        for sample in self.parts.reader.labels_of(ids)? {
            self.take(&sample);
        }
        self.correct();
        Ok(())
    }

    /// Takes in the present label of a sample, or that it has none any more.
    fn take(&mut self, sample: &CurrentLabel) {
        if let Some(embedding) = &sample.embedding {
            // A label that was taken back has no time; the next verdict settles it.
            let at = sample.labelled_at.unwrap_or(Timestamp(i64::MIN));
            self.learner.learn(sample.id, at, sample.label.as_ref(), embedding);
        }
    }

    /// A verdict saw the labels before this time: they go into the statistics and act by themselves no longer.
    fn settle(&mut self, before: Timestamp) -> Result<(), StoreError> {
        self.settled = Some(before);
        self.learner.settle(before);
        self.catch_up()?;
        self.correct();
        self.send_statistics();
        Ok(())
    }

    /// Makes the statistics hold every label of the store that a verdict saw, also those that were too many to act at
    /// once or changed while nobody looked.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let reader = &self.parts.reader;
        if let Some(settled) = self.settled {
            let newer = reader.labelled_since(Some(settled))?;
            let still = reader.labels_of(&self.leaving)?;
            self.leaving = still.into_iter().map(|sample| sample.id).collect();
            let waiting: BTreeSet<SampleId> =
                newer.iter().map(|sample| sample.id).chain(self.leaving.clone()).collect();
            if let Some(statistics) = train::catch_up(reader, self.learner.statistics(), &waiting)? {
                self.learner = Learner::new(statistics);
                for sample in &newer {
                    self.take(sample);
                }
            }
        }
        if self.learner.is_due()
            && let Err(why) = self.learner.anchor()
        {
            tracing::debug!(%why, "labels do not correct at once yet");
        }
        Ok(())
    }

    /// Puts what the labels since the last verdict correct over the head in service.
    fn correct(&self) {
        let Some(champion) = self.champion.as_ref().filter(|_| self.parts.instant) else { return };
        let (dense, classes) = (&champion.dense, &champion.dense.classes);
        let says = |z: &[f32]| dense.probabilities(z).unwrap_or_else(|_| vec![0.0; classes.len()]);
        let overlay = self.learner.overlay(classes, &says);
        self.parts.serving.correct(&champion.head, Some(overlay).filter(|overlay| !overlay.is_empty()));
    }

    fn review(&self, since: Option<Timestamp>) -> Result<(), StoreError> {
        let percentile = self.parts.serving.rates().percentile;
        let review =
            review_query::review(&self.parts.reader, self.champion.as_deref(), since, percentile, self.parts.seed)?;
        self.send(Event::Reviewed(review));
        Ok(())
    }

    /// Labelled samples go only when the statistics in the store hold them, near-duplicates when they do not: another of
    /// their burst stays and says the same, and a training that holds it out must not remember it.
    fn evict(&mut self, count: usize) -> Result<(), StoreError> {
        let found = review_query::evictable(&self.parts.reader, count, self.learner.statistics())?;
        let twins: Vec<SampleId> =
            found.iter().filter(|sample| sample.why == Why::NearDuplicate).map(|sample| sample.id).collect();
        for ids in twins.chunks(CHUNK) {
            let samples = self.parts.reader.labels_of(ids)?;
            self.learner.forget(samples.iter().filter_map(|sample| Some((sample.id, sample.embedding.as_deref()?))));
        }
        self.leaving.extend(twins);
        if !found.is_empty() {
            self.send_statistics();
        }
        self.send(Event::Evictable(found));
        Ok(())
    }

    /// Looks at the next files that are no sample's, from the beginning again after the last one.
    fn look_for_gone(&mut self) -> Result<(), StoreError> {
        let files = self.parts.reader.files_without_sample(&self.looked_for, GONE)?;
        let last = files.last().filter(|_| files.len() == GONE);
        self.looked_for = last.map(|(path, _)| path.clone()).unwrap_or_default();
        let is_gone =
            |path: &Path| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        let gone: Vec<_> = files.into_iter().filter(|(path, _)| is_gone(path)).collect();
        if !gone.is_empty() {
            self.send(Event::FilesGone(gone));
        }
        Ok(())
    }

    fn observe(&mut self, image: &Observed) {
        let (Some(monitor), Some(champion), Some(said)) = (&mut self.monitor, &self.champion, &image.said) else {
            return;
        };
        let Some(class) = champion.dense.classes.index_of(said) else { return };
        self.arrived.push_back((image.group, image.arrived_at));
        if self.arrived.len() > OBSERVED {
            self.arrived.pop_front();
        }
        if let Some(found) = monitor.observe(&image.embedding, image.group, class) {
            let first = self.arrived.iter().find(|(group, _)| *group == found.recent_from);
            let since = first.map_or(image.arrived_at, |(_, at)| *at);
            self.send(Event::Drifted(Drifted { p_value: found.p_value, since }));
        }
    }

    /// Has the statistics written, a MiB for 512 values, unless that would change nothing.
    fn send_statistics(&mut self) {
        let file = self.learner.statistics().to_bytes();
        let digest = Some(Digest::of(&file));
        if self.sent != digest {
            self.sent = digest;
            self.send(Event::Statistics(file));
        }
    }

    fn send(&self, event: Event) {
        // Nobody listens only when the daemon ends.
        let _ = self.parts.events.send(event);
    }
}

#[cfg(test)]
#[path = "online_learning_tests.rs"]
mod tests;
