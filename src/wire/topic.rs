//! Topics below `<prefix>/<device id>`: what goes out, what comes in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::AlertId;
use crate::words::{Digest, Keyword as _, TaskId, keywords};

/// Where Home Assistant says that it is there, below its own prefix and not below the base.
pub(super) const BIRTH: &str = "homeassistant/status";

/// The first level of the text of a former discovery topic.
const FORMER: &str = "former";

/// How hard a message is tried to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// 0: may be lost.
    AtMostOnce,
    /// 1: sent again until acknowledged.
    AtLeastOnce,
}

/// A topic on which the daemon speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Topic {
    /// `status`: retained, plain text.
    Status,
    /// `info`: retained.
    Info,
    /// `health`: retained, quality of service 0.
    Health,
    /// `state`: retained; the latest prediction.
    State,
    /// `prediction`: spooled.
    Prediction,
    /// `train/state`: retained.
    TrainState,
    /// `train/result`: retained and spooled.
    TrainResult,
    /// `event`: spooled.
    Event,
    /// `review`: retained.
    Review,
    /// `task/<id>/…`: as the topic of this name is where the configuration names no tasks.
    Task(TaskId, TaskTopic),
    /// `alert/<id>`: retained; an empty payload clears it.
    Alert(AlertId),
    /// `response/<name>`: spooled.
    Response(String),
    /// `config/reported`: retained.
    ConfigReported,
    /// `update/<kind>/request`: chunks that the device asks for; not kept by anybody.
    UpdateRequest(UpdateKind),
    /// `update/<kind>/state`: retained.
    UpdateState(UpdateKind),
    /// `homeassistant/device/<device id>/config`, not below the base: retained; an empty payload removes the device.
    Discovery,
    /// A discovery topic of earlier settings, whole: spooled, and cleared by an empty payload.
    FormerDiscovery(String),
}

keywords! {
    /// What is said of each task; the last part of its topic.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum TaskTopic {
        /// Each prediction.
        Prediction = "prediction",
        /// The present state, or the latest prediction.
        State = "state",
        /// Progress of a training.
        TrainState = "train/state",
        /// Result of a training.
        TrainResult = "train/result",
        /// Images that are worth a label.
        Review = "review",
    }
}

impl TaskTopic {
    /// The topic where the configuration names no tasks.
    #[must_use]
    pub fn plain(self) -> Topic {
        match self {
            Self::Prediction => Topic::Prediction,
            Self::State => Topic::State,
            Self::TrainState => Topic::TrainState,
            Self::TrainResult => Topic::TrainResult,
            Self::Review => Topic::Review,
        }
    }

    /// Where it is said: the plain topic where the configuration names no tasks, else the topic of `task`, and the plain
    /// one too for a task called `default`.
    #[must_use]
    pub fn topics(self, task: Option<&TaskId>) -> Vec<Topic> {
        let named = task.map(|task| Topic::Task(task.clone(), self));
        let plain = task.is_none_or(TaskId::is_default).then(|| self.plain());
        named.into_iter().chain(plain).collect()
    }
}

/// What can be updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum UpdateKind {
    /// A dense head for the present backbone.
    Head,
    /// A backbone with its manifest.
    Backbone,
}

impl UpdateKind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Head, Self::Backbone];

    /// As in topics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Backbone => "backbone",
        }
    }
}

impl fmt::Display for UpdateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Topic {
    /// All but alerts, responses and topics of tasks.
    const FIXED: [Self; 15] = [
        Self::Status,
        Self::Info,
        Self::Health,
        Self::State,
        Self::Prediction,
        Self::TrainState,
        Self::TrainResult,
        Self::Event,
        Self::Review,
        Self::ConfigReported,
        Self::UpdateRequest(UpdateKind::Head),
        Self::UpdateRequest(UpdateKind::Backbone),
        Self::UpdateState(UpdateKind::Head),
        Self::UpdateState(UpdateKind::Backbone),
        Self::Discovery,
    ];

    /// One of every kind but responses.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let of_tasks = TaskTopic::ALL.iter().map(|topic| Self::Task(TaskId::default(), *topic));
        Self::FIXED.into_iter().chain(AlertId::PLAIN.iter().cloned().map(Self::Alert)).chain(of_tasks)
    }

    /// Which of the topics that each task has it is, with or without the task.
    #[must_use]
    pub fn of_task(&self) -> Option<TaskTopic> {
        match self {
            Self::Task(_, topic) => Some(*topic),
            plain => TaskTopic::ALL.iter().copied().find(|topic| topic.plain() == *plain),
        }
    }

    /// Whether the broker keeps the latest message for those who come later.
    pub fn retain(&self) -> bool {
        if let Self::Task(_, topic) = self {
            return topic.plain().retain();
        }
        !matches!(self, Self::Prediction | Self::Event | Self::Response(_) | Self::UpdateRequest(_))
    }

    /// How hard it is tried.
    pub fn qos(&self) -> Qos {
        if *self == Self::Health { Qos::AtMostOnce } else { Qos::AtLeastOnce }
    }

    /// Whether a message is kept in the outbox until the broker acknowledges it.
    pub fn spooled(&self) -> bool {
        if let Self::Task(_, topic) = self {
            return topic.plain().spooled();
        }
        matches!(
            self,
            Self::Prediction | Self::TrainResult | Self::Event | Self::Response(_) | Self::FormerDiscovery(_)
        )
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status => f.write_str("status"),
            Self::Info => f.write_str("info"),
            Self::Health => f.write_str("health"),
            Self::State => f.write_str("state"),
            Self::Prediction => f.write_str("prediction"),
            Self::TrainState => f.write_str("train/state"),
            Self::TrainResult => f.write_str("train/result"),
            Self::Event => f.write_str("event"),
            Self::Review => f.write_str("review"),
            Self::Task(task, topic) => write!(f, "task/{task}/{}", topic.as_str()),
            Self::Alert(id) => write!(f, "alert/{id}"),
            Self::Response(name) => write!(f, "response/{name}"),
            Self::ConfigReported => f.write_str("config/reported"),
            Self::UpdateRequest(kind) => write!(f, "update/{kind}/request"),
            Self::UpdateState(kind) => write!(f, "update/{kind}/state"),
            Self::Discovery => f.write_str("homeassistant/device"),
            Self::FormerDiscovery(topic) => write!(f, "{FORMER}/{topic}"),
        }
    }
}

impl FromStr for Topic {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        if let Some(topic) = Self::FIXED.into_iter().find(|topic| topic.to_string() == text) {
            return Ok(topic);
        }
        let (first, rest) = text.split_once('/').ok_or_else(|| BadTopic::new("a topic of this daemon", text))?;
        let found = match first {
            "task" => rest
                .split_once('/')
                .and_then(|(task, topic)| Some(Self::Task(task.parse().ok()?, TaskTopic::from_word(topic)?))),
            "alert" => rest.parse().ok().map(Self::Alert),
            "response" if is_name(rest) => Some(Self::Response(rest.to_owned())),
            FORMER => Some(Self::FormerDiscovery(rest.to_owned())),
            _ => None,
        };
        found.ok_or_else(|| BadTopic::new("a topic of this daemon", text))
    }
}

/// A topic on which the daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundTopic {
    /// `label`.
    Label,
    /// `request/<name>`: 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    Request(String),
    /// `config/desired`.
    ConfigDesired,
    /// `update/<kind>/desired`.
    UpdateDesired(UpdateKind),
    /// `update/<kind>/chunk/<sha256>/<n>`.
    UpdateChunk(UpdateKind, Digest, u32),
    /// `homeassistant/status`, not below the base.
    Birth,
}

impl fmt::Display for InboundTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => f.write_str("label"),
            Self::Request(name) => write!(f, "request/{name}"),
            Self::ConfigDesired => f.write_str("config/desired"),
            Self::UpdateDesired(kind) => write!(f, "update/{kind}/desired"),
            Self::UpdateChunk(kind, sha256, n) => write!(f, "update/{kind}/chunk/{sha256}/{n}"),
            Self::Birth => f.write_str(BIRTH),
        }
    }
}

impl FromStr for InboundTopic {
    type Err = BadTopic;

    /// Reads what [`super::Base::strip`] leaves of a topic.
    fn from_str(text: &str) -> Result<Self, BadTopic> {
        let kind = |word: &str| UpdateKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        let parts: Vec<&str> = text.split('/').collect();
        let found = match parts[..] {
            ["label"] => Some(Self::Label),
            ["request", name] if is_name(name) => Some(Self::Request(name.to_owned())),
            ["config", "desired"] => Some(Self::ConfigDesired),
            ["update", word, "desired"] => kind(word).map(Self::UpdateDesired),
            ["update", word, "chunk", sha256, n] => kind(word)
                .zip(sha256.parse().ok())
                .zip(n.parse().ok())
                .map(|((kind, sha256), n)| Self::UpdateChunk(kind, sha256, n)),
            _ if text == BIRTH => Some(Self::Birth),
            _ => None,
        };
        let expected = "label, request/<name> with 1 to 64 of a-z, 0-9, _ and -, config/desired, \
                        update/<head or backbone>/desired or update/<kind>/chunk/<sha256>/<n>";
        found.ok_or_else(|| BadTopic::new(expected, text))
    }
}

/// What is wrong with a topic or a part of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct BadTopic {
    /// What it should be.
    pub expected: &'static str,
    /// The text, cut to 80 characters.
    pub found: String,
}

impl BadTopic {
    pub(super) fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(80).collect() }
    }
}

/// Whether it is 1 to 64 of `a-z`, `0-9`, `_` and `-`.
pub(super) fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}
