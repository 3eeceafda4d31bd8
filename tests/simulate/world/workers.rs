//! The workers beside the ingestion: who trains, who adapts and cleans up, who finds answers out. Each reads what is
//! durable when it begins, and what it finds comes back later.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgetuned::engine::{
    AdapterEvent, Event, EvictionCandidate, HeadStatus, ProcessEvent, PromotionPolicy, Query, Review, SwapEvent,
    TrainerEvent, TrainingOrder, TrainingOutcome,
};
use edgetuned::eval::budget::Why;
use edgetuned::eval::gate::{Verdict, VerdictCode};
use edgetuned::head::{BackboneRef, DenseHead, HeadRecord, TrainingFacts};
use edgetuned::update::Manifest;
use edgetuned::wire::{Answer, ErrorCode, ReviewItem, ReviewReason, TrainingPhase};
use edgetuned::words::{ClassSet, EmbeddingSpace, HeadId, HeadRef, Label, SampleId, TaskId, Timestamp, is_audit};
use rand::{Rng, RngExt};

use super::World;
use super::disk::class;
use super::live::figures;
use super::updates::Preparation;

/// Samples of a class that always stay.
const MIN_CLASS: usize = 3;

/// Something that a worker begins later than it is asked for.
#[derive(Debug)]
pub(super) enum Work {
    Train(TrainingOrder, u64),
    Verify(Box<Manifest>, u64),
    Prepare(Preparation),
}

/// The worker that learns from labels at once and works out what can go.
#[derive(Debug, Default)]
pub struct Adapter {
    /// Labels in the statistics.
    learned: BTreeMap<SampleId, Label>,
    /// Samples that are being forgotten and are still stored.
    leaving: BTreeSet<SampleId>,
    sent: Vec<u8>,
    settled: Option<Timestamp>,
    /// One thing after another.
    free_at: Duration,
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
                Work::Train(order, version) => self.compare_challenger(order, version),
                Work::Verify(manifest, version) => self.verify(&manifest, version),
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
        let (space, backbone) = (self.settings.space, self.settings.backbone.clone());
        let challenger = self.head_record(version, space, backbone);
        let champion = self.champion_in(space);
        outcome(order, challenger, champion, verdict(promote, false))
    }

    /// Reads the champion and begins to fit; the verdict is on that champion, however long it takes.
    fn compare_challenger(&mut self, order: TrainingOrder, version: u64) {
        if self.chance(self.chances.failed_training) {
            return self.later(
                3_000,
                Event::Trainer(TaskId::default(), TrainerEvent::Failed { reason: "the machine was too small".into() }),
            );
        }
        let (space, backbone) = (self.settings.space, self.settings.backbone.clone());
        let champion = self.champion_in(space);
        let twin = self.model.heads.iter().rev().find(|head| head.status == HeadStatus::Rejected);
        let twin = twin
            .map(|head| head.head.id.clone())
            .filter(|_| self.settings.tasks[0].promotion == PromotionPolicy::Gated);
        let mut challenger = self.head_record(version, space, backbone);
        if let Some(id) = twin
            && self.chance(0.05)
        {
            challenger.head.id = id;
        }
        let promote = champion.is_none() || self.chance(self.chances.better);
        let provisional = promote && self.chance(0.1);
        self.observed.judged(&challenger.head.id, champion, promote);
        self.learns(&challenger.head.id);
        self.later(
            1_000,
            Event::Trainer(TaskId::default(), TrainerEvent::Progress { phase: TrainingPhase::Fitting, progress: 0.5 }),
        );
        self.later(5_000, outcome(order, challenger, champion, verdict(promote, provisional)));
    }

    /// The version of the head that reads these embeddings and serves, or would if it could be read.
    pub(super) fn champion_in(&self, space: EmbeddingSpace) -> Option<u64> {
        self.model.champion().filter(|head| head.space == space).map(|head| head.head.version)
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
        let file = self.model.statistics.get(&self.settings.space.backbone).cloned().unwrap_or_default();
        let learned = serde_json::from_slice(&file).unwrap_or_default();
        let settled = self.model.training.settled;
        self.adapter = Adapter { learned, sent: file, settled, ..Adapter::default() };
        self.catch_up();
    }

    /// A verdict saw the labels before this time: they go into the statistics.
    pub(super) fn fold_in(&mut self, before: Timestamp) {
        self.adapter.settled = Some(before);
        self.catch_up();
        self.send_statistics();
    }

    fn catch_up(&mut self) {
        let Some(settled) = self.adapter.settled else { return };
        self.adapter.leaving.retain(|id| self.model.samples.contains_key(id));
        for (id, labelled) in self.model.samples.iter().filter(|(id, _)| !self.adapter.leaving.contains(id)) {
            let Some((label, _)) = labelled else {
                self.adapter.learned.remove(id);
                continue;
            };
            if self.model.labelled_at.get(id).is_some_and(|at| *at < settled) && self.model.has_embedding(id) {
                self.adapter.learned.insert(*id, label.clone());
            }
        }
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
        let file = serde_json::to_vec(&self.adapter.learned).expect("labels by identity are JSON");
        if self.adapter.sent != file {
            self.adapter.sent.clone_from(&file);
            self.adapter_reports(1_000, Event::Adapter(AdapterEvent::StatsCheckpoint(TaskId::default(), file)));
        }
    }

    /// What may go: images without a label, then labelled ones that the statistics hold, down to a few of each class.
    pub(super) fn evictable(&self, count: usize) -> Vec<EvictionCandidate> {
        let mut left: BTreeMap<&Label, usize> = BTreeMap::new();
        for (label, _) in self.model.samples.values().flatten() {
            *left.entry(label).or_default() += 1;
        }
        let labels = self.model.samples.iter().map(|(id, labelled)| (id, labelled.as_ref().map(|(label, _)| label)));
        let unlabelled = labels.clone().filter(|(_, label)| label.is_none());
        let held = labels.filter(|(id, label)| label.is_some() && self.adapter.learned.get(id) == *label);
        let mut found = Vec::new();
        for (id, label) in unlabelled.chain(held.filter(|(id, _)| !is_audit(id))) {
            if let Some(left) = label.and_then(|label| left.get_mut(label)) {
                if *left <= MIN_CLASS {
                    continue;
                }
                *left -= 1;
            }
            let why = if label.is_some() { Why::Redundant } else { Why::Unlabelled };
            found.push(EvictionCandidate {
                id: *id,
                labels: label.map(|label| (TaskId::default(), label.clone())).into_iter().collect(),
                why,
            });
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
    pub(super) fn review(&mut self) {
        let item = |id: &SampleId, reason, label| ReviewItem {
            image: *id,
            path: String::new(),
            reason,
            suggestion: None,
            probability: None,
            label,
            neighbours: vec![],
        };
        let unlabelled = self.model.samples.iter().filter(|(_, labelled)| labelled.is_none()).take(3);
        let mut items: Vec<ReviewItem> = unlabelled.map(|(id, _)| item(id, ReviewReason::Diverse, None)).collect();
        let doubted = self.model.samples.iter().find_map(|(id, labelled)| Some((id, labelled.as_ref()?.0.clone())));
        items.extend(doubted.map(|(id, label)| item(id, ReviewReason::Suspicious, Some(label))));
        self.adapter_reports(
            3_000,
            Event::Adapter(AdapterEvent::ReviewListReady(TaskId::default(), Review { items, advice: None })),
        );
    }

    /// Finds an answer out. What was read again and is good waits to be taken.
    pub(super) fn answer_query(&mut self, job: u64, query: &Query) {
        if let Query::Forget(ids) = query {
            self.observed.forgetting.check_asked(ids);
            self.adapter.learned.retain(|id, _| !ids.contains(id));
            self.adapter.leaving.extend(ids);
            let file = serde_json::to_vec(&self.adapter.learned).expect("labels by identity are JSON");
            self.adapter.sent.clone_from(&file);
            let without =
                AdapterEvent::StatisticsWithout { job, ids: ids.clone(), files: vec![(TaskId::default(), file)] };
            return self.adapter_reports(1_000, Event::Adapter(without));
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

fn outcome(order: TrainingOrder, challenger: HeadRecord, against: Option<u64>, verdict: Verdict) -> Event {
    Event::Trainer(
        TaskId::default(),
        TrainerEvent::Finished(Box::new(TrainingOutcome {
            order,
            challenger,
            champion: None,
            against,
            verdict,
            changes: vec![],
            suspicious_labels: 0,
            left_out: None,
        })),
    )
}
