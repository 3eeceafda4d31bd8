//! The discriminant head, kept up to date one sample at a time without factoring again.
//!
//! The shrunken covariance is `(1 - eps) / (N - K) M` with `M = S + ridge I`; `eps` and `ridge` stay as they were when
//! M was last factored (the anchor). A sample changes M by one outer product, so by Sherman & Morrison its inverse
//! loses one: `M^-1 = A^-1 - sum_j g_j q_j q_j^T`, A the matrix at the anchor. One sample costs two triangular sweeps.

use ndarray::{Array1, Array2};

use super::Lda;
use super::cholesky::{Cholesky, NoFactor, add_scaled, dot};
use super::lda::Change;

/// Outer products after which a new anchor is due.
const TERMS: usize = 64;

/// How far the covariance is drawn towards a multiple of the identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shrinkage {
    /// As [`Lda::oas`] has it at each anchor.
    Oas,
    /// This much, within (0, 1).
    Fixed(f64),
}

/// `M^-1`, and `M^-1 mu_k` of every class; 14 MB at d = 1280.
#[derive(Debug, Clone)]
pub struct Discriminant {
    /// Of A.
    factor: Cholesky,
    eps: f64,
    ridge: f64,
    /// `g_j` and `q_j`.
    terms: Vec<(f64, Vec<f64>)>,
    /// `M^-1 mu_k`, row by row (k, d).
    solved: Array2<f64>,
    /// Set when a removal left a direction without curvature: only a new anchor helps.
    lost: bool,
    spread: f64,
}

impl Discriminant {
    /// Factors the covariance of `lda`: d^3 / 2 multiplications, seconds on a small board.
    ///
    /// # Errors
    /// [`NoFactor`] when the shrunken covariance is not positive definite: too few samples to have any scatter.
    pub fn anchor(lda: &Lda, shrinkage: Shrinkage) -> Result<Self, NoFactor> {
        let eps = match shrinkage {
            Shrinkage::Oas => lda.oas(),
            Shrinkage::Fixed(eps) => eps,
        };
        let eps = eps.clamp(0.0, Lda::MOST_SHRINKAGE);
        let ridge = lda.ridge(eps);
        let factor = lda.factor(ridge)?;
        let solved = factor.solve(lda.means().t().to_owned()).reversed_axes().as_standard_layout().into_owned();
        let inside = lda.dim() as f64 - ridge * factor.inverse_trace();
        let spread = spread(lda, inside) / (1.0 - eps);
        Ok(Self { factor, eps, ridge, terms: Vec::new(), solved, lost: false, spread })
    }

    /// Follows one sample that `lda` took in or gave back just now.
    pub(super) fn follow(&mut self, lda: &Lda, change: &Change) {
        let known = self.solved.nrows();
        if lda.counts().len() > known {
            let mut solved = Array2::zeros((lda.counts().len(), lda.dim()));
            solved.slice_mut(ndarray::s![..known, ..]).assign(&self.solved);
            self.solved = solved;
        }
        if change.weight == 0.0 && change.step < 0.0 {
            return self.solved.row_mut(change.class).fill(0.0);
        }
        let q = self.inverse_times(&change.direction);
        let curvature = 1.0 + change.weight * dot(&q, &change.direction);
        if curvature.is_nan() || curvature <= 1e-9 {
            self.lost = true;
            return;
        }
        let g = change.weight / curvature;
        for (class, mut row) in self.solved.rows_mut().into_iter().enumerate() {
            let row = row.as_slice_mut().expect("rows lie in a piece");
            // q . mu = direction . M^-1 mu, M being symmetric.
            let along = dot(&change.direction, row);
            let moved = if class == change.class { change.step / curvature } else { 0.0 };
            add_scaled(row, moved - g * along, &q);
        }
        if change.weight != 0.0 {
            self.terms.push((g, q));
        }
    }

    /// Whether to anchor again, outside a label's way.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.lost || self.terms.len() >= TERMS
    }

    /// The shrinkage at the anchor.
    #[must_use]
    pub fn eps(&self) -> f64 {
        self.eps
    }

    /// What was added to the diagonal of S at the anchor.
    #[must_use]
    pub fn ridge(&self) -> f64 {
        self.ridge
    }

    /// Expected squared Mahalanobis distance of an unseen sample from its class's true mean, at the anchor.
    ///
    /// More than d where samples are few: the covariance is then fitted to the samples that it has seen.
    #[must_use]
    pub fn spread(&self) -> f64 {
        self.spread
    }

    /// `M^-1 v`.
    pub(super) fn inverse_times(&self, v: &[f64]) -> Vec<f64> {
        let mut out = v.to_vec();
        self.factor.solve_in_place(&mut out);
        for (g, q) in &self.terms {
            add_scaled(&mut out, -g * dot(q, v), q);
        }
        out
    }

    /// `(N - K) / (1 - eps)`: what makes the inverse covariance of `M^-1`.
    pub(super) fn scale(&self, lda: &Lda) -> f64 {
        lda.freedom() / (1.0 - self.eps)
    }

    /// Weights (k, d) and bias (k,) as [`Lda::head`] has them; `lda` must be the one that was followed.
    #[must_use]
    pub fn head(&self, lda: &Lda) -> (Array2<f64>, Array1<f64>) {
        let weights = &self.solved * self.scale(lda);
        let bias = lda.biases(&weights);
        (weights, bias)
    }
}

/// Expected squared Mahalanobis distance (under `S / (N - K)` with a ridge) of an unseen sample from its class's mean,
/// given `inside = tr(M^-1 S)`.
///
/// Leaving a sample out takes one outer product from M, so its distance without itself follows from its distance with
/// itself, g: `c^2 g / (1 - c g)`, `c = n / (n - 1)`. All g are taken at their mean, `inside / N`, as in generalised
/// cross-validation (Golub, Heath & Wahba 1979), and the noise of the mean itself, one part in n, is taken off.
fn spread(lda: &Lda, inside: f64) -> f64 {
    let (mut n, mut k) = (0.0, 0.0);
    for &count in lda.counts().iter().filter(|count| **count > 0) {
        n += count as f64;
        k += 1.0;
    }
    if n <= k {
        return 0.0;
    }
    let (c, g) = (n / (n - k), inside / n);
    c * c * g / (1.0 - c * g).max(0.01) * lda.freedom() / (1.0 + k / n)
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

    /// The head of `lda` with the shrinkage and the ridge of `live`, from a new factor.
    fn fresh(lda: &Lda, live: &Discriminant) -> (Array2<f64>, Array1<f64>) {
        let solved = lda.factor(live.ridge()).unwrap().solve(lda.means().t().to_owned());
        let weights = (solved * live.scale(lda)).reversed_axes().as_standard_layout().into_owned();
        let bias = lda.biases(&weights);
        (weights, bias)
    }

    #[test]
    fn a_head_that_followed_is_the_head_of_a_new_factor() {
        for seed in 0..12 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (x, y) = samples(&mut rng, 150, 24 + seed as usize, 5);
            let mut lda = Lda::new(x.ncols());
            let mut inside: Vec<usize> = (0..60).filter(|i| y[*i] != 4).collect();
            for &i in &inside {
                lda.add(y[i], &x.row(i).to_vec());
            }
            let mut live = Discriminant::anchor(&lda, Shrinkage::Oas).unwrap();
            for i in 60..150 {
                let change = if i % 3 == 0 {
                    let out = inside.swap_remove(rng.random_range(0..inside.len()));
                    lda.remove_traced(y[out], &x.row(out).to_vec())
                } else {
                    inside.push(i);
                    lda.add_traced(y[i], &x.row(i).to_vec())
                };
                live.follow(&lda, &change);
            }
            assert!(live.is_due(), "seed {seed}: more than {TERMS} samples came");
            let ((weights, bias), (expected, expected_bias)) = (live.head(&lda), fresh(&lda, &live));
            assert!(apart(&weights, &expected) < 1e-9, "seed {seed}: {:e}", apart(&weights, &expected));
            let off = bias.iter().zip(&expected_bias).map(|(a, b)| (a / b - 1.0).abs()).fold(0.0, f64::max);
            assert!(off < 1e-9, "seed {seed}: {off:e}");
            let anchored = Discriminant::anchor(&lda, Shrinkage::Fixed(0.3)).unwrap().head(&lda);
            assert!(apart(&anchored.0, &lda.head(0.3).unwrap().0) < 1e-10, "seed {seed}");
        }
    }

    #[test]
    fn a_class_that_goes_leaves_no_weights_and_one_that_comes_has_them() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (x, y) = samples(&mut rng, 40, 9, 3);
        let mut lda = Lda::new(9);
        lda.add_all(x.view(), &y);
        let mut live = Discriminant::anchor(&lda, Shrinkage::Oas).unwrap();
        let change = lda.add_traced(4, &x.row(0).to_vec());
        live.follow(&lda, &change);
        let (weights, bias) = live.head(&lda);
        assert!(apart(&weights, &fresh(&lda, &live).0) < 1e-12);
        assert!(bias[4].is_finite() && bias[3] == f64::NEG_INFINITY);
        let change = lda.remove_traced(4, &x.row(0).to_vec());
        live.follow(&lda, &change);
        let (weights, bias) = live.head(&lda);
        assert!(weights.row(4).iter().all(|w| *w == 0.0) && bias[4] == f64::NEG_INFINITY);
    }

    #[test]
    fn the_spread_is_near_the_distance_of_samples_left_out() {
        for seed in 0..4 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let (x, y) = samples(&mut rng, 90, 40, 3);
            let mut lda = Lda::new(40);
            lda.add_all(x.view(), &y);
            let live = Discriminant::anchor(&lda, Shrinkage::Fixed(0.2)).unwrap();
            let mut sum = 0.0;
            for (i, &class) in y.iter().enumerate() {
                let mut without = lda.clone();
                let change = without.remove_traced(class, &x.row(i).to_vec());
                let solved = without
                    .factor(live.ridge())
                    .unwrap()
                    .solve(Array2::from_shape_vec((40, 1), change.direction.clone()).unwrap());
                sum += dot(&change.direction, &solved.column(0).to_vec()) * live.scale(&lda);
            }
            let (left_out, expected) = (sum / 90.0 / (1.0 + 3.0 / 90.0), live.spread());
            assert!((left_out / expected - 1.0).abs() < 0.15, "seed {seed}: {left_out} against {expected}");
            assert!(left_out > 40.0, "seed {seed}: {left_out} is no more than d");
        }
    }

    #[test]
    fn no_scatter_is_an_error() {
        let mut lda = Lda::new(3);
        assert!(Discriminant::anchor(&lda, Shrinkage::Oas).is_err());
        lda.add(0, &[1.0, 2.0, 3.0]);
        assert!(Discriminant::anchor(&lda, Shrinkage::Oas).is_err());
    }
}
