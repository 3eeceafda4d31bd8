//! What is sent to the device and the reports about it: settings, desired on `config/desired` and in force on
//! `config/reported`; updates, on `update/<kind>/state` and `update/<kind>/request`. The manifest of an update is not
//! read here, since its bytes are signed.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::payload::{BadPayload, bounded, from_json};
use super::{Envelope, Payload};
use crate::words::Digest;

/// `config/desired`: a patch over the device's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Desired {
    /// Must be above the last one that was applied.
    pub version: u64,
    /// Settings under their keys, nested as in the configuration file; it replaces the previous patch.
    pub patch: Map<String, Value>,
}

impl Desired {
    /// Reads a payload; an empty one asks for the file's configuration again.
    ///
    /// # Errors
    /// [`BadPayload`] when it is neither empty nor `{version, patch}`.
    pub fn parse(payload: &[u8]) -> Result<Option<Self>, BadPayload> {
        match bounded(payload)? {
            [] => Ok(None),
            some => from_json(some, "{version, patch}").map(Some),
        }
    }
}

/// `config/reported`: the outcome of the patch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reported {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The answer to the patch.
    #[serde(flatten)]
    pub answer: PatchAnswer,
    /// The settings in force, without secrets.
    pub effective: Value,
}

impl Payload for Reported {
    const WHAT: &'static str = "a reported configuration";
}

/// The outcome of the last patch that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PatchAnswer {
    /// Version of that patch; null before the first one and after a return to the file.
    pub version: Option<u64>,
    /// Dotted keys that it sets, in force now; empty when it was rejected or reverted.
    pub applied: Vec<String>,
    /// Keys because of which it was rejected.
    pub rejected: Vec<RejectedKey>,
    /// Its state.
    pub state: PatchState,
}

/// State of a patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PatchState {
    /// It is in force permanently; also without a patch.
    #[default]
    Confirmed,
    /// It is in force, and is reverted automatically when the daemon does not work with it.
    Trial,
    /// It was rejected as a whole.
    Rejected,
    /// It was in force, the daemon did not work with it, and the previous settings are in force again.
    Reverted,
}

/// A rejected key, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RejectedKey {
    /// Dotted; `version` when that is too low, empty for a problem of the patch as a whole.
    pub key: String,
    /// What is wrong with it, for people, with the remedy.
    pub error: String,
}

/// Progress of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum UpdatePhase {
    /// No update is in progress.
    #[default]
    Idle,
    /// Chunks are requested.
    Downloading,
    /// The file is complete; it is compared with the manifest, and a head is evaluated on this device's images.
    Verifying,
    /// The file is what the manifest says; a backbone embeds this device's images and is compared.
    Verified,
    /// It is installed and on probation.
    Trial,
}

/// `update/<kind>/state`: the installed version and the update in progress, with Home Assistant's field names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpdateState {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// Version of the update that was installed last; null before the first.
    pub installed_version: Option<String>,
    /// Version in progress, else the installed one.
    pub latest_version: Option<String>,
    /// Whether one is in progress.
    pub in_progress: bool,
    /// How much of it is here, or of a verified backbone how many images it has embedded, 0 to 100; null when none is under
    /// way.
    #[cfg_attr(test, schemars(range(max = 100)))]
    pub update_percentage: Option<u8>,
    /// Its phase.
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
    /// For people, with the remedy.
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
