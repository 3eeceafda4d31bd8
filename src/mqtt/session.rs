//! Reconnecting: one link after another, until the end is requested.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rumqttc::{LastWill, MqttOptions, QoS, TlsConfiguration, Transport};
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::link::{self, Outcome, Purpose};
use super::mailbox::Mailbox;
use super::pace::Backoff;
use super::settings::Settings;
use super::window::Window;
use super::{Lane, Outbox, OutboxError, tls};
use crate::engine::{BrokerEvent, Event, Item, OutboxMessage, Ticket, Unanswered};
use crate::ports::{FrameSink, RefusedFrame};
use crate::wire::{Status, Topic};
use crate::words::{Component, SampleId, SourceId};

/// A link that lasted this long was good: the next failure counts as the first again.
const GOOD_LINK: Duration = Duration::from_secs(10);

/// Cuts without an answer to CONNECT after which another last will is tried, every other time.
const SILENT: u32 = 2;

/// Reasons that are remembered as reported.
const REPORTED_MAX: usize = 32;

/// What one link hands to the next.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) mailbox: &'a Mailbox,
    pub(super) outbox: Box<dyn Outbox + Send>,
    pub(super) events: &'a dyn Fn(Event),
    /// Where the frames of sources go.
    pub(super) frames: &'a dyn FrameSink,
    pub(super) window: Window,
    /// The last ticket given to an inbound message; never used twice.
    pub(super) last_ticket: u64,
    /// Why there was no link since it was up last, without numbers; each reason is reported once.
    reported: BTreeSet<String>,
    /// Cuts in a row without an answer to CONNECT.
    silent: u32,
    /// Whether the last will of the present link is of `QoS` 0.
    pub(super) low_will: bool,
    /// Whether the broker takes messages of `QoS` 0 only.
    pub(super) without_qos: bool,
    /// Whether the broker cut the link when it was asked for several subscriptions at a time.
    pub(super) subscribes_singly: bool,
    /// Whether the broker ever took a retained message.
    pub(super) retained_taken: bool,
    /// The longest message on each topic that the broker took.
    longest: BTreeMap<String, usize>,
    /// Whether it was reported that the broker sends what cannot be read; a retained message comes on every link.
    poison_reported: bool,
}

/// Keeps a link up until the mailbox requests the end.
pub(super) async fn run(
    settings: &Settings,
    mailbox: &Mailbox,
    outbox: Box<dyn Outbox + Send>,
    events: &dyn Fn(Event),
    frames: &dyn FrameSink,
) {
    let mut session = Session::new(settings, mailbox, outbox, events, frames);
    let mut backoff = Backoff::new(settings.retry);
    let mut purpose = Purpose::Serve;
    loop {
        let started = Instant::now();
        // Some brokers take no last will of QoS 1 and close the connection without a word.
        session.low_will = session.without_qos || (session.silent >= SILENT && session.silent.is_multiple_of(2));
        let outcome = link::run(&mut session, purpose).await;
        session.window.rewind();
        mailbox.close();
        if mailbox.end().is_some() {
            return;
        }
        if started.elapsed() >= GOOD_LINK {
            backoff.reset();
            session.poison_reported = false;
        }
        purpose = match outcome {
            Outcome::Ended => return,
            Outcome::Purged => {
                purpose = Purpose::Serve;
                continue;
            }
            Outcome::Poisoned { reason } => {
                session.poisoned(reason);
                Purpose::Purge
            }
            Outcome::Lost { reason, was_up, barred, unanswered, silent } => {
                session.silent = if silent { session.silent.saturating_add(1) } else { 0 };
                session.lost(reason, was_up, barred, unanswered);
                purpose
            }
        };
        if ended_within(mailbox, &mut backoff).await {
            return;
        }
    }
}

/// Connects once with a clean session, sends nothing, and leaves.
///
/// # Errors
/// Why that failed, with the remedy.
pub(super) async fn try_once(settings: &Settings) -> Result<(), String> {
    let mailbox = Mailbox::default();
    let mut session = Session::new(settings, &mailbox, Box::new(Empty), &|_| {}, &Empty);
    match link::run(&mut session, Purpose::Purge).await {
        Outcome::Ended | Outcome::Purged => Ok(()),
        Outcome::Poisoned { reason } | Outcome::Lost { reason, .. } => Err(reason),
    }
}

/// An outbox in which nothing waits, and nobody who looks at frames.
struct Empty;

impl Outbox for Empty {
    fn after(&mut self, _lane: Lane, _seq: u64, _limit: usize) -> Result<Vec<OutboxMessage>, OutboxError> {
        Ok(Vec::new())
    }

    fn newest(&mut self) -> Result<u64, OutboxError> {
        Ok(0)
    }
}

impl FrameSink for Empty {
    fn bring(&self, _source: &SourceId, _payload: Vec<u8>, _retained: bool) {}

    fn too_large(&self, _source: &SourceId, _bytes: usize) {}

    fn post(&self, _: &SourceId, _: Vec<u8>, _: Option<Ticket>) -> Result<SampleId, RefusedFrame> {
        Err(RefusedFrame::NoSuchSource)
    }
}

/// Waits for the next delay; true as soon as the end is requested. Where the engine decides meanwhile to send in another
/// way, something was learned from the link that broke, and the delays begin anew.
async fn ended_within(mailbox: &Mailbox, backoff: &mut Backoff) -> bool {
    let mut until = Instant::now() + backoff.next();
    loop {
        if mailbox.end().is_some() {
            return true;
        }
        if mailbox.take_terms_changed() {
            backoff.reset();
            until = until.min(Instant::now() + backoff.next());
        }
        if timeout_at(until, mailbox.changed()).await.is_err() {
            return mailbox.end().is_some();
        }
    }
}

impl<'a> Session<'a> {
    fn new(
        settings: &'a Settings,
        mailbox: &'a Mailbox,
        outbox: Box<dyn Outbox + Send>,
        events: &'a dyn Fn(Event),
        frames: &'a dyn FrameSink,
    ) -> Self {
        Self {
            settings,
            mailbox,
            outbox,
            events,
            frames,
            window: Window::default(),
            last_ticket: 0,
            reported: BTreeSet::new(),
            silent: 0,
            low_will: false,
            without_qos: false,
            subscribes_singly: false,
            retained_taken: false,
            longest: BTreeMap::new(),
            poison_reported: false,
        }
    }

    /// The broker accepted the connection.
    pub(super) fn accepted(&mut self) {
        self.silent = 0;
        self.without_qos |= self.low_will;
    }

    /// The link is up; some subscriptions may have been refused, or granted with `QoS` 0 only.
    pub(super) fn connected(&mut self, refused: Vec<String>, downgraded: Vec<String>) {
        self.reported.clear();
        info!(broker = %self.settings.broker, "connected");
        self.mailbox.open();
        (self.events)(Event::Broker(BrokerEvent::Connected { refused, downgraded }));
    }

    /// The broker has this message.
    pub(super) fn took(&mut self, item: &Item, retained: bool) {
        self.retained_taken |= retained;
        if let Item::Topic { topic, bytes } | Item::Message { topic, bytes, .. } = item {
            let longest = self.longest.entry(topic.clone()).or_default();
            *longest = (*longest).max(*bytes);
        }
    }

    /// The longest message on the item's topic that the broker took.
    pub(super) fn longest_taken(&self, item: &Item) -> usize {
        match item {
            Item::Subscription(_) => 0,
            Item::Topic { topic, .. } | Item::Message { topic, .. } => self.longest.get(topic).copied().unwrap_or(0),
        }
    }

    /// Reports something that a person should know and that needs no answer.
    pub(super) fn fault(&self, reason: String) {
        warn!(reason, "mqtt");
        (self.events)(Event::ComponentError { source: Component::Mqtt, reason });
    }

    /// Tells the engine of each cut, and the journal of each reason once, whatever numbers and times are in its words.
    fn lost(&mut self, reason: String, was_up: bool, barred: bool, unanswered: Option<Unanswered>) {
        if self.reported.len() >= REPORTED_MAX {
            self.reported.clear();
        }
        let is_news = self.reported.insert(reason.replace(|c: char| c.is_ascii_digit(), ""));
        if was_up || is_news {
            warn!(reason, "no connection to the broker");
        }
        if was_up || is_news || unanswered.is_some() {
            (self.events)(Event::Broker(BrokerEvent::Disconnected { reason, barred, unanswered }));
        }
    }

    fn poisoned(&mut self, reason: String) {
        if self.poison_reported {
            self.lost(reason, true, false, None);
        } else {
            self.poison_reported = true;
            self.lost(reason.clone(), true, false, None);
            self.fault(reason);
        }
    }
}

/// The client's options for the next link, which begins at the socket with this address; the password is read now, so
/// that a changed one counts without a restart.
///
/// # Errors
/// A message that names the unusable file and the remedy.
pub(super) fn options(
    settings: &Settings,
    purpose: Purpose,
    low_will: bool,
    address: &str,
) -> Result<MqttOptions, String> {
    let Settings { base, .. } = settings;
    let mut options = MqttOptions::new(&settings.client_id, address, 0);
    options.set_transport(Transport::unix());
    options
        .set_keep_alive(settings.timeouts.keep_alive)
        .set_clean_session(purpose == Purpose::Purge)
        .set_manual_acks(true)
        // Messages are measured before the client gets them, since the client would drop the connection instead.
        .set_max_packet_size(settings.max_packet_bytes, usize::MAX);
    if purpose == Purpose::Serve {
        let qos = if low_will { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let will = LastWill::new(base.join(&Topic::Status), Status::Offline.as_str(), qos, true);
        options.set_last_will(will);
    }
    sign_in(&mut options, settings)?;
    Ok(options)
}

/// Sets credentials and encryption, from the files as they are now.
///
/// # Errors
/// A message that names the unusable file and the remedy.
pub(super) fn secure(options: &mut MqttOptions, settings: &Settings) -> Result<(), String> {
    sign_in(options, settings)?;
    if settings.broker.tls {
        let config = tls::client_config(&settings.tls)?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    Ok(())
}

fn sign_in(options: &mut MqttOptions, settings: &Settings) -> Result<(), String> {
    if let Some(credentials) = &settings.credentials {
        let password = match &credentials.password_file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|error| {
                format!(
                    "cannot read the password from {}: {error}; correct mqtt.password_file, or the service's \
                     credential",
                    path.display()
                )
            })?,
        };
        options.set_credentials(&credentials.username, password.trim_end());
    }
    Ok(())
}
