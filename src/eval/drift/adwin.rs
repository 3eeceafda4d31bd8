//! Whether the mean of a stream of figures has changed: ADWIN.
//!
//! The window grows while its mean does not change and loses its old part when two parts of it differ by more than
//! chance explains. It is kept as an exponential histogram, so memory and work grow with the logarithm of its length.
//! Source: Bifet and Gavalda, Learning from Time-Changing Data with Adaptive Windowing, 2007.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The share of false alarms that a cut may have, as Bifet and Gavalda set it.
const DELTA: f64 = 0.002;
/// Buckets of one size before the two oldest are merged: the M = 5 of the paper, a step of at most a fifth between
/// the places where a cut is tried.
const BUCKETS_A_SIZE: usize = 5;
/// Fewer observations than this on one side are no evidence of a change, whatever they are.
const MIN_SIDE: u64 = 5;

/// Watches the mean of a stream; serialise it to go on after a restart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Adwin {
    /// Oldest first; sizes are powers of two and never grow from one to the next.
    buckets: VecDeque<Bucket>,
}

/// Observations summed up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Bucket {
    n: u64,
    mean: f64,
    /// Sum of squared differences from the mean.
    scatter: f64,
}

/// Where a mean goes that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Up.
    Rises,
    /// Down.
    Falls,
}

/// A change of the mean: what came before is forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// Mean before the change.
    pub before: f64,
    /// Mean since.
    pub after: f64,
    /// Observations before the change that were still remembered.
    pub n_before: u64,
    /// Observations since.
    pub n_after: u64,
}

impl Adwin {
    /// Takes in one observation, 0..=1 (clamped; not-a-number is ignored), and reports when the mean has changed.
    ///
    /// A cut is where `|m0 - m1| >= sqrt((2/m) s^2 ln(2/d')) + (2/(3m)) ln(2/d')` with `1/m = 1/n0 + 1/n1`,
    /// `d' = .002 / ln n` and s^2 the variance of the window; of several, the clearest one.
    pub fn push(&mut self, x: f64) -> Option<Cut> {
        if x.is_nan() {
            return None;
        }
        self.buckets.push_back(Bucket { n: 1, mean: x.clamp(0.0, 1.0), scatter: 0.0 });
        self.compress();
        let (place, cut) = self.clearest_cut()?;
        self.buckets.drain(..place);
        Some(cut)
    }

    /// Observations in the window.
    pub fn n(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.n).sum()
    }

    /// Mean of the window; `None` when it is empty.
    pub fn mean(&self) -> Option<f64> {
        (!self.buckets.is_empty()).then(|| self.whole().mean)
    }

    /// How near the window is to a cut by which its mean goes in this direction: the largest part of what a cut takes that
    /// two parts of it differ by, 0..1. `None` with too few observations for any.
    pub fn nearness(&self, direction: Direction) -> Option<f64> {
        let change = |cut: &Cut| match direction {
            Direction::Rises => cut.after - cut.before,
            Direction::Falls => cut.before - cut.after,
        };
        let shares = self.cuts().map(|(_, cut, limit)| change(&cut) / limit);
        shares.reduce(f64::max).map(|share| share.clamp(0.0, 1.0))
    }

    fn whole(&self) -> Bucket {
        self.buckets.iter().fold(Bucket::default(), |sum, bucket| sum.and(*bucket))
    }

    /// Merges the two oldest of any size that there are too many of.
    fn compress(&mut self) {
        let mut end = self.buckets.len();
        while end > 0 {
            let size = self.buckets[end - 1].n;
            let start = self.buckets.iter().take(end).rposition(|bucket| bucket.n != size).map_or(0, |place| place + 1);
            if end - start <= BUCKETS_A_SIZE {
                break;
            }
            self.buckets[start] = self.buckets[start].and(self.buckets[start + 1]);
            self.buckets.remove(start + 1);
            // The merged bucket is of the next size and at its end.
            end = start + 1;
        }
    }

    /// The place in front of the bucket that the new part begins with, and the parts' means.
    fn clearest_cut(&self) -> Option<(usize, Cut)> {
        let mut clearest: Option<(f64, usize, Cut)> = None;
        for (place, cut, limit) in self.cuts() {
            let excess = (cut.before - cut.after).abs() - limit;
            if excess >= clearest.map_or(0.0, |(excess, ..)| excess) {
                clearest = Some((excess, place, cut));
            }
        }
        clearest.map(|(_, place, cut)| (place, cut))
    }

    /// Every place where a cut is tried, the parts' means, and by how much these have to differ.
    fn cuts(&self) -> impl Iterator<Item = (usize, Cut, f64)> {
        let whole = self.whole();
        let n = whole.n as f64;
        let variance = whole.scatter / n;
        let log = (2.0 * n.ln() / DELTA).ln();
        let buckets = self.buckets.iter().enumerate();
        let with_old = buckets.scan(Bucket::default(), |old, (place, bucket)| {
            let before = *old;
            *old = old.and(*bucket);
            Some((place, before))
        });
        with_old.filter_map(move |(place, old)| {
            let n_after = whole.n - old.n;
            if old.n < MIN_SIDE || n_after < MIN_SIDE {
                return None;
            }
            let after = (n * whole.mean - old.n as f64 * old.mean) / n_after as f64;
            let inverse = 1.0 / old.n as f64 + 1.0 / n_after as f64;
            let limit = (2.0 * inverse * variance * log).sqrt() + 2.0 / 3.0 * inverse * log;
            Some((place, Cut { before: old.mean, after, n_before: old.n, n_after }, limit))
        })
    }
}

impl Bucket {
    fn and(self, other: Self) -> Self {
        let n = self.n + other.n;
        if n == 0 {
            return self;
        }
        let (share, step) = (other.n as f64 / n as f64, other.mean - self.mean);
        let scatter = self.scatter + other.scatter + self.n as f64 * share * step * step;
        Self { n, mean: self.mean + share * step, scatter }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// A kind of figure with a mean that can be chosen.
    #[derive(Debug, Clone, Copy)]
    enum Kind {
        /// Right or wrong.
        Binary,
        /// Spread evenly, .1 to either side.
        Even,
    }

    impl Kind {
        fn draw(self, mean: f64, rng: &mut ChaCha8Rng) -> f64 {
            match self {
                Self::Binary => f64::from(u8::from(rng.random::<f64>() < mean)),
                Self::Even => mean + 0.2 * rng.random::<f64>() - 0.1,
            }
        }
    }

    /// A window after `n` observations of one mean.
    fn settled(kind: Kind, mean: f64, n: usize, rng: &mut ChaCha8Rng) -> Adwin {
        let mut adwin = Adwin::default();
        for _ in 0..n {
            adwin.push(kind.draw(mean, rng));
        }
        adwin
    }

    #[test]
    fn a_window_is_the_nearer_to_a_cut_the_more_its_parts_differ_in_that_direction() {
        let mut adwin = Adwin::default();
        (0..9).for_each(|_| assert_eq!(adwin.push(0.2), None));
        assert_eq!(adwin.nearness(Direction::Rises), None, "no part of it has enough on both sides");
        (0..91).for_each(|_| assert_eq!(adwin.push(0.2), None));
        assert_eq!(adwin.nearness(Direction::Rises), Some(0.0));
        let mut last = 0.0;
        let cut = (0..40).find_map(|_| {
            let cut = adwin.push(0.9);
            if cut.is_none() {
                let nearness = adwin.nearness(Direction::Rises).unwrap();
                assert!((last..1.0).contains(&nearness), "{nearness} after {last}");
                assert_eq!(adwin.nearness(Direction::Falls), Some(0.0));
                last = nearness;
            }
            cut
        });
        assert!(cut.is_some() && last > 0.5, "{cut:?} after {last}");
    }

    #[test]
    fn fewer_than_one_in_a_hundred_streams_of_a_thousand_is_cut_without_a_change() {
        for (kind, mean) in [(Kind::Binary, 0.02), (Kind::Binary, 0.1), (Kind::Binary, 0.5), (Kind::Even, 0.8)] {
            let is_cut = |seed: &u64| {
                let mut rng = ChaCha8Rng::seed_from_u64(*seed);
                let mut adwin = Adwin::default();
                (0..1000).any(|_| adwin.push(kind.draw(mean, &mut rng)).is_some())
            };
            let cut: Vec<u64> = (0..300).filter(is_cut).collect();
            assert!(cut.len() < 3, "{kind:?} about {mean}: seeds {cut:?}");
        }
    }

    #[test]
    fn a_step_is_found_within_the_stated_number_of_observations_and_with_its_means() {
        for (kind, before, after, within) in
            [(Kind::Binary, 0.1, 0.5, 80), (Kind::Binary, 0.1, 0.3, 240), (Kind::Even, 0.9, 0.8, 120)]
        {
            for seed in 0..100 {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let mut adwin = settled(kind, before, 1000, &mut rng);
                let found = (1..=within).find_map(|n| adwin.push(kind.draw(after, &mut rng)).map(|cut| (n, cut)));
                let Some((n, cut)) = found else { panic!("{kind:?} {before} to {after}, seed {seed}: not found") };
                assert!((cut.before - before).abs() < 0.05, "{kind:?}, seed {seed}: {cut:?}");
                assert!(
                    (cut.after > before) == (after > before) && cut.n_after <= n + 128,
                    "{kind:?}, seed {seed}: {cut:?}"
                );
                assert_eq!(adwin.n(), cut.n_after);
            }
        }
    }

    #[test]
    fn memory_grows_with_the_logarithm_and_nothing_is_lost_in_merging() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut adwin = Adwin::default();
        let (mut xs, mut most) = (Vec::new(), 0);
        for n in 1..=100_000_u32 {
            let x = Kind::Even.draw(0.5, &mut rng);
            assert!(adwin.push(x).is_none(), "cut after {n}");
            xs.push(x);
            most = most.max(adwin.buckets.len());
        }
        // At most five of each size: 5 (2^k - 1) observations fit k sizes.
        assert!(most <= 5 * 15, "{most} buckets");
        let mean = xs.iter().sum::<f64>() / 1e5;
        let scatter = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        let whole = adwin.whole();
        assert_eq!(whole.n, 100_000);
        assert!((whole.mean - mean).abs() < 1e-12 && (whole.scatter / scatter - 1.0).abs() < 1e-9, "{whole:?}");
        assert!(adwin.buckets.iter().zip(adwin.buckets.iter().skip(1)).all(|(old, new)| old.n >= new.n));
    }

    #[test]
    fn a_watch_that_was_stored_goes_on_as_if_nothing_had_happened() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut adwin = settled(Kind::Binary, 0.1, 700, &mut rng);
        let mut stored: Adwin = serde_json::from_str(&serde_json::to_string(&adwin).unwrap()).unwrap();
        let later: Vec<f64> = (0..300).map(|_| Kind::Binary.draw(0.6, &mut rng)).collect();
        let cuts: Vec<_> = later.iter().map(|x| adwin.push(*x)).collect();
        assert_eq!(later.iter().map(|x| stored.push(*x)).collect::<Vec<_>>(), cuts);
        assert!(cuts.iter().any(Option::is_some));
    }

    #[test]
    fn what_is_no_figure_is_ignored_and_what_is_out_of_range_is_clamped() {
        let mut adwin = Adwin::default();
        assert_eq!((adwin.push(f64::NAN), adwin.n(), adwin.mean()), (None, 0, None));
        adwin.push(f64::INFINITY);
        adwin.push(-3.0);
        assert_eq!((adwin.n(), adwin.mean()), (2, Some(0.5)));
    }
}
