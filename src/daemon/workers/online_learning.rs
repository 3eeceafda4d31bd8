//! The online worker: learns from each label at once, watches for drift, and works out what to review and what to
//! evict, one task after another on one thread, without delaying an image.
//!
//! It reads what is committed and sends events; the engine decides what follows. Its statistics are exact sums
//! ([`crate::train::OnlineLearner`]): at a start they are read from the store and brought up to date with the current
//! labels.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{self, JoinHandle};

use super::{review_query, training_data};
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::serving::Serving;
use crate::engine::{AdapterEvent, EmbeddingDrift, Event, JobId};
use crate::eval::budget::Why;
use crate::eval::drift::Monitor;
use crate::head::HeadRecord;
use crate::store::{CurrentLabel, Reader, StoreError};
use crate::train::{self, OnlineLearner};
use crate::words::{Digest, EmbeddingSpace, Label, SampleId, TaskId, Timestamp};

/// Samples read at a time.
const CHUNK: usize = 256;
/// New embeddings that may wait; further ones are not examined for drift.
const OBSERVED: usize = 64;

/// A task for the worker.
enum Job {
    Serve(Option<Arc<HeadRecord>>),
    Learn(Vec<SampleId>),
    FoldInLabels(Timestamp),
    Review(Option<Timestamp>),
    Evict(usize),
    Forget(JobId, Vec<SampleId>),
    Observed(Observed),
}

/// A new image with its prediction.
#[derive(Debug)]
pub(crate) struct Observed {
    pub group: SampleId,
    /// (dim,)
    pub embedding: Vec<f32>,
    /// The predicted class.
    pub predicted: Option<Label>,
    pub arrived_at: Timestamp,
}

/// The worker's queue; queueing a task never blocks.
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

    pub fn fold_in_labels(&self, before: Timestamp) {
        self.send(Job::FoldInLabels(before));
    }

    pub fn review(&self, since: Option<Timestamp>) {
        self.send(Job::Review(since));
    }

    pub fn evict(&self, count: usize) {
        self.send(Job::Evict(count));
    }

    pub fn forget(&self, job: JobId, ids: Vec<SampleId>) {
        self.send(Job::Forget(job, ids));
    }

    /// Passes on a new image, unless the worker is too far behind.
    pub fn observe(&self, observed: Observed) {
        if self.observed.fetch_add(1, Ordering::Relaxed) < OBSERVED {
            self.send(Job::Observed(observed));
        } else {
            self.observed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn send(&self, job: Job) {
        // The worker ends only when the daemon does, or the supervisor notices.
        let _ = self.jobs.send(job);
    }
}

/// What the worker needs.
pub(crate) struct Parts {
    pub reader: Reader,
    pub space: EmbeddingSpace,
    pub serving: Serving,
    pub heartbeat: Heartbeat,
    pub events: SyncSender<Event>,
    /// Labels given since then are evidence that no verdict has seen.
    pub folded_in_until: Option<Timestamp>,
    /// Whether labels correct predictions at once.
    pub instant: bool,
    pub seed: u64,
}

/// Starts the worker; it ends when every handle is dropped.
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
    learner: OnlineLearner,
    /// Digest of the statistics that were sent last.
    sent: Option<Digest>,
    champion: Option<Arc<HeadRecord>>,
    /// The time up to which a verdict has seen the labels.
    folded_in_until: Option<Timestamp>,
    monitor: Option<Monitor>,
    /// Samples that are to go and are still stored: near-duplicates, and what is forgotten by request. The statistics no
    /// longer hold them.
    leaving: Vec<SampleId>,
    /// Group and time of the images observed last.
    arrived: VecDeque<(SampleId, Timestamp)>,
}

impl OnlineWorker {
    fn start(parts: Parts) -> Result<Self, StoreError> {
        let statistics = training_data::statistics(&parts.reader, parts.space)?;
        let (learner, folded_in_until) = (OnlineLearner::new(statistics), parts.folded_in_until);
        let arrived = VecDeque::new();
        let mut worker = Self {
            parts,
            learner,
            sent: None,
            folded_in_until,
            champion: None,
            monitor: None,
            leaving: Vec::new(),
            arrived,
        };
        worker.catch_up()?;
        // Before the first verdict there is no head to correct.
        if worker.folded_in_until.is_some() {
            for sample in worker.parts.reader.labelled_since(&TaskId::default(), worker.folded_in_until)? {
                worker.take(&sample);
            }
        }
        Ok(worker)
    }

    fn work(mut self, jobs: &Receiver<Job>, observed: &AtomicUsize) -> Result<(), StoreError> {
        let heartbeat = self.parts.heartbeat.clone();
        jobs.iter().try_for_each(|job| heartbeat.during(|| self.do_one(job, observed)))
    }

    fn do_one(&mut self, job: Job, observed: &AtomicUsize) -> Result<(), StoreError> {
        match job {
            Job::Serve(champion) => self.serve(champion)?,
            Job::Learn(ids) => self.learn(&ids)?,
            Job::FoldInLabels(before) => self.fold_in_labels(before)?,
            Job::Review(since) => self.review(since)?,
            Job::Evict(count) => self.evict(count)?,
            Job::Forget(job, ids) => self.forget(job, ids)?,
            Job::Observed(image) => {
                observed.fetch_sub(1, Ordering::Relaxed);
                self.observe(&image);
            }
        }
        Ok(())
    }

    /// Another head serves: corrections apply to it, and drift is measured against its training data.
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
        // What is learned stays after all.
        self.leaving.retain(|id| !ids.contains(id));
        for sample in self.parts.reader.labels_of(&TaskId::default(), ids)? {
            self.take(&sample);
        }
        self.correct();
        Ok(())
    }

    /// Learns the current label of a sample, or that it has none any more.
    fn take(&mut self, sample: &CurrentLabel) {
        if let Some(embedding) = &sample.embedding {
            // A label that was removed has no time; the next verdict folds it in.
            let at = sample.labelled_at.unwrap_or(Timestamp(i64::MIN));
            self.learner.learn(sample.id, at, sample.label.as_ref(), embedding);
        }
    }

    /// A verdict has seen the labels before this time: they are folded into the statistics and stop acting as evidence.
    fn fold_in_labels(&mut self, before: Timestamp) -> Result<(), StoreError> {
        self.folded_in_until = Some(before);
        self.learner.fold_in(before);
        self.catch_up()?;
        self.correct();
        self.send_statistics();
        Ok(())
    }

    /// Makes the statistics contain every label of the store that a verdict saw, also those that were too many to act
    /// at once or changed while the daemon was not running.
    fn catch_up(&mut self) -> Result<(), StoreError> {
        let reader = &self.parts.reader;
        if let Some(folded_in_until) = self.folded_in_until {
            let newer = reader.labelled_since(&TaskId::default(), Some(folded_in_until))?;
            let still = reader.labels_of(&TaskId::default(), &self.leaving)?;
            self.leaving = still.into_iter().map(|sample| sample.id).collect();
            let waiting: BTreeSet<SampleId> =
                newer.iter().map(|sample| sample.id).chain(self.leaving.clone()).collect();
            let rows = training_data::TaskRows { reader, task: &TaskId::default() };
            if let Some(statistics) = train::catch_up(&rows, self.learner.statistics(), &waiting)? {
                self.learner = OnlineLearner::new(statistics);
                for sample in &newer {
                    self.take(sample);
                }
            }
        }
        if self.learner.should_refactorise()
            && let Err(why) = self.learner.refactorise()
        {
            tracing::debug!(%why, "labels do not take effect at once yet");
        }
        Ok(())
    }

    /// Replaces the corrections of the head in service by those of the labels since the last verdict.
    fn correct(&self) {
        let Some(champion) = self.champion.as_ref().filter(|_| self.parts.instant) else { return };
        let (dense, classes) = (&champion.dense, &champion.dense.classes);
        let probabilities = |z: &[f32]| dense.probabilities(z).unwrap_or_else(|_| vec![0.0; classes.len()]);
        let overlay = self.learner.overlay(classes, &probabilities);
        self.parts.serving.correct(&champion.head, Some(overlay).filter(|overlay| !overlay.is_empty()));
    }

    fn review(&self, since: Option<Timestamp>) -> Result<(), StoreError> {
        let percentile = self.parts.serving.rates().percentile;
        let review =
            review_query::review(&self.parts.reader, self.champion.as_deref(), since, percentile, self.parts.seed)?;
        self.send(Event::Adapter(AdapterEvent::ReviewListReady(review)));
        Ok(())
    }

    /// Labelled samples are evicted only when the stored statistics hold them, near-duplicates only when they do not:
    /// another of their burst stays and has the same information, and a training that holds it out must not have seen
    /// it by replay.
    fn evict(&mut self, count: usize) -> Result<(), StoreError> {
        let found = review_query::evictable(&self.parts.reader, count, self.learner.statistics())?;
        let twins: Vec<SampleId> =
            found.iter().filter(|sample| sample.why == Why::NearDuplicate).map(|sample| sample.id).collect();
        self.let_go(&twins)?;
        if !found.is_empty() {
            self.send_statistics();
        }
        self.send(Event::Adapter(AdapterEvent::EvictionCandidates(found)));
        Ok(())
    }

    /// Takes samples out of the statistics and the corrections, as if they had never had a label. They are deleted with
    /// the statistics that are sent.
    fn forget(&mut self, job: JobId, ids: Vec<SampleId>) -> Result<(), StoreError> {
        self.let_go(&ids)?;
        self.correct();
        let file = self.learner.statistics().to_bytes();
        self.sent = Some(Digest::of(&file));
        self.send(Event::Adapter(AdapterEvent::StatisticsWithout { job, ids, file }));
        Ok(())
    }

    fn let_go(&mut self, ids: &[SampleId]) -> Result<(), StoreError> {
        for ids in ids.chunks(CHUNK) {
            let samples = self.parts.reader.labels_of(&TaskId::default(), ids)?;
            self.learner.forget(samples.iter().filter_map(|sample| Some((sample.id, sample.embedding.as_deref()?))));
        }
        self.leaving.extend(ids);
        Ok(())
    }

    fn observe(&mut self, image: &Observed) {
        let (Some(monitor), Some(champion), Some(predicted)) = (&mut self.monitor, &self.champion, &image.predicted)
        else {
            return;
        };
        let Some(class) = champion.dense.classes.index_of(predicted) else { return };
        self.arrived.push_back((image.group, image.arrived_at));
        if self.arrived.len() > OBSERVED {
            self.arrived.pop_front();
        }
        if let Some(found) = monitor.observe(&image.embedding, image.group, class) {
            let first = self.arrived.iter().find(|(group, _)| *group == found.recent_from);
            let since = first.map_or(image.arrived_at, |(_, at)| *at);
            self.send(Event::Adapter(AdapterEvent::EmbeddingDrift(EmbeddingDrift { p_value: found.p_value, since })));
        }
    }

    /// Sends the statistics to be stored (1 MiB for 512 values), unless they are unchanged.
    fn send_statistics(&mut self) {
        let file = self.learner.statistics().to_bytes();
        let digest = Some(Digest::of(&file));
        if self.sent != digest {
            self.sent = digest;
            self.send(Event::Adapter(AdapterEvent::StatsCheckpoint(file)));
        }
    }

    fn send(&self, event: Event) {
        // There is no receiver only when the daemon ends.
        let _ = self.parts.events.send(event);
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::sync::mpsc::sync_channel;

    use super::*;
    use crate::daemon::serving::Scoring;
    use crate::engine::{LabelSource, Look, NewSample, Write};
    use crate::head::{BackboneRef, DoubtRates};
    use crate::store::{OpenOptions, Precision, SpacesInUse, Store};

    fn id(n: u8) -> SampleId {
        SampleId::of(&[n])
    }

    fn space() -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 }
    }

    fn label(n: u8, at: i64) -> Write {
        let label = Label::new(if n.is_multiple_of(2) { "gear" } else { "nut" }).ok();
        Write::Label {
            task: TaskId::default(),
            id: id(n),
            label,
            source: LabelSource::Mqtt,
            at: Timestamp(at),
            change: None,
        }
    }

    /// Forty samples, of which the first twenty are labelled.
    fn store(folder: &Path) -> Store {
        let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim: 2 };
        let options =
            OpenOptions { spaces: SpacesInUse::whole(space()), backbone: &backbone, precision: Precision::F32 };
        let mut store = Store::open(folder, &options).unwrap();
        let sample = |n: u8| NewSample {
            id: id(n),
            path: PathBuf::from(format!("/srv/{n}.jpg")),
            bytes: 1,
            arrived_at: Timestamp(0),
            embeddings: vec![(space(), vec![1.0, f32::from(n)])],
            group: id(n),
            looks: vec![Look { task: TaskId::default(), space: space(), predicted: None }],
        };
        let samples = (0..40).map(|n| Write::Sample(Box::new(sample(n))));
        store.commit(&samples.chain((0..20).map(|n| label(n, 1))).collect::<Vec<_>>()).unwrap();
        store
    }

    fn worker(store: &Store, events: SyncSender<Event>) -> OnlineWorker {
        OnlineWorker::start(Parts {
            reader: store.reader().unwrap(),
            space: space(),
            serving: Serving::new(Scoring { top_k: 1, rates: DoubtRates::DEFAULT }),
            heartbeat: Heartbeat::default(),
            events,
            folded_in_until: None,
            instant: true,
            seed: 0,
        })
        .unwrap()
    }

    #[test]
    fn what_is_forgotten_is_in_no_statistics_before_and_after_it_is_deleted() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(folder.path());
        let (events, heard) = sync_channel(64);
        let mut worker = worker(&store, events);
        worker.fold_in_labels(Timestamp(2)).unwrap();
        store.commit(&[label(30, 3)]).unwrap();
        worker.learn(&[id(30)]).unwrap();
        assert_eq!((worker.learner.statistics().contributors().count(), worker.learner.evidence()), (20, 1));
        worker.forget(7, vec![id(0), id(30), id(39)]).unwrap();
        // A verdict comes before they are deleted.
        worker.fold_in_labels(Timestamp(9)).unwrap();
        let sent = |event: Event| match event {
            Event::Adapter(AdapterEvent::StatisticsWithout { job: 7, ids, file }) => Some((ids, file)),
            _ => None,
        };
        let (ids, file) = heard.try_iter().find_map(sent).unwrap();
        store.commit(&ids.iter().map(|id| Write::DeleteSample { id: *id }).collect::<Vec<_>>()).unwrap();
        worker.fold_in_labels(Timestamp(10)).unwrap();
        let stored = train::LabelStats::from_bytes(&file).unwrap();
        for statistics in [&stored, worker.learner.statistics()] {
            let held: Vec<&SampleId> = statistics.contributors().map(|(id, _)| id).collect();
            assert_eq!(held.len(), 19);
            assert!(ids.iter().all(|id| !held.contains(&id)));
        }
        assert_eq!(worker.learner.evidence(), 0, "corrections let go of them too");
    }

    #[test]
    fn what_stays_after_all_is_learned_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (events, _heard) = sync_channel(64);
        let mut worker = worker(&store, events);
        worker.fold_in_labels(Timestamp(2)).unwrap();
        worker.forget(7, vec![id(0)]).unwrap();
        worker.learn(&[id(0)]).unwrap();
        worker.fold_in_labels(Timestamp(9)).unwrap();
        assert_eq!(worker.learner.statistics().contributors().count(), 20);
    }

    #[test]
    fn statistics_are_written_when_they_changed_and_not_at_every_eviction() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(folder.path());
        let (events, heard) = sync_channel(64);
        let mut worker = worker(&store, events);
        let written = || {
            heard.try_iter().filter(|event| matches!(event, Event::Adapter(AdapterEvent::StatsCheckpoint(_)))).count()
        };
        worker.fold_in_labels(Timestamp(2)).unwrap();
        assert_eq!(written(), 1, "a verdict saw twenty labels");
        worker.evict(2).unwrap();
        worker.evict(2).unwrap();
        assert_eq!(written(), 0, "what nobody has labelled is in no sum");
        store.commit(&[label(30, 3)]).unwrap();
        worker.fold_in_labels(Timestamp(4)).unwrap();
        assert_eq!(written(), 1, "one more label");
        worker.fold_in_labels(Timestamp(5)).unwrap();
        assert_eq!(written(), 0);
    }
}
