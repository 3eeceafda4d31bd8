//! The ingest worker: from file to embeddings to predictions, on two threads.
//!
//! The reading thread reads, hashes and decodes; the embedding thread owns the backbone, because a session runs one
//! batch at a time. Each takes one file after another in the engine's order. Both queues are bounded: at most
//! [`IN_FLIGHT_MAX`] files are in flight, and at most two decoded images wait for the backbone.
//!
//! However many tasks look at an image, it is decoded once, and the parts of it that the store has no embedding of go
//! through the backbone as one batch.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::warn;

use super::frames::DecodedFrame;
use super::online_learning::{self, Observed};
use crate::daemon::heartbeat::{Heartbeat, Heartbeats};
use crate::daemon::serving::Servings;
use crate::daemon::view_plan::{self, PlannedView, ViewPlan};
use crate::engine::{
    EmbeddedImage, Event, FRAMES_IN_FLIGHT_MAX, FileStamp, IN_FLIGHT_MAX, IngestOutcome, Ingested, View,
};
use crate::image::{self, Limits, Preprocess};
use crate::ports::{EmbedError, Embedder};
use crate::shared::files::{PictureError, read_picture};
use crate::source::Slots;
use crate::store::{Reader, StoreError};
use crate::train::{Frame, Grouper};
use crate::words::{EmbeddingSpace, Region, SampleId, SourceId, Timestamp, error_chain};

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

/// What was decoded and awaits its embeddings.
enum Decoded {
    File(Read),
    Frame(DecodedFrame),
}

/// A file that was read and awaits its embeddings.
struct Read {
    job: File,
    stamp: FileStamp,
    id: SampleId,
    bytes: u64,
    /// Each part that a task looks at, in the order of the first views of it.
    parts: Vec<(EmbeddingSpace, Part)>,
    /// Pixels (n, 3*h*w) of the n parts that are prepared.
    tensors: Vec<f32>,
    /// The views by which the store does not know the image.
    new: Vec<bool>,
    decode: Duration,
}

/// A part of an image on its way to an embedding.
#[derive(Debug)]
pub(super) enum Part {
    /// Its pixels are prepared.
    Prepared,
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
    /// Which tasks look at the images of a folder.
    pub plan: ViewPlan,
    pub groupers: Groupers,
    pub servings: Servings,
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
    let preprocess = parts.embedder.preprocess().clone();
    let (reader, slots) = (parts.reader, parts.slots);
    let (plan, events) = (parts.plan.clone(), parts.events.clone());
    let heartbeat = parts.heartbeats.read;
    let reading = thread::Builder::new().name("read".into()).spawn(move || {
        let reading = Reading { reader, slots, plan, preprocess, limits: Limits::default(), heartbeat };
        reading.read_all(&handed_out, &decoded, &events);
        Ok(())
    })?;
    let embedding = Embedding {
        embedder: parts.embedder,
        plan: parts.plan,
        groupers: parts.groupers,
        servings: parts.servings,
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
    pub(super) plan: ViewPlan,
    pub(super) preprocess: Preprocess,
    pub(super) limits: Limits,
    heartbeat: Heartbeat,
}

impl Reading {
    fn read_all(self, jobs: &Receiver<Job>, decoded: &SyncSender<Decoded>, events: &SyncSender<Event>) {
        for job in jobs {
            let heartbeat = self.heartbeat.clone();
            let read = heartbeat.during(|| match job {
                Job::File(file) => {
                    self.read(file).map(Decoded::File).map_err(|ingested| Box::new(Event::Ingest(*ingested)))
                }
                Job::Frame(source) => {
                    self.read_frame(source).map(Decoded::Frame).map_err(|read| Box::new(Event::Frame(*read)))
                }
            });
            let gone = match read {
                Ok(read) => decoded.send(read).is_err(),
                Err(event) => events.send(*event).is_err(),
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
        let known = match self.reader.file_was_let_go(&job.path, stamp) {
            Ok(true) => return Err(failed(job, stamp, IngestOutcome::LetGo)),
            Ok(false) => self.known(self.plan.of_root(job.root), &id),
            Err(error) => Err(error),
        };
        let Known { cached, new } = match known {
            Ok(known) => known,
            Err(error) => {
                return Err(failed(job, stamp, IngestOutcome::Unreadable { reason: error_chain(&error) }));
            }
        };
        let missing: Vec<Region> =
            cached.iter().filter(|(_, _, cached)| cached.is_none()).map(|(region, ..)| region.clone()).collect();
        let mut tensors = Vec::new();
        // What nobody looks at is decoded too: a file that is no image is put aside.
        if !missing.is_empty() || cached.is_empty() {
            match image::decode(&picture.bytes, &self.limits) {
                Ok(pixels) => tensors = self.preprocess.apply_regions(&pixels, &missing),
                Err(bad) if bad.is_incomplete() => {
                    return Err(failed(job, stamp, IngestOutcome::Incomplete { reason: error_chain(&bad) }));
                }
                Err(bad) => return Err(failed(job, stamp, IngestOutcome::Bad { reason: error_chain(&bad) })),
            }
        }
        let part = |(_, space, cached): (_, _, Option<Vec<f32>>)| (space, cached.map_or(Part::Prepared, Part::Cached));
        let parts = cached.into_iter().map(part).collect();
        let bytes = picture.bytes.len() as u64;
        Ok(Read { job, stamp, id, bytes, parts, tensors, new, decode: started.elapsed() })
    }

    /// What the store knows of an image that these views are of.
    pub(super) fn known(&self, views: &[PlannedView], id: &SampleId) -> Result<Known, StoreError> {
        let cached = |(region, space): (&Region, EmbeddingSpace)| {
            Ok((region.clone(), space, self.reader.embedding(id, &space)?))
        };
        let is_new = |view: &PlannedView| Ok(!self.reader.is_looked_at(&view.task, id, &view.space)?);
        Ok(Known {
            cached: view_plan::parts(views).into_iter().map(cached).collect::<Result<_, StoreError>>()?,
            new: views.iter().map(is_new).collect::<Result<_, StoreError>>()?,
        })
    }
}

/// What the store knows of an image.
pub(super) struct Known {
    /// Each part that is looked at, with its embedding (dim,) where it has one.
    pub(super) cached: Vec<(Region, EmbeddingSpace, Option<Vec<f32>>)>,
    /// The views by which it does not know the image.
    pub(super) new: Vec<bool>,
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
    pub(super) plan: ViewPlan,
    groupers: Groupers,
    pub(super) servings: Servings,
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

    /// The burst of an image: by similarity, and by time where the folder has a burst gap. What nobody looks at is in a
    /// burst of its own.
    fn group(&mut self, job: &File, stamp: FileStamp, id: SampleId, embeddings: &Embeddings) -> SampleId {
        let space = self.plan.grouping(job.root);
        let Some((space, embedding)) = space.and_then(|space| Some((space, of(embeddings, &space)?))) else {
            return id;
        };
        let grouper = self.groupers.of(space);
        let gap = self.burst_gaps.get(job.root).copied().unwrap_or_default();
        if gap.is_zero() {
            return grouper.assign(id, embedding);
        }
        let at = Timestamp(stamp.mtime_ns / 1_000_000);
        grouper.assign_frame(id, embedding, Frame { source: job.root, at, gap })
    }

    fn embed(&mut self, read: Read) -> Result<Ingested, EmbedError> {
        let Read { job, stamp, id, bytes, parts, tensors, new, decode } = read;
        let prepared: Vec<EmbeddingSpace> =
            parts.iter().filter(|(_, part)| matches!(part, Part::Prepared)).map(|(space, _)| *space).collect();
        let (n, total) = (prepared.len(), parts.len());
        let started = Instant::now();
        let rows = if n == 0 { Vec::new() } else { self.embedder.embed_each(&tensors, n)? };
        let embed = if n == 0 { Duration::ZERO } else { started.elapsed() };
        let (mut rows, mut embeddings, mut failed) = (rows.into_iter(), Embeddings::new(), None);
        for (space, part) in parts {
            match part {
                Part::Cached(embedding) => embeddings.push((space, embedding)),
                Part::Prepared => match rows.next().expect("the backbone gives a row for each part") {
                    Ok(embedding) => embeddings.push((space, embedding)),
                    Err(error) => failed = Some(error_chain(&error)),
                },
            }
        }
        if let Some(reason) = failed {
            if embeddings.is_empty() {
                let outcome = IngestOutcome::Bad { reason };
                return Ok(Ingested { root: job.root, path: job.path, stamp, outcome });
            }
            // Tasks that look at another part of it are not kept from it.
            warn!(path = %job.path.display(), reason, "a part of the image has no embedding");
        }
        // It was read again for what some task has not seen of it: to the others it is no arrival.
        let is_revisit = new.contains(&false) && (new.contains(&true) || (1..total).contains(&n));
        let group = if is_revisit { id } else { self.group(&job, stamp, id, &embeddings) };
        let arrived_at = Timestamp(jiff::Timestamp::now().as_millisecond());
        let mut views = Vec::new();
        for (PlannedView { task, space, .. }, is_new) in self.plan.of_root(job.root).iter().zip(new) {
            let Some(embedding) = of(&embeddings, space) else { continue };
            let prediction = self.servings.score(task, embedding);
            let predicted = prediction.as_ref().and_then(|scored| scored.top.first()).map(|(label, _)| label.clone());
            if !is_revisit || is_new || prepared.contains(space) {
                let embedding = embedding.to_vec();
                self.online.observe(task, Observed { group, embedding, predicted, arrived_at });
            }
            views.push(View { task: task.clone(), space: *space, is_new, prediction });
        }
        let image = EmbeddedImage { id, bytes, views, embeddings, group, decode, embed };
        Ok(Ingested { root: job.root, path: job.path, stamp, outcome: IngestOutcome::Image(Box::new(image)) })
    }
}

/// Embeddings (dim,), each space once.
pub(super) type Embeddings = Vec<(EmbeddingSpace, Vec<f32>)>;

pub(super) fn of<'a>(embeddings: &'a Embeddings, space: &EmbeddingSpace) -> Option<&'a [f32]> {
    embeddings.iter().find(|(known, _)| known == space).map(|(_, embedding)| embedding.as_slice())
}

/// The groups of near-duplicates. An image is compared with others that were embedded in the same space: a door and a
/// whole yard are no near-duplicates.
#[derive(Debug, Default)]
pub(crate) struct Groupers(Vec<(EmbeddingSpace, Grouper)>);

impl Groupers {
    /// The groups of the watched folders of `plan`, as far as the images stored last tell them.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn restore(reader: &Reader, plan: &ViewPlan) -> Result<Self, StoreError> {
        let mut groupers = Self::default();
        for space in (0..plan.roots()).filter_map(|root| plan.grouping(root)) {
            if groupers.0.iter().all(|(known, _)| *known != space) {
                let recent = reader.recent(&space, Grouper::MEMORY)?;
                let recent = recent.iter().map(|recent| (recent.group, recent.embedding.as_slice()));
                groupers.0.push((space, Grouper::restore(recent)));
            }
        }
        Ok(groupers)
    }

    fn of(&mut self, space: EmbeddingSpace) -> &mut Grouper {
        let place = self.0.iter().position(|(known, _)| *known == space).unwrap_or_else(|| {
            self.0.push((space, Grouper::default()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

#[cfg(test)]
#[path = "ingest_tests.rs"]
mod tests;
