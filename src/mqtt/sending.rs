//! What a link gives the client to send, and when: acknowledgements, subscriptions, retained values, the outbox; in the
//! order and with what is left out that the engine decided ([`Terms`](crate::engine::Terms)).

use rumqttc::{Publish, QoS, SubscribeFilter};
use tokio::time::Instant;

use super::link::{CLIENT_QUEUE, HEADER_BYTES, Link, Phase, QUIET};
use super::outlet::OUTBOX_RETRY;
use super::window::{InFlight, Lane, Sent};
use crate::engine::{BrokerEvent, Event, Item, OutboxMessage};
use crate::wire::{Qos, Topic, mark_replayed};

/// After so many messages, or when there are no others, those go that wait for the others.
const ENOUGH: usize = 20;

/// A filter that nobody subscribed to: giving it up changes nothing, and the broker's answer shows that it has
/// processed all that was sent before.
const BARRIER: &str = "none";

impl Link<'_, '_> {
    /// Takes in how the engine wants to send from now on.
    pub(super) fn adapt(&mut self) {
        let terms = self.session.mailbox.terms();
        if *terms != *self.terms {
            let is_released = |item: &Item| !terms.held.contains(item);
            self.reread |= self.terms.held.iter().any(is_released) || self.terms.last != terms.last;
            self.is_tail = false;
            self.terms = terms;
        }
        if self.reread && self.session.window.is_empty() {
            self.reread = false;
            self.begin_outbox_again();
        }
    }

    fn begin_outbox_again(&mut self) {
        self.session.window.begin_again();
        self.outlet.refresh(true, Instant::now());
    }

    /// Gives the client what waits: acknowledgements, retained values, the outbox.
    pub(super) fn flush(&mut self, now: Instant) {
        while self.queued < CLIENT_QUEUE
            && let Some(delivery) = self.session.mailbox.next_ack()
        {
            if let Some(pkid) = self.tickets.remove(&delivery) {
                let mut publish = Publish::new("", QoS::AtLeastOnce, Vec::new());
                publish.pkid = pkid;
                self.queued += usize::from(self.client.try_ack(&publish).is_ok());
            }
        }
        if !matches!(self.phase, Phase::Up | Phase::Flushing(_)) {
            return;
        }
        self.turn_to_deferred();
        self.ask_for_next();
        while self.room() > 0
            && let Some((topic, payload)) = self.next_publish()
        {
            self.publish(topic, payload);
        }
        let changed = self.session.mailbox.take_outbox_changed();
        self.outlet.refresh(changed, now);
        while self.room() > 0
            && let Some((lane, limit)) = self.outlet.next(&self.session.window, self.room(), now)
        {
            self.take_from_outbox(lane, limit, now);
        }
        let waits = self.session.window.needs_barrier()
            || (self.session.without_qos && self.terms.one_at_a_time && !self.session.window.is_clear());
        if waits && self.barrier.is_none() && self.queued < CLIENT_QUEUE {
            let filter = format!("{}/{BARRIER}", self.session.settings.base);
            if self.client.try_unsubscribe(filter).is_ok() {
                self.queued += 1;
                self.barrier = Some(Instant::now());
            }
        }
    }

    pub(super) fn room(&self) -> usize {
        if self.terms.one_at_a_time {
            return usize::from(self.queued == 0 && self.session.window.is_clear() && self.asked.is_empty());
        }
        self.session.window.room().min(CLIENT_QUEUE.saturating_sub(self.queued))
    }

    /// Once everything else was sent, or enough of it, it is the turn of what waits for that.
    fn turn_to_deferred(&mut self) {
        if self.is_tail || self.terms.last.is_empty() {
            return;
        }
        // What a new connection publishes comes a moment after it.
        let has_begun = self.messages_taken > 0 || Instant::now() >= self.up_at + QUIET;
        let is_idle = self.is_idle() && !self.session.mailbox.has_publishes() && self.filters.is_empty();
        if !(is_idle && has_begun) && self.messages_taken < ENOUGH {
            return;
        }
        self.is_tail = true;
        let filters = self.session.settings.subscriptions();
        self.filters
            .extend(filters.into_iter().filter(|filter| self.terms.defers(&Item::Subscription(filter.clone()))));
        self.reread |= std::mem::take(&mut self.defers_spooled);
        self.adapt();
    }

    /// Asks for the next subscriptions: for all at once, or one at a time.
    pub(super) fn ask_for_next(&mut self) {
        let singly = self.terms.one_at_a_time || self.session.subscribes_singly;
        let is_free = self.asked.is_empty() && (!self.terms.one_at_a_time || self.session.window.is_clear());
        if self.filters.is_empty() || !is_free || self.queued >= CLIENT_QUEUE {
            return;
        }
        let number = if singly { 1 } else { self.filters.len() };
        self.asked = self.filters.drain(..number).collect();
        let settings = self.session.settings;
        let qos = |filter: &str| if settings.is_of_frames(filter) { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let filters = self.asked.iter().map(|filter| SubscribeFilter::new(filter.clone(), qos(filter)));
        self.queued += usize::from(self.client.try_subscribe_many(filters).is_ok());
        self.progress = Instant::now();
    }

    fn next_publish(&mut self) -> Option<(Topic, Vec<u8>)> {
        if self.is_tail && !self.deferred.is_empty() {
            return Some(self.deferred.remove(0));
        }
        self.session.mailbox.next_publish()
    }

    /// Sends a value that is published, unless it is to wait or not to be sent.
    fn publish(&mut self, topic: Topic, payload: Vec<u8>) {
        let item = Item::Topic { topic: topic.to_string(), bytes: self.bytes(&topic, &payload) };
        if self.terms.holds(&item) {
            return;
        }
        if self.terms.defers(&item) && !self.is_tail {
            self.deferred.retain(|(other, _)| *other != topic);
            self.deferred.push((topic, payload));
            return;
        }
        let what = if topic.retain() { InFlight::Retained } else { InFlight::Passing };
        if let Err(reason) = self.send(&topic, payload, what, item) {
            self.session.fault(reason);
        }
    }

    /// Length of a message's whole topic and payload.
    pub(super) fn bytes(&self, topic: &Topic, payload: &[u8]) -> usize {
        self.session.settings.base.join(topic).len() + payload.len()
    }

    /// Sends the messages of a lane of the outbox that may go now.
    fn take_from_outbox(&mut self, lane: Lane, limit: usize, now: Instant) {
        let taken = self.outlet.take(lane, limit, &mut *self.session.outbox, &mut self.session.window, now);
        match taken {
            Ok(messages) => messages.into_iter().for_each(|message| self.send_spooled(lane, message)),
            Err(error) => {
                let seconds = OUTBOX_RETRY.as_secs();
                self.session.fault(format!("the outbox cannot be read: {error}; trying again in {seconds} s"));
            }
        }
    }

    fn send_spooled(&mut self, lane: Lane, message: OutboxMessage) {
        let OutboxMessage { seq, topic, mut payload, .. } = message;
        let item = Item::Message { seq, topic: topic.to_string(), bytes: self.bytes(&topic, &payload) };
        if self.terms.holds(&item) || (self.terms.defers(&item) && !self.is_tail) {
            self.defers_spooled |= !self.terms.holds(&item);
            self.session.window.skip(lane, seq);
            return;
        }
        if seq <= self.session.settings.boot_seq {
            payload = mark_replayed(payload);
        }
        if let Err(reason) = self.send(&topic, payload, InFlight::Spooled(lane, seq), item) {
            // It would block all others for ever.
            self.session.window.skip(lane, seq);
            self.session.fault(reason);
            (self.session.events)(Event::Broker(BrokerEvent::Delivered { seq }));
        }
    }

    pub(super) fn send(&mut self, topic: &Topic, payload: Vec<u8>, what: InFlight, item: Item) -> Result<(), String> {
        let name = self.session.settings.base.join(topic);
        let bytes = name.len() + payload.len() + HEADER_BYTES;
        let limit = self.session.settings.max_packet_bytes;
        if bytes > limit {
            return Err(format!(
                "a message on {topic} has {bytes} bytes, {limit} are allowed, so it is dropped; raise \
                 mqtt.max_packet_kb"
            ));
        }
        // Where each answer is waited for, all that can be are acknowledged.
        let is_acknowledged =
            !self.session.without_qos && (topic.qos() == Qos::AtLeastOnce || self.terms.one_at_a_time);
        let qos = if is_acknowledged { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let retained = topic.retain() && !self.terms.unretained;
        self.client
            .try_publish(name, qos, retained, payload)
            .map_err(|_| format!("a message on {topic:?} is dropped: MQTT has no such topic"))?;
        self.queued += 1;
        self.session.window.give(Sent::new(what, item, retained, is_acknowledged, Instant::now()));
        Ok(())
    }
}
