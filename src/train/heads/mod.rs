//! The kinds of head. Each chooses its hyperparameters on the folds of a plan and is then fitted on all samples.

mod auto;
mod lda;
mod mlp;
mod mlp_network;
mod moments;
mod rp_ridge;
mod softmax;
mod softmax_adam;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2};

use crate::head::{Hidden, TrainingFacts};
use crate::train::cv::folds::CvPlan;
use crate::train::{FitError, HeadKind, Settings, Watch};

/// A fitted head, before its temperature.
pub(crate) struct FittedHead {
    pub layers: Layers,
    /// Out-of-fold logits (n, k); -inf where nothing could be held out or the fold did not know the class.
    pub heldout: Array2<f64>,
    /// What the kind records of its fit.
    pub facts: TrainingFacts,
}

/// A head's layers, for embeddings as the backbone gives them.
pub(crate) struct Layers {
    /// In front of the last layer, where there is one.
    pub hidden: Option<Hidden>,
    /// W (k, d), or (k, h) behind a hidden layer of h units.
    pub weights: Array2<f32>,
    /// b (k,).
    pub bias: Array1<f32>,
}

/// Fits a head of `kind`, whatever `settings` say of the kind.
///
/// # Errors
/// [`FitError`] when `watch` ends the training or the numbers diverge.
pub(crate) fn fit_kind(
    plan: &CvPlan<'_>,
    kind: HeadKind,
    settings: &Settings,
    watch: Watch<'_>,
) -> Result<FittedHead, FitError> {
    match kind {
        HeadKind::Softmax => softmax::fit(plan, settings, watch),
        HeadKind::Lda => lda::fit(plan, settings, watch),
        HeadKind::RpRidge => rp_ridge::fit(plan, settings, watch),
        HeadKind::Mlp => mlp::fit(plan, settings, watch),
        HeadKind::Auto => auto::fit(plan, settings, watch),
    }
}

/// Logits (n, k) of features `x` (n, r) by `theta`: W (k, r) row by row, then b (k,).
fn linear_logits(theta: &[f64], x: &Array2<f32>, k: usize) -> Array2<f64> {
    let r = x.ncols();
    let weights = ArrayView2::from_shape((k, r), &theta[..k * r]).expect("theta has k * (r + 1) values");
    let mut out = Array2::from_shape_fn((x.nrows(), k), |(_, class)| theta[k * r + class]);
    general_mat_mul(1.0, &x.mapv(f64::from), &weights.t(), 1.0, &mut out);
    out
}
