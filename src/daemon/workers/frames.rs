//! Frames of sources in the ingest worker: taken from their slots, then decoded and embedded in turn with files.
//!
//! A frame has no file to come back to: half of one is bad, not unfinished.

use std::time::{Duration, Instant};

use super::ingest::{Embedding, Reading};
use super::online_learning::Observed;
use crate::engine::{EmbeddedImage, FrameOutcome, FrameRead, Ticket};
use crate::image;
use crate::ports::EmbedError;
use crate::source;
use crate::words::{SampleId, SourceId, Timestamp, error_chain};

/// A frame that was decoded and awaits its embedding.
pub(super) struct DecodedFrame {
    about: About,
    id: SampleId,
    bytes: u64,
    input: Input,
    decode: Duration,
}

/// Whose frame it is and who waits for it.
struct About {
    source: SourceId,
    stale: bool,
    waiter: Option<Ticket>,
}

enum Input {
    /// Prepared pixels, (3*h*w,).
    Tensor(Vec<f32>),
    /// The store has its embedding, (dim,).
    Cached(Vec<f32>),
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
        let about = About { source, stale, waiter };
        let input = match self.reader.embedding(&id, &self.space) {
            Ok(Some(embedding)) => Input::Cached(embedding),
            Ok(None) => match image::decode(&bytes, &self.limits) {
                Ok(pixels) => Input::Tensor(self.preprocess.apply(&pixels)),
                Err(bad) => return Err(Box::new(about.ended(FrameOutcome::Bad { reason: in_words(&bad) }))),
            },
            Err(error) => {
                let outcome = FrameOutcome::Unreadable { reason: error_chain(&error) };
                return Err(Box::new(about.ended(outcome)));
            }
        };
        Ok(DecodedFrame { about, id, bytes: bytes.len() as u64, input, decode: started.elapsed() })
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
    /// Embeds a frame and scores it.
    pub(super) fn embed_frame(&mut self, frame: DecodedFrame) -> Result<FrameRead, EmbedError> {
        let DecodedFrame { about, id, bytes, input, decode } = frame;
        let (embedding, embed) = match input {
            Input::Cached(embedding) => (embedding, Duration::ZERO),
            Input::Tensor(tensor) => {
                let started = Instant::now();
                match self.embedder.embed(&tensor, 1) {
                    Ok(embedding) => (embedding, started.elapsed()),
                    Err(error @ EmbedError::NotFinite { .. }) => {
                        return Ok(about.ended(FrameOutcome::Bad { reason: error_chain(&error) }));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let group = self.grouper.assign(id, &embedding);
        let prediction = self.serving.score(&embedding);
        let predicted = prediction.as_ref().and_then(|scored| scored.top.first()).map(|(label, _)| label.clone());
        let arrived_at = Timestamp(jiff::Timestamp::now().as_millisecond());
        self.online.observe(Observed { group, embedding: embedding.clone(), predicted, arrived_at });
        let image = EmbeddedImage { id, bytes, embedding, group, prediction, decode, embed };
        Ok(about.ended(FrameOutcome::Image(Box::new(image))))
    }
}
