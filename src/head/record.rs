//! A head together with everything that is known about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Calibration, DenseHead, Tail, Tuning};
use crate::words::{Digest, HeadRef, Label, Region, SampleId, Timestamp};

/// A head, where it comes from and how good it was found to be; one safetensors file.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadRecord {
    /// Its names.
    pub head: HeadRef,
    /// When it was trained.
    pub created: Timestamp,
    /// The backbone that it was trained on.
    pub backbone: BackboneRef,
    /// Where the manifest of that backbone was, unless it is a bundled one: a hint, the digests decide.
    pub manifest: Option<String>,
    /// What it looks at; `dense.space` is the backbone's [`within`](crate::words::EmbeddingSpace::within) it.
    pub region: Region,
    /// The layer.
    pub dense: DenseHead,
    /// Of a head with a second phase of training; `dense` reads the embeddings of its tail then.
    pub tuning: Option<Tuning>,
    /// The linear head of a fleet that trainings build on; this one does, or is it.
    pub prior: Option<DenseHead>,
    /// How it was fitted.
    pub training: TrainingFacts,
    /// How good it is; `None` with too little held out.
    pub figures: Option<Figures>,
    /// Logits of training samples by models that had not seen their group; empty in files from `train DIR`.
    pub heldout: HeldOut,
    /// Its prediction sets and its detector of unknown images.
    pub calibration: Calibration,
}

impl HeadRecord {
    /// `dense` by its own id, of whole pictures; nothing is known yet of its training, its figures and its calibration.
    #[must_use]
    pub fn new(dense: DenseHead, version: u64, created: Timestamp, backbone: BackboneRef) -> Self {
        Self {
            head: HeadRef { id: dense.id(), version },
            created,
            backbone,
            manifest: None,
            region: Region::WHOLE,
            dense,
            tuning: None,
            prior: None,
            training: TrainingFacts::default(),
            figures: None,
            heldout: HeldOut::default(),
            calibration: Calibration::default(),
        }
    }
}

impl HeadRecord {
    /// Its layer on the backbone's own embeddings: of a head with a second phase, that of the first.
    ///
    /// It answers where only those embeddings are at hand: which stored images are worth a label, which labels are doubtful.
    #[must_use]
    pub fn frozen(&self) -> &DenseHead {
        self.tuning.as_ref().map_or(&self.dense, |tuning| &tuning.first)
    }

    /// The tail of a head with a second phase.
    #[must_use]
    pub fn tail(&self) -> Option<&Tail> {
        self.tuning.as_ref().map(|tuning| &tuning.tail)
    }
}

/// A backbone as reports name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
/// They make a later comparison fair without a separate test set: no model scored a group that it had seen.
/// `docs/decisions/0002-out-of-fold-gate.md` says why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeldOut {
    /// (n,)
    pub ids: Vec<SampleId>,
    /// (n, k), -inf where the sample's fold had no model that knew the class.
    pub logits: ndarray::Array2<f32>,
}

/// How a head was fitted.
///
/// As text, `kind` is left out where it is softmax, and `candidates` and `hyper` where they are empty: the files of
/// softmax heads are the same as before there were other kinds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TrainingFacts {
    /// `softmax`, `mlp`, `lda` or `rp-ridge`; `ridge` of a fleet's statistics.
    #[serde(default = "softmax", skip_serializing_if = "is_softmax")]
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["softmax", "mlp", "lda", "rp-ridge", "ridge"])))]
    pub kind: String,
    /// Each kind that was tried where the kind was to be chosen, simplest first; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub candidates: Vec<Candidate>,
    /// What else the kind has chosen or been given: `shrinkage`, `width`, `hidden`, `dropout`, `epochs` and the like.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hyper: BTreeMap<String, f64>,
    /// `lbfgs` or `adam`; `cholesky` where the minimum is one of linear equations.
    #[cfg_attr(feature = "schema", schemars(extend("enum" = ["lbfgs", "adam", "cholesky"])))]
    pub solver: String,
    /// L2 penalty.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub lambda: f64,
    /// Mean cross-validated log-loss of each lambda tried, largest lambda first; of lda, of each shrinkage.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<[f64; 2]>"))]
    pub lambda_path: Vec<(f64, f64)>,
    /// Value of the objective at the end; of other kinds than softmax, the mean cross-entropy on the training samples.
    pub loss: f64,
    /// Iterations (L-BFGS) or epochs (Adam); 1 for linear equations.
    pub iterations: usize,
    /// Whether the solver met its tolerance.
    pub converged: bool,
    /// Samples it was fitted on.
    pub n_train: usize,
    /// Random seed in it.
    pub seed: u64,
    /// Seconds spent fitting, selection included.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub fit_seconds: f64,
}

/// A kind of head that was tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// As in [`TrainingFacts::kind`].
    pub kind: String,
    /// Mean cross-validated log-loss in nats, at the kind's own temperature.
    pub log_loss: f64,
    /// Standard error, over groups, of its difference from the smallest log-loss; 0 for the smallest itself.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub standard_error: f64,
}

/// The facts of a softmax head fitted on nothing yet.
impl Default for TrainingFacts {
    fn default() -> Self {
        Self {
            kind: softmax(),
            candidates: Vec::new(),
            hyper: BTreeMap::new(),
            solver: "lbfgs".to_owned(),
            lambda: 0.0,
            lambda_path: Vec::new(),
            loss: 0.0,
            iterations: 0,
            converged: false,
            n_train: 0,
            seed: 0,
            fit_seconds: 0.0,
        }
    }
}

fn softmax() -> String {
    "softmax".to_owned()
}

fn is_softmax(kind: &str) -> bool {
    kind == softmax()
}

/// What the figures were measured on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EvaluatedOn {
    /// Pictures named by `--test` or `evaluate`.
    Test,
    /// The held-out folds of the training pictures.
    HeldOut,
}

/// How good a head is. Intervals are 95 % grouped-bootstrap ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Figures {
    /// On what.
    pub evaluated_on: EvaluatedOn,
    /// Samples measured on.
    pub n: usize,
    /// Share of right answers, 0..1.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub accuracy: f64,
    /// Its interval.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0.0, max = 1.0))))]
    pub accuracy_interval: [f64; 2],
    /// Mean recall over the classes that have samples here.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub balanced_accuracy: f64,
    /// Its interval.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0.0, max = 1.0))))]
    pub balanced_accuracy_interval: [f64; 2],
    /// Mean F1 over the classes that have samples here.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub macro_f1: f64,
    /// Its interval.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0.0, max = 1.0))))]
    pub macro_f1_interval: [f64; 2],
    /// Mean negative log-likelihood in nats, no probability taken below 1e-6.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0)))]
    pub log_loss: f64,
    /// Its interval.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0.0))))]
    pub log_loss_interval: [f64; 2],
    /// Expected calibration error, 15 bins of equal width.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub ece: f64,
    /// Its interval.
    #[cfg_attr(feature = "schema", schemars(inner(range(min = 0.0, max = 1.0))))]
    pub ece_interval: [f64; 2],
    /// In class order.
    pub per_class: Vec<ClassFigures>,
    /// `confusion[i][j]` counts true class i predicted as j.
    pub confusion: Vec<Vec<u64>>,
}

/// One class's part of the figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClassFigures {
    /// The class.
    pub class: Label,
    /// Share of the predictions of this class that are right; 0 when there is none.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub precision: f64,
    /// Share of the samples of this class that are predicted as it; 0 when there is none.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub recall: f64,
    /// Harmonic mean of both.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
}
