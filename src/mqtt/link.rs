//! One connection, from connecting to its end, and what the broker answers; [`super::sending`] has what it is sent.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event as Packet, EventLoop, Incoming, MqttOptions, NetworkOptions, Outgoing, Publish,
    QoS, SubscribeReasonCode,
};
use tokio::time::{Instant, sleep_until};

use super::connection_error;
use super::connection_error::Fault;
use super::mailbox::End;
use super::outlet::Outlet;
use super::relay::{Oversized, Relay};
use super::session::{self, Session};
use super::settings::Settings;
use super::window::{InFlight, Sent};
use crate::engine::{BrokerEvent, DeliveryId, Event, Inbound, Item, Terms, Unanswered};
use crate::wire::{Status, Topic};
use crate::words::SourceId;

/// Requests that the client may hold without having sent them.
pub(super) const CLIENT_QUEUE: usize = 64;

/// Without anything to wait for, the link checks this often whether something is due.
const IDLE: Duration = Duration::from_mins(1);

/// How long the last message and the disconnect may take, each.
const FAREWELL: Duration = Duration::from_secs(1);

/// A connection on which nothing was taken for so long has nothing else to send.
pub(super) const QUIET: Duration = Duration::from_secs(5);

/// What MQTT adds to topic and payload, at most.
pub(crate) const HEADER_BYTES: usize = 16;

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The daemon's work.
    Serve,
    /// To make the broker forget the session, with all that waits in it, and nothing else; or to see whether it accepts us.
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
    Lost { reason: String, was_up: bool, barred: bool, unanswered: Option<Unanswered>, silent: bool },
}

/// Where a link is between its first and its last packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
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
pub(super) struct Link<'s, 'a> {
    pub(super) session: &'s mut Session<'a>,
    pub(super) relay: &'s Relay,
    /// Messages received on this connection.
    pub(super) received: u64,
    pub(super) purpose: Purpose,
    pub(super) client: AsyncClient,
    pub(super) phase: Phase,
    /// Whether the broker accepted the connection.
    pub(super) accepted: bool,
    /// Requests given to the client and not sent by it yet.
    pub(super) queued: usize,
    /// Packet ids of inbound messages that the engine has not acknowledged.
    pub(super) tickets: HashMap<DeliveryId, u16>,
    pub(super) outlet: Outlet,
    /// When the broker was last given something to answer, or answered.
    pub(super) progress: Instant,
    /// How to send, as the engine decided.
    pub(super) terms: Arc<Terms>,
    /// Filters that are still to be subscribed to.
    pub(super) filters: VecDeque<String>,
    /// Those that the broker was asked for and has not answered.
    pub(super) asked: Vec<String>,
    /// Those that it refused on this link, and those that it granted with `QoS` 0 only.
    pub(super) refused: Vec<String>,
    pub(super) downgraded: Vec<String>,
    /// Retained values that wait for everything else.
    pub(super) deferred: Vec<(Topic, Vec<u8>)>,
    /// Whether the outbox holds messages that wait for everything else.
    pub(super) defers_spooled: bool,
    /// Whether it is the turn of what waited for everything else.
    pub(super) is_tail: bool,
    /// Whether the outbox has to be read from its beginning.
    pub(super) reread: bool,
    pub(super) subscriptions_taken: usize,
    pub(super) messages_taken: usize,
    /// When the subscriptions were answered.
    pub(super) up_at: Instant,
    /// When the broker was asked for a sign that it has processed everything.
    pub(super) barrier: Option<Instant>,
    pub(super) pinged: Option<Instant>,
}

/// Connects and does what `purpose` says until the link ends.
pub(super) async fn run(session: &mut Session<'_>, purpose: Purpose) -> Outcome {
    let (settings, mailbox) = (session.settings, session.mailbox);
    let connected = tokio::select! {
        connected = Relay::connect(settings) => connected,
        () = mailbox.ended() => return Outcome::Ended,
    };
    let relay = match connected {
        Ok(relay) => relay,
        Err(Fault { reason, barred }) => {
            return Outcome::Lost { reason, was_up: false, barred, unanswered: None, silent: false };
        }
    };
    let options = match session::options(settings, purpose, session.low_will, &relay.address) {
        Ok(options) => options,
        Err(reason) => return Outcome::Lost { reason, was_up: false, barred: true, unanswered: None, silent: false },
    };
    let outcome = serve(session, options, purpose, &relay).await;
    if mailbox.end() != Some(End::Cut) {
        relay.finish(FAREWELL).await;
    }
    outcome
}

/// The client library at work until the link ends.
async fn serve(session: &mut Session<'_>, options: MqttOptions, purpose: Purpose, relay: &Relay) -> Outcome {
    // Room for the subscription, the last message and the disconnect beside what is counted.
    let (client, mut eventloop) = AsyncClient::new(options, CLIENT_QUEUE + 3);
    let timeouts = session.settings.timeouts;
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(timeouts.connect.as_secs());
    eventloop.set_network_options(network);
    let mut link = Link {
        session,
        relay,
        purpose,
        client,
        received: 0,
        phase: Phase::Opening,
        accepted: false,
        queued: 0,
        tickets: HashMap::new(),
        outlet: Outlet::new(Instant::now()),
        progress: Instant::now(),
        terms: Arc::default(),
        filters: VecDeque::new(),
        asked: Vec::new(),
        refused: Vec::new(),
        downgraded: Vec::new(),
        deferred: Vec::new(),
        defers_spooled: false,
        is_tail: false,
        reread: false,
        subscriptions_taken: 0,
        messages_taken: 0,
        up_at: Instant::now(),
        barrier: None,
        pinged: None,
    };
    link.terms = link.session.mailbox.terms();
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
            self.adapt();
            self.flush(now);
        }
        match self.phase {
            Phase::Flushing(until) if now >= until || self.is_idle() => self.send_farewell(now),
            Phase::Farewell(until) if now >= until => self.leave(now),
            Phase::Leaving(until) if now >= until => return Some(self.closed()),
            _ => {}
        }
        if self.stalls_at().is_some_and(|at| now >= at) {
            let broker = &self.session.settings.broker;
            let seconds = self.stalled().as_secs_f64();
            let reason = match self.unanswered() {
                Some(Unanswered { first, .. }) => {
                    let what = self.name(&first);
                    format!("{broker} acknowledged nothing for {seconds} s, not {what} either; connecting again")
                }
                None => format!("{broker} acknowledged nothing for {seconds} s; connecting again"),
            };
            return Some(self.lost(reason, false, false));
        }
        None
    }

    /// When the broker has been silent for too long, if it is to answer something: to the connection, or to the oldest
    /// message in flight.
    fn stalls_at(&self) -> Option<Instant> {
        let since = match self.phase {
            Phase::Opening => Some(self.progress),
            _ if !self.asked.is_empty() => Some(self.progress),
            _ => self.session.window.waits_since(),
        };
        since.map(|since| since + self.stalled())
    }

    /// When [`Link::drive`] has something to do though nothing happened.
    fn due(&self) -> Instant {
        let stalled = self.stalls_at();
        let phase = match self.phase {
            Phase::Flushing(until) | Phase::Farewell(until) | Phase::Leaving(until) => Some(until),
            Phase::Opening | Phase::Up => None,
        };
        let deferred = (!self.is_tail && !self.terms.last.is_empty()).then_some(self.up_at + QUIET);
        let sends = matches!(self.phase, Phase::Up | Phase::Flushing(_)) && self.room() > 0;
        let outbox = if sends { self.outlet.due() } else { None };
        let idle = Instant::now() + IDLE;
        [stalled, phase, outbox, deferred.filter(|at| *at > Instant::now())]
            .into_iter()
            .flatten()
            .fold(idle, Instant::min)
    }

    fn stalled(&self) -> Duration {
        self.session.settings.timeouts.stalled
    }

    pub(super) fn is_idle(&self) -> bool {
        self.queued == 0 && self.session.window.is_empty() && !self.outlet.has_more() && self.asked.is_empty()
    }

    fn send_farewell(&mut self, now: Instant) {
        self.phase = Phase::Farewell(now + FAREWELL);
        let payload = Status::Stopped.as_str().as_bytes().to_vec();
        let item = Item::Topic { topic: Topic::Status.to_string(), bytes: self.bytes(&Topic::Status, &payload) };
        let is_held = self.terms.holds(&item) || self.terms.defers(&item);
        if is_held || self.send(&Topic::Status, payload, InFlight::Farewell, item).is_err() {
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
            Packet::Incoming(Incoming::UnsubAck(_)) => {
                if let Some(at) = self.barrier.take() {
                    let answered = self.session.window.processed_before(at);
                    self.answered(answered);
                }
            }
            Packet::Incoming(Incoming::PingResp) => {
                if let Some(at) = self.pinged.take() {
                    let answered = self.session.window.processed_before(at);
                    self.answered(answered);
                }
            }
            Packet::Outgoing(Outgoing::PingReq) => self.pinged = Some(Instant::now()),
            Packet::Outgoing(Outgoing::Publish(pkid)) => {
                self.queued = self.queued.saturating_sub(1);
                self.session.window.sent(pkid);
            }
            Packet::Outgoing(Outgoing::PubAck(_) | Outgoing::Subscribe(_) | Outgoing::Unsubscribe(_)) => {
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
        self.session.accepted();
        let filters = self.session.settings.subscriptions().into_iter().map(Item::Subscription);
        let filters = filters.filter(|filter| !self.terms.holds(filter) && !self.terms.defers(filter));
        self.filters = filters
            .filter_map(|item| if let Item::Subscription(filter) = item { Some(filter) } else { None })
            .collect();
        self.ask_for_next();
        self.open_when_subscribed();
    }

    fn subscribed(&mut self, codes: &[SubscribeReasonCode]) {
        for (filter, code) in std::mem::take(&mut self.asked).into_iter().zip(codes) {
            self.subscriptions_taken += 1;
            match code {
                SubscribeReasonCode::Failure => self.refused.push(filter.clone()),
                SubscribeReasonCode::Success(QoS::AtMostOnce) if !self.session.settings.is_of_frames(&filter) => {
                    self.downgraded.push(filter.clone());
                }
                SubscribeReasonCode::Success(_) => {}
            }
            self.report_taken(Item::Subscription(filter));
        }
        self.progress = Instant::now();
        if self.phase == Phase::Opening {
            self.ask_for_next();
            self.open_when_subscribed();
        }
    }

    fn open_when_subscribed(&mut self) {
        if self.phase != Phase::Opening || !self.asked.is_empty() {
            return;
        }
        self.phase = Phase::Up;
        self.up_at = Instant::now();
        self.progress = Instant::now();
        self.session.connected(self.refused.clone(), self.downgraded.clone());
    }

    /// Reports that something was taken that had to wait for everything else.
    fn report_taken(&self, item: Item) {
        if self.terms.defers(&item) {
            (self.session.events)(Event::Broker(BrokerEvent::Taken(item)));
        }
    }

    fn receive(&mut self, publish: &Publish) {
        self.received += 1;
        let oversized = self.relay.oversized(self.received);
        if let Some(source) = self.session.settings.source_of(&publish.topic) {
            self.receive_frame(source, publish, oversized);
            return;
        }
        let Some(topic) = self.session.settings.base.strip(&publish.topic) else { return };
        self.session.last_ticket += 1;
        let delivery = self.session.last_ticket;
        if publish.qos != QoS::AtMostOnce {
            self.tickets.insert(delivery, publish.pkid);
        }
        if let Some(Oversized { bytes, .. }) = oversized {
            let (topic, retained) = (topic.to_owned(), publish.retain);
            let oversized = BrokerEvent::Oversized { topic, bytes, retained, delivery };
            (self.session.events)(Event::Broker(oversized));
            return;
        }
        let inbound =
            Inbound { topic: topic.to_owned(), payload: publish.payload.to_vec(), retained: publish.retain, delivery };
        (self.session.events)(Event::Broker(BrokerEvent::Message(inbound)));
    }

    /// Hands a frame to its source. It takes no part in what is acknowledged or waited for: no event, no ticket.
    fn receive_frame(&mut self, source: &SourceId, publish: &Publish, oversized: Option<Oversized>) {
        if publish.qos != QoS::AtMostOnce {
            // A session from before may have asked for it.
            self.queued += usize::from(self.client.try_ack(publish).is_ok());
        }
        match oversized {
            Some(Oversized { bytes, .. }) => self.session.frames.too_large(source, bytes),
            None => self.session.frames.bring(source, publish.payload.to_vec(), publish.retain),
        }
    }

    fn acknowledged(&mut self, pkid: u16) {
        let answered = self.session.window.acknowledged(pkid);
        self.answered(answered);
    }

    fn answered(&mut self, answered: Vec<Sent>) {
        self.progress = Instant::now();
        for Sent { what, item, retained, .. } in answered {
            self.messages_taken += 1;
            self.session.took(&item, retained);
            match what {
                InFlight::Spooled(_, seq) => (self.session.events)(Event::Broker(BrokerEvent::Delivered { seq })),
                InFlight::Farewell => self.leave(self.progress),
                InFlight::Retained | InFlight::Passing => {}
            }
            self.report_taken(item);
        }
    }

    /// The first thing that the broker has not answered.
    fn unanswered(&self) -> Option<Unanswered> {
        let window = &self.session.window;
        if let Some(filter) = self.asked.first() {
            return Some(Unanswered {
                first: Item::Subscription(filter.clone()),
                alone: self.asked.len() == 1 && window.is_clear(),
                retained: false,
                others_taken: self.subscriptions_taken + self.messages_taken > 0,
                retained_taken: self.session.retained_taken,
                longest_taken: 0,
            });
        }
        let oldest = window.oldest()?;
        Some(Unanswered {
            first: oldest.item.clone(),
            alone: window.len() == 1,
            retained: oldest.retained,
            others_taken: self.messages_taken > 0,
            retained_taken: self.session.retained_taken,
            longest_taken: self.session.longest_taken(&oldest.item),
        })
    }

    /// An item's whole name and length, for people.
    fn name(&self, item: &Item) -> String {
        item.describe(&self.session.settings.base)
    }

    fn lost(&mut self, reason: String, barred: bool, silent: bool) -> Outcome {
        let unanswered = self.unanswered();
        Outcome::Lost { reason, was_up: self.phase != Phase::Opening, barred, unanswered, silent }
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
        if self.asked.len() > 1 && connection_error::is_closed(error) {
            // It may be too many of them.
            self.session.subscribes_singly = true;
        }
        let silent = !self.accepted && connection_error::is_closed(error);
        if let Some(error) = self.relay.take_fault() {
            let fault = if self.session.settings.broker.tls {
                connection_error::handshake(&error, self.session.settings)
            } else {
                let reason = connection_error::input_output(&error, self.session.settings, was_up || self.accepted);
                Fault::passing(reason)
            };
            if fault.barred || !connection_error::is_end(&error) {
                return self.lost(fault.reason, fault.barred, silent);
            }
        }
        let reason = match self.unanswered().filter(|_| connection_error::is_closed(error)) {
            Some(unanswered) => connection_error::closed_at(&self.name(&unanswered.first), self.session.settings),
            None => connection_error::describe(error, self.session.settings, was_up || self.accepted),
        };
        self.lost(reason, connection_error::is_barred(error), silent)
    }
}
