//! How unlike everything it was trained on an image is: "none of my classes".
//!
//! On unit-length embeddings `u = z / ||z||`, with class means `m_k` and c the mean of all, two parts are added after
//! each is standardised by its mean and deviation over held-out samples:
//! - `min_k ||u - m_k||`, the distance to the nearest class mean: unlike any picture of this kind;
//! - `-max_i cos(u - c, r_i - c)` over reference samples r: it differs from the average picture as no known one does,
//!   the nearest-neighbour score of Sun et al. 2022 (arXiv 2204.06507) after centring.
//!
//! Either alone misses what the other sees. z is the embedding alone: with inner values, which are longer than it, unknown
//! images are found less surely (decision 50). `eval::calibrate` chooses the references and makes the held-out scores;
//! nothing here learns.

use ndarray::{Array1, Array2};

use super::Ranked;

/// What the scores are computed from, as it is kept; d is the width of embeddings.
#[derive(Debug, Clone, PartialEq)]
pub struct NoveltyParts {
    /// Mean unit-length embedding of each class (k, d).
    pub means: Array2<f32>,
    /// c, the mean of all (d,).
    pub centre: Array1<f32>,
    /// Directions of `r - c` (m, d): each row scaled so that its largest value is 127, and rounded.
    pub references: Array2<i8>,
    /// Mean of either part over held-out samples.
    pub location: [f32; 2],
    /// Standard deviation of either part, above 0.
    pub scale: [f32; 2],
    /// Scores of held-out samples, each by means, centre and references without its group.
    pub heldout: Ranked,
}

/// A detector ready for use.
#[derive(Debug, Clone, PartialEq)]
pub struct Novelty {
    parts: NoveltyParts,
    /// Squared lengths of the means (k,).
    squares: Vec<f64>,
    /// 1 / length of the references (m,).
    inverse: Vec<f32>,
}

/// Why parts are not a valid detector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the novelty part '{part}' is {found}, expected {expected}; restore the head from a copy or train again")]
pub struct BadNovelty {
    /// Which part.
    pub part: &'static str,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl Novelty {
    /// Fewest held-out scores that a threshold may rest on.
    pub const NEEDED: usize = 20;

    /// Checks and takes `parts`.
    ///
    /// # Errors
    /// [`BadNovelty`] naming the first thing that is wrong.
    pub fn new(parts: NoveltyParts) -> Result<Self, BadNovelty> {
        let bad = |part, expected: &str, found: String| BadNovelty { part, expected: expected.to_owned(), found };
        let (k, d) = parts.means.dim();
        if k == 0 || d == 0 || !parts.means.iter().all(|value| value.is_finite()) {
            return Err(bad("means", "one or more rows of finite numbers", format!("{k} rows of {d}")));
        }
        if parts.centre.len() != d || !parts.centre.iter().all(|value| value.is_finite()) {
            return Err(bad("centre", &format!("{d} finite numbers"), format!("{} numbers", parts.centre.len())));
        }
        let (m, width) = parts.references.dim();
        let flat = |row: ndarray::ArrayView1<'_, i8>| row.iter().all(|code| *code == 0);
        if m == 0 || width != d || parts.references.rows().into_iter().any(flat) {
            return Err(bad("references", &format!("rows of {d}, none of zeros"), format!("{m} rows of {width}")));
        }
        let sound = |value: f32| value.is_finite() && value > 0.0;
        if !(parts.location.iter().all(|value| value.is_finite()) && parts.scale.iter().all(|value| sound(*value))) {
            let found = format!("{:?} and {:?}", parts.location, parts.scale);
            return Err(bad("location and scale", "finite numbers, scales above 0", found));
        }
        let squares = parts.means.rows().into_iter().map(|row| row.iter().map(|v| f64::from(*v).powi(2)).sum());
        let length = |row: ndarray::ArrayView1<'_, i8>| row.iter().map(|v| f32::from(*v).powi(2)).sum::<f32>().sqrt();
        let inverse = parts.references.rows().into_iter().map(|row| 1.0 / length(row));
        let (squares, inverse) = (squares.collect(), inverse.collect());
        let parts = NoveltyParts {
            means: parts.means.as_standard_layout().into_owned(),
            references: parts.references.as_standard_layout().into_owned(),
            ..parts
        };
        Ok(Self { parts, squares, inverse })
    }

    /// What it was made of.
    #[must_use]
    pub fn parts(&self) -> &NoveltyParts {
        &self.parts
    }

    /// How many of an embedding's values it reads, the first ones.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.parts.centre.len()
    }

    /// The score of an `embedding` (d,), d or more values as the backbone gives them; the larger, the less like a known one. Known images
    /// have scores around 0.
    ///
    /// # Panics
    /// When `embedding` is less than d long.
    #[must_use]
    pub fn score(&self, embedding: &[f32]) -> f64 {
        assert!(embedding.len() >= self.dim(), "an embedding of the head's space");
        let embedding = &embedding[..self.dim()];
        let NoveltyParts { means, centre, references, location, scale, .. } = &self.parts;
        let u = unit(embedding);
        let own: f64 = u.iter().map(|v| f64::from(*v).powi(2)).sum();
        let distances = means.rows().into_iter().zip(&self.squares).map(|(mean, square)| {
            let product = dot(mean.as_slice().expect("standard layout"), &u, |v| v);
            (own + square - 2.0 * f64::from(product)).max(0.0).sqrt()
        });
        let distance = distances.fold(f64::INFINITY, f64::min);
        let mut centred = u.clone();
        centred.iter_mut().zip(centre).for_each(|(v, c)| *v -= c);
        let centred = unit(&centred);
        let cosines = references.rows().into_iter().zip(&self.inverse).map(|(reference, inverse)| {
            dot(reference.as_slice().expect("standard layout"), &centred, f32::from) * inverse
        });
        let cosine = cosines.fold(f32::NEG_INFINITY, f32::max);
        combine([distance, f64::from(-cosine)], *location, *scale)
    }

    /// The score above which an image is called unknown, so that known images are with probability
    /// `1 - percentile / 100` at most; `None` with fewer than 20 held-out scores.
    ///
    /// With fewer than `percentile` needs (99 for 99) it is the largest of them, and false alarms are 1 in n + 1.
    #[must_use]
    pub fn threshold(&self, percentile: f64) -> Option<f64> {
        let heldout = &self.parts.heldout;
        if heldout.n() < Self::NEEDED {
            return None;
        }
        heldout.reached_by(percentile / 100.0).or(heldout.values().last().copied()).map(f64::from)
    }

    /// Percentage of held-out scores below `score`.
    #[must_use]
    pub fn percentile_of(&self, score: f64) -> f64 {
        100.0 * self.parts.heldout.share_below(score)
    }
}

/// The standardised sum of both parts.
pub(crate) fn combine(parts: [f64; 2], location: [f32; 2], scale: [f32; 2]) -> f64 {
    (0..2).map(|part| (parts[part] - f64::from(location[part])) / f64::from(scale[part])).sum()
}

/// `values` at length 1; zeros stay zeros.
pub(crate) fn unit(values: &[f32]) -> Vec<f32> {
    let length = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    values.iter().map(|v| (f64::from(*v) * scale) as f32).collect()
}

/// The product of two vectors, in eight lanes.
pub(crate) fn dot<T: Copy>(a: &[T], b: &[f32], number: impl Fn(T) -> f32) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0.0_f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| number(*a) * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += number(a[lane]) * b[lane];
        }
    }
    rest + sums.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;

    fn parts(n: usize) -> NoveltyParts {
        NoveltyParts {
            means: array![[0.8, 0.0, 0.0], [0.0, 0.6, 0.0]],
            centre: Array1::from_vec(vec![0.4, 0.3, 0.0]),
            references: array![[127, -64, 0], [-85, 127, 3]],
            location: [0.5, -0.25],
            scale: [0.25, 2.0],
            heldout: Ranked::new((0..n).map(|i| i as f32).collect()).unwrap(),
        }
    }

    #[test]
    fn the_score_is_the_formula_and_does_not_depend_on_the_length_of_the_embedding() {
        let novelty = Novelty::new(parts(30)).unwrap();
        // u = (.6, .8, 0): distances sqrt(.04 + .64) and sqrt(.36 + .04); u - c = (.2, .5, 0).
        let distance = 0.4_f64.sqrt();
        let cosine = (-85.0 * 0.2 + 127.0 * 0.5) / (0.29_f64.sqrt() * (85.0_f64 * 85.0 + 127.0 * 127.0 + 9.0).sqrt());
        let expected = (distance - 0.5) / 0.25 + 0.5 * (0.25 - cosine);
        for length in [1e-3, 1.0, 5e3] {
            let found = novelty.score(&[0.6 * length, 0.8 * length, 0.0]);
            assert!((found - expected).abs() < 1e-5, "{length}: {found} {expected}");
        }
        assert!(novelty.score(&[0.0; 3]).is_finite());
    }

    #[test]
    fn the_threshold_is_a_percentile_and_too_few_scores_have_none() {
        let novelty = |n| Novelty::new(parts(n)).unwrap();
        assert_eq!(novelty(199).threshold(99.0), Some(197.0));
        assert_eq!(novelty(199).threshold(90.0), Some(179.0));
        assert_eq!(novelty(98).threshold(99.0), Some(97.0));
        assert_eq!(novelty(Novelty::NEEDED).threshold(99.0), Some(19.0));
        assert_eq!(novelty(Novelty::NEEDED - 1).threshold(99.0), None);
        assert!((novelty(200).percentile_of(150.0) - 75.0).abs() < 1e-9);
        assert!((novelty(200).percentile_of(1e9) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn parts_come_back_and_damaged_ones_are_refused_by_name() {
        let novelty = Novelty::new(parts(30)).unwrap();
        assert_eq!(Novelty::new(novelty.parts().clone()), Ok(novelty));
        let broken = [
            ("means", NoveltyParts { means: Array2::zeros((0, 3)), ..parts(30) }),
            ("means", NoveltyParts { means: array![[f32::NAN, 0.0, 0.0]], ..parts(30) }),
            ("centre", NoveltyParts { centre: Array1::zeros(2), ..parts(30) }),
            ("centre", NoveltyParts { centre: Array1::from_elem(3, f32::INFINITY), ..parts(30) }),
            ("references", NoveltyParts { references: Array2::zeros((0, 3)), ..parts(30) }),
            ("references", NoveltyParts { references: array![[1, 0]], ..parts(30) }),
            ("references", NoveltyParts { references: array![[1, 0, 0], [0, 0, 0]], ..parts(30) }),
            ("location and scale", NoveltyParts { scale: [0.0, 1.0], ..parts(30) }),
            ("location and scale", NoveltyParts { location: [f32::NAN, 1.0], ..parts(30) }),
        ];
        for (part, parts) in broken {
            let error = Novelty::new(parts).unwrap_err();
            assert!(error.part == part && error.to_string().contains("train again"), "{error}");
        }
    }

    #[test]
    fn products_do_not_depend_on_the_number_of_lanes() {
        for n in [0, 1, 7, 8, 9, 31] {
            let a: Vec<f32> = (0..n).map(|i| i as f32 - 3.0).collect();
            let b: Vec<f32> = (0..n).map(|i| 0.5 * i as f32).collect();
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert!((dot(&a, &b, |v| v) - expected).abs() < 1e-3, "{n}");
        }
    }
}
