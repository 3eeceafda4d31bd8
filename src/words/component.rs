//! The parts of the daemon in which something can go wrong.

use std::fmt;

/// A part of the daemon; the `source` of an `error` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    /// The wall clock, and whether it can be believed.
    Clock,
    /// Reading the configuration.
    Config,
    /// The link to the broker.
    Mqtt,
    /// The messages that wait for the broker.
    Outbox,
    /// Putting a head in service.
    Serve,
    /// The store and its quota.
    Store,
    /// Training.
    Train,
    /// Signed updates and their chunks.
    Updates,
    /// The watched folders and what lies in them.
    Watch,
    /// The supervision of the workers.
    Watchdog,
}

impl Component {
    /// The word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::Config => "config",
            Self::Mqtt => "mqtt",
            Self::Outbox => "outbox",
            Self::Serve => "serve",
            Self::Store => "store",
            Self::Train => "train",
            Self::Updates => "updates",
            Self::Watch => "watch",
            Self::Watchdog => "watchdog",
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
