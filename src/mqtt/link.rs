//! One connection, from connecting to its end.

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event as Packet, EventLoop, Incoming, MqttOptions, NetworkOptions, Outgoing, Publish,
    QoS, SubscribeFilter, SubscribeReasonCode,
};
use tokio::time::{Instant, sleep_until};

use super::connection_error;
use super::mailbox::End;
use super::outlet::{OUTBOX_RETRY, Outlet};
use super::session::Session;
use super::settings::Settings;
use super::window::{InFlight, Lane};
use crate::engine::{BrokerEvent, DeliveryId, Event, Inbound, OutboxMessage};
use crate::wire::{Qos, Status, Topic, mark_replayed};

/// Requests that the client may hold without having sent them.
const CLIENT_QUEUE: usize = 64;

/// Without anything to wait for, the link checks this often whether something is due.
const IDLE: Duration = Duration::from_mins(1);

/// How long the last message and the disconnect may take, each.
const FAREWELL: Duration = Duration::from_secs(1);

/// What MQTT adds to topic and payload, at most.
pub(crate) const HEADER_BYTES: usize = 16;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The daemon's work.
    Serve,
    /// To make the broker forget the session, with all that waits in it, and nothing else.
    Purge,
}

/// How a link ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// On request.
    Ended,
    /// The broker forgot the session.
    Purged,
    /// The broker sent a packet that cannot be read, and would send it again.
    Poisoned { reason: String },
    /// It broke, or did not come up.
    Lost { reason: String, was_up: bool, barred: bool },
}

/// Where a link is between its first and its last packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not subscribed yet.
    Opening,
    /// At work.
    Up,
    /// The end was requested; sends what waits until then.
    Flushing(Instant),
    /// The last message is on its way.
    Farewell(Instant),
    /// The disconnect is on its way.
    Leaving(Instant),
}

/// One connection at work.
struct Link<'s, 'a> {
    session: &'s mut Session<'a>,
    purpose: Purpose,
    client: AsyncClient,
    phase: Phase,
    /// Whether the broker accepted the connection.
    accepted: bool,
    /// Requests given to the client and not sent by it yet.
    queued: usize,
    /// Packet ids of inbound messages that the engine has not acknowledged.
    tickets: HashMap<DeliveryId, u16>,
    outlet: Outlet,
    /// When the broker last acknowledged something, or was first given something to acknowledge.
    progress: Instant,
}

/// Connects with `options` and does what `purpose` says until the link ends.
pub(super) async fn run(session: &mut Session<'_>, options: MqttOptions, purpose: Purpose) -> Outcome {
    // Room for the subscription, the last message and the disconnect beside what is counted.
    let (client, mut eventloop) = AsyncClient::new(options, CLIENT_QUEUE + 3);
    let timeouts = session.settings.timeouts;
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(timeouts.connect.as_secs());
    eventloop.set_network_options(network);
    let mut link = Link {
        session,
        purpose,
        client,
        phase: Phase::Opening,
        accepted: false,
        queued: 0,
        tickets: HashMap::new(),
        outlet: Outlet::new(Instant::now()),
        progress: Instant::now(),
    };
    loop {
        // A poll that is dropped can lose a packet half-way to the socket, so it lives until it is done.
        let polled = {
            let mut poll = pin!(eventloop.poll());
            loop {
                if let Some(outcome) = link.drive() {
                    return outcome;
                }
                tokio::select! {
                    polled = &mut poll => break polled,
                    () = link.session.mailbox.changed() => {}
                    () = sleep_until(link.due()) => {}
                }
            }
        };
        match polled {
            Ok(packet) => {
                if let Some(outcome) = link.handle(packet) {
                    return outcome;
                }
            }
            Err(error) => return link.broken(&error, &mut eventloop),
        }
    }
}

impl Link<'_, '_> {
    /// Does what is due and what the mailbox requests; the link's outcome if that ends it.
    fn drive(&mut self) -> Option<Outcome> {
        let now = Instant::now();
        match (self.session.mailbox.end(), self.phase) {
            (Some(End::Cut), _) | (Some(End::Cleanly(_)), Phase::Opening) => return Some(Outcome::Ended),
            (Some(End::Cleanly(within)), Phase::Up) => self.phase = Phase::Flushing(now + within),
            _ => {}
        }
        if self.purpose == Purpose::Serve {
            self.flush(now);
        }
        match self.phase {
            Phase::Flushing(until) if now >= until || self.is_idle() => self.send_farewell(now),
            Phase::Farewell(until) if now >= until => self.leave(now),
            Phase::Leaving(until) if now >= until => return Some(self.closed()),
            _ => {}
        }
        if self.waits_for_broker() && now >= self.progress + self.stalled() {
            let broker = &self.session.settings.broker;
            let seconds = self.stalled().as_secs_f64();
            let reason = format!("{broker} acknowledged nothing for {seconds} s; connecting again");
            return Some(Outcome::Lost { reason, was_up: self.phase != Phase::Opening, barred: false });
        }
        None
    }

    /// When [`Link::drive`] has something to do though nothing happened.
    fn due(&self) -> Instant {
        let stalled = self.waits_for_broker().then(|| self.progress + self.stalled());
        let phase = match self.phase {
            Phase::Flushing(until) | Phase::Farewell(until) | Phase::Leaving(until) => Some(until),
            Phase::Opening | Phase::Up => None,
        };
        let sends = matches!(self.phase, Phase::Up | Phase::Flushing(_)) && self.room() > 0;
        let outbox = if sends { self.outlet.due() } else { None };
        let idle = Instant::now() + IDLE;
        [stalled, phase, outbox].into_iter().flatten().fold(idle, Instant::min)
    }

    fn stalled(&self) -> Duration {
        self.session.settings.timeouts.stalled
    }

    fn waits_for_broker(&self) -> bool {
        self.phase == Phase::Opening || !self.session.window.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.queued == 0 && self.session.window.is_empty() && !self.outlet.has_more()
    }

    /// Gives the client what waits: acknowledgements, retained values, the outbox.
    fn flush(&mut self, now: Instant) {
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
        while self.room() > 0
            && let Some((topic, payload)) = self.session.mailbox.next_publish()
        {
            if let Err(reason) = self.send(&topic, payload, InFlight::Retained) {
                self.session.fault(reason);
            }
        }
        let changed = self.session.mailbox.take_outbox_changed();
        self.outlet.refresh(changed, now);
        while self.room() > 0
            && let Some((lane, limit)) = self.outlet.next(&self.session.window, self.room(), now)
        {
            self.take_from_outbox(lane, limit, now);
        }
    }

    fn room(&self) -> usize {
        self.session.window.room().min(CLIENT_QUEUE.saturating_sub(self.queued))
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
        if seq <= self.session.settings.boot_seq {
            payload = mark_replayed(payload);
        }
        if let Err(reason) = self.send(&topic, payload, InFlight::Spooled(lane, seq)) {
            // It would block all others for ever.
            self.session.window.skip(lane, seq);
            self.session.fault(reason);
            (self.session.events)(Event::Broker(BrokerEvent::Delivered { seq }));
        }
    }

    fn send(&mut self, topic: &Topic, payload: Vec<u8>, sent: InFlight) -> Result<(), String> {
        let name = self.session.settings.base.join(topic);
        let bytes = name.len() + payload.len() + HEADER_BYTES;
        let limit = self.session.settings.max_packet_bytes;
        if bytes > limit {
            return Err(format!(
                "a message on {topic} has {bytes} bytes, {limit} are allowed, so it is dropped; raise \
                 mqtt.max_packet_kb"
            ));
        }
        let qos = match topic.qos() {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
        };
        self.client
            .try_publish(name, qos, topic.retain(), payload)
            .map_err(|_| format!("a message on {topic:?} is dropped: MQTT has no such topic"))?;
        self.queued += 1;
        if qos == QoS::AtLeastOnce {
            if self.session.window.is_empty() {
                self.progress = Instant::now();
            }
            self.session.window.give(sent);
        }
        Ok(())
    }

    fn send_farewell(&mut self, now: Instant) {
        self.phase = Phase::Farewell(now + FAREWELL);
        if self.send(&Topic::Status, Status::Stopped.as_str().into(), InFlight::Farewell).is_err() {
            self.leave(now);
        }
    }

    fn leave(&mut self, now: Instant) {
        self.phase = Phase::Leaving(now + FAREWELL);
        self.queued += usize::from(self.client.try_disconnect().is_ok());
    }

    fn closed(&self) -> Outcome {
        if self.purpose == Purpose::Purge { Outcome::Purged } else { Outcome::Ended }
    }

    /// Handles one thing that the client did or received; the link's outcome if that ends it.
    fn handle(&mut self, packet: Packet) -> Option<Outcome> {
        match packet {
            Packet::Incoming(Incoming::ConnAck(_)) => self.open(),
            Packet::Incoming(Incoming::SubAck(ack)) => self.subscribed(&ack.return_codes),
            Packet::Incoming(Incoming::Publish(publish)) => self.receive(&publish),
            Packet::Incoming(Incoming::PubAck(ack)) => self.acknowledged(ack.pkid),
            Packet::Outgoing(Outgoing::Publish(pkid)) => {
                self.queued = self.queued.saturating_sub(1);
                if pkid != 0 {
                    self.session.window.sent(pkid);
                }
            }
            Packet::Outgoing(Outgoing::PubAck(_) | Outgoing::Subscribe(_)) => {
                self.queued = self.queued.saturating_sub(1);
            }
            Packet::Outgoing(Outgoing::Disconnect) => return Some(self.closed()),
            _ => {}
        }
        None
    }

    /// The broker accepted the connection; what follows is the subscription, on every connection again.
    fn open(&mut self) {
        self.accepted = true;
        if self.purpose == Purpose::Purge {
            self.leave(Instant::now());
            return;
        }
        let filters = self.session.settings.base.subscriptions();
        let filters = filters.into_iter().map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
        self.queued += usize::from(self.client.try_subscribe_many(filters).is_ok());
    }

    fn subscribed(&mut self, codes: &[SubscribeReasonCode]) {
        if self.phase != Phase::Opening {
            return;
        }
        let Settings { broker, base, .. } = self.session.settings;
        for (filter, code) in base.subscriptions().iter().zip(codes) {
            if *code == SubscribeReasonCode::Failure {
                self.session.fault(format!(
                    "{broker} refuses the subscription to {filter}; allow it in the broker's access list"
                ));
            }
        }
        self.phase = Phase::Up;
        self.progress = Instant::now();
        self.session.connected();
    }

    fn receive(&mut self, publish: &Publish) {
        let Some(topic) = self.session.settings.base.strip(&publish.topic) else { return };
        self.session.last_ticket += 1;
        let delivery = self.session.last_ticket;
        if publish.qos != QoS::AtMostOnce {
            self.tickets.insert(delivery, publish.pkid);
        }
        let inbound =
            Inbound { topic: topic.to_owned(), payload: publish.payload.to_vec(), retained: publish.retain, delivery };
        (self.session.events)(Event::Broker(BrokerEvent::Message(inbound)));
    }

    fn acknowledged(&mut self, pkid: u16) {
        self.progress = Instant::now();
        match self.session.window.acknowledged(pkid) {
            Some(InFlight::Spooled(_, seq)) => (self.session.events)(Event::Broker(BrokerEvent::Delivered { seq })),
            Some(InFlight::Farewell) => self.leave(self.progress),
            Some(InFlight::Retained) | None => {}
        }
    }

    /// The link broke. What the client had read before still counts: acknowledgements always, and messages where
    /// the broker is about to forget the session with them.
    fn broken(&mut self, error: &ConnectionError, eventloop: &mut EventLoop) -> Outcome {
        if matches!(self.phase, Phase::Leaving(_)) {
            return self.closed();
        }
        // Before that, what cannot be read is no message that would come again.
        let poisoned = self.accepted && connection_error::is_poison(error);
        for packet in std::mem::take(&mut eventloop.state.events) {
            if poisoned || !matches!(packet, Packet::Incoming(Incoming::Publish(_))) {
                self.handle(packet);
            }
        }
        let Settings { broker, max_packet_bytes, .. } = self.session.settings;
        if poisoned {
            let reason = format!(
                "{broker} sent a packet that cannot be received ({error}; mqtt.max_packet_kb allows {max_packet_bytes} \
                 bytes): a new session is started, and what waited in the old one at the broker is lost; if this \
                 happens again, clear the retained message on label or request with mosquitto_pub -r -n"
            );
            return Outcome::Poisoned { reason };
        }
        let was_up = self.phase != Phase::Opening;
        let reason = connection_error::describe(error, self.session.settings, was_up);
        Outcome::Lost { reason, was_up, barred: connection_error::is_barred(error) }
    }
}
