//! Linear discriminant analysis with a shrunken covariance: one set of linear equations, no iterations.
//!
//! `Sigma = (1 - eps) S / (N - K) + eps (tr / d) I`, `w_k = Sigma^-1 mu_k`, `b_k = -1/2 mu_k^T w_k + log pi_k`, on
//! standardised features, divided by the temperature that the folds ask for: with fewer images than features it is far
//! too sure of itself. It supposes that the classes spread alike around their means, and in return needs few images.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis};

use super::contest::{Tried, hold_out, no_logits, simplest, training_loss};
use super::fit::{Layers, Solved};
use super::plan::Plan;
use super::{ClassWeights, FitError, Lda, Progress, Settings};
use crate::head::TrainingFacts;

/// The shrinkages that are compared, the strongest first: on few images even half is often too little.
const SHRINKAGES: [f64; 7] = [0.9, 0.7, 0.5, 0.3, 0.1, 0.05, 0.01];
/// Used when nothing can be held out to choose by.
const DEFAULT: f64 = 0.5;
/// Likewise; about what a few dozen images ask for.
const DEFAULT_TEMPERATURE: f64 = 20.0;
/// Share of the time that selection takes.
const SELECTION: f64 = 0.95;

/// The head on everything, with out-of-fold logits at the shrinkage that it is made with.
pub(super) fn solve(
    plan: &Plan<'_>,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Solved, FitError> {
    let x = &plan.features.matrix();
    let (width, k) = (plan.data.space().dim, plan.data.classes().len());
    let folds = by_fold(plan);
    let uniform = settings.class_weights == ClassWeights::Balanced;
    let mut step = |fraction: f64| Progress { fraction, epoch: None }.tell(watch);
    let mut tried: Vec<Tried> = Vec::new();
    if plan.can_hold_out() {
        let mut all = vec![no_logits(plan); SHRINKAGES.len()];
        for fold in 0..plan.parts.len() {
            let rest =
                merged(folds.iter().enumerate().filter(|(other, _)| *other != fold).map(|(_, fold)| fold), x.ncols());
            for (place, (eps, logits)) in SHRINKAGES.iter().zip(&mut all).enumerate() {
                let theta = discriminant(&rest, k, width, *eps, uniform);
                hold_out(plan, fold, x, logits, |x| linear(&theta, &x, k));
                let done = fold * SHRINKAGES.len() + place + 1;
                step(SELECTION * done as f64 / (plan.parts.len() * SHRINKAGES.len()) as f64)?;
            }
        }
        tried = all.into_iter().map(|logits| Tried::new(plan, logits)).collect();
    }
    let chosen = simplest(plan, &tried);
    let (eps, temperature) =
        tried.get(chosen).map_or((DEFAULT, DEFAULT_TEMPERATURE), |best| (SHRINKAGES[chosen], best.temperature));
    let mut theta = discriminant(&merged(folds.iter(), x.ncols()), k, width, eps, uniform);
    for value in &mut theta {
        *value /= temperature;
    }
    step(1.0)?;
    let (weights, bias) = plan.features.unfold(&theta, k);
    let facts = TrainingFacts {
        kind: "lda".to_owned(),
        hyper: BTreeMap::from([("shrinkage".to_owned(), eps)]),
        solver: "cholesky".to_owned(),
        lambda_path: SHRINKAGES.iter().zip(&tried).map(|(eps, tried)| (*eps, tried.mean)).collect(),
        loss: training_loss(plan, &linear(&theta, x, k)),
        iterations: 1,
        converged: true,
        ..TrainingFacts::default()
    };
    let heldout = if tried.is_empty() { no_logits(plan) } else { tried.swap_remove(chosen).tempered() };
    Ok(Solved { layers: Layers { hidden: None, weights, bias }, heldout, facts })
}

/// Logits (n, k) of `x` (n, r) by `theta`, W (k, r), then b (k,).
pub(super) fn linear(theta: &[f64], x: &Array2<f32>, k: usize) -> Array2<f64> {
    let r = x.ncols();
    let weights = ArrayView2::from_shape((k, r), &theta[..k * r]).expect("theta has k * (r + 1) values");
    let mut out = Array2::from_shape_fn((x.nrows(), k), |(_, class)| theta[k * r + class]);
    general_mat_mul(1.0, &x.mapv(f64::from), &weights.t(), 1.0, &mut out);
    out
}

/// Statistics of each fold's features, then of those in no fold; of everything where nothing is held out.
fn by_fold(plan: &Plan<'_>) -> Vec<Lda> {
    let x = &plan.features.matrix();
    let of = |samples: Vec<usize>| {
        let y: Vec<usize> = samples.iter().map(|&sample| plan.data.y()[sample]).collect();
        let mut lda = Lda::new(x.ncols());
        lda.add_all(x.select(Axis(0), &samples).view(), &y);
        lda
    };
    if !plan.can_hold_out() {
        return vec![of((0..plan.data.n()).collect())];
    }
    let in_fold = |fold: usize| (0..plan.data.n()).filter(|&sample| plan.folds.of[sample] == fold).collect();
    (0..plan.parts.len()).map(in_fold).chain([plan.never_held_out().collect()]).map(of).collect()
}

fn merged<'a>(parts: impl Iterator<Item = &'a Lda>, width: usize) -> Lda {
    let mut whole = Lda::new(width);
    parts.for_each(|part| whole.merge(part));
    whole
}

/// W (k, r), then b (k,); of a class without samples -inf. `width` is that of the embedding, which has its share of the
/// trace in directions that features leave out.
fn discriminant(lda: &Lda, k: usize, width: usize, eps: f64, uniform: bool) -> Vec<f64> {
    let means = lda.means();
    let ridge = eps * lda.trace() / (width as f64 * (1.0 - eps));
    let solved = match lda.factor(ridge) {
        Ok(factor) => factor.solve(means.t().to_owned()) * (lda.freedom() / (1.0 - eps)),
        // With one sample a class, or none that differs from its mean, all directions are alike.
        Err(_) => means.t().to_owned(),
    };
    let count = |class: usize| lda.counts().get(class).map_or(0.0, |count| *count as f64);
    let total: f64 = (0..k).map(count).sum();
    let known = (0..k).filter(|&class| count(class) > 0.0).count() as f64;
    let mut theta = vec![0.0; k * (lda.dim() + 1)];
    let (weights, bias) = theta.split_at_mut(k * lda.dim());
    for class in 0..k {
        bias[class] = f64::NEG_INFINITY;
        if count(class) > 0.0 {
            let share = if uniform { 1.0 / known } else { count(class) / total };
            let column = solved.column(class);
            bias[class] = share.ln() - means.row(class).dot(&column) / 2.0;
            weights[class * lda.dim()..][..lda.dim()].iter_mut().zip(column).for_each(|(to, w)| *to = *w);
        }
    }
    theta
}

#[cfg(test)]
#[path = "discriminant_tests.rs"]
mod tests;
