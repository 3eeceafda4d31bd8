//! What outlives a restart within the process: the clock, the way into the loop, the link and the socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::event_sender::EventSender;
use super::startup::{PendingConfig, Read};
use crate::engine::Carried;
use crate::http;
use crate::mqtt;
use crate::words::{Now, Timestamp};

/// Events that wait for the loop; workers wait past it.
pub(super) const EVENTS: usize = 1_024;

/// What lives as long as the process.
#[derive(Clone)]
pub(super) struct Process {
    pub read: Arc<Read>,
    pub pending_config: PendingConfig,
    pub events: EventSender,
    pub clock: Clock,
    /// A new word at every start.
    pub boot: String,
    /// Whether a termination signal has come; it may still wait in the queue of events.
    pub stop_asked: Arc<AtomicBool>,
}

/// What an engine leaves to the next one of the same process.
pub(super) struct Carryover {
    pub carried: Carried,
    pub link: Option<Link>,
    pub socket: Option<Socket>,
}

/// The socket and where it is.
pub(super) struct Socket {
    pub path: PathBuf,
    pub store: PathBuf,
    pub handle: http::Handle,
}

/// The link to the broker and what it was made from.
pub(super) struct Link {
    pub settings: mqtt::Settings,
    pub handle: mqtt::Handle,
}

/// The present, by the machine's clocks.
#[derive(Clone)]
pub(super) struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { wall: Timestamp(i64::try_from(wall.as_millis()).unwrap_or(i64::MAX)), mono: self.0.elapsed() }
    }
}
