//! The states that a daemon publishes in one life, and whether each is true.
//!
//! Of each task there is one history: what was published, by `seq`, and what each kill left in the store. All of these
//! have to hold:
//!
//! - A state is the one before it, with its `since` and `previous`, or a later one: `since` does not go back.
//! - `unknown` is in between only where nothing voted for `unknown_after`.
//! - What a kill left counts as the next one after all that were published until then: the store is never behind. It is
//!   made of the last M images that were judged, no one of them missing, doubled or in another order.
//! - What is published after a kill is the next one after what the kill left: whatever came in between, came after it.
//! - What is published *on connecting*, before anything else was judged, is what the kill left in every field, or it
//!   became `unknown`, or had its `hold`, since. This is looked at in the end, when every prediction was heard.
//!
//! Not asserted: which state follows from which votes (unit tests of `src/engine/states` and `tests/simulate` do), and
//! that every change is heard: of values that the broker keeps only the latest waits. The clock must not be set meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};
use std::time::{SystemTime, UNIX_EPOCH};

use edgetuned::engine::{StateMachine, StateSettings, StateView};
use edgetuned::wire::{StateName, TaskState};
use edgetuned::words::{Label, SampleId, TaskId, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::kept::Kept;
use crate::questions::Question;

/// The states of all tasks that have one.
#[derive(Default, Clone)]
pub struct States(BTreeMap<TaskId, History>);

/// One task's.
#[derive(Clone)]
struct History {
    settings: StateSettings,
    /// What was published, by `seq`.
    said: BTreeMap<u64, TaskState>,
    /// What the kills left, one after the other.
    found: Vec<Found>,
    /// Where the training is: this is published right before the state on connecting, and never else.
    training: BTreeSet<u64>,
    /// What makes another state possible: predictions, and heads that come into service or leave it.
    judged: BTreeSet<u64>,
}

/// What a kill left.
#[derive(Clone)]
struct Found {
    /// No message has had a number above this.
    seq: u64,
    /// When it was looked at.
    at: Timestamp,
    state: TaskState,
    /// When the last vote came, unless the state became unknown since.
    voted: Option<Timestamp>,
    /// What has its votes and waits for `hold`.
    held: Option<Label>,
}

/// What only the store knows of a state.
#[derive(Deserialize)]
struct Stored {
    window: Vec<Judged>,
    voted: Option<Timestamp>,
    held: Option<Held>,
}

#[derive(Deserialize)]
struct Judged {
    image: SampleId,
}

#[derive(Deserialize)]
struct Held {
    class: Label,
}

impl States {
    /// Of a life with these questions.
    pub fn new(questions: &[Question]) -> Self {
        let history = |question: &Question| {
            let settings = question.state.clone()?;
            let (said, training) = (BTreeMap::new(), BTreeSet::new());
            let history = History { settings, said, found: Vec::new(), training, judged: BTreeSet::new() };
            Some((question.task.clone(), history))
        };
        Self(questions.iter().filter_map(history).collect())
    }

    /// Takes in what was said of a task.
    pub fn hear(&mut self, task: &TaskId, topic: &str, json: &Value) -> Result<(), String> {
        let Some(history) = self.0.get_mut(task) else { return Ok(()) };
        let seq = || json["seq"].as_u64().ok_or_else(|| format!("no number: {json}"));
        match topic {
            "state" => return history.hear(serde_json::from_value(json.clone()).map_err(|error| error.to_string())?),
            "train/state" => drop(history.training.insert(seq()?)),
            "prediction" => drop(history.judged.insert(seq()?)),
            "event" if json["event_type"] == "promoted" || json["event_type"] == "rolled_back" => {
                history.judged.insert(seq()?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Takes in what a kill left, and whether it is true.
    pub fn find(&mut self, kept: &Kept) -> Result<(), String> {
        for (task, history) in &mut self.0 {
            history.find(task, kept).map_err(|untrue| format!("state of {task}: {untrue}"))?;
        }
        Ok(())
    }

    /// When everything was heard: whether what was published on connecting was what the kill before it left. How many
    /// of them could be told.
    pub fn were_true_on_connecting(&self) -> Result<usize, String> {
        self.0.values().map(History::was_true_on_connecting).sum()
    }

    /// Whether the last state of each task that was published is the one that the last look found.
    pub fn are_published(&self) -> Result<(), String> {
        for history in self.0.values() {
            let (Some(found), Some((_, said))) = (history.found.last(), history.said.last_key_value()) else {
                continue;
            };
            if identity(&found.state) != identity(said) {
                return Err(format!("{:?} is stored, {said:?} was published last", found.state));
            }
        }
        Ok(())
    }

    /// States that are no `unknown`, of the task that has the fewest; 0 where no task has a state.
    pub fn known(&self) -> usize {
        let of = |history: &History| history.changes().filter(|state| state.state != StateName::UNKNOWN).count();
        self.0.values().map(of).min().unwrap_or(0)
    }

    /// How many there were, and of these `unknown`, in all tasks.
    pub fn count(&self) -> (usize, usize) {
        let all = || self.0.values().flat_map(History::changes);
        (all().count(), all().filter(|state| state.state == StateName::UNKNOWN).count())
    }

    /// The latest that was found of a task, as it would be published.
    pub fn latest_found(&self, task: &TaskId) -> TaskState {
        self.0[task].found.last().unwrap().state.clone()
    }
}

impl History {
    /// Each state once, however often it was published.
    fn changes(&self) -> impl Iterator<Item = &TaskState> {
        let mut before = None;
        self.said.values().filter(move |said| before.replace(identity(said)) != Some(identity(said)))
    }

    fn hear(&mut self, said: TaskState) -> Result<(), String> {
        let seq = said.envelope.seq;
        let before = self.said.range(..seq).next_back();
        if let Some(found) = self.found.last().filter(|found| seq <= found.seq) {
            // It was on its way when the daemon was killed.
            self.follows(&said, None, &found.state)?;
        }
        match self.found.iter().rev().find(|found| found.seq < seq) {
            Some(found) if before.is_none_or(|(before, _)| *before <= found.seq) => {
                self.follows(&found.state, found.voted, &said)?;
                if identity(&found.state) != identity(&said) && said.since < found.at {
                    return Err(format!("{said:?} is from before the kill, which left {:?}", found.state));
                }
            }
            _ => before.map_or(Ok(()), |(_, before)| self.follows(before, None, &said))?,
        }
        self.said.insert(seq, said);
        Ok(())
    }

    fn find(&mut self, task: &TaskId, kept: &Kept) -> Result<(), String> {
        let record = kept.task(task).state;
        let stored: Stored = serde_json::from_value(serde_json::to_value(&record).unwrap()).unwrap();
        let view = StateMachine::new(self.settings.clone(), record).view();
        let at = Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64);
        // Before the first start there is nothing.
        let Some(since) = view.since else {
            let is_new = self.said.is_empty() && self.found.is_empty();
            return if is_new { Ok(()) } else { Err("nothing is stored, and something was before".into()) };
        };
        let seq = kept.snapshot.seq;
        let (voted, held) = (stored.voted, stored.held.map(|held| held.class));
        let found = Found { seq, at, state: as_published(task, &view, since, seq, at), voted, held };
        let said = self.said.last_key_value().map(|(_, said)| said);
        match (self.found.last(), said) {
            (Some(before), said) if said.is_none_or(|said| said.envelope.seq <= before.seq) => {
                self.follows(&before.state, before.voted, &found.state)?;
            }
            (_, Some(said)) if said.envelope.seq > seq => {
                return Err(format!("{said:?} has a number above {seq}, the last that is reserved"));
            }
            (_, Some(said)) => self.follows(said, None, &found.state)?,
            (_, None) => {}
        }
        let judged: Vec<SampleId> = stored.window.iter().map(|judged| judged.image).collect();
        let samples = kept.task(task).samples;
        let was_judged = |id: &SampleId| kept.reader.predicted(task, id).unwrap().is_some();
        let last = samples.iter().rev().map(|sample| sample.id).filter(was_judged).take(self.settings.confirm.of());
        let mut last: Vec<SampleId> = last.collect();
        last.reverse();
        if judged != last {
            return Err(format!("it is made of {judged:?}, and the last that were judged are {last:?}"));
        }
        self.found.push(found);
        Ok(())
    }

    /// Whether `next` may come after `state`, whose last vote came at `voted` or later.
    fn follows(&self, state: &TaskState, voted: Option<Timestamp>, next: &TaskState) -> Result<(), String> {
        if identity(state) == identity(next) {
            return Ok(());
        }
        let is_next = next.since == state.since && next.previous.as_ref() == Some(&state.state);
        if next.since <= state.since && !is_next {
            return Err(format!("{next:?} came after {state:?}"));
        }
        let unknown = [Some(&next.state), next.previous.as_ref()].contains(&Some(&StateName::UNKNOWN));
        let Some(voted) = voted.or(state.last_seen).filter(|_| unknown && state.state != StateName::UNKNOWN) else {
            return Ok(());
        };
        if voted.plus(self.settings.unknown_after) > next.since {
            return Err(format!("{next:?} came too soon after {state:?}, for which something voted at {voted}"));
        }
        Ok(())
    }

    fn was_true_on_connecting(&self) -> Result<usize, String> {
        let mut told = 0;
        for (place, found) in self.found.iter().enumerate() {
            let end = self.found.get(place + 1).map_or(u64::MAX, |next| next.seq);
            // A daemon may be killed before it has a number.
            let said = self.said.range((Excluded(found.seq), Unbounded)).next().filter(|(seq, _)| **seq <= end);
            let Some((seq, said)) = said else { continue };
            let is_on_connecting = self.training.contains(&(seq - 1));
            if !is_on_connecting || self.judged.range(found.seq..*seq).next().is_some() {
                continue;
            }
            let was_held = found.held.as_ref().map(|class| StateName::from(class.clone()));
            let is_held = was_held.as_ref() == Some(&said.state) && said.previous.as_ref() == Some(&found.state.state);
            // How long nothing voted was looked at when it was heard.
            let is_lapsed = said.state == StateName::UNKNOWN
                && [Some(&found.state.state), was_held.as_ref()].contains(&said.previous.as_ref());
            let is_later = identity(said) != identity(&found.state) && (is_held || is_lapsed);
            let as_found = TaskState { envelope: found.state.envelope.clone(), ..said.clone() };
            if !is_later && as_found != found.state {
                return Err(format!("{:?} was found after a kill, {said:?} was published then", found.state));
            }
            told += 1;
        }
        Ok(told)
    }
}

/// What makes two publications the same state.
fn identity(state: &TaskState) -> (&StateName, Timestamp, Option<&StateName>) {
    (&state.state, state.since, state.previous.as_ref())
}

/// A stored state in the form in which it is published.
fn as_published(task: &TaskId, view: &StateView, since: Timestamp, seq: u64, at: Timestamp) -> TaskState {
    let name = |state: &edgetuned::engine::State| StateName::from(state.class().cloned());
    TaskState {
        envelope: edgetuned::wire::Envelope::new(at, seq, ""),
        task: task.clone(),
        state: name(&view.state),
        since,
        previous: view.previous.as_ref().map(name),
        confidence: view.confidence,
        votes: view.votes.map(|count| count as u32),
        image: view.image,
        last_seen: view.last_seen,
    }
}
