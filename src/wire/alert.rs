//! Conditions that need a person: `alert/<id>`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::words::{Timestamp, keywords};

keywords! {
    /// What alerts are about; the name in the topic.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[cfg_attr(test, derive(schemars::JsonSchema))]
    #[serde(rename_all = "snake_case")]
    pub enum AlertId {
        /// The store has no space left: predictions continue, nothing is stored.
        DiskFull = "disk_full",
        /// The store cannot be written for another reason, with the same effect.
        StoreUnwritable = "store_unwritable",
        /// The camera's images, or the head's accuracy on them, have changed.
        Drift = "drift",
        /// New labels are left out of trainings: older ones contradict them, and no model can learn them.
        Labels = "labels",
        /// The clock is wrong, or was until just now.
        Clock = "clock",
        /// The head that should be in service cannot be.
        Model = "model",
        /// The broker rejects the credentials of this device.
        BrokerCredentials = "broker_credentials",
        /// The broker does not take a message or a subscription, or another client has this one's id.
        MqttRefused = "mqtt_refused",
        /// A watched folder is missing.
        WatchLost = "watch_lost",
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
    /// Its severity and text.
    #[serde(flatten)]
    pub warning: Warning,
}

impl Payload for Alert {
    const WHAT: &'static str = "an alert";
}

/// Severity and text of an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Warning {
    /// Its severity.
    pub severity: Severity,
    /// For people, with the remedy.
    pub text: String,
    /// When it was raised.
    pub since: Timestamp,
}

/// Severity of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Everything still works, but perhaps worse than before.
    Warning,
    /// Something does not work until a person acts or what is missing comes back.
    Error,
}

/// A raised alert, as `status` lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Raised {
    /// Its id.
    pub id: AlertId,
    /// Its severity and text.
    #[serde(flatten)]
    pub warning: Warning,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Keyword as _;

    #[test]
    fn ids_are_the_same_in_topics_and_in_payloads() {
        for id in AlertId::ALL {
            assert_eq!(serde_json::to_value(id).unwrap(), id.as_str());
        }
    }
}
