//! A low-rank preconditioner for L-BFGS: an approximate inverse of the softmax loss's Hessian.
//!
//! With G = X'X / n, the Hessian over one class's weights is about `c G + lambda I`, c the mean of p (1 - p). The
//! largest eigenvectors of G are found by subspace iteration on some of the samples; along all other directions G
//! counts as its mean there. L-BFGS with that inverse takes a fifth of the passes of one that starts from the identity.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::batched::{fill_block, padded_width};
use super::features::Rows;
use super::simd::{accumulate, products};

/// Eigenvectors at most.
const RANK: usize = 64;
/// Most samples in each round of subspace iteration.
const ROUNDS: [usize; 3] = [1024, 1024, 2048];
const BLOCK: usize = 96;
/// Squared lengths below this share of the former one are taken for rounding noise.
const DEPENDENT: f64 = 1e-12;
/// Curvature below this share of the largest is not believed in.
const FLOOR: f64 = 1e-9;

/// The eigenvectors of G with the largest eigenvalues; the same for all fits of one training.
#[derive(Default)]
pub(crate) struct Preconditioner {
    /// (rank, r), rows orthonormal.
    eigenvectors: Array2<f64>,
    /// (rank,)
    eigenvalues: Vec<f64>,
    /// Mean of the other eigenvalues.
    residual: f64,
}

/// `(c G + lambda I)^-1`, for one model at one point.
pub(crate) struct ScaledPreconditioner<'a> {
    pub preconditioner: &'a Preconditioner,
    /// c
    pub curvature: f64,
    /// Penalty of weights.
    pub lambda: f64,
    /// Penalty of a bias.
    pub of_bias: f64,
}

impl Preconditioner {
    /// From `x` (n, r), 2,048 of the samples at most, evenly spaced.
    pub fn new(x: Rows<'_>, n: usize) -> Self {
        let (r, rank) = (x.width(), RANK.min(x.width()));
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut basis = Array2::from_shape_simple_fn((rank, r), || rng.random::<f64>() - 0.5);
        let (mut image, mut trace) = (Array2::zeros((0, 0)), 0.0);
        for most in ROUNDS {
            let samples: Vec<usize> = (0..n).step_by(n.div_ceil(most)).collect();
            orthonormalise(&mut basis);
            (image, trace) = multiply(x, &samples, &basis);
            std::mem::swap(&mut basis, &mut image);
        }
        // `basis` is now G times the orthonormal `image`.
        let (eigenvalues, turn) = eigen(image.dot(&basis.t()));
        let eigenvectors = turn.dot(&image);
        let residual = if rank < r { (trace - eigenvalues.iter().sum::<f64>()) / (r - rank) as f64 } else { 0.0 };
        Self { eigenvectors, eigenvalues, residual: residual.max(0.0) }
    }
}

impl ScaledPreconditioner<'_> {
    /// Multiplies `v`, which has the layout of the parameters, by the inverse; a bias has the curvature c and its own penalty.
    pub fn apply(&self, v: &mut [f64]) {
        let Preconditioner { eigenvectors, eigenvalues, residual } = self.preconditioner;
        let r = eigenvectors.ncols();
        let k = v.len() / (r + 1);
        let c = self.curvature.max(FLOOR);
        let floor = FLOOR * (c * eigenvalues.iter().copied().fold(*residual, f64::max) + self.lambda);
        let inverse = |value: f64| 1.0 / (c * value + self.lambda).max(floor).max(f64::MIN_POSITIVE);
        let (weights, bias) = v.split_at_mut(k * r);
        let mut weights = ArrayViewMut2::from_shape((k, r), weights).expect("the split is at k * r");
        let mut along = weights.dot(&eigenvectors.t());
        let others = if eigenvalues.len() < r {
            inverse(*residual)
        } else {
            inverse(eigenvalues.iter().copied().fold(0.0, f64::max))
        };
        for (mut column, value) in along.axis_iter_mut(Axis(1)).zip(eigenvalues) {
            column *= inverse(*value) - others;
        }
        weights *= others;
        weights += &along.dot(eigenvectors);
        for b in bias.iter_mut() {
            *b /= c + self.of_bias;
        }
    }
}

/// `G basis` (rank, r) over `samples`, and the trace of G.
fn multiply(x: Rows<'_>, samples: &[usize], basis: &Array2<f64>) -> (Array2<f64>, f64) {
    let (rank, r) = basis.dim();
    let width = padded_width(r);
    let mut w = vec![0.0; rank * width];
    for (to, from) in w.chunks_exact_mut(width).zip(basis.rows()) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from as f32);
    }
    let (mut sum, mut trace) = (vec![0.0; rank * width], 0.0);
    let (mut block, mut out) = (vec![0.0; BLOCK * width], vec![0.0; BLOCK * rank]);
    for samples in samples.chunks(BLOCK) {
        let filled = fill_block(x, samples, &mut block);
        let out = &mut out[..filled.len() / width * rank];
        products(filled, &w, width, out);
        accumulate(out, filled, width, &mut sum);
        trace += filled.chunks_exact(width).flat_map(|row| &row[..r]).map(|v| f64::from(v * v)).sum::<f64>();
    }
    let n = samples.len() as f64;
    let sum = ArrayView2::from_shape((rank, width), &sum).expect("the vector has rank * width values");
    (sum.slice(s![.., ..r]).mapv(|v| f64::from(v) / n), trace / n)
}

/// Makes rows orthonormal, by the inverse of the Cholesky factor of their products, twice over (Yamamoto et al. 2015,
/// CholeskyQR2): nearly all of the work is matrix products. Rows that depend on earlier ones become zeros.
fn orthonormalise(rows: &mut Array2<f64>) {
    for _ in 0..2 {
        *rows = inverse_factor(&rows.dot(&rows.t())).dot(rows);
    }
}

/// `L^-1` of a positive semidefinite matrix `L L^T`; zeros in the rows of pivots that are lost in rounding.
fn inverse_factor(gram: &Array2<f64>) -> Array2<f64> {
    let n = gram.nrows();
    let (mut factor, mut inverse) = (Array2::<f64>::zeros((n, n)), Array2::<f64>::zeros((n, n)));
    for row in 0..n {
        for column in 0..row {
            let known = factor.slice(s![row, ..column]).dot(&factor.slice(s![column, ..column]));
            let pivot = factor[[column, column]];
            factor[[row, column]] = if pivot > 0.0 { (gram[[row, column]] - known) / pivot } else { 0.0 };
        }
        let known = factor.slice(s![row, ..row]);
        let left = gram[[row, row]] - known.dot(&known);
        if left > DEPENDENT * gram[[row, row]] {
            let pivot = left.sqrt();
            let mut own = -known.dot(&inverse.slice(s![..row, ..]));
            own[row] = 1.0;
            inverse.row_mut(row).assign(&(own / pivot));
            factor[[row, row]] = pivot;
        }
    }
    inverse
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors as rows (Jacobi's rotations).
fn eigen(mut a: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut vectors = Array2::eye(n);
    for _ in 0..12 {
        let mut turned = false;
        for p in 0..n {
            for q in p + 1..n {
                let apq = f64::midpoint(a[[p, q]], a[[q, p]]);
                if apq.abs() <= 1e-8 * (a[[p, p]] * a[[q, q]]).abs().sqrt() {
                    continue;
                }
                turned = true;
                let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cos = 1.0 / (t * t + 1.0).sqrt();
                let sin = t * cos;
                for i in 0..n {
                    let (x, y) = (a[[i, p]], a[[i, q]]);
                    (a[[i, p]], a[[i, q]]) = (cos * x - sin * y, sin * x + cos * y);
                }
                for matrix in [&mut a, &mut vectors] {
                    for i in 0..n {
                        let (x, y) = (matrix[[p, i]], matrix[[q, i]]);
                        (matrix[[p, i]], matrix[[q, i]]) = (cos * x - sin * y, sin * x + cos * y);
                    }
                }
            }
        }
        if !turned {
            break;
        }
    }
    (a.diag().iter().map(|v| v.max(0.0)).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_orthonormal_and_what_depends_on_earlier_ones_zeros() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut rows =
            Array2::from_shape_fn((9, 40), |(i, _)| (rng.random::<f64>() - 0.5) * 10.0_f64.powi(i as i32 - 4));
        let dependent = &rows.row(1) * 3.0 - rows.row(4);
        rows.row_mut(6).assign(&dependent);
        rows.row_mut(8).fill(0.0);
        orthonormalise(&mut rows);
        let products = rows.dot(&rows.t());
        let expected = Array2::from_diag(&ndarray::arr1(&[1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0]));
        let worst = (&products - expected).mapv(f64::abs).fold(0.0, |worst: f64, apart| worst.max(*apart));
        assert!(worst < 1e-12, "{products:?}");
    }

    #[test]
    fn the_inverse_is_that_of_the_hessian_when_all_directions_are_known() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (n, r, k) = (200, 12, 2);
        let x = Array2::from_shape_fn((n, r), |(_, j)| (rng.random::<f32>() - 0.5) * (j + 1) as f32);
        let preconditioner = Preconditioner::new(x.view().into(), n);
        let (curvature, lambda) = (0.2, 0.1);
        let v: Vec<f64> = (0..k * (r + 1)).map(|_| rng.random::<f64>() - 0.5).collect();
        let mut found = v.clone();
        ScaledPreconditioner { preconditioner: &preconditioner, curvature, lambda, of_bias: 0.0 }.apply(&mut found);
        let x = x.mapv(f64::from);
        let hessian = x.t().dot(&x) * (curvature / n as f64) + Array2::<f64>::eye(r) * lambda;
        let back = ArrayView2::from_shape((k, r), &found[..k * r]).unwrap().dot(&hessian);
        let worst = back.iter().zip(&v).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst < 1e-4, "{worst}");
        assert!((found[k * r] * curvature - v[k * r]).abs() < 1e-12);
    }
}
