//! The machine of one task's state.

use std::time::Duration;

use super::super::context::{Ages, Made, jump_between};
use super::record::{Held, Seen, Stamp, State, StateRecord};
use super::settings::StateSettings;
use super::vote::Judgement;
use crate::words::{Now, SampleId, Timestamp};

/// What a call did to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// Another state is to be published, from [`StateMachine::view`].
    pub publish: bool,
    /// [`StateMachine::record`] is to be stored; what is not stored changes nothing that is published after a crash.
    pub write: bool,
    /// The image voted for another class than the state as it was before.
    pub is_against: bool,
}

/// What is published of a state.
#[derive(Debug, Clone, PartialEq)]
pub struct StateView {
    /// What is so.
    pub state: State,
    /// Since when; before the first vote since the machine first ran, `None` before that.
    pub since: Option<Timestamp>,
    /// The state published before; `None` before the first change.
    pub previous: Option<State>,
    /// Probability, 0..1, of the last vote for the state; `None` while it is unknown.
    pub confidence: Option<f32>,
    /// Votes for the state, and predictions among which they are counted: at most M, fewer in the beginning.
    pub votes: [usize; 2],
    /// The last voter for the state; while it is unknown the last voter.
    pub image: Option<SampleId>,
    /// When that image was taken in.
    pub last_seen: Option<Timestamp>,
}

/// Turns one task's predictions into its state.
#[derive(Debug)]
pub struct StateMachine {
    settings: StateSettings,
    record: StateRecord,
    /// The last call.
    looked: Option<Now>,
    /// When this run first asked.
    began: Duration,
}

impl StateMachine {
    /// Goes on from a durable `record`; from a default one where there is none. Settings may have changed since.
    #[must_use]
    pub fn new(settings: StateSettings, mut record: StateRecord) -> Self {
        record.trim(settings.confirm);
        Self { settings, record, looked: None, began: Duration::ZERO }
    }

    /// An image was predicted.
    pub fn predicted(&mut self, ages: &Ages, judgement: &Judgement) -> Change {
        let before = self.record.state.clone();
        let mut change = self.tick(ages);
        if judgement.is_stale {
            return change;
        }
        let vote = judgement.vote(&self.settings.thresholds);
        change.is_against = vote.as_ref().is_some_and(|vote| self.record.state.class() != Some(&vote.class));
        let seen = Seen { image: judgement.image, at: Stamp::from(ages.now()), vote };
        if let Some(voter) = seen.voter() {
            self.record.voted = Some(voter.at);
            self.record.latest = Some(voter);
        }
        self.record.push(seen, self.settings.confirm);
        change.publish |= self.decide(ages);
        change.write = true;
        self.was_published(before);
        change
    }

    /// The image was judged again, by another head or after a label: its vote is replaced, and none is added. It counts
    /// for the time when the image was taken in. Of an image that is not among the last M it changes nothing.
    pub fn judged_again(&mut self, ages: &Ages, judgement: &Judgement) -> Change {
        let before = self.record.state.clone();
        let mut change = self.tick(ages);
        let vote = judgement.vote(&self.settings.thresholds);
        let Some(place) = self.record.window.iter().rposition(|seen| seen.image == judgement.image) else {
            return change;
        };
        if self.record.window[place].vote == vote {
            return change;
        }
        change.is_against = vote.as_ref().is_some_and(|vote| self.record.state.class() != Some(&vote.class));
        self.record.window[place].vote = vote;
        self.revise_latest(ages, place);
        change.publish |= self.decide(ages);
        change.write = true;
        self.was_published(before);
        change
    }

    /// Time passed: a state may have held for long enough, or nothing have voted for too long.
    pub fn tick(&mut self, ages: &Ages) -> Change {
        let mut change = Change { write: self.look(ages.now()), ..Change::default() };
        let overdue = |since: Option<Stamp>, wait: Duration| self.age(ages, since?).checked_sub(wait);
        let held = overdue(self.record.held.as_ref().map(|held| held.since), self.settings.hold);
        let lapsed = overdue(self.record.voted, self.settings.unknown_after);
        if lapsed.is_some() {
            change.publish = self.lapse(ages.now());
            change.write = true;
        } else if held.is_some() {
            change.publish = self.publish_held(ages.now());
        }
        change.write |= change.publish;
        change
    }

    /// What is published.
    #[must_use]
    pub fn view(&self) -> StateView {
        let record = &self.record;
        let is_known = record.state != State::Unknown;
        let voter = if is_known { &record.voter } else { &record.latest }.as_ref();
        StateView {
            state: record.state.clone(),
            since: record.since.map(|since| since.wall),
            previous: record.previous.clone(),
            confidence: voter.filter(|_| is_known).map(|voter| voter.probability),
            votes: [record.votes(), record.window.len()],
            image: voter.map(|voter| voter.image),
            last_seen: voter.map(|voter| voter.at.wall),
        }
    }

    /// The last image that counts.
    #[must_use]
    pub fn latest_image(&self) -> Option<SampleId> {
        self.record.window.back().map(|seen| seen.image)
    }

    /// What is to be stored.
    #[must_use]
    pub fn record(&self) -> &StateRecord {
        &self.record
    }

    /// Notices the first call and a clock that was set; whether either changed the record.
    fn look(&mut self, now: Now) -> bool {
        let Some(before) = self.looked.replace(now) else {
            self.began = now.mono;
            let is_first = self.record.since.is_none();
            self.record.since.get_or_insert(Stamp::from(now));
            return is_first;
        };
        let jump = jump_between(before, now);
        jump.inspect(|by_ms| self.record.shift(*by_ms)).is_some()
    }

    /// How long ago `stamp` was. One of a former run is at least as old as this run, and older where the clocks tell.
    fn age(&self, ages: &Ages, stamp: Stamp) -> Duration {
        let this_run = ages.now().mono.saturating_sub(self.began);
        match stamp.mono {
            Some(mono) => ages.now().mono.saturating_sub(mono),
            None => ages.of(Made::Before(stamp.wall)).map_or(this_run, |age| age.max(this_run)),
        }
    }

    /// Looks at the votes; whether another state is to be published.
    fn decide(&mut self, ages: &Ages) -> bool {
        let now = ages.now();
        if let Some(class) = self.record.state.class() {
            let newest = self.record.newest_for(class);
            self.record.voter = newest.or_else(|| self.record.voter.take());
        }
        let elected = self.record.elected(self.settings.confirm);
        let elected = elected.filter(|elected| self.record.state.class() != Some(elected)).cloned();
        let held = self.record.held.take();
        self.record.held = elected.map(|class| {
            held.filter(|held| held.class == class).unwrap_or_else(|| Held { class, since: Stamp::from(now) })
        });
        let is_due = |held: &Held| self.age(ages, held.since) >= self.settings.hold;
        self.record.held.as_ref().is_some_and(is_due) && self.publish_held(now)
    }

    /// The state that waited comes true.
    fn publish_held(&mut self, now: Now) -> bool {
        let Some(Held { class, .. }) = self.record.held.take() else { return false };
        self.record.voter = self.record.newest_for(&class);
        self.become_state(State::Class(class), now);
        true
    }

    /// Nothing voted for long; whether that is news.
    fn lapse(&mut self, now: Now) -> bool {
        self.record.voted = None;
        self.record.held = None;
        self.record.lapsed = self.record.window.len();
        let is_news = self.record.state != State::Unknown;
        if is_news {
            self.become_state(State::Unknown, now);
        }
        is_news
    }

    fn become_state(&mut self, state: State, now: Now) {
        self.record.previous = Some(std::mem::replace(&mut self.record.state, state));
        self.record.since = Some(Stamp::from(now));
    }

    /// This state was published before the call; one that came and went within it was not.
    fn was_published(&mut self, state: State) {
        if self.record.state != state {
            self.record.previous = Some(state);
        }
    }

    /// What the image at `place` says now may be the last vote, or no longer be.
    fn revise_latest(&mut self, ages: &Ages, place: usize) {
        let seen = &self.record.window[place];
        let (image, voter) = (seen.image, seen.voter());
        let newest = self.record.window.iter().rev().find_map(Seen::voter);
        let was_latest = self.record.latest.as_ref().is_some_and(|latest| latest.image == image);
        if was_latest || newest == voter {
            self.record.latest = newest.or_else(|| self.record.latest.take());
        }
        // A vote that was taken back came nevertheless; one that is given counts from its image.
        let Some(voter) = voter else { return };
        let age = self.age(ages, voter.at);
        if age >= self.settings.unknown_after {
            self.record.lapsed = self.record.lapsed.max(place + 1);
        } else if self.record.voted.is_none_or(|voted| age < self.age(ages, voted)) {
            self.record.voted = Some(voter.at);
        }
    }
}
