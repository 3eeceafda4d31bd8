//! Standardised features of embeddings, and the way back from weights on features to weights on embeddings.
//!
//! `x = (z - m) / t`, m the mean and t the scale (`scale`) over all samples, whatever their labels. With fewer samples
//! than half the width, the same problem is stated in the space that the samples span: `X = R Q^T` with orthonormal Q,
//! so an L2-penalised fit on R (n, r) has the same logits and penalty as one on X (n, d), at a fraction of the work.

use std::borrow::Cow;

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use super::scale::inverse_scales;
use super::simd::standardise;

/// The features of a training, and the way back to embeddings.
pub(crate) struct Features<'a> {
    /// Embeddings (n, d).
    z: &'a Array2<f32>,
    /// The mean in two parts, so that f32 keeps its small digits, and 1 / t; 0 for a feature that never varied, whose
    /// weight then stays 0. (d,) each.
    high: Vec<f32>,
    low: Vec<f32>,
    inverse: Vec<f32>,
    reduced: Option<(Array2<f32>, Basis)>,
}

/// `R = L`, the pivoted Cholesky factor of the Gram matrix, and the samples it is built on.
struct Basis {
    /// Standardised samples at the pivots (r, d).
    pivots: Array2<f64>,
    /// Rows of R at the pivots (r, r), lower triangular.
    triangle: Array2<f64>,
}

/// Rows of features (n, r), computed from embeddings when they are read: no second copy of the data is kept.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    values: ArrayView2<'a, f32>,
    /// High and low part of the mean, and 1 / t.
    scale: Option<[&'a [f32]; 3]>,
}

impl<'a> From<ArrayView2<'a, f32>> for Rows<'a> {
    /// Rows that are features already.
    fn from(values: ArrayView2<'a, f32>) -> Self {
        Self { values, scale: None }
    }
}

impl Rows<'_> {
    /// r
    pub fn width(&self) -> usize {
        self.values.ncols()
    }

    /// Writes the features of `sample` into `out` (r,).
    pub fn write(&self, sample: usize, out: &mut [f32]) {
        let row = self.values.row(sample);
        let row = row.as_slice().map_or_else(|| Cow::Owned(row.to_vec()), Cow::Borrowed);
        match self.scale {
            Some([high, low, inverse]) => standardise(&row, high, low, inverse, out),
            None => out.copy_from_slice(&row),
        }
    }

    /// The features of `samples`, in this order, in f64.
    pub fn take(&self, samples: &[usize]) -> Array2<f64> {
        let mut row = vec![0.0; self.width()];
        let mut out = Array2::zeros((samples.len(), self.width()));
        for (mut to, &sample) in out.rows_mut().into_iter().zip(samples) {
            self.write(sample, &mut row);
            to.iter_mut().zip(&row).for_each(|(to, v)| *to = f64::from(*v));
        }
        out
    }
}

/// Squared lengths below this share of the largest one are taken for rounding noise of a dependent sample.
const DEPENDENT: f64 = 1e-10;

impl<'a> Features<'a> {
    /// Standardises embeddings `z` (n, d), whose values are in `parts` of these widths; reduces them too when `may_reduce` and it pays. Without spread there is
    /// nothing to reduce to: all features are 0 then, (n, d).
    pub fn new(z: &'a Array2<f32>, parts: &[usize], may_reduce: bool) -> Self {
        let (n, d) = z.dim();
        let (mean, deviations) = moments(z);
        let inverse = inverse_scales(&deviations, parts).into_iter().map(|inverse| inverse as f32).collect();
        let high: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
        let low = mean.iter().zip(&high).map(|(m, high)| (m - f64::from(*high)) as f32).collect();
        let mut features = Self { z, high, low, inverse, reduced: None };
        if may_reduce && 2 * n <= d {
            let x = features.rows().take(&(0..n).collect::<Vec<_>>());
            let (factor, order) = pivoted_cholesky(&x.dot(&x.t()));
            if !order.is_empty() {
                let triangle = factor.select(Axis(0), &order);
                let basis = Basis { pivots: x.select(Axis(0), &order), triangle };
                features.reduced = Some((factor.mapv(|v| v as f32), basis));
            }
        }
        features
    }

    /// Features (n, r); r is d, or the rank of the standardised samples.
    pub fn rows(&self) -> Rows<'_> {
        match &self.reduced {
            Some((factor, _)) => Rows::from(factor.view()),
            None => Rows { values: self.z.view(), scale: Some([&self.high, &self.low, &self.inverse]) },
        }
    }

    /// The same as a matrix (n, r) in memory, for methods that do not go row by row.
    pub fn matrix(&self) -> Array2<f32> {
        let rows = self.rows();
        let mut x = Array2::zeros((self.z.nrows(), rows.width()));
        for (sample, mut row) in x.rows_mut().into_iter().enumerate() {
            rows.write(sample, row.as_slice_mut().expect("rows of a fresh array are contiguous"));
        }
        x
    }

    /// m (d,)
    pub fn mean(&self) -> Array1<f64> {
        self.high.iter().zip(&self.low).map(|(high, low)| f64::from(*high) + f64::from(*low)).collect()
    }

    /// 1 / t (d,); 0 for a feature that never varied.
    pub fn inverse(&self) -> Array1<f64> {
        self.inverse.iter().map(|v| f64::from(*v)).collect()
    }

    /// The layer on embeddings, W (k, d) and b (k,), that gives the logits of `theta` on features: W (k, r), then b.
    pub fn unfold(&self, theta: &[f64], k: usize) -> (Array2<f32>, Array1<f32>) {
        let (w, b) = theta.split_at(theta.len() - k);
        let w = &ArrayView2::from_shape((k, w.len() / k), w).expect("theta has k * (r + 1) values");
        let w = match &self.reduced {
            Some((_, basis)) => basis.expand(w),
            None => w.to_owned(),
        } * &self.inverse();
        let mean = self.mean();
        let bias = Array1::from_iter(w.rows().into_iter().zip(b).map(|(row, b)| (b - row.dot(&mean)) as f32));
        (w.mapv(|v| v as f32), bias)
    }
}

/// Mean and standard deviation of each column (d,), in one pass: sums of differences to the first row, which lies among the
/// others, so that little is lost where a mean is large.
fn moments(z: &Array2<f32>) -> (Array1<f64>, Vec<f64>) {
    let (n, d) = (z.nrows() as f64, z.ncols());
    let first: Vec<f64> = z.row(0).iter().copied().map(f64::from).collect();
    let (mut sums, mut squares) = (vec![0.0; d], vec![0.0; d]);
    for row in z.rows() {
        let row = row.as_slice().map_or_else(|| Cow::Owned(row.to_vec()), Cow::Borrowed);
        for (((sum, square), z), first) in sums.iter_mut().zip(&mut squares).zip(&*row).zip(&first) {
            let apart = f64::from(*z) - first;
            *sum += apart;
            *square += apart * apart;
        }
    }
    let deviation = |(sum, square): (&f64, &f64)| ((square - sum * sum / n) / n).max(0.0).sqrt();
    let deviations = sums.iter().zip(&squares).map(deviation).collect();
    (first.iter().zip(&sums).map(|(first, sum)| first + sum / n).collect(), deviations)
}

impl Basis {
    /// Weights on standardised features (k, d) from weights on reduced ones (k, r): `W = (L^-T w^T)^T P`.
    fn expand(&self, w: &ArrayView2<'_, f64>) -> Array2<f64> {
        let r = self.triangle.nrows();
        let mut a = w.to_owned();
        for mut row in a.rows_mut() {
            for i in (0..r).rev() {
                let tail: f64 = (i + 1..r).map(|j| self.triangle[[j, i]] * row[j]).sum();
                row[i] = (row[i] - tail) / self.triangle[[i, i]];
            }
        }
        a.dot(&self.pivots)
    }
}

/// Factor `L` (n, r) with `gram = L L^T`, and the r pivots in order; rows of L at the pivots are lower triangular.
fn pivoted_cholesky(gram: &Array2<f64>) -> (Array2<f64>, Vec<usize>) {
    let n = gram.nrows();
    let mut left = gram.diag().to_owned();
    let floor = DEPENDENT * left.iter().copied().fold(0.0, f64::max);
    let mut factor = Array2::<f64>::zeros((n, n));
    let mut order = Vec::new();
    for column in 0..n {
        let (pivot, &largest) =
            left.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).expect("a data set has at least two samples");
        if largest <= floor {
            break;
        }
        let root = largest.sqrt();
        let known = factor.slice(s![.., ..column]);
        let dots = known.dot(&known.row(pivot));
        for row in 0..n {
            // Earlier pivots are done: their rows stay lower triangular.
            if left[row] == f64::NEG_INFINITY {
                continue;
            }
            let value = if row == pivot { root } else { (gram[[row, pivot]] - dots[row]) / root };
            factor[[row, column]] = value;
            left[row] -= value * value;
        }
        left[pivot] = f64::NEG_INFINITY;
        order.push(pivot);
    }
    (factor.slice(s![.., ..order.len()]).to_owned(), order)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Embeddings with a constant feature and two equal samples.
    fn embeddings(n: usize, d: usize) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut z = Array2::from_shape_simple_fn((n, d), || 3.0 * rng.random::<f32>() + 1.0);
        z.column_mut(1).fill(7.0);
        let first = z.row(0).to_owned();
        z.row_mut(2).assign(&first);
        z
    }

    #[test]
    fn moments_are_those_of_two_passes_where_the_mean_is_large() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let z = Array2::from_shape_fn((300, 7), |(_, j)| 10.0_f32.powi(j as i32) + rng.random::<f32>());
        let (mean, deviations) = moments(&z);
        let exact = z.mapv(f64::from);
        for (place, column) in exact.columns().into_iter().enumerate() {
            let expected = column.sum() / 300.0;
            let spread = (column.mapv(|v| (v - expected).powi(2)).sum() / 300.0).sqrt();
            assert!((mean[place] - expected).abs() < 1e-12 * expected, "{place}: {} {expected}", mean[place]);
            assert!((deviations[place] - spread).abs() < 1e-9 * spread, "{place}: {} {spread}", deviations[place]);
        }
    }

    #[test]
    fn unfolded_weights_give_the_logits_of_the_features_with_and_without_reduction() {
        for (n, d) in [(9, 40), (40, 9)] {
            let z = embeddings(n, d);
            let features = Features::new(&z, &[d], true);
            assert_eq!(features.reduced.is_some(), n < d);
            let r = features.rows().width();
            let mut rng = ChaCha8Rng::seed_from_u64(2);
            let w = Array2::from_shape_simple_fn((3, r), || rng.random::<f64>() - 0.5);
            let theta: Vec<f64> = w.iter().copied().chain([0.1, 0.2, 0.3]).collect();
            let (weights, bias) = features.unfold(&theta, 3);
            let expected =
                features.rows().take(&(0..n).collect::<Vec<_>>()).dot(&w.t()) + &ndarray::array![0.1, 0.2, 0.3];
            let found = z.dot(&weights.t()) + &bias;
            let worst = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-4, "n {n}: {worst}");
            assert!(weights.column(1).iter().all(|w| *w == 0.0), "a constant feature got a weight");
        }
    }

    #[test]
    fn samples_that_are_all_the_same_have_features_of_zero_and_are_not_reduced() {
        let z = Array2::from_elem((4, 40), 0.25);
        let features = Features::new(&z, &[40], true);
        assert_eq!(features.matrix(), Array2::<f32>::zeros((4, 40)));
    }

    #[test]
    fn reduction_keeps_the_penalty() {
        let (z, w) = (embeddings(9, 40), Array2::from_elem((1, 7), 0.5));
        let features = Features::new(&z, &[40], true);
        // Nine samples, two of them equal, centred: seven directions.
        assert_eq!(features.rows().width(), 7);
        let (_, basis) = features.reduced.as_ref().unwrap();
        let norm = basis.expand(&w.view()).mapv(|v| v * v).sum();
        assert!((norm - 7.0 * 0.25).abs() < 1e-9, "{norm}");
    }
}
