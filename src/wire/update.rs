//! What is said of updates: `update/<kind>/state` and `update/<kind>/request`. The manifest that comes in is a matter of
//! its own, since its bytes are signed.

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::words::Digest;

/// Where an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum UpdatePhase {
    /// Nothing is under way.
    #[default]
    Idle,
    /// Chunks are fetched.
    Downloading,
    /// The file is whole; it is held against the manifest, and a head against this device's images.
    Verifying,
    /// The file is what the manifest says; a backbone embeds this device's images and is compared.
    Verified,
    /// It is installed and has not proved itself yet.
    Trial,
}

/// `update/<kind>/state`: what is installed and what is under way, with the names that Home Assistant has for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpdateState {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// Version of the update that was installed last; null before the first.
    pub installed_version: Option<String>,
    /// Version under way, else the installed one.
    pub latest_version: Option<String>,
    /// Whether one is under way.
    pub in_progress: bool,
    /// How much of it is here, or of a verified backbone how many images it has embedded, 0 to 100; null when none is under
    /// way.
    #[cfg_attr(test, schemars(range(max = 100)))]
    pub update_percentage: Option<u8>,
    /// Where it is.
    pub phase: UpdatePhase,
    /// Why the last manifest was refused or its update failed; null when it was not.
    pub error: Option<UpdateError>,
    /// SHA-256 of the payload on `update/<kind>/desired` that was looked at last in this run of the daemon.
    pub manifest: Option<Digest>,
}

impl Payload for UpdateState {
    const WHAT: &'static str = "an update's state";
}

/// Why an update was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpdateError {
    /// For programs; `docs/updates.md` lists them.
    pub code: String,
    /// For people, with the next act.
    pub message: String,
}

/// `update/<kind>/request`: chunks to be sent to `update/<kind>/chunk/<sha256>/<n>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ChunkRequest {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// Of the whole file.
    pub sha256: Digest,
    /// Numbers from 0, in the order in which they are wanted.
    pub chunks: Vec<u32>,
}

impl Payload for ChunkRequest {
    const WHAT: &'static str = "a request for chunks";
}
