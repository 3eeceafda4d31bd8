//! Progress and result of a training: `train/state`, `train/result`.

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload, is_zero};
use crate::head::{BackboneRef, Figures, TrainingFacts};
use crate::words::{HeadRef, Label, TaskId};

/// Phases of `train/state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TrainingPhase {
    /// No training runs.
    Idle,
    /// Labelled embeddings are read.
    Collecting,
    /// The challenger is fitted.
    Fitting,
    /// The last layers of the backbone are trained on with it.
    Tuning,
    /// Challenger and champion are compared.
    Evaluating,
    /// The challenger becomes champion.
    Promoting,
}

/// `train/state`: progress of a training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TrainState {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The task that it is about; left out where the configuration names no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "TaskId"))]
    pub task: Option<TaskId>,
    /// Its phase.
    pub phase: TrainingPhase,
    /// 0..1 over the whole training; 0 while idle.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub progress: f64,
    /// Why it runs, or how the last training ended.
    pub reason: String,
}

impl Payload for TrainState {
    const WHAT: &'static str = "a training's state";
}

/// `train/result`: the report of a training, and the gate's verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TrainResult {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The task that it is about; left out where the configuration names no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "TaskId"))]
    pub task: Option<TaskId>,
    /// Number of the training, as in the answer to `request/train`.
    pub training: u64,
    /// Why it ran: `schedule`, `12 new labels`, `request`.
    pub trigger: String,
    /// The challenger.
    pub head: HeadRef,
    /// The backbone that it was trained on.
    pub backbone: BackboneRef,
    /// The classes that it distinguishes, in class order.
    pub classes: Vec<Label>,
    /// How it was fitted: `solver`, `lambda`, `n_train`, `fit_seconds`, …
    #[serde(flatten)]
    pub facts: TrainingFacts,
    /// Whether the challenger serves now.
    pub promoted: bool,
    /// Whether it serves although too little was held out to measure it.
    pub provisional: bool,
    /// The gate's reason for programs: `better`, `worse`, `first`, …
    pub code: String,
    /// The gate's reason in words and numbers.
    pub reason: String,
    /// Change in balanced accuracy and its one-sided 5 % lower bound; null when it was not measured.
    pub change: Option<[f64; 2]>,
    /// The challenger's figures; null with too few held-out samples.
    pub challenger: Option<Figures>,
    /// The champion's, on the same samples; null without a champion.
    pub champion: Option<Figures>,
    /// How each class's recall changed since the previous head, and since the best head ever.
    #[serde(default)]
    pub forgetting: Vec<RecallChange>,
    /// Labels that contradict the out-of-fold predictions; the worst of them are on `review`.
    #[serde(default)]
    pub suspicious_labels: u64,
    /// New labels that were left out of this training; absent when none was.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disbelieved_labels: u64,
    /// Of a training with a second phase; absent otherwise.
    #[serde(flatten)]
    pub second: Option<SecondPhase>,
}

/// The second phase of a training, beside the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SecondPhase {
    /// The last one that was run: 2.
    pub phase: u8,
    /// Of the second, on the training images.
    pub epochs: Vec<EpochFigures>,
    /// The first and the second, on the same held-out images; empty where nothing could be measured.
    pub phases: Vec<PhaseFigures>,
    /// Whether the challenger is the head of the second.
    pub tuned: bool,
    /// Why, or why not.
    pub tune_reason: String,
}

impl SecondPhase {
    /// Of one that was not run, for this reason.
    #[must_use]
    pub fn not_run(reason: String) -> Self {
        Self { phase: 2, epochs: Vec::new(), phases: Vec::new(), tuned: false, tune_reason: reason }
    }
}

/// One epoch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EpochFigures {
    /// Mean cross-entropy in nats.
    pub loss: f64,
    /// Share of right answers, 0..=1.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub accuracy: f64,
}

/// How good a phase's head is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PhaseFigures {
    /// 1 or 2.
    pub phase: u8,
    /// Seconds spent on it.
    #[cfg_attr(test, schemars(range(min = 0.0)))]
    pub fit_seconds: f64,
    /// On held-out images.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Payload for TrainResult {
    const WHAT: &'static str = "a training's result";
}

/// Recall of one class, before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RecallChange {
    /// The class.
    pub class: Label,
    /// Its samples on which both heads were evaluated.
    pub support: u64,
    /// The challenger's recall on them.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub recall: f64,
    /// Its recall minus the previous head's on the same samples.
    #[cfg_attr(test, schemars(range(min = -1.0, max = 1.0)))]
    pub change: f64,
    /// The best recall on record, measured on the samples that were held out then.
    pub best: Option<BestRecall>,
    /// Recall minus the best on record.
    #[cfg_attr(test, schemars(range(min = -1.0, max = 1.0)))]
    pub under_best: Option<f64>,
    /// Whether the 95 % interval of `under_best` is below zero: a loss beyond chance.
    pub forgotten: bool,
}

/// The best recall that a class ever had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct BestRecall {
    /// Share of its held-out samples that were classified correctly, 0..=1.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub recall: f64,
    /// Number of those samples.
    pub support: u64,
    /// Version of the head.
    pub version: u64,
}
