//! Images that are worth a label: `request/review`, and the topic `review`.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Empty, Spec};
use crate::wire::{Envelope, Payload};
use crate::words::{Label, SampleId, SourceId, TaskId, keywords};

/// The most images on the list.
pub const MAX_REVIEW_ITEMS: usize = 20;

/// List the images that are worth a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review;

impl Spec for Review {
    const NAME: &'static str = "review";
    const ABOUT: &'static str = "List the images that are worth a label, as on the topic review.";
    const EFFECT: Effect = Effect::Reads;
    type Arguments = Empty;
    type Data = ReviewItems;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }
}

/// `review`: images that are worth a label, the most urgent first.
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
    /// The task that it is about; left out where the configuration names no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "TaskId"))]
    pub task: Option<TaskId>,
    /// At most [`MAX_REVIEW_ITEMS`].
    #[cfg_attr(test, schemars(length(max = 20), description = "At most 20, the most urgent first."))]
    pub items: Vec<ReviewItem>,
    /// The class that would gain most from more labels; null while none is known.
    pub advice: Option<ReviewAdvice>,
}

/// One image that is worth a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReviewItem {
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Its path; left out for a frame that is not a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub path: Option<String>,
    /// The source that it is a frame of; left out for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "SourceId"))]
    pub source: Option<SourceId>,
    /// Why it is on the list.
    pub reason: ReviewReason,
    /// A suggested label; null without one.
    pub suggestion: Option<Label>,
    /// The suggestion's probability; null without one.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub probability: Option<f32>,
    /// For a suspicious label: the present label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Label"))]
    pub label: Option<Label>,
    /// For a suspicious label: the most similar labelled images, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub neighbours: Vec<ReviewNeighbour>,
}

keywords! {
    /// Why an image is on the list.
    #[derive(PartialOrd, Ord, Serialize, Deserialize)]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    #[serde(rename_all = "snake_case")]
    pub enum ReviewReason {
        /// It is like none of the classes.
        Novel = "novel",
        /// The head is undecided between two classes.
        Uncertain = "uncertain",
        /// It represents many images without a label.
        Diverse = "diverse",
        /// It was drawn at random, for the live accuracy.
        Audit = "audit",
        /// Its label is probably wrong.
        Suspicious = "suspicious",
    }
}

/// The class of which more labels would help most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReviewAdvice {
    /// The class.
    pub class: Label,
    /// How many more labels of it.
    pub labels: u64,
    /// Their estimated gain in balanced accuracy, 0..1.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub gain: f64,
}

/// A labelled image similar to the one on the list.
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
