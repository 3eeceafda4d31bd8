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

use tracing::{error, warn};

use super::frames::DecodedFrame;
use super::online_learning::{self, Observed};
use super::parts::{Embedded, Embeddings, Known, Prepared, of};
use super::pictures::DecodedPicture;
use super::scenes::Scenes;
use crate::daemon::heartbeat::{Heartbeat, Heartbeats};
use crate::daemon::metrics::Metrics;
use crate::daemon::serving::Servings;
use crate::daemon::view_plan::{PlannedView, ViewPlan};
use crate::engine::{
    EmbeddedImage, Event, FRAMES_IN_FLIGHT_MAX, FileStamp, IN_FLIGHT_MAX, IngestOutcome, Ingested, View,
};
use crate::head::HeadRecord;
use crate::image::{Limits, Preprocess};
use crate::ports::{EmbedError, TailedEmbedder};
use crate::shared::files::{PictureError, read_picture};
use crate::source::Slots;
use crate::store::{Reader, StoreError};
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
    /// The kept bytes of this sample.
    Picture(SampleId),
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
    Picture(DecodedPicture),
}

/// A file that was read and awaits its embeddings.
struct Read {
    job: File,
    stamp: FileStamp,
    id: SampleId,
    bytes: u64,
    prepared: Prepared,
    decode: Duration,
}

/// The worker's two threads and its queue.
pub(crate) struct Ingest {
    pub jobs: SyncSender<Job>,
    pub threads: Vec<JoinHandle<Result<(), EmbedError>>>,
}

/// Everything that the worker needs.
pub(crate) struct Parts {
    pub embedder: Box<dyn TailedEmbedder>,
    pub reader: Reader,
    /// Where frames wait.
    pub slots: Arc<Slots>,
    /// Which tasks look at the images of a folder or a source.
    pub plan: ViewPlan,
    /// Whether a thumbnail is made of each image.
    pub thumbnails: bool,
    /// What each source shows.
    pub scenes: Scenes,
    pub groupers: Groupers,
    pub servings: Servings,
    /// For each watched folder, the largest gap in time between images of one burst; zero where only similarity counts.
    pub burst_gaps: Vec<Duration>,
    /// Gets every new embedding.
    pub online: online_learning::Handle,
    pub heartbeats: Heartbeats,
    pub metrics: Arc<Metrics>,
    pub events: SyncSender<Event>,
}

/// Starts the worker; it ends when `jobs` is dropped, or with an error when the backbone fails.
pub(crate) fn spawn(parts: Parts) -> std::io::Result<Ingest> {
    // Room for all files and frames and a picture in flight, so that queueing one never blocks.
    let (jobs, handed_out) = sync_channel(IN_FLIGHT_MAX + FRAMES_IN_FLIGHT_MAX + 1);
    let (decoded, awaiting) = sync_channel(DECODED);
    let (preprocess, thumbnails) = (parts.embedder.preprocess().clone(), parts.thumbnails);
    let (reader, slots) = (parts.reader, parts.slots);
    let (plan, servings, events) = (parts.plan.clone(), parts.servings.clone(), parts.events.clone());
    let heartbeat = parts.heartbeats.read;
    let reading = thread::Builder::new().name("read".into()).spawn(move || {
        let reading =
            Reading { reader, slots, plan, preprocess, limits: Limits::default(), thumbnails, servings, heartbeat };
        reading.read_all(&handed_out, &decoded, &events);
        Ok(())
    })?;
    let embedding = Embedding {
        embedder: parts.embedder,
        followed: Vec::new(),
        plan: parts.plan,
        groupers: parts.groupers,
        scenes: parts.scenes,
        servings: parts.servings,
        burst_gaps: parts.burst_gaps,
        online: parts.online,
        heartbeat: parts.heartbeats.embed,
        metrics: parts.metrics,
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
    pub(super) thumbnails: bool,
    pub(super) servings: Servings,
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
                Job::Picture(id) => {
                    self.read_kept(id).map(Decoded::Picture).map_err(|read| Box::new(Event::Picture(read)))
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
            Ok(false) => Known::of(&self.reader, (self.plan.of_root(job.root), &self.servings), &id, self.thumbnails),
            Err(error) => Err(error),
        };
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                return Err(failed(job, stamp, IngestOutcome::Unreadable { reason: error_chain(&error) }));
            }
        };
        let prepared = match known.prepare(&self.preprocess, &picture.bytes, &self.limits) {
            Ok(prepared) => prepared,
            Err(bad) if bad.is_incomplete() => {
                return Err(failed(job, stamp, IngestOutcome::Incomplete { reason: error_chain(&bad) }));
            }
            Err(bad) => return Err(failed(job, stamp, IngestOutcome::Bad { reason: error_chain(&bad) })),
        };
        let bytes = picture.bytes.len() as u64;
        Ok(Read { job, stamp, id, bytes, prepared, decode: started.elapsed() })
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
    pub(super) embedder: Box<dyn TailedEmbedder>,
    /// The heads whose tails it computes.
    followed: Vec<Arc<HeadRecord>>,
    pub(super) plan: ViewPlan,
    groupers: Groupers,
    pub(super) scenes: Scenes,
    pub(super) servings: Servings,
    burst_gaps: Vec<Duration>,
    pub(super) online: online_learning::Handle,
    heartbeat: Heartbeat,
    metrics: Arc<Metrics>,
    events: SyncSender<Event>,
}

impl Embedding {
    fn embed_all(mut self, awaiting: &Receiver<Decoded>) -> Result<(), EmbedError> {
        for decoded in awaiting {
            let heartbeat = self.heartbeat.clone();
            let event = heartbeat.during(|| match decoded {
                Decoded::File(read) => self.embed(read).map(Event::Ingest),
                Decoded::Frame(frame) => self.embed_frame(frame).map(Event::Frame),
                Decoded::Picture(picture) => self.embed_kept(picture).map(Event::Picture),
            })?;
            if self.events.send(event).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Lets the backbone compute the tails of the heads that serve now; those heads. Where it cannot, their first phases
    /// answer.
    pub(super) fn follow_heads(&mut self) -> Vec<Arc<HeadRecord>> {
        let wanted = self.servings.tailed();
        let ids = |heads: &[Arc<HeadRecord>]| heads.iter().map(|head| head.head.clone()).collect::<Vec<_>>();
        if ids(&wanted) != ids(&self.followed) {
            if let Err(reason) = self.embedder.follow(&wanted) {
                error!(reason, "tuned heads answer by their first phase; roll back or train again");
            }
            self.followed = wanted;
        }
        self.followed.clone()
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

    /// What each task says of an image whose views `new` tells apart; the online worker hears of those that arrive.
    pub(super) fn views(
        &self,
        planned: &[PlannedView],
        new: &[bool],
        (embeddings, tuned): (&Embeddings, &Embeddings),
        group: SampleId,
        arrives: impl Fn(&PlannedView, bool) -> bool,
    ) -> Vec<View> {
        let arrived_at = Timestamp(jiff::Timestamp::now().as_millisecond());
        let view = |(view, &is_new): (&PlannedView, &bool)| {
            let PlannedView { task, space, .. } = view;
            let embedding = of(embeddings, space)?;
            let started = Instant::now();
            let prediction = self.servings.score(task, embedding, tuned);
            if prediction.is_some() {
                self.metrics.took("predict", started.elapsed());
            }
            if arrives(view, is_new) {
                let best = prediction.as_ref().and_then(|scored| scored.top.first());
                let (predicted, embedding) = (best.map(|(label, _)| label.clone()), embedding.to_vec());
                self.online.observe(task, Observed { group, embedding, predicted, arrived_at });
            }
            Some(View { task: task.clone(), space: *space, is_new, prediction })
        };
        planned.iter().zip(new).filter_map(view).collect()
    }

    fn embed(&mut self, read: Read) -> Result<Ingested, EmbedError> {
        let Read { job, stamp, id, bytes, prepared, decode } = read;
        let heads = self.follow_heads();
        let Embedded { embeddings, tuned, made, parts, new, thumbnail, embed, failed } =
            prepared.embed(&mut *self.embedder, &heads)?;
        if let Some(reason) = failed {
            if embeddings.is_empty() {
                let outcome = IngestOutcome::Bad { reason };
                return Ok(Ingested { root: job.root, path: job.path, stamp, outcome });
            }
            // Tasks that look at another part of it are not kept from it.
            warn!(path = %job.path.display(), reason, "a part of the image has no embedding");
        }
        // It was read again for what some task has not seen of it: to the others it is no arrival.
        let is_revisit = new.contains(&false) && (new.contains(&true) || (1..parts).contains(&made.len()));
        let group = if is_revisit { id } else { self.group(&job, stamp, id, &embeddings) };
        let views = self.views(self.plan.of_root(job.root), &new, (&embeddings, &tuned), group, |view, is_new| {
            !is_revisit || is_new || made.contains(&view.space)
        });
        let image = EmbeddedImage { id, bytes, views, embeddings, thumbnail, picture: None, group, decode, embed };
        Ok(Ingested { root: job.root, path: job.path, stamp, outcome: IngestOutcome::Image(Box::new(image)) })
    }
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
