//! The rule of model choice: of several candidates, the simplest that is not significantly worse than the best.
//!
//! A candidate is one value of a hyperparameter, or one kind of head. Candidates are compared by the log-loss of their
//! out-of-fold logits. One is worse than the best when the paired difference is larger than 1.96 of its standard errors
//! over groups, that is, when its 95 % interval is above zero: the one-standard-error rule (Breiman et al. 1984) with
//! a paired error. On a few hundred images the curve of the losses is flat and its minimum an accident.
//!
//! Temperature scaling makes probabilities as cautious as the model is uncertain: `T = argmin NLL(softmax(logits / T)) +
//! 2 (log T)^2` on out-of-fold logits, by golden section on log T in [-3, 3] (Guo et al. 2017, arXiv 1706.04599). It
//! changes no answer, only how sure the answer is. The second term is the prior log T ~ N(0, 0.5^2), T the maximum a
//! posteriori: where all of a few answers are right, the likelihood alone has no minimum. And twenty answers at most halve
//! T, whatever they say. (Decision 37.)

use std::collections::BTreeMap;

use ndarray::Array2;

use super::CvPlan;
use crate::train::softmax_loss::log_sum_exp;

/// Half the width of a 95 % interval in standard errors.
const Z95: f64 = 1.96;
/// `1 / (2 s^2)` of the prior of log T, s = 0.5.
const PRIOR: f64 = 2.0;
/// Bounds of log T.
const LOG_T: (f64, f64) = (-3.0, 3.0);
/// Answers that may halve T.
const HALVING: f64 = 20.0;
/// A path of candidates ends when this many in a row brought no smaller loss.
const PATIENCE: usize = 2;

/// One candidate, evaluated on all folds.
pub(crate) struct Evaluated {
    /// Out-of-fold logits (n, k), before temperature; -inf where there is no prediction.
    pub logits: Array2<f32>,
    /// The temperature at which it is compared: it makes logits of scores of any scale.
    pub temperature: f64,
    /// Weighted mean log-loss at that temperature.
    pub mean_loss: f64,
    /// Log-loss of each sample (n,); 0 where it cannot be scored.
    losses: Vec<f64>,
}

/// The candidate that was chosen.
pub(crate) struct Chosen {
    /// Its index among the candidates.
    pub index: usize,
    /// Its temperature.
    pub temperature: f64,
    /// Its out-of-fold logits (n, k) at that temperature.
    pub heldout: Array2<f32>,
}

impl Evaluated {
    /// Compared at temperature 1: `logits` of models that maximise the likelihood are calibrated as they are.
    pub fn untempered(plan: &CvPlan<'_>, logits: Array2<f32>) -> Self {
        let (losses, mean_loss) = log_losses(plan, &logits, 1.0);
        Self { logits, temperature: 1.0, mean_loss, losses }
    }

    /// Compared at the temperature that suits it best, as it would serve.
    pub fn tempered(plan: &CvPlan<'_>, logits: Array2<f32>) -> Self {
        let mut scorable = scorable_logits(plan, &logits);
        let scale = typical_size(&scorable);
        scorable.iter_mut().flat_map(|(row, _)| row).for_each(|logit| *logit /= scale);
        let temperature = scale * most_likely_temperature(&scorable, LOG_T.0);
        let (losses, mean_loss) = log_losses(plan, &logits, temperature);
        Self { logits, temperature, mean_loss, losses }
    }
}

/// The index of the smallest loss, the first of equals.
pub(crate) fn best(candidates: &[Evaluated]) -> usize {
    let by_loss = |a: &usize, b: &usize| candidates[*a].mean_loss.total_cmp(&candidates[*b].mean_loss);
    (0..candidates.len()).min_by(by_loss).unwrap_or(0)
}

/// Whether a path is to end: its last candidates brought no smaller loss.
pub(crate) fn no_longer_improves(candidates: &[Evaluated]) -> bool {
    candidates.len() > best(candidates) + PATIENCE
}

/// The index of the first of `candidates`, which come simplest first, that is not significantly worse than the best; 0
/// of none.
pub(crate) fn simplest_not_worse(plan: &CvPlan<'_>, candidates: &[Evaluated]) -> usize {
    let Some(best) = candidates.get(best(candidates)) else { return 0 };
    let is_worse = |candidate: &Evaluated| {
        candidate.mean_loss - best.mean_loss > Z95 * paired_standard_error(plan, candidate, best)
    };
    candidates.iter().position(|candidate| !is_worse(candidate)).unwrap_or(0)
}

/// That candidate with what it predicted; `None` of none.
pub(crate) fn choose(plan: &CvPlan<'_>, mut candidates: Vec<Evaluated>) -> Option<Chosen> {
    if candidates.is_empty() {
        return None;
    }
    let index = simplest_not_worse(plan, &candidates);
    let Evaluated { logits, temperature, .. } = candidates.swap_remove(index);
    Some(Chosen { index, temperature, heldout: logits.mapv(|logit| (f64::from(logit) / temperature) as f32) })
}

/// Standard error, over groups, of the difference between the mean losses of `a` and `b`.
pub(crate) fn paired_standard_error(plan: &CvPlan<'_>, a: &Evaluated, b: &Evaluated) -> f64 {
    let difference = a.mean_loss - b.mean_loss;
    let (mut by_group, mut weight) = (BTreeMap::new(), 0.0);
    for sample in plan.scorable_samples() {
        let residual = a.losses[sample] - b.losses[sample] - difference;
        *by_group.entry(plan.data.groups()[sample]).or_insert(0.0) += plan.all.weight[sample] * residual;
        weight += plan.all.weight[sample];
    }
    by_group.values().map(|sum: &f64| sum * sum).sum::<f64>().sqrt() / weight
}

/// Log-loss of each sample (n,) at `logits` (n, k) divided by `temperature`, 0 where it cannot be scored, and the
/// weighted mean of the others.
pub(crate) fn log_losses(plan: &CvPlan<'_>, logits: &Array2<f32>, temperature: f64) -> (Vec<f64>, f64) {
    let mut losses = vec![0.0; plan.data.n()];
    let (mut sum, mut weight) = (0.0, 0.0);
    for sample in plan.scorable_samples() {
        let row: Vec<f64> = logits.row(sample).iter().map(|logit| f64::from(*logit) / temperature).collect();
        losses[sample] = log_sum_exp(&row) - row[plan.data.y()[sample]];
        sum += plan.all.weight[sample] * losses[sample];
        weight += plan.all.weight[sample];
    }
    (losses, sum / weight)
}

/// The rows of `logits` (n, k) that can be scored, with their classes.
pub(crate) fn scorable_logits(plan: &CvPlan<'_>, logits: &Array2<f32>) -> Vec<(Vec<f64>, usize)> {
    let row = |sample: usize| logits.row(sample).iter().copied().map(f64::from).collect();
    plan.scorable_samples().map(|sample| (row(sample), plan.data.y()[sample])).collect()
}

/// Weighted mean cross-entropy of `logits` (n, k) on the samples that they were fitted on.
pub(crate) fn training_loss(plan: &CvPlan<'_>, logits: &Array2<f64>) -> f64 {
    let loss = |sample: usize| {
        let row = logits.row(sample).to_vec();
        plan.all.weight[sample] * (log_sum_exp(&row) - row[plan.data.y()[sample]])
    };
    (0..plan.data.n()).map(loss).sum()
}

/// Root mean square of logits about the mean of their row; 1 where that is zero.
///
/// In units of it the search for a temperature finds scores of any scale, and the prior expects logits of about 1.
fn typical_size(scorable: &[(Vec<f64>, usize)]) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for (row, _) in scorable {
        let known: Vec<f64> = row.iter().copied().filter(|logit| logit.is_finite()).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        sum += known.iter().map(|logit| (logit - mean).powi(2)).sum::<f64>();
        count += known.len();
    }
    let size = (sum / count as f64).sqrt();
    if size.is_finite() && size > 0.0 { size } else { 1.0 }
}

/// T for `scored`: the logits (k,) of n held-out samples with their classes; 1 when there are none, and never below
/// 2^(-n/20): logits of a strongly penalised head are small, and a few right answers would make them certain.
///
/// Samples whose own class has logit -inf carry no information about T and must be left out.
#[must_use]
pub fn fit_temperature(scored: &[(Vec<f64>, usize)]) -> f64 {
    most_likely_temperature(scored, LOG_T.0.max(-(scored.len() as f64) / HALVING * 2_f64.ln()))
}

/// The same, with log T from `low` on.
fn most_likely_temperature(scored: &[(Vec<f64>, usize)], low: f64) -> f64 {
    if scored.is_empty() {
        return 1.0;
    }
    let loss = |log_t: f64| -> f64 {
        let beta = (-log_t).exp();
        let nll = |(logits, y): &(Vec<f64>, usize)| {
            let scaled: Vec<f64> = logits.iter().map(|logit| beta * logit).collect();
            log_sum_exp(&scaled) - scaled[*y]
        };
        scored.iter().map(nll).sum::<f64>() + PRIOR * log_t * log_t
    };
    golden_section(low, LOG_T.1, loss).exp()
}

/// The minimum of a unimodal function on [low, high], to 1e-4.
fn golden_section(mut low: f64, mut high: f64, function: impl Fn(f64) -> f64) -> f64 {
    let ratio = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut a, mut b) = (high - ratio * (high - low), low + ratio * (high - low));
    let (mut at_a, mut at_b) = (function(a), function(b));
    while high - low > 1e-4 {
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - ratio * (high - low);
            at_a = function(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + ratio * (high - low);
            at_b = function(b);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn logits_made_too_sure_by_a_factor_get_that_factor_as_temperature() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for factor in [0.5, 1.0, 4.0] {
            let draw = |_| {
                let logits: Vec<f64> = (0..3).map(|_| 4.0 * rng.random::<f64>()).collect();
                let (mut left, total) = (rng.random::<f64>(), log_sum_exp(&logits));
                let y = logits.iter().position(|logit| {
                    left -= (logit - total).exp();
                    left < 0.0
                });
                (logits.iter().map(|logit| factor * logit).collect(), y.unwrap_or(2))
            };
            let scored: Vec<(Vec<f64>, usize)> = (0..20_000).map(draw).collect();
            let found = fit_temperature(&scored);
            assert!((found / factor - 1.0).abs() < 0.05, "factor {factor}: {found}");
        }
    }

    #[test]
    fn a_few_answers_that_are_all_right_are_no_reason_to_be_certain() {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            for k in [2, 4, 10] {
                // From hardly more likely than another class to certain.
                for sureness in [0.0, 0.3, 0.6, 0.9] {
                    let draw = |i: usize| {
                        let share = sureness + (0.999 - sureness) * rng.random::<f64>();
                        let p = (1.0 + share * (k - 1) as f64) / k as f64;
                        let mut logits = vec![((1.0 - p) / (k - 1) as f64).ln(); k];
                        logits[i % k] = p.ln();
                        (logits, i % k)
                    };
                    let found = fit_temperature(&(0..20).map(draw).collect::<Vec<_>>());
                    assert!(found >= 0.5, "seed {seed}, {k} classes, sureness {sureness}: {found}");
                }
            }
        }
    }

    #[test]
    fn classes_that_a_fold_did_not_know_do_no_harm() {
        assert!(
            fit_temperature(&[(vec![1.0, f64::NEG_INFINITY, 0.0], 0), (vec![0.0, f64::NEG_INFINITY, 0.5], 0)])
                .is_finite()
        );
        assert!((fit_temperature(&[]) - 1.0).abs() < 1e-12);
    }
}
