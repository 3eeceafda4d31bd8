//! The configuration's twin: what is wanted from afar on `config/desired`, what holds here on `config/reported`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::payload::{BadPayload, bounded, from_json};
use super::{Envelope, Payload};

/// `config/desired`: a patch over the device's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Desired {
    /// Has to exceed the last one that was applied.
    pub version: u64,
    /// Settings under their keys, nested as in the configuration file; it replaces the patch before.
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

/// `config/reported`: what became of the patch.
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

/// What became of the last patch that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PatchAnswer {
    /// Version of that patch; null before the first one and after a return to the file.
    pub version: Option<u64>,
    /// Dotted keys that it sets, in force now; empty when it was rejected or taken back.
    pub applied: Vec<String>,
    /// Keys because of which nothing of it was taken.
    pub rejected: Vec<RejectedKey>,
    /// Where it stands.
    pub state: PatchState,
}

/// Where a patch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PatchState {
    /// It is in force for good; also when there is none.
    #[default]
    Confirmed,
    /// It is in force and goes by itself when the daemon does not work with it.
    Trial,
    /// Nothing of it was taken.
    Rejected,
    /// It was in force, the daemon did not work with it, and the settings before it hold again.
    Reverted,
}

/// A key that is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RejectedKey {
    /// Dotted; `version` when that is too low, empty when the patch as a whole is at fault.
    pub key: String,
    /// What is wrong with it, in words with the next act.
    pub error: String,
}
