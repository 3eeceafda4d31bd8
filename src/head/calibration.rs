//! Calibrated uncertainty: which classes cannot be ruled out, and whether an image is of none of them.
//!
//! Both rest on held-out samples of the training, so neither holds for a camera that has moved since.

use super::{Conformal, Novelty};

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

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

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
    fn with_too_little_held_out_nothing_is_said() {
        assert_eq!(Calibration::default().doubt(&[0.6, 0.4], &[1.0, 0.0, 0.0], DoubtRates::DEFAULT), Doubt::default());
        let doubt = calibration(8).doubt(&[0.6, 0.4], &[0.0, 0.0, 1.0], DoubtRates::DEFAULT);
        assert_eq!((doubt.set.clone(), doubt.unknown), (None, None));
        assert!(doubt.novelty.is_some());
    }

    #[test]
    fn an_embedding_that_is_no_number_is_unknown() {
        assert_eq!(calibration(120).doubt(&[0.9, 0.1], &[f32::NAN, 0.0, 0.0], DoubtRates::DEFAULT).unknown, Some(true));
    }
}
