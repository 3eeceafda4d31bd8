//! Frames of sources in the ingest worker: taken from their slots, then decoded and embedded in turn with files.
//!
//! A frame has no file to come back to: half of one is bad, not unfinished.

use std::time::{Duration, Instant};

use super::ingest::{Embedding, Reading};
use super::parts::{Embedded, Known, Prepared};
use crate::engine::{EmbeddedImage, FrameOutcome, FrameRead, Ticket};
use crate::image;
use crate::ports::EmbedError;
use crate::source;
use crate::words::{SampleId, SourceId, error_chain};

/// A frame that was decoded and awaits its embeddings.
pub(super) struct DecodedFrame {
    about: About,
    id: SampleId,
    bytes: Vec<u8>,
    prepared: Prepared,
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
        let known = Known::of(&self.reader, (self.plan.of_source(&source), &self.servings), &id, self.thumbnails);
        let about = About { source, stale, waiter };
        let prepared = match known.map(|known| known.prepare(&self.preprocess, &bytes, &self.limits)) {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(bad)) => return Err(Box::new(about.ended(FrameOutcome::Bad { reason: in_words(&bad) }))),
            Err(error) => {
                let outcome = FrameOutcome::Unreadable { reason: error_chain(&error) };
                return Err(Box::new(about.ended(outcome)));
            }
        };
        Ok(DecodedFrame { about, id, bytes, prepared, decode: started.elapsed() })
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
        let DecodedFrame { about, id, bytes, prepared, decode } = frame;
        let heads = self.follow_heads();
        let Embedded { embeddings, tuned, new, thumbnail, embed, failed, .. } =
            prepared.embed(&mut *self.embedder, &heads)?;
        if let Some(reason) = failed.filter(|_| embeddings.is_empty()) {
            return Ok(about.ended(FrameOutcome::Bad { reason }));
        }
        let (group, is_kept) = self.scenes.place(&about.source, id, &embeddings, Instant::now());
        let views = self.views(self.plan.of_source(&about.source), &new, (&embeddings, &tuned), group, |_, _| true);
        let (length, picture) = (bytes.len() as u64, is_kept.then_some(bytes));
        let image = EmbeddedImage { id, bytes: length, views, embeddings, thumbnail, picture, group, decode, embed };
        Ok(about.ended(FrameOutcome::Image(Box::new(image))))
    }
}
