//! The workers beside the ingestion: who trains, who adapts and cleans up, who finds answers out. Each reads what is
//! durable when it begins, and what it finds comes back later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgetuned::engine::{
    AdapterEvent, Event, EvictionCandidate, HeadStatus, ProcessEvent, PromotionPolicy, Query, Review, SwapEvent,
    TaskSettings, TrainerEvent, TrainingOrder, TrainingOutcome,
};
use edgetuned::eval::HeldOutAnswers;
use edgetuned::eval::budget::Why;
use edgetuned::eval::gate::{Verdict, VerdictCode};
use edgetuned::head::{BackboneRef, DenseHead, HeadRecord, TrainingFacts};
use edgetuned::update::Manifest;
use edgetuned::wire::{Answer, ErrorCode, ReviewItem, ReviewReason, SecondPhase, TrainingPhase};
use edgetuned::words::{ClassSet, EmbeddingSpace, HeadId, HeadRef, Label, SampleId, TaskId, Timestamp, is_audit};
use rand::{Rng, RngExt};

use super::super::known::Known;
use super::World;
use super::disk::class;
use super::live::figures;
use super::tunings::Outcome;
use super::updates::Preparation;

/// Samples of a class that always stay.
const MIN_CLASS: usize = 3;

/// Something that a worker begins later than it is asked for.
#[derive(Debug)]
pub(super) enum Work {
    Train(TaskId, TrainingOrder, u64),
    Verify(TaskId, Box<Manifest>, u64),
    Prepare(Preparation),
}

/// The worker that learns from labels at once and works out what can go.
#[derive(Debug, Default)]
pub struct Adapter {
    learners: BTreeMap<TaskId, Learner>,
    /// Samples that are being forgotten and are still stored.
    leaving: BTreeSet<SampleId>,
    /// One thing after another.
    free_at: Duration,
}

/// What is learned at once from the labels of one task.
#[derive(Debug, Default)]
struct Learner {
    /// Labels in the statistics.
    learned: BTreeMap<SampleId, Label>,
    sent: Vec<u8>,
    settled: Option<Timestamp>,
}

impl World {
    /// Has a worker begin within this time.
    pub(super) fn work_within(&mut self, within_ms: u64, work: Work) {
        let at = self.now.mono + Duration::from_millis(self.rng.random_range(0..=within_ms));
        let place = self.work.partition_point(|(due, _)| *due <= at);
        self.work.insert(place, (at, work));
    }

    /// Work that is due begins.
    pub(super) fn workers(&mut self) {
        while self.work.first().is_some_and(|(at, _)| *at <= self.now.mono) {
            match self.work.remove(0).1 {
                Work::Train(task, order, version) => self.compare_challenger(task, order, version),
                Work::Verify(task, manifest, version) => self.verify(&task, &manifest, version),
                Work::Prepare(preparation) => self.prepare(preparation),
            }
        }
    }

    /// Trains at once, without a look at the champion.
    pub(super) fn train(&mut self, order: TrainingOrder, version: u64) -> Event {
        if self.rng.random_bool(0.1) {
            return Event::Trainer(
                TaskId::default(),
                TrainerEvent::Failed { reason: "the machine was too small".into() },
            );
        }
        let promote = self.rng.random_bool(0.6);
        let (space, backbone) = (self.settings.tasks[0].space, self.settings.backbone.clone());
        let challenger = self.head_record(version, space, backbone);
        // Not drawn: what else happens in these lives stays.
        let (challenger, second) = self.after_second_phase(&order, challenger, Outcome::of(order.id));
        let champion = self.champion_in(&TaskId::default(), space);
        outcome(TaskId::default(), order, (challenger, second), champion, verdict(promote, false))
    }

    /// Reads the champion and begins to fit; the verdict is on that champion, however long it takes.
    fn compare_challenger(&mut self, task: TaskId, order: TrainingOrder, version: u64) {
        if self.chance(self.chances.failed_training) {
            return self.later(
                3_000,
                Event::Trainer(task, TrainerEvent::Failed { reason: "the machine was too small".into() }),
            );
        }
        let (space, backbone) = (self.task(&task).space, self.settings.backbone.clone());
        let champion = self.champion_in(&task, space);
        let twin = self.model.of(&task).heads.iter().rev().find(|head| head.status == HeadStatus::Rejected);
        // The same weights have the same tail.
        let twin = twin.filter(|head| !order.tune && !self.observed.tunings.is_tailed(&head.head.id));
        let twin = twin.map(|head| head.head.id.clone()).filter(|_| self.promotion(&task) == PromotionPolicy::Gated);
        let mut challenger = self.head_record(version, space, backbone);
        if let Some(id) = twin
            && self.chance(0.05)
            && self.chances.failed_training > 0.0
        {
            challenger.head.id = id;
        }
        let promote = champion.is_none() || self.chance(self.chances.better);
        let provisional = promote && self.chance(0.1);
        self.observed.judged(&task, &challenger.head.id, champion, promote);
        self.learns(&task, &challenger.head.id);
        if order.tune {
            let end = self.tuned(&task, order, challenger, champion, verdict(promote, provisional));
            let at = self.second_phase_runs(&task);
            return self.push(at, end);
        }
        self.later(
            1_000,
            Event::Trainer(task.clone(), TrainerEvent::Progress { phase: TrainingPhase::Fitting, progress: 0.5 }),
        );
        self.later(5_000, outcome(task, order, (challenger, None), champion, verdict(promote, provisional)));
    }

    /// How a training with a second phase ends.
    fn tuned(
        &mut self,
        task: &TaskId,
        order: TrainingOrder,
        challenger: HeadRecord,
        champion: Option<u64>,
        verdict: Verdict,
    ) -> Event {
        if self.chance(self.chances.failed_training) {
            let reason = "it took longer than training.time_limit, drawn at random".into();
            return Event::Trainer(task.clone(), TrainerEvent::Failed { reason });
        }
        let drawn = Outcome::of(self.rng.random_range(0..4));
        let made = self.after_second_phase(&order, challenger, drawn);
        outcome(task.clone(), order, made, champion, verdict)
    }

    /// The version of the head that reads these embeddings and serves, or would if it could be read.
    pub(super) fn champion_in(&self, task: &TaskId, space: EmbeddingSpace) -> Option<u64> {
        self.model.of(task).champion().filter(|head| head.space == space).map(|head| head.head.version)
    }

    pub(super) fn head_record(&mut self, version: u64, space: EmbeddingSpace, backbone: BackboneRef) -> HeadRecord {
        let classes: ClassSet = (0..3).map(class).collect();
        let id = HeadId(format!("{:012x}", self.rng.next_u64() >> 16));
        if self.chance(self.chances.poor) {
            self.poor.insert(id.clone());
        }
        let (weights, bias) = (ndarray::Array2::zeros((3, space.dim)), ndarray::Array1::zeros(3));
        let dense = DenseHead::linear(space, classes, weights, bias);
        HeadRecord {
            head: HeadRef { id, version },
            training: TrainingFacts {
                lambda: 0.1,
                loss: 0.5,
                iterations: 3,
                converged: true,
                n_train: 3,
                fit_seconds: 0.1,
                ..TrainingFacts::default()
            },
            figures: self.is_full.then(figures),
            ..HeadRecord::new(dense, version, self.now.wall, backbone)
        }
    }

    /// Results of the adapting worker come in the order of its jobs.
    pub(super) fn adapter_reports(&mut self, within_ms: u64, event: Event) {
        let begins = self.adapter.free_at.max(self.now.mono);
        let at = begins + Duration::from_millis(self.rng.random_range(0..=within_ms));
        self.adapter.free_at = at;
        self.push(at, event);
    }

    /// The adapting worker of a new engine: its statistics are those of the store.
    pub(super) fn start_adapter(&mut self) {
        let learner = |task: &TaskSettings| {
            let known = self.model.of(&task.id);
            let sent = known.statistics.get(&task.space).cloned().unwrap_or_default();
            let learned = serde_json::from_slice(&sent).unwrap_or_default();
            (task.id.clone(), Learner { learned, sent, settled: known.training.settled })
        };
        let learners = self.settings.tasks.iter().map(learner).collect();
        self.adapter = Adapter { learners, ..Adapter::default() };
        self.catch_up();
    }

    /// A verdict saw the labels of a task before this time: they go into its statistics.
    pub(super) fn fold_in(&mut self, task: &TaskId, before: Timestamp) {
        self.adapter.learners.entry(task.clone()).or_default().settled = Some(before);
        self.catch_up();
        self.send_statistics();
    }

    fn catch_up(&mut self) {
        let Self { adapter: Adapter { learners, leaving, .. }, model, .. } = self;
        leaving.retain(|id| model.samples.contains(id));
        for (task, learner) in learners {
            let Some(settled) = learner.settled else { continue };
            let known = model.of(task);
            for (id, labelled) in known.samples.iter().filter(|(id, _)| !leaving.contains(id)) {
                let Some((label, _)) = labelled.as_ref().filter(|_| !known.excluded.contains(id)) else {
                    learner.learned.remove(id);
                    continue;
                };
                if known.labelled_at.get(id).is_some_and(|at| *at < settled) && model.has_embedding(task, id) {
                    learner.learned.insert(*id, label.clone());
                }
            }
        }
    }

    /// Whether a sample is being forgotten.
    pub(super) fn is_leaving(&self, id: &SampleId) -> bool {
        self.adapter.leaving.contains(id)
    }

    /// What was to be forgotten stays after all, where it is learned again.
    pub(super) fn learn_after_all(&mut self, ids: &[SampleId]) {
        self.observed.forgetting.stay(ids);
        let before = self.adapter.leaving.len();
        self.adapter.leaving.retain(|id| !ids.contains(id));
        if self.adapter.leaving.len() < before {
            self.catch_up();
        }
    }

    fn send_statistics(&mut self) {
        let mut news = Vec::new();
        for (task, learner) in &mut self.adapter.learners {
            let file = serde_json::to_vec(&learner.learned).expect("labels by identity are JSON");
            if learner.sent != file {
                learner.sent.clone_from(&file);
                news.push((task.clone(), file));
            }
        }
        for (task, file) in news {
            self.observed.tasks.sent_statistics(&task, &file);
            self.adapter_reports(1_000, Event::Adapter(AdapterEvent::StatsCheckpoint(task, file)));
        }
    }

    /// What may go: images without a label in any task, then labelled ones that the statistics of all tasks that label
    /// them hold, down to a few of each class.
    pub(super) fn evictable(&self, count: usize) -> Vec<EvictionCandidate> {
        let mut left: BTreeMap<(&TaskId, &Label), usize> = BTreeMap::new();
        for (task, known) in &self.model.tasks {
            for label in known.samples.keys().filter_map(|id| known.learnable(id)) {
                *left.entry((task, label)).or_default() += 1;
            }
        }
        let labels_of = |id: &SampleId| {
            let label = |(task, known): (_, &'_ Known)| Some((task, known.learnable(id)?.clone()));
            self.model.tasks.iter().filter_map(label).collect::<Vec<(&TaskId, Label)>>()
        };
        let all: Vec<_> = self.model.samples.iter().map(|id| (id, labels_of(id))).collect();
        let is_learned =
            |task: &TaskId, id: &SampleId| self.adapter.learners.get(task).and_then(|it| it.learned.get(id)).cloned();
        let is_held = |(id, labels): &&(&SampleId, Vec<(&TaskId, Label)>)| {
            !labels.is_empty() && labels.iter().all(|(task, label)| is_learned(task, id).as_ref() == Some(label))
        };
        let unlabelled = all.iter().filter(|(_, labels)| labels.is_empty());
        let held = all.iter().filter(is_held).filter(|(id, _)| !is_audit(id));
        let mut found = Vec::new();
        for (id, labels) in unlabelled.chain(held) {
            let class = |task, label| left.get(&(task, label)).copied().unwrap_or_default();
            if labels.iter().any(|(task, label)| class(task, label) <= MIN_CLASS) {
                continue;
            }
            for (task, label) in labels {
                left.entry((task, label)).and_modify(|left| *left -= 1);
            }
            let why = if labels.is_empty() { Why::Unlabelled } else { Why::Redundant };
            let labels = labels.iter().map(|(task, label)| ((*task).clone(), label.clone())).collect();
            found.push(EvictionCandidate { id: **id, labels, why });
            if found.len() == count {
                break;
            }
        }
        found
    }

    pub(super) fn look_for_evictable(&mut self, count: usize) {
        let found = self.evictable(count);
        if !found.is_empty() {
            self.send_statistics();
        }
        self.observed.offered(&found);
        self.adapter_reports(1_000, Event::Adapter(AdapterEvent::EvictionCandidates(found)));
    }

    /// A few images without a label, and a label that is doubted.
    pub(super) fn review(&mut self, task: TaskId) {
        let item = |id: &SampleId, reason, label| ReviewItem {
            image: *id,
            path: Some(String::new()),
            reason,
            suggestion: None,
            probability: None,
            label,
            neighbours: vec![],
            source: None,
        };
        let known = self.model.of(&task);
        let samples = known.samples.iter().filter(|(id, _)| !known.excluded.contains(*id));
        let unlabelled = samples.clone().filter(|(_, labelled)| labelled.is_none()).take(3);
        let mut items: Vec<ReviewItem> = unlabelled.map(|(id, _)| item(id, ReviewReason::Diverse, None)).collect();
        let doubted = samples.clone().find_map(|(id, labelled)| Some((id, labelled.as_ref()?.0.clone())));
        items.extend(doubted.map(|(id, label)| item(id, ReviewReason::Suspicious, Some(label))));
        let review = Review { items, advice: None };
        self.adapter_reports(3_000, Event::Adapter(AdapterEvent::ReviewListReady(task, review)));
    }

    /// Finds an answer out. What was read again and is good waits to be taken.
    pub(super) fn answer_query(&mut self, job: u64, query: &Query) {
        if let Query::Forget(ids) = query {
            self.observed.forgetting.check_asked(ids);
            self.adapter.leaving.extend(ids);
            let mut files = Vec::new();
            for (task, learner) in &mut self.adapter.learners {
                learner.learned.retain(|id, _| !ids.contains(id));
                learner.sent = serde_json::to_vec(&learner.learned).expect("labels by identity are JSON");
                files.push((task.clone(), learner.sent.clone()));
            }
            for (task, file) in &files {
                self.observed.tasks.sent_statistics(task, file);
            }
            let without = AdapterEvent::StatisticsWithout { job, ids: ids.clone(), files };
            return self.adapter_reports(1_000, Event::Adapter(without));
        }
        if let Query::Undo { change, newest } = query {
            let found = self.change_to_undo(*change, *newest);
            return self.later(1_000, Event::ChangeFound { job, found });
        }
        if let Query::Purge(task) = query {
            let answer = self.answer_purge(task);
            return self.later(2_000, Event::QueryAnswered { job, answer });
        }
        if let Query::Backbone(asked) = query {
            let found = self.found_backbone(asked);
            return self.later(1_000, Event::Swap(SwapEvent::Found { job, found }));
        }
        self.found += 1;
        let answer = Answer::ok(&self.found);
        if self.is_full && *query == Query::Reload {
            if self.chance(0.5) {
                let answer = Answer::error(ErrorCode::NotPossible, "the configuration is wrong, drawn at random");
                return self.later(2_000, Event::QueryAnswered { job, answer });
            }
            let at = self.now.mono + Duration::from_millis(self.rng.random_range(0..=2_000));
            self.push(at, Event::QueryAnswered { job, answer });
            return self.push(at, Event::Process(ProcessEvent::ConfigReady));
        }
        self.later(4_000, Event::QueryAnswered { job, answer });
    }
}

pub(super) fn verdict(promote: bool, provisional: bool) -> Verdict {
    let code = if promote { VerdictCode::Better } else { VerdictCode::Worse };
    Verdict { promote, provisional, code, reason: "drawn at random".into(), change: None }
}

fn outcome(
    task: TaskId,
    order: TrainingOrder,
    (challenger, second): (HeadRecord, Option<SecondPhase>),
    against: Option<u64>,
    verdict: Verdict,
) -> Event {
    Event::Trainer(
        task,
        TrainerEvent::Finished(Box::new(TrainingOutcome {
            order,
            challenger,
            champion: None,
            against,
            verdict,
            changes: vec![],
            suspicious_labels: 0,
            left_out: None,
            second,
            answers: HeldOutAnswers::default(),
        })),
    )
}
