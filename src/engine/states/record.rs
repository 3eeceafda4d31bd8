//! What is remembered of a task's state, over restarts too.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::settings::Confirm;
use super::vote::Vote;
use crate::words::{Label, Now, SampleId, Timestamp};

/// What a task says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing voted for long, or not yet.
    #[default]
    Unknown,
    /// This class.
    Class(Label),
}

impl State {
    /// The class, unless it is unknown.
    #[must_use]
    pub fn class(&self) -> Option<&Label> {
        match self {
            Self::Unknown => None,
            Self::Class(class) => Some(class),
        }
    }
}

impl fmt::Display for State {
    /// As it is published: the class, or `unknown`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.class().map_or("unknown", Label::as_str))
    }
}

/// When something was: by the wall clock, and by the monotonic one where it was in this run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Stamp {
    pub wall: Timestamp,
    #[serde(skip)]
    pub mono: Option<Duration>,
}

impl From<Now> for Stamp {
    fn from(now: Now) -> Self {
        Self { wall: now.wall, mono: Some(now.mono) }
    }
}

/// An image that voted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Voter {
    pub image: SampleId,
    /// Of the class that it voted for.
    pub probability: f32,
    pub at: Stamp,
}

/// A prediction that counts among M.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub image: SampleId,
    pub at: Stamp,
    pub vote: Option<Vote>,
}

impl Seen {
    /// Whether it votes for `class`.
    pub fn is_for(&self, class: &Label) -> bool {
        self.vote.as_ref().is_some_and(|vote| vote.class == *class)
    }

    /// The vote, with its image.
    pub fn voter(&self) -> Option<Voter> {
        let vote = self.vote.as_ref()?;
        Some(Voter { image: self.image, probability: vote.probability, at: self.at })
    }
}

/// A state that has its votes and waits for `hold`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    pub class: Label,
    /// Since when it has had them without a break.
    pub since: Stamp,
}

/// The durable part of a [`super::StateMachine`]; at most M predictions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StateRecord {
    pub(super) state: State,
    pub(super) previous: Option<State>,
    pub(super) since: Option<Stamp>,
    /// The last predictions, oldest first.
    pub(super) window: VecDeque<Seen>,
    /// How many of them are from before the state became unknown.
    pub(super) lapsed: usize,
    /// When the last vote came, unless the state became unknown since.
    pub(super) voted: Option<Stamp>,
    /// The last that voted.
    pub(super) latest: Option<Voter>,
    /// The last that voted for the state.
    pub(super) voter: Option<Voter>,
    pub(super) held: Option<Held>,
}

impl StateRecord {
    /// Takes in the newest prediction.
    pub(super) fn push(&mut self, seen: Seen, confirm: Confirm) {
        self.window.push_back(seen);
        self.trim(confirm);
    }

    /// Keeps the last M predictions.
    pub(super) fn trim(&mut self, confirm: Confirm) {
        let surplus = self.window.len().saturating_sub(confirm.of());
        self.window.drain(..surplus);
        self.lapsed = self.lapsed.saturating_sub(surplus).min(self.window.len());
    }

    /// Votes for the present state.
    pub(super) fn votes(&self) -> usize {
        self.state.class().map_or(0, |class| self.window.iter().filter(|seen| seen.is_for(class)).count())
    }

    /// The newest vote for `class`.
    pub(super) fn newest_for(&self, class: &Label) -> Option<Voter> {
        self.window.iter().rev().find(|seen| seen.is_for(class)).and_then(Seen::voter)
    }

    /// The class with the votes for a state; the present one where it has as many as any other.
    pub(super) fn elected(&self, confirm: Confirm) -> Option<&Label> {
        // Votes, and the place of the newest.
        let mut counts: BTreeMap<&Label, (usize, usize)> = BTreeMap::new();
        for (place, vote) in
            self.window.iter().enumerate().filter_map(|(place, seen)| Some((place, seen.vote.as_ref()?)))
        {
            let (count, newest) = counts.entry(&vote.class).or_default();
            (*count, *newest) = (*count + 1, place);
        }
        let comes_back = |newest: usize| self.state != State::Unknown || newest >= self.lapsed;
        let able = counts.into_iter().filter(|(_, (count, newest))| *count >= confirm.votes() && comes_back(*newest));
        able.max_by_key(|(class, (count, newest))| (*count, self.state.class() == Some(class), *newest))
            .map(|(class, _)| class)
    }

    /// The wall clock was set by this many milliseconds: what was stamped in this run by the other time follows it.
    pub(super) fn shift(&mut self, by_ms: i64) {
        let window = self.window.iter_mut().map(|seen| &mut seen.at);
        let voters = [&mut self.latest, &mut self.voter].into_iter().flatten().map(|voter| &mut voter.at);
        let held = self.held.as_mut().map(|held| &mut held.since);
        let stamps = self.since.as_mut().into_iter().chain(self.voted.as_mut()).chain(held).chain(voters).chain(window);
        for stamp in stamps.filter(|stamp| stamp.mono.is_some()) {
            stamp.wall = Timestamp(stamp.wall.0.saturating_add(by_ms));
        }
    }
}
