use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const WALL: Timestamp = Timestamp(1_800_000_000_000);
const RETAINED: [(&str, usize); 7] = [
    ("status", 6),
    ("homeassistant/device", 4_500),
    ("info", 2_000),
    ("state", 300),
    ("train/state", 200),
    ("review", 900),
    ("train/result", 900),
];
const FILTERS: [&str; 4] = ["e/d/label", "e/d/request/+", "e/d/config/desired", "homeassistant/status"];

/// Whether a broker closes the connection for an item with or without the retain flag.
type Refuses = dyn Fn(&Item, bool) -> bool;

/// A link that sends as the terms say, over one connection after another, in front of a broker that cuts.
struct Played {
    refusals: Refusals,
    now: Duration,
    spooled: BTreeMap<u64, (&'static str, usize)>,
    /// Topics whose retained value the broker has, and filters that it granted.
    taken: BTreeSet<String>,
    retained_taken: bool,
    longest: BTreeMap<String, usize>,
    rng: ChaCha8Rng,
    links: u32,
}

impl Played {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kinds = [("prediction", 300), ("event", 200), ("response/samples", 90_000), ("train/result", 5_000)];
        let message = |_| {
            let (topic, bytes) = kinds[rng.random_range(0..kinds.len())];
            (topic, bytes + rng.random_range(0..bytes / 10))
        };
        let spooled = (1..=60).zip((0..60).map(message)).collect();
        let mut refusals = Refusals::new(BrokerRecord::default());
        refusals.begin(Duration::ZERO, "broker", false);
        let (now, taken, longest) = (Duration::ZERO, BTreeSet::new(), BTreeMap::new());
        Self { refusals, now, spooled, taken, retained_taken: false, longest, rng, links: 0 }
    }

    /// Everything that a new link has to send, with whether it has the retain flag.
    fn items(&self, unretained: bool) -> Vec<(Item, bool)> {
        let subscriptions = FILTERS.iter().map(|filter| (Item::Subscription((*filter).to_owned()), false));
        let retained =
            |(topic, bytes): &(&str, usize)| (Item::Topic { topic: (*topic).to_owned(), bytes: *bytes }, !unretained);
        let message = |(seq, (topic, bytes)): (&u64, &(&str, usize))| {
            (Item::Message { seq: *seq, topic: (*topic).to_owned(), bytes: *bytes }, false)
        };
        subscriptions.chain(RETAINED.iter().map(retained)).chain(self.spooled.iter().map(message)).collect()
    }

    /// One connection; whether it was cut.
    fn link(&mut self, refuses: &Refuses) -> bool {
        self.links += 1;
        self.now += Duration::from_secs(1);
        let terms = self.refusals.terms();
        let items = self.items(terms.unretained).into_iter().filter(|(item, _)| !terms.holds(item));
        let (last, first): (Vec<_>, Vec<_>) = items.partition(|(item, _)| terms.defers(item));
        self.refusals.connected(self.now, vec![], vec![]);
        let window = if terms.one_at_a_time { 1 } else { 20 };
        let (mut messages, mut anything) = (false, false);
        let windows =
            first.chunks(window).map(<[_]>::to_vec).chain(last.chunks(1).map(<[_]>::to_vec)).collect::<Vec<_>>();
        for window in windows {
            let culprit = window.iter().position(|(item, retained)| refuses(item, *retained));
            // What the broker had acknowledged before it cut the connection may be lost with it.
            let acknowledged = match culprit {
                None => window.len(),
                Some(place) => place - self.rng.random_range(0..=place.min(3)),
            };
            for (item, retained) in &window[..acknowledged] {
                messages |= item.topic().is_some();
                anything = true;
                self.take(item, *retained);
            }
            if culprit.is_some() {
                let (first, retained) = window[acknowledged].clone();
                let others_taken = if first.topic().is_some() { messages } else { anything };
                let longest_taken = first.topic().and_then(|topic| self.longest.get(topic)).copied().unwrap_or(0);
                let alone = window.len() == 1;
                let retained_taken = self.retained_taken;
                let unanswered = Unanswered { first, alone, retained, others_taken, retained_taken, longest_taken };
                self.refusals.cut(self.now, WALL, Some(unanswered));
                return true;
            }
            for (item, _) in window.iter().filter(|(item, _)| terms.defers(item)) {
                self.refusals.taken(item);
            }
        }
        false
    }

    fn take(&mut self, item: &Item, retained: bool) {
        self.retained_taken |= retained;
        match item {
            Item::Subscription(filter) => _ = self.taken.insert(filter.clone()),
            Item::Topic { topic, bytes } => {
                self.taken.insert(topic.clone());
                self.longest.insert(topic.clone(), *bytes);
            }
            Item::Message { seq, topic, bytes } => {
                self.spooled.remove(seq);
                let longest = self.longest.entry(topic.clone()).or_default();
                *longest = (*longest).max(*bytes);
            }
        }
    }

    /// Links until nothing is cut any more for a while.
    fn settle(&mut self, refuses: &Refuses, links_max: u32) {
        // Acknowledgements that are lost make the first unanswered item another one each time.
        let until = self.links + links_max + 40;
        let mut calm = 0;
        while calm < 3 {
            assert!(self.links < until, "{links_max} links did not find it: {:?}", self.refusals);
            if self.link(refuses) {
                calm = 0;
            } else {
                calm += 1;
                self.now += SETTLED;
                self.refusals.tick(self.now);
            }
        }
    }
}

/// Brokers by what they refuse, and how many links finding that may take.
fn brokers() -> Vec<(&'static str, Box<Refuses>, u32)> {
    let topic = |name: &'static str| move |item: &Item, _: bool| item.topic() == Some(name);
    let length = |item: &Item| match item {
        Item::Subscription(_) => 0,
        Item::Topic { bytes, .. } | Item::Message { bytes, .. } => *bytes,
    };
    vec![
        ("nothing", Box::new(|_: &Item, _| false), 5),
        ("longer than 40,000", Box::new(move |item: &Item, _| length(item) > 40_000), 20),
        ("longer than 1,000", Box::new(move |item: &Item, _| length(item) > 1_000), 40),
        ("homeassistant/", Box::new(topic("homeassistant/device")), 10),
        ("the first retained topic", Box::new(topic("status")), 10),
        ("events", Box::new(topic("event")), 12),
        ("predictions", Box::new(topic("prediction")), 12),
        ("one message's contents", Box::new(|item: &Item, _| matches!(item, Item::Message { seq: 7, .. })), 10),
        ("a subscription", Box::new(|item: &Item, _| *item == Item::Subscription("homeassistant/status".into())), 10),
        ("the first subscription", Box::new(|item: &Item, _| *item == Item::Subscription("e/d/label".into())), 10),
        ("retained messages", Box::new(|_: &Item, retained| retained), 12),
        (
            "a subscription, two topics and long messages",
            Box::new(move |item: &Item, _| {
                *item == Item::Subscription("homeassistant/status".into())
                    || matches!(item.topic(), Some("event" | "homeassistant/device"))
                    || length(item) > 40_000
            }),
            60,
        ),
    ]
}

#[test]
fn whatever_a_broker_refuses_is_found_and_everything_else_is_taken() {
    for (name, refuses, links) in brokers() {
        for seed in 0..20 {
            let mut played = Played::new(seed);
            played.settle(&*refuses, links);
            let terms = played.refusals.terms();
            for (item, retained) in played.items(terms.unretained) {
                let is_refused = refuses(&item, retained);
                let waits = matches!(item, Item::Message { .. });
                assert_eq!(
                    terms.holds(&item),
                    is_refused || (waits && terms.holds(&item)),
                    "{name}, seed {seed}: {item:?}"
                );
                assert!(is_refused || !waits || was_swept(&played, &item), "{name}, seed {seed}: {item:?} waits");
            }
        }
    }
}

/// Whether another message of its topic that is not longer was refused, so that it waits with it.
fn was_swept(played: &Played, item: &Item) -> bool {
    played.refusals.record.held.iter().any(|held| matches!(held.item, Item::Topic { .. }) && held.item.covers(item))
}

#[test]
fn when_the_broker_takes_everything_all_that_was_set_aside_goes_out_within_a_day() {
    for (name, refuses, links) in brokers() {
        let mut played = Played::new(3);
        played.settle(&*refuses, links);
        for _ in 0..30 {
            played.now += RETRY_MAX / 4;
            played.refusals.tick(played.now);
            played.link(&|_: &Item, _| false);
        }
        assert_eq!(played.refusals.terms().held, [], "{name}");
        assert!(played.spooled.is_empty(), "{name}");
        let trouble = played.refusals.trouble(|item| format!("{item:?}"));
        assert_eq!(trouble.is_some(), name == "retained messages", "{name}: {trouble:?}");
    }
}

#[test]
fn what_is_still_refused_costs_one_link_at_a_time_and_ever_more_rarely() {
    let refuses = |item: &Item, _: bool| item.topic() == Some("info");
    let mut played = Played::new(1);
    played.settle(&refuses, 10);
    let mut cuts = 0;
    for _ in 0..7 * 24 * 60 {
        played.now += Duration::from_mins(1);
        if played.refusals.tick(played.now).publish_again {
            cuts += u32::from(played.link(&refuses));
            assert!(!played.link(&refuses), "the next link holds");
        }
    }
    assert!((5..=12).contains(&cuts), "{cuts} cuts in a week");
}

#[test]
fn a_broker_that_cuts_every_link_at_once_makes_nothing_be_set_aside() {
    let mut played = Played::new(5);
    for _ in 0..200 {
        assert!(played.link(&|item: &Item, _| item.topic().is_some()));
    }
    assert_eq!(played.refusals.terms().held, []);
}

#[test]
fn another_broker_is_not_held_to_what_this_one_refused() {
    let mut played = Played::new(1);
    played.settle(&|item: &Item, _| item.topic() == Some("info"), 10);
    let record = played.refusals.record().clone();
    let stored: BrokerRecord = serde_json::from_str(&serde_json::to_string(&record).unwrap()).unwrap();
    let mut same = Refusals::new(stored.clone());
    assert!(!same.begin(Duration::ZERO, "broker", false).record);
    assert_eq!(same.terms().held.len(), 1, "it survives a restart");
    let mut other = Refusals::new(stored);
    assert!(other.begin(Duration::ZERO, "another broker", false).record);
    assert_eq!(other.terms().held, []);
}
