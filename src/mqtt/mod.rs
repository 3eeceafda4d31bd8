//! The link to the MQTT broker.
//!
//! It runs on a thread of its own: connects and reconnects, subscribes, turns inbound messages into events, and sends
//! what the engine publishes and what the durable outbox holds. It decides when to reconnect and what is in flight. It
//! does not decide what a message means, or when an inbound one may be acknowledged.
//!
//! - The outbox is the truth: at most [`WINDOW`] of its messages are in flight, and a message leaves it only on the
//!   broker's acknowledgement. After every lost link a fresh client starts from the oldest message that was not
//!   acknowledged, because the client library forgets such messages when the broker forgot the session.
//! - A topic's messages go out in order. What waited when the link came up goes at [`REPLAY_PER_SECOND`] at most;
//!   answers to requests overtake it ([`Lane`]).
//! - Nothing here queues without bound: of what is published there is one value a topic, the latest; and while the
//!   receiver of events is busy, nothing is read from the broker.
//! - What the broker had not answered when it cut the link is reported; the engine decides what is sent in which order
//!   from then on, and what not at all ([`Terms`], decision 28).
//! - Frames of sources come over the same connection with `QoS` 0, and go to their slots instead of the engine: they are
//!   in no window, and no label waits for one.
//! - An inbound message is acknowledged when the engine says so, on the connection on which it came; the broker
//!   delivers it again otherwise.

mod connection_error;
mod courier;
mod link;
mod mailbox;
mod outlet;
mod pace;
mod relay;
mod sending;
mod session;
mod settings;
mod tls;
mod window;

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::{DeliveryId, Event, OutboxMessage, Terms};
use crate::ports::FrameSink;
use crate::wire::Topic;
pub use courier::{Courier, LinkEvent, Reach};
pub(crate) use link::HEADER_BYTES;
use mailbox::Mailbox;
pub use pace::REPLAY_PER_SECOND;
pub use settings::{ClientCertificate, Credentials, Retry, Settings, Timeouts, Tls};
pub use tls::check as check_tls;
pub use window::{Lane, WINDOW};

/// Where messages wait that must reach the broker.
pub trait Outbox {
    /// The oldest messages of `lane` with a `seq` above `seq`, at most `limit`, in order.
    ///
    /// # Errors
    /// When they cannot be read now; it is tried again a little later.
    fn after(&mut self, lane: Lane, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, OutboxError>;

    /// The highest `seq` that waits, 0 where none does.
    ///
    /// # Errors
    /// As [`Outbox::after`].
    fn newest(&mut self) -> Result<u64, OutboxError>;
}

/// Why the outbox cannot be read.
pub type OutboxError = Box<dyn std::error::Error + Send + Sync>;

/// The rest of the program's end of the link. None of its calls waits; dropping it cuts the link, and the broker
/// then publishes the last will.
#[derive(Debug)]
pub struct Handle {
    mailbox: Arc<Mailbox>,
    thread: Option<JoinHandle<()>>,
}

/// How long the broker has to answer a trial.
const TRIAL: Duration = Duration::from_secs(5);

/// Connects to the broker once, as the link would, and leaves at once. Nothing is sent, and the name is another one than the
/// link's, so that a running daemon keeps its connection and its session. It takes a few seconds at most.
///
/// # Errors
/// Why that failed, with the remedy, in the link's words.
pub fn try_broker(mut settings: Settings) -> Result<(), String> {
    settings.client_id.push_str("-check");
    settings.timeouts.connect = TRIAL;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the system gives no event queue: {error}"))?;
    let tried = runtime.block_on(session::try_once(&settings));
    // A name look-up that hangs must not hold up the command.
    runtime.shutdown_background();
    tried
}

/// Starts the link on a thread of its own.
///
/// `events` receives each [`BrokerEvent`] (`Connected` after the subscriptions are made, `Disconnected` when a link broke, and
/// while there is none whenever the reason changes) and [`Event::ComponentError`]. It may wait; meanwhile nothing is read
/// from the broker. What the broker kept for us can come as a `Message` before `Connected`. `frames` gets what comes on the
/// topics of sources, which is no event.
///
/// [`BrokerEvent`]: crate::engine::BrokerEvent
///
/// # Errors
/// When the system gives no thread or no event queue.
pub fn spawn(
    settings: Settings,
    outbox: Box<dyn Outbox + Send>,
    events: impl Fn(Event) + Send + 'static,
    frames: Arc<dyn FrameSink>,
) -> std::io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mailbox = Arc::new(Mailbox::default());
    let thread = thread::Builder::new().name("mqtt".into()).spawn({
        let mailbox = Arc::clone(&mailbox);
        move || {
            runtime.block_on(session::run(&settings, &mailbox, outbox, &events, &*frames));
            // A name look-up that hangs must not hold up the end of the process.
            runtime.shutdown_background();
        }
    })?;
    Ok(Handle { mailbox, thread: Some(thread) })
}

impl Handle {
    /// Publishes `payload` if the broker is there, else not at all. Of several on one topic that wait, only the
    /// latest goes out. Whether the broker is there.
    pub fn publish(&self, topic: Topic, payload: Vec<u8>) -> bool {
        self.mailbox.publish(topic, payload)
    }

    /// Acknowledges an inbound message; without effect when its connection is gone.
    pub fn ack(&self, delivery: DeliveryId) {
        self.mailbox.ack(delivery);
    }

    /// Says that the outbox holds new messages.
    pub fn outbox_changed(&self) {
        self.mailbox.outbox_changed();
    }

    /// Sends in this way from now on.
    pub fn adapt(&self, terms: Terms) {
        self.mailbox.adapt(terms);
    }

    /// Ends the link cleanly: sends what waits for at most `within`, publishes `stopped`, and disconnects. The
    /// thread ends at most two seconds later than that; see [`Handle::join`].
    pub fn stop(&self, within: Duration) {
        self.mailbox.stop(within);
    }

    /// Whether the thread has ended; without [`Handle::stop`] it should not.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the thread to end.
    ///
    /// # Errors
    /// The payload of its panic.
    pub fn join(mut self) -> thread::Result<()> {
        self.thread.take().map_or(Ok(()), JoinHandle::join)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.mailbox.cut();
    }
}
