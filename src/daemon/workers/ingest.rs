//! The ingest worker: from file to embedding to prediction, on two threads.
//!
//! The reading thread reads, hashes and decodes; the embedding thread owns the backbone, because a session runs one
//! batch at a time. Each takes one file after another in the engine's order. Both queues are bounded: at most
//! [`IN_FLIGHT_MAX`] files are in flight, and at most two decoded images wait for the backbone.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::online_learning::{self, Observed};
use crate::daemon::heartbeat::{Heartbeat, Heartbeats};
use crate::daemon::serving::Serving;
use crate::engine::{EmbeddedImage, Event, FileStamp, IN_FLIGHT_MAX, IngestOutcome, Ingested};
use crate::image::{self, Limits, Preprocess};
use crate::ports::{EmbedError, Embedder};
use crate::shared::files::{PictureError, read_picture};
use crate::store::Reader;
use crate::train::{Frame, Grouper};
use crate::words::{EmbeddingSpace, SampleId, Timestamp, error_chain};

/// Decoded images waiting for the backbone: a few hundred KB each.
const DECODED: usize = 2;

/// A file to read.
#[derive(Debug)]
pub(crate) struct Job {
    pub root: usize,
    pub path: PathBuf,
}

/// A file that was read and awaits its embedding.
struct Read {
    job: Job,
    stamp: FileStamp,
    id: SampleId,
    bytes: u64,
    input: Input,
    decode: Duration,
}

enum Input {
    /// Prepared pixels, (3*h*w,).
    Tensor(Vec<f32>),
    /// The store has its embedding, (dim,).
    Cached(Vec<f32>),
}

/// The worker's two threads and its queue.
pub(crate) struct Ingest {
    pub jobs: SyncSender<Job>,
    pub threads: Vec<JoinHandle<Result<(), EmbedError>>>,
}

/// Everything that the worker needs.
pub(crate) struct Parts {
    pub embedder: Box<dyn Embedder>,
    pub reader: Reader,
    pub grouper: Grouper,
    pub serving: Serving,
    /// For each watched folder, the largest gap in time between images of one burst; zero where only similarity counts.
    pub burst_gaps: Vec<Duration>,
    /// Gets every new embedding.
    pub online: online_learning::Handle,
    pub heartbeats: Heartbeats,
    pub events: SyncSender<Event>,
}

/// Starts the worker; it ends when `jobs` is dropped, or with an error when the backbone fails.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<Ingest> {
    // Room for all files in flight, so that queueing one never blocks.
    let (jobs, handed_out) = sync_channel(IN_FLIGHT_MAX);
    let (decoded, awaiting) = sync_channel(DECODED);
    let (preprocess, space) = (parts.embedder.preprocess().clone(), parts.embedder.space());
    let (reader, events) = (parts.reader, parts.events.clone());
    let heartbeat = parts.heartbeats.read;
    let reading = thread::Builder::new().name("read".into()).spawn(move || {
        let reading = Reading { reader, preprocess, space, limits: Limits::default(), heartbeat };
        reading.read_all(&handed_out, &decoded, &events);
        Ok(())
    })?;
    let embedding = Embedding {
        embedder: parts.embedder,
        grouper: parts.grouper,
        serving: parts.serving,
        burst_gaps: parts.burst_gaps,
        online: parts.online,
        heartbeat: parts.heartbeats.embed,
        events: parts.events,
    };
    let embedding = thread::Builder::new().name("embed".into()).spawn(move || embedding.embed_all(&awaiting))?;
    Ok(Ingest { jobs, threads: vec![reading, embedding] })
}

struct Reading {
    reader: Reader,
    preprocess: Preprocess,
    space: EmbeddingSpace,
    limits: Limits,
    heartbeat: Heartbeat,
}

impl Reading {
    fn read_all(self, jobs: &Receiver<Job>, decoded: &SyncSender<Read>, events: &SyncSender<Event>) {
        for job in jobs {
            let heartbeat = self.heartbeat.clone();
            let gone = match heartbeat.during(|| self.read(job)) {
                Ok(read) => decoded.send(read).is_err(),
                Err(ingested) => events.send(Event::Ingest(*ingested)).is_err(),
            };
            // The receiver ends only when the daemon does.
            if gone {
                break;
            }
        }
    }

    fn read(&self, job: Job) -> Result<Read, Box<Ingested>> {
        let started = Instant::now();
        let no_stamp = FileStamp { size: 0, mtime_ns: 0, ctime_ns: 0 };
        let failed = |job: Job, stamp, outcome| Box::new(Ingested { root: job.root, path: job.path, stamp, outcome });
        let picture = match read_picture(&job.path, &self.limits) {
            Ok(picture) => picture,
            Err(error) => return Err(failed(job, no_stamp, unread(&error))),
        };
        let (id, stamp) = (picture.id, picture.stamp);
        // A listing passes over such files; this one was found before its sample went.
        let was_let_go = self.reader.file_was_let_go(&job.path, stamp);
        let cached = match was_let_go.and_then(|was_let_go| Ok((was_let_go, self.reader.embedding(&id, &self.space)?)))
        {
            Ok((true, _)) => return Err(failed(job, stamp, IngestOutcome::LetGo)),
            Ok((false, cached)) => cached,
            Err(error) => {
                return Err(failed(job, stamp, IngestOutcome::Unreadable { reason: error_chain(&error) }));
            }
        };
        let input = match cached {
            Some(embedding) => Input::Cached(embedding),
            None => match image::decode(&picture.bytes, &self.limits) {
                Ok(pixels) => Input::Tensor(self.preprocess.apply(&pixels)),
                Err(bad) if bad.is_incomplete() => {
                    return Err(failed(job, stamp, IngestOutcome::Incomplete { reason: error_chain(&bad) }));
                }
                Err(bad) => return Err(failed(job, stamp, IngestOutcome::Bad { reason: error_chain(&bad) })),
            },
        };
        let bytes = picture.bytes.len() as u64;
        Ok(Read { job, stamp, id, bytes, input, decode: started.elapsed() })
    }
}

/// The outcome for a file that could not be read.
fn unread(error: &PictureError) -> IngestOutcome {
    match error {
        PictureError::Gone(_) => IngestOutcome::Gone,
        PictureError::Changed(_) => IngestOutcome::Changed,
        PictureError::NotAFile(_) | PictureError::TooLarge { .. } => IngestOutcome::Bad { reason: error_chain(error) },
        PictureError::Unreadable { .. } => IngestOutcome::Unreadable { reason: error_chain(error) },
    }
}

struct Embedding {
    embedder: Box<dyn Embedder>,
    grouper: Grouper,
    serving: Serving,
    burst_gaps: Vec<Duration>,
    online: online_learning::Handle,
    heartbeat: Heartbeat,
    events: SyncSender<Event>,
}

impl Embedding {
    fn embed_all(mut self, awaiting: &Receiver<Read>) -> Result<(), EmbedError> {
        for read in awaiting {
            let heartbeat = self.heartbeat.clone();
            let ingested = heartbeat.during(|| self.embed(read))?;
            if self.events.send(Event::Ingest(ingested)).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The burst of an image: by similarity, and by time where the folder has a burst gap.
    fn group(&mut self, job: &Job, stamp: FileStamp, id: SampleId, embedding: &[f32]) -> SampleId {
        let gap = self.burst_gaps.get(job.root).copied().unwrap_or_default();
        if gap.is_zero() {
            return self.grouper.assign(id, embedding);
        }
        let at = Timestamp(stamp.mtime_ns / 1_000_000);
        self.grouper.assign_frame(id, embedding, Frame { source: job.root, at, gap })
    }

    fn embed(&mut self, read: Read) -> Result<Ingested, EmbedError> {
        let Read { job, stamp, id, bytes, input, decode } = read;
        let (embedding, embed) = match input {
            Input::Cached(embedding) => (embedding, Duration::ZERO),
            Input::Tensor(tensor) => {
                let started = Instant::now();
                match self.embedder.embed(&tensor, 1) {
                    Ok(embedding) => (embedding, started.elapsed()),
                    Err(error @ EmbedError::NotFinite { .. }) => {
                        let outcome = IngestOutcome::Bad { reason: error_chain(&error) };
                        return Ok(Ingested { root: job.root, path: job.path, stamp, outcome });
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let group = self.group(&job, stamp, id, &embedding);
        let prediction = self.serving.score(&embedding);
        let predicted = prediction.as_ref().and_then(|scored| scored.top.first()).map(|(label, _)| label.clone());
        let arrived_at = Timestamp(jiff::Timestamp::now().as_millisecond());
        self.online.observe(Observed { group, embedding: embedding.clone(), predicted, arrived_at });
        let image = EmbeddedImage { id, bytes, embedding, group, prediction, decode, embed };
        Ok(Ingested { root: job.root, path: job.path, stamp, outcome: IngestOutcome::Image(Box::new(image)) })
    }
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
