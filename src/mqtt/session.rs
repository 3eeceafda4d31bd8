//! Reconnecting: one link after another, until the end is requested.

use std::time::Duration;

use rumqttc::{LastWill, MqttOptions, QoS, TlsConfiguration, Transport};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use super::Outbox;
use super::link::{self, Outcome, Purpose};
use super::mailbox::Mailbox;
use super::pace::Backoff;
use super::settings::{self, Settings};
use super::window::Window;
use crate::engine::{BrokerEvent, Event};
use crate::wire::{Status, Topic};
use crate::words::Component;

/// A link that lasted this long was good: the next failure counts as the first again.
const GOOD_LINK: Duration = Duration::from_secs(10);

/// What one link hands to the next.
pub(super) struct Session<'a> {
    pub(super) settings: &'a Settings,
    pub(super) mailbox: &'a Mailbox,
    pub(super) outbox: Box<dyn Outbox + Send>,
    pub(super) events: &'a dyn Fn(Event),
    pub(super) window: Window,
    /// The last ticket given to an inbound message; never used twice.
    pub(super) last_ticket: u64,
    /// Why there is no link, as it was reported last; each reason is reported once.
    reported: Option<String>,
    /// Whether it was reported that the broker sends what cannot be read; a retained message comes on every link.
    poison_reported: bool,
}

/// Keeps a link up until the mailbox requests the end.
pub(super) async fn run(
    settings: &Settings,
    mailbox: &Mailbox,
    outbox: Box<dyn Outbox + Send>,
    events: &dyn Fn(Event),
) {
    let window = Window::default();
    let mut session =
        Session { settings, mailbox, outbox, events, window, last_ticket: 0, reported: None, poison_reported: false };
    let mut backoff = Backoff::new(settings.retry);
    let mut purpose = Purpose::Serve;
    loop {
        let started = Instant::now();
        let outcome = match options(settings, purpose) {
            Ok(options) => link::run(&mut session, options, purpose).await,
            Err(reason) => Outcome::Lost { reason, was_up: false, barred: true },
        };
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
            Outcome::Lost { reason, was_up, barred } => {
                session.lost(reason, was_up, barred);
                purpose
            }
        };
        if ended_within(mailbox, backoff.next()).await {
            return;
        }
    }
}

/// Waits for `delay`; true as soon as the end is requested.
async fn ended_within(mailbox: &Mailbox, delay: Duration) -> bool {
    let ended = async {
        while mailbox.end().is_none() {
            mailbox.changed().await;
        }
    };
    timeout(delay, ended).await.is_ok()
}

impl Session<'_> {
    /// The link is up.
    pub(super) fn connected(&mut self) {
        self.reported = None;
        info!(broker = %self.settings.broker, "connected");
        self.mailbox.open();
        (self.events)(Event::Broker(BrokerEvent::Connected));
    }

    /// Reports something that a person should know and that needs no answer.
    pub(super) fn fault(&self, reason: String) {
        warn!(reason, "mqtt");
        (self.events)(Event::ComponentError { source: Component::Mqtt, reason });
    }

    fn lost(&mut self, reason: String, was_up: bool, barred: bool) {
        if was_up || self.reported.as_ref() != Some(&reason) {
            warn!(reason, "no connection to the broker");
            self.reported = Some(reason.clone());
            (self.events)(Event::Broker(BrokerEvent::Disconnected { reason, barred }));
        }
    }

    fn poisoned(&mut self, reason: String) {
        if self.poison_reported {
            self.lost(reason, true, false);
        } else {
            self.poison_reported = true;
            self.lost(reason.clone(), true, false);
            self.fault(reason);
        }
    }
}

/// The client's options for the next link; files are read now, so that a changed password counts without a restart.
fn options(settings: &Settings, purpose: Purpose) -> Result<MqttOptions, String> {
    let Settings { broker, base, .. } = settings;
    let mut options = MqttOptions::new(base.client_id(), &broker.host, broker.port);
    options
        .set_keep_alive(settings.timeouts.keep_alive)
        .set_clean_session(purpose == Purpose::Purge)
        .set_manual_acks(true)
        // Messages are measured before the client gets them, since the client would drop the connection instead.
        .set_max_packet_size(settings.max_packet_bytes, usize::MAX);
    if purpose == Purpose::Serve {
        let will = LastWill::new(base.join(&Topic::Status), Status::Offline.as_str(), QoS::AtLeastOnce, true);
        options.set_last_will(will);
    }
    secure(&mut options, settings)?;
    Ok(options)
}

/// Sets credentials and encryption, from the files as they are now.
///
/// # Errors
/// A message that names the unusable file and the remedy.
pub(super) fn secure(options: &mut MqttOptions, settings: &Settings) -> Result<(), String> {
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
    if settings.broker.tls {
        let config = settings::client_config(&settings.tls)?;
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(config)));
    }
    Ok(())
}
