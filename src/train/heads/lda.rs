//! Linear discriminant analysis with a shrunken covariance: one system of linear equations, no iterations.
//!
//! `Sigma = (1 - eps) S / (N - K) + eps (tr / d) I`, `w_k = Sigma^-1 mu_k`, `b_k = -1/2 mu_k^T w_k + log pi_k`, on
//! standardised features, divided by the temperature that fits the folds best: with fewer images than features LDA is
//! far too confident. It assumes that the classes spread alike around their means, and in return needs few images.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};

use super::super::cv::CvPlan;
use super::{FittedHead, Layers, linear_logits};
use crate::head::TrainingFacts;
use crate::train::cv::model_choice::{Chosen, Evaluated, choose, training_loss};
use crate::train::{ClassStats, ClassWeights, FitError, Progress, Settings, Watch};

/// The shrinkages eps that are compared, the strongest first: on few images even half is often too little.
const SHRINKAGES: [f64; 7] = [0.9, 0.7, 0.5, 0.3, 0.1, 0.05, 0.01];
/// Used when nothing can be held out to choose by.
const DEFAULT_SHRINKAGE: f64 = 0.5;
/// Likewise; about what fits a few dozen images.
const DEFAULT_TEMPERATURE: f64 = 20.0;
/// Share of the time that the choice of the shrinkage takes.
const SELECTION: f64 = 0.95;

/// The head on everything, with out-of-fold logits at the shrinkage that it is made with.
pub(super) fn fit(plan: &CvPlan<'_>, settings: &Settings, watch: Watch<'_>) -> Result<FittedHead, FitError> {
    let x = &plan.features.matrix();
    let (width, k) = (plan.data.space().dim, plan.data.classes().len());
    let stats = stats_by_fold(plan, x);
    let uniform = settings.class_weights == ClassWeights::Balanced;
    let mut step = |fraction: f64| Progress { fraction, epoch: None }.report(watch);
    let folds = if plan.can_hold_out() { plan.training_sets.len() } else { 0 };
    let mut logits = vec![plan.no_logits(); if folds > 0 { SHRINKAGES.len() } else { 0 }];
    for fold in 0..folds {
        let others = stats.iter().enumerate().filter(|(other, _)| *other != fold).map(|(_, stats)| stats);
        let training = merged(others, x.ncols());
        for (place, (eps, logits)) in SHRINKAGES.iter().zip(&mut logits).enumerate() {
            let theta = discriminant(&training, k, width, *eps, uniform);
            plan.predict_held_out(fold, logits, |samples| linear_logits(&theta, &x.select(Axis(0), samples), k));
            let done = fold * SHRINKAGES.len() + place + 1;
            step(SELECTION * done as f64 / (folds * SHRINKAGES.len()) as f64)?;
        }
    }
    let candidates: Vec<Evaluated> = logits.into_iter().map(|logits| Evaluated::tempered(plan, logits)).collect();
    let lambda_path = SHRINKAGES.iter().zip(&candidates).map(|(eps, tried)| (*eps, tried.mean_loss)).collect();
    let (eps, temperature, heldout) = match choose(plan, candidates) {
        Some(Chosen { index, temperature, heldout }) => (SHRINKAGES[index], temperature, heldout),
        None => (DEFAULT_SHRINKAGE, DEFAULT_TEMPERATURE, plan.no_logits()),
    };
    let mut theta = discriminant(&merged(stats.iter(), x.ncols()), k, width, eps, uniform);
    for value in &mut theta {
        *value /= temperature;
    }
    step(1.0)?;
    let (weights, bias) = plan.features.unfold(&theta, k);
    let facts = TrainingFacts {
        kind: "lda".to_owned(),
        hyper: BTreeMap::from([("shrinkage".to_owned(), eps)]),
        solver: "cholesky".to_owned(),
        lambda_path,
        loss: training_loss(plan, &linear_logits(&theta, x, k)),
        iterations: 1,
        converged: true,
        ..TrainingFacts::default()
    };
    Ok(FittedHead { layers: Layers { hidden: None, weights, bias }, is_tempered: true, heldout, facts })
}

/// Statistics of each fold's features `x` (n, r), then of those in no fold; of everything where nothing is held out.
fn stats_by_fold(plan: &CvPlan<'_>, x: &Array2<f32>) -> Vec<ClassStats> {
    let of = |samples: Vec<usize>| {
        let y: Vec<usize> = samples.iter().map(|&sample| plan.data.y()[sample]).collect();
        let mut stats = ClassStats::new(x.ncols());
        stats.add_all(x.select(Axis(0), &samples).view(), &y);
        stats
    };
    if !plan.can_hold_out() {
        return vec![of((0..plan.data.n()).collect())];
    }
    let in_fold = |fold: usize| (0..plan.data.n()).filter(|&sample| plan.folds.of[sample] == fold).collect();
    (0..plan.training_sets.len()).map(in_fold).chain([plan.train_only().collect()]).map(of).collect()
}

fn merged<'a>(parts: impl Iterator<Item = &'a ClassStats>, width: usize) -> ClassStats {
    let mut whole = ClassStats::new(width);
    parts.for_each(|part| whole.merge(part));
    whole
}

/// W (k, r), then b (k,), -inf for a class without samples. `width` is that of the embedding: the trace is shared with
/// the directions that reduced features leave out.
fn discriminant(stats: &ClassStats, k: usize, width: usize, eps: f64, uniform: bool) -> Vec<f64> {
    let means = stats.means();
    let ridge = eps * stats.trace() / (width as f64 * (1.0 - eps));
    let solved = match stats.factor(ridge) {
        Ok(factor) => factor.solve(means.t().to_owned()) * (stats.degrees_of_freedom() / (1.0 - eps)),
        // With one sample a class, or none that differs from its mean, all directions are alike.
        Err(_) => means.t().to_owned(),
    };
    let count = |class: usize| stats.counts().get(class).map_or(0.0, |count| *count as f64);
    let total: f64 = (0..k).map(count).sum();
    let known = (0..k).filter(|&class| count(class) > 0.0).count() as f64;
    let mut theta = vec![0.0; k * (stats.dim() + 1)];
    let (weights, bias) = theta.split_at_mut(k * stats.dim());
    for class in 0..k {
        bias[class] = f64::NEG_INFINITY;
        if count(class) > 0.0 {
            let share = if uniform { 1.0 / known } else { count(class) / total };
            let column = solved.column(class);
            bias[class] = share.ln() - means.row(class).dot(&column) / 2.0;
            weights[class * stats.dim()..][..stats.dim()].iter_mut().zip(column).for_each(|(to, w)| *to = *w);
        }
    }
    theta
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Golden {
        lda: Vec<GoldenLda>,
    }

    #[derive(Deserialize)]
    struct GoldenLda {
        z: Vec<Vec<f32>>,
        y: Vec<usize>,
        eps: f64,
        coef: Vec<Vec<f64>>,
        intercept: Vec<f64>,
    }

    fn statistics(z: &[Vec<f32>], y: &[usize]) -> ClassStats {
        let mut stats = ClassStats::new(z[0].len());
        stats.add_all(Array2::from_shape_fn((z.len(), z[0].len()), |(i, j)| z[i][j]).view(), y);
        stats
    }

    #[test]
    fn coefficients_are_those_of_scikit_learn() {
        let golden: Golden = serde_json::from_str(include_str!("../../../tests/data/heads.json")).unwrap();
        assert_eq!(golden.lda.len(), 3);
        for GoldenLda { z, y, eps, coef, intercept } in golden.lda {
            let (n, d, k) = (y.len() as f64, z[0].len(), y.iter().max().unwrap() + 1);
            let theta = discriminant(&statistics(&z, &y), k, d, eps, false);
            // Its covariance is divided by N, this one by N - K.
            let scale = (n - k as f64) / n;
            let shares: Vec<f64> = (0..k).map(|class| y.iter().filter(|y| **y == class).count() as f64 / n).collect();
            // Of two classes it gives the difference of the rows.
            let row = |class: usize| -> Vec<f64> { theta[class * d..][..d].to_vec() };
            let linear = |class: usize| theta[k * d + class] - shares[class].ln();
            let found: Vec<(Vec<f64>, f64, f64)> = if k == 2 {
                let weights = row(1).iter().zip(row(0)).map(|(a, b)| a - b).collect();
                vec![(weights, linear(1) - linear(0), (shares[1] / shares[0]).ln())]
            } else {
                (0..k).map(|class| (row(class), linear(class), shares[class].ln())).collect()
            };
            for ((weights, bias, prior), (coef, intercept)) in found.iter().zip(coef.iter().zip(&intercept)) {
                let worst = weights.iter().zip(coef).map(|(a, b)| (a - b * scale).abs()).fold(0.0, f64::max);
                assert!(worst < 1e-8, "eps {eps}: {worst}");
                assert!((bias - (intercept - prior) * scale).abs() < 1e-8, "eps {eps}: {bias} {intercept}");
            }
        }
    }

    #[test]
    fn a_class_without_samples_is_never_chosen_and_one_sample_a_class_still_gives_a_head() {
        let z = vec![vec![1.0, 0.0], vec![0.0, 1.0]];
        let theta = discriminant(&statistics(&z, &[0, 2]), 3, 2, 0.5, true);
        let logits = linear_logits(&theta, &ndarray::array![[1.0, 0.0], [0.0, 1.0]], 3);
        assert!(logits.column(1).iter().all(|logit| *logit == f64::NEG_INFINITY));
        assert!(logits[[0, 0]] > logits[[0, 2]] && logits[[1, 2]] > logits[[1, 0]], "{logits}");
    }
}
