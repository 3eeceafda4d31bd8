//! Ridge regression on a random projection: `h = relu(R x)`, `W = (G + lambda I)^-1 Q` (`RanPAC`, arXiv 2307.02251).
//!
//! A thousand random units see what no linear head can, and the fit is still one set of linear equations. The units are
//! standardised, and an intercept that is not penalised takes the classes' shares. Scores lie about 0 and 1 and are no
//! logits; the temperature that the folds ask for makes them some.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis};

use super::contest::{Tried, best, hold_out, no_logits, simplest, training_loss};
use super::discriminant::linear;
use super::features::Features;
use super::fit::{Layers, Solved};
use super::moments::{Folded, Moments};
use super::plan::Plan;
use super::{Cholesky, FitError, L2, Progress, Settings};
use crate::head::{Hidden, TrainingFacts};

/// Random units.
const WIDTH: usize = 1000;
/// Penalties are compared from ten to the power of this downwards. The units' correlation matrix has no eigenvalue
/// above their number, so that a stronger one changes nothing but the scale.
const STRONGEST: i32 = 4;
/// Down to ten to the power of this.
const WEAKEST: i32 = -8;
/// Used when nothing can be held out to choose by.
const DEFAULT_LAMBDA: f64 = 10.0;
/// Likewise.
const DEFAULT_TEMPERATURE: f64 = 0.1;
/// The path ends when this many penalties in a row brought no smaller loss.
const PATIENCE: usize = 2;
/// Share of the time that selection takes.
const SELECTION: f64 = 0.95;

/// The head on everything, with out-of-fold logits at the penalty that it is fitted with.
pub(super) fn solve(
    plan: &Plan<'_>,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Solved, FitError> {
    let mut step = |fraction: f64| Progress { fraction, epoch: None }.tell(watch);
    let (data, k) = (plan.data, plan.data.classes().len());
    let scales = Features::new(data.x(), false);
    let single = |values: &Array1<f64>| values.mapv(|value| value as f32);
    let hidden = Hidden::projection(settings.seed, WIDTH, single(&scales.mean()), single(&scales.inverse()));
    // Of few samples it keeps the directions that they span, which gives the same head with less work.
    let outputs = hidden.units_of(data.x());
    let units = Features::new(&outputs, true);
    let x = units.matrix();
    step(0.05)?;
    let folded = Folded::new(plan, &x, |sample| plan.whole.weight[sample]);
    let path: Vec<f64> = match settings.l2 {
        L2::Auto => (WEAKEST..=STRONGEST).rev().map(|power| 10_f64.powi(power)).collect(),
        L2::Fixed(lambda) => vec![lambda],
    };
    let mut tried: Vec<Tried> = Vec::new();
    let tries = if plan.can_hold_out() { path.len() } else { 0 };
    for (place, &lambda) in path.iter().take(tries).enumerate() {
        let mut logits = no_logits(plan);
        for fold in 0..plan.parts.len() {
            let theta = ridge(&folded.outside(fold), lambda);
            hold_out(plan, fold, &x, &mut logits, |x| linear(&theta, &x, k));
            let done = place * plan.parts.len() + fold + 1;
            step(0.05 + (SELECTION - 0.05) * done as f64 / (path.len() * plan.parts.len()) as f64)?;
        }
        tried.push(Tried::new(plan, logits));
        if tried.len() > best(&tried) + PATIENCE {
            break;
        }
    }
    let chosen = simplest(plan, &tried);
    let lambda = match settings.l2 {
        L2::Auto if tried.is_empty() => DEFAULT_LAMBDA,
        _ => path[chosen],
    };
    let mut theta = ridge(&folded.whole, lambda);
    let temperature = tried.get(chosen).map_or(DEFAULT_TEMPERATURE, |best| best.temperature);
    for value in &mut theta {
        *value /= temperature;
    }
    step(1.0)?;
    let (weights, bias) = units.unfold(&theta, k);
    let facts = TrainingFacts {
        kind: "rp-ridge".to_owned(),
        hyper: BTreeMap::from([("width".to_owned(), WIDTH as f64)]),
        solver: "cholesky".to_owned(),
        lambda,
        lambda_path: path.iter().zip(&tried).map(|(lambda, tried)| (*lambda, tried.mean)).collect(),
        loss: training_loss(plan, &linear(&theta, &x, k)),
        iterations: 1,
        converged: true,
        ..TrainingFacts::default()
    };
    let heldout = if tried.is_empty() { no_logits(plan) } else { tried.swap_remove(chosen).tempered() };
    Ok(Solved { layers: Layers { hidden: Some(hidden), weights, bias }, heldout, facts })
}

/// The minimum of `sum w ||W x + b - e_y||^2 / sum w + lambda ||W||^2`: W (k, r), then b (k,).
///
/// A class without samples has 0 and -inf.
fn ridge(moments: &Moments, lambda: f64) -> Vec<f64> {
    let total = moments.weight.sum();
    let mean = moments.sums.sum_axis(Axis(0)) / total;
    let shares = &moments.weight / total;
    let column = mean.view().insert_axis(Axis(1));
    let mut system = &moments.second / total;
    general_mat_mul(-1.0, &column, &column.t(), 1.0, &mut system);
    // A fold may lack a direction that the whole has; a penalty of next to nothing must not break on it.
    let floor = 1e-12 * system.diag().sum().max(1e-300);
    system.diag_mut().mapv_inplace(|value| value + lambda.max(floor));
    let mut right = moments.sums.t().to_owned() / total;
    general_mat_mul(-1.0, &column, &shares.view().insert_axis(Axis(0)), 1.0, &mut right);
    let weights = match Cholesky::of(system) {
        Ok(factor) => factor.solve(right),
        Err(_) => Array2::zeros(right.dim()),
    };
    let bias = |(class, &share): (usize, &f64)| {
        if share > 1e-12 { share - weights.column(class).dot(&mean) } else { f64::NEG_INFINITY }
    };
    weights.t().iter().copied().chain(shares.iter().enumerate().map(bias)).collect()
}

#[cfg(test)]
#[path = "rp_ridge_tests.rs"]
mod tests;
