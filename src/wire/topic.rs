//! Topics below `<prefix>/<device id>`: what goes out, what comes in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::AlertId;
use crate::words::{Digest, Keyword as _};

/// Filters below the base under which what is for this device comes.
const FILTERS: [&str; 5] = ["label", "request/+", "config/desired", "update/+/desired", "update/+/chunk/+/+"];

/// Where Home Assistant says that it is there, below its own prefix and not below the base.
const BIRTH: &str = "homeassistant/status";

/// The prefix of Home Assistant's topics, unless it is told another one.
const DISCOVERY_PREFIX: &str = "homeassistant";

/// What the text of a former discovery topic begins with.
const FORMER: &str = "former/";

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
    /// All but alerts and responses.
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
        Self::FIXED.into_iter().chain(AlertId::ALL.iter().copied().map(Self::Alert))
    }

    /// Whether the broker keeps the latest message for those who come later.
    pub fn retain(&self) -> bool {
        !matches!(self, Self::Prediction | Self::Event | Self::Response(_) | Self::UpdateRequest(_))
    }

    /// How hard it is tried.
    pub fn qos(&self) -> Qos {
        if *self == Self::Health { Qos::AtMostOnce } else { Qos::AtLeastOnce }
    }

    /// Whether a message is kept in the outbox until the broker acknowledges it.
    pub fn spooled(&self) -> bool {
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
            Self::Alert(id) => write!(f, "alert/{id}"),
            Self::Response(name) => write!(f, "response/{name}"),
            Self::ConfigReported => f.write_str("config/reported"),
            Self::UpdateRequest(kind) => write!(f, "update/{kind}/request"),
            Self::UpdateState(kind) => write!(f, "update/{kind}/state"),
            Self::Discovery => f.write_str("homeassistant/device"),
            Self::FormerDiscovery(topic) => write!(f, "{FORMER}{topic}"),
        }
    }
}

impl FromStr for Topic {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        if let Some(topic) = Self::FIXED.into_iter().find(|topic| topic.to_string() == text) {
            return Ok(topic);
        }
        if let Some(alert) = AlertId::ALL.iter().copied().map(Self::Alert).find(|topic| topic.to_string() == text) {
            return Ok(alert);
        }
        match (text.strip_prefix("response/"), text.strip_prefix(FORMER)) {
            (Some(name), _) if is_name(name) => Ok(Self::Response(name.to_owned())),
            (_, Some(topic)) => Ok(Self::FormerDiscovery(topic.to_owned())),
            _ => Err(BadTopic::new("a topic of this daemon", text)),
        }
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

    /// Reads what [`Base::strip`] leaves of a topic.
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

/// What all topics of one device begin with: `<prefix>/<device id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    prefix: String,
    device: String,
    discovery: String,
}

impl Base {
    /// The base of `device` under `prefix`, which may have several levels.
    ///
    /// # Errors
    /// [`BadTopic`] when the prefix has an empty level, a wildcard or a control character, begins with `$` or is
    /// longer than 256 bytes, or the device is not 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub fn new(prefix: &str, device: &str) -> Result<Self, BadTopic> {
        let odd = |c: char| c.is_control() || matches!(c, '+' | '#');
        if prefix.len() > 256
            || prefix.starts_with('$')
            || prefix.split('/').any(|level| level.is_empty() || level.contains(odd))
        {
            return Err(BadTopic::new("a prefix without empty levels, '+', '#' and a leading '$'", prefix));
        }
        if !is_name(device) {
            return Err(BadTopic::new("a device id of 1 to 64 of a-z, 0-9, _ and -", device));
        }
        Ok(Self { prefix: prefix.to_owned(), device: device.to_owned(), discovery: DISCOVERY_PREFIX.to_owned() })
    }

    /// The same with another prefix of Home Assistant's topics.
    ///
    /// # Errors
    /// [`BadTopic`] when it cannot begin a topic, as in [`Base::new`].
    pub fn with_discovery(self, prefix: &str) -> Result<Self, BadTopic> {
        let Self { prefix: discovery, .. } = Self::new(prefix, &self.device)?;
        Ok(Self { discovery, ..self })
    }

    /// The whole name of a topic.
    pub fn join(&self, topic: &Topic) -> String {
        match topic {
            Topic::Discovery => format!("{}/device/{}/config", self.discovery, self.device),
            Topic::FormerDiscovery(topic) => topic.clone(),
            below => format!("{self}/{below}"),
        }
    }

    /// The device id.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Filters under which everything inbound comes; Home Assistant's birth among them where it is listened to.
    pub fn subscriptions(&self, home_assistant: bool) -> Vec<String> {
        let birth = home_assistant.then(|| self.birth());
        FILTERS.iter().map(|filter| format!("{self}/{filter}")).chain(birth).collect()
    }

    fn birth(&self) -> String {
        format!("{}/status", self.discovery)
    }

    /// What of a whole name is below the base; a topic that is for everybody stays whole.
    pub fn strip<'a>(&self, topic: &'a str) -> Option<&'a str> {
        if topic == self.birth() {
            return Some(BIRTH);
        }
        topic.strip_prefix(&self.prefix)?.strip_prefix('/')?.strip_prefix(&self.device)?.strip_prefix('/')
    }

    /// The client id that belongs to it: `<prefix>-<device id>`.
    pub fn client_id(&self) -> String {
        format!("{}-{}", self.prefix, self.device)
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.prefix, self.device)
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
    fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(80).collect() }
    }
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}
