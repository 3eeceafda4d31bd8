//! What needs a person: `alert/<id>`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::words::Timestamp;

/// What alerts are about; the name in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertId {
    /// What the camera sees, or how the head does on it, has changed.
    Drift,
}

impl AlertId {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Drift];

    /// As in the topic.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drift => "drift",
        }
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `alert/<id>`, retained; an empty payload clears it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// Of this message.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// What it says.
    #[serde(flatten)]
    pub warning: Warning,
}

impl Payload for Alert {
    const WHAT: &'static str = "an alert";
}

/// What an alert says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// How bad it is.
    pub severity: Severity,
    /// In words, with the next act.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Predictions may be worse than they were.
    Warning,
}
