//! Heads and their training: when to train, which head serves, and how right it is.
//!
//! A [`Model`] is that of one task, and knows of no other; what they share, the one training at a time, is in
//! [`Models`].

mod belief;
mod drift;
mod in_service;
mod live_accuracy;
mod models;
mod promotion;
mod registry;
mod schedule;
mod shadow;
mod state;
mod training;

use std::time::Duration;

use super::commands::Outcome;
use super::context::Cx;
use super::event::Scored;
use super::fact::LabelCounts;
use super::gauges::TaskGauges;
use super::settings::TaskSettings;
use super::snapshot::{HeadInfo, StoredTask};
use super::states::StateMachine;
use super::step::Query;
use super::write::Disbelieved;
use crate::wire::command::{self, Spec as _};
use crate::wire::{Answer, ErrorCode, HeadEntry, InfoHead, LiveFigures, TrainingPhase, Warning};
use crate::words::{HeadRef, Label, SampleId, TaskId, Timestamp};
pub use drift::DriftState;
use drift::Streams;
pub use live_accuracy::{LiveAccuracy, Measured};
pub(super) use models::Models;
pub use registry::{Registry, Rollback};
use schedule::Schedule;
pub use schedule::ScheduleSettings;
pub use shadow::Shadow;
use training::Progress;

/// The heads of one task.
#[derive(Debug)]
pub(super) struct Model {
    heads: Registry,
    schedule: Schedule,
    progress: Progress,
    live: LiveAccuracy,
    streams: Streams,
    /// What makes a state of the predictions, where the task has one.
    state: Option<StateMachine>,
    /// Whether the latest image is to be judged again.
    is_to_judge: bool,
    /// What a training could learn from, as the labels' machine posted.
    counts: LabelCounts,
    /// Whether files wait, as the files' machine posted, and since when without a pause.
    files_wait: bool,
    backlog_since: Option<Duration>,
    /// Whether samples were forgotten that a running training may have seen, or another backbone's head.
    saw_forgotten: SawForgotten,
    /// The version of the head on another backbone that is being prepared.
    preparing: Option<u64>,
}

/// What began before samples were forgotten.
#[derive(Debug, Default)]
struct SawForgotten {
    training: bool,
    backbone: bool,
}

impl Model {
    pub fn new(settings: &TaskSettings, stored: StoredTask) -> Self {
        let StoredTask { heads, training, live, state, .. } = stored;
        Self {
            heads: Registry::new(heads, settings.space).deleted_up_to(training.deleted_version.unwrap_or(0)),
            schedule: Schedule::new(settings.schedule.clone(), training),
            progress: Progress::default(),
            live,
            streams: Streams::default(),
            state: settings.state.clone().map(|settings| StateMachine::new(settings, state)),
            is_to_judge: false,
            counts: LabelCounts::default(),
            files_wait: false,
            backlog_since: None,
            saw_forgotten: SawForgotten::default(),
            preparing: None,
        }
    }

    /// As [`Models::may_come_back`].
    pub fn may_come_back(&mut self, version: u64) {
        self.heads.may_come_back(version);
    }

    /// The head in service.
    pub fn champion(&self) -> Option<&HeadInfo> {
        self.heads.champion()
    }

    /// Progress of the training in progress.
    pub fn phase(&self) -> TrainingPhase {
        self.progress.phase()
    }

    /// When the last training ended.
    pub fn last_train(&self) -> Option<Timestamp> {
        self.schedule.memory().last
    }

    /// Samples ever dropped to keep the store within its quota.
    pub fn evicted(&self) -> u64 {
        self.live.evicted
    }

    /// How right the head in service is on live images.
    pub fn live_figures(&self) -> LiveFigures {
        self.live.figures()
    }

    /// The head in shadow.
    pub fn shadow_head(&self) -> Option<HeadRef> {
        self.live.shadow.as_ref().map(|shadow| shadow.head.clone())
    }

    /// Labels that the last training left out and that neither changed nor were confirmed since.
    pub fn disbelieved(&self) -> Option<&Disbelieved> {
        self.schedule.memory().disbelieved.as_ref()
    }

    /// The alert of a drift that was found before a restart.
    pub fn drift_alert(&self) -> Option<Warning> {
        self.live.drift.as_ref().map(|drift| drift.warning.clone())
    }

    /// What figures say of it, but for its samples.
    pub fn gauges(&self) -> TaskGauges {
        TaskGauges {
            head: self.champion().map(|champion| champion.head.clone()),
            promoted_at: self.champion().and_then(|champion| champion.promoted_at),
            trained_at: self.last_train(),
            live: self.live_figures(),
            is_drifting: self.live.drift.is_some(),
            drift: self.nearness_to_alarm(),
            ..TaskGauges::default()
        }
    }

    /// Labels were set, removed or dropped.
    pub fn labels_counted(&mut self, counts: LabelCounts) {
        self.counts = counts;
    }

    /// Number of files that wait to be read.
    pub fn files_waiting(&mut self, waiting: usize) {
        self.files_wait = waiting > 0;
    }

    /// No head that came as an update is compared with the champion any more.
    pub fn compared(&mut self) {
        self.heads.release_version(registry::HeadOrigin::Update);
    }

    /// The head in service, as `info` shows it.
    fn info(&self) -> Option<InfoHead> {
        self.heads.champion().map(|champion| InfoHead {
            id: champion.head.id.clone(),
            version: champion.head.version,
            classes: champion.classes.clone(),
            accuracy: champion.accuracy,
        })
    }

    /// A new image was predicted.
    pub fn image_predicted(&mut self, cx: &mut Cx<'_>, id: SampleId, scored: &Scored) {
        self.watch_streams(cx, scored);
        self.shadowed(cx, id, scored);
    }

    /// A label was set or removed; `predicted` is the prediction for its image at arrival, and its head.
    pub fn label_set(&mut self, cx: &mut Cx<'_>, id: SampleId, label: Option<Label>, predicted: Option<(Label, u64)>) {
        self.schedule.labels_changed(1);
        self.label_changed_or_confirmed(cx, &id);
        self.write_training(cx);
        if let Some(label) = label {
            self.answered(cx, id, &label, predicted);
            self.label_after_drift(cx);
        }
        self.is_to_judge = true;
    }

    /// An image was excluded from what is learned, or taken back: where it has a label, a training would learn from
    /// something else than the last one.
    pub fn sample_excluded(&mut self, cx: &mut Cx<'_>, id: &SampleId, is_labelled: bool) {
        if !is_labelled {
            return;
        }
        self.schedule.exclusions_changed(1);
        self.label_changed_or_confirmed(cx, id);
        self.write_training(cx);
        self.is_to_judge = true;
    }

    /// A label that was given before counts from now on, since its image has an embedding that this task looks at.
    pub fn label_learnable(&mut self, cx: &mut Cx<'_>) {
        self.schedule.labels_changed(1);
        self.write_training(cx);
    }

    /// Samples were dropped to keep the store within its quota.
    pub fn samples_evicted(&mut self, cx: &mut Cx<'_>, count: u64) {
        self.live.evicted += count;
        self.write_live(cx);
    }

    /// Samples were forgotten, `labelled` of them with a label: what is being trained may have seen them, and is trained
    /// again without them.
    pub fn samples_forgotten(&mut self, cx: &mut Cx<'_>, labelled: u64) {
        self.saw_forgotten = SawForgotten { training: true, backbone: true };
        self.schedule.labels_changed(labelled);
        self.write_training(cx);
    }

    /// The heads that are kept.
    pub fn list_heads(&self) -> Answer {
        command::Heads::answer(&self.heads.all().iter().map(HeadEntry::from).collect::<Vec<_>>())
    }

    /// The backbone and the head in service as one ONNX file.
    pub fn export(&self, task: &TaskId) -> Outcome {
        let reason = "no head is in service; label images of two classes and train";
        let refused = || Outcome::Done(Answer::error(ErrorCode::NotPossible, reason));
        self.heads
            .champion()
            .map_or_else(refused, |champion| Outcome::Later(Query::Export(task.clone(), champion.head.clone())))
    }
}
