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
/// Of so many devices that answer one may be wrong at either end: the largest and the smallest fifth do not count.
const ONE_OF: usize = 5;

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

/// How much better the other devices answer when nothing of a device is in the head, in log-loss an image; `None` where that is not
/// sure: where the mean over devices of `with - without` is below two of its standard errors, or fewer answers are right.
///
/// The pairs are scores of one other device each, with and without, at the factor `factor` of the temperature. A device with the same
/// fault answers worse without its fellow, so means are without the fifth of devices at either end.
#[must_use]
pub fn harm(pairs: &[(Score, Score)], factor: f64) -> Option<f64> {
    let at = TEMPERATURES.iter().position(|known| (known - factor).abs() < 1e-9).unwrap_or(3);
    let sound =
        pairs.iter().filter(|(with, without)| is_sound(with) && is_sound(without) && with.n > 0 && without.n > 0);
    let per = |score: &Score| score.log_loss[at] / score.n as f64;
    let gains: Vec<f64> = sound.clone().map(|(with, without)| per(with) - per(without)).collect();
    let share = |score: &Score| score.right as f64 / score.n as f64;
    let more_right: Vec<f64> = sound.map(|(with, without)| share(without) - share(with)).collect();
    if gains.len() < 2 {
        return None;
    }
    let (gain, error) = trimmed(gains);
    let (more_right, _) = trimmed(more_right);
    (gain > SURE * error && gain > 0.0 && more_right >= 0.0).then_some(gain)
}

/// The mean without the fifth of values at either end, and its standard error (Tukey & `McLaughlin` 1963).
fn trimmed(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let n = values.len();
    let (first, last) = (n / ONE_OF, n - 1 - n / ONE_OF);
    let kept = (last + 1 - first) as f64;
    let mean = values[first..=last].iter().sum::<f64>() / kept;
    // What is beyond counts as the last that is kept.
    let drawn_in: Vec<f64> = values.iter().map(|value| value.clamp(values[first], values[last])).collect();
    let middle = drawn_in.iter().sum::<f64>() / n as f64;
    let variance = drawn_in.iter().map(|value| (value - middle).powi(2)).sum::<f64>() / (n as f64 - 1.0);
    (mean, (variance * n as f64).sqrt() / kept)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::super::statistics::tests::{label, samples, shared, source};
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

    const NAMES: [&str; 3] = ["bolt", "gear", "nut"];

    /// What a device sees and how it labels that: `exchanged` calls gears nuts, and nuts gears.
    fn seen(seed: u64, exchanged: bool) -> (Array2<f32>, Vec<Label>) {
        let (x, mut labels) = samples(seed, &NAMES, 25, 6);
        for own in labels.iter_mut().filter(|_| exchanged) {
            *own = match own.as_str() {
                "gear" => label("nut"),
                "nut" => label("gear"),
                _ => own.clone(),
            };
        }
        (x, labels)
    }

    /// Which devices are left out, one after another, of a fleet of so many honest ones and so many with exchanged labels, which are
    /// the last.
    fn left_out(seed: u64, honest: usize, exchanged: usize) -> Vec<usize> {
        let seen: Vec<_> = (0..honest + exchanged).map(|i| seen(seed * 100 + i as u64, i >= honest)).collect();
        let shared =
            |(x, labels): &(Array2<f32>, Vec<Label>)| Statistics::gather(source(6), x.view(), labels, None, 1).unwrap();
        let statistics: Vec<Statistics> = seen.iter().map(shared).collect();
        let worth = |judge: usize, missing: &[usize]| {
            let mut merge = Merge::new(Aliases::default());
            let left = (0..seen.len()).filter(|i| *i != judge && !missing.contains(i));
            left.for_each(|i| merge.add(&i.to_string(), &statistics[i]).unwrap());
            let head = Candidate::Lda.head(&merge.finish().unwrap().statistics, 0).unwrap().dense;
            score(&head, seen[judge].0.view(), &seen[judge].1)
        };
        let mut out: Vec<usize> = Vec::new();
        while 2 * (out.len() + 1) < seen.len() {
            let harm_of = |suspect: usize| {
                let judges = (0..seen.len()).filter(|judge| *judge != suspect && !out.contains(judge));
                let without = [&out[..], &[suspect]].concat();
                harm(&judges.map(|judge| (worth(judge, &out), worth(judge, &without))).collect::<Vec<_>>(), 1.0)
            };
            let suspects = (0..seen.len()).filter(|suspect| !out.contains(suspect));
            let harms = suspects.filter_map(|suspect| Some((harm_of(suspect)?, suspect)));
            let Some((_, most)) = harms.max_by(|a, b| a.0.total_cmp(&b.0)) else { break };
            out.push(most);
        }
        out
    }

    #[test]
    fn a_device_with_exchanged_labels_is_found_by_what_the_others_hold_out() {
        for seed in 0..10 {
            assert_eq!(left_out(seed, 5, 1), [5], "seed {seed}");
        }
    }

    #[test]
    fn devices_with_the_same_fault_do_not_hide_one_another() {
        for seed in 0..10 {
            let mut found = left_out(seed, 4, 2);
            found.sort_unstable();
            assert_eq!(found, [4, 5], "seed {seed}");
        }
    }

    #[test]
    fn nobody_is_left_out_of_a_fleet_that_agrees() {
        for seed in 0..30 {
            assert_eq!(left_out(seed, 6, 0), Vec::<usize>::new(), "seed {seed}");
        }
    }

    #[test]
    fn a_mean_without_the_ends_is_swayed_by_no_single_device() {
        let (mean, error) = trimmed(vec![0.4, 0.5, -9.0, 0.45, 0.5]);
        // By hand: 0.4, 0.4, 0.45, 0.5, 0.5 have a variance of 0.0025.
        assert!((mean - 0.45).abs() < 1e-12 && (error - 0.0025_f64.sqrt() / (0.6 * 5.0_f64.sqrt())).abs() < 1e-12);
        // Of fewer than five all count, as in a plain mean.
        let (mean, error) = trimmed(vec![1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12 && (error - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
