//! The settings of the second phase, its result and its errors.

use super::quantised::BadLatents;
use crate::head::Tail;
use crate::train::{ClassWeights, Epoch, FitError, Fitted, Solver};
use crate::words::keywords;

keywords! {
    /// How much of a backbone is trained on.
    pub enum TailLayers {
        /// The last convolution.
        LastConv = "last_conv",
        /// The last convolution and the block before it.
        LastBlock = "last_block",
    }
}

keywords! {
    /// How the learning rate goes.
    pub enum Schedule {
        /// Down to zero along half a cosine.
        Cosine = "cosine",
        /// The same at every step.
        Constant = "constant",
    }
}

/// How to train on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TuneSettings {
    /// Which layers.
    pub layers: TailLayers,
    /// Learning rate of Adam, 0 or more.
    pub learning_rate: f64,
    /// How it goes.
    pub schedule: Schedule,
    /// Views of a picture that are drawn from, 1 or more; a picture that has fewer is trained with those.
    pub views: usize,
    /// Passes over the samples, 1 or more; `None` for as many as make [`STEPS`](Self::STEPS) steps.
    pub epochs: Option<usize>,
    /// Samples in a batch, 1 or more.
    pub batch: usize,
    /// Folds of the cross-validation, 2 or more; fewer are used when no class has as many groups.
    pub folds: usize,
    /// How the first phase was fitted, for the layers that folds start from.
    pub first: Solver,
    /// Whether rare classes count more.
    pub class_weights: ClassWeights,
    /// Of folds, shuffles and views.
    pub seed: u64,
}

impl TuneSettings {
    /// Steps of a training whose epochs are not given.
    pub const STEPS: usize = 320;
}

impl Default for TuneSettings {
    fn default() -> Self {
        Self {
            layers: TailLayers::LastBlock,
            learning_rate: 1e-4,
            schedule: Schedule::Cosine,
            views: 6,
            epochs: None,
            batch: super::network::BATCH,
            folds: 3,
            first: Solver::Lbfgs,
            class_weights: ClassWeights::Balanced,
            seed: 0,
        }
    }
}

/// The result of the second phase.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    /// The layers of the backbone, trained on all samples.
    pub tail: Tail,
    /// The dense layer on their embeddings, and out-of-fold logits of fold models whose tail had not seen the group.
    pub fitted: Fitted,
    /// Each epoch of the model on everything, beside the same share of the folds' trainings.
    pub epochs: Vec<Epoch>,
}

/// Why there is no result; the head of the first phase stays.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TuneError {
    /// As of any training.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Other pictures, or another tensor.
    #[error(
        "cannot train the tail: {what} is {found}, expected {expected}; read the inner values again from one backbone"
    )]
    Shape {
        /// Which part.
        what: &'static str,
        /// What should be there.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// Of a picture.
    #[error(transparent)]
    Latents(#[from] BadLatents),
}
