//! Held-out values in order, enough of them to find any percentile by.

/// Values that are kept at most: a rank is then off by no more than a thousandth of their number.
const POINTS: usize = 1000;

/// Values in ascending order: all of them, or 1,000 of evenly spaced rank with the largest among them.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranked {
    n: u32,
    values: Vec<f32>,
}

impl Ranked {
    /// Of `values` in any order; `None` when there is none, or one that is not finite.
    #[must_use]
    pub fn new(mut values: Vec<f32>) -> Option<Self> {
        values.sort_by(f32::total_cmp);
        let (n, kept) = (values.len(), values.len().min(POINTS));
        let values = (1..=kept).map(|point| values[rank(point, n, kept) - 1]).collect();
        Self::from_parts(u32::try_from(n).ok()?, values)
    }

    /// Takes what [`Ranked::n`] and [`Ranked::values`] gave; `None` when it cannot have come from there.
    #[must_use]
    pub fn from_parts(n: u32, values: Vec<f32>) -> Option<Self> {
        let sound = values.iter().all(|value| value.is_finite()) && values.is_sorted();
        (n > 0 && values.len() == (n as usize).min(POINTS) && sound).then_some(Self { n, values })
    }

    /// How many there were.
    #[must_use]
    pub fn n(&self) -> usize {
        self.n as usize
    }

    /// Those that were kept, ascending.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The ceil((n + 1) `share`)-th smallest value, or the next larger one that was kept; `None` beyond the largest.
    ///
    /// One more value like these is not above it with probability `share` at least.
    #[must_use]
    pub fn reached_by(&self, share: f64) -> Option<f32> {
        let (n, kept) = (self.n(), self.values.len());
        // A hair less before rounding up: 10 * 0.9 is 9, whatever its last bit says.
        let wanted = ((n + 1) as f64 * share - 1e-9).ceil().max(1.0) as usize;
        (wanted <= n).then(|| self.values[(wanted * kept).div_ceil(n) - 1])
    }

    /// The share of values below `value`, 0..=1.
    #[must_use]
    pub fn share_below(&self, value: f64) -> f64 {
        self.values.partition_point(|kept| f64::from(*kept) < value) as f64 / self.values.len() as f64
    }
}

/// The rank among n, from 1, of the `point`-th of `kept` values: the last of its share.
fn rank(point: usize, n: usize, kept: usize) -> usize {
    point * n / kept
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_rank_is_that_of_one_more_value() {
        let ten = Ranked::new((1..=10).rev().map(|i| i as f32).collect()).unwrap();
        for (share, expected) in [(0.0, Some(1.0)), (0.5, Some(6.0)), (0.7, Some(8.0)), (0.9, Some(10.0)), (0.95, None)]
        {
            assert_eq!(ten.reached_by(share), expected, "{share}");
        }
        // (9 + 1) * 0.9 is 9 exactly.
        let nine = Ranked::new((1..=9).map(|i| i as f32).collect()).unwrap();
        assert_eq!((nine.reached_by(0.9), nine.reached_by(0.91)), (Some(9.0), None));
        assert!((ten.share_below(3.5) - 0.3).abs() < 1e-12 && (ten.share_below(1.0) - 0.0).abs() < 1e-12);
    }

    #[test]
    fn a_thousand_points_stand_for_many_values_on_the_safe_side() {
        for seed in 0..20 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let n = rng.random_range(1001..20_000);
            let mut all: Vec<f32> = (0..n).map(|_| rng.random()).collect();
            let ranked = Ranked::new(all.clone()).unwrap();
            assert_eq!((ranked.n(), ranked.values().len()), (n, 1000));
            all.sort_by(f32::total_cmp);
            for share in [0.001, 0.1, 0.5, 0.95, 0.999] {
                let wanted = ((n + 1) as f64 * share).ceil() as usize;
                let found = ranked.reached_by(share).unwrap();
                let place = all.partition_point(|value| *value < found) + 1;
                assert!((wanted..=wanted + n.div_ceil(1000)).contains(&place), "seed {seed}: {place}, {wanted} of {n}");
            }
        }
    }

    #[test]
    fn parts_come_back_and_damaged_ones_are_refused() {
        let ranked = Ranked::new(vec![0.3, 0.1, 0.2]).unwrap();
        assert_eq!(Ranked::from_parts(3, ranked.values().to_vec()), Some(ranked));
        assert!(Ranked::new(vec![]).is_none() && Ranked::new(vec![0.0, f32::NAN]).is_none());
        for (n, values) in [(0, vec![]), (3, vec![0.1, 0.2]), (2, vec![0.2, 0.1]), (2000, vec![0.5; 1001])] {
            assert_eq!(Ranked::from_parts(n, values), None);
        }
    }
}
