//! A broker that closes the connection at what it does not take, and a link that sends as the engine decides.
//!
//! Only lives with such a broker send in this way: item by item, with what was not answered reported at each cut.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgetuned::engine::{BrokerEvent, Event, Item, Terms, Unanswered};
use edgetuned::wire::Topic;
use rand::{Rng, RngExt};
use serde_json::Value;

use super::World;

/// Items that go before the first of them is answered.
const WINDOW: usize = 20;
/// Items that go one after the other in one step.
const TURNS: usize = 5;
/// After so many, or without others, it is the turn of what waits for the others.
const ENOUGH: usize = 20;
const QUIET: Duration = Duration::from_secs(5);

/// What the broker does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refuses {
    /// Topics below the base.
    pub topics: BTreeSet<&'static str>,
    /// What is longer than this, topic and payload.
    pub bytes_max: usize,
    /// Whatever is retained.
    pub retained: bool,
    /// The subscription to this filter.
    pub filter: Option<String>,
}

impl Refuses {
    /// One or two things that a broker may not take; `filters` are what the daemon subscribes to.
    pub fn random(rng: &mut impl Rng, filters: &[String]) -> Self {
        const TOPICS: [&str; 12] = [
            "event",
            "prediction",
            "train/result",
            "response/train",
            "response/label",
            "state",
            "health",
            "status",
            "review",
            "alert/mqtt_refused",
            "update/head/state",
            "config/applied",
        ];
        let mut refuses = Self { topics: BTreeSet::new(), bytes_max: usize::MAX, retained: false, filter: None };
        for _ in 0..rng.random_range(1..=2) {
            match rng.random_range(0..5) {
                0 | 1 => _ = refuses.topics.insert(TOPICS[rng.random_range(0..TOPICS.len())]),
                2 => refuses.bytes_max = rng.random_range(700..4_000),
                3 => refuses.retained = true,
                _ => refuses.filter = Some(filters[rng.random_range(0..filters.len())].clone()),
            }
        }
        refuses
    }

    fn item(&self, item: &Item, retained: bool) -> bool {
        match item {
            Item::Subscription(filter) => self.filter.as_ref() == Some(filter),
            Item::Topic { topic, bytes } | Item::Message { topic, bytes, .. } => {
                self.topics.contains(topic.as_str()) || *bytes > self.bytes_max || (retained && self.retained)
            }
        }
    }
}

/// One connection after another of a process, as far as a broker that refuses something concerns it.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) terms: Terms,
    /// Values that are to be published, the latest of each topic.
    publishes: Vec<(Topic, Vec<u8>)>,
    /// Those that wait for everything else.
    deferred: Vec<(Topic, Vec<u8>)>,
    /// Subscriptions that wait for everything else.
    filters: Vec<String>,
    /// Messages of the outbox that went over this connection, or were passed over.
    sent: BTreeSet<u64>,
    is_tail: bool,
    up_at: Duration,
    subscriptions_taken: usize,
    messages_taken: usize,
    subscribes_singly: bool,
    retained_taken: bool,
    longest: BTreeMap<String, usize>,
    /// Filters whose messages the broker delivers.
    subscribed: BTreeSet<String>,
}

/// Something that is sent.
#[derive(Debug)]
struct Sent {
    item: Item,
    topic: Option<Topic>,
    payload: Vec<u8>,
    retained: bool,
}

impl World {
    /// The engine decides how to send.
    pub(super) fn adapt(&mut self, terms: Terms) {
        if self.link.terms != terms {
            (self.link.terms, self.link.is_tail) = (terms, false);
        }
    }

    /// A value waits for the link, where there is one.
    pub(super) fn publish_over_link(&mut self, topic: Topic, payload: Vec<u8>) {
        if !self.connected {
            return;
        }
        match self.link.publishes.iter_mut().find(|(other, _)| *other == topic && topic.retain()) {
            Some(waiting) => waiting.1 = payload,
            None => self.link.publishes.push((topic, payload)),
        }
    }

    /// What the link does in one step.
    pub(super) fn refusing_link(&mut self) {
        if self.connected && self.happens(self.faults.link) {
            let unanswered =
                if self.happens(0.3) { self.window(1).pop().map(|sent| self.unanswered(&sent, 2)) } else { None };
            return self.cut_at(Vec::new(), unanswered);
        }
        if !self.connected {
            if self.happens(0.5) {
                self.open_link();
            }
            return;
        }
        let singly = self.link.terms.one_at_a_time;
        for _ in 0..if singly { TURNS } else { 1 } {
            self.turn_to_deferred();
            let window = self.window(if singly { 1 } else { WINDOW });
            if window.is_empty() || !self.exchange(window) {
                return;
            }
        }
    }

    /// Subscribes, to all filters at once or one at a time; what is up then begins to send.
    fn open_link(&mut self) {
        let link = &mut self.link;
        (link.is_tail, link.subscriptions_taken, link.messages_taken) = (false, 0, 0);
        (link.publishes, link.deferred, link.filters) = Default::default();
        (link.sent, link.subscribed) = Default::default();
        let filters = self.filters();
        let mut asked: Vec<String> = Vec::new();
        for filter in filters {
            let item = Item::Subscription(filter.clone());
            if self.link.terms.holds(&item) {
            } else if self.link.terms.defers(&item) {
                self.link.filters.push(filter);
            } else {
                asked.push(filter);
            }
        }
        let number = if self.link.terms.one_at_a_time || self.link.subscribes_singly { 1 } else { asked.len().max(1) };
        for together in asked.chunks(number) {
            let refuses = |filter: &String| self.refuses(&Item::Subscription(filter.clone()), false);
            if together.iter().any(refuses) {
                let first = Item::Subscription(together[0].clone());
                let sent = Sent { item: first, topic: None, payload: Vec::new(), retained: false };
                let unanswered = self.unanswered(&sent, together.len());
                self.link.subscribes_singly |= together.len() > 1;
                return self.cut_at(Vec::new(), Some(unanswered));
            }
            self.link.subscriptions_taken += together.len();
            self.link.subscribed.extend(together.iter().cloned());
        }
        self.link.up_at = self.now.mono;
        self.connected = true;
        self.later(0, Event::Broker(BrokerEvent::connected()));
        self.renew_deliveries();
        for index in 0..self.held.len() {
            self.deliver_held(index);
        }
    }

    fn refuses(&self, item: &Item, retained: bool) -> bool {
        self.broker.refuses.as_ref().is_some_and(|refuses| refuses.item(item, retained))
    }

    fn unanswered(&self, sent: &Sent, together: usize) -> Unanswered {
        let Link { messages_taken, subscriptions_taken, longest, retained_taken, .. } = &self.link;
        let (others_taken, longest_taken) = match &sent.item {
            Item::Subscription(_) => (messages_taken + subscriptions_taken > 0, 0),
            Item::Topic { topic, .. } | Item::Message { topic, .. } => {
                (*messages_taken > 0, longest.get(topic).copied().unwrap_or(0))
            }
        };
        Unanswered {
            first: sent.item.clone(),
            alone: together == 1,
            retained: sent.retained,
            others_taken,
            retained_taken: *retained_taken,
            longest_taken,
        }
    }

    /// Once everything else was sent, or enough of it, it is the turn of what waits for that.
    fn turn_to_deferred(&mut self) {
        let link = &self.link;
        if link.is_tail || link.terms.last.is_empty() {
            return;
        }
        let has_begun = link.messages_taken > 0 || self.now.mono >= link.up_at + QUIET;
        self.link.is_tail = link.messages_taken >= ENOUGH || (has_begun && self.window(1).is_empty());
    }

    /// What goes next, up to so many items.
    fn window(&mut self, items: usize) -> Vec<Sent> {
        let mut window = Vec::new();
        if self.link.is_tail && !self.link.filters.is_empty() {
            let item = Item::Subscription(self.link.filters[0].clone());
            return vec![Sent { item, topic: None, payload: Vec::new(), retained: false }];
        }
        let waiting = if self.link.is_tail { std::mem::take(&mut self.link.deferred) } else { Vec::new() };
        let mut left = Vec::new();
        for (topic, payload) in waiting.into_iter().chain(std::mem::take(&mut self.link.publishes)) {
            let sent = self.sent(topic, payload, None);
            if self.link.terms.holds(&sent.item) {
            } else if self.link.terms.defers(&sent.item) && !self.link.is_tail {
                let topic = sent.topic.expect("it is published");
                self.link.deferred.retain(|(other, _)| *other != topic);
                self.link.deferred.push((topic, sent.payload));
            } else if window.len() < items {
                window.push(sent);
            } else {
                left.push((sent.topic.expect("it is published"), sent.payload));
            }
        }
        self.link.publishes = left;
        let spooled: Vec<_> =
            self.model.outbox.values().filter(|m| !self.link.sent.contains(&m.seq)).cloned().collect();
        for message in spooled {
            if window.len() >= items {
                break;
            }
            let sent = self.sent(message.topic, message.payload, Some(message.seq));
            let waits = self.link.terms.defers(&sent.item) && !self.link.is_tail;
            if !self.link.terms.holds(&sent.item) && !waits {
                window.push(sent);
            }
        }
        window
    }

    fn sent(&self, topic: Topic, payload: Vec<u8>, seq: Option<u64>) -> Sent {
        let bytes = self.settings.base.join(&topic).len() + payload.len();
        let name = topic.to_string();
        let item = match seq {
            None => Item::Topic { topic: name, bytes },
            Some(seq) => Item::Message { seq, topic: name, bytes },
        };
        Sent { item, retained: topic.retain() && !self.link.terms.unretained, topic: Some(topic), payload }
    }

    /// Sends these items; whether the link holds.
    fn exchange(&mut self, window: Vec<Sent>) -> bool {
        let culprit = window.iter().position(|sent| self.refuses(&sent.item, sent.retained));
        // What the broker had acknowledged before it cut the connection may be lost with it.
        let lost = culprit.map_or(0, |place| self.rng.random_range(0..=place.min(3)));
        let acknowledged = culprit.map_or(window.len(), |place| place - lost);
        let cut = culprit.map(|_| self.unanswered(&window[acknowledged], window.len() - acknowledged));
        let mut answers = Vec::new();
        for (place, sent) in window.into_iter().enumerate().take(culprit.unwrap_or(usize::MAX)) {
            let item = sent.item.clone();
            self.arrives(sent);
            if place >= acknowledged {
                continue;
            }
            if let Item::Message { seq, .. } = item {
                self.link.sent.insert(seq);
                answers.push(BrokerEvent::Delivered { seq });
            }
            if self.link.terms.defers(&item) {
                answers.push(BrokerEvent::Taken(item));
            }
        }
        let Some(unanswered) = cut else {
            for answer in answers {
                self.later(0, Event::Broker(answer));
            }
            return true;
        };
        self.cut_at(answers, Some(unanswered));
        false
    }

    /// The broker has something.
    fn arrives(&mut self, sent: Sent) {
        match &sent.item {
            Item::Subscription(filter) => {
                self.link.filters.retain(|other| other != filter);
                self.link.subscribed.insert(filter.clone());
                self.link.subscriptions_taken += 1;
                return self.deliver_late(&filter.clone());
            }
            Item::Topic { topic, bytes } | Item::Message { topic, bytes, .. } => {
                let longest = self.link.longest.entry(topic.clone()).or_default();
                *longest = (*longest).max(*bytes);
            }
        }
        self.link.messages_taken += 1;
        self.link.retained_taken |= sent.retained;
        let topic = sent.topic.expect("only a subscription has none");
        if let Item::Message { seq, .. } = sent.item {
            self.received_by_broker(seq, (topic.to_string(), sent.payload));
        } else if self.broker.refuses.is_some() && !sent.retained && topic.retain() {
            // Nobody sees it who comes later.
        } else {
            self.take_in(&topic, sent.payload);
        }
    }

    /// The link breaks, with the answers that came before.
    fn cut_at(&mut self, answers: Vec<BrokerEvent>, unanswered: Option<Unanswered>) {
        self.counts.refusals += u64::from(unanswered.is_some());
        self.cut_link();
        for answer in answers {
            self.later(0, Event::Broker(answer));
        }
        let reason = "closed by the simulated broker".to_owned();
        self.later(0, Event::Broker(BrokerEvent::Disconnected { reason, barred: false, unanswered }));
    }

    /// Whether messages on this topic come over this link.
    pub(super) fn is_subscribed(&self, topic: &str) -> bool {
        let is_taken = |filter: &String| self.link.subscribed.contains(filter);
        // What comes by no filter at all is played to see what becomes of it.
        let filter = self.filters().into_iter().find(|filter| self.comes_by(filter, topic));
        self.broker.refuses.is_none() || filter.as_ref().is_none_or(is_taken)
    }

    fn comes_by(&self, filter: &str, topic: &str) -> bool {
        let below = filter.strip_prefix(&format!("{}/", self.settings.base));
        let Some(below) = below else { return false };
        let (filter, topic) = (below.split('/').collect::<Vec<_>>(), topic.split('/').collect::<Vec<_>>());
        filter.len() == topic.len() && filter.iter().zip(&topic).all(|(level, name)| *level == "+" || level == name)
    }

    /// A filter was subscribed to after the others: what waits for it comes now.
    fn deliver_late(&mut self, filter: &str) {
        for index in 0..self.held.len() {
            if self.comes_by(filter, &self.held[index].topic) {
                self.tickets += 1;
                self.held[index].ticket = self.tickets;
                self.deliver_held(index);
            }
        }
    }

    /// While the broker refuses something: everything else was delivered, and what was set aside is reported.
    pub fn only_what_is_refused_waits(&self) {
        let is_late =
            |seq: &u64| self.clock.elapsed.saturating_sub(self.observed.spooled_at[seq]) > Duration::from_secs(30);
        for message in self.model.outbox.values().filter(|message| is_late(&message.seq)) {
            let sent = self.sent(message.topic.clone(), message.payload.clone(), Some(message.seq));
            assert!(
                self.refuses(&sent.item, sent.retained) || self.waits_with_longer_ones(&sent.item),
                "{:?} waits, and the broker takes it: {:?}, {:?}",
                sent.item,
                self.broker.refuses,
                self.link
            );
        }
        let is_set_aside = !self.set_aside().is_empty();
        assert!(!is_set_aside || self.observed.set_aside_reports > 0, "what is set aside is reported");
        for filter in self.filters() {
            let is_refused = self.refuses(&Item::Subscription(filter.clone()), false);
            assert!(is_refused || self.link.subscribed.contains(&filter), "{filter} is not subscribed to");
        }
    }

    /// Whether the broker refuses longer messages, of which two on its topic had the whole topic set aside.
    fn waits_with_longer_ones(&self, item: &Item) -> bool {
        let is_by_length = self.broker.refuses.as_ref().is_some_and(|refuses| refuses.bytes_max < usize::MAX);
        is_by_length && self.link.terms.held.iter().any(|held| matches!(held, Item::Topic { .. }) && held.covers(item))
    }

    /// What the engine has set aside.
    pub fn set_aside(&self) -> Vec<Value> {
        let record = serde_json::to_value(&self.model.broker).expect("plain fields");
        record["held"].as_array().cloned().unwrap_or_default()
    }

    /// The broker takes everything from now on.
    pub fn broker_relents(&mut self) {
        if let Some(refuses) = &mut self.broker.refuses {
            *refuses = Refuses { topics: BTreeSet::new(), bytes_max: usize::MAX, retained: false, filter: None };
        }
    }

    /// The broker takes everything and has done so for a while: nothing is set aside any more.
    pub fn nothing_is_set_aside(&self) {
        let record = serde_json::to_value(&self.model.broker).expect("plain fields");
        assert_eq!(self.set_aside(), Vec::<Value>::new(), "what the broker takes again is not set aside");
        assert!(record["unretained"] != true, "what is retained is so again");
        let alert = self.broker.retained.get("alert/mqtt_refused");
        assert!(alert.is_none(), "the alert ends: {:?}", alert.map(|text| String::from_utf8_lossy(text)));
    }
}
