//! What needs a person: `alert/<id>`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::words::Timestamp;

/// What alerts are about; the name in the topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AlertId {
    /// There is no room for the store: predictions go on, nothing is stored.
    DiskFull,
    /// The store cannot be written for another reason: the same follows.
    StoreUnwritable,
    /// What the camera sees, or how the head does on it, has changed.
    Drift,
    /// The clock is wrong, or was until just now.
    Clock,
    /// No head can serve that should.
    Model,
    /// The broker does not let this device in.
    BrokerCredentials,
    /// A watched folder is not there.
    WatchLost,
}

impl AlertId {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::DiskFull,
        Self::StoreUnwritable,
        Self::Drift,
        Self::Clock,
        Self::Model,
        Self::BrokerCredentials,
        Self::WatchLost,
    ];

    /// As in the topic.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk_full",
            Self::StoreUnwritable => "store_unwritable",
            Self::Drift => "drift",
            Self::Clock => "clock",
            Self::Model => "model",
            Self::BrokerCredentials => "broker_credentials",
            Self::WatchLost => "watch_lost",
        }
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `alert/<id>`, retained; an empty payload clears it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Alert {
    /// Schema version, time, number and start of the daemon.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Warning {
    /// How bad it is.
    pub severity: Severity,
    /// In words, with the next act.
    pub text: String,
    /// Since when.
    pub since: Timestamp,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Everything promised is done, but perhaps worse than before.
    Warning,
    /// Something is not done until a person acts or what is missing comes back.
    Error,
}

/// An alert that is up, as `status` lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Raised {
    /// What it is about.
    pub id: AlertId,
    /// What it says.
    #[serde(flatten)]
    pub warning: Warning,
}
