//! What comes from sources, and what became of a frame.

use super::{EmbeddedImage, Ticket};
use crate::words::{SampleId, SourceId};

/// What came from a source since it was last asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceCounts {
    /// Pictures that differ from the one before.
    pub frames: u64,
    /// Of these, replaced by a newer one before anybody looked.
    pub skipped: u64,
    /// Pictures that were the one before once more, and answers that nothing changed.
    pub frozen: u64,
    /// What was no picture, and attempts to get one that failed.
    pub failed: u64,
}

/// The news of one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceNews {
    /// Whose.
    pub source: SourceId,
    /// What came.
    pub counts: SourceCounts,
    /// Whether a frame waits to be taken.
    pub waits: bool,
    /// Why the last failure was one; `None` where there was none, or a picture came after it.
    pub failure: Option<String>,
}

/// What became of the frame that was taken from a source, for [`super::super::Act::IngestFrame`].
#[derive(Debug)]
pub struct FrameRead {
    /// Whose.
    pub source: SourceId,
    /// Whether it was made before we looked: a broker kept it.
    pub stale: bool,
    /// Who waits for the answer to it.
    pub waiter: Option<Ticket>,
    /// The result.
    pub outcome: FrameOutcome,
}

/// A kept frame was read again, for [`super::super::Act::IngestPicture`].
#[derive(Debug)]
pub struct PictureRead {
    /// The sample.
    pub id: SampleId,
    /// What it shows; `None` where its bytes are not kept any more, or cannot be read.
    pub image: Option<Box<EmbeddedImage>>,
}

/// The result of reading one frame.
#[derive(Debug)]
pub enum FrameOutcome {
    /// It is an image and has an embedding.
    Image(Box<EmbeddedImage>),
    /// It is half of one, damaged, hostile, of another kind or too large.
    Bad {
        /// Why.
        reason: String,
    },
    /// The store could not be asked about it.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// None waited any more.
    Gone,
}
