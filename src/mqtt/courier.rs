//! A client that talks to one device, or to all of a fleet, for a while, as `edgetuned update publish` does.

use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Connection, Event as Packet, Incoming, MqttOptions, QoS, RecvTimeoutError, SubscribeFilter};

use super::session;
use super::settings::Settings;
use crate::wire::{InboundTopic, Topic};

/// Messages that may wait for the broker: more than a device requests at a time.
const QUEUE: usize = 64;

/// Of whom topics are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The device that the settings name.
    Device,
    /// Every device under the settings' prefix.
    Fleet,
}

/// After a link that broke.
const PAUSE: Duration = Duration::from_millis(500);

/// A connection of its own that subscribes to some topics of one device or of all.
pub struct Courier {
    client: Client,
    connection: Connection,
    settings: Settings,
    filters: Vec<String>,
    /// Messages that were sent over this connection and are not acknowledged.
    in_flight: usize,
    /// The reason that was reported last.
    reported: Option<String>,
}

/// Something that happened on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The connection and its subscriptions are established, for the first time or again.
    Connected,
    /// The broker has a message that was sent.
    Acknowledged,
    /// A message from a device.
    Message {
        /// Its id.
        device: String,
        /// Below the base.
        topic: Topic,
        /// As it came.
        payload: Vec<u8>,
        /// Whether the broker had kept it.
        retained: bool,
    },
    /// There is no connection; it is retried. Each reason is reported once.
    Lost {
        /// In words.
        reason: String,
    },
}

impl Courier {
    /// A connection with the broker and the credentials of `settings`, not tried yet; it hears what comes under
    /// `filters` below the bases of those in `reach`.
    ///
    /// # Errors
    /// A message that names the credential file that cannot be used.
    pub fn connect(settings: &Settings, reach: Reach, filters: &[String]) -> Result<Self, String> {
        let Settings { broker, base, .. } = settings;
        let id = format!("edgetuned-courier-{}", std::process::id());
        let mut options = MqttOptions::new(id, &broker.host, broker.port);
        options.set_clean_session(true).set_max_packet_size(settings.max_packet_bytes, usize::MAX);
        session::secure(&mut options, settings)?;
        let whole = |filter: &String| match reach {
            Reach::Device => format!("{base}/{filter}"),
            Reach::Fleet => base.of_every_device(filter),
        };
        let filters = filters.iter().map(whole).collect();
        let (client, connection) = Client::new(options, QUEUE);
        Ok(Self { client, connection, settings: settings.clone(), filters, in_flight: 0, reported: None })
    }

    /// Where the broker is, for messages.
    pub fn broker(&self) -> String {
        self.settings.broker.to_string()
    }

    /// How many messages were sent over this connection and are not acknowledged; at most 64 may be.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Sends a message to a device under the settings' prefix. It may be lost when the link breaks: what still counts is
    /// sent again after [`LinkEvent::Connected`].
    ///
    /// # Errors
    /// A message, when too many wait or the device's id is none.
    pub fn send(&mut self, device: &str, topic: &InboundTopic, payload: Vec<u8>, retain: bool) -> Result<(), String> {
        let base = self.settings.base.of(device).map_err(|error| format!("no message can be sent: {error}"))?;
        let sent = self.client.try_publish(format!("{base}/{topic}"), QoS::AtLeastOnce, retain, payload);
        self.in_flight += 1;
        sent.map_err(|error| {
            format!("a message on {topic} cannot be sent: {error}; check the connection to the broker")
        })
    }

    /// The next thing that happens; `None` when nothing does `within` this time.
    pub fn next(&mut self, within: Duration) -> Option<LinkEvent> {
        let until = Instant::now() + within;
        loop {
            // A broker that refuses at once answers even where there is no time left.
            let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())?;
            let event = match self.connection.recv_timeout(left) {
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
                Ok(Ok(packet)) => self.handle(packet),
                Ok(Err(error)) => {
                    thread::park_timeout(PAUSE.min(until.saturating_duration_since(Instant::now())));
                    let reason = error.to_string();
                    let is_new = self.reported.as_ref() != Some(&reason);
                    self.reported = Some(reason.clone());
                    is_new.then_some(LinkEvent::Lost { reason })
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    fn handle(&mut self, packet: Packet) -> Option<LinkEvent> {
        match packet {
            Packet::Incoming(Incoming::ConnAck(_)) => {
                // The session is a new one, and the client forgets what the former connection left.
                (self.reported, self.in_flight) = (None, 0);
                let filters = self.filters.iter().map(|filter| SubscribeFilter::new(filter.clone(), QoS::AtLeastOnce));
                // Where the queue is full the link is about to break, and comes back with another acknowledgement.
                let _ = self.client.try_subscribe_many(filters);
                None
            }
            Packet::Incoming(Incoming::SubAck(_)) => Some(LinkEvent::Connected),
            Packet::Incoming(Incoming::PubAck(_)) => {
                self.in_flight = self.in_flight.saturating_sub(1);
                Some(LinkEvent::Acknowledged)
            }
            Packet::Incoming(Incoming::Publish(publish)) => {
                let (device, below) = self.settings.base.split(&publish.topic)?;
                let (device, topic) = (device.to_owned(), below.parse().ok()?);
                Some(LinkEvent::Message { device, topic, payload: publish.payload.to_vec(), retained: publish.retain })
            }
            _ => None,
        }
    }
}
