//! A head together with everything that is known about it.

use serde::{Deserialize, Serialize};

use super::DenseHead;
use crate::words::{Digest, HeadRef, Label, SampleId, Timestamp};

/// A head, where it comes from and how good it was found to be; one safetensors file.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadRecord {
    /// Its names.
    pub head: HeadRef,
    /// When it was trained.
    pub created: Timestamp,
    /// The backbone that it was trained on.
    pub backbone: BackboneRef,
    /// The layer.
    pub dense: DenseHead,
    /// How it was fitted.
    pub training: TrainingFacts,
    /// How good it is; `None` with too little held out to say.
    pub figures: Option<Figures>,
    /// What models that had not seen a training sample's group said of it; empty in files from `train DIR`.
    pub heldout: HeldOut,
}

/// A backbone as reports name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackboneRef {
    /// The manifest's name.
    pub name: String,
    /// SHA-256 of the model file.
    pub sha256: Digest,
    /// Width of its embedding.
    pub dim: usize,
}

/// Out-of-fold logits of all training samples, before temperature: row i belongs to `ids[i]`.
///
/// They make a later comparison fair without setting labels aside: no model scored a group that it had seen.
/// `docs/decisions/0002-out-of-fold-gate.md` says why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeldOut {
    /// (n,)
    pub ids: Vec<SampleId>,
    /// (n, k), -inf where the sample's fold had no model that knew the class.
    pub logits: ndarray::Array2<f32>,
}

/// How a head was fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainingFacts {
    /// `lbfgs` or `adam`.
    pub solver: String,
    /// L2 penalty.
    pub lambda: f64,
    /// Mean cross-validated log-loss of each lambda tried, largest lambda first.
    pub lambda_path: Vec<(f64, f64)>,
    /// Value of the objective at the end.
    pub loss: f64,
    /// Iterations (L-BFGS) or epochs (Adam).
    pub iterations: usize,
    /// Whether the solver met its tolerance.
    pub converged: bool,
    /// Samples it was fitted on.
    pub n_train: usize,
    /// Seed of everything random in it.
    pub seed: u64,
    /// Seconds spent fitting, selection included.
    pub fit_seconds: f64,
}

/// What the figures were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvaluatedOn {
    /// Pictures named by `--test` or `evaluate`.
    Test,
    /// The held-out folds of the training pictures.
    HeldOut,
}

/// How good a head is. Intervals are 95 % grouped-bootstrap ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// On what.
    pub evaluated_on: EvaluatedOn,
    /// Samples measured on.
    pub n: usize,
    /// Share of right answers, 0..1.
    pub accuracy: f64,
    /// Its interval.
    pub accuracy_interval: [f64; 2],
    /// Mean recall over the classes that have samples here.
    pub balanced_accuracy: f64,
    /// Its interval.
    pub balanced_accuracy_interval: [f64; 2],
    /// Mean F1 over the classes that have samples here.
    pub macro_f1: f64,
    /// Its interval.
    pub macro_f1_interval: [f64; 2],
    /// Mean negative log-likelihood in nats, no probability taken below 1e-6.
    pub log_loss: f64,
    /// Its interval.
    pub log_loss_interval: [f64; 2],
    /// Expected calibration error, 15 bins of equal width.
    pub ece: f64,
    /// Its interval.
    pub ece_interval: [f64; 2],
    /// In class order.
    pub per_class: Vec<ClassFigures>,
    /// `confusion[i][j]` counts true class i predicted as j.
    pub confusion: Vec<Vec<u64>>,
}

/// One class's part of the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassFigures {
    /// The class.
    pub class: Label,
    /// Of those called it, the share that are it; 0 when none was.
    pub precision: f64,
    /// Of those that are it, the share called it; 0 when there is none.
    pub recall: f64,
    /// Harmonic mean of both.
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
}
