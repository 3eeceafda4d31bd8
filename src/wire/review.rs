//! What somebody may be asked: `review`.

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::eval::next_class::Advice;
use crate::eval::review::Reason;
use crate::words::{Label, SampleId};

/// The most images on the list.
pub const MAX_REVIEW_ITEMS: usize = 20;

/// `review`: images that are worth a label, in the order in which to work through them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReviewList {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// What to label.
    #[serde(flatten)]
    pub body: ReviewItems,
}

impl Payload for ReviewList {
    const WHAT: &'static str = "a review list";
}

/// The list itself, also the data of `response/review`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReviewItems {
    /// At most [`MAX_REVIEW_ITEMS`].
    #[cfg_attr(test, schemars(length(max = 20), description = "At most 20, the most urgent first."))]
    pub items: Vec<ReviewItem>,
    /// The class that would gain most from more labels; null while nothing can be said.
    pub advice: Option<Advice>,
}

/// One image that is worth a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReviewItem {
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Where it lies.
    pub path: String,
    /// Why it is asked for.
    pub reason: Reason,
    /// What its label may be; null when nothing can be said.
    pub suggestion: Option<Label>,
    /// How likely that is; null as above.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub probability: Option<f32>,
    /// For a suspicious label: what it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Label"))]
    pub label: Option<Label>,
    /// For a suspicious label: the labelled images most like it, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub neighbours: Vec<ReviewNeighbour>,
}

/// A labelled image like the one in question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReviewNeighbour {
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Its label.
    pub label: Label,
    /// Cosine distance of the embeddings, 0..2.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 2.0)))]
    pub distance: f64,
}
