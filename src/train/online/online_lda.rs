//! Linear discriminant analysis that is updated sample by sample without a new factorisation.
//!
//! The shrunken covariance is `(1 - eps) / (N - K) M` with `M = S + ridge I`; `eps` and `ridge` stay as they were when
//! M was last factorised, as the matrix A. A sample changes M by one outer product, so by Sherman & Morrison its
//! inverse loses one: `M^-1 = A^-1 - sum_j g_j q_j q_j^T`. One sample costs two triangular sweeps.

use ndarray::{Array1, Array2};

use super::class_stats::RankOneUpdate;
use crate::train::ClassStats;
use crate::train::cholesky::{Cholesky, NoFactor, add_scaled, dot};

/// Rank-one updates after which a new factorisation is due.
const MAX_UPDATES: usize = 64;

/// How far the covariance is drawn towards a multiple of the identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shrinkage {
    /// By [`ClassStats::oas_shrinkage`] at each factorisation.
    Oas,
    /// This much, within (0, 1).
    Fixed(f64),
}

/// `M^-1`, and `M^-1 mu_k` of every class; 14 MB at d = 1280.
#[derive(Debug, Clone)]
pub struct OnlineLda {
    /// Of A.
    factor: Cholesky,
    eps: f64,
    ridge: f64,
    /// `g_j` and `q_j`.
    updates: Vec<(f64, Vec<f64>)>,
    /// `M^-1 mu_k`, row by row (k, d).
    solved_means: Array2<f64>,
    /// Set when a removal left a direction without curvature: only a new factorisation helps.
    singular: bool,
    expected_distance: f64,
}

impl OnlineLda {
    /// Factorises the covariance of `stats`: d^3 / 2 multiplications, seconds on a small board.
    ///
    /// # Errors
    /// [`NoFactor`] when the shrunken covariance is not positive definite: too few samples to have any scatter.
    pub fn factorise(stats: &ClassStats, shrinkage: Shrinkage) -> Result<Self, NoFactor> {
        let eps = match shrinkage {
            Shrinkage::Oas => stats.oas_shrinkage(),
            Shrinkage::Fixed(eps) => eps,
        };
        let eps = eps.clamp(0.0, ClassStats::MAX_SHRINKAGE);
        let ridge = stats.ridge(eps);
        let factor = stats.factor(ridge)?;
        let solved_means = factor.solve(stats.means().t().to_owned()).reversed_axes().as_standard_layout().into_owned();
        let inside = stats.dim() as f64 - ridge * factor.inverse_trace();
        let expected_distance = expected_distance(stats, inside) / (1.0 - eps);
        Ok(Self { factor, eps, ridge, updates: Vec::new(), solved_means, singular: false, expected_distance })
    }

    /// Applies the change that adding or removing one sample just made to `stats`.
    pub(crate) fn rank_one_update(&mut self, stats: &ClassStats, change: &RankOneUpdate) {
        let known = self.solved_means.nrows();
        if stats.counts().len() > known {
            let mut solved_means = Array2::zeros((stats.counts().len(), stats.dim()));
            solved_means.slice_mut(ndarray::s![..known, ..]).assign(&self.solved_means);
            self.solved_means = solved_means;
        }
        if change.weight == 0.0 && change.step < 0.0 {
            return self.solved_means.row_mut(change.class).fill(0.0);
        }
        let q = self.solve(&change.direction);
        let curvature = 1.0 + change.weight * dot(&q, &change.direction);
        if curvature.is_nan() || curvature <= 1e-9 {
            self.singular = true;
            return;
        }
        let g = change.weight / curvature;
        for (class, mut row) in self.solved_means.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("rows are contiguous");
            // q . mu = direction . M^-1 mu, M being symmetric.
            let along = dot(&change.direction, row);
            let moved = if class == change.class { change.step / curvature } else { 0.0 };
            add_scaled(row, moved - g * along, &q);
        }
        if change.weight != 0.0 {
            self.updates.push((g, q));
        }
    }

    /// Whether a new factorisation is due; it takes long, so not while a label waits.
    #[must_use]
    pub fn should_refactorise(&self) -> bool {
        self.singular || self.updates.len() >= MAX_UPDATES
    }

    /// The shrinkage at the last factorisation.
    #[must_use]
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// What was added to the diagonal of S at the last factorisation.
    #[must_use]
    pub fn ridge(&self) -> f64 {
        self.ridge
    }

    /// Expected squared Mahalanobis distance of an unseen sample from its class's true mean, at the last factorisation.
    ///
    /// More than d where samples are few: the covariance is then fitted to the samples that it has seen.
    #[must_use]
    pub fn expected_distance(&self) -> f64 {
        self.expected_distance
    }

    /// `M^-1 v`.
    pub(crate) fn solve(&self, v: &[f64]) -> Vec<f64> {
        let mut out = v.to_vec();
        self.factor.solve_in_place(&mut out);
        for (g, q) in &self.updates {
            add_scaled(&mut out, -g * dot(q, v), q);
        }
        out
    }

    /// `(N - K) / (1 - eps)`: what makes the inverse covariance of `M^-1`.
    pub(crate) fn precision_scale(&self, stats: &ClassStats) -> f64 {
        stats.degrees_of_freedom() / (1.0 - self.eps)
    }

    /// Weights (k, d) and bias (k,) as [`ClassStats::head`] has them; `stats` are the statistics that every update was
    /// made for.
    #[must_use]
    pub fn head(&self, stats: &ClassStats) -> (Array2<f64>, Array1<f64>) {
        let weights = &self.solved_means * self.precision_scale(stats);
        let bias = stats.biases(&weights);
        (weights, bias)
    }
}

/// Expected squared Mahalanobis distance (under `S / (N - K)` with a ridge) of an unseen sample from its class's mean,
/// given `inside = tr(M^-1 S)`.
///
/// Leaving a sample out takes one outer product from M, so its distance without itself follows from its distance with
/// itself, g: `c^2 g / (1 - c g)`, `c = n / (n - 1)`. All g are taken at their mean, `inside / N`, as in generalised
/// cross-validation (Golub, Heath & Wahba 1979), and the noise of the mean itself, one part in n, is taken off.
fn expected_distance(stats: &ClassStats, inside: f64) -> f64 {
    let (mut n, mut k) = (0.0, 0.0);
    for &count in stats.counts().iter().filter(|count| **count > 0) {
        n += count as f64;
        k += 1.0;
    }
    if n <= k {
        return 0.0;
    }
    let (c, g) = (n / (n - k), inside / n);
    c * c * g / (1.0 - c * g).max(0.01) * stats.degrees_of_freedom() / (1.0 + k / n)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn samples(rng: &mut ChaCha8Rng, n: usize, d: usize, k: usize) -> (Array2<f32>, Vec<usize>) {
        let y: Vec<usize> = (0..n).map(|i| i % k).collect();
        let x = Array2::from_shape_fn((n, d), |(i, j)| {
            (rng.random::<f32>() - 0.5) * (1.0 + j as f32 / 8.0) + if j == y[i] { 2.0 } else { 0.0 }
        });
        (x, y)
    }

    fn apart(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        let size = b.iter().map(|value| value.abs()).fold(0.0, f64::max);
        (a - b).iter().map(|value| value.abs()).fold(0.0, f64::max) / size
    }

    /// The head of `stats` with the shrinkage and the ridge of `live`, from a new factor.
    fn fresh(stats: &ClassStats, live: &OnlineLda) -> (Array2<f64>, Array1<f64>) {
        let solved_means = stats.factor(live.ridge()).unwrap().solve(stats.means().t().to_owned());
        let weights = (solved_means * live.precision_scale(stats)).reversed_axes().as_standard_layout().into_owned();
        let bias = stats.biases(&weights);
        (weights, bias)
    }

    #[test]
    fn an_updated_head_is_that_of_a_new_factorisation() {
        for seed in 0..12 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (x, y) = samples(&mut rng, 150, 24 + seed as usize, 5);
            let mut stats = ClassStats::new(x.ncols());
            let mut inside: Vec<usize> = (0..60).filter(|i| y[*i] != 4).collect();
            for &i in &inside {
                stats.add(y[i], &x.row(i).to_vec());
            }
            let mut live = OnlineLda::factorise(&stats, Shrinkage::Oas).unwrap();
            for i in 60..150 {
                let change = if i % 3 == 0 {
                    let out = inside.swap_remove(rng.random_range(0..inside.len()));
                    stats.remove_traced(y[out], &x.row(out).to_vec())
                } else {
                    inside.push(i);
                    stats.add_traced(y[i], &x.row(i).to_vec())
                };
                live.rank_one_update(&stats, &change);
            }
            assert!(live.should_refactorise(), "seed {seed}: more than {MAX_UPDATES} samples came");
            let ((weights, bias), (expected, expected_bias)) = (live.head(&stats), fresh(&stats, &live));
            assert!(apart(&weights, &expected) < 1e-9, "seed {seed}: {:e}", apart(&weights, &expected));
            let off = bias.iter().zip(&expected_bias).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
            assert!(off < 1e-9, "seed {seed}: {off:e}");
            let anchored = OnlineLda::factorise(&stats, Shrinkage::Fixed(0.3)).unwrap().head(&stats);
            assert!(apart(&anchored.0, &stats.head(0.3).unwrap().0) < 1e-10, "seed {seed}");
        }
    }

    #[test]
    fn a_class_that_goes_leaves_no_weights_and_one_that_comes_has_them() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (x, y) = samples(&mut rng, 40, 9, 3);
        let mut stats = ClassStats::new(9);
        stats.add_all(x.view(), &y);
        let mut live = OnlineLda::factorise(&stats, Shrinkage::Oas).unwrap();
        let change = stats.add_traced(4, &x.row(0).to_vec());
        live.rank_one_update(&stats, &change);
        let (weights, bias) = live.head(&stats);
        assert!(apart(&weights, &fresh(&stats, &live).0) < 1e-12);
        assert!(bias[4].is_finite() && bias[3] == f64::NEG_INFINITY);
        let change = stats.remove_traced(4, &x.row(0).to_vec());
        live.rank_one_update(&stats, &change);
        let (weights, bias) = live.head(&stats);
        assert!(weights.row(4).iter().all(|w| *w == 0.0) && bias[4] == f64::NEG_INFINITY);
    }

    #[test]
    fn the_spread_is_near_the_distance_of_samples_left_out() {
        for seed in 0..4 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (x, y) = samples(&mut rng, 90, 40, 3);
            let mut stats = ClassStats::new(40);
            stats.add_all(x.view(), &y);
            let live = OnlineLda::factorise(&stats, Shrinkage::Fixed(0.2)).unwrap();
            let mut sum = 0.0;
            for (i, &class) in y.iter().enumerate() {
                let mut without = stats.clone();
                let change = without.remove_traced(class, &x.row(i).to_vec());
                let solved_means = without
                    .factor(live.ridge())
                    .unwrap()
                    .solve(Array2::from_shape_vec((40, 1), change.direction.clone()).unwrap());
                sum += dot(&change.direction, &solved_means.column(0).to_vec()) * live.precision_scale(&stats);
            }
            let (left_out, expected) = (sum / 90.0 / (1.0 + 3.0 / 90.0), live.expected_distance());
            assert!((left_out / expected - 1.0).abs() < 0.15, "seed {seed}: {left_out} against {expected}");
            assert!(left_out > 40.0, "seed {seed}: {left_out} is no more than d");
        }
    }

    #[test]
    fn no_scatter_is_an_error() {
        let mut stats = ClassStats::new(3);
        assert!(OnlineLda::factorise(&stats, Shrinkage::Oas).is_err());
        stats.add(0, &[1.0, 2.0, 3.0]);
        assert!(OnlineLda::factorise(&stats, Shrinkage::Oas).is_err());
    }
}
