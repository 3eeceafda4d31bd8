//! What the topics of one device begin with, and which topics are its own.

use std::fmt;

use super::Topic;
use super::topic::{BIRTH, BadTopic, is_name};

/// Filters below the base under which what is for this device comes.
const FILTERS: [&str; 5] = ["label", "request/+", "config/desired", "update/+/desired", "update/+/chunk/+/+"];

/// The prefix of Home Assistant's topics, unless it is told another one.
const DISCOVERY_PREFIX: &str = "homeassistant";

/// What a device id has to be.
const DEVICE_ID: &str = "a device id of 1 to 64 of a-z, 0-9, _ and -";

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
            return Err(BadTopic::new(DEVICE_ID, device));
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

    /// The base of another device under the same prefix.
    ///
    /// # Errors
    /// [`BadTopic`] when `device` is not 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub fn of(&self, device: &str) -> Result<Self, BadTopic> {
        if !is_name(device) {
            return Err(BadTopic::new(DEVICE_ID, device));
        }
        Ok(Self { device: device.to_owned(), ..self.clone() })
    }

    /// A filter for what is `below` the base of each device under this prefix.
    pub fn of_every_device(&self, below: &str) -> String {
        format!("{}/+/{below}", self.prefix)
    }

    /// The device that a whole name under this prefix belongs to, and what of the name is below that device's base.
    pub fn split<'a>(&self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let (device, below) = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?.split_once('/')?;
        is_name(device).then_some((device, below))
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
