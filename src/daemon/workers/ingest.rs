//! The ingest worker: from file to embedding to prediction, on two threads.
//!
//! The reading thread reads, hashes and decodes; the embedding thread owns the backbone, because a session runs one
//! batch at a time. Each takes one file after another in the engine's order. Both queues are bounded: at most
//! [`IN_FLIGHT_MAX`] files are in flight, and at most two decoded images wait for the backbone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::frames::DecodedFrame;
use super::online_learning::{self, Observed};
use crate::daemon::heartbeat::{Heartbeat, Heartbeats};
use crate::daemon::serving::Serving;
use crate::engine::{EmbeddedImage, Event, FRAMES_IN_FLIGHT_MAX, FileStamp, IN_FLIGHT_MAX, IngestOutcome, Ingested};
use crate::image::{self, Limits, Preprocess};
use crate::ports::{EmbedError, Embedder};
use crate::shared::files::{PictureError, read_picture};
use crate::source::Slots;
use crate::store::Reader;
use crate::train::{Frame, Grouper};
use crate::words::{EmbeddingSpace, SampleId, SourceId, Timestamp, error_chain};

/// Decoded images waiting for the backbone: a few hundred KB each.
const DECODED: usize = 2;

/// What to read.
#[derive(Debug)]
pub(crate) enum Job {
    File(File),
    /// The frame that waits at this source.
    Frame(SourceId),
}

/// A file to read.
#[derive(Debug)]
pub(crate) struct File {
    pub root: usize,
    pub path: PathBuf,
}

/// What was decoded and awaits its embedding.
enum Decoded {
    File(Read),
    Frame(DecodedFrame),
}

/// A file that was read and awaits its embedding.
struct Read {
    job: File,
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
    /// Where frames wait.
    pub slots: Arc<Slots>,
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
    // Room for all files and frames in flight, so that queueing one never blocks.
    let (jobs, handed_out) = sync_channel(IN_FLIGHT_MAX + FRAMES_IN_FLIGHT_MAX);
    let (decoded, awaiting) = sync_channel(DECODED);
    let (preprocess, space) = (parts.embedder.preprocess().clone(), parts.embedder.space());
    let (reader, slots, events) = (parts.reader, parts.slots, parts.events.clone());
    let heartbeat = parts.heartbeats.read;
    let reading = thread::Builder::new().name("read".into()).spawn(move || {
        let reading = Reading { reader, slots, preprocess, space, limits: Limits::default(), heartbeat };
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

pub(super) struct Reading {
    pub(super) reader: Reader,
    pub(super) slots: Arc<Slots>,
    pub(super) preprocess: Preprocess,
    pub(super) space: EmbeddingSpace,
    pub(super) limits: Limits,
    heartbeat: Heartbeat,
}

impl Reading {
    fn read_all(self, jobs: &Receiver<Job>, decoded: &SyncSender<Decoded>, events: &SyncSender<Event>) {
        for job in jobs {
            let heartbeat = self.heartbeat.clone();
            let read = heartbeat.during(|| match job {
                Job::File(file) => self.read(file).map(Decoded::File).map_err(|ingested| Event::Ingest(*ingested)),
                Job::Frame(source) => self.read_frame(source).map(Decoded::Frame).map_err(|read| Event::Frame(*read)),
            });
            let gone = match read {
                Ok(read) => decoded.send(read).is_err(),
                Err(event) => events.send(event).is_err(),
            };
            // The receiver ends only when the daemon does.
            if gone {
                break;
            }
        }
    }

    fn read(&self, job: File) -> Result<Read, Box<Ingested>> {
        let started = Instant::now();
        let no_stamp = FileStamp { size: 0, mtime_ns: 0, ctime_ns: 0 };
        let failed = |job: File, stamp, outcome| Box::new(Ingested { root: job.root, path: job.path, stamp, outcome });
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

pub(super) struct Embedding {
    pub(super) embedder: Box<dyn Embedder>,
    pub(super) grouper: Grouper,
    pub(super) serving: Serving,
    burst_gaps: Vec<Duration>,
    pub(super) online: online_learning::Handle,
    heartbeat: Heartbeat,
    events: SyncSender<Event>,
}

impl Embedding {
    fn embed_all(mut self, awaiting: &Receiver<Decoded>) -> Result<(), EmbedError> {
        for decoded in awaiting {
            let heartbeat = self.heartbeat.clone();
            let event = heartbeat.during(|| match decoded {
                Decoded::File(read) => self.embed(read).map(Event::Ingest),
                Decoded::Frame(frame) => self.embed_frame(frame).map(Event::Frame),
            })?;
            if self.events.send(event).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// The burst of an image: by similarity, and by time where the folder has a burst gap.
    fn group(&mut self, job: &File, stamp: FileStamp, id: SampleId, embedding: &[f32]) -> SampleId {
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
