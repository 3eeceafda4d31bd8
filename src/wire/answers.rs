//! What answers carry beside those that `response` has: heads, samples, an export, labels taken.

use serde::{Deserialize, Serialize};

use crate::words::{Digest, HeadId, HeadRef, HeadStatus, Label, LabelSource, SampleId, Timestamp};

/// Data of `response/promote`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Promoted {
    /// The head in service now.
    pub head: HeadRef,
    /// The head that served before, the same where it served already; null when none did.
    pub from: Option<HeadRef>,
}

/// One of the data of `response/heads`, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HeadEntry {
    /// Identity by content.
    pub id: HeadId,
    /// Rising number within the state folder.
    pub version: u64,
    /// When it was trained.
    pub created: Timestamp,
    /// Name of the backbone whose embeddings it reads.
    pub backbone: String,
    /// What it tells apart, in class order.
    pub classes: Vec<Label>,
    /// Held-out accuracy, 0..1; null with too little held out.
    pub accuracy: Option<f64>,
    /// Where it stands.
    pub status: HeadStatus,
    /// Why, in words and numbers.
    pub reason: String,
}

/// One of the data of `response/samples`, in the order of arrival; also a row of the files that the command line writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SampleEntry {
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Where it was first seen; what is not UTF-8 is replaced.
    pub path: String,
    /// Its label; null without one.
    pub label: Option<Label>,
    /// Who gave the label.
    pub label_source: Option<LabelSource>,
    /// When.
    pub labelled_at: Option<Timestamp>,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// What was said of it then; null when no head served.
    pub predicted: Option<Label>,
    /// With which probability.
    pub probability: Option<f32>,
    /// The first image of its burst.
    pub group: SampleId,
    /// In which it is held out in training; null without a label.
    pub fold: Option<usize>,
}

/// Data of `response/export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Exported {
    /// Where the file lies on the device.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Of its content.
    pub sha256: Digest,
    /// The head in it.
    pub head: HeadRef,
}

/// Data of `response/label`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LabelsTaken {
    /// Items whose image is stored: it has this label now, or none.
    pub set: usize,
    /// Items whose label waits for its image.
    pub kept: usize,
}
