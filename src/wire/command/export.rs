//! `request/export`: the model in service as a file.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Empty, Spec};
use crate::words::{Digest, HeadRef};

/// Write backbone and head in service as one ONNX file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export;

impl Spec for Export {
    const NAME: &'static str = "export";
    const ABOUT: &'static str = "Write backbone and head in service as one ONNX file.";
    const EFFECT: Effect = Effect::Works;
    type Arguments = Empty;
    type Data = Exported;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }
}

/// Data of `response/export`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Exported {
    /// Path of the file on the device.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub sha256: Digest,
    /// The head in it.
    pub head: HeadRef,
}
