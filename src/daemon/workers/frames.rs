//! Frames of sources in the ingest worker: taken from their slots, then decoded and embedded in turn with files.
//!
//! A frame has no file to come back to: half of one is bad, not unfinished.

use std::time::{Duration, Instant};

use super::ingest::{Embedding, Embeddings, Known, Part, Reading, of};
use super::online_learning::Observed;
use crate::daemon::view_plan::PlannedView;
use crate::engine::{EmbeddedImage, FrameOutcome, FrameRead, Ticket, View};
use crate::image;
use crate::ports::EmbedError;
use crate::source;
use crate::words::{EmbeddingSpace, Region, SampleId, SourceId, Timestamp, error_chain};

/// A frame that was decoded and awaits its embeddings.
pub(super) struct DecodedFrame {
    about: About,
    id: SampleId,
    bytes: u64,
    /// Each part that a task looks at.
    parts: Vec<(EmbeddingSpace, Part)>,
    /// Pixels (n, 3*h*w) of the n parts that are prepared.
    tensors: Vec<f32>,
    /// The views by which the store does not know it.
    new: Vec<bool>,
    decode: Duration,
}

/// Whose frame it is and who waits for it.
struct About {
    source: SourceId,
    stale: bool,
    waiter: Option<Ticket>,
}

impl About {
    fn ended(self, outcome: FrameOutcome) -> FrameRead {
        let Self { source, stale, waiter } = self;
        FrameRead { source, stale, waiter, outcome }
    }
}

impl Reading {
    /// Takes and decodes the frame that waits at `source`.
    pub(super) fn read_frame(&self, source: SourceId) -> Result<DecodedFrame, Box<FrameRead>> {
        let started = Instant::now();
        let Some(frame) = self.slots.take(&source) else {
            let about = About { source, stale: false, waiter: None };
            return Err(Box::new(about.ended(FrameOutcome::Gone)));
        };
        let source::Frame { id, bytes, stale, waiter } = frame;
        let views = self.plan.of_source(&source);
        let about = About { source: source.clone(), stale, waiter };
        let Known { cached, new } = match self.known(views, &id) {
            Ok(known) => known,
            Err(error) => {
                let outcome = FrameOutcome::Unreadable { reason: error_chain(&error) };
                return Err(Box::new(about.ended(outcome)));
            }
        };
        let missing: Vec<Region> =
            cached.iter().filter(|(_, _, cached)| cached.is_none()).map(|(region, ..)| region.clone()).collect();
        let mut tensors = Vec::new();
        if !missing.is_empty() || cached.is_empty() {
            match image::decode(&bytes, &self.limits) {
                Ok(pixels) => tensors = self.preprocess.apply_regions(&pixels, &missing),
                Err(bad) => return Err(Box::new(about.ended(FrameOutcome::Bad { reason: in_words(&bad) }))),
            }
        }
        let part = |(_, space, cached): (_, _, Option<Vec<f32>>)| (space, cached.map_or(Part::Prepared, Part::Cached));
        let parts = cached.into_iter().map(part).collect();
        Ok(DecodedFrame { about, id, bytes: bytes.len() as u64, parts, tensors, new, decode: started.elapsed() })
    }
}

/// Why a frame is no picture: nobody waits until it is whole.
fn in_words(bad: &image::BadImage) -> String {
    if bad.is_incomplete() {
        return "the picture is cut off; check what sends it, and the bounds on its length on the way".to_owned();
    }
    error_chain(bad)
}

impl Embedding {
    /// Embeds a frame and scores it for each task that looks at it.
    pub(super) fn embed_frame(&mut self, frame: DecodedFrame) -> Result<FrameRead, EmbedError> {
        let DecodedFrame { about, id, bytes, parts, tensors, new, decode } = frame;
        let n = parts.iter().filter(|(_, part)| matches!(part, Part::Prepared)).count();
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
        if let Some(reason) = failed.filter(|_| embeddings.is_empty()) {
            return Ok(about.ended(FrameOutcome::Bad { reason }));
        }
        let arrived_at = Timestamp(jiff::Timestamp::now().as_millisecond());
        let mut views = Vec::new();
        for (PlannedView { task, space, .. }, is_new) in self.plan.of_source(&about.source).iter().zip(new) {
            let Some(embedding) = of(&embeddings, space) else { continue };
            let prediction = self.servings.score(task, embedding);
            let predicted = prediction.as_ref().and_then(|scored| scored.top.first()).map(|(label, _)| label.clone());
            // Nothing is stored of it, so it is a burst of its own.
            self.online.observe(task, Observed { group: id, embedding: embedding.to_vec(), predicted, arrived_at });
            views.push(View { task: task.clone(), space: *space, is_new, prediction });
        }
        let image = EmbeddedImage { id, bytes, views, embeddings, group: id, decode, embed };
        Ok(about.ended(FrameOutcome::Image(Box::new(image))))
    }
}
