//! Topics below `<prefix>/<device id>`: what goes out, what comes in.

use std::fmt;
use std::str::FromStr;

use super::AlertId;

/// Filters below the base under which everything inbound comes.
pub const SUBSCRIPTIONS: [&str; 2] = ["label", "request/+"];

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
}

impl Topic {
    /// All but alerts and responses.
    const FIXED: [Self; 9] = [
        Self::Status,
        Self::Info,
        Self::Health,
        Self::State,
        Self::Prediction,
        Self::TrainState,
        Self::TrainResult,
        Self::Event,
        Self::Review,
    ];

    /// Whether the broker keeps the latest message for those who come later.
    pub fn retain(&self) -> bool {
        !matches!(self, Self::Prediction | Self::Event | Self::Response(_))
    }

    /// How hard it is tried.
    pub fn qos(&self) -> Qos {
        if *self == Self::Health { Qos::AtMostOnce } else { Qos::AtLeastOnce }
    }

    /// Whether a message is kept in the outbox until the broker acknowledges it.
    pub fn spooled(&self) -> bool {
        matches!(self, Self::Prediction | Self::TrainResult | Self::Event | Self::Response(_))
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
        }
    }
}

impl FromStr for Topic {
    type Err = BadTopic;

    fn from_str(text: &str) -> Result<Self, BadTopic> {
        if let Some(topic) = Self::FIXED.into_iter().find(|topic| topic.to_string() == text) {
            return Ok(topic);
        }
        if let Some(alert) = AlertId::ALL.into_iter().map(Self::Alert).find(|topic| topic.to_string() == text) {
            return Ok(alert);
        }
        match text.strip_prefix("response/") {
            Some(name) if is_name(name) => Ok(Self::Response(name.to_owned())),
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
}

impl FromStr for InboundTopic {
    type Err = BadTopic;

    /// Reads a topic below the base.
    fn from_str(text: &str) -> Result<Self, BadTopic> {
        match text.strip_prefix("request/") {
            Some(name) if is_name(name) => Ok(Self::Request(name.to_owned())),
            None if text == "label" => Ok(Self::Label),
            _ => Err(BadTopic::new("label or request/<name>, the name 1 to 64 of a-z, 0-9, _ and -", text)),
        }
    }
}

/// What all topics of one device begin with: `<prefix>/<device id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    prefix: String,
    device: String,
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
        Ok(Self { prefix: prefix.to_owned(), device: device.to_owned() })
    }

    /// The whole name of a topic or filter below the base.
    pub fn join(&self, below: impl fmt::Display) -> String {
        format!("{self}/{below}")
    }

    /// What of a whole name is below the base.
    pub fn strip<'a>(&self, topic: &'a str) -> Option<&'a str> {
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
