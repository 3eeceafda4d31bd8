//! What a link sends and the broker answers, and how the engine wants it sent; [`super::refusals`] decides that.

use serde::{Deserialize, Serialize};

use crate::wire::{Base, Topic};

/// Something that the broker answers, or closes the connection for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// The subscription to this filter.
    Subscription(String),
    /// Messages on this topic (below the base) of at least so many bytes; as a message that was sent, one of so many.
    Topic {
        /// As text.
        topic: String,
        /// Of topic and payload.
        bytes: usize,
    },
    /// One message of the outbox.
    Message {
        /// Its number.
        seq: u64,
        /// As text.
        topic: String,
        /// Of topic and payload.
        bytes: usize,
    },
}

impl Item {
    /// Whether `other` is this item or one of those that it stands for.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Subscription(filter), Self::Subscription(other)) => filter == other,
            (Self::Message { seq, .. }, Self::Message { seq: other, .. }) => seq == other,
            (
                Self::Topic { topic, bytes },
                Self::Topic { topic: other, bytes: length } | Self::Message { topic: other, bytes: length, .. },
            ) => topic == other && bytes <= length,
            _ => false,
        }
    }

    /// The whole name, and the length, for people.
    #[must_use]
    pub fn describe(&self, base: &Base) -> String {
        let whole = |topic: &str| topic.parse::<Topic>().map_or_else(|_| topic.to_owned(), |topic| base.join(&topic));
        match self {
            Self::Subscription(filter) => format!("the subscription to {filter}"),
            Self::Topic { topic, bytes: 0 } => whole(topic),
            Self::Topic { topic, bytes } | Self::Message { topic, bytes, .. } => {
                format!("{} ({bytes} bytes)", whole(topic))
            }
        }
    }

    /// The same item, or everything on its topic.
    pub(super) fn whole(&self) -> Self {
        match self {
            Self::Subscription(_) => self.clone(),
            Self::Topic { topic, .. } | Self::Message { topic, .. } => Self::Topic { topic: topic.clone(), bytes: 0 },
        }
    }

    pub(super) fn topic(&self) -> Option<&str> {
        match self {
            Self::Subscription(_) => None,
            Self::Topic { topic, .. } | Self::Message { topic, .. } => Some(topic),
        }
    }

    /// Whether it is the same one in two cuts: a retained value is, whatever its contents by then.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Topic { topic, .. }, Self::Topic { topic: other, .. }) => topic == other,
            (one, other) => one == other,
        }
    }
}

/// How the link sends, as the engine decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// Not sent at all.
    pub held: Vec<Item>,
    /// Sent when everything else was.
    pub last: Vec<Item>,
    /// One item at a time, each after the answer to the one before.
    pub one_at_a_time: bool,
    /// Without the retain flag.
    pub unretained: bool,
}

impl Terms {
    /// Whether `item` is not sent at all.
    #[must_use]
    pub fn holds(&self, item: &Item) -> bool {
        self.held.iter().any(|held| held.covers(item))
    }

    /// Whether `item` waits for everything else.
    #[must_use]
    pub fn defers(&self, item: &Item) -> bool {
        self.last.iter().any(|last| last.covers(item))
    }
}

/// What waited for the broker's answer when a link broke.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unanswered {
    /// The first of it.
    pub first: Item,
    /// Whether it was the only one.
    pub alone: bool,
    /// Whether it had the retain flag.
    pub retained: bool,
    /// Whether the broker had taken other items on this link: messages, or for a subscription, subscriptions as well.
    pub others_taken: bool,
    /// Whether the broker ever took a retained message of this process.
    pub retained_taken: bool,
    /// The longest message on this topic that the broker took from this process, in bytes of topic and payload.
    pub longest_taken: usize,
}
