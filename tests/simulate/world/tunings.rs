//! Trainings with a second phase: what the played worker makes of them, and what has to hold of orders, answers, reports and
//! heads with a tail.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgetuned::engine::{Act, Event, Step, TaskSettings, TrainerEvent, TrainingOrder, TrainingState, TuneWhen};
use edgetuned::head::{HeadRecord, Tail, TailWeight, Tuning};
use edgetuned::wire::{EpochFigures, PhaseFigures, SecondPhase, TaskTopic, Topic, TrainingPhase};
use edgetuned::words::{HeadId, TaskId};
use rand::RngExt;
use serde_json::Value;

use super::World;
use super::live::figures;

/// What the world has seen of second phases.
#[derive(Debug, Default)]
pub struct Tunings {
    /// What was asked, by its transaction: the task that was named.
    asked: BTreeMap<String, Option<TaskId>>,
    /// Transactions that have their answer.
    answered: BTreeSet<String>,
    /// Tunings that were accepted.
    accepted: BTreeSet<(TaskId, u64)>,
    /// Trainings that have a report of both phases, or an error.
    ended: BTreeSet<(TaskId, u64)>,
    /// Heads that have a tail.
    tailed: BTreeSet<HeadId>,
    /// Tasks whose tuning was compared with a head that serves no more, since the commit began.
    again: BTreeSet<TaskId>,
}

impl Tunings {
    /// Whether a head has a tail.
    pub(super) fn is_tailed(&self, head: &HeadId) -> bool {
        self.tailed.contains(head)
    }

    /// A request for a tuning that is sent for the first time, or again, in this task.
    pub fn asked(&mut self, transaction: &str, task: Option<&TaskId>) {
        self.asked.insert(transaction.to_owned(), task.cloned());
    }
}

/// What comes of a second phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Outcome {
    NotRun,
    Refused,
    Kept,
}

impl Outcome {
    pub(super) fn of(number: u64) -> Self {
        [Self::Kept, Self::Refused, Self::NotRun][number as usize % 3]
    }
}

/// `head` as one whose last layers were trained on: it reads what its tail makes.
fn with_tail(head: HeadRecord) -> HeadRecord {
    let weight = TailWeight { name: "w".into(), shape: vec![1], values: vec![head.head.version as f32] };
    let (tail, first) = (Tail { input: "cut".into(), weights: vec![weight] }, head.dense.clone());
    let mut tuned = head;
    tuned.dense.space = tail.space(first.space);
    tuned.tuning = Some(Tuning { tail, first, figures: None });
    tuned
}

impl World {
    /// The head of an order after its second phase, where it was to have one, and the report of that.
    pub(super) fn after_second_phase(
        &mut self,
        order: &TrainingOrder,
        challenger: HeadRecord,
        outcome: Outcome,
    ) -> (HeadRecord, Option<SecondPhase>) {
        if !order.tune {
            return (challenger, None);
        }
        if outcome == Outcome::NotRun {
            return (challenger, Some(SecondPhase::not_run("too few labels, drawn at random".into())));
        }
        let is_kept = outcome == Outcome::Kept;
        let phase = |phase| PhaseFigures { phase, fit_seconds: 0.1, figures: figures() };
        let report = SecondPhase {
            phase: 2,
            epochs: vec![EpochFigures { loss: 0.5, accuracy: 0.75 }],
            phases: vec![phase(1), phase(2)],
            tuned: is_kept,
            tune_reason: "drawn at random".into(),
        };
        (if is_kept { self.tailed(challenger) } else { challenger }, Some(report))
    }

    /// A head from afar: one of four has a tail.
    pub(super) fn perhaps_tailed(&mut self, head: HeadRecord) -> HeadRecord {
        if head.head.id.0.starts_with(['0', '1', '2', '3']) { self.tailed(head) } else { head }
    }

    fn tailed(&mut self, head: HeadRecord) -> HeadRecord {
        self.observed.tunings.tailed.insert(head.head.id.clone());
        with_tail(head)
    }

    /// The worker is in the second phase, which ends at the time that is returned.
    pub(super) fn second_phase_runs(&mut self, task: &TaskId) -> Duration {
        let begins = self.now.mono + Duration::from_millis(self.rng.random_range(0..=2_000));
        let ends = begins + Duration::from_millis(self.rng.random_range(0..=8_000));
        for (at, progress) in [(begins, 0.2), ((begins + ends) / 2, 0.5)] {
            let progress = TrainerEvent::Progress { phase: TrainingPhase::Tuning, progress };
            self.push(at, Event::Trainer(task.clone(), progress));
        }
        ends
    }

    /// A step followed an event: a second phase that runs is said to do so, and none else.
    pub(super) fn check_second_phase_is_said(&mut self, of: Option<&TaskId>, step: &Step) {
        let mut said = BTreeSet::new();
        for act in &step.acts {
            let Act::Publish { topic, payload } = act else { continue };
            let Some((task, TaskTopic::TrainState)) = self.task_of(topic) else { continue };
            let json: Value = serde_json::from_slice(payload).unwrap_or_default();
            if json["phase"] == "tuning" {
                let running = self.model.of(&task).training.running.as_ref();
                assert!(running.is_some_and(|order| order.tune), "{task} is said to be in a second phase: {running:?}");
                said.insert(task);
            }
        }
        self.counts.second_phases_said += said.len() as u64;
        assert!(of.is_none_or(|task| said.contains(task)), "a second phase of {of:?} runs, and nobody is told");
    }

    /// A message about a training goes into the outbox, or past it, when what it tells of is stored.
    pub(super) fn check_tuning_said(&mut self, topic: &Topic, payload: &[u8], is_stored: bool) {
        let json: Value = serde_json::from_slice(payload).unwrap_or_default();
        match self.task_of(topic) {
            Some((task, TaskTopic::TrainResult)) if !payload.is_empty() => self.check_result(task, &json, is_stored),
            _ if *topic == Topic::Response("tune".into()) => self.check_tuning_answer(&json),
            _ if *topic == Topic::Event && json["source"] == "train" => self.note_failed_training(&json),
            _ => {}
        }
    }

    /// The result of a training has the report of both phases where it was to have a second one, and nowhere else; and it
    /// says whether its head has a tail.
    fn check_result(&mut self, task: TaskId, json: &Value, is_stored: bool) {
        let id = json["training"].as_u64().expect("it has a number");
        let tunes = json["tune_reason"].is_string();
        if !is_stored {
            let running = self.model.of(&task).training.running.clone();
            let order = running.filter(|order| order.id == id);
            assert_eq!(order.map(|order| order.tune), Some(tunes), "{task}: what runs is reported as {json}");
        }
        let head: HeadId = serde_json::from_value(json["head"]["id"].clone()).expect("it has a head");
        assert_eq!(json["tuned"] == true, self.observed.tunings.is_tailed(&head), "the head of {json}");
        if tunes {
            self.counts.tuned_results[usize::from(json["tuned"] == true)] += 1;
            self.observed.tunings.ended.insert((task.clone(), id));
            let is_outdated = json["reason"].as_str().is_some_and(|reason| reason.contains("it is trained again"));
            if is_outdated && !is_stored {
                self.observed.tunings.again.insert(task);
            }
        }
    }

    fn note_failed_training(&mut self, json: &Value) {
        let task = json["task"].as_str().map_or_else(TaskId::default, |task| task.parse().expect("a name"));
        let words = json["reason"].as_str().and_then(|reason| reason.strip_prefix("training "));
        let id = words.and_then(|words| words.split(' ').next()?.parse().ok());
        self.observed.tunings.ended.extend(id.map(|id| (task, id)));
    }

    /// The first answer to a request for a tuning: accepted is what is stored as such, and refused what cannot be.
    pub(super) fn check_tuning_answer(&mut self, json: &Value) {
        let Some(transaction) = json["transaction"].as_str() else { return };
        let tunings = &mut self.observed.tunings;
        let Some(named) = tunings.asked.get(transaction).cloned() else { return };
        if json["error"]["code"] == "busy" || !tunings.answered.insert(transaction.to_owned()) {
            return;
        }
        let task = self.task_meant(named.as_ref());
        let Some(task) = task.map(|task| self.task(&task).clone()) else {
            return assert!(json["status"] != "ok", "a tuning of no task is answered {json}");
        };
        let training = &self.model.of(&task.id).training;
        if let Some(id) = json["data"]["training"].as_u64() {
            assert_ne!(task.tune, TuneWhen::Never, "a tuning of {} is accepted: {json}", task.id);
            let is_it = |order: &&TrainingOrder| order.id == id && order.tune;
            let is_stored = training.running.iter().chain(&training.due).any(|order| is_it(&order));
            // The first answer may be the remembered one, long after the first try: a crash came before that was answered.
            let has_ended = self.observed.tunings.ended.contains(&(task.id.clone(), id));
            let seen = is_stored || has_ended;
            assert!(seen, "a tuning of {} is accepted and not stored: {json}, {training:?}", task.id);
            self.observed.tunings.accepted.insert((task.id.clone(), id));
            self.counts.tunings += 1;
            return;
        }
        assert_eq!(json["error"]["code"], "not_possible", "a tuning of {} is answered {json}", task.id);
        let names_setting = json["error"]["message"].as_str().is_some_and(|words| words.contains("training.tune.when"));
        assert_eq!(names_setting, task.tune == TuneWhen::Never, "a tuning of {} is answered {json}", task.id);
        self.counts.refused_tunings += u64::from(names_setting);
    }

    /// Looks at what a commit left: a tuning that another head made worthless is carried out again with its second phase.
    pub(super) fn check_tunings(&mut self) {
        for task in std::mem::take(&mut self.observed.tunings.again) {
            let training = &self.model.of(&task).training;
            let has_second = training.running.iter().chain(&training.due).any(|order| order.tune);
            assert!(has_second, "a tuning of {task} is trained again without its second phase: {training:?}");
        }
    }

    /// A process starts: whether a head with a tail serves in it.
    pub(super) fn count_tuned_start(&mut self) {
        let champions = self.model.tasks.values().filter_map(|known| known.champion());
        let is_tuned = champions.into_iter().any(|head| self.observed.tunings.is_tailed(&head.head.id));
        self.counts.tuned_starts += u64::from(is_tuned);
    }

    /// When everything has come to rest: every tuning that was accepted has the report of both phases, or an error.
    pub fn check_tunings_end(&self) {
        let is_there = |task: &TaskId| self.tasks().contains(task) && !self.plan.came.contains(task);
        let tunings = &self.observed.tunings;
        for (task, id) in tunings.accepted.iter().filter(|(task, _)| is_there(task)) {
            let has_ended = self.observed.tunings.ended.contains(&(task.clone(), *id));
            assert!(has_ended, "tuning {id} of {task} was accepted and never ended");
        }
    }
}

/// Looks at what a training's memory becomes: a second phase is of a task that has one, and is not lost.
pub(super) fn check_orders(task: &TaskSettings, before: &TrainingState, after: &TrainingState) {
    let orders = |state: &TrainingState| state.running.iter().chain(&state.due).cloned().collect::<Vec<_>>();
    let (known, kept) = (orders(before), orders(after));
    for order in kept.iter().filter(|order| order.tune) {
        assert_ne!(task.tune, TuneWhen::Never, "training {} of {} has a second phase", order.id, task.id);
    }
    for order in known {
        let id = order.id;
        let later = kept.iter().find(|kept| kept.id == id);
        assert!(
            later.is_none_or(|kept| kept.tune >= order.tune),
            "training {id} of {} loses its second phase",
            task.id
        );
        let may_end = before.running.as_ref().is_some_and(|running| running.id == id);
        assert!(later.is_some() || may_end, "training {id} of {} is dropped before it began", task.id);
    }
}

/// The task of which an event says that its second phase runs.
pub(super) fn tunes(event: &Event) -> Option<TaskId> {
    match event {
        Event::Trainer(task, TrainerEvent::Progress { phase: TrainingPhase::Tuning, .. }) => Some(task.clone()),
        _ => None,
    }
}
