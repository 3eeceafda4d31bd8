//! The query worker: answers requests that need the store or a computation, on a thread of its own.
//!
//! It answers one request after another, in the order of the engine, which has at most [`UNDER_WAY_MAX`] in progress,
//! so that queueing one never blocks. Every failure, even a panic, becomes an error answer and never ends the daemon:
//! the broker would only send the request again.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use serde_json::{Map, Value};

use super::export;
use super::job::{AnyError, catch_panic};
use crate::backbone::Manifest;
use crate::daemon::heartbeat::Heartbeat;
use crate::daemon::serving::Serving;
use crate::daemon::startup::{self, PendingConfig, Read};
use crate::engine::{Event, FoundBackbone, JobId, ProcessEvent, Query, SwapEvent, UNDER_WAY_MAX, prediction_body};
use crate::head::BackboneRef;
use crate::shared::samples_of;
use crate::store::{Reader, SampleFilter, StoreError};
use crate::wire::command::{self, Empty, Spec as _};
use crate::wire::{Answer, ErrorCode};
use crate::words::{HeadRef, SampleId, error_chain};

/// A query and its number.
#[derive(Debug)]
pub(crate) struct Job {
    pub job: JobId,
    pub query: Query,
}

/// The worker and its queue.
pub(crate) struct QueryWorker {
    pub jobs: SyncSender<Job>,
    pub thread: JoinHandle<()>,
}

/// Everything that the worker needs.
pub(crate) struct Parts {
    pub reader: Reader,
    pub serving: Serving,
    /// The backbone in service.
    pub manifest: Manifest,
    pub threads: usize,
    /// The folder for exported models.
    pub exports: PathBuf,
    /// `training.seed`, which folds depend on.
    pub seed: u64,
    /// Reads the configuration again.
    pub read: Arc<Read>,
    /// Holds a valid one for the restart.
    pub pending_config: PendingConfig,
    pub heartbeat: Heartbeat,
    pub events: SyncSender<Event>,
}

/// Starts the worker; it ends when `jobs` is dropped.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<QueryWorker> {
    let (jobs, handed_out) = sync_channel(UNDER_WAY_MAX);
    let thread = thread::Builder::new().name("answer".into()).spawn(move || parts.answer_all(&handed_out))?;
    Ok(QueryWorker { jobs, thread })
}

impl Parts {
    fn answer_all(self, jobs: &Receiver<Job>) {
        for Job { job, query } in jobs {
            let reloads = matches!(query, Query::Reload);
            let found = self.heartbeat.during(|| catch_panic(|| self.find(job, query)));
            let found_out = found.unwrap_or_else(|_| {
                let reason = "answering failed unexpectedly; send the request again, and report it with the log if it \
                              happens again";
                Event::QueryAnswered { job, answer: Answer::error(ErrorCode::Failed, reason) }
            });
            let restart = reloads && matches!(found_out, Event::QueryAnswered { answer: Answer::Ok { .. }, .. });
            // The loop ends only when this engine does.
            if self.events.send(found_out).is_err()
                || (restart && self.events.send(Event::Process(ProcessEvent::ConfigReady)).is_err())
            {
                break;
            }
        }
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
            Query::Samples { limit, after, label, unlabelled } => {
                self.samples(&SampleFilter { limit, after: after.as_ref(), label: label.as_ref(), unlabelled })
            }
            Query::Predict(id) => self.predict(id),
            Query::Export(head) => Ok(self.export(&head)),
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

    fn samples(&self, choice: &SampleFilter<'_>) -> Result<Answer, StoreError> {
        let found = samples_of(&self.reader, choice, self.seed)?;
        Ok(found.map_or_else(|| gone("the image in 'after'"), |entries| command::Samples::answer(&entries)))
    }

    /// The current prediction for a stored image; without a head it has no label.
    fn predict(&self, id: SampleId) -> Result<Answer, StoreError> {
        let Some(path) = self.reader.path(&id)? else { return Ok(gone("the image")) };
        let Some(embedding) = self.reader.embedding(&id, &self.manifest.space())? else {
            let reason = "the image has an embedding of another backbone only; it is embedded again when its file is \
                          read";
            return Ok(Answer::error(ErrorCode::NotPossible, reason));
        };
        let begun = Instant::now();
        let scored = self.serving.score(&embedding);
        let backbone = &self.manifest.name;
        Ok(command::Predict::answer(&prediction_body(id, &path, scored.as_ref(), backbone, begun.elapsed(), false)))
    }

    fn export(&self, head: &HeadRef) -> Answer {
        let source = export::Source { reader: &self.reader, manifest: &self.manifest, threads: self.threads };
        match export::export(&source, head, &self.exports) {
            Ok(exported) => command::Export::answer(&exported),
            Err(error) => failed(&error),
        }
    }
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
    let backbone = BackboneRef { name: manifest.name.clone(), sha256: manifest.sha256, dim: space.dim };
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
