//! What the broker does not take, so that it stops nothing else (decision 28).
//!
//! MQTT 3.1.1 has no answer for a message that is too long, whose topic, retain flag or contents are not allowed, nor
//! for a filter that may not be subscribed to: many brokers close the connection. So the culprit is found by trying.
//! After two cuts with the same first unanswered item, items are sent one at a time. One that is alone when the
//! connection is cut goes last from then on; if it is cut again after the others were taken, it is set aside. That is
//! durable, reported once, and tried again after ten minutes, then ever more rarely, and after a reload; with another
//! broker, client or user it begins anew.
//!
//! Invariants: nothing is set aside on a connection on which nothing else was taken; what is set aside stays in the
//! outbox, within its bounds.

use std::time::Duration;

use super::super::context::Cx;
use super::super::step::Act;
use super::super::write::Write;
use super::broker_record::{BrokerRecord, Held};
use super::broker_terms::{Item, Terms, Unanswered};
use crate::wire::Topic;
use crate::words::{Component, TaskId, Timestamp};

/// Cuts with the same first unanswered item after which items are sent one at a time.
const CUTS: u32 = 2;
/// Until what was set aside is tried again, four times as long after each further refusal, up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_mins(10);
const RETRY_MAX: Duration = Duration::from_hours(24);
/// A connection that holds this long ends the search.
const SETTLED: Duration = Duration::from_mins(1);
/// Cuts of links on which nothing was waiting that make another client with the same id likely.
const UNEXPLAINED_MAX: u32 = 3;
/// Items that are set aside at a time; past it the oldest is tried again.
const HELD_MAX: usize = 256;

/// The search for what makes the broker close the connection.
#[derive(Debug, Default)]
struct Search {
    /// Cut while alone, or tried again.
    last: Vec<Tried>,
    /// Cuts after which nothing new is known.
    fruitless_cuts: u32,
}

/// What goes last in a search.
#[derive(Debug)]
struct Tried {
    /// Everything that waits with it: the whole topic.
    item: Item,
    /// What the connection was cut at. A shorter value on the same topic says nothing about it.
    suspect: Item,
    /// Whether it had the retain flag.
    retained: bool,
}

/// What the broker refuses, and the search for it.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    pub(super) record: BrokerRecord,
    /// The first unanswered item of the last cuts, and of how many in a row.
    suspect: Option<(Item, u32)>,
    search: Option<Search>,
    /// Since when the link is up.
    up_since: Option<Duration>,
    /// Filters whose subscription the broker refused on this link.
    pub(super) refused: Vec<String>,
    /// Filters for which it delivers without acknowledgements.
    pub(super) downgraded: Vec<String>,
    /// Cuts in a row of links that had nothing to wait for.
    unexplained_cuts: u32,
}

/// What follows from something that happened on the link.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Consequence {
    /// How to send changed.
    pub terms: bool,
    /// What is remembered changed.
    pub record: bool,
    /// Set aside just now.
    pub set_aside: Option<Item>,
    /// Retained values are to be published again, since one of them may go now.
    pub publish_again: bool,
}

impl Refusals {
    pub fn new(record: BrokerRecord) -> Self {
        Self { record, ..Self::default() }
    }

    /// The same, replacing an earlier engine of this process whose link is still up.
    pub fn resume(&mut self, former: Self) {
        let Self { up_since, refused, downgraded, unexplained_cuts, .. } = former;
        (self.up_since, self.unexplained_cuts) = (up_since, unexplained_cuts);
        (self.refused, self.downgraded) = (refused, downgraded);
    }

    pub fn record(&self) -> &BrokerRecord {
        &self.record
    }

    /// How the link is to send.
    pub fn terms(&self) -> Terms {
        let last: Vec<Item> =
            self.search.iter().flat_map(|search| search.last.iter().map(|tried| tried.item.clone())).collect();
        let held = self.record.held.iter().map(|held| held.item.clone());
        Terms {
            held: held.filter(|held| !last.iter().any(|last| last.covers(held))).collect(),
            last,
            one_at_a_time: self.search.is_some(),
            unretained: self.record.unretained,
        }
    }

    /// The run begins with this broker: what was found about another one does not hold. Everything set aside is tried
    /// again soon; at once after a reload, and so is the retain flag.
    pub fn begin(&mut self, now: Duration, identity: &str, is_reload: bool) -> Consequence {
        let is_new = self.record.begin(identity);
        for held in &mut self.record.held {
            held.due = Some(if is_reload { now } else { now + RETRY });
        }
        let retains_again = is_reload && std::mem::take(&mut self.record.unretained);
        Consequence { terms: true, record: is_new || retains_again, ..Consequence::default() }
    }

    /// As [`BrokerRecord::announce`].
    pub fn announce(&mut self, wanted: Option<String>) -> (bool, Option<String>) {
        self.record.announce(wanted)
    }

    /// The data of a task was deleted: the broker is to have nothing of it either.
    fn deleted(&mut self, task: &TaskId) -> Consequence {
        Consequence { record: self.record.add_deleted(task), ..Consequence::default() }
    }

    /// The link is up.
    pub fn connected(&mut self, now: Duration, refused: Vec<String>, downgraded: Vec<String>) {
        self.up_since = Some(now);
        (self.refused, self.downgraded) = (refused, downgraded);
    }

    /// The link broke, or did not come up.
    pub fn cut(&mut self, now: Duration, wall: Timestamp, unanswered: Option<Unanswered>) -> Consequence {
        let was_up = self.up_since.take();
        let Some(unanswered) = unanswered else {
            self.suspect = None;
            self.unexplained_cuts = was_up.map_or(self.unexplained_cuts, |_| self.unexplained_cuts.saturating_add(1));
            return Consequence::default();
        };
        let Some(search) = &mut self.search else { return self.suspected(unanswered.first) };
        if !unanswered.alone {
            return Consequence::default();
        }
        let first = &unanswered.first;
        let was_last = search.last.iter().any(|tried| tried.item.covers(first));
        let is_known =
            first.topic().is_some_and(|topic| self.record.held.iter().any(|h| h.item.topic() == Some(topic)));
        if unanswered.others_taken && (was_last || is_known) {
            return self.set_aside(now, wall, &unanswered);
        }
        if was_last {
            search.fruitless_cuts += 1;
            if search.fruitless_cuts >= CUTS {
                // It is not about one item: whatever is sent, the link does not last.
                self.search = None;
                self.suspect = None;
            }
            return Consequence { terms: true, ..Consequence::default() };
        }
        search.last.push(Tried { item: first.whole(), suspect: first.clone(), retained: unanswered.retained });
        let retained = search.last.iter().filter(|tried| tried.retained).count();
        if retained >= 2 && !unanswered.retained_taken && !self.record.unretained {
            search.last.clear();
            self.record.unretained = true;
            return Consequence { terms: true, record: true, ..Consequence::default() };
        }
        Consequence { terms: true, ..Consequence::default() }
    }

    fn suspected(&mut self, first: Item) -> Consequence {
        let cuts = match &self.suspect {
            Some((same, cuts)) if same.is_same(&first) => cuts + 1,
            _ => 1,
        };
        self.suspect = Some((first, cuts));
        if cuts < CUTS {
            return Consequence::default();
        }
        self.search = Some(Search::default());
        Consequence { terms: true, ..Consequence::default() }
    }

    fn set_aside(&mut self, now: Duration, wall: Timestamp, unanswered: &Unanswered) -> Consequence {
        let Unanswered { first, longest_taken, .. } = unanswered;
        if let Some(search) = &mut self.search {
            search.last.retain(|tried| !tried.item.covers(first));
        }
        self.suspect = None;
        let known = self.record.held.iter_mut().find(|held| held.item.covers(first));
        if let Some(held) = known {
            held.tries = held.tries.saturating_add(1);
            held.due = Some(now + retry(held.tries));
            return Consequence { terms: true, record: true, ..Consequence::default() };
        }
        // One of many messages may be refused for its contents; the second makes it the topic, or its length.
        let on_topic = |held: &Held| held.item.topic().is_some() && held.item.topic() == first.topic();
        let again = self.record.held.iter().any(on_topic);
        let item = match first {
            Item::Topic { topic, bytes } | Item::Message { topic, bytes, .. }
                if again || matches!(first, Item::Topic { .. }) =>
            {
                let by_length = (1..*bytes).contains(longest_taken);
                if *longest_taken >= *bytes && matches!(first, Item::Message { .. }) {
                    first.clone()
                } else {
                    self.record.held.retain(|held| !on_topic(held));
                    Item::Topic { topic: topic.clone(), bytes: if by_length { *bytes } else { 0 } }
                }
            }
            _ => first.clone(),
        };
        self.record.held.push(Held { item, since: wall, tries: 0, due: Some(now + RETRY) });
        if self.record.held.len() > HELD_MAX {
            self.record.held.remove(0);
        }
        Consequence { terms: true, record: true, set_aside: Some(first.clone()), publish_again: false }
    }

    /// The broker took this item, which was tried when everything else was sent.
    pub fn taken(&mut self, item: &Item) -> Consequence {
        let Some(search) = &mut self.search else { return Consequence::default() };
        let Some(place) = search.last.iter().position(|tried| tried.suspect.covers(item)) else {
            return Consequence::default();
        };
        let Tried { item: last, .. } = search.last.remove(place);
        let before = self.record.held.len();
        self.record.held.retain(|held| !last.covers(&held.item) && !held.item.covers(item));
        let publish_again = self.record.held.len() < before;
        Consequence { terms: true, record: publish_again, publish_again, ..Consequence::default() }
    }

    /// A message left the outbox.
    pub fn gone(&mut self, gone: u64) -> bool {
        let before = self.record.held.len();
        self.record.held.retain(|held| !matches!(held.item, Item::Message { seq, .. } if seq == gone));
        self.record.held.len() < before
    }

    /// Time passed: a link that holds ends a search, and what is due is tried again.
    pub fn tick(&mut self, now: Duration) -> Consequence {
        let Some(up_since) = self.up_since else { return Consequence::default() };
        let holds = now.saturating_sub(up_since) >= SETTLED;
        if holds {
            (self.unexplained_cuts, self.suspect) = (0, None);
        }
        // At the link's beginning everything of deleted tasks was cleared.
        let has_cleared = holds && self.record.forget_deleted();
        let found = self.search_on(now, holds);
        Consequence { record: found.record || has_cleared, ..found }
    }

    /// Ends a search over a link that holds, or begins one for what is due.
    fn search_on(&mut self, now: Duration, holds: bool) -> Consequence {
        if let Some(search) = &self.search {
            if !holds {
                return Consequence::default();
            }
            // What waited to be tried is no longer there.
            let last: Vec<Item> = search.last.iter().map(|tried| tried.item.clone()).collect();
            let before = self.record.held.len();
            self.record.held.retain(|held| !last.iter().any(|last| last.covers(&held.item)));
            self.search = None;
            return Consequence { terms: true, record: self.record.held.len() < before, ..Consequence::default() };
        }
        let is_due = |held: &&Held| held.due.is_some_and(|due| now >= due);
        let again = |item: &Item| Tried { item: item.clone(), suspect: item.clone(), retained: false };
        let last: Vec<Tried> = self.record.held.iter().filter(is_due).map(|held| again(&held.item)).collect();
        if last.is_empty() {
            return Consequence::default();
        }
        self.up_since = Some(now);
        self.search = Some(Search { last, fruitless_cuts: 0 });
        Consequence { terms: true, publish_again: true, ..Consequence::default() }
    }

    /// Whether another client with the same id is the likely reason of the cuts.
    pub fn shares_client_id(&self) -> bool {
        self.unexplained_cuts >= UNEXPLAINED_MAX
    }
}

fn retry(tries: u32) -> Duration {
    RETRY.saturating_mul(4_u32.saturating_pow(tries.min(8))).min(RETRY_MAX)
}

impl Cx<'_> {
    /// The data of a task that the configuration names no more was deleted.
    pub fn purged(&mut self, task: &TaskId) {
        if self.settings().broker.is_some() {
            let found = self.messages.refusals.deleted(task);
            self.follow(found);
        }
    }

    /// The engine starts: what is known of the broker, and a document that no longer announces the device.
    pub fn begin_with_broker(&mut self, is_reload: bool) {
        let Some(identity) = self.settings().broker.clone() else { return };
        let found = self.messages.refusals.begin(self.now.mono, &identity, is_reload);
        let announces = self.settings().home_assistant.then(|| self.settings().base.join(&Topic::Discovery));
        let (changed, former) = self.messages.refusals.announce(announces);
        if let Some(topic) = former {
            self.take_away(topic);
        }
        self.follow(Consequence { record: found.record || changed, ..found });
    }

    /// The broker answered the subscriptions.
    pub fn subscribed(&mut self, refused: Vec<String>, downgraded: Vec<String>) {
        self.messages.refusals.connected(self.now.mono, refused, downgraded);
        self.report_refusals(false);
    }

    /// The link broke.
    pub(super) fn cut(&mut self, unanswered: Option<Unanswered>) {
        let found = self.messages.refusals.cut(self.now.mono, self.now.wall, unanswered);
        self.follow(found);
    }

    /// The broker took what was tried last; whether retained values are to be published again.
    pub fn taken(&mut self, item: &Item) -> bool {
        let found = self.messages.refusals.taken(item);
        self.follow(found)
    }

    /// Time passed: whether retained values are to be published again, since one of them is tried again.
    pub fn try_refused_again(&mut self) -> bool {
        let found = self.messages.refusals.tick(self.now.mono);
        self.follow(found)
    }

    /// A message is in the outbox no longer.
    pub(super) fn left_outbox(&mut self, seq: u64) {
        if self.messages.refusals.gone(seq) {
            self.follow(Consequence { terms: true, record: true, ..Consequence::default() });
        }
    }

    fn follow(&mut self, found: Consequence) -> bool {
        let Consequence { terms, record, set_aside, publish_again } = found;
        let is_reported = set_aside.is_some();
        if record && !self.storage_is_out() {
            self.write(Write::BrokerRecord(self.messages.refusals.record().clone()));
        }
        if terms {
            self.act(Act::AdaptToBroker(Box::new(self.messages.refusals.terms())));
        }
        if let Some(item) = set_aside {
            let what = item.describe(&self.settings().base);
            let reason = format!(
                "the broker closes the connection at {what}; it is set aside so that everything else goes on: allow it \
                 in the broker's access list, or raise the broker's limit of a message's length"
            );
            self.error(Component::Mqtt, reason);
        }
        self.report_refusals(is_reported);
        publish_again
    }
}

#[cfg(test)]
#[path = "refusals_tests.rs"]
mod tests;
