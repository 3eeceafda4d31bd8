//! The broker, the link to it, and who asks at the socket.

use std::collections::BTreeMap;
use std::time::Duration;

use edgetuned::engine::{BrokerEvent, DeliveryId, Event, Inbound, SocketRequest};
use edgetuned::wire::Topic;

use super::World;
use super::refusing::Refuses;

/// Messages that wait in the daemon while nothing can be stored.
const DEFERRED_MAX: usize = 100;

/// A message that the broker holds for the daemon until it is acknowledged.
#[derive(Debug, Clone)]
pub struct Held {
    pub topic: String,
    pub payload: Vec<u8>,
    pub(super) ticket: DeliveryId,
    /// Whether it is the copy of a retained message, which comes again by itself.
    retained: bool,
}

/// What a message on the broker said, by its number.
pub type Received = BTreeMap<u64, (String, Vec<u8>)>;

/// What the broker keeps beside messages for the daemon, and what is seen of the link.
#[derive(Debug, Default)]
pub struct Broker {
    /// The latest of what the daemon publishes retained, by topic; cleared ones are gone.
    pub retained: BTreeMap<String, Vec<u8>>,
    /// What others keep there for the daemon: settings and manifests, by topic.
    pub desired: BTreeMap<String, Vec<u8>>,
    /// What came past the outbox while nothing could be stored.
    pub direct: Vec<(String, Vec<u8>)>,
    pub(super) connected_at: Duration,
    /// The last message of the outbox that was sent over this link.
    sent: u64,
    /// The highest message of the outbox that was ever received.
    highest: u64,
    /// The last delivery that was acknowledged over this link.
    acked: DeliveryId,
    /// Whether there were ever more messages than wait in the daemon while nothing can be stored.
    pub not_taken: bool,
    /// Whether it is not there, and for how long nobody knows.
    pub is_away: bool,
    /// What it does not take, in a life in which there is such a thing.
    pub refuses: Option<Refuses>,
}

impl World {
    /// Somebody publishes a message for the daemon; the broker holds it until it is acknowledged.
    pub fn publish(&mut self, topic: &str, payload: String) {
        self.publish_bytes(topic, payload.into_bytes(), false);
    }

    pub(super) fn publish_bytes(&mut self, topic: &str, payload: Vec<u8>, retained: bool) {
        self.tickets += 1;
        self.held.push(Held { topic: topic.to_owned(), payload, ticket: self.tickets, retained });
        if self.connected {
            self.deliver_held(self.held.len() - 1);
        }
    }

    /// What the daemon subscribes to.
    pub fn filters(&self) -> Vec<String> {
        self.settings.base.subscriptions(self.settings.home_assistant)
    }

    /// Somebody publishes a retained message for the daemon.
    pub fn publish_retained(&mut self, topic: &str, payload: Vec<u8>) {
        if payload.is_empty() {
            self.broker.desired.remove(topic);
        } else {
            self.broker.desired.insert(topic.to_owned(), payload.clone());
        }
        if self.connected {
            self.publish_bytes(topic, payload, true);
        } else if payload.is_empty() {
            // The daemon would never receive of it: its session has it.
            self.publish_bytes(topic, payload, false);
        }
    }

    /// Somebody asks at the socket; whether the answer comes before the process dies is random.
    pub fn ask(&mut self, name: &str, payload: String) {
        self.tickets += 1;
        self.waiting.insert(self.tickets);
        let request = SocketRequest { name: name.to_owned(), payload: payload.into_bytes(), ticket: self.tickets };
        self.later(0, Event::Socket(request));
    }

    pub(super) fn deliver_held(&mut self, index: usize) {
        if !self.is_subscribed(&self.held[index].topic) {
            return;
        }
        let Held { topic, payload, ticket, retained } = self.held[index].clone();
        let retained = retained && self.broker.connected_at == self.now.mono;
        self.later(0, Event::Broker(BrokerEvent::Message(Inbound { topic, payload, retained, delivery: ticket })));
    }

    pub(super) fn acknowledged(&mut self, ticket: DeliveryId) {
        if !self.connected {
            // Its connection is gone, and the broker delivers it again over the next one.
            return;
        }
        if self.is_full && self.held.iter().any(|held| held.ticket == ticket) {
            let before = std::mem::replace(&mut self.broker.acked, ticket);
            assert!(before < ticket, "deliveries are acknowledged in order: {ticket} after {before}");
        }
        let (acknowledged, held) = std::mem::take(&mut self.held).into_iter().partition(|held| held.ticket == ticket);
        self.held = held;
        self.acknowledged.extend::<Vec<Held>>(acknowledged);
    }

    /// The link comes and goes; while it is there, the outbox drains in order.
    pub(super) fn link(&mut self) {
        if self.broker.refuses.is_some() {
            return self.refusing_link();
        }
        if self.connected && self.happens(self.faults.link) {
            self.cut_link();
            let barred = self.chance(self.chances.barred);
            return self.later(0, Event::Broker(BrokerEvent::disconnected("reset by the simulation", barred)));
        }
        if !self.connected && !self.broker.is_away && self.happens(0.2) {
            self.connected = true;
            self.later(0, Event::Broker(BrokerEvent::connected()));
            self.renew_deliveries();
            for index in 0..self.held.len() {
                self.deliver_held(index);
            }
        }
        if self.connected {
            self.drain_outbox();
        }
    }

    /// The link is cut once more.
    pub fn reconnect(&mut self) {
        if self.connected {
            self.cut_link();
            self.later(0, Event::Broker(BrokerEvent::disconnected("once more", false)));
        }
    }

    /// The broker goes, until it is back.
    pub fn broker_goes(&mut self) {
        self.reconnect();
        self.broker.is_away = true;
    }

    /// A message is handed over: while nothing can be stored only so many wait in the daemon, the others come again with
    /// the next connection.
    pub(super) fn counts_deferred(&mut self) {
        self.broker.not_taken |= self.storage.waits_since().is_some() && self.held.len() > DEFERRED_MAX;
    }

    /// What is on its way over the link is lost with it.
    pub(super) fn cut_link(&mut self) {
        self.connected = false;
        self.observed.tasks.is_heard = false;
        self.events.retain(|(_, event)| {
            !matches!(event, Event::Broker(BrokerEvent::Message(_) | BrokerEvent::Delivered { .. }))
        });
        if self.is_full {
            self.held.retain(|held| !held.retained);
        }
    }

    /// Over a new link every delivery has a new number, and retained messages come again.
    pub(super) fn renew_deliveries(&mut self) {
        if !self.is_full {
            return;
        }
        (self.broker.connected_at, self.broker.sent, self.broker.acked) = (self.now.mono, 0, self.tickets);
        self.held.retain(|held| !held.retained);
        let desired = self.broker.desired.clone();
        let retained = desired.into_iter().map(|(topic, payload)| Held { topic, payload, ticket: 0, retained: true });
        self.held.extend(retained);
        for held in &mut self.held {
            self.tickets += 1;
            held.ticket = self.tickets;
        }
    }

    fn drain_outbox(&mut self) {
        let after = self.broker.sent;
        let window: Vec<_> =
            self.model.outbox.range(after + 1..).map(|(_, message)| message).take(20).cloned().collect();
        for message in window {
            self.received_by_broker(message.seq, (message.topic.to_string(), message.payload));
            if self.is_full {
                self.broker.sent = message.seq;
            }
            self.later(0, Event::Broker(BrokerEvent::Delivered { seq: message.seq }));
        }
    }

    /// A message of the outbox arrives; what was set aside comes after what is newer.
    pub(super) fn received_by_broker(&mut self, seq: u64, said: (String, Vec<u8>)) {
        if let Some(before) = self.received.get(&seq) {
            assert_eq!(*before, said, "seq {seq} means two messages");
            self.redelivered += 1;
            return;
        }
        assert!(seq > self.broker.highest || self.broker.refuses.is_some(), "seq {seq} comes out of order");
        self.broker.highest = self.broker.highest.max(seq);
        self.received.insert(seq, said);
    }

    /// The daemon publishes past the outbox: it is lost where the link is down.
    pub(super) fn receive(&mut self, topic: &Topic, payload: Vec<u8>) {
        self.check_publish(topic, &payload);
        if self.broker.refuses.is_some() {
            self.publish_over_link(topic.clone(), payload);
        } else if self.connected {
            self.take_in(topic, payload);
        }
    }

    /// What was published arrives at the broker.
    pub(super) fn take_in(&mut self, topic: &Topic, payload: Vec<u8>) {
        if topic.spooled() {
            self.broker.direct.push((topic.to_string(), payload));
        } else if let Topic::UpdateRequest(kind) = topic {
            self.send_chunks(*kind, &payload);
        } else if topic.retain() {
            let name = topic.to_string();
            // A link to a broker that refuses something may have an earlier list in hand.
            self.observed.forgetting.is_reviewed |= name.ends_with("review") && self.broker.refuses.is_none();
            if payload.is_empty() {
                self.broker.retained.remove(&name);
            } else {
                self.broker.retained.insert(name, payload);
            }
        }
    }
}
