//! Which of several ways to fit: the simplest that is as good as the best.
//!
//! Ways are compared by what their folds' models said of samples they had not seen, each at its own temperature, as it
//! would serve. A way is worse than the best when the 95 % interval of the paired difference in log-loss, by its
//! standard error over groups, lies above zero.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};

use super::objective::log_sum_exp;
use super::plan::Plan;
use super::select::losses;
use super::temperature;

/// Half the width of a 95 % interval in standard errors.
const Z95: f64 = 1.96;

/// One way, tried on all folds.
pub(super) struct Tried {
    /// Out-of-fold logits (n, k), before temperature; -inf where there is no answer.
    pub logits: Array2<f64>,
    /// The temperature that makes logits of them, however they are scaled; 1 where they are logits.
    pub temperature: f64,
    /// Mean log-loss at that temperature.
    pub mean: f64,
    /// Log-loss of each sample (n,); 0 where it cannot be scored.
    losses: Vec<f64>,
}

impl Tried {
    pub fn new(plan: &Plan<'_>, logits: Array2<f64>) -> Self {
        let scored = scored(plan, &logits);
        let spread = spread(&scored);
        let even: Vec<_> = scored.into_iter().map(|(row, y)| (row.iter().map(|l| l / spread).collect(), y)).collect();
        let temperature = spread * temperature::fit(&even);
        let (losses, mean) = losses(plan, &(&logits / temperature));
        Self { logits, temperature, mean, losses }
    }

    /// The logits at the temperature.
    pub fn tempered(self) -> Array2<f64> {
        self.logits / self.temperature
    }
}

/// Root mean square of logits about the mean of their row; 1 where that is nothing.
///
/// In units of it the search for a temperature finds scores of any scale, and still ends within bounds where every
/// answer is right and no temperature would be small enough.
fn spread(scored: &[(Vec<f64>, usize)]) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for (row, _) in scored {
        let known: Vec<f64> = row.iter().copied().filter(|logit| logit.is_finite()).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        sum += known.iter().map(|logit| (logit - mean).powi(2)).sum::<f64>();
        count += known.len();
    }
    let spread = (sum / count as f64).sqrt();
    if spread.is_finite() && spread > 0.0 { spread } else { 1.0 }
}

/// The out-of-fold logits that can be scored, with their classes.
pub(super) fn scored(plan: &Plan<'_>, logits: &Array2<f64>) -> Vec<(Vec<f64>, usize)> {
    let scorable = (0..plan.data.n()).filter(|&sample| plan.scorable[sample]);
    scorable.map(|sample| (logits.row(sample).to_vec(), plan.data.y()[sample])).collect()
}

/// Weighted mean cross-entropy of `logits` (n, k) on the samples that they were fitted on.
pub(super) fn training_loss(plan: &Plan<'_>, logits: &Array2<f64>) -> f64 {
    let loss = |sample: usize| {
        let row = logits.row(sample).to_vec();
        plan.whole.weight[sample] * (log_sum_exp(&row) - row[plan.data.y()[sample]])
    };
    (0..plan.data.n()).map(loss).sum()
}

/// Logits (n, k) of nothing yet.
pub(super) fn no_logits(plan: &Plan<'_>) -> Array2<f64> {
    Array2::from_elem((plan.data.n(), plan.data.classes().len()), f64::NEG_INFINITY)
}

/// Writes what `model` says of the samples held out from `fold`, given their rows of `x` (n, r), into `logits` (n, k).
pub(super) fn hold_out(
    plan: &Plan<'_>,
    fold: usize,
    x: &Array2<f32>,
    logits: &mut Array2<f64>,
    model: impl Fn(Array2<f32>) -> Array2<f64>,
) {
    let samples: Vec<usize> =
        (0..plan.data.n()).filter(|&sample| plan.folds.of[sample] == fold && plan.scorable[sample]).collect();
    let answers = model(x.select(Axis(0), &samples));
    for (sample, answer) in samples.into_iter().zip(answers.rows()) {
        logits.row_mut(sample).assign(&answer);
    }
}

/// The place of the smallest loss in `tried`, the first of equals.
pub(super) fn best(tried: &[Tried]) -> usize {
    (0..tried.len()).min_by(|&a, &b| tried[a].mean.total_cmp(&tried[b].mean)).unwrap_or(0)
}

/// The first of `tried`, simplest first, that is not significantly worse than the best; 0 of none.
pub(super) fn simplest(plan: &Plan<'_>, tried: &[Tried]) -> usize {
    let Some(best) = tried.get(best(tried)) else { return 0 };
    let worse = |tried: &Tried| tried.mean - best.mean > Z95 * error(plan, tried, best);
    tried.iter().position(|tried| !worse(tried)).unwrap_or(0)
}

/// Standard error, over groups, of the difference between the losses of `tried` and `other`.
pub(super) fn error(plan: &Plan<'_>, tried: &Tried, other: &Tried) -> f64 {
    let excess = tried.mean - other.mean;
    let (mut by_group, mut weight) = (BTreeMap::new(), 0.0);
    for sample in (0..plan.data.n()).filter(|&sample| plan.scorable[sample]) {
        let residual = tried.losses[sample] - other.losses[sample] - excess;
        *by_group.entry(plan.data.groups()[sample]).or_insert(0.0) += plan.whole.weight[sample] * residual;
        weight += plan.whole.weight[sample];
    }
    by_group.values().map(|sum: &f64| sum * sum).sum::<f64>().sqrt() / weight
}
