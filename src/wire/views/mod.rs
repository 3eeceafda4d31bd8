//! What is read at socket and door beside the requests: lists for pages and programs that look at all samples at once, and
//! reports of the past.
//!
//! Large lists have two forms: JSON, and columns of numbers that a program maps into memory without reading them one by
//! one ([`octets`]). Both have the same [`Index::revision`].

mod confusion;
mod index;
mod map;
pub mod octets;

use serde::{Deserialize, Serialize};

use crate::words::{Label, SampleId};

pub use confusion::{Confusion, ConfusionCell, MAX_CELL_IMAGES, Trained};
pub use index::{Index, IndexColumns, IndexData, IndexEntry, IndexLists};
pub use map::{Map, MapPoint, Place};

/// Results of trainings that are kept of each task.
pub const MAX_TRAININGS: usize = 50;
/// Events that are kept.
pub const MAX_EVENTS: usize = 200;
/// The most neighbours in one answer.
pub const MAX_NEIGHBOURS: usize = 50;
/// Neighbours in an answer that was asked for without a number.
pub const DEFAULT_NEIGHBOURS: usize = 8;

/// A labelled image that is like another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Neighbour {
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Its label.
    pub label: Label,
    /// Cosine distance of the embeddings, 0..2.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 2.0)))]
    pub distance: f64,
}
