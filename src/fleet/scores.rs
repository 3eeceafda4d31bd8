//! A head measured on a device's own images, in numbers only, and what follows from the numbers of all.
//!
//! A device measures heads that were made without its own statistics, so every image of it is held out.

use ndarray::ArrayView2;
use serde::{Deserialize, Serialize};

use crate::head::DenseHead;
use crate::words::Label;

/// Factors of a head's temperature at which the log-loss is measured.
pub const TEMPERATURES: [f64; 9] = [0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 8.0];
/// No probability counts as smaller, as in `eval::figures`.
const FLOOR: f64 = 1e-6;
/// Standard errors by which others have to answer better without a device before it is left out.
const SURE: f64 = 2.0;

/// What a head is worth on a device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Score {
    /// Images of a class that the head knows.
    pub n: u64,
    /// Of these, answered rightly.
    pub right: u64,
    /// Sum of the log-loss in nats at each of the factors of its temperature 0.35, 0.5, 0.7, 1, 1.4, 2, 2.8, 4 and 8.
    pub log_loss: Vec<f64>,
    /// Images of classes that the head does not know; nothing else counts them.
    pub unknown: u64,
}

/// Measures `head` on labelled embeddings `x` (n, d).
///
/// # Panics
/// When the head reads another width, or there is not a label a row.
#[must_use]
#[allow(clippy::needless_pass_by_value, reason = "a view is made to be passed on")]
pub fn score(head: &DenseHead, x: ArrayView2<'_, f32>, labels: &[Label]) -> Score {
    assert_eq!(x.nrows(), labels.len(), "a label a row");
    let mut score = Score { n: 0, right: 0, log_loss: vec![0.0; TEMPERATURES.len()], unknown: 0 };
    let mut logits = vec![0.0; head.classes.len()];
    for (row, label) in x.rows().into_iter().zip(labels) {
        let Some(truth) = head.classes.index_of(label) else {
            score.unknown += 1;
            continue;
        };
        head.logits(&row.to_vec(), &mut logits).expect("one width");
        let best = (0..logits.len()).rev().max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap_or(0);
        score.n += 1;
        score.right += u64::from(best == truth);
        for (sum, factor) in score.log_loss.iter_mut().zip(TEMPERATURES) {
            let temperature = factor * f64::from(head.temperature);
            let top = f64::from(logits[best]);
            let shares = logits.iter().map(|logit| ((f64::from(*logit) - top) / temperature).exp()).sum::<f64>();
            let p = ((f64::from(logits[truth]) - top) / temperature).exp() / shares;
            *sum -= p.max(FLOOR).ln();
        }
    }
    score
}

/// What one device answered of one candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The device.
    pub device: String,
    /// Which candidate.
    pub candidate: usize,
    /// What it is worth there.
    pub score: Score,
}

/// The candidate that devices answer best with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Best {
    /// Which.
    pub candidate: usize,
    /// What its temperature is multiplied by.
    pub factor: f64,
    /// Share of right answers over all devices.
    pub accuracy: f64,
    /// Mean log-loss over all devices, in nats.
    pub log_loss: f64,
}

/// The sums of a candidate over devices.
#[derive(Debug, Clone, PartialEq)]
struct Answers {
    /// Images.
    n: u64,
    /// Right ones.
    right: u64,
    /// By factor of the temperature.
    log_loss: [f64; TEMPERATURES.len()],
}

impl Answers {
    /// Of the trials of a candidate; a score that a device could not have measured counts for nothing.
    fn of(trials: &[Trial], candidate: usize) -> Self {
        let mut sums = Self { n: 0, right: 0, log_loss: [0.0; TEMPERATURES.len()] };
        for Trial { score, .. } in trials.iter().filter(|trial| trial.candidate == candidate && is_sound(&trial.score))
        {
            sums.n += score.n;
            sums.right += score.right;
            sums.log_loss.iter_mut().zip(&score.log_loss).for_each(|(sum, loss)| *sum += loss);
        }
        sums
    }

    /// The factor with the smallest log-loss, and that loss.
    fn best(&self) -> (f64, f64) {
        let at = (0..TEMPERATURES.len()).min_by(|&a, &b| self.log_loss[a].total_cmp(&self.log_loss[b])).unwrap_or(0);
        (TEMPERATURES[at], self.log_loss[at])
    }
}

/// Whether a score can be what a device measured.
fn is_sound(score: &Score) -> bool {
    score.right <= score.n
        && score.log_loss.len() == TEMPERATURES.len()
        && score
            .log_loss
            .iter()
            .all(|loss| loss.is_finite() && (0.0..=score.n as f64 * -FLOOR.ln() * 1.001).contains(loss))
}

/// The candidate with the smallest log-loss over all images of all devices, each at its best temperature; among equals the first.
/// `None` when nobody measured anything.
#[must_use]
pub fn choose(trials: &[Trial], candidates: usize) -> Option<Best> {
    let measured = (0..candidates).map(|candidate| (candidate, Answers::of(trials, candidate)));
    let measured = measured.filter(|(_, answers)| answers.n > 0).map(|(candidate, answers)| {
        let (factor, loss) = answers.best();
        let n = answers.n as f64;
        Best { candidate, factor, accuracy: answers.right as f64 / n, log_loss: loss / n }
    });
    measured.min_by(|a, b| a.log_loss.total_cmp(&b.log_loss))
}

/// Whether the other devices answer better when nothing of a device is in the head: the mean over devices of `with - without`
/// in log-loss an image is above two of its standard errors, and no fewer answers are right.
///
/// The pairs are scores of one other device each, with and without, at the factor `factor` of the temperature.
#[must_use]
pub fn harmful(pairs: &[(Score, Score)], factor: f64) -> bool {
    let at = TEMPERATURES.iter().position(|known| (known - factor).abs() < 1e-9).unwrap_or(3);
    let sound =
        pairs.iter().filter(|(with, without)| is_sound(with) && is_sound(without) && with.n > 0 && without.n > 0);
    let per = |score: &Score| score.log_loss[at] / score.n as f64;
    let gains: Vec<f64> = sound.clone().map(|(with, without)| per(with) - per(without)).collect();
    let share = |score: &Score| score.right as f64 / score.n as f64;
    let more_right: f64 = sound.map(|(with, without)| share(without) - share(with)).sum();
    let n = gains.len() as f64;
    if n < 2.0 {
        return false;
    }
    let mean = gains.iter().sum::<f64>() / n;
    let error = (gains.iter().map(|gain| (gain - mean).powi(2)).sum::<f64>() / (n - 1.0) / n).sqrt();
    mean > SURE * error && mean > 0.0 && more_right >= 0.0
}

#[cfg(test)]
mod tests {
    use super::super::statistics::tests::{label, samples, shared};
    use super::super::{Aliases, Candidate, Merge, Statistics};
    use super::*;

    fn measured(n: u64, right: u64, loss: f64) -> Score {
        Score { n, right, log_loss: vec![loss; TEMPERATURES.len()], unknown: 0 }
    }

    #[test]
    fn a_score_counts_what_the_head_knows_and_its_losses_are_those_of_its_probabilities() {
        let head = Candidate::Lda.head(&shared(1, &["gear", "nut"], 30, 6), 0).unwrap().dense;
        let (x, labels) = samples(2, &["gear", "nut", "bolt"], 10, 6);
        let score = score(&head, x.view(), &labels);
        assert_eq!((score.n, score.unknown), (20, 10));
        assert!(score.right >= 19 && is_sound(&score));
        let plain: f64 = x
            .rows()
            .into_iter()
            .zip(&labels)
            .filter_map(|(row, label)| Some((row, head.classes.index_of(label)?)))
            .map(|(row, truth)| -f64::from(head.probabilities(&row.to_vec()).unwrap()[truth].max(1e-6)).ln())
            .sum();
        assert!((score.log_loss[3] - plain).abs() < 1e-4, "{} {plain}", score.log_loss[3]);
    }

    #[test]
    fn the_best_candidate_is_chosen_over_all_devices_and_impossible_scores_count_for_nothing() {
        let trial = |device: &str, candidate, score| Trial { device: device.into(), candidate, score };
        let trials = [
            trial("a", 0, measured(10, 9, 5.0)),
            trial("b", 0, measured(10, 5, 9.0)),
            trial("a", 1, measured(10, 8, 6.0)),
            trial("b", 1, measured(10, 8, 6.0)),
            trial("liar", 0, measured(1_000_000, 1_000_000, -5.0)),
            trial("liar", 1, Score { log_loss: vec![], ..measured(9, 1, 1.0) }),
        ];
        let best = choose(&trials, 2).unwrap();
        assert_eq!((best.candidate, best.accuracy, best.log_loss), (1, 0.8, 0.6));
        assert_eq!(choose(&trials[4..], 2), None);
    }

    /// Five devices, of which the last has its labels exchanged.
    fn poisoned(weight: u64) -> Vec<Statistics> {
        let names = ["bolt", "gear", "nut"];
        let mut devices: Vec<_> = (0..5).map(|seed| shared(seed, &names, 25, 6)).collect();
        let exchange = |own: &Label| label(if own.as_str() == "gear" { "nut" } else { "gear" });
        for round in 0..weight {
            let (x, labels) = samples(50 + round, &["gear", "nut"], 25, 6);
            let labels: Vec<_> = labels.iter().map(exchange).collect();
            let source = devices[0].source.clone();
            devices.push(Statistics::gather(source, x.view(), &labels, None, 1).unwrap());
        }
        devices
    }

    #[test]
    fn a_device_with_exchanged_labels_is_found_by_what_the_others_hold_out() {
        let devices = poisoned(1);
        let names: Vec<String> = (0..devices.len()).map(|i| format!("line-{i}")).collect();
        let head = |left_out: [usize; 2]| {
            let mut merge = Merge::new(Aliases::default());
            let left = (0..devices.len()).filter(|i| !left_out.contains(i));
            left.for_each(|i| merge.add(&names[i], &devices[i]).unwrap());
            Candidate::Lda.head(&merge.finish().unwrap().statistics, 0).unwrap().dense
        };
        let harms = |suspect: usize| {
            let others = (0..5).filter(|other| *other != suspect);
            let pairs: Vec<_> = others
                .map(|other| {
                    let (x, labels) = samples(other as u64, &["bolt", "gear", "nut"], 25, 6);
                    let worth = |left_out| score(&head(left_out), x.view(), &labels);
                    (worth([other, other]), worth([other, suspect]))
                })
                .collect();
            harmful(&pairs, 1.0)
        };
        assert!(harms(5), "the exchanged labels");
        assert!((0..5).all(|honest| !harms(honest)), "{:?}", (0..5).map(harms).collect::<Vec<_>>());
    }
}
