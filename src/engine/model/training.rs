//! When a training begins and how it ends.

use std::time::Duration;

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::note::{Note, TrainingResult};
use super::super::settings::TuneWhen;
use super::super::step::TaskAct;
use super::super::write::Write;
use super::Model;
use super::registry::HeadOrigin;
use crate::wire::command::{Spec as _, Train, Tune};
use crate::wire::{Answer, ErrorCode, TaskTopic, TrainAccepted, TrainState, TrainingPhase};
use crate::words::Component;

/// How long the schedule waits for files on their way; a camera that never pauses is not waited for longer.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(30);

/// Progress of the training in progress.
#[derive(Debug)]
pub(super) struct Progress {
    phase: TrainingPhase,
    /// 0..1 over the whole training.
    share: f64,
    /// Why it was ordered.
    reason: String,
}

impl Default for Progress {
    fn default() -> Self {
        Self { phase: TrainingPhase::Idle, share: 0.0, reason: String::new() }
    }
}

impl Progress {
    pub fn phase(&self) -> TrainingPhase {
        self.phase
    }
}

impl Model {
    /// Time passed: orders a training when the schedule says so.
    pub fn order_when_due(&mut self, cx: &mut Cx<'_>) {
        if self.schedule_allows(cx) && self.schedule.look(cx.now, &cx.ages()) {
            self.write_training(cx);
        }
    }

    /// Whether a training of this task runs.
    pub fn trains(&self) -> bool {
        self.schedule.is_begun()
    }

    /// Whether a training is due, or was interrupted by a crash.
    pub fn waits_to_train(&self) -> bool {
        self.schedule.waits()
    }

    /// Whether a crash interrupted a training.
    pub fn is_interrupted(&self) -> bool {
        self.schedule.running().is_some()
    }

    /// Orders a training on request.
    pub fn train_on_request(&mut self, cx: &mut Cx<'_>) -> Answer {
        if let Err(reason) = self.trainable() {
            return Answer::error(ErrorCode::NotPossible, reason);
        }
        let order = self.schedule.request("request");
        self.write_training(cx);
        cx.post(Fact::TrainingDue);
        Train::answer(&TrainAccepted { training: order.id })
    }

    /// Orders a training with a second phase on request.
    pub fn tune_on_request(&mut self, cx: &mut Cx<'_>) -> Answer {
        if cx.task().tune == TuneWhen::Never {
            let reason = "training.tune.when is never; set it to manual or schedule";
            return Answer::error(ErrorCode::NotPossible, reason.to_owned());
        }
        if let Err(reason) = self.trainable() {
            return Answer::error(ErrorCode::NotPossible, reason);
        }
        let order = self.schedule.request_tuning("request");
        self.write_training(cx);
        cx.post(Fact::TrainingDue);
        Tune::answer(&TrainAccepted { training: order.id })
    }

    /// Whether the labels are enough to train a head; if not, why.
    pub fn trainable(&self) -> Result<(), String> {
        match (self.counts.classes, &self.counts.only) {
            (0, _) => Err("no image is labelled; label some in at least two classes".into()),
            (_, Some(only)) => {
                Err(format!("all {} labelled images are {only}; label some of another class", self.counts.labelled))
            }
            (_, None) => Ok(()),
        }
    }

    /// The schedule orders nothing that cannot be fitted, and waits for a backlog of files first: a folder of labelled
    /// images copied in at once makes one training on all of them, not one on the first ten.
    fn schedule_allows(&mut self, cx: &Cx<'_>) -> bool {
        if !self.files_wait {
            self.backlog_since = None;
        } else if self.backlog_since.is_none() {
            self.backlog_since = Some(cx.now.mono);
        }
        let patient = self.backlog_since.is_some_and(|since| cx.now.mono.saturating_sub(since) < BACKLOG_PATIENCE);
        !patient && self.trainable().is_ok()
    }

    /// Begins the training that is due, or was interrupted by a crash.
    pub fn begin_training(&mut self, cx: &mut Cx<'_>) {
        if let Some(order) = self.schedule.begin(cx.stamp()) {
            self.write_training(cx);
            self.saw_forgotten.training = false;
            let version = self.heads.reserve_version(HeadOrigin::Training);
            cx.task_act(TaskAct::Train { order, version });
            cx.post(Fact::TrainingRuns(true));
            self.training_progress(cx, TrainingPhase::Collecting, 0.0);
        }
    }

    /// The worker reports where it is.
    pub fn training_progress(&mut self, cx: &mut Cx<'_>, phase: TrainingPhase, share: f64) {
        let reason = self.schedule.running().map_or(String::new(), |order| order.reason.clone());
        self.progress = Progress { phase, share, reason };
        self.publish_train_state(cx);
    }

    /// Publishes where the training is.
    pub fn publish_train_state(&self, cx: &mut Cx<'_>) {
        let Progress { phase, share: progress, ref reason } = self.progress;
        cx.publish_of_task(TaskTopic::TrainState, |envelope, task| TrainState {
            envelope,
            task,
            phase,
            progress,
            reason: reason.clone(),
        });
    }

    /// The worker could not finish.
    pub fn training_failed(&mut self, cx: &mut Cx<'_>, reason: &str) {
        let id = self.schedule.running().map_or(0, |order| order.id);
        cx.note(Note::Training { task: cx.task_id(), result: TrainingResult::Failed });
        cx.error(Component::Train, format!("training {id} failed: {reason}"));
        self.end_training(cx);
    }

    /// There is a verdict: labels that the training saw no longer act as evidence.
    pub fn fold_in_labels(&mut self, cx: &mut Cx<'_>) {
        if let Some(before) = self.schedule.fold_in() {
            cx.task_act(TaskAct::FoldInLabels(before));
        }
    }

    /// The running training saw samples that were forgotten meanwhile: it is carried out again, without them.
    pub fn train_again(&mut self, cx: &mut Cx<'_>) {
        self.heads.release_version(HeadOrigin::Training);
        self.schedule.interrupted();
        cx.post(Fact::TrainingDue);
    }

    /// The running training ended, one way or the other.
    pub fn end_training(&mut self, cx: &mut Cx<'_>) {
        self.heads.release_version(HeadOrigin::Training);
        self.schedule.ended(cx.now);
        self.write_training(cx);
        cx.post(Fact::TrainingRuns(false));
        self.training_progress(cx, TrainingPhase::Idle, 0.0);
    }

    /// Makes the schedule's state durable.
    pub fn write_training(&self, cx: &mut Cx<'_>) {
        cx.write(Write::TrainingState { task: cx.task_id(), state: self.schedule.memory().clone() });
    }
}
