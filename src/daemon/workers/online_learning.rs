//! The online worker: learns from each label at once, watches for drift, and works out what to review and what to
//! evict, one thing after another on one thread, without delaying an image.
//!
//! It reads what is committed and sends events; the engine decides what follows. What it knows of each task is the task's
//! own ([`TaskLearner`]); only what concerns stored images as such, eviction and forgetting, goes through all of them. Its
//! statistics are exact sums ([`crate::train::OnlineLearner`]): at a start they are read from the store and brought up to
//! date with the current labels.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{self, JoinHandle};

use super::review_query;
use super::task_learner::TaskLearner;
pub(crate) use super::task_learner::TaskParts;
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::metrics::Metrics;
use crate::daemon::throttle;
use crate::engine::{AdapterEvent, Event, JobId};
use crate::eval::budget::Why;
use crate::head::HeadRecord;
use crate::store::{Reader, StoreError};
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// New embeddings of a task that may wait; further ones are not examined for drift.
pub(super) const OBSERVED: usize = 64;

/// Something to do.
enum Job {
    /// For one task.
    Task(TaskId, TaskJob),
    Evict(usize),
    Forget(JobId, Vec<SampleId>),
}

enum TaskJob {
    Serve(Option<Arc<HeadRecord>>),
    Learn(Vec<SampleId>),
    FoldInLabels(Timestamp),
    Review(Option<Timestamp>),
    Judge(SampleId),
    Observed(Observed),
}

/// A new image with a task's prediction.
#[derive(Debug)]
pub(crate) struct Observed {
    pub group: SampleId,
    /// (dim,)
    pub embedding: Vec<f32>,
    /// The predicted class.
    pub predicted: Option<Label>,
    pub arrived_at: Timestamp,
}

/// The worker's queue; queueing something never blocks.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    jobs: Sender<Job>,
    observed: Waiting,
}

/// How many new embeddings of each task wait: each has its own bound, so that many images of one do not blind another.
type Waiting = Arc<BTreeMap<TaskId, AtomicUsize>>;

impl Handle {
    pub fn serve(&self, task: &TaskId, champion: Option<Arc<HeadRecord>>) {
        self.send_to(task, TaskJob::Serve(champion));
    }

    pub fn learn(&self, task: &TaskId, ids: Vec<SampleId>) {
        self.send_to(task, TaskJob::Learn(ids));
    }

    pub fn fold_in_labels(&self, task: &TaskId, before: Timestamp) {
        self.send_to(task, TaskJob::FoldInLabels(before));
    }

    pub fn review(&self, task: &TaskId, since: Option<Timestamp>) {
        self.send_to(task, TaskJob::Review(since));
    }

    /// Classifies a stored image when everything that was handed over before is learned.
    pub fn judge(&self, task: &TaskId, image: SampleId) {
        self.send_to(task, TaskJob::Judge(image));
    }

    pub fn evict(&self, count: usize) {
        self.send(Job::Evict(count));
    }

    pub fn forget(&self, job: JobId, ids: Vec<SampleId>) {
        self.send(Job::Forget(job, ids));
    }

    /// Passes on a new image, unless too many of this task wait.
    pub fn observe(&self, task: &TaskId, observed: Observed) {
        let Some(waiting) = self.observed.get(task) else { return };
        if waiting.fetch_add(1, Ordering::Relaxed) < OBSERVED {
            self.send_to(task, TaskJob::Observed(observed));
        } else {
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn send_to(&self, task: &TaskId, job: TaskJob) {
        self.send(Job::Task(task.clone(), job));
    }

    fn send(&self, job: Job) {
        // The worker ends only when the daemon does, or the supervisor notices.
        let _ = self.jobs.send(job);
    }
}

/// What the worker needs.
pub(crate) struct Parts {
    pub reader: Reader,
    /// Each task of the configuration.
    pub tasks: Vec<TaskParts>,
    pub heartbeat: Heartbeat,
    pub metrics: Arc<Metrics>,
    pub events: SyncSender<Event>,
}

/// Starts the worker; it ends when every handle is dropped.
pub(crate) fn spawn(parts: Parts) -> io::Result<(Handle, JoinHandle<Result<(), StoreError>>)> {
    let (handle, jobs) = queue(parts.tasks.iter().map(|parts| parts.task.clone()));
    let observed = Arc::clone(&handle.observed);
    let thread = thread::Builder::new().name("adapt".into()).spawn(move || {
        throttle::put_behind_images();
        // What it catches up with would take the processor from a start; the first job comes with the end of that.
        let Ok(first) = jobs.recv() else { return Ok(()) };
        OnlineWorker::start(parts)?.work(std::iter::once(first).chain(jobs), &observed)
    })?;
    Ok((handle, thread))
}

fn queue(tasks: impl Iterator<Item = TaskId>) -> (Handle, Receiver<Job>) {
    let (sender, jobs) = channel();
    (Handle { jobs: sender, observed: Arc::new(tasks.map(|task| (task, AtomicUsize::new(0))).collect()) }, jobs)
}

struct OnlineWorker {
    reader: Reader,
    tasks: BTreeMap<TaskId, TaskLearner>,
    heartbeat: Heartbeat,
    metrics: Arc<Metrics>,
    events: SyncSender<Event>,
}

impl OnlineWorker {
    fn start(Parts { reader, tasks, heartbeat, metrics, events }: Parts) -> Result<Self, StoreError> {
        let learner = |parts: TaskParts| Ok((parts.task.clone(), TaskLearner::start(parts, &reader)?));
        let tasks = tasks.into_iter().map(learner).collect::<Result<_, StoreError>>()?;
        Ok(Self { reader, tasks, heartbeat, metrics, events })
    }

    fn work(mut self, mut jobs: impl Iterator<Item = Job>, observed: &Waiting) -> Result<(), StoreError> {
        let heartbeat = self.heartbeat.clone();
        jobs.try_for_each(|job| {
            if let Job::Task(task, TaskJob::Observed(_)) = &job
                && let Some(waiting) = observed.get(task)
            {
                waiting.fetch_sub(1, Ordering::Relaxed);
            }
            heartbeat.during(|| self.do_one(job))
        })
    }

    fn do_one(&mut self, job: Job) -> Result<(), StoreError> {
        match job {
            Job::Task(task, job) => self.for_task(task, job),
            Job::Evict(count) => self.evict(count),
            Job::Forget(job, ids) => self.forget(job, ids),
        }
    }

    /// What is for a task that is not in the configuration is for nobody.
    fn for_task(&mut self, task: TaskId, job: TaskJob) -> Result<(), StoreError> {
        let (reader, Some(learner)) = (&self.reader, self.tasks.get_mut(&task)) else { return Ok(()) };
        match job {
            TaskJob::Serve(champion) => learner.serve(reader, champion)?,
            TaskJob::Learn(ids) => learner.learn(reader, &ids)?,
            TaskJob::FoldInLabels(before) => {
                learner.fold_in_labels(reader, before)?;
                self.send_statistics(&task);
            }
            TaskJob::Review(since) => {
                let review = learner.review(reader, since)?;
                self.send(AdapterEvent::ReviewListReady(task, review));
            }
            TaskJob::Judge(image) => {
                if let Some(scored) = learner.judge(reader, image)? {
                    // There is no receiver only when the daemon ends.
                    let _ = self.events.send(Event::JudgedAgain { task, image, scored });
                }
            }
            TaskJob::Observed(image) => {
                let drift = learner.observe(&image);
                if let Some(nearness) = learner.nearness_to_alarm() {
                    self.metrics.embeddings_drift(&task, nearness);
                }
                if let Some(drift) = drift {
                    self.send(AdapterEvent::EmbeddingDrift(task, drift));
                }
            }
        }
        Ok(())
    }

    /// Labelled samples are evicted only when the stored statistics hold them, near-duplicates only when they do not:
    /// another of their burst stays and has the same information, and a training that holds it out must not have seen
    /// it by replay.
    fn evict(&mut self, count: usize) -> Result<(), StoreError> {
        let statistics = self.tasks.iter().map(|(task, learner)| (task, learner.statistics())).collect();
        let found = review_query::evictable(&self.reader, count, &statistics)?;
        let twins: Vec<SampleId> =
            found.iter().filter(|sample| sample.why == Why::NearDuplicate).map(|sample| sample.id).collect();
        for learner in self.tasks.values_mut() {
            learner.let_go(&self.reader, &twins)?;
        }
        if !found.is_empty() {
            self.tasks.keys().cloned().collect::<Vec<_>>().iter().for_each(|task| self.send_statistics(task));
        }
        self.send(AdapterEvent::EvictionCandidates(found));
        Ok(())
    }

    /// Takes samples out of the statistics and the corrections of all tasks. They are deleted with the statistics that
    /// are sent.
    fn forget(&mut self, job: JobId, ids: Vec<SampleId>) -> Result<(), StoreError> {
        let mut files = Vec::new();
        for (task, learner) in &mut self.tasks {
            learner.let_go(&self.reader, &ids)?;
            learner.correct();
            files.push((task.clone(), learner.send_statistics()));
        }
        self.send(AdapterEvent::StatisticsWithout { job, ids, files });
        Ok(())
    }

    /// Sends the statistics of a task to be stored, unless they are unchanged.
    fn send_statistics(&mut self, task: &TaskId) {
        if let Some(file) = self.tasks.get_mut(task).and_then(TaskLearner::changed_statistics) {
            self.send(AdapterEvent::StatsCheckpoint(task.clone(), file));
        }
    }

    fn send(&self, event: AdapterEvent) {
        // There is no receiver only when the daemon ends.
        let _ = self.events.send(Event::Adapter(event));
    }
}

#[cfg(test)]
#[path = "online_learning_tests.rs"]
mod tests;
