//! The settings of a training, its progress, its result and its errors.

use std::ops::ControlFlow;

use crate::head::{BackboneRef, Calibration, DenseHead, Figures, HeadRecord, HeldOut, TrainingFacts};
use crate::words::{Keyword, Timestamp, keywords};

/// How to train.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What the head is.
    pub kind: HeadKind,
    /// The method, of softmax heads.
    pub solver: Solver,
    /// The penalty.
    pub l2: L2,
    /// Whether rare classes count more.
    pub class_weights: ClassWeights,
    /// Of folds and shuffles.
    pub seed: u64,
    /// Folds of the cross-validation, 2 or more; fewer are used when no class has as many groups.
    pub folds: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kind: HeadKind::Softmax,
            solver: Solver::Lbfgs,
            l2: L2::Auto,
            class_weights: ClassWeights::Balanced,
            seed: 0,
            folds: 5,
        }
    }
}

keywords! {
    /// Kinds of head. They differ in what they can separate and in how many images they need; all have one interface.
    pub enum HeadKind {
        /// Softmax regression.
        Softmax = "softmax",
        /// A hidden layer and a softmax.
        ///
        /// Trained by Adam.
        Mlp = "mlp",
        /// Linear discriminant analysis.
        ///
        /// With a shrunken covariance.
        Lda = "lda",
        /// Ridge regression on a random projection.
        RpRidge = "rp-ridge",
        /// The simplest of these that is as good as the best.
        ///
        /// By cross-validated log-loss.
        Auto = "auto",
    }
}

impl HeadKind {
    /// Whether a training of this kind can build on a head of others ([`Dataset::building_on`](super::Dataset::building_on)).
    #[must_use]
    pub fn builds_on_a_head(self) -> bool {
        matches!(self, Self::Softmax | Self::Auto)
    }
}

/// Methods of fitting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Solver {
    /// L-BFGS to convergence.
    Lbfgs,
    /// Adam over shuffled batches, as deep-learning frameworks do it.
    Adam {
        /// Passes over the samples, 1 or more.
        epochs: usize,
        /// Samples in a batch, 1 or more.
        batch: usize,
        /// Learning rate, above zero.
        lr: f64,
    },
}

impl Solver {
    /// Epochs of Adam, as is usual in transfer learning.
    pub const EPOCHS: usize = 50;
    /// Batch size of Adam, as is usual in transfer learning.
    pub const BATCH: usize = 32;
    /// Learning rate of Adam, as is usual in transfer learning.
    pub const LEARNING_RATE: f64 = 1e-3;
    /// Adam with its usual numbers.
    pub const ADAM: Self = Self::Adam { epochs: Self::EPOCHS, batch: Self::BATCH, lr: Self::LEARNING_RATE };
}

impl Keyword for Solver {
    const ALL: &'static [Self] = &[Self::Lbfgs, Self::ADAM];
    const WORDS: &'static [&'static str] = &["lbfgs", "adam"];

    fn as_str(self) -> &'static str {
        match self {
            Self::Lbfgs => Self::WORDS[0],
            Self::Adam { .. } => Self::WORDS[1],
        }
    }

    fn about(self) -> &'static str {
        match self {
            Self::Lbfgs => "To the optimum, deterministic.",
            Self::Adam { .. } => "The classic recipe in epochs and batches.",
        }
    }
}

/// The L2 penalty: lambda in `mean loss + lambda/2 ||W||^2`, W on standardised features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum L2 {
    /// Chosen by cross-validation for L-BFGS and ridge regression; 0 for softmax by Adam.
    Auto,
    /// This one, 0 or more. Of an mlp it is the decay of weights; lda has none.
    Fixed(f64),
}

keywords! {
    /// How much a sample counts.
    pub enum ClassWeights {
        /// `min(10, n / (K n_y))`: every class alike, until it is ten times rarer than its share.
        Balanced = "balanced",
        /// Every sample alike.
        None = "none",
    }
}

/// What watches a training: it gets the progress after each pass over the samples, and may end the training.
pub type Watch<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// How far a training is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// 0..=1 over the whole training.
    pub fraction: f64,
    /// The epoch that just ended; Adam only.
    pub epoch: Option<Epoch>,
}

impl Progress {
    /// Reports it to `watch`; [`FitError::Cancelled`] when that ends the training.
    pub(crate) fn report(self, watch: Watch<'_>) -> Result<(), FitError> {
        match watch(self) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FitError::Cancelled),
        }
    }
}

/// One pass of Adam over the samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub number: usize,
    /// How many there will be.
    pub of: usize,
    /// Weighted mean cross-entropy on the training samples.
    pub loss: f64,
    /// Share of right answers on the training samples.
    pub accuracy: f64,
    /// The same two of the folds' models on the samples held out from them; `None` when nothing can be held out.
    pub heldout: Option<(f64, f64)>,
}

/// A training's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    /// The head, fitted on everything.
    pub dense: DenseHead,
    /// How; `fit_seconds` is 0, the caller has the clock.
    pub facts: TrainingFacts,
    /// Out-of-fold logits of every training sample, before temperature.
    pub heldout: HeldOut,
}

impl Fitted {
    /// The head as it is stored: fitted here, measured and calibrated elsewhere.
    #[must_use]
    pub fn into_record(
        self,
        version: u64,
        created: Timestamp,
        backbone: BackboneRef,
        figures: Option<Figures>,
        calibration: Calibration,
    ) -> HeadRecord {
        let Self { dense, facts, heldout } = self;
        HeadRecord {
            training: facts,
            figures,
            heldout,
            calibration,
            ..HeadRecord::new(dense, version, created, backbone)
        }
    }
}

/// Why there is no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FitError {
    /// `watch` ended it.
    #[error("training was cancelled; the head in service stays")]
    Cancelled,
    /// No feature varies by more than rounding.
    #[error(
        "cannot train: all {images} labelled images have the same embedding; are they one picture saved again, or is \
         the lens covered? remove them and label images that differ"
    )]
    SameEmbedding {
        /// So many.
        images: usize,
    },
    /// A setting out of range.
    #[error("cannot train with {what} {found}: it must be {expected}")]
    Setting {
        /// Which one.
        what: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        found: f64,
    },
    /// A parameter or a loss is not finite.
    #[error("training diverged in epoch {epoch} at learning rate {lr}: use a smaller one, usually 0.001")]
    Diverged {
        /// From 1.
        epoch: usize,
        /// The learning rate.
        lr: f64,
    },
}
