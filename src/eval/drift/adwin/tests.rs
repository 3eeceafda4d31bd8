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
