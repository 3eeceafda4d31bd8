//! Heads made of sums alone.
//!
//! Linear discriminant analysis and ridge regression need no more. A softmax regression does, so it is fitted on draws from
//! the Gaussians that the sums describe, as trainings remember evicted images. Classes count alike, however many
//! images the fleet has of each.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ndarray::{Array1, Array2};

use super::{Source, Statistics};
use crate::head::{Calibration, DenseHead, HeadRecord, HeldOut, TrainingFacts};
use crate::train::{
    self, BadData, Cholesky, ClassStats, Dataset, FitError, NoFactor, Settings, deviations, fit, fit_temperature,
};
use crate::words::{ClassSet, EmbeddingSpace, SampleId, Timestamp, keywords};

/// Draws of each class that a softmax regression is fitted on.
const DRAWS: usize = 200;
/// Draws of each class that a temperature is fitted on.
const TEMPERED_BY: usize = 50;
/// Added to a seed for draws that are independent of those a head was fitted on.
const APART: u64 = 0x5eed;

/// A way to make a head of sums.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Candidate {
    /// Linear discriminant analysis, its covariance shrunken by the oracle-approximating share.
    Lda,
    /// Ridge regression to class indicators; the penalty in parts of the mean variance.
    Ridge {
        /// Above zero.
        lambda: f64,
    },
    /// Softmax regression on draws.
    Softmax,
}

/// All that are tried, the simplest first.
#[must_use]
pub fn candidates() -> Vec<Candidate> {
    let ridges = [3.0, 1.0, 0.3].map(|lambda| Candidate::Ridge { lambda });
    [Candidate::Lda].into_iter().chain(ridges).chain([Candidate::Softmax]).collect()
}

keywords! {
    /// Kinds of head that sums can be made into.
    pub enum HeadKind {
        /// Softmax regression on draws.
        Softmax = "softmax",
        /// Linear discriminant analysis.
        Lda = "lda",
        /// Ridge regression.
        Ridge = "ridge",
    }
}

impl HeadKind {
    /// The candidate of this kind where no device measures several.
    #[must_use]
    pub fn usual(self) -> Candidate {
        match self {
            Self::Softmax => Candidate::Softmax,
            Self::Lda => Candidate::Lda,
            Self::Ridge => Candidate::Ridge { lambda: 1.0 },
        }
    }
}

/// Why sums give no head.
#[derive(Debug, thiserror::Error)]
pub enum NoHead {
    /// Fewer than two classes.
    #[error(
        "the statistics hold {found} class, a head needs two; merge devices that see others, or lower fleet.min_class_count on them"
    )]
    OneClass {
        /// How many.
        found: usize,
    },
    /// Images do not differ from the mean of their class.
    #[error(
        "the images of each class are all alike, so nothing says how they vary; collect from devices with more images"
    )]
    NoScatter(#[source] NoFactor),
    /// As of any training.
    #[error(transparent)]
    Data(#[from] BadData),
    /// As of any training.
    #[error(transparent)]
    Fit(#[from] FitError),
}

/// A head of a fleet, with what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct FleetHead {
    /// On embeddings as the backbone gives them.
    pub dense: DenseHead,
    /// How.
    pub facts: TrainingFacts,
}

impl Candidate {
    /// As reports name it.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Lda => "lda",
            Self::Ridge { .. } => "ridge",
            Self::Softmax => "softmax",
        }
    }

    /// The head of `statistics`; draws depend on `seed`. Its temperature fits draws, which are kinder than pictures: devices
    /// that measure it may find a higher one.
    ///
    /// # Errors
    /// [`NoHead`] when the statistics know a single class or no scatter.
    pub fn head(self, statistics: &Statistics, seed: u64) -> Result<FleetHead, NoHead> {
        let Statistics { source, classes, sums } = statistics;
        if classes.len() < 2 {
            return Err(NoHead::OneClass { found: classes.len() });
        }
        let mut facts = TrainingFacts {
            kind: self.kind().to_owned(),
            solver: "cholesky".to_owned(),
            iterations: 1,
            converged: true,
            n_train: sums.counts().iter().sum::<u64>() as usize,
            seed,
            ..TrainingFacts::default()
        };
        let dense = match self {
            Self::Lda => {
                let shrinkage = sums.oas_shrinkage().min(ClassStats::MAX_SHRINKAGE);
                facts.hyper = BTreeMap::from([("shrinkage".to_owned(), shrinkage)]);
                let (weights, bias) = sums.head(shrinkage).map_err(NoHead::NoScatter)?;
                tempered(statistics, &weights, &bias, seed)?
            }
            Self::Ridge { lambda } => {
                facts.lambda = lambda;
                let (weights, bias) = ridge(sums, lambda).map_err(NoHead::NoScatter)?;
                tempered(statistics, &weights, &bias, seed)?
            }
            Self::Softmax => {
                let (x, y) = draws(sums, DRAWS, seed)?;
                let data = drawn(source, classes, x, y)?;
                let settings = Settings { kind: train::HeadKind::Softmax, seed, ..Settings::default() };
                let fitted = fit(&data, &settings, &mut |_| ControlFlow::Continue(()))?;
                facts = TrainingFacts { n_train: facts.n_train, ..fitted.facts };
                facts.hyper.insert("drawn".to_owned(), data.n() as f64);
                fitted.dense
            }
        };
        Ok(FleetHead { dense: unprojected(source, dense), facts })
    }
}

impl FleetHead {
    /// The record that is signed and sent, for trainings to build on; nothing was held out, so it has no figures.
    #[must_use]
    pub fn into_record(self, source: &Source, created: Timestamp) -> HeadRecord {
        HeadRecord {
            region: source.region.clone(),
            prior: Some(self.dense.clone()),
            training: self.facts,
            figures: None,
            heldout: HeldOut::default(),
            calibration: Calibration::default(),
            ..HeadRecord::new(self.dense, 1, created, source.backbone.clone())
        }
    }
}

/// A linear head with the temperature that fits draws.
fn tempered(
    statistics: &Statistics,
    weights: &Array2<f64>,
    bias: &Array1<f64>,
    seed: u64,
) -> Result<DenseHead, NoHead> {
    let Statistics { source, classes, sums } = statistics;
    let (x, y) = draws(sums, TEMPERED_BY, seed.wrapping_add(APART))?;
    let logits = x.mapv(f64::from).dot(&weights.t()) + bias;
    let scored: Vec<(Vec<f64>, usize)> = logits.rows().into_iter().map(|row| row.to_vec()).zip(y).collect();
    let space = EmbeddingSpace { dim: source.width(), ..source.space };
    let (weights, bias) = (weights.mapv(|value| value as f32), bias.mapv(|value| value as f32));
    let temperature = fit_temperature(&scored) as f32;
    Ok(DenseHead { temperature, ..DenseHead::linear(space, classes.clone(), weights, bias) })
}

/// `w_k = (T + lambda t I)^-1 (mu_k - m)` and `b_k = 1 / K - w_k . m`: least squares on class indicators, every class counted as N / K
/// images, `T = S + N / K sum_k (mu_k - m)(mu_k - m)^T`, t its mean diagonal value (Hoerl & Kennard 1970).
fn ridge(sums: &ClassStats, lambda: f64) -> Result<(Array2<f64>, Array1<f64>), NoFactor> {
    let (k, d) = (sums.counts().len(), sums.dim());
    let share = sums.counts().iter().sum::<u64>() as f64 / k as f64;
    let middle = sums.means().mean_axis(ndarray::Axis(0)).expect("a class");
    let centred = &sums.means() - &middle;
    let between = ClassStats::gram(&(&centred * share.sqrt()));
    let half: Vec<f64> = sums.scatter().iter().zip(between).map(|(within, between)| within + between).collect();
    let trace: f64 = (0..d).map(|i| half[i * (i + 1) / 2 + i]).sum();
    let mut matrix = Array2::zeros((d, d));
    for (i, mut row) in matrix.rows_mut().into_iter().enumerate() {
        row.iter_mut().zip(&half[i * (i + 1) / 2..][..=i]).for_each(|(value, from)| *value = *from);
        row[i] += lambda * trace / d as f64;
    }
    let solved = Cholesky::of(matrix)?.solve((&centred * share).reversed_axes().as_standard_layout().into_owned());
    let weights = solved.reversed_axes().as_standard_layout().into_owned();
    let bias = weights.dot(&middle).mapv(|value| 1.0 / k as f64 - value);
    Ok((weights, bias))
}

/// `count` draws of each class, one class after another (k count, d), and their classes.
fn draws(sums: &ClassStats, count: usize, seed: u64) -> Result<(Array2<f32>, Vec<usize>), NoHead> {
    let y: Vec<usize> = (0..sums.counts().len()).flat_map(|class| vec![class; count]).collect();
    let deviations =
        deviations(sums, y.len(), seed).ok_or(NoHead::NoScatter(NoFactor::NotPositive { at: 0, pivot: 0.0 }))?;
    let mut x = Array2::zeros(deviations.dim());
    for ((mut row, deviation), &class) in x.rows_mut().into_iter().zip(deviations.rows()).zip(&y) {
        let mean = sums.means();
        row.iter_mut().zip(mean.row(class).iter().zip(deviation)).for_each(|(to, (mean, by))| *to = (mean + by) as f32);
    }
    Ok((x, y))
}

/// Draws as what a training takes; each is a group of its own.
fn drawn(source: &Source, classes: &ClassSet, x: Array2<f32>, y: Vec<usize>) -> Result<Dataset, BadData> {
    let ids: Vec<SampleId> = (0..y.len()).map(|row| SampleId::of(&row.to_le_bytes())).collect();
    let space = EmbeddingSpace { dim: source.width(), ..source.space };
    Dataset::new(space, x, y, classes.clone(), ids.clone(), ids)
}

/// A head on projected embeddings as one on those of the backbone.
fn unprojected(source: &Source, dense: DenseHead) -> DenseHead {
    let Some(projection) = source.projection else { return dense };
    let weights = dense.weights.mapv(f64::from).dot(&projection.matrix(source.space.dim)).mapv(|value| value as f32);
    DenseHead { space: source.space, weights, ..dense }
}

#[cfg(test)]
mod tests {
    use super::super::statistics::tests::{samples, shared, source};
    use super::super::{Projection, Source};
    use super::*;

    fn accuracy(head: &DenseHead, seed: u64, names: &[&str], dim: usize) -> f64 {
        let (x, labels) = samples(seed, names, 40, dim);
        let p = head.probabilities_of(&x).unwrap();
        let right = p.rows().into_iter().zip(&labels).filter(|(row, label)| {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            head.classes.labels()[best] == **label
        });
        right.count() as f64 / labels.len() as f64
    }

    #[test]
    fn every_candidate_separates_what_can_be_separated() {
        let names = ["bolt", "gear", "nut"];
        let statistics = shared(1, &names, 30, 8);
        for candidate in candidates() {
            let head = candidate.head(&statistics, 7).unwrap();
            let right = accuracy(&head.dense, 2, &names, 8);
            assert!(right > 0.98, "{candidate:?}: {right}");
            assert_eq!(head.facts.kind, candidate.kind());
            assert_eq!(candidate.head(&statistics, 7).unwrap(), head, "the same seed gives the same head");
        }
    }

    #[test]
    fn a_head_of_projected_sums_reads_embeddings_as_they_are() {
        let names = ["bolt", "gear", "nut"];
        let (x, labels) = samples(1, &names, 30, 24);
        let projected = Source { projection: Some(Projection { values: 12, seed: 5 }), ..source(24) };
        let statistics = Statistics::gather(projected, x.view(), &labels, None, 1).unwrap();
        for candidate in candidates() {
            let head = candidate.head(&statistics, 7).unwrap().dense;
            assert_eq!(head.space, source(24).space);
            let right = accuracy(&head, 2, &names, 24);
            assert!(right > 0.9, "{candidate:?}: {right}");
        }
    }

    #[test]
    fn ridge_is_the_least_squares_solution_of_its_samples() {
        // Classes of one size, so that counting them alike changes nothing.
        let (x, labels) = samples(4, &["bolt", "gear", "nut"], 15, 5);
        let statistics = Statistics::gather(source(5), x.view(), &labels, None, 1).unwrap();
        let (weights, bias) = ridge(&statistics.sums, 0.5).unwrap();
        // The gradient of sum |W x + b - y|^2 + lambda t |W|^2 is zero there.
        let x = x.mapv(f64::from);
        let y = Array2::from_shape_fn((45, 3), |(i, k)| {
            f64::from(u8::from(statistics.classes.index_of(&labels[i]) == Some(k)))
        });
        let residual = x.dot(&weights.t()) + &bias - &y;
        let centred = &x - &x.mean_axis(ndarray::Axis(0)).unwrap();
        let penalty = 0.5 * centred.iter().map(|value| value * value).sum::<f64>() / 5.0;
        let gradient = residual.t().dot(&x) + &weights * penalty;
        assert!(gradient.iter().all(|value| value.abs() < 1e-8), "{gradient}");
        assert!(residual.sum_axis(ndarray::Axis(0)).iter().all(|value| value.abs() < 1e-8));
    }

    #[test]
    fn one_class_and_no_scatter_are_refused_with_the_next_act() {
        let one = Candidate::Lda.head(&shared(1, &["gear"], 9, 3), 0).unwrap_err();
        assert!(one.to_string().contains("merge devices that see others"), "{one}");
        let alike = shared(1, &["gear", "nut"], 1, 3);
        for candidate in candidates() {
            assert!(matches!(candidate.head(&alike, 0), Err(NoHead::NoScatter(_) | NoHead::Fit(_))), "{candidate:?}");
        }
    }
}
