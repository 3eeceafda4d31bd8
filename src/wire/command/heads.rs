//! `request/heads`: every head that is kept.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Empty, Spec};
use crate::words::{HeadId, HeadStatus, Label, Timestamp};

/// List heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heads;

impl Spec for Heads {
    const NAME: &'static str = "heads";
    const ABOUT: &'static str = "List every head, oldest first.";
    const EFFECT: Effect = Effect::Reads;
    type Arguments = Empty;
    type Data = Vec<HeadEntry>;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }
}

/// One of the data of `response/heads`, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HeadEntry {
    /// Identity by content.
    pub id: HeadId,
    /// Number that rises within the state folder.
    pub version: u64,
    /// When it was trained.
    pub created: Timestamp,
    /// Name of the backbone whose embeddings it reads.
    pub backbone: String,
    /// The classes that it distinguishes, in class order.
    pub classes: Vec<Label>,
    /// Held-out accuracy, 0..1; null with too few held-out samples.
    pub accuracy: Option<f64>,
    /// Its status.
    pub status: HeadStatus,
    /// The reason for the status, in words and numbers.
    pub reason: String,
}
