//! The query worker: answers requests that need the store or a computation, on a thread of its own.
//!
//! It answers one request after another, in the order of the engine, which has at most [`UNDER_WAY_MAX`] in progress,
//! so that queueing one never blocks. Every failure, even a panic, becomes an error answer and never ends the daemon:
//! the broker would only send the request again.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde_json::{Map, Value};

use super::export;
use super::fleet::{self, StatisticsFile};
use super::job::{AnyError, Panicked, catch_panic};
use super::unseen::RootViews;
use crate::backbone::Manifest;
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::serving::Servings;
use crate::daemon::startup::{self, PendingConfig, Read};
use crate::engine::{
    Event, FoundBackbone, JobId, ProcessEvent, Query, SwapEvent, UNDER_WAY_MAX, Unseen, WatchEvent, prediction_body,
};
use crate::shared::fleet::Labelled;
use crate::shared::folds::{Folds, KeptFolds};
use crate::shared::{samples_of, to_purge};
use crate::store::{Reader, SampleFilter, StoreError};
use crate::wire::command::{self, Empty, Spec as _};
use crate::wire::{Answer, ErrorCode, PredictionBody};
use crate::words::{HeadRef, SampleId, TaskId, error_chain};

/// Something to find out.
#[derive(Debug)]
pub(crate) enum Job {
    /// A query and its number.
    Answer { job: JobId, query: Query },
    /// Samples that a task does not see yet, for [`crate::engine::Act::FindUnseen`].
    FindUnseen { after: u64, limit: usize },
}

/// The worker and its queue.
pub(crate) struct QueryWorker {
    pub jobs: SyncSender<Job>,
    pub thread: JoinHandle<()>,
}

/// Everything that the worker needs.
pub(crate) struct Parts {
    pub reader: Reader,
    pub servings: Servings,
    /// Whether answers name their task.
    pub names_tasks: bool,
    /// The backbone in service.
    pub manifest: Manifest,
    pub threads: usize,
    /// The folder for exported models.
    pub exports: PathBuf,
    /// `training.max_samples` of each task, and its `training.seed`, which folds depend on.
    pub trainings: BTreeMap<TaskId, (usize, u64)>,
    pub folds: KeptFolds,
    /// The statistics that a fleet is asking for.
    pub statistics: StatisticsFile,
    /// Which tasks look at the images of a folder.
    pub views: RootViews,
    /// Reads the configuration again.
    pub read: Arc<Read>,
    /// Holds a valid one for the restart.
    pub pending_config: PendingConfig,
    pub heartbeat: Heartbeat,
    pub events: SyncSender<Event>,
}

/// Starts the worker; it ends when `jobs` is dropped.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<QueryWorker> {
    // And one search for what is unseen.
    let (jobs, handed_out) = sync_channel(UNDER_WAY_MAX + 1);
    let thread = thread::Builder::new().name("answer".into()).spawn(move || parts.answer_all(&handed_out))?;
    Ok(QueryWorker { jobs, thread })
}

impl Parts {
    fn answer_all(self, jobs: &Receiver<Job>) {
        for job in jobs {
            let (found_out, reloads) = match job {
                Job::Answer { job, query } => {
                    let reloads = matches!(query, Query::Reload);
                    (self.heartbeat.during(|| self.find_out(job, query)), reloads)
                }
                Job::FindUnseen { after, limit } => {
                    let found =
                        self.heartbeat.during(|| catch_panic(|| self.views.find_unseen(&self.reader, after, limit)));
                    (found_unseen(found), false)
                }
            };
            let restart = reloads && matches!(found_out, Event::QueryAnswered { answer: Answer::Ok { .. }, .. });
            // The loop ends only when this engine does.
            if self.events.send(found_out).is_err()
                || (restart && self.events.send(Event::Process(ProcessEvent::ConfigReady)).is_err())
            {
                break;
            }
        }
    }

    fn find_out(&self, job: JobId, query: Query) -> Event {
        catch_panic(|| self.find(job, query)).unwrap_or_else(|_| {
            let reason = "answering failed unexpectedly; send the request again, and report it with the log if it \
                          happens again";
            Event::QueryAnswered { job, answer: Answer::error(ErrorCode::Failed, reason) }
        })
    }

    fn find(&self, job: JobId, query: Query) -> Event {
        match query {
            Query::Undo { change, newest } => match self.reader.change(change, newest) {
                Ok(found) => Event::ChangeFound { job, found },
                Err(error) => Event::QueryAnswered { job, answer: failed(&error) },
            },
            Query::Backbone(asked) => {
                let found = found_backbone(asked).map(Box::new).map_err(|error| error_chain(&*error));
                Event::Swap(SwapEvent::Found { job, found })
            }
            query => Event::QueryAnswered { job, answer: self.answer(query) },
        }
    }

    fn answer(&self, query: Query) -> Answer {
        let answer = match query {
            Query::Samples { task, limit, after, label, unlabelled } => {
                self.samples(&task, &SampleFilter { limit, after: after.as_ref(), label: label.as_ref(), unlabelled })
            }
            Query::Predict(task, id) => self.predict(&task, id),
            Query::Purge(task) => self.purge(&task),
            Query::Export(task, head) => Ok(self.export(&task, &head)),
            Query::Statistics { task, min_class_count, part } => {
                let backbone = self.manifest.reference();
                Ok(self.statistics.part(&self.labelled(&task), backbone, min_class_count, &part))
            }
            Query::Score(task, head) => Ok(fleet::score(&self.labelled(&task), &head)),
            Query::Forget(_) => unreachable!("the online worker does that"),
            Query::Undo { .. } | Query::Backbone(_) => unreachable!("the engine makes the answer of what was found"),
            Query::Reload => Ok(match startup::read_again(&*self.read, &self.pending_config) {
                Ok(()) => command::Reload::answer(&Empty {}),
                Err(reason) => {
                    Answer::error(ErrorCode::NotPossible, format!("the current configuration stays in force: {reason}"))
                }
            }),
        };
        answer.unwrap_or_else(|error| failed(&error))
    }

    fn training(&self, task: &TaskId) -> (usize, u64) {
        self.trainings.get(task).copied().unwrap_or_default()
    }

    fn labelled<'a>(&'a self, task: &'a TaskId) -> Labelled<'a> {
        let (max_samples, seed) = self.training(task);
        Labelled { reader: &self.reader, task, max_samples, seed }
    }

    fn samples(&self, task: &TaskId, choice: &SampleFilter<'_>) -> Result<Answer, StoreError> {
        let (_, seed) = self.training(task);
        let folds = || self.folds.of(task, || Folds::of(&self.reader, task, seed));
        let found = samples_of(&self.reader, task, choice, folds)?;
        Ok(found.map_or_else(|| gone("the image in 'after'"), |entries| command::Samples::answer(&entries)))
    }

    /// The present prediction of a task for a stored image; without a head it has no label.
    fn predict(&self, task: &TaskId, id: SampleId) -> Result<Answer, StoreError> {
        let (Some(origin), Some(now)) = (self.reader.origin(&id)?, self.reader.labels_of(task, &[id])?.pop()) else {
            return Ok(gone("the image"));
        };
        let Some(embedding) = now.embedding else {
            let reason = if self.names_tasks {
                format!(
                    "the task {task} does not see the image yet: it looks at none of its files, or at another part of \
                     them, or through another backbone than before; the image is embedded when its file, or what is kept of a \
                     frame, is read"
                )
            } else {
                "the image has an embedding of another backbone only; it is embedded again when its file is read, and a \
                 frame when it comes again"
                    .into()
            };
            return Ok(Answer::error(ErrorCode::NotPossible, reason));
        };
        let begun = Instant::now();
        let scored = self.servings.score(task, &embedding, &[]);
        let backbone = &self.manifest.name;
        let task = Some(task).filter(|_| self.names_tasks).cloned();
        let body = prediction_body(id, &origin, scored.as_ref(), backbone, begun.elapsed(), false);
        Ok(command::Predict::answer(&PredictionBody { task, ..body }))
    }

    /// What goes with a task that the configuration has no more.
    fn purge(&self, task: &TaskId) -> Result<Answer, StoreError> {
        let configured: Vec<TaskId> = self.trainings.keys().cloned().collect();
        Ok(match to_purge(&self.reader, task, &configured)? {
            Ok(purged) => command::Purge::answer(&purged),
            Err(reason) => Answer::error(ErrorCode::NotFound, reason),
        })
    }

    fn export(&self, task: &TaskId, head: &HeadRef) -> Answer {
        let source = export::Source { reader: &self.reader, task, manifest: &self.manifest, threads: self.threads };
        match export::export(&source, head, &self.exports) {
            Ok(exported) => command::Export::answer(&exported),
            Err(error) => failed(&error),
        }
    }
}

/// What a search for unseen samples found; one that failed is at its end, and another is made at the next start.
fn found_unseen(found: Result<Result<Unseen, StoreError>, Panicked>) -> Event {
    let found = match found {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            tracing::warn!(error = error_chain(&error), "cannot look for samples that tasks do not see yet");
            Unseen::default()
        }
        Err(_) => Unseen::default(),
    };
    Event::Watch(WatchEvent::UnseenFound(found))
}

/// The backbone of this device that is asked for; its model is not read, but it is there.
fn found_backbone(asked: String) -> Result<FoundBackbone, AnyError> {
    let manifest = Manifest::resolve(&asked)?;
    if let Some(stand_in) = manifest.stands_in {
        return Err(format!(
            "the model {} of the backbone {asked} is not there: {}",
            stand_in.missing.display(),
            stand_in.remedy
        )
        .into());
    }
    let model = std::path::absolute(&manifest.file)?;
    let bytes = fs::metadata(&model).map_err(|error| {
        format!("the model {} of the backbone {asked} cannot be read: {error}; put it there", model.display())
    })?;
    let space = manifest.space();
    let backbone = manifest.reference();
    let mut keys: Map<String, Value> = serde_yaml::from_str(&fs::read_to_string(&manifest.path)?)?;
    keys.retain(|key, _| !["name", "file", "sha256"].contains(&key.as_str()));
    Ok(FoundBackbone { asked, backbone, space, model, bytes: bytes.len(), manifest: keys.into() })
}

fn failed(error: &dyn std::error::Error) -> Answer {
    Answer::error(ErrorCode::Failed, error_chain(error))
}

fn gone(what: &str) -> Answer {
    Answer::error(
        ErrorCode::NotFound,
        format!("{what} was evicted from the store meanwhile; request/samples lists those that are left"),
    )
}
