//! The figures of a head on samples it had not seen.

use ndarray::Array2;

use super::statistics::{Draw, quantile, resample};
use crate::head::{ClassFigures, EvaluatedOn, Figures};
use crate::words::{ClassSet, SampleId};

/// Bins of the calibration error.
const BINS: usize = 15;
/// No probability counts as smaller: one image that is surely wrong costs 13.8 nats, not infinity.
const FLOOR: f64 = 1e-6;

/// The figures of `probabilities` (n, k) against classes `y` (n,), with 95 % intervals from 1,000 resamples of
/// `groups` (n,), in which what was not seen counts as wrong for one end and as right for the other; `None` when n is 0.
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
    let ends = [worst(&answers), best(&answers)];
    let resampled = resample(y, groups, seed, |Draw { counts, unseen }| {
        let seen = Tally::count(&answers, counts, classes.len());
        ends.each_ref().map(|answers| seen.and(answers, unseen).summary())
    });
    let interval = |pick: fn(&Summary) -> f64| {
        let values = [0, 1].map(|end| resampled.iter().map(|ends| pick(&ends[end])).collect::<Vec<f64>>());
        let [low, high] = [0.025, 0.975].map(|q| values.each_ref().map(|values| quantile(values, q)));
        [low[0].min(low[1]), high[0].max(high[1])]
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
    /// The class of the second largest probability; the same one where there is no other.
    runner_up: usize,
    /// Its probability.
    runner_up_confidence: f64,
}

/// One answer a row of `probabilities` (n, k).
pub(super) fn score_rows(probabilities: &Array2<f32>, y: &[usize]) -> Vec<Scored> {
    let answer = |(row, &truth): (ndarray::ArrayView1<'_, f32>, &usize)| {
        let largest = |but: Option<usize>| {
            let classes = (0..row.len()).rev().filter(|&class| Some(class) != but);
            classes.max_by(|&a, &b| row[a].total_cmp(&row[b]))
        };
        let predicted = largest(None).unwrap_or(0);
        let runner_up = largest(Some(predicted)).unwrap_or(predicted);
        let p = |class: usize| f64::from(row[class]);
        Scored {
            truth,
            predicted,
            confidence: p(predicted),
            loss: loss(p(truth)),
            runner_up,
            runner_up_confidence: p(runner_up),
        }
    };
    probabilities.rows().into_iter().zip(y).map(answer).collect()
}

/// What `answers` would be if all of them were wrong: the second guess where the first is right, equally sure.
pub(super) fn worst(answers: &[Scored]) -> Vec<Scored> {
    let wrong = |answer: &Scored| match answer {
        Scored { truth, predicted, runner_up, runner_up_confidence, .. } if truth == predicted => {
            Scored { predicted: *runner_up, loss: loss(*runner_up_confidence), ..*answer }
        }
        wrong => *wrong,
    };
    answers.iter().map(wrong).collect()
}

/// What `answers` would be if all of them were right, equally sure.
pub(super) fn best(answers: &[Scored]) -> Vec<Scored> {
    let right =
        |answer: &Scored| Scored { predicted: answer.truth, loss: answer.loss.min(loss(answer.confidence)), ..*answer };
    answers.iter().map(right).collect()
}

/// Negative log of a probability, floored.
fn loss(probability: f64) -> f64 {
    -probability.max(FLOOR).ln()
}

/// Answers counted, each as often as a resample drew it.
#[derive(Clone)]
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
        tally.add(answers, counts);
        tally
    }

    /// The same and each of `answers` (n,) `counts` (n,) times.
    pub fn and(&self, answers: &[Scored], counts: &[u32]) -> Self {
        let mut tally = self.clone();
        tally.add(answers, counts);
        tally
    }

    fn add(&mut self, answers: &[Scored], counts: &[u32]) {
        for (answer, &count) in answers.iter().zip(counts).filter(|(_, count)| **count > 0) {
            let times = f64::from(count);
            self.confusion[answer.truth][answer.predicted] += u64::from(count);
            self.n += times;
            self.loss += times * answer.loss;
            let right = f64::from(u8::from(answer.truth == answer.predicted));
            let bin = ((answer.confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
            self.gaps[bin] += times * (right - answer.confidence);
        }
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

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::words::Label;

    fn classes() -> ClassSet {
        ["gear", "nut"].iter().map(|name| Label::new(name).unwrap()).collect()
    }

    /// The figures of answers of two classes, half of them each, that are right with probability 0.9.
    fn measured(right: &[bool], groups: &[SampleId]) -> Figures {
        let y: Vec<usize> = (0..right.len()).map(|i| i / 5 % 2).collect();
        let p =
            Array2::from_shape_fn((right.len(), 2), |(i, class)| if (class == y[i]) == right[i] { 0.9 } else { 0.1 });
        figures(&p, &y, groups, &classes(), EvaluatedOn::HeldOut, 0).unwrap()
    }

    fn ids(n: usize) -> Vec<SampleId> {
        (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect()
    }

    #[test]
    fn all_right_is_no_certainty_and_all_wrong_no_despair() {
        let right = measured(&[true; 24], &ids(24));
        assert!((right.accuracy - 1.0).abs() < 1e-12);
        for [low, high] in [right.accuracy_interval, right.balanced_accuracy_interval, right.macro_f1_interval] {
            assert!((0.8..0.93).contains(&low) && high >= 1.0, "{low} {high}");
        }
        assert!(right.log_loss_interval[1] > 0.2 && right.ece_interval[0] < 0.05 && right.ece_interval[1] > 0.099);
        let wrong = measured(&[false; 24], &ids(24));
        assert!(wrong.accuracy_interval[0] <= 0.0 && (0.07..0.2).contains(&wrong.accuracy_interval[1]));
    }

    #[test]
    fn a_single_group_leaves_everything_open() {
        for right in [vec![true; 10], vec![false; 10], [vec![true; 8], vec![false; 2]].concat()] {
            let [low, high] = measured(&right, &[SampleId::of(b"one"); 10]).accuracy_interval;
            assert!(low <= 0.0 && high >= 1.0, "{low} {high}");
        }
    }

    #[test]
    fn the_interval_of_accuracy_holds_the_truth_as_often_as_it_says_at_the_edges_too() {
        // Fewer lives than `cargo bench -p edgetuned-learn --bench gate` plays; their standard error is 1.1 points.
        for (n, share, of_group) in
            [(5, 0.5, 1), (5, 0.99, 1), (24, 0.9, 1), (24, 0.99, 4), (100, 0.99, 1), (100, 0.9, 5)]
        {
            let mut rng = ChaCha8Rng::seed_from_u64(7);
            let groups: Vec<SampleId> = (0..n).map(|i: usize| SampleId::of(&(i / of_group).to_le_bytes())).collect();
            let held = (0..400).filter(|_| {
                // Frames of one burst are right or wrong together.
                let bursts: Vec<bool> = (0..n).map(|_| rng.random_bool(share)).collect();
                let right: Vec<bool> = (0..n).map(|i| bursts[i / of_group]).collect();
                let [low, high] = measured(&right, &groups).accuracy_interval;
                low <= share && share <= high
            });
            let held = held.count();
            assert!(held >= 372, "seed 7: {held} of 400 at n = {n}, p = {share}, groups of {of_group}");
        }
    }
}
