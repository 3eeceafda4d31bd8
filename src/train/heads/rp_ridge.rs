//! Ridge regression on a random projection: `h = relu(R x)`, `W = (G + lambda I)^-1 Q` (`RanPAC`, arXiv 2307.02251).
//!
//! A thousand random units see what no linear head can, and the fit is still one system of linear equations. The units
//! are standardised, and an intercept that is not penalised takes the classes' shares. Scores are near 0 and 1 and are
//! no logits; dividing them by the temperature that fits the folds best makes logits of them.

use std::collections::BTreeMap;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, Axis};

use super::super::cv::CvPlan;
use super::moments::{FoldMoments, Moments};
use super::{FittedHead, Layers, linear_logits};
use crate::head::{Hidden, TrainingFacts};
use crate::train::cv::model_choice::{Chosen, Evaluated, choose, no_longer_improves, training_loss};
use crate::train::fast::features::Features;
use crate::train::{Cholesky, FitError, L2, Progress, Settings, Watch};

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
/// Shares of the time that are over when the units are computed, and when the penalty is chosen.
const PROJECTED: f64 = 0.05;
const SELECTION: f64 = 0.95;

/// The head on everything, with out-of-fold logits at the penalty that it is fitted with.
pub(super) fn fit(plan: &CvPlan<'_>, settings: &Settings, watch: Watch<'_>) -> Result<FittedHead, FitError> {
    let mut step = |fraction: f64| Progress { fraction, epoch: None }.report(watch);
    let k = plan.data.classes().len();
    let hidden = projection(plan.data.x(), plan.data.parts(), settings.seed);
    // Of few samples it keeps the directions that they span, which gives the same head with less work.
    let outputs = hidden.units_of(plan.data.x());
    let units = Features::new(&outputs, &[outputs.ncols()], true);
    let x = units.matrix();
    step(PROJECTED)?;
    let moments = FoldMoments::new(plan, &x, |sample| plan.all.weight[sample]);
    let path: Vec<f64> = match settings.l2 {
        L2::Auto => (WEAKEST..=STRONGEST).rev().map(|power| 10_f64.powi(power)).collect(),
        L2::Fixed(lambda) => vec![lambda],
    };
    let folds = if plan.can_hold_out() { plan.training_sets.len() } else { 0 };
    let mut candidates: Vec<Evaluated> = Vec::new();
    for (place, &lambda) in path.iter().enumerate().take_while(|_| folds > 0) {
        let mut logits = plan.no_logits();
        for fold in 0..folds {
            let theta = ridge(&moments.outside(fold), lambda);
            plan.predict_held_out(fold, &mut logits, |samples| linear_logits(&theta, &x.select(Axis(0), samples), k));
            let done = place * folds + fold + 1;
            step(PROJECTED + (SELECTION - PROJECTED) * done as f64 / (path.len() * folds) as f64)?;
        }
        candidates.push(Evaluated::tempered(plan, logits));
        if no_longer_improves(&candidates) {
            break;
        }
    }
    let lambda_path = path.iter().zip(&candidates).map(|(lambda, tried)| (*lambda, tried.mean_loss)).collect();
    let (lambda, temperature, heldout) = match (choose(plan, candidates), settings.l2) {
        (Some(Chosen { index, temperature, heldout }), _) => (path[index], temperature, heldout),
        (None, L2::Fixed(lambda)) => (lambda, DEFAULT_TEMPERATURE, plan.no_logits()),
        (None, L2::Auto) => (DEFAULT_LAMBDA, DEFAULT_TEMPERATURE, plan.no_logits()),
    };
    let mut theta = ridge(&moments.all, lambda);
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
        lambda_path,
        loss: training_loss(plan, &linear_logits(&theta, &x, k)),
        iterations: 1,
        converged: true,
        ..TrainingFacts::default()
    };
    Ok(FittedHead { layers: Layers { hidden: Some(hidden), weights, bias }, is_tempered: true, heldout, facts })
}

/// Random units on standardised embeddings, for embeddings `z` (n, d) of these `parts` as they come.
fn projection(z: &Array2<f32>, parts: &[usize], seed: u64) -> Hidden {
    let scales = Features::new(z, parts, false);
    let single = |values: &Array1<f64>| values.mapv(|value| value as f32);
    Hidden::projection(seed, WIDTH, single(&scales.mean()), single(&scales.inverse()))
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
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        ridge: Vec<GoldenRidge>,
    }

    #[derive(Deserialize)]
    struct GoldenRidge {
        z: Vec<Vec<f32>>,
        y: Vec<usize>,
        weight: Vec<f64>,
        lambda: f64,
        coef: Vec<Vec<f64>>,
        intercept: Vec<f64>,
    }

    #[test]
    fn the_minimum_is_that_of_least_squares_by_numpy() {
        let golden: Golden = serde_json::from_str(include_str!("../../../tests/data/heads.json")).unwrap();
        assert_eq!(golden.ridge.len(), 3);
        for GoldenRidge { z, y, weight, lambda, coef, intercept } in golden.ridge {
            let x = Array2::from_shape_fn((z.len(), z[0].len()), |(i, j)| z[i][j]);
            let samples: Vec<usize> = (0..y.len()).collect();
            let moments = Moments::of_samples(&x, &y, intercept.len(), |sample| weight[sample], &samples);
            let theta = ridge(&moments, lambda);
            let expected: Vec<f64> = coef.into_iter().flatten().chain(intercept).collect();
            assert_eq!(theta.len(), expected.len());
            let worst = theta.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-8, "lambda {lambda}: {worst}");
        }
    }

    #[test]
    fn without_a_penalty_dependent_features_do_not_break_it() {
        let x = Array2::from_shape_fn((6, 4), |(i, j)| if j % 2 == 0 { i as f32 } else { (i % 2) as f32 });
        let moments = Moments::of_samples(&x, &[0, 1, 0, 1, 0, 1], 3, |_| 1.0 / 6.0, &[0, 1, 2, 3, 4, 5]);
        let theta = ridge(&moments, 0.0);
        assert!(theta[14].is_infinite() && theta[14] < 0.0);
        assert!(theta[..14].iter().all(|value| value.is_finite()));
        let scores = linear_logits(&theta, &x, 3);
        assert!((0..6).all(|i| (scores[[i, i % 2]] - 1.0).abs() < 1e-3), "{scores}");
    }
}
