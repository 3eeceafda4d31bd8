//! A client that talks to one device for a while, as `edgetuned update publish` does.

use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Connection, Event as Packet, Incoming, MqttOptions, QoS, RecvTimeoutError, SubscribeFilter};

use super::session;
use super::settings::Settings;
use crate::wire::{InboundTopic, Topic};

/// Messages that may wait for the broker: more than a device requests at a time.
const QUEUE: usize = 64;

/// After a link that broke.
const PAUSE: Duration = Duration::from_millis(500);

/// A connection of its own that subscribes to some topics of one device.
pub struct Courier {
    client: Client,
    connection: Connection,
    settings: Settings,
    topics: Vec<String>,
    /// The reason that was reported last.
    reported: Option<String>,
}

/// Something that happened on the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The connection and its subscriptions are established, for the first time or again.
    Connected,
    /// A message from the device.
    Message {
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
    /// A connection with the broker, the credentials and the base of `settings`, not tried yet.
    ///
    /// # Errors
    /// A message that names the credential file that cannot be used.
    pub fn connect(settings: &Settings, topics: &[Topic]) -> Result<Self, String> {
        let Settings { broker, base, .. } = settings;
        let id = format!("edgetuned-courier-{}", std::process::id());
        let mut options = MqttOptions::new(id, &broker.host, broker.port);
        options.set_clean_session(true).set_max_packet_size(settings.max_packet_bytes, usize::MAX);
        session::secure(&mut options, settings)?;
        let topics = topics.iter().map(|topic| base.join(topic)).collect();
        let (client, connection) = Client::new(options, QUEUE);
        Ok(Self { client, connection, settings: settings.clone(), topics, reported: None })
    }

    /// Where the broker is, for messages.
    pub fn broker(&self) -> String {
        self.settings.broker.to_string()
    }

    /// Gives a message for the device to the client, which sends it once more should the link break.
    ///
    /// # Errors
    /// A message, when too many wait.
    pub fn send(&self, topic: &InboundTopic, payload: Vec<u8>, retain: bool) -> Result<(), String> {
        let name = format!("{}/{topic}", self.settings.base);
        let sent = self.client.try_publish(name, QoS::AtLeastOnce, retain, payload);
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
                self.reported = None;
                let filters = self.topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
                // Where the queue is full the link is about to break, and comes back with another acknowledgement.
                let _ = self.client.try_subscribe_many(filters);
                None
            }
            Packet::Incoming(Incoming::SubAck(_)) => Some(LinkEvent::Connected),
            Packet::Incoming(Incoming::Publish(publish)) => {
                let topic = self.settings.base.strip(&publish.topic)?.parse().ok()?;
                Some(LinkEvent::Message { topic, payload: publish.payload.to_vec(), retained: publish.retain })
            }
            _ => None,
        }
    }
}
