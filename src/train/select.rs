//! Which L2 penalty: grouped, stratified cross-validation along a path of them.
//!
//! The choice is the strongest penalty whose log-loss is not significantly above the smallest one found: the 95 %
//! interval of the paired difference, by its standard error over groups, contains zero. On a few hundred images the
//! curve is flat and its minimum an accident; the stronger penalty is the steadier head.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ndarray::Array2;

use super::lbfgs::{Minimum, Stop, minimise};
use super::objective::log_sum_exp;
use super::plan::Plan;
use super::{FitError, L2, Progress};

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
/// Used when nothing can be held out to choose by; what cross-validation chooses most often.
const DEFAULT_LAMBDA: f64 = 0.1;
/// The path ends when this many penalties in a row brought no smaller loss.
const PATIENCE: usize = 2;
/// Half the width of a 95 % interval in standard errors.
const Z95: f64 = 1.96;
/// Good enough to compare penalties by.
const ROUGH: Stop = Stop { gradient: 1e-4, iterations: 200 };

/// The chosen penalty and what led to it.
pub(super) struct Selection {
    pub lambda: f64,
    /// Each lambda tried with its mean log-loss.
    pub path: Vec<(f64, f64)>,
    /// Out-of-fold logits (n, k) at `lambda`; -inf where there is no answer.
    pub logits: Array2<f64>,
}

/// One lambda tried on all folds.
struct Tried {
    lambda: f64,
    logits: Array2<f64>,
    /// Log-loss of each sample (n,); 0 where it cannot be scored.
    losses: Vec<f64>,
    mean: f64,
}

/// Tries the path (or the one fixed penalty) and chooses; `watch` hears fractions of this part alone, 0..=1.
pub(super) fn select(
    plan: &Plan<'_>,
    l2: L2,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Selection, FitError> {
    let path = match l2 {
        L2::Auto => PATH.to_vec(),
        L2::Fixed(lambda) => vec![lambda],
    };
    if !plan.can_hold_out() {
        let lambda = if let L2::Fixed(lambda) = l2 { lambda } else { DEFAULT_LAMBDA };
        let logits = Array2::from_elem((plan.data.n(), plan.data.classes().len()), f64::NEG_INFINITY);
        return Ok(Selection { lambda, path: vec![], logits });
    }
    let parameters = plan.objective(&plan.whole, 0.0).parameters();
    let mut models = vec![vec![0.0; parameters]; plan.parts.len()];
    let mut tried: Vec<Tried> = Vec::new();
    for (step, &lambda) in path.iter().enumerate() {
        let mut logits = Array2::from_elem((plan.data.n(), plan.data.classes().len()), f64::NEG_INFINITY);
        for (fold, model) in models.iter_mut().enumerate() {
            let objective = plan.objective(&plan.parts[fold], lambda);
            let Minimum { at, .. } = minimise(std::mem::take(model), ROUGH, |t, g| objective.evaluate(t, g));
            keep_fold(plan, fold, &objective.logits(&at), &mut logits);
            *model = at;
            let done = step * plan.parts.len() + fold + 1;
            let fraction = done as f64 / (path.len() * plan.parts.len()) as f64;
            if watch(Progress { fraction, epoch: None }).is_break() {
                return Err(FitError::Cancelled);
            }
        }
        let (losses, mean) = losses(plan, &logits);
        tried.push(Tried { lambda, logits, losses, mean });
        if tried.len() > best(&tried) + PATIENCE {
            break;
        }
    }
    let path = tried.iter().map(|tried| (tried.lambda, tried.mean)).collect();
    let chosen = tried.swap_remove(choose(plan, &tried));
    Ok(Selection { lambda: chosen.lambda, path, logits: chosen.logits })
}

/// Copies the answers for the samples of `fold` that can be scored from `from` (n, k) into `to` (n, k).
pub(super) fn keep_fold(plan: &Plan<'_>, fold: usize, from: &Array2<f64>, to: &mut Array2<f64>) {
    for sample in (0..plan.data.n()).filter(|&sample| plan.folds.of[sample] == fold && plan.scorable[sample]) {
        to.row_mut(sample).assign(&from.row(sample));
    }
}

/// Log-loss of each sample that can be scored, and their weighted mean.
pub(super) fn losses(plan: &Plan<'_>, logits: &Array2<f64>) -> (Vec<f64>, f64) {
    let mut losses = vec![0.0; plan.data.n()];
    let (mut sum, mut weight) = (0.0, 0.0);
    for sample in (0..plan.data.n()).filter(|&sample| plan.scorable[sample]) {
        let row = logits.row(sample).to_vec();
        losses[sample] = log_sum_exp(&row) - row[plan.data.y()[sample]];
        sum += plan.whole.weight[sample] * losses[sample];
        weight += plan.whole.weight[sample];
    }
    (losses, sum / weight)
}

fn best(tried: &[Tried]) -> usize {
    (0..tried.len()).min_by(|&a, &b| tried[a].mean.total_cmp(&tried[b].mean)).unwrap_or(0)
}

/// The first (strongest) of `tried` that is not significantly worse than the best.
fn choose(plan: &Plan<'_>, tried: &[Tried]) -> usize {
    let best = &tried[best(tried)];
    let worse = |tried: &Tried| {
        let excess = tried.mean - best.mean;
        let (mut by_group, mut weight) = (BTreeMap::new(), 0.0);
        for sample in (0..plan.data.n()).filter(|&sample| plan.scorable[sample]) {
            let residual = tried.losses[sample] - best.losses[sample] - excess;
            *by_group.entry(plan.data.groups()[sample]).or_insert(0.0) += plan.whole.weight[sample] * residual;
            weight += plan.whole.weight[sample];
        }
        let error = by_group.values().map(|sum: &f64| sum * sum).sum::<f64>().sqrt() / weight;
        excess > Z95 * error
    };
    tried.iter().position(|tried| !worse(tried)).unwrap_or(0)
}
