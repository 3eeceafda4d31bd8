//! What survives a restart within the process: the clock, the sender of events, the link and the socket.

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

/// Events that may wait for the loop; senders block beyond it.
pub(super) const EVENTS: usize = 1_024;

/// What lives as long as the process.
#[derive(Clone)]
pub(super) struct Process {
    /// Reads the device's configuration.
    pub read: Arc<Read>,
    /// A configuration that was read again, for the next restart.
    pub pending_config: PendingConfig,
    /// Sends to the engine that runs now.
    pub events: EventSender,
    /// Its monotonic half began with the process.
    pub clock: Clock,
    /// Another identifier at every start of the process.
    pub boot: String,
    /// Whether a termination signal came; its event may still be in the queue.
    pub stop_asked: Arc<AtomicBool>,
}

/// What an engine passes on to the next one of the same process.
pub(super) struct Carryover {
    pub carried: Carried,
    pub link: Option<Link>,
    pub socket: Option<Socket>,
}

/// The socket, and where it is.
pub(super) struct Socket {
    pub path: PathBuf,
    pub store: PathBuf,
    pub handle: http::Handle,
}

/// The link to the broker, and the settings it was started with.
pub(super) struct Link {
    pub settings: mqtt::Settings,
    pub handle: mqtt::Handle,
}

/// The current time, by the machine's clocks.
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
