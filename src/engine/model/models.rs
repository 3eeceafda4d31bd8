//! The heads of all tasks, and what they share: the device trains one head at a time.
//!
//! Of several trainings that are due, the one begins whose task was trained longest ago: a task that is labelled all the
//! time does not keep the others waiting.

use std::collections::BTreeMap;

use super::super::context::Cx;
use super::super::fact::{Fact, LabelCounts};
use super::super::settings::Settings;
use super::super::snapshot::StoredTask;
use super::super::step::Act;
use super::super::{SwapOrder, SwapPair, SwapResult};
use super::Model;
use crate::wire::command::{Burst, Command, Purge, Spec as _};
use crate::wire::{Info, InfoBackbone, InfoTask, TaskAlert, TaskHealth, Topic, TrainingPhase, Versions, Warning};
use crate::words::{HeadRef, TaskId, Timestamp};

/// The machine of heads.
#[derive(Debug)]
pub(in crate::engine) struct Models {
    by_task: BTreeMap<TaskId, Model>,
    /// The task whose numbers stand for the device where only one number is shown.
    first: TaskId,
    /// All tasks, the one first that was trained longest ago.
    turns: Vec<TaskId>,
    /// Whether a head that came as an update is compared with a champion, as the remote machine posted: neither the
    /// champion nor the versions of heads change meanwhile.
    is_comparing: bool,
}

impl Models {
    pub fn new(settings: &Settings, mut stored: BTreeMap<TaskId, StoredTask>) -> Self {
        let model = |task: &super::super::TaskSettings| {
            (task.id.clone(), Model::new(task, stored.remove(&task.id).unwrap_or_default()))
        };
        let first = settings.tasks.first().map_or_else(TaskId::default, |task| task.id.clone());
        let by_task: BTreeMap<TaskId, Model> = settings.tasks.iter().map(model).collect();
        let mut turns: Vec<TaskId> = settings.task_ids();
        turns.sort_by_key(|task| by_task.get(task).and_then(Model::last_train));
        Self { by_task, first, turns, is_comparing: false }
    }

    /// These heads come back if the backbone on trial has to go again: they stay.
    pub fn may_come_back(&mut self, former: impl Iterator<Item = (TaskId, u64)>) {
        for (task, version) in former {
            if let Some(model) = self.by_task.get_mut(&task) {
                model.may_come_back(version);
            }
        }
    }

    /// The heads of a task; `None` where the configuration names no such task.
    pub fn of(&mut self, task: &TaskId) -> Option<&mut Model> {
        self.by_task.get_mut(task)
    }

    /// The same, to be read.
    pub fn get(&self, task: &TaskId) -> Option<&Model> {
        self.by_task.get(task)
    }

    /// Those of the task that stands for the device.
    pub fn first(&self) -> &Model {
        self.by_task.get(&self.first).expect("there is a task, and the first one is one of them")
    }

    /// Each task with its heads.
    pub fn iter(&self) -> impl Iterator<Item = (&TaskId, &Model)> {
        self.by_task.iter()
    }

    /// Labels of a task were set, removed or dropped.
    pub fn labels_counted(&mut self, task: &TaskId, counts: LabelCounts) {
        if let Some(model) = self.by_task.get_mut(task) {
            model.labels_counted(counts);
        }
    }

    /// The heads in service.
    pub fn champions(&self) -> BTreeMap<TaskId, HeadRef> {
        let champion = |(task, model): (&TaskId, &Model)| Some((task.clone(), model.champion()?.head.clone()));
        self.by_task.iter().filter_map(champion).collect()
    }

    /// The engine starts; `stored` are the heads that served before.
    pub fn start(&mut self, cx: &mut Cx<'_>, stored: &BTreeMap<TaskId, HeadRef>) {
        for (task, model) in &mut self.by_task {
            let cx = &mut cx.of(task);
            model.start(cx, stored.get(task).map(|head| head.version));
            // What is published on connecting is what is stored.
            model.look_at_state(cx);
        }
    }

    /// Does something for each task.
    pub fn each(&mut self, cx: &mut Cx<'_>, mut act: impl FnMut(&mut Model, &mut Cx<'_>)) {
        for (task, model) in &mut self.by_task {
            act(model, &mut cx.of(task));
        }
    }

    /// Number of files that wait to be read.
    pub fn files_waiting(&mut self, waiting: usize) {
        self.by_task.values_mut().for_each(|model| model.files_waiting(waiting));
    }

    /// Whether a head that came as an update is being compared with a champion.
    pub fn comparing(&mut self, is_comparing: bool) {
        self.is_comparing = is_comparing;
        if !is_comparing {
            self.by_task.values_mut().for_each(Model::compared);
        }
    }

    /// Samples were dropped to keep the store within its quota.
    pub fn samples_evicted(&mut self, cx: &mut Cx<'_>, count: u64) {
        let first = self.first.clone();
        if let Some(model) = self.by_task.get_mut(&first) {
            model.samples_evicted(&mut cx.of(&first), count);
        }
    }

    /// Samples ever dropped to keep the store within its quota.
    pub fn evicted(&self) -> u64 {
        self.by_task.values().map(Model::evicted).sum()
    }

    /// Labels that the last trainings left out and that neither changed nor were confirmed since.
    pub fn disbelieved(&self) -> u64 {
        self.by_task.values().filter_map(Model::disbelieved).map(|disbelieved| disbelieved.count).sum()
    }

    /// When the last training ended.
    pub fn last_train(&self) -> Option<Timestamp> {
        self.by_task.values().filter_map(Model::last_train).max()
    }

    /// Progress of the training in progress.
    pub fn phase(&self) -> TrainingPhase {
        let running = self.by_task.values().map(Model::phase).find(|phase| *phase != TrainingPhase::Idle);
        running.unwrap_or(TrainingPhase::Idle)
    }

    /// The figures of each task in `health`, but for those of its samples.
    pub fn health(&self) -> impl Iterator<Item = (&TaskId, TaskHealth)> {
        self.by_task.iter().map(|(task, model)| {
            let disbelieved = model.disbelieved().map_or(0, |disbelieved| disbelieved.count);
            let (last_train, head) = (model.last_train(), model.champion().map(|champion| champion.head.clone()));
            let live = Some(model.live_figures()).filter(|live| live.prequential.n > 0);
            (task, TaskHealth { disbelieved, last_train, head, live, ..TaskHealth::default() })
        })
    }

    /// The alerts of drifts, and of labels that were left out, from before a restart.
    pub fn alerts(&self) -> impl Iterator<Item = (&TaskId, TaskAlert, Warning)> {
        self.by_task.iter().flat_map(|(task, model)| {
            let drift = model.drift_alert().map(|warning| (task, TaskAlert::Drift, warning));
            drift.into_iter().chain(model.labels_alert().map(|warning| (task, TaskAlert::Labels, warning)))
        })
    }

    /// Time passed: orders trainings where the schedules say so, and begins one that is due.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        self.each(cx, Model::order_when_due);
        self.begin_training(cx);
    }

    /// Begins a training that is due, or was interrupted by a crash, unless one runs.
    pub fn begin_training(&mut self, cx: &mut Cx<'_>) {
        if cx.is_stopping() || self.is_comparing || self.by_task.values().any(Model::trains) {
            return;
        }
        // One that a crash interrupted goes on before any other.
        let due = (0..self.turns.len()).filter_map(|place| {
            let model = self.by_task.get(&self.turns[place]).filter(|model| model.waits_to_train())?;
            Some((!model.is_interrupted(), place))
        });
        let Some((_, place)) = due.min() else { return };
        let task = self.turns.remove(place);
        self.turns.push(task.clone());
        let Some(model) = self.by_task.get_mut(&task) else { return };
        model.begin_training(&mut cx.of(&task));
    }

    /// Another backbone is to be prepared: its heads get the next versions.
    pub fn prepare_backbone(&mut self, cx: &mut Cx<'_>, mut order: Box<SwapOrder>) {
        let versions = self.by_task.iter_mut().map(|(task, model)| (task.clone(), model.prepare_backbone()));
        order.versions = versions.collect();
        cx.act(Act::PrepareBackbone(order));
    }

    /// Another backbone was compared with what serves, in each task. Training its heads takes long, and trainings of these
    /// go on meanwhile: where another head serves by now, it is compared with that one before anything is decided; where
    /// samples were forgotten meanwhile, it is trained without them. The heads of a backbone that passes become
    /// champions, to serve from the start that follows.
    pub fn backbone_compared(&mut self, cx: &mut Cx<'_>, mut result: SwapResult) {
        let gave_way = |pair: &SwapPair| self.get(&pair.task).is_some_and(|model| model.pair_gave_way(pair));
        if result.pairs.iter().any(gave_way) {
            return;
        }
        let is_outdated = |pair: &SwapPair| self.get(&pair.task).is_none_or(|model| model.pair_is_outdated(pair));
        let is_outdated = result.pairs.iter().any(is_outdated);
        self.by_task.values_mut().for_each(Model::backbone_judged);
        if is_outdated {
            return cx.post(Fact::BackboneOutdated);
        }
        if !result.is_accepted() {
            return cx.post(Fact::BackboneRefused(Box::new(result)));
        }
        let former = self.champions().into_iter().map(|(task, head)| (task, head.version)).collect();
        for pair in &mut result.pairs {
            if let (Some(model), Some(challenger)) = (self.by_task.get_mut(&pair.task), pair.challenger.take()) {
                model.take_over(&mut cx.of(&pair.task), challenger, &pair.verdict.reason);
            }
        }
        cx.post(Fact::BackboneAccepted { result: Box::new(result), former });
    }

    /// Publishes what runs here: versions, backbone, and the heads in service.
    pub fn publish_info(&self, cx: &mut Cx<'_>) {
        let Settings { onnxruntime, backbone, provider, configuration, names_tasks, .. } = cx.settings();
        let versions = Versions { edgetuned: env!("CARGO_PKG_VERSION").to_owned(), onnxruntime: onnxruntime.clone() };
        let backbone = InfoBackbone { backbone: backbone.clone(), provider: Some(provider.report.clone()) };
        let (configuration, names_tasks) = (configuration.clone(), *names_tasks);
        // Of several tasks only the default one stands for the device.
        let head = if names_tasks { self.get(&TaskId::default()) } else { Some(self.first()) };
        let head = head.and_then(Model::info);
        let tasks = cx.settings().task_ids();
        let tasks = tasks.iter().filter(|_| names_tasks).filter_map(|id| {
            let head = self.get(id)?.info();
            let classes = head.as_ref().map_or_else(Vec::new, |head| head.classes.clone());
            Some(InfoTask { id: id.clone(), head, classes })
        });
        let tasks = tasks.collect();
        // Without sources there is nothing to look at more closely, without tasks none to be told from those that are gone.
        let has_sources = !cx.settings().sources.is_empty();
        let is_of_use = |name: &&str| match *name {
            Burst::NAME => has_sources,
            Purge::NAME => names_tasks,
            _ => true,
        };
        let names = Command::NAMES.iter().copied().filter(is_of_use);
        let capabilities = names.chain(["update"]).map(str::to_owned).collect();
        cx.publish(Topic::Info, |envelope| Info {
            envelope,
            versions,
            backbone,
            head,
            tasks,
            capabilities,
            configuration,
        });
    }
}
