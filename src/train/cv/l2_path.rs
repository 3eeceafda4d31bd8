//! Which L2 penalty: grouped, stratified cross-validation along a path of them.
//!
//! The choice is the strongest penalty whose log-loss is not significantly above the smallest one found: the 95 %
//! interval of the paired difference, by its standard error over groups, contains zero. On a few hundred images the
//! curve is flat and its minimum an accident; the stronger penalty is the steadier head.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ndarray::Array2;

use super::lbfgs::{Descent, Memory, Minimum, Stop};
use super::objective::{Objective, log_sum_exp};
use super::plan::Plan;
use super::together::descend;
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
/// Passes that a penalty takes about; for the progress alone.
pub(super) const USUAL_PASSES: f64 = 8.0;
/// Share of a loss that rounding of f32 products may hide.
pub(super) const NOISE: f64 = 1e-7;
/// Half the width of a 95 % interval in standard errors.
const Z95: f64 = 1.96;
/// Good enough to compare penalties by: a gradient of 1e-4, less below a penalty of 0.1, where the same gradient lies
/// farther from the minimum.
fn rough(lambda: f64) -> Stop {
    Stop { gradient: (1e-3 * lambda).clamp(1e-5, 1e-4), iterations: 200, noise: NOISE }
}

/// The chosen penalty and what led to it.
pub(super) struct Selection {
    pub lambda: f64,
    /// Each lambda tried with its mean log-loss.
    pub path: Vec<(f64, f64)>,
    /// Out-of-fold logits (n, k) at `lambda`; -inf where there is no answer.
    pub logits: Array2<f64>,
    /// The mean of the folds' models at `lambda`, where the fit on everything may start; zeros without folds.
    pub mean: Vec<f64>,
}

/// One lambda tried on all folds.
struct Tried {
    lambda: f64,
    logits: Array2<f64>,
    /// Log-loss of each sample (n,); 0 where it cannot be scored.
    losses: Vec<f64>,
    mean: f64,
    /// Mean of the folds' models.
    model: Vec<f64>,
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
    let parameters = plan.objective(&plan.whole, 0.0).parameters();
    if !plan.can_hold_out() {
        let lambda = if let L2::Fixed(lambda) = l2 { lambda } else { DEFAULT_LAMBDA };
        let logits = Array2::from_elem((plan.data.n(), plan.data.classes().len()), f64::NEG_INFINITY);
        return Ok(Selection { lambda, path: vec![], logits, mean: vec![0.0; parameters] });
    }
    let mut models: Vec<Model> = plan.parts.iter().map(|_| Model::new(parameters)).collect();
    let mut tried: Vec<Tried> = Vec::new();
    for (step, &lambda) in path.iter().enumerate() {
        let objectives: Vec<Objective<'_>> = plan.parts.iter().map(|part| plan.objective(part, lambda)).collect();
        let before = tried.last().map_or(lambda, |tried: &Tried| tried.lambda);
        let mut searches: Vec<Descent> = models.iter_mut().map(|model| model.search(lambda, before, plan)).collect();
        let mut passes = 0.0;
        descend(&plan.order, &plan.spectrum, &objectives, &mut searches, &mut || {
            passes += 1.0;
            let fraction = (step as f64 + passes / (passes + USUAL_PASSES)) / path.len() as f64;
            watch(Progress { fraction, epoch: None }).is_continue()
        })?;
        let mut logits = Array2::from_elem((plan.data.n(), plan.data.classes().len()), f64::NEG_INFINITY);
        let mut mean = vec![0.0; parameters];
        for (fold, (model, search)) in models.iter_mut().zip(searches).enumerate() {
            model.settle(search);
            keep_fold(plan, fold, &objectives[fold], &model.at, &mut logits);
            mean.iter_mut().zip(&model.at).for_each(|(mean, at)| *mean += at / plan.parts.len() as f64);
        }
        let (losses, loss) = losses(plan, &logits);
        tried.push(Tried { lambda, logits, losses, mean: loss, model: mean });
        if tried.len() > best(&tried) + PATIENCE {
            break;
        }
    }
    let path = tried.iter().map(|tried| (tried.lambda, tried.mean)).collect();
    let chosen = tried.swap_remove(choose(plan, &tried));
    Ok(Selection { lambda: chosen.lambda, path, logits: chosen.logits, mean: chosen.model })
}

/// A fold's model on its way along the path.
struct Model {
    at: Vec<f64>,
    /// By how much the last penalty but one moved it to the last; empty before there were two.
    moved: Vec<f64>,
    started: bool,
    memory: Memory,
}

impl Model {
    fn new(parameters: usize) -> Self {
        Self { at: vec![0.0; parameters], moved: vec![], started: false, memory: Memory::default() }
    }

    /// The search at the next penalty: from where the last two penalties point to, with the curvature seen so far.
    fn search(&mut self, lambda: f64, before: f64, plan: &Plan<'_>) -> Descent {
        let mut memory = std::mem::take(&mut self.memory);
        memory.bend(lambda - before, self.at.len() - plan.data.classes().len());
        let mut start = self.at.clone();
        start.iter_mut().zip(&self.moved).for_each(|(start, moved)| *start += moved);
        Descent::new(start, rough(lambda), memory)
    }

    fn settle(&mut self, search: Descent) {
        let (Minimum { at, .. }, memory) = search.finish();
        if self.started {
            self.moved = at.iter().zip(&self.at).map(|(new, old)| new - old).collect();
        }
        (self.at, self.memory, self.started) = (at, memory, true);
    }
}

/// Writes the answers of the model `theta` for the samples of `fold` that can be scored into `to` (n, k).
pub(super) fn keep_fold(plan: &Plan<'_>, fold: usize, objective: &Objective<'_>, theta: &[f64], to: &mut Array2<f64>) {
    let mine = |&sample: &usize| plan.folds.of[sample] == fold && plan.scorable[sample];
    let samples: Vec<usize> = (0..plan.data.n()).filter(mine).collect();
    for (row, &sample) in objective.logits(theta, &samples).rows().into_iter().zip(&samples) {
        to.row_mut(sample).assign(&row);
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
