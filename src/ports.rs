//! The ways in which deciding code reaches the world, as traits.
//!
//! Durable changes have no trait: their port is the vocabulary [`crate::engine::Write`], which the store
//! interprets in one way and a simulation in another. Time is a value ([`crate::words::Now`]).

use std::sync::Arc;
use std::time::Duration;

use crate::engine::Ticket;
use crate::head::HeadRecord;
use crate::image::Preprocess;
use crate::wire::views::{Confusion, Index, Map, Neighbour};
use crate::words::{EmbeddingSpace, SampleId, ShortId, SourceId, TaskId};

/// A frozen network that turns prepared images into embeddings.
pub trait Embedder: Send {
    /// Where its embeddings can be compared.
    fn space(&self) -> EmbeddingSpace;

    /// What an image has to go through before [`Embedder::embed`].
    fn preprocess(&self) -> &Preprocess;

    /// Embeds `n` prepared images lying one behind another in `tensors` (n, 3*h*w) and returns (n, dim), row by row.
    ///
    /// # Errors
    /// [`EmbedError`] when the network fails or emits a value that is not finite.
    fn embed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<f32>, EmbedError>;

    /// Embeds as [`Embedder::embed`] does, but a value that is not finite costs its own image alone: n results in order,
    /// each (dim,), or [`EmbedError::NotFinite`].
    ///
    /// # Errors
    /// [`EmbedError::Backend`] when the network fails.
    fn embed_each(&mut self, tensors: &[f32], n: usize) -> Result<Vec<Result<Vec<f32>, EmbedError>>, EmbedError> {
        let dim = self.space().dim;
        match self.embed(tensors, n) {
            Ok(rows) => Ok(rows.chunks_exact(dim).map(|row| Ok(row.to_vec())).collect()),
            Err(error @ EmbedError::Backend { .. }) => Err(error),
            Err(error) if n == 1 => Ok(vec![Err(error)]),
            Err(_) => {
                let one_by_one = tensors.chunks_exact(tensors.len() / n).map(|tensor| match self.embed(tensor, 1) {
                    Err(error @ EmbedError::Backend { .. }) => Err(error),
                    result => Ok(result),
                });
                one_by_one.collect()
            }
        }
    }
}

/// An embedder that also knows last layers in other versions, of heads that were trained together with them.
pub trait TailedEmbedder: Embedder {
    /// The heads whose tails it computes from now on beside its own embeddings.
    ///
    /// # Errors
    /// Why it cannot; it computes none then.
    fn follow(&mut self, heads: &[Arc<HeadRecord>]) -> Result<(), String> {
        if heads.is_empty() { Ok(()) } else { Err("this backbone has no layers that can be exchanged".to_owned()) }
    }

    /// Embeds as [`Embedder::embed_each`] does; with each embedding what the tails make of the same image, in the order of
    /// their heads, where they make finite values.
    ///
    /// # Errors
    /// [`EmbedError::Backend`] when the network fails.
    fn embed_tailed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<TailedRow>, EmbedError> {
        Ok(self.embed_each(tensors, n)?.into_iter().map(|row| (row, Vec::new())).collect())
    }
}

/// An embedding (dim,), or why there is none, and what tails make of the same image (dim,).
pub type TailedRow = (Result<Vec<f32>, EmbedError>, Vec<Vec<f32>>);

/// Where frames of sources go that come beside other messages. No call waits.
pub trait FrameSink: Send + Sync {
    /// A message came on a topic of `source`; the broker had kept it where it is `retained`.
    fn bring(&self, source: &SourceId, payload: Vec<u8>, retained: bool);

    /// One was longer than a message may be, and was thrown away.
    fn too_large(&self, source: &SourceId, bytes: usize);

    /// Somebody posted a picture, and waits for the answer where there is a `waiter`; it gets one in any case.
    ///
    /// # Errors
    /// [`RefusedFrame`]; nobody is answered then.
    fn post(&self, source: &SourceId, payload: Vec<u8>, waiter: Option<Ticket>) -> Result<SampleId, RefusedFrame>;
}

/// What samples look like. Every call reads the disk and may take as long as that does.
pub trait PictureSource: Send + Sync {
    /// In small, as a JPEG; `None` where there is no thumbnail, or no such sample.
    ///
    /// # Errors
    /// Why the store cannot be read, in one line.
    fn thumbnail(&self, image: &ImageName) -> Result<Option<Vec<u8>>, String>;

    /// The pixels alone, as a JPEG for a screen; `None` where nothing has them any more, or they cannot be decoded.
    ///
    /// # Errors
    /// Why the store cannot be read, in one line.
    fn image(&self, image: &ImageName) -> Result<Option<Vec<u8>>, String>;
}

/// How a client names a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageName {
    /// By its identity.
    Whole(SampleId),
    /// By the start of that, which is nobody's name where several samples begin so.
    Start(ShortId),
}

/// What the samples and the past of each task are like. Every call but the first two reads the disk and may take as long as
/// that does; what goes through all embeddings keeps nobody else waiting.
#[allow(clippy::missing_errors_doc, reason = "the variants of NoView say when")]
pub trait SampleViews: Send + Sync {
    /// The task that is meant by this name, or by none.
    fn task(&self, named: Option<&str>) -> Result<TaskId, NoView>;

    /// What an index or a map of now would have as its revision; while samples are being written, that of none.
    fn revision(&self) -> String;

    /// Every sample of a task.
    fn index(&self, task: &TaskId) -> Result<Arc<Index>, NoView>;

    /// Every sample of a task on a plane.
    fn map(&self, task: &TaskId) -> Result<Arc<Map>, NoView>;

    /// The labelled samples of a task that are most like an image, nearest first, at most `number`.
    fn neighbours(&self, task: &TaskId, image: &ImageName, number: usize) -> Result<Vec<Neighbour>, NoView>;

    /// The latest results of a task's trainings, as JSON, newest first.
    fn trainings(&self, task: &TaskId, limit: usize) -> Result<Vec<Vec<u8>>, NoView>;

    /// The latest events, as JSON, newest first.
    fn events(&self, limit: usize) -> Result<Vec<Vec<u8>>, NoView>;

    /// Which classes a training took for which; the last one with answers where no number is given.
    fn confusion(&self, task: &TaskId, training: Option<u64>) -> Result<Confusion, NoView>;
}

/// Why there is nothing to see; each with the next act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoView {
    /// What was asked for makes no sense.
    BadRequest(String),
    /// It does not exist, or not any more.
    NotFound(String),
    /// The store cannot be read.
    Failed(String),
}

/// What is counted of the work over HTTP, and what a scrape gets.
pub trait Metrics: Send + Sync {
    /// A request was answered: the pattern of its route where it met one, the status, and how long that took.
    fn answered(&self, route: Option<&str>, status: u16, took: Duration);

    /// Everything that is measured, in the text format of Prometheus, while so many clients watch. Nothing is waited for.
    fn text(&self, watchers: usize) -> String;
}

/// Why a posted picture was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefusedFrame {
    /// The configuration has no such source.
    NoSuchSource,
    /// It is none, with the next act.
    NotAPicture(String),
    /// Too many pictures wait.
    NoRoom,
}

/// Why a prepared image has no embedding.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The network itself failed; nothing embeds until it is opened again.
    #[error("the backbone failed on {n} picture(s), so prove the model anew with 'edgetuned backbone add'")]
    Backend {
        /// Images in the batch.
        n: usize,
        /// The runtime's own words.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// This image makes the network emit a value that is not finite.
    #[error("the backbone emits {value} at position {place} of the embedding, so the image has none")]
    NotFinite {
        /// Index of the image in the batch.
        image: usize,
        /// Index within its embedding.
        place: usize,
        /// The value.
        value: f32,
    },
}
