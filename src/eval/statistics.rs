//! Uncertainty: a bootstrap that resamples whole groups and knows that it has not seen all of them, and the sign test.

use std::collections::{BTreeMap, BTreeSet};

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::words::SampleId;

/// Resamples a statistic is computed on.
const RESAMPLES: usize = 1000;

/// One resample.
pub(super) struct Draw<'a> {
    /// How often each sample was drawn (n,).
    pub counts: &'a [u32],
    /// How often each sample stands for what was not seen (n,).
    pub unseen: &'a [u32],
}

/// Draws as many groups as there are, with replacement, a thousand times, and hands each [`Draw`] to `statistic`;
/// returns what it gave, resample by resample.
///
/// Samples alone say that nothing happens which did not happen among them: of 24 right answers every resample is right.
/// So one more group is drawn from, the unseen one: of n groups each draw is it with chance 1/(n + 1), once a resample
/// on average. It is like a group drawn among those with samples of one class of `y` (n,), each class alike, so that
/// rare ones have their share of doubt. The caller counts them as whatever would hurt its bound, such as wrong answers. Of n right answers, each a
/// group, the lower 5 % bound is 1 - 3/n, as by the rule of three (Hanley & Lippman-Hand 1983); of a single group
/// nothing is known.
pub(super) fn resample<T>(
    y: &[usize],
    groups: &[SampleId],
    seed: u64,
    mut statistic: impl FnMut(&Draw<'_>) -> T,
) -> Vec<T> {
    let mut index = BTreeMap::new();
    for group in groups {
        let next = index.len();
        index.entry(*group).or_insert(next);
    }
    let of: Vec<usize> = groups.iter().map(|group| index[group]).collect();
    let mut by_class: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (&class, &group) in y.iter().zip(&of) {
        by_class.entry(class).or_default().insert(group);
    }
    let by_class: Vec<Vec<usize>> = by_class.into_values().map(|groups| groups.into_iter().collect()).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = |_| {
        let (mut drawn, mut unseen) = (vec![0_u32; index.len()], vec![0_u32; index.len()]);
        for _ in 0..index.len() {
            let place = rng.random_range(0..=index.len());
            if let Some(count) = drawn.get_mut(place) {
                *count += 1;
            } else {
                let class = &by_class[rng.random_range(0..by_class.len())];
                unseen[class[rng.random_range(0..class.len())]] += 1;
            }
        }
        let [counts, unseen] = [drawn, unseen].map(|drawn| of.iter().map(|&group| drawn[group]).collect::<Vec<u32>>());
        statistic(&Draw { counts: &counts, unseen: &unseen })
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
        let means = resample(&[0; 200], &groups, 1, |Draw { counts, unseen }| {
            for drawn in [counts, unseen] {
                assert!(drawn.chunks(4).all(|burst| burst.iter().all(|count| *count == burst[0])));
            }
            assert_eq!(counts.iter().chain(*unseen).sum::<u32>(), 200);
            let right: u32 = counts.iter().enumerate().map(|(i, count)| if i / 4 % 2 == 0 { *count } else { 0 }).sum();
            f64::from(right) / 200.0
        });
        // 50 independent groups, half of them right: standard error .5/sqrt(50) = .0707.
        let width = quantile(&means, 0.975) - quantile(&means, 0.025);
        assert!((width / (2.0 * 1.96 * 0.0707) - 1.0).abs() < 0.1, "{width}");
    }

    #[test]
    fn what_was_not_seen_is_drawn_once_a_resample_and_from_each_class_alike() {
        let groups: Vec<_> = (0..100_u8).map(|i| SampleId::of(&[i])).collect();
        let y: Vec<usize> = (0..100).map(|i| usize::from(i < 4)).collect();
        let unseen = resample(&y, &groups, 2, |draw| {
            [draw.unseen.iter().sum::<u32>(), draw.unseen[..4].iter().sum::<u32>()].map(f64::from)
        });
        let mean = |which: usize| unseen.iter().map(|found| found[which]).sum::<f64>() / 1000.0;
        assert!((mean(0) - 1.0).abs() < 0.1 && (mean(1) - 0.5).abs() < 0.1, "{} {}", mean(0), mean(1));
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
