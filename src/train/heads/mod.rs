//! The kinds of head. Each chooses its hyperparameters on the folds of a plan and is then fitted on all samples.
//!
//! `auto` chooses the kind by cross-validation: the simplest that is not significantly worse than the best. Every kind is
//! fitted with its own hyperparameters chosen, and compared with the others by the log-loss of its out-of-fold logits at
//! its own temperature. Simple means few parameters and few ways to fail: softmax first, then lda, rp-ridge and mlp.

mod lda;
mod mlp;
mod mlp_network;
mod moments;
mod rp_ridge;
mod softmax;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2};

use super::cv::CvPlan;
use super::cv::model_choice::{Evaluated, best, paired_standard_error, simplest_not_worse};
use super::{FitError, HeadKind, Progress, Settings, Watch};
use crate::head::{Candidate, Hidden, TrainingFacts};

/// A fitted head, before its temperature.
pub(crate) struct FittedHead {
    pub layers: Layers,
    /// Whether layers and out-of-fold logits are at a temperature already.
    pub is_tempered: bool,
    /// Out-of-fold logits (n, k); -inf where nothing could be held out or the fold did not know the class.
    pub heldout: Array2<f32>,
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
        HeadKind::Auto => fit_auto(plan, settings, watch),
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

/// Kinds that are tried, simplest first.
const KINDS: [HeadKind; 4] = [HeadKind::Softmax, HeadKind::Lda, HeadKind::RpRidge, HeadKind::Mlp];
/// A hidden layer is tried from this many samples on; with fewer it learns them by heart.
const ENOUGH_FOR_MLP: usize = 200;

/// The head of the chosen kind, with all candidates among its facts; softmax when nothing can be held out, and for data that
/// build on a head, as the others know nothing of it.
fn fit_auto(plan: &CvPlan<'_>, settings: &Settings, watch: Watch<'_>) -> Result<FittedHead, FitError> {
    if !plan.can_hold_out() || plan.prior.is_some() {
        return fit_kind(plan, HeadKind::Softmax, settings, watch);
    }
    let enough = plan.data.n() >= ENOUGH_FOR_MLP;
    let kinds: Vec<HeadKind> = KINDS.into_iter().filter(|kind| enough || *kind != HeadKind::Mlp).collect();
    let (mut heads, mut evaluated) = (Vec::new(), Vec::new());
    for (place, kind) in kinds.iter().enumerate() {
        // Epochs of one kind among others would only confuse.
        let mut part = |progress: Progress| {
            watch(Progress { fraction: (place as f64 + progress.fraction) / kinds.len() as f64, epoch: None })
        };
        let mut head = fit_kind(plan, *kind, settings, &mut part)?;
        evaluated.push(Evaluated::tempered(plan, std::mem::take(&mut head.heldout)));
        heads.push(head);
    }
    let smallest_loss = &evaluated[best(&evaluated)];
    let candidate = |(kind, evaluated): (&HeadKind, &Evaluated)| Candidate {
        kind: kind.as_str().to_owned(),
        log_loss: evaluated.mean_loss,
        standard_error: paired_standard_error(plan, evaluated, smallest_loss),
    };
    let candidates = kinds.iter().zip(&evaluated).map(candidate).collect();
    let chosen = simplest_not_worse(plan, &evaluated);
    let mut head = heads.swap_remove(chosen);
    head.heldout = evaluated.swap_remove(chosen).logits;
    head.facts.candidates = candidates;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::train::{Dataset, fit};
    use crate::words::{Digest, EmbeddingSpace, Label, SampleId};

    /// Samples a class, and classes.
    const SHOTS: usize = 5;
    const CLASSES: usize = 4;
    /// Width of the embeddings.
    const D: usize = 64;
    /// The value that hardly varies, its deviation in the samples, and what it is in a picture.
    const QUIET: usize = D - 1;
    const DEVIATION: f32 = 1e-4;
    const AWAKE: f32 = 0.1;

    /// A picture of `class`: each class has values of its own, a little larger than the others'.
    fn picture(rng: &mut ChaCha8Rng, class: usize) -> Vec<f32> {
        let own = |i: usize| if i % CLASSES == class { 0.05 } else { 0.0 };
        let mut z: Vec<f32> = (0..D).map(|i| own(i) + 0.3 * rng.random::<f32>()).collect();
        z[QUIET] = DEVIATION * 3.4 * (rng.random::<f32>() - 0.5);
        z
    }

    #[test]
    fn a_value_that_hardly_varied_in_a_few_samples_moves_no_logit_by_much() {
        let mut worst = KINDS.map(|kind| (kind, 0.0_f32));
        for seed in 0..10 {
            let rng = &mut ChaCha8Rng::seed_from_u64(seed);
            let n = SHOTS * CLASSES;
            let y: Vec<usize> = (0..n).map(|i| i % CLASSES).collect();
            let x: Vec<f32> = y.iter().flat_map(|&class| picture(rng, class)).collect();
            let ids: Vec<SampleId> = (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect();
            let classes = (0..CLASSES).map(|class| Label::new(&format!("class {class}")).unwrap()).collect();
            let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
            let x = Array2::from_shape_vec((n, D), x).unwrap();
            let data = Dataset::new(space, x, y, classes, ids.clone(), ids).unwrap();
            let usual = picture(rng, 0);
            let mut awake = usual.clone();
            awake[QUIET] = AWAKE;
            for (kind, worst) in &mut worst {
                let settings = Settings { kind: *kind, ..Settings::default() };
                let dense = fit(&data, &settings, &mut |_| ControlFlow::Continue(())).unwrap().dense;
                let logits = |z: &[f32]| {
                    let mut out = vec![0.0; CLASSES];
                    dense.logits(z, &mut out).unwrap();
                    out.iter().map(|logit| logit / dense.temperature).collect::<Vec<f32>>()
                };
                let moved = logits(&usual).iter().zip(logits(&awake)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                *worst = worst.max(moved);
            }
        }
        assert!(worst.iter().all(|(_, moved)| *moved < 5.0), "seeds 0 to 9, the largest move of a logit: {worst:?}");
    }
}
