//! Conditions that need a person: `alert/<id>`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::words::{Keyword as _, SourceId, TaskId, Timestamp, keywords};

/// What alerts are about; the name in the topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum AlertId {
    /// The store has no space left: predictions continue, nothing is stored.
    DiskFull,
    /// The store cannot be written for another reason, with the same effect.
    StoreUnwritable,
    /// The camera's images, or the head's accuracy on them, have changed.
    Drift,
    /// New labels are left out of trainings: older ones contradict them, and no model can learn them.
    Labels,
    /// The clock is wrong, or was until just now.
    Clock,
    /// The head that should be in service cannot be.
    Model,
    /// The broker rejects the credentials of this device.
    BrokerCredentials,
    /// The broker does not take a message or a subscription, or another client has this one's id.
    MqttRefused,
    /// Another execution provider computes the backbone than the one that was asked for first.
    Provider,
    /// A watched folder is missing.
    WatchLost,
    /// Something of this task, where the configuration names tasks.
    OfTask(TaskAlert, TaskId),
    /// This source brings no new frames.
    Source(SourceId),
}

keywords! {
    /// Conditions that each task has of its own.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum TaskAlert {
        /// The task's images, or its head's accuracy on them, have changed.
        Drift = "drift",
        /// New labels are left out of the task's trainings.
        Labels = "labels",
        /// The head that should be in service for the task cannot be.
        Model = "model",
    }
}

impl TaskAlert {
    /// The alert of `task`; the device's where the configuration names no tasks.
    #[must_use]
    pub fn of(self, task: Option<&TaskId>) -> AlertId {
        match (task, self) {
            (Some(task), _) => AlertId::OfTask(self, task.clone()),
            (None, Self::Drift) => AlertId::Drift,
            (None, Self::Labels) => AlertId::Labels,
            (None, Self::Model) => AlertId::Model,
        }
    }
}

/// What comes before the id of a source.
const SOURCE: &str = "source";

impl AlertId {
    /// Those of a device whose configuration names neither tasks nor sources, in their order.
    pub const PLAIN: &'static [Self] = &[
        Self::DiskFull,
        Self::StoreUnwritable,
        Self::Drift,
        Self::Labels,
        Self::Clock,
        Self::Model,
        Self::BrokerCredentials,
        Self::MqttRefused,
        Self::Provider,
        Self::WatchLost,
    ];

    /// How severe it can be.
    #[must_use]
    pub fn severities(&self) -> &'static [Severity] {
        match self {
            Self::Clock | Self::WatchLost => &[Severity::Warning, Severity::Error],
            Self::Drift
            | Self::Labels
            | Self::OfTask(TaskAlert::Drift | TaskAlert::Labels, _)
            | Self::Provider
            | Self::Source(_) => &[Severity::Warning],
            Self::DiskFull
            | Self::StoreUnwritable
            | Self::Model
            | Self::OfTask(TaskAlert::Model, _)
            | Self::BrokerCredentials
            | Self::MqttRefused => &[Severity::Error],
        }
    }

    /// Every alert that a device with these tasks and sources can raise; of tasks, those that the configuration names.
    #[must_use]
    pub fn possible(tasks: &[TaskId], sources: &[SourceId]) -> Vec<Self> {
        let of_task = |task: &TaskId| TaskAlert::ALL.iter().map(|alert| alert.of(Some(task))).collect::<Vec<_>>();
        let of_tasks = tasks.iter().flat_map(of_task);
        let of_sources = sources.iter().cloned().map(Self::Source);
        Self::PLAIN.iter().cloned().chain(of_tasks).chain(of_sources).collect()
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiskFull => "disk_full",
            Self::StoreUnwritable => "store_unwritable",
            Self::Drift => "drift",
            Self::Labels => "labels",
            Self::Clock => "clock",
            Self::Model => "model",
            Self::BrokerCredentials => "broker_credentials",
            Self::MqttRefused => "mqtt_refused",
            Self::Provider => "provider",
            Self::WatchLost => "watch_lost",
            Self::OfTask(alert, task) => return write!(f, "{}_{task}", alert.as_str()),
            Self::Source(source) => return write!(f, "{SOURCE}_{source}"),
        })
    }
}

/// Why a text names no alert.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no alert has the id {found:?}")]
pub struct BadAlertId {
    /// The text, cut to 80 characters.
    pub found: String,
}

impl FromStr for AlertId {
    type Err = BadAlertId;

    fn from_str(text: &str) -> Result<Self, BadAlertId> {
        if let Some(plain) = Self::PLAIN.iter().find(|id| id.to_string() == text) {
            return Ok(plain.clone());
        }
        let found = text.split_once('_').and_then(|(first, name)| match TaskAlert::from_word(first) {
            Some(alert) => name.parse().ok().map(|task| Self::OfTask(alert, task)),
            None if first == SOURCE => name.parse().ok().map(Self::Source),
            None => None,
        });
        found.ok_or_else(|| BadAlertId { found: text.chars().take(80).collect() })
    }
}

impl TryFrom<String> for AlertId {
    type Error = BadAlertId;

    fn try_from(text: String) -> Result<Self, BadAlertId> {
        text.parse()
    }
}

impl From<AlertId> for String {
    fn from(id: AlertId) -> Self {
        id.to_string()
    }
}

#[cfg(test)]
impl schemars::JsonSchema for AlertId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AlertId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let plain: Vec<_> = Self::PLAIN.iter().map(ToString::to_string).collect();
        let (plain, of_task) = (plain.join("|"), TaskAlert::WORDS.join("|"));
        let pattern = format!("^({plain}|({of_task}|{SOURCE})_[a-z0-9_-]{{1,32}})$");
        schemars::json_schema!({
            "type": "string", "pattern": pattern, "description": "What the alert is about; the name in the topic.",
        })
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

impl Severity {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
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

    #[test]
    fn ids_are_the_same_in_topics_and_in_payloads() {
        let (tasks, sources) = (["default", "a_b-1"].map(|id| id.parse().unwrap()), ["x".parse().unwrap()]);
        let all = AlertId::possible(&tasks, &sources);
        let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
        assert_eq!(texts[AlertId::PLAIN.len()..][..3], ["drift_default", "labels_default", "model_default"]);
        assert_eq!(texts.last().unwrap(), "source_x");
        for (id, text) in all.into_iter().zip(texts) {
            assert_eq!(text.parse(), Ok(id.clone()));
            assert_eq!(serde_json::to_value(&id).unwrap(), text);
            assert_eq!(serde_json::from_value::<AlertId>(text.into()).unwrap(), id);
        }
        for text in
            ["", "drift_", "drift_A", "clock_a", "source", "source_", "_a", &format!("drift_{}", "x".repeat(33))]
        {
            assert!(text.parse::<AlertId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_task_has_alerts_of_its_own_only_where_it_is_named() {
        let task = TaskId::default();
        assert_eq!(TaskAlert::Drift.of(None), AlertId::Drift);
        assert_eq!(TaskAlert::Labels.of(Some(&task)), AlertId::OfTask(TaskAlert::Labels, task));
    }
}
