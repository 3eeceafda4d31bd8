//! Uncertainty: a bootstrap that resamples whole groups, and the sign test.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::words::SampleId;

/// Resamples a statistic is computed on.
const RESAMPLES: usize = 1000;

/// Draws as many groups as there are, with replacement, a thousand times, and hands `statistic` how often each sample
/// (n,) was drawn; returns what it gave, resample by resample.
pub(super) fn resample<T>(groups: &[SampleId], seed: u64, mut statistic: impl FnMut(&[u32]) -> T) -> Vec<T> {
    let mut index = BTreeMap::new();
    for group in groups {
        let next = index.len();
        index.entry(*group).or_insert(next);
    }
    let of: Vec<usize> = groups.iter().map(|group| index[group]).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |_| {
        let mut drawn = vec![0_u32; index.len()];
        for _ in 0..index.len() {
            drawn[rng.random_range(0..index.len())] += 1;
        }
        let counts: Vec<u32> = of.iter().map(|&group| drawn[group]).collect();
        statistic(&counts)
    };
    (0..RESAMPLES).map(&mut draw).collect()
}

/// The `q` quantile of `values`, between order statistics linearly (as numpy does by default); 0 of none.
pub(super) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q * (sorted.len().saturating_sub(1)) as f64;
    let (low, part) = (place.floor() as usize, place.fract());
    let at = |place: usize| sorted.get(place).or(sorted.last()).copied().unwrap_or(0.0);
    at(low) + part * (at(low + 1) - at(low))
}

/// The chance that a fair coin wins `won` or fewer of `won + lost` tosses: the one-sided exact sign test (of
/// `McNemar` when the cases are those that exactly one of two classifiers got right).
#[must_use]
pub fn sign_test(won: u64, lost: u64) -> f64 {
    let n = won + lost;
    // ln of n choose i over 2^n, one i after another; n is at most some ten thousand.
    let mut term = -(n as f64) * 2.0_f64.ln();
    let mut sum = term.exp();
    for i in 1..=won.min(n) {
        term += ((n - i + 1) as f64).ln() - (i as f64).ln();
        sum += term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // numpy.quantile([3, 1, 4, 1, 5], [0, .05, .3, 1])
        let values = [3.0, 1.0, 4.0, 1.0, 5.0];
        for (q, expected) in [(0.0, 1.0), (0.05, 1.0), (0.3, 1.4), (1.0, 5.0)] {
            assert!((quantile(&values, q) - expected).abs() < 1e-12, "{q}");
        }
    }

    #[test]
    fn a_group_is_drawn_whole_and_the_mean_has_the_spread_of_groups() {
        let groups: Vec<_> = (0..200_u8).map(|i| SampleId::of(&[i / 4])).collect();
        let means = resample(&groups, 1, |counts| {
            assert!(counts.chunks(4).all(|burst| burst.iter().all(|count| *count == burst[0])));
            let right: u32 = counts.iter().enumerate().map(|(i, count)| if i / 4 % 2 == 0 { *count } else { 0 }).sum();
            f64::from(right) / 200.0
        });
        // 50 independent groups, half of them right: standard error .5/sqrt(50) = .0707.
        let width = quantile(&means, 0.975) - quantile(&means, 0.025);
        assert!((width / (2.0 * 1.96 * 0.0707) - 1.0).abs() < 0.1, "{width}");
    }

    #[test]
    fn the_chances_are_those_of_the_binomial() {
        // scipy.stats.binom.cdf([0, 3, 3, 100, 0], [0, 10, 6, 220, 5], 0.5)
        for (won, lost, expected) in
            [(0, 0, 1.0), (3, 7, 0.171_875), (3, 3, 0.656_25), (100, 120, 0.100_046_1), (0, 5, 0.031_25)]
        {
            assert!((sign_test(won, lost) - expected).abs() < 1e-6, "{won} {lost}: {}", sign_test(won, lost));
        }
        assert!((sign_test(7, 0) - 1.0).abs() < 1e-9);
    }
}
