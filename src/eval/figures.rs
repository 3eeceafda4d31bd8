//! The figures of a head on samples it had not seen.

use ndarray::Array2;

use super::statistics::{quantile, resample};
use crate::head::{ClassFigures, EvaluatedOn, Figures};
use crate::words::{ClassSet, SampleId};

/// Bins of the calibration error.
const BINS: usize = 15;
/// No probability counts as smaller: one image that is surely wrong costs 13.8 nats, not infinity.
const FLOOR: f64 = 1e-6;

/// The figures of `probabilities` (n, k) against classes `y` (n,), with 95 % intervals from 1,000 resamples of
/// `groups` (n,); `None` when n is 0.
///
/// Ties go to the first class. Classes without samples have recall 0 in their own line and no part in the means over
/// classes. The calibration error is `sum_b n_b/n |accuracy_b - confidence_b|` over 15 bins of the top probability.
///
/// # Panics
/// When the lengths disagree.
#[must_use]
pub fn figures(
    probabilities: &Array2<f32>,
    y: &[usize],
    groups: &[SampleId],
    classes: &ClassSet,
    on: EvaluatedOn,
    seed: u64,
) -> Option<Figures> {
    assert!(probabilities.dim() == (y.len(), classes.len()) && groups.len() == y.len(), "one row a sample");
    if y.is_empty() {
        return None;
    }
    let answers = score_rows(probabilities, y);
    let once = vec![1; y.len()];
    let tally = Tally::count(&answers, &once, classes.len());
    let summary = tally.summary();
    let resampled = resample(groups, seed, |counts| Tally::count(&answers, counts, classes.len()).summary());
    let interval = |pick: fn(&Summary) -> f64| {
        let values: Vec<f64> = resampled.iter().map(pick).collect();
        [quantile(&values, 0.025), quantile(&values, 0.975)]
    };
    Some(Figures {
        evaluated_on: on,
        n: y.len(),
        accuracy: summary.accuracy,
        accuracy_interval: interval(|s| s.accuracy),
        balanced_accuracy: summary.balanced_accuracy,
        balanced_accuracy_interval: interval(|s| s.balanced_accuracy),
        macro_f1: summary.macro_f1,
        macro_f1_interval: interval(|s| s.macro_f1),
        log_loss: summary.log_loss,
        log_loss_interval: interval(|s| s.log_loss),
        ece: summary.ece,
        ece_interval: interval(|s| s.ece),
        per_class: (0..classes.len()).map(|class| tally.class(class, classes)).collect(),
        confusion: tally.confusion,
    })
}

/// The prediction for one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    /// The true class.
    pub truth: usize,
    /// The class of the largest probability.
    pub predicted: usize,
    /// Its probability.
    pub confidence: f64,
    /// Negative log of the true class's probability, floored.
    pub loss: f64,
}

/// One answer a row of `probabilities` (n, k).
pub(super) fn score_rows(probabilities: &Array2<f32>, y: &[usize]) -> Vec<Scored> {
    let answer = |(row, &truth): (ndarray::ArrayView1<'_, f32>, &usize)| {
        let predicted = (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
        let loss = -f64::from(row[truth]).max(FLOOR).ln();
        Scored { truth, predicted, confidence: f64::from(row[predicted]), loss }
    };
    probabilities.rows().into_iter().zip(y).map(answer).collect()
}

/// Answers counted, each as often as a resample drew it.
pub(super) struct Tally {
    /// `confusion[i][j]` counts class i called j.
    pub confusion: Vec<Vec<u64>>,
    n: f64,
    loss: f64,
    /// By bin: sum of (right - confidence).
    gaps: [f64; BINS],
}

/// The figures of one tally.
pub(super) struct Summary {
    pub accuracy: f64,
    pub balanced_accuracy: f64,
    pub macro_f1: f64,
    pub log_loss: f64,
    pub ece: f64,
}

impl Tally {
    /// Counts each of `answers` (n,) `counts` (n,) times.
    pub fn count(answers: &[Scored], counts: &[u32], classes: usize) -> Self {
        let mut tally = Self { confusion: vec![vec![0; classes]; classes], n: 0.0, loss: 0.0, gaps: [0.0; BINS] };
        for (answer, &count) in answers.iter().zip(counts) {
            let times = f64::from(count);
            tally.confusion[answer.truth][answer.predicted] += u64::from(count);
            tally.n += times;
            tally.loss += times * answer.loss;
            let right = f64::from(u8::from(answer.truth == answer.predicted));
            let bin = ((answer.confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            tally.gaps[bin] += times * (right - answer.confidence);
        }
        tally
    }

    /// The figures.
    pub fn summary(&self) -> Summary {
        let present: Vec<usize> = (0..self.confusion.len()).filter(|&class| self.support(class) > 0).collect();
        let mean = |figure: fn((f64, f64, f64)) -> f64| {
            present.iter().map(|&class| figure(self.rates(class))).sum::<f64>() / present.len() as f64
        };
        let right: u64 = (0..self.confusion.len()).map(|class| self.confusion[class][class]).sum();
        Summary {
            accuracy: right as f64 / self.n,
            balanced_accuracy: mean(|(_, recall, _)| recall),
            macro_f1: mean(|(_, _, f1)| f1),
            log_loss: self.loss / self.n,
            ece: self.gaps.iter().map(|gap| gap.abs()).sum::<f64>() / self.n,
        }
    }

    /// Mean recall of those of `classes` that have samples; 0 of none.
    pub fn balanced_accuracy(&self, classes: &[usize]) -> f64 {
        let present = classes.iter().filter(|&&class| self.support(class) > 0);
        let (sum, count) = present.fold((0.0, 0.0), |(sum, n), &class| (sum + self.rates(class).1, n + 1.0));
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// Share of the samples of the classes `of` that are called one of `names`; 0 without samples.
    pub fn called(&self, of: &[usize], names: &[usize]) -> f64 {
        let n: u64 = of.iter().map(|&class| self.support(class)).sum();
        let called: u64 = of.iter().flat_map(|&class| names.iter().map(move |&name| self.confusion[class][name])).sum();
        if n > 0 { called as f64 / n as f64 } else { 0.0 }
    }

    /// Samples of `class`.
    pub fn support(&self, class: usize) -> u64 {
        self.confusion[class].iter().sum()
    }

    /// Precision, recall and F1 of `class`; 0 where there is nothing to divide by.
    fn rates(&self, class: usize) -> (f64, f64, f64) {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let right = self.confusion[class][class];
        let called: u64 = self.confusion.iter().map(|row| row[class]).sum();
        let support = self.support(class);
        (share(right, called), share(right, support), share(2 * right, called + support))
    }

    fn class(&self, class: usize, classes: &ClassSet) -> ClassFigures {
        let (precision, recall, f1) = self.rates(class);
        let support = self.support(class);
        ClassFigures { class: classes.labels()[class].clone(), precision, recall, f1, support }
    }
}
