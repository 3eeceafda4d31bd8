//! The calibration of a trained head: prediction sets and the threshold for unknown images.
//!
//! The sets rest on cross-conformal scores from out-of-fold logits. The groups are divided into halves. The temperature
//! is fitted on one half, the scores `1 - p_y` are taken on the other, and the other way round; both are pooled. So no
//! score rests on a temperature that saw its label, nor on a model that saw its group.

use std::collections::BTreeSet;

use ndarray::Array2;

use super::novelty::novelty;
use crate::head::{Calibration, Conformal, Ranked, softmax_in_place};
use crate::train::{Dataset, Fitted, fit_temperature};
use crate::words::{Digest, SampleId};

/// The calibration of `fitted`, trained on `data`: sets from its out-of-fold logits, the detector of unknown images
/// from the embeddings. Nothing in it rests on a model that had seen the group of the sample it scored.
///
/// # Panics
/// When `fitted` was trained on other samples.
#[must_use]
pub fn calibrate(data: &Dataset, fitted: &Fitted, seed: u64) -> Calibration {
    assert!(fitted.heldout.ids == data.ids(), "the samples that it was trained on, in their order");
    Calibration {
        conformal: conformal(&fitted.heldout.logits, data.y(), data.groups(), seed),
        novelty: novelty(data, seed),
    }
}

/// Scores of samples with out-of-fold `logits` (n, k), -inf for classes that a fold did not know, classes `y` (n,) and
/// `groups` (n,); `None` when no sample's own class was known to its fold.
///
/// # Panics
/// When the lengths disagree.
#[must_use]
pub fn conformal(logits: &Array2<f32>, y: &[usize], groups: &[SampleId], seed: u64) -> Option<Conformal> {
    assert!(logits.nrows() == y.len() && groups.len() == y.len(), "one row a sample");
    let second = second_half(groups, seed);
    let scorable = |sample: &usize| logits[[*sample, y[*sample]]] > f32::NEG_INFINITY;
    let half = |which: bool| -> Vec<usize> {
        (0..y.len()).filter(scorable).filter(|&sample| second.contains(&groups[sample]) == which).collect()
    };
    let halves = [half(false), half(true)];
    let mut scores = Vec::with_capacity(y.len());
    for (fitted, scored) in [(&halves[0], &halves[1]), (&halves[1], &halves[0])] {
        let row = |&sample: &usize| (logits.row(sample).iter().map(|logit| f64::from(*logit)).collect(), y[sample]);
        let temperature = fit_temperature(&fitted.iter().map(row).collect::<Vec<_>>()) as f32;
        for &sample in scored {
            let mut p = logits.row(sample).to_vec();
            softmax_in_place(&mut p, temperature);
            scores.push((1.0 - p[y[sample]]).clamp(0.0, 1.0));
        }
    }
    Ranked::new(scores).and_then(Conformal::new)
}

/// Every other group in the order of their hashes.
fn second_half(groups: &[SampleId], seed: u64) -> BTreeSet<SampleId> {
    let groups: BTreeSet<SampleId> = groups.iter().copied().collect();
    let hash = |group: &SampleId| Digest::of(&[&seed.to_le_bytes(), &group.0.0[..]].concat());
    let mut ordered: Vec<SampleId> = groups.into_iter().collect();
    ordered.sort_by_cached_key(hash);
    ordered.into_iter().skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// `n` samples in bursts of `burst`: logits three times too sure of a class that is right as often as they should
    /// be.
    fn draw(rng: &mut ChaCha8Rng, n: usize, burst: usize) -> (Array2<f32>, Vec<usize>, Vec<SampleId>) {
        let honest = Array2::from_shape_simple_fn((n, 4), || 5.0 * rng.random::<f32>());
        let mut y = Vec::new();
        for row in honest.rows() {
            let mut p = row.to_vec();
            softmax_in_place(&mut p, 1.0);
            let mut left: f32 = rng.random();
            let class = p.iter().position(|p| {
                left -= p;
                left < 0.0
            });
            y.push(class.unwrap_or(3));
        }
        let salt: u64 = rng.random();
        let groups = (0..n).map(|i| SampleId::of(&[salt.to_le_bytes(), (i / burst).to_le_bytes()].concat())).collect();
        (honest * 3.0, y, groups)
    }

    #[test]
    fn new_images_have_their_class_in_the_set_as_often_as_promised() {
        for (n, alpha) in [(30, 0.1), (80, 0.2), (400, 0.05)] {
            let (seeds, each) = (400, 20);
            let mut shares = Vec::new();
            for seed in 0..seeds {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let (logits, y, groups) = draw(&mut rng, n, 1);
                let all: Vec<_> =
                    logits.rows().into_iter().map(|row| row.iter().map(|l| f64::from(*l)).collect()).collect();
                let temperature = fit_temperature(&all.into_iter().zip(y.iter().copied()).collect::<Vec<_>>()) as f32;
                let conformal = conformal(&logits, &y, &groups, seed).unwrap();
                let (fresh, truth, _) = draw(&mut rng, each, 1);
                let held = fresh.rows().into_iter().zip(&truth).filter(|(row, truth)| {
                    let mut p = row.to_vec();
                    softmax_in_place(&mut p, temperature);
                    conformal.set(&p, alpha).contains(truth)
                });
                shares.push(held.count() as f64 / each as f64);
            }
            let mean = shares.iter().sum::<f64>() / seeds as f64;
            let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / seeds as f64;
            let error = (variance / seeds as f64).sqrt();
            let most = 1.0 - alpha + 1.0 / (n + 1) as f64;
            // A temperature of half the data is a little off: a hundredth is allowed for it.
            let bounds = 1.0 - alpha - 3.5 * error - 0.01..most + 3.5 * error + 0.01;
            assert!(bounds.contains(&mean), "n {n}, alpha {alpha}: {mean}, {bounds:?}");
        }
    }

    #[test]
    fn a_group_is_in_one_half_and_the_halves_are_even() {
        for seed in 0..50 {
            let (_, _, groups) = draw(&mut ChaCha8Rng::seed_from_u64(seed), 60, 3);
            assert_eq!(second_half(&groups, seed).len(), 10, "seed {seed}");
        }
    }

    #[test]
    fn the_order_of_samples_changes_nothing() {
        let (logits, y, groups) = draw(&mut ChaCha8Rng::seed_from_u64(3), 40, 2);
        let order: Vec<usize> = (0..40).rev().collect();
        let reversed = conformal(
            &logits.select(ndarray::Axis(0), &order),
            &order.iter().map(|&i| y[i]).collect::<Vec<_>>(),
            &order.iter().map(|&i| groups[i]).collect::<Vec<_>>(),
            1,
        );
        let forward = conformal(&logits, &y, &groups, 1).unwrap();
        let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-4;
        assert!(reversed.unwrap().scores().values().iter().zip(forward.scores().values()).all(close));
    }

    #[test]
    fn samples_of_a_class_that_their_fold_did_not_know_are_left_out() {
        let unknown = f32::NEG_INFINITY;
        let logits = ndarray::array![[2.0, 0.0, unknown], [0.0, 2.0, unknown], [1.0, 1.0, unknown], [unknown; 3]];
        let groups: Vec<_> = (0..4_u8).map(|i| SampleId::of(&[i])).collect();
        assert_eq!(conformal(&logits, &[0, 1, 2, 0], &groups, 0).unwrap().scores().n(), 2);
        assert_eq!(conformal(&logits, &[2; 4], &groups, 0), None);
    }
}
