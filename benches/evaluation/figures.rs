//! Figures of answers: accuracy, log-loss, calibration error, and standard errors.
//!
//! Pure, and the same for our heads and for peers. Its tests are in `tests/evaluation.rs`.

use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Bins of the calibration error.
const BINS: usize = 15;
/// No probability counts as smaller, as in `eval::figures`: one picture that is surely wrong costs 13.8 nats.
const FLOOR: f64 = 1e-6;

/// What one head says about the pictures of a test, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// 1 where the class of the largest probability is the true one, else 0.
    pub right: Vec<f64>,
    /// Negative log of the true class's probability, in nats.
    pub loss: Vec<f64>,
    /// The largest probability.
    pub confidence: Vec<f64>,
}

impl Answers {
    /// Of probabilities (n, k) and true classes (n,); ties go to the first class.
    pub fn of(probabilities: &Array2<f32>, y: &[usize]) -> Self {
        let mut answers = Self { right: Vec::new(), loss: Vec::new(), confidence: Vec::new() };
        for (row, &truth) in probabilities.rows().into_iter().zip(y) {
            let best = (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0);
            answers.right.push(f64::from(u8::from(best == truth)));
            answers.loss.push(-f64::from(row[truth]).max(FLOOR).ln());
            answers.confidence.push(f64::from(row[best]));
        }
        answers
    }

    /// Confidence, and whether the answer was right.
    pub fn judged(&self) -> Vec<(f64, bool)> {
        self.confidence.iter().copied().zip(self.right.iter().map(|right| *right > 0.5)).collect()
    }
}

/// `sum_b n_b/n |accuracy_b - confidence_b|` over 15 bins of the confidence, as `eval::figures` has it.
pub fn calibration_error(judged: &[(f64, bool)]) -> f64 {
    let mut gaps = [0.0; BINS];
    for (p, right) in judged {
        let bin = ((p * BINS as f64).ceil() as usize).clamp(1, BINS) - 1;
        gaps[bin] += f64::from(u8::from(*right)) - p;
    }
    gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / judged.len() as f64
}

/// The calibration error that a perfectly calibrated head shows by chance: the mean over `plays` in which an answer of
/// confidence p about picture i is right where a number played for i, uniform in 0..1, is below p.
///
/// `confidences` are p and i. Answers about one picture share its fate, as those of similar heads nearly do; give each
/// an i of its own for answers that have nothing in common.
pub fn calibration_floor(confidences: &[(f64, usize)], plays: usize, seed: u64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let pictures = confidences.iter().map(|(_, picture)| picture + 1).max().unwrap_or(0);
    let mut play = || {
        let fates: Vec<f64> = (0..pictures).map(|_| random.random()).collect();
        let played: Vec<_> = confidences.iter().map(|&(p, picture)| (p, fates[picture] < p)).collect();
        calibration_error(&played)
    };
    (0..plays).map(|_| play()).sum::<f64>() / plays as f64
}

/// A mean and its standard error; the error is NaN where nothing varies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    pub mean: f64,
    pub error: f64,
}

/// Values of pictures: by draw, then by picture.
pub type Draws = Vec<Vec<f64>>;

impl Estimate {
    /// The mean over `tests` of their means over pictures.
    ///
    /// With several draws the error is `sd / sqrt(m)` of the m draws' means: what another draw of the training pictures
    /// would change. The draws of all tests are taken together, since one draw may train the head of two tests. With one
    /// draw it is that of independent test pictures, `sqrt(sum_t var_t / n_t) / T`; of accuracies this is the binomial
    /// one.
    pub fn over(tests: &[Draws]) -> Self {
        let count = tests.len() as f64;
        let draws = tests.first().map_or(0, Vec::len);
        let by_draw: Vec<f64> =
            (0..draws).map(|draw| tests.iter().map(|test| mean(&test[draw])).sum::<f64>() / count).collect();
        if draws == 1 {
            let variance: f64 = tests.iter().map(|test| standard_error(&test[0]).powi(2)).sum();
            return Self { mean: by_draw[0], error: variance.sqrt() / count };
        }
        Self { mean: mean(&by_draw), error: standard_error(&by_draw) }
    }
}

/// `a - b`, picture by picture.
pub fn difference(a: &Draws, b: &Draws) -> Draws {
    let row = |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a - b).collect();
    a.iter().zip(b).map(row).collect()
}

/// The mean of several tables of one shape, picture by picture: those of one test with several backbones.
pub fn average(of: &[Draws]) -> Draws {
    let mut sum = of[0].clone();
    for other in &of[1..] {
        for (value, other) in sum.iter_mut().flatten().zip(other.iter().flatten()) {
            *value += other;
        }
    }
    sum.iter_mut().flatten().for_each(|value| *value /= of.len() as f64);
    sum
}

pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// `sqrt(sum (v - mean)^2 / (n - 1) / n)`; NaN for fewer than two values.
pub fn standard_error(values: &[f64]) -> f64 {
    let (mean, n) = (mean(values), values.len() as f64);
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt()
}

/// A bar, and whether a figure keeps it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bar {
    AtLeast(f64),
    AtMost(f64),
}

impl Bar {
    /// The verdict on the figure as measured, before it is rounded.
    pub fn verdict(self, figure: f64) -> &'static str {
        let kept = match self {
            Self::AtLeast(bar) => figure >= bar,
            Self::AtMost(bar) => figure <= bar,
        };
        if kept { "reached" } else { "missed" }
    }
}
