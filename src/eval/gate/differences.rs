//! The differences between two heads on the same samples, with their confidence bounds by paired, grouped bootstrap.
//!
//! What was not seen ([`resample`]) speaks against whatever a bound is to show: for a lower bound it is what the new head
//! loses; for an upper bound, which is to show a loss, what did not change; and for log-loss the same images with both
//! heads exchanged.

use super::super::statistics::{Draw, quantile, resample};
use super::{ABOVE_CHANCE, ABOVE_CHANCE_IN_DOUBT, PairedComparison, PairedPredictions, Rules};
use crate::eval::figures::{Scored, Tally, best, score_rows, worst};
use crate::words::{Label, SampleId};

/// Held-out samples of a class below which its recall alone decides nothing.
const MIN_CLASS_SAMPLES: u64 = 20;
/// Right answers on a class that is not to be given up altogether, however few samples it has.
const MIN_FOUND: u64 = 3;
/// Places of the two ends of a resample: what was not seen is lost, or did not change.
const LOW: usize = 0;
const HIGH: usize = 1;

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
    /// By class: the 95 % quantile of the change in recall, resampled on the class alone (k,).
    pub recall_upper_bounds: Vec<f64>,
    /// How much more often the new head gives the names that only it knows to images of those classes than to others,
    /// with its standard error.
    pub new_class_lift: [f64; 2],
    /// By class: right answers of the old and of the new head, and samples.
    pub right: Vec<(u64, u64, u64)>,
    /// Samples that only the old head gets right.
    pub lost: usize,
}

/// Both heads' answers, and what they would be on images that were not seen.
struct Answers {
    /// The old head's and the new head's.
    heads: [Vec<Scored>; 2],
    /// The same where only the old head is right.
    losses: [Vec<Scored>; 2],
    /// The same where both are wrong.
    unchanged: [Vec<Scored>; 2],
}

impl Answers {
    fn new(predictions: &PairedPredictions<'_>) -> Self {
        let heads = [predictions.old, predictions.new].map(|p| score_rows(p, predictions.y));
        let (losses, unchanged) = ([best(&heads[0]), worst(&heads[1])], heads.each_ref().map(|head| worst(head)));
        Self { heads, losses, unchanged }
    }

    fn count(&self, counts: &[u32], classes: usize) -> [Tally; 2] {
        self.heads.each_ref().map(|answers| Tally::count(answers, counts, classes))
    }
}

/// Balanced accuracy, new minus old, in one resample.
struct Change {
    all: f64,
    /// The old head's and the new head's own.
    levels: [f64; 2],
    /// The new head's mean recall of the classes that only it knows, less the share of other images called so.
    gained: f64,
}

impl<'a> Differences<'a> {
    pub fn compute(paired: &PairedComparison<'a>, rules: &Rules) -> Self {
        let PairedPredictions { classes, y, groups, .. } = paired.all;
        let answers = Answers::new(&paired.all);
        let every: Vec<usize> = (0..classes.len()).collect();
        let (gained, known): (Vec<usize>, Vec<usize>) =
            every.iter().partition(|&&class| paired.gained.contains(&classes[class]));
        let change = |[old, new]: &[Tally; 2]| {
            let levels = [old, new].map(|tally| tally.balanced_accuracy(&every));
            let gained = new.balanced_accuracy(&gained) - new.called(&known, &gained);
            Change { all: levels[1] - levels[0], levels, gained }
        };
        let once = answers.count(&vec![1; y.len()], classes.len());
        let Change { all: balanced, levels, gained: above } = change(&once);
        let many: Vec<[Change; 2]> = resample(y, groups, rules.seed, |Draw { counts, unseen }| {
            let seen = answers.count(counts, classes.len());
            [&answers.losses, &answers.unchanged]
                .map(|answers| change(&[0, 1].map(|head: usize| seen[head].and(&answers[head], unseen))))
        });
        let resampled = |end: usize, pick: &dyn Fn(&Change) -> f64| -> Vec<f64> {
            many.iter().map(|ends| pick(&ends[end])).collect()
        };
        let [old, new] = &once;
        Self {
            classes,
            balanced: [balanced, quantile(&resampled(LOW, &|change| change.all), 0.05)],
            upper_bound: quantile(&resampled(HIGH, &|change| change.all), 0.95),
            levels: [(0, HIGH), (1, LOW)]
                .map(|(head, end)| [levels[head], deviation(&resampled(end, &|change| change.levels[head]))]),
            recall_upper_bounds: every
                .iter()
                .map(|&class| recall_upper_bound(&answers, groups, class, rules))
                .collect(),
            new_class_lift: [above, deviation(&resampled(LOW, &|change| change.gained))],
            log_loss: log_loss(&answers.heads, &paired.all, rules),
            right: every.iter().map(|&c| (old.confusion[c][c], new.confusion[c][c], old.support(c))).collect(),
            lost: lost(&answers.heads),
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

/// Images that the old of two heads gets right and the new one does not.
fn lost([old, new]: &[Vec<Scored>; 2]) -> usize {
    let right = |answer: &Scored| answer.predicted == answer.truth;
    old.iter().zip(new).filter(|(old, new)| right(old) && !right(new)).count()
}

/// The 95 % quantile of the change in recall of `class`; 1 where it has too few samples to decide anything.
fn recall_upper_bound(answers: &Answers, groups: &[SampleId], class: usize, rules: &Rules) -> f64 {
    let [old, new] = &answers.heads;
    let samples: Vec<usize> = (0..groups.len()).filter(|&sample| old[sample].truth == class).collect();
    if (samples.len() as u64) < MIN_CLASS_SAMPLES {
        return 1.0;
    }
    let right = |answer: &Scored| f64::from(u8::from(answer.predicted == answer.truth));
    let changes: Vec<f64> = samples.iter().map(|&sample| right(&new[sample]) - right(&old[sample])).collect();
    let groups: Vec<SampleId> = samples.iter().map(|&sample| groups[sample]).collect();
    let many = resample(&vec![class; samples.len()], &groups, rules.seed, |Draw { counts, unseen }| {
        let (mut sum, mut n) = (0.0, 0.0);
        for ((change, &count), &unchanged) in changes.iter().zip(*counts).zip(*unseen) {
            sum += f64::from(count) * change;
            n += f64::from(count + unchanged);
        }
        sum / n
    });
    quantile(&many, 0.95)
}

/// Change in log-loss of both `heads`, and its 5 % and 95 % quantiles.
fn log_loss([old, new]: &[Vec<Scored>; 2], predictions: &PairedPredictions<'_>, rules: &Rules) -> [f64; 3] {
    let changes: Vec<f64> = new.iter().zip(old).map(|(new, old)| new.loss - old.loss).collect();
    let measured = changes.iter().sum::<f64>() / changes.len() as f64;
    let many = resample(predictions.y, predictions.groups, rules.seed, |Draw { counts, unseen }| {
        let (mut sum, mut n) = (0.0, 0.0);
        for ((change, &count), &exchanged) in changes.iter().zip(*counts).zip(*unseen) {
            sum += (f64::from(count) - f64::from(exchanged)) * change;
            n += f64::from(count + exchanged);
        }
        sum / n
    });
    [measured, quantile(&many, 0.05), quantile(&many, 0.95)]
}
