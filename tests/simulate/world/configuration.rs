//! The configuration as somebody writes it anew in the course of a life, which a start reads: tasks come, go and come back,
//! and one that is gone may be ended for good. What a task that is out of it knew stays as it was.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use edgetuned::engine::{TaskSettings, Write};
use edgetuned::wire::command::{self, Purged, Spec as _};
use edgetuned::wire::{Answer, ErrorCode, Topic};
use edgetuned::words::{SampleId, TaskId};

use super::super::known::Known;
use super::World;

/// A line of the configuration that is written anew.
#[derive(Debug, Clone)]
pub enum Change {
    /// A task is added, or is there again.
    Comes(Box<TaskSettings>),
    /// A task is taken out.
    Goes(TaskId),
    /// A task looks at another part of pictures from now on.
    Moves(TaskId, u32),
}

/// What the configuration says from when on, and what became of tasks that it no longer names.
#[derive(Debug, Default)]
pub struct Plan {
    changes: VecDeque<(Duration, Change)>,
    /// What each task knew that is out of the configuration.
    out: BTreeMap<TaskId, Known>,
    /// Tasks that came or came back.
    pub came: BTreeSet<TaskId>,
    /// The beginning of images about which something was on its way when a task went or came, or was said while it was
    /// out.
    in_doubt: BTreeSet<(TaskId, String)>,
}

impl Plan {
    /// A configuration that changes so, the earliest first.
    pub fn new(changes: Vec<(Duration, Change)>) -> Self {
        Self { changes: changes.into(), ..Self::default() }
    }
}

impl World {
    /// Whether the configuration says something else than at the start.
    pub fn configuration_changed(&self) -> bool {
        self.plan.changes.front().is_some_and(|(at, _)| *at <= self.clock.elapsed)
    }

    /// The tasks that were taken out of the configuration.
    pub fn removed_tasks(&self) -> Vec<TaskId> {
        self.plan.out.keys().cloned().collect()
    }

    /// Whether nothing is left of a task that was out of the configuration.
    pub fn is_ended(&self, task: &TaskId) -> bool {
        let is_empty = |known: &Known| known.samples.is_empty() && known.heads.is_empty() && known.awaited.is_empty();
        self.model.tasks.get(task).is_none_or(is_empty)
    }

    /// A start reads the configuration.
    pub(super) fn read_configuration(&mut self) {
        while self.configuration_changed() {
            match self.plan.changes.pop_front() {
                Some((_, Change::Comes(task))) => self.task_comes(*task),
                Some((_, Change::Goes(task))) => self.task_goes(task),
                Some((_, Change::Moves(task, region))) => {
                    self.observed.looks_elsewhere(&task);
                    self.eyes.entry(task).or_default().region = region;
                    self.counts.moved_regions += 1;
                }
                None => {}
            }
        }
    }

    /// A task that was out knows what it knew; one that is new, or was ended, knows nothing.
    fn task_comes(&mut self, task: TaskSettings) {
        let known = self.model.tasks.entry(task.id.clone()).or_default();
        if let Some(before) = self.plan.out.remove(&task.id) {
            assert_eq!(*known, before, "{} comes back and knows something else than before", task.id);
        } else {
            assert_eq!(*known, Known::default(), "{} is new and knows something", task.id);
        }
        self.note_doubts(&task.id);
        self.plan.came.insert(task.id.clone());
        self.settings.tasks.push(task);
    }

    fn task_goes(&mut self, task: TaskId) {
        self.note_doubts(&task);
        self.settings.tasks.retain(|other| other.id != task);
        self.observed.tasks.goes(&task);
        let known = self.model.of(&task).clone();
        self.plan.out.insert(task, known);
        self.counts.removals += 1;
    }

    /// Labels that are on their way find the task, or do not.
    fn note_doubts(&mut self, task: &TaskId) {
        for held in &self.held {
            let Ok(said) = serde_json::from_slice::<serde_json::Value>(&held.payload) else { continue };
            let items = said["items"].as_array().cloned().unwrap_or_else(|| vec![said.clone()]);
            for item in items.iter().filter(|item| item["task"].as_str() == Some(task.as_str())) {
                let image = item["image"].as_str().unwrap_or_default();
                self.plan.in_doubt.insert((task.clone(), image.chars().take(8).collect()));
            }
        }
    }

    /// Somebody says something of an image to a task that is out of the configuration, or not in it yet.
    pub fn said_to_nobody(&mut self, task: &TaskId, id: &SampleId) {
        self.plan.in_doubt.insert((task.clone(), id.to_string().chars().take(8).collect()));
    }

    /// Whether nobody can tell which label of an image counts last, since its task went or came meanwhile.
    pub fn label_is_in_doubt(&self, task: &TaskId, id: &SampleId) -> bool {
        self.plan.in_doubt.contains(&(task.clone(), id.to_string().chars().take(8).collect()))
    }

    /// Looks at a change before it is made: of a task that is out of the configuration nothing changes, but that samples go,
    /// that a backbone gives way, and that the task is ended.
    pub(super) fn check_removed(&mut self, write: &Write) {
        match write {
            Write::DeleteSample { id } => self.plan.out.values_mut().for_each(|known| known.let_go(id)),
            Write::DeleteOtherStatistics => self.plan.out.values_mut().for_each(|known| known.statistics.clear()),
            Write::HeadStatus { task, version, status, reason, at } if self.observed.reverts => {
                if let Some(known) = self.plan.out.get_mut(task) {
                    known.set_status(*version, *status, reason, *at);
                }
            }
            Write::PurgeTask { task } => {
                let known = self.plan.out.remove(task);
                assert!(known.is_some() && self.observed.tasks.purge_was_asked(task), "{task} is ended");
                self.observed.purged(task, &known.unwrap_or_default());
                self.readable.retain(|(of, _)| of != task);
                self.damaged.retain(|(of, _)| of != task);
                self.plan.out.insert(task.clone(), Known::default());
                self.counts.purges += 1;
            }
            _ => {
                let acted = tasks_of(write).into_iter().find(|task| self.plan.out.contains_key(task));
                assert!(
                    acted.is_none(),
                    "{acted:?} is out of the configuration, and something of it changes: {write:?}"
                );
            }
        }
    }

    /// Nothing is said of a task that is out of the configuration.
    pub(super) fn check_said_of_removed(&self, topic: &Topic, payload: &[u8]) {
        let of_it = if let Topic::Task(task, _) = topic {
            Some(task.clone())
        } else {
            let said: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
            said["task"].as_str().and_then(|task| task.parse().ok())
        };
        let is_out = of_it.as_ref().is_some_and(|task| self.plan.out.contains_key(task));
        assert!(!is_out, "{topic} says something of {of_it:?}, which is out of the configuration");
    }

    /// Trainings that wait with tasks which are out of the configuration, or ended with them.
    pub fn trainings_of_removed(&self) -> BTreeSet<u64> {
        let waiting = self.plan.out.values().flat_map(Known::orders).map(|order| order.id);
        waiting.chain(self.observed.purged_trainings.iter().copied()).collect()
    }

    /// What a task knows that is out of the configuration is as it was.
    pub fn check_removed_tasks(&self) {
        for (task, before) in &self.plan.out {
            let known = self.model.tasks.get(task).cloned().unwrap_or_default();
            assert_eq!(known, *before, "what {task} knew changed while it was out of the configuration");
            let is_purged = *before == Known::default();
            let is_left = self.model.history.iter().any(|line| line.task == *task);
            assert!(!is_purged || !is_left, "{task} was ended, and its labels are remembered");
            let of_it = format!("task/{task}/");
            let kept = self.broker.retained.keys().find(|topic| topic.starts_with(&of_it));
            let is_known = self.connected && self.broker.refuses.is_none();
            assert!(kept.is_none() || !is_known, "the broker keeps {kept:?}, and nobody looks after it");
        }
    }

    /// What goes when a task ends, as the worker finds it that answers.
    pub(super) fn answer_purge(&self, task: &TaskId) -> Answer {
        if self.tasks().contains(task) {
            return Answer::error(ErrorCode::NotPossible, Purged::still_there(task));
        }
        let known = self.model.tasks.get(task).cloned().unwrap_or_default();
        let count = |count: usize| count as u64;
        let (samples, labels) = (count(known.samples.len()), count(known.samples.values().flatten().count()));
        let (awaited, heads) = (count(known.awaited.len()), count(known.heads.len()));
        if samples + awaited + heads == 0 {
            return Answer::error(ErrorCode::NotFound, Purged::nothing_of(task, &self.removed_tasks()));
        }
        command::Purge::answer(&Purged { task: task.clone(), samples, labels, awaited, heads })
    }
}

/// The tasks that a change is of.
fn tasks_of(write: &Write) -> Vec<&TaskId> {
    match write {
        Write::Label { task, .. }
        | Write::Folder { task, .. }
        | Write::DeletePendingLabel { task, .. }
        | Write::Head { task, .. }
        | Write::HeadStatus { task, .. }
        | Write::TrainingState { task, .. }
        | Write::Statistics { task, .. }
        | Write::DeleteHead { task, .. }
        | Write::LiveState { task, .. }
        | Write::StateRecord { task, .. }
        | Write::Look { task, .. } => vec![task],
        Write::PendingLabel(awaited) => vec![&awaited.task],
        Write::Sample(sample) => sample.looks.iter().map(|look| &look.task).collect(),
        _ => Vec::new(),
    }
}
