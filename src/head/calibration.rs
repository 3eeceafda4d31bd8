//! Calibrated uncertainty: which classes cannot be ruled out, and whether an image is of none of them.
//!
//! Both rest on held-out samples of the training, so neither holds for a camera that has moved since.
//!
//! [`Conformal`] gives sets of classes that contain the true one with a guaranteed probability. The score of a held-out
//! sample is `s = 1 - p_y`; with q the ceil((n+1)(1-alpha))-th smallest of n scores the set of a new image is
//! `{k : p_k >= 1 - q}` (Sadinle, Lei & Wasserman 2019, arXiv 1609.00451). The promise is made for images like the
//! held-out ones and lapses under drift. `eval::calibrate` makes the scores; nothing here learns.

use super::Novelty;

/// Made once after a training, used for every image.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Calibration {
    /// Sets of classes; `None` with nothing held out.
    pub conformal: Option<Conformal>,
    /// Unknown images; `None` with too little held out to set a threshold by.
    pub novelty: Option<Novelty>,
}

/// The uncertainty of one prediction, beside its probabilities.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Doubt {
    /// Classes that cannot be ruled out, in class order; `None` when there are too few held-out samples.
    pub set: Option<Vec<usize>>,
    /// How unlike the known classes, larger is less alike; `None` without a detector.
    pub novelty: Option<f64>,
    /// Percentage of known images that are more alike.
    pub percentile: Option<f64>,
    /// Whether it is of none of the classes; `None` without a threshold.
    pub unknown: Option<bool>,
}

/// The error rates at which a head doubts; the configuration's `prediction.*`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DoubtRates {
    /// Share of images whose set may miss their class, 0..1.
    pub alpha: f64,
    /// An image is unknown when it is more novel than this percentage of known images.
    pub percentile: f64,
}

impl DoubtRates {
    /// The defaults of `prediction.abstain.alpha` and `prediction.unknown.percentile`.
    pub const DEFAULT: Self = Self { alpha: 0.1, percentile: 99.0 };
}

/// How unlike the known classes an image is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NoveltyFound {
    /// Larger is less alike.
    pub score: f64,
    /// Percentage of known images that are more alike.
    pub percentile: f64,
    /// Whether it is of none of the classes; `None` with too few known images to say.
    pub unknown: Option<bool>,
}

impl Calibration {
    /// The uncertainty of an image with probabilities `p` (k,) and `embedding` (d,): a set that misses the true class
    /// with probability `rates.alpha` at most, and unknown when the score is beyond `rates.percentile` of known
    /// images'.
    ///
    /// # Panics
    /// When `embedding` is not of the head's width.
    #[must_use]
    pub fn doubt(&self, p: &[f32], embedding: &[f32], rates: DoubtRates) -> Doubt {
        let DoubtRates { alpha, percentile } = rates;
        let set = self.conformal.as_ref().filter(|conformal| conformal.quantile(alpha).is_finite());
        let set = set.map(|conformal| conformal.set(p, alpha));
        let Some(found) = self.novelty_of(embedding, percentile) else { return Doubt { set, ..Doubt::default() } };
        Doubt { set, novelty: Some(found.score), percentile: Some(found.percentile), unknown: found.unknown }
    }

    /// How novel an image with `embedding` (d,) is, and whether more so than `percentile` of known images; `None`
    /// where too little was held out to say.
    ///
    /// # Panics
    /// When `embedding` is not of the head's width.
    #[must_use]
    pub fn novelty_of(&self, embedding: &[f32], percentile: f64) -> Option<NoveltyFound> {
        let novelty = self.novelty.as_ref()?;
        let score = novelty.score(embedding);
        // A NaN score counts as novel.
        let unknown = novelty.threshold(percentile).map(|threshold| score.is_nan() || score > threshold);
        Some(NoveltyFound { score, percentile: novelty.percentile_of(score), unknown })
    }
}

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
    use ndarray::{Array1, array};
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::head::{NoveltyParts, Ranked};

    fn calibration(n: usize) -> Calibration {
        let ranked = |values: Vec<f32>| Ranked::new(values).unwrap();
        let novelty = Novelty::new(NoveltyParts {
            means: array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            centre: Array1::from_vec(vec![0.5, 0.5, 0.0]),
            references: array![[127, -127, 0], [-127, 127, 0]],
            location: [0.1, -0.9],
            scale: [0.1, 0.1],
            heldout: ranked((0..n).map(|i| i as f32 / n as f32).collect()),
        });
        Calibration { conformal: Conformal::new(ranked(vec![0.2; n])), novelty: novelty.ok() }
    }

    #[test]
    fn a_sure_image_has_a_set_of_one_class_an_unsure_one_of_none_and_a_foreign_one_is_unknown() {
        let calibration = calibration(120);
        let doubt = |p: &[f32], z: &[f32]| calibration.doubt(p, z, DoubtRates::DEFAULT);
        let known = doubt(&[0.9, 0.1], &[2.0, 0.0, 0.0]);
        assert_eq!((known.set.clone(), known.unknown), (Some(vec![0]), Some(false)));
        assert_eq!(doubt(&[0.6, 0.4], &[1.0, 0.0, 0.0]).set, Some(Vec::new()));
        let unknown = doubt(&[0.9, 0.1], &[0.0, 0.0, 1.0]);
        assert_eq!((unknown.unknown, unknown.percentile), (Some(true), Some(100.0)));
        assert!(unknown.novelty > known.novelty);
    }

    #[test]
    fn too_few_held_out_samples_give_neither_a_set_nor_a_verdict_on_novelty() {
        assert_eq!(Calibration::default().doubt(&[0.6, 0.4], &[1.0, 0.0, 0.0], DoubtRates::DEFAULT), Doubt::default());
        let doubt = calibration(8).doubt(&[0.6, 0.4], &[0.0, 0.0, 1.0], DoubtRates::DEFAULT);
        assert_eq!((doubt.set.clone(), doubt.unknown), (None, None));
        assert!(doubt.novelty.is_some());
    }

    #[test]
    fn an_embedding_that_is_no_number_is_unknown() {
        assert_eq!(calibration(120).doubt(&[0.9, 0.1], &[f32::NAN, 0.0, 0.0], DoubtRates::DEFAULT).unknown, Some(true));
    }

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
    fn a_thousand_points_represent_many_values_on_the_safe_side() {
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
