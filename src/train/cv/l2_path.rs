//! The L2 penalty of softmax regression, chosen by cross-validation along a path from strong to weak.
//!
//! All folds' models are fitted at one penalty after another, each starting at an extrapolation of the previous two
//! fits. The strongest penalty is the simplest candidate: it is chosen unless it is significantly worse than the best
//! ([`super::model_choice`]).

use ndarray::Array2;

use super::CvPlan;
use super::model_choice::{Evaluated, no_longer_improves, simplest_not_worse};
use crate::train::fast::batched::{fit_folds, predict};
use crate::train::lbfgs::{History, Lbfgs, Minimum, Stop};
use crate::train::softmax_loss::SoftmaxLoss;
use crate::train::{FitError, L2, Progress, Watch};

/// 10^1.5 down to 10^-3 in half decades: from "the classes' shares and little more" to almost none.
const PATH: [f64; 10] = [
    31.622_776_601_683_793,
    10.0,
    3.162_277_660_168_379_5,
    1.0,
    0.316_227_766_016_837_94,
    0.1,
    0.031_622_776_601_683_79,
    0.01,
    0.003_162_277_660_168_379_4,
    0.001,
];
/// Used when nothing can be held out; what cross-validation chooses most often.
const DEFAULT_LAMBDA: f64 = 0.1;
/// About the passes that the fits at one penalty take; for the progress alone.
pub(crate) const USUAL_PASSES: f64 = 8.0;
/// Share of a loss that rounding of f32 products may hide.
pub(crate) const NOISE: f64 = 1e-7;

/// The chosen penalty and what led to it.
pub(crate) struct ChosenL2 {
    pub lambda: f64,
    /// Each lambda tried with its mean log-loss.
    pub path: Vec<(f64, f64)>,
    /// Out-of-fold logits (n, k) at `lambda`; -inf where there is no prediction.
    pub heldout: Array2<f32>,
    /// The mean of the folds' models at `lambda`, a start for the fit on everything; zeros without folds.
    pub mean_model: Vec<f64>,
}

/// Fits the folds along the path (or at the one fixed penalty) and chooses; `watch` gets fractions of this part, 0..=1.
///
/// # Errors
/// [`FitError::Cancelled`] when `watch` ends the training.
pub(crate) fn choose_l2(plan: &CvPlan<'_>, l2: L2, watch: Watch<'_>) -> Result<ChosenL2, FitError> {
    let path = match l2 {
        L2::Auto => PATH.to_vec(),
        L2::Fixed(lambda) => vec![lambda],
    };
    let parameters = plan.loss(&plan.all, 0.0).parameters();
    if !plan.can_hold_out() {
        let lambda = if let L2::Fixed(lambda) = l2 { lambda } else { DEFAULT_LAMBDA };
        return Ok(ChosenL2 { lambda, path: vec![], heldout: plan.no_logits(), mean_model: vec![0.0; parameters] });
    }
    let mut models: Vec<FoldModel> = plan.training_sets.iter().map(|_| FoldModel::new(parameters)).collect();
    let (mut candidates, mut mean_models) = (Vec::<Evaluated>::new(), Vec::new());
    for (step, &lambda) in path.iter().enumerate() {
        let losses: Vec<SoftmaxLoss<'_>> = plan.training_sets.iter().map(|set| plan.loss(set, lambda)).collect();
        let previous = if step == 0 { lambda } else { path[step - 1] };
        let start = |model: &mut FoldModel| model.search(lambda, previous, losses[0].penalised());
        let mut searches: Vec<Lbfgs> = models.iter_mut().map(start).collect();
        let mut passes = 0.0;
        fit_folds(&plan.order, &plan.preconditioner, &losses, &mut searches, &mut || {
            passes += 1.0;
            let fraction = (step as f64 + passes / (passes + USUAL_PASSES)) / path.len() as f64;
            watch(Progress { fraction, epoch: None }).is_continue()
        })?;
        let mut logits = plan.no_logits();
        let mut mean = vec![0.0; parameters];
        for (fold, (model, search)) in models.iter_mut().zip(searches).enumerate() {
            model.finish(search);
            plan.predict_held_out(fold, &mut logits, |samples| predict(&losses[fold], &model.theta, samples));
            mean.iter_mut()
                .zip(&model.theta)
                .for_each(|(mean, theta)| *mean += theta / plan.training_sets.len() as f64);
        }
        candidates.push(Evaluated::untempered(plan, logits));
        mean_models.push(mean);
        if no_longer_improves(&candidates) {
            break;
        }
    }
    let chosen = simplest_not_worse(plan, &candidates);
    Ok(ChosenL2 {
        lambda: path[chosen],
        path: path.iter().zip(&candidates).map(|(lambda, candidate)| (*lambda, candidate.mean_loss)).collect(),
        heldout: candidates.swap_remove(chosen).logits,
        mean_model: mean_models.swap_remove(chosen),
    })
}

/// Close enough to the minimum to compare penalties: a gradient of 1e-4, less below a penalty of 0.1, where the same
/// gradient is farther from the minimum.
fn tolerance(lambda: f64) -> Stop {
    Stop { gradient: (1e-3 * lambda).clamp(1e-5, 1e-4), iterations: 200, noise: NOISE }
}

/// One fold's model on its way along the path.
struct FoldModel {
    theta: Vec<f64>,
    /// By how much the last step of the path moved it; empty before there were two fits.
    moved: Vec<f64>,
    is_fitted: bool,
    history: History,
}

impl FoldModel {
    fn new(parameters: usize) -> Self {
        Self { theta: vec![0.0; parameters], moved: vec![], is_fitted: false, history: History::default() }
    }

    /// The search at penalty `lambda`: from where the last two fits point to, with the curvature seen at `previous`.
    fn search(&mut self, lambda: f64, previous: f64, penalised: usize) -> Lbfgs {
        let mut history = std::mem::take(&mut self.history);
        history.shift_l2(lambda - previous, penalised);
        let mut start = self.theta.clone();
        start.iter_mut().zip(&self.moved).for_each(|(start, moved)| *start += moved);
        Lbfgs::new(start, tolerance(lambda), history)
    }

    fn finish(&mut self, search: Lbfgs) {
        let (Minimum { at, .. }, history) = search.into_result();
        if self.is_fitted {
            self.moved = at.iter().zip(&self.theta).map(|(new, old)| new - old).collect();
        }
        (self.theta, self.history, self.is_fitted) = (at, history, true);
    }
}
