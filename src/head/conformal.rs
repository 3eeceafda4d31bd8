//! Sets of classes that contain the true one with a guaranteed probability.
//!
//! The score of a held-out sample is `s = 1 - p_y`; with q the ceil((n+1)(1-alpha))-th smallest of n scores the set of
//! a new image is `{k : p_k >= 1 - q}` (Sadinle, Lei & Wasserman 2019, arXiv 1609.00451). The promise is made for
//! images like the held-out ones and lapses under drift. `eval::calibrate` makes the scores; nothing here learns.

use super::Ranked;

/// Room for the rounding of probabilities to f32.
const ROUNDING: f32 = 1e-6;

/// Held-out scores with their use.
#[derive(Debug, Clone, PartialEq)]
pub struct Conformal(Ranked);

impl Conformal {
    /// Of `scores` `1 - p_y`; `None` when one is outside 0..=1.
    #[must_use]
    pub fn new(scores: Ranked) -> Option<Self> {
        scores.values().iter().all(|score| (0.0..=1.0).contains(score)).then_some(Self(scores))
    }

    /// The scores.
    #[must_use]
    pub fn scores(&self) -> &Ranked {
        &self.0
    }

    /// q for `alpha`; infinite with fewer scores than [`Conformal::needed`].
    #[must_use]
    pub fn quantile(&self, alpha: f64) -> f32 {
        self.0.reached_by(1.0 - alpha).unwrap_or(f32::INFINITY)
    }

    /// Classes `{k : p_k >= 1 - q}` of probabilities `p` (k,), in class order: of images like the held-out ones, a
    /// share of at least 1 - `alpha` have their true class in it. Exactly one class is an answer; none or several
    /// mean that a head should abstain. With too few scores it holds every class.
    #[must_use]
    pub fn set(&self, p: &[f32], alpha: f64) -> Vec<usize> {
        let q = self.quantile(alpha);
        (0..p.len()).filter(|&class| 1.0 - p[class] <= q + ROUNDING).collect()
    }

    /// Fewest held-out samples that can promise anything at `alpha`, above 0: 9 for 0.1, 99 for 0.01.
    #[must_use]
    pub fn needed(alpha: f64) -> usize {
        (1.0 / alpha - 1.0 - 1e-9).ceil().max(1.0) as usize
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn conformal(scores: Vec<f32>) -> Conformal {
        Conformal::new(Ranked::new(scores).unwrap()).unwrap()
    }

    #[test]
    fn too_few_samples_promise_nothing_and_let_every_class_in() {
        for (alpha, needed) in [(0.1, 9), (0.05, 19), (0.01, 99), (0.5, 1)] {
            assert_eq!(Conformal::needed(alpha), needed);
            assert_eq!(conformal(vec![0.0; needed]).set(&[1.0, 0.0], alpha), [0]);
            if needed > 1 {
                assert_eq!(conformal(vec![0.0; needed - 1]).set(&[1.0, 0.0], alpha), [0, 1]);
            }
        }
    }

    #[test]
    fn sets_hold_the_classes_as_likely_as_the_quantile_ties_included() {
        let conformal = conformal(vec![0.7; 20]);
        assert_eq!(conformal.set(&[0.3, 0.3, 0.299, 0.101], 0.1), [0, 1]);
        assert_eq!(conformal.set(&[0.25; 4], 0.1), [0_usize; 0]);
        assert_eq!(Conformal::new(Ranked::new(vec![0.1, 1.5]).unwrap()), None);
    }

    #[test]
    fn the_promise_holds_for_exchangeable_scores_and_is_not_overdone() {
        for (n, alpha) in [(12_u32, 0.1), (40, 0.1), (200, 0.2), (3000, 0.05)] {
            let (draws, mut held) = (2000, 0);
            for seed in 0..draws {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                // Rounded, so that some are equal.
                let mut draw = || (rng.random::<f32>() * 500.0).round() / 500.0;
                let conformal = conformal((0..n).map(|_| draw()).collect());
                held += u32::from(!conformal.set(&[1.0 - draw()], alpha).is_empty());
            }
            let (share, error) = (f64::from(held) / draws as f64, (alpha * (1.0 - alpha) / draws as f64).sqrt());
            let most = 1.0 - alpha + 1.0 / f64::from(n + 1) + 0.003;
            assert!(share > 1.0 - alpha - 3.5 * error && share < most + 3.5 * error, "n {n}, alpha {alpha}: {share}");
        }
    }
}
