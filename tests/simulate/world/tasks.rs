//! Several tasks in one world: which images each looks at, and what has to hold so that none takes what is another's.

use std::collections::{BTreeMap, BTreeSet};

use edgetuned::engine::{LabelSource, StateView, StoredChange, TaskSettings, TrainingOrder, TrainingState, Write};
use edgetuned::wire::{TaskTopic, Topic, settle};
use edgetuned::words::{Digest, Label, SampleId, TaskId};
use rand::RngExt;
use rand::seq::IndexedRandom;
use serde_json::Value;

use super::World;
use super::tunings::check_orders;

/// What is said of each task.
const TOPICS: [TaskTopic; 5] =
    [TaskTopic::Prediction, TaskTopic::State, TaskTopic::TrainState, TaskTopic::TrainResult, TaskTopic::Review];

/// What was said to the tasks and by them.
#[derive(Debug, Default)]
pub struct Tasks {
    /// Labels that somebody gave in a task.
    said: BTreeSet<(TaskId, SampleId, Option<Label>)>,
    /// Labels that somebody had others changed into.
    relabelled: BTreeSet<(TaskId, Label)>,
    /// Statistics that the worker made for a task.
    statistics: BTreeSet<(TaskId, Digest)>,
    /// The task that trains, and its order.
    trains: Option<TaskId>,
    /// Tasks that somebody wants to end.
    purges: BTreeSet<TaskId>,
    /// The last order of each task that was begun.
    begun: BTreeMap<TaskId, u64>,
    /// How often a task that waits for a training saw another one begin.
    passed: BTreeMap<(TaskId, TaskId), u32>,
    /// What the states that were stored since the last batch say, the latest last.
    pub(super) views: BTreeMap<TaskId, Vec<StateView>>,
    /// Whether the engine knows that it is connected.
    pub(super) is_heard: bool,
    /// States that were stored, ever.
    pub states: u64,
    /// Trainings that began while another task waited for one.
    pub turns: u64,
}

impl Tasks {
    pub(super) fn said(&mut self, task: &TaskId, id: &SampleId, label: Option<&Label>) {
        self.said.insert((task.clone(), *id, label.cloned()));
    }

    /// Somebody has a label changed into another one in a task.
    pub fn relabelled(&mut self, task: &TaskId, to: &Label) {
        self.relabelled.insert((task.clone(), to.clone()));
    }

    pub(super) fn sent_statistics(&mut self, task: &TaskId, file: &[u8]) {
        self.statistics.insert((task.clone(), Digest::of(file)));
    }

    /// Somebody wants a task to end.
    pub(super) fn purge_is_asked(&mut self, task: &TaskId) {
        self.purges.insert(task.clone());
    }

    pub(super) fn purge_was_asked(&self, task: &TaskId) -> bool {
        self.purges.contains(task)
    }

    /// A task is taken out of the configuration: it waits for no training.
    pub(super) fn goes(&mut self, task: &TaskId) {
        self.passed.retain(|(waits, _), _| waits != task);
    }

    pub(super) fn engine_begins(&mut self) {
        self.trains = None;
        self.is_heard = false;
    }

    pub(super) fn commit_begins(&mut self) {
        self.views.values_mut().for_each(|views| _ = views.drain(..views.len().saturating_sub(1)));
    }
}

impl World {
    /// The settings of a task.
    pub(super) fn task(&self, id: &TaskId) -> &TaskSettings {
        let task = self.settings.tasks.iter().find(|task| task.id == *id);
        task.unwrap_or_else(|| panic!("the device has no task {id}"))
    }

    /// The names of the tasks.
    pub fn tasks(&self) -> Vec<TaskId> {
        self.settings.tasks.iter().map(|task| task.id.clone()).collect()
    }

    /// Whether messages name their task.
    pub fn names_tasks(&self) -> bool {
        self.settings.names_tasks
    }

    /// The task whose labels folders give.
    pub fn task_by_folder(&self) -> Option<TaskId> {
        let by_folder = |task: &&TaskSettings| task.label_levels.iter().any(Option::is_some);
        self.settings.tasks.iter().find(by_folder).map(|task| task.id.clone())
    }

    /// One of the tasks; where there is only one, no number is drawn.
    pub fn some_task(&mut self) -> TaskId {
        let tasks = self.tasks();
        if tasks.len() == 1 { tasks[0].clone() } else { tasks.choose(&mut self.rng).cloned().unwrap_or_default() }
    }

    /// The task that a message names: none where the tasks have no names; else at times none, or one that is not there.
    pub fn task_to_name(&mut self) -> Option<TaskId> {
        if !self.settings.names_tasks {
            return None;
        }
        match self.rng.random_range(0..20) {
            0 | 1 => None,
            2 => Some(self.removed_tasks().pop().unwrap_or_else(|| "gate".parse().expect("a plain word"))),
            _ => Some(self.some_task()),
        }
    }

    /// The task that is meant by a message that names this one.
    pub fn task_meant(&self, named: Option<&TaskId>) -> Option<TaskId> {
        settle(named, &self.tasks()).ok().cloned()
    }

    /// The labels of a sample that its tasks learn from, in the order of the tasks' names.
    pub(super) fn labels_of(&self, id: &SampleId) -> Vec<(TaskId, Label)> {
        let tasks = self.model.tasks.iter();
        tasks.filter_map(|(task, known)| Some((task.clone(), known.learnable(id)?.clone()))).collect()
    }

    /// The change of labels that somebody wants to undo.
    pub(super) fn change_to_undo(&self, asked: Option<u64>, newest: u64) -> Option<StoredChange> {
        self.model.change(asked, newest)
    }

    /// A training begins: no other runs, and of two tasks that wait neither is passed over twice.
    pub(super) fn training_begins(&mut self, task: &TaskId, order: &TrainingOrder) {
        let stored = self.model.of(task).training.running.as_ref();
        assert_eq!(stored, Some(order), "what trains in {task} is not what is stored as running");
        let runs = self.observed.tasks.trains.replace(task.clone());
        assert_eq!(runs, None, "a training of {task} begins beside another");
        let is_new = self.observed.tasks.begun.insert(task.clone(), order.id) != Some(order.id);
        let tasks = &mut self.observed.tasks;
        tasks.passed.retain(|(waits, _), _| waits != task);
        // The store of a device whose clock was set does not know which task was trained last.
        if !is_new || self.counts.clock_changes > 0 {
            return;
        }
        let is_another = |other: &&TaskSettings| other.id != *task;
        for other in self.settings.tasks.iter().filter(is_another).map(|other| &other.id) {
            let known = self.model.of(other);
            let key = (other.clone(), task.clone());
            if known.training.due.is_none() {
                tasks.passed.remove(&key);
                continue;
            }
            tasks.turns += 1;
            let passed = tasks.passed.entry(key).or_default();
            *passed += 1;
            assert!(*passed < 2, "{other} waits for a training, and {task} trains twice before it");
        }
    }

    /// A training has ended.
    pub(super) fn training_ends(&mut self, task: &TaskId) {
        let runs = self.observed.tasks.trains.take();
        assert!(!self.is_full || runs.as_ref() == Some(task), "a training of {task} ends, and {runs:?} trains");
    }

    /// Looks at a change of a task before it is made: what is said to one is none of another's.
    pub(super) fn check_task(&mut self, write: &Write) {
        match write {
            Write::Label { task, id, label, source, .. } => self.check_label(task, id, label.as_ref(), *source),
            Write::Statistics { task, file } => {
                let is_its_own = self.observed.tasks.statistics.contains(&(task.clone(), Digest::of(file)));
                assert!(is_its_own, "statistics are stored for {task} that were not made for it");
            }
            Write::TrainingState { task, state } => {
                let before = &self.model.of(task).training;
                check_orders(self.task(task), before, state);
                assert!(state.next_id >= before.next_id, "the trainings of {task} are counted anew");
                // One that another head made worthless is carried out again, whatever became of the labels; one for a drift is
                // ordered at a label, of which others may follow in the same change.
                let is_for_labels = |reason: &str| !["another head serves", "drift"].contains(&reason);
                let is_new = state.due.as_ref().is_some_and(|order| is_for_labels(&order.reason));
                // One that waits already may get a second phase when another one is carried out again.
                let waits = |training: &TrainingState| training.due.as_ref().map(|order| order.id);
                let is_new = is_new && waits(state) != waits(before);
                let classes = self.model.of(task).classes();
                assert!(!is_new || classes.len() > 1, "a training of {task} is ordered, which could learn {classes:?}");
            }
            Write::StateRecord { task, record } => self.check_state(task, record),
            _ => {}
        }
    }

    fn check_label(&self, task: &TaskId, id: &SampleId, label: Option<&Label>, source: LabelSource) {
        let tasks = &self.observed.tasks;
        let is_asked = match source {
            LabelSource::Folder => self.task_by_folder().as_ref() == Some(task),
            LabelSource::Undo => true,
            LabelSource::Mqtt | LabelSource::Import => {
                let is_relabelled =
                    label.is_some_and(|label| tasks.relabelled.contains(&(task.clone(), label.clone())));
                is_relabelled || tasks.said.contains(&(task.clone(), *id, label.cloned()))
            }
        };
        assert!(is_asked, "image {id} gets the label {label:?} in {task} by {source:?}, which nobody gave it there");
    }

    /// The task and the topic of what is said of one; `None` of what is the device's, and of what a task says twice.
    pub(super) fn task_of(&self, topic: &Topic) -> Option<(TaskId, TaskTopic)> {
        let is_plain = |of: &&TaskTopic| !self.settings.names_tasks && of.plain() == *topic;
        match topic {
            Topic::Task(task, of) => Some((task.clone(), *of)),
            _ => TOPICS.iter().find(is_plain).map(|of| (TaskId::default(), *of)),
        }
    }

    /// A message is published: it is of its topic's task, and of none where they have no names. What is cleared is of a task
    /// that the configuration does not name.
    pub(super) fn check_said(&self, topic: &Topic, payload: &[u8]) {
        if let (true, Some((task, _))) = (payload.is_empty(), self.task_of(topic)) {
            let is_named = self.settings.tasks.iter().any(|named| named.id == task);
            assert!(!is_named, "{topic} is cleared, and the configuration names {task}");
            return;
        }
        self.check_said_of_removed(topic, payload);
        let json: Value = serde_json::from_slice(payload).unwrap_or_default();
        match topic {
            Topic::Task(task, _) => {
                assert!(self.settings.names_tasks, "{topic} is published, and the tasks have no names");
                assert_eq!(json["task"], task.as_str(), "{topic} is of its task: {json}");
            }
            _ if !self.settings.names_tasks => {
                let is_named = json.get("task").is_some() || json["data"].get("task").is_some();
                assert!(!is_named, "{topic} names a task, and they have no names: {json}");
            }
            _ if TOPICS.iter().any(|of| of.plain() == *topic) => {
                assert_eq!(json["task"], TaskId::default().as_str(), "{topic} is of the default task: {json}");
            }
            _ => {}
        }
    }
}
