//! The differences between two heads on the same samples, with their confidence bounds by paired, grouped bootstrap.

use super::super::statistics::{quantile, resample};
use super::{ABOVE_CHANCE, ABOVE_CHANCE_IN_DOUBT, PairedComparison, PairedPredictions, Rules};
use crate::eval::figures::{Tally, score_rows};
use crate::words::Label;

/// Held-out samples of a class below which its recall alone decides nothing.
const MIN_CLASS_SAMPLES: u64 = 20;
/// Right answers on a class that is not to be given up altogether, however few samples it has.
const MIN_FOUND: u64 = 3;

/// The differences, new minus old.
pub(super) struct Differences<'a> {
    pub classes: &'a [Label],
    /// Change in balanced accuracy over all classes, and its 5 % quantile.
    pub balanced: [f64; 2],
    /// The 95 % quantile of the same: the upper bound of its one-sided interval.
    pub upper_bound: f64,
    /// The balanced accuracy over all classes of the old and of the new head, each with its standard error.
    pub levels: [[f64; 2]; 2],
    /// Change in log-loss, and its 5 % and 95 % quantiles.
    pub log_loss: [f64; 3],
    /// By class: the 95 % quantile of the change in recall (k,).
    pub recall_upper_bounds: Vec<f64>,
    /// How much more often the new head gives the names that only it knows to images of those classes than to others,
    /// with its standard error.
    pub new_class_lift: [f64; 2],
    /// By class: right answers of the old and of the new head, and samples.
    pub right: Vec<(u64, u64, u64)>,
}

/// Balanced accuracy, new minus old, in one resample.
struct Change {
    all: f64,
    /// The old head's and the new head's own.
    levels: [f64; 2],
    /// Of each class's recall (k,).
    gains: Vec<f64>,
    /// The new head's mean recall of the classes that only it knows, less the share of other images called so.
    gained: f64,
}

impl<'a> Differences<'a> {
    pub fn compute(paired: &PairedComparison<'a>, rules: &Rules) -> Self {
        let PairedPredictions { classes, y, groups, old, new } = paired.all;
        let (old, new) = (score_rows(old, y), score_rows(new, y));
        let every: Vec<usize> = (0..classes.len()).collect();
        let (gained, known): (Vec<usize>, Vec<usize>) =
            every.iter().partition(|&&class| paired.gained.contains(&classes[class]));
        let change = |counts: &[u32]| {
            let (old, new) = (Tally::count(&old, counts, classes.len()), Tally::count(&new, counts, classes.len()));
            let levels = [&old, &new].map(|tally| tally.balanced_accuracy(&every));
            let gains = every.iter().map(|&c| new.balanced_accuracy(&[c]) - old.balanced_accuracy(&[c]));
            let gained = new.balanced_accuracy(&gained) - new.called(&known, &gained);
            Change { all: levels[1] - levels[0], levels, gains: gains.collect(), gained }
        };
        let once = vec![1; y.len()];
        let Change { all: balanced, levels, gained: above, .. } = change(&once);
        let many = resample(groups, rules.seed, change);
        let bound = |pick: &dyn Fn(&Change) -> f64, q| quantile(&many.iter().map(pick).collect::<Vec<f64>>(), q);
        let (old, new) = (Tally::count(&old, &once, classes.len()), Tally::count(&new, &once, classes.len()));
        Self {
            classes,
            balanced: [balanced, bound(&|change| change.all, 0.05)],
            upper_bound: bound(&|change| change.all, 0.95),
            levels: [0, 1].map(|head| {
                let resampled: Vec<f64> = many.iter().map(|change| change.levels[head]).collect();
                [levels[head], deviation(&resampled)]
            }),
            recall_upper_bounds: every.iter().map(|&c| bound(&|change| change.gains[c], 0.95)).collect(),
            new_class_lift: [above, deviation(&many.iter().map(|change| change.gained).collect::<Vec<_>>())],
            log_loss: log_loss(&paired.all, rules),
            right: every.iter().map(|&c| (old.confusion[c][c], new.confusion[c][c], old.support(c))).collect(),
        }
    }

    /// What is new, when something is, and how the rest does.
    pub fn new_class_summary(&self, gained: &[Label], on_shared: &Self) -> String {
        let of = |label: &Label| {
            let class = self.classes.iter().position(|class| class == label);
            let (right, n) = class.map_or((0, 0), |class| (self.right[class].1, self.right[class].2));
            format!("'{label}' is new ({right} of {n} right)")
        };
        let new = gained.iter().map(of).collect::<Vec<_>>().join(", ");
        let known = self.classes.len() - gained.len();
        format!("; {new}, the {known} classes that both know change by {:+.1} points", 100.0 * on_shared.balanced[0])
    }

    /// The figures of a challenger that may be guessing.
    pub fn near_chance(&self) -> Option<String> {
        let present = self.right.iter().filter(|right| right.2 > 0).count();
        let chance = 1.0 / present.max(1) as f64;
        let is_above = |[level, error]: [f64; 2], errors: f64| level - errors * error > chance;
        let [old, new] = self.levels;
        let errors = if is_above(old, ABOVE_CHANCE) { ABOVE_CHANCE } else { ABOVE_CHANCE_IN_DOUBT };
        (!is_above(new, errors)).then(|| {
            let [level, error, chance] = [new[0], new[1], chance].map(|share| 100.0 * share);
            format!("balanced accuracy {level:.1} % (standard error {error:.1}), chance {chance:.1} %")
        })
    }

    /// The class that loses most of those that lose more than `limit` of their recall by the one-sided 95 % bound:
    /// "8 of 31 on metal". On fewer samples than decide anything alone, only a class that is found no more counts.
    pub fn class_loss(&self, limit: f64) -> Option<String> {
        let share = |&(old, new, n): &(u64, u64, u64)| (old as f64 - new as f64) / n as f64;
        let gone = |&(old, new, _): &(u64, u64, u64)| new == 0 && old >= MIN_FOUND;
        let lost = self.right.iter().enumerate().filter(|(class, right)| {
            gone(right) || (right.2 >= MIN_CLASS_SAMPLES && self.recall_upper_bounds[*class] < -limit)
        });
        let (class, right) = lost.max_by(|a, b| share(a.1).total_cmp(&share(b.1)))?;
        let (old, new, n) = *right;
        Some(format!("{} of {n} on {}", old - new, self.classes[class]))
    }

    /// The class that gains most: "glass (+4.1 points)".
    pub fn best_gain(&self) -> Option<String> {
        let gains = self.right.iter().zip(self.classes).filter(|((old, new, _), _)| new > old);
        let gains = gains.map(|((old, new, n), class)| ((new - old) as f64 / *n as f64, class));
        let (gain, class) = gains.max_by(|a, b| a.0.total_cmp(&b.0))?;
        Some(format!("{class} ({:+.1} points)", 100.0 * gain))
    }
}

/// Standard deviation.
fn deviation(values: &[f64]) -> f64 {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// Change in log-loss, and its 5 % and 95 % quantiles.
fn log_loss(predictions: &PairedPredictions<'_>, rules: &Rules) -> [f64; 3] {
    let (old, new) = (score_rows(predictions.old, predictions.y), score_rows(predictions.new, predictions.y));
    let change = |counts: &[u32]| {
        let k = predictions.classes.len();
        Tally::count(&new, counts, k).summary().log_loss - Tally::count(&old, counts, k).summary().log_loss
    };
    let measured = change(&vec![1; predictions.y.len()]);
    let many = resample(predictions.groups, rules.seed, change);
    [measured, quantile(&many, 0.05), quantile(&many, 0.95)]
}
