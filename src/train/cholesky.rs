//! The Cholesky factor of a symmetric positive definite matrix, and solutions with it.
//!
//! Panels of 64 columns, left-looking, so that nearly all of the work is matrix products (Golub & Van Loan, *Matrix
//! Computations*, 4th ed., section 4.2). Everything is f64; a matrix that is not positive definite is an error value.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayViewMut2, s};

/// Columns of one panel.
const PANEL: usize = 64;

/// L with `A = L L^T`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky {
    /// L (d, d) on and below the diagonal; the part above is undefined and never read.
    lower: Array2<f64>,
}

/// Why a matrix has no factor.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NoFactor {
    /// Rows and columns differ in number.
    #[error("cannot factor a matrix of {rows} rows and {columns} columns: expected a square one")]
    Shape {
        /// How many rows.
        rows: usize,
        /// How many columns.
        columns: usize,
    },
    /// A direction in which the matrix does not curve upwards, or a value that is not finite.
    #[error(
        "cannot factor a matrix that is not positive definite: pivot {at} is {pivot:e}; add to its diagonal (more \
         shrinkage)"
    )]
    NotPositive {
        /// Row of the pivot.
        at: usize,
        /// Its value.
        pivot: f64,
    },
}

impl Cholesky {
    /// The factor of `matrix` (d, d), in its place; only what is on and below the diagonal is read.
    ///
    /// Takes d^3 / 3 multiplications. A pivot below d times the rounding unit of its diagonal value counts as zero.
    ///
    /// # Errors
    /// [`NoFactor`] when the matrix is not square, not positive definite or not finite.
    pub fn of(mut matrix: Array2<f64>) -> Result<Self, NoFactor> {
        let (rows, columns) = matrix.dim();
        if rows != columns {
            return Err(NoFactor::Shape { rows, columns });
        }
        let floor: Vec<f64> = matrix.diag().iter().map(|value| value * rows as f64 * f64::EPSILON).collect();
        for start in (0..rows).step_by(PANEL) {
            let width = PANEL.min(rows - start);
            let (done, mut panel) = matrix.multi_slice_mut((s![start.., ..start], s![start.., start..start + width]));
            general_mat_mul(-1.0, &done, &done.slice(s![..width, ..]).t(), 1.0, &mut panel);
            factor_panel(&mut panel, &floor[start..])
                .map_err(|(at, pivot)| NoFactor::NotPositive { at: start + at, pivot })?;
        }
        Ok(Self { lower: matrix })
    }

    /// d.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.lower.nrows()
    }

    /// `x L^T` of rows `x` (m, d): of independent values of variance 1 it makes ones of covariance A.
    ///
    /// # Panics
    /// When `x` has not d columns.
    pub(crate) fn spread(&self, x: &Array2<f64>) -> Array2<f64> {
        assert_eq!(x.ncols(), self.dim(), "one column a row of the matrix");
        let mut out = Array2::zeros(x.dim());
        for start in (0..self.dim()).step_by(PANEL) {
            let end = (start + PANEL).min(self.dim());
            let mut triangle = self.lower.slice(s![start..end, start..end]).to_owned();
            for (i, mut row) in triangle.rows_mut().into_iter().enumerate() {
                row.slice_mut(s![i + 1..]).fill(0.0);
            }
            let mut block = out.slice_mut(s![.., start..end]);
            let before = self.lower.slice(s![start..end, ..start]);
            general_mat_mul(1.0, &x.slice(s![.., ..start]), &before.t(), 0.0, &mut block);
            general_mat_mul(1.0, &x.slice(s![.., start..end]), &triangle.t(), 1.0, &mut block);
        }
        out
    }

    /// Replaces `x` (d,) by the solution of `A y = x`.
    ///
    /// # Panics
    /// When `x` is not d long.
    pub fn solve_in_place(&self, x: &mut [f64]) {
        assert_eq!(x.len(), self.dim(), "one value a row");
        let row = |i: usize| self.lower.row(i).to_slice().expect("the factor lies row by row");
        for i in 0..x.len() {
            let (before, at) = x.split_at_mut(i);
            at[0] = (at[0] - dot(&row(i)[..i], before)) / row(i)[i];
        }
        for i in (0..x.len()).rev() {
            let (before, at) = x.split_at_mut(i);
            at[0] /= row(i)[i];
            add_scaled(before, -at[0], &row(i)[..i]);
        }
    }

    /// The solutions Y (d, m) of `A Y = B`, `right` being B (d, m).
    ///
    /// # Panics
    /// When B has not d rows.
    #[must_use]
    pub fn solve(&self, right: Array2<f64>) -> Array2<f64> {
        assert_eq!(right.nrows(), self.dim(), "one row of the right-hand sides a row of the matrix");
        let mut x = if right.is_standard_layout() { right } else { right.as_standard_layout().into_owned() };
        self.forward(&mut x, 0);
        for start in (0..self.dim()).step_by(PANEL).rev() {
            let end = (start + PANEL).min(self.dim());
            let (mut block, done) = x.multi_slice_mut((s![start..end, ..], s![end.., ..]));
            general_mat_mul(-1.0, &self.lower.slice(s![end.., start..end]).t(), &done, 1.0, &mut block);
            for i in (start..end).rev() {
                for j in i + 1..end {
                    eliminate(&mut x, i, j, self.lower[[j, i]]);
                }
                x.row_mut(i).mapv_inplace(|value| value / self.lower[[i, i]]);
            }
        }
        x
    }

    /// Replaces `x` (d - from, m) by the solution of `L' y = x`, L' being L without its first `from` rows and columns.
    fn forward(&self, x: &mut Array2<f64>, from: usize) {
        let lower = self.lower.slice(s![from.., from..]);
        for start in (0..x.nrows()).step_by(PANEL) {
            let end = (start + PANEL).min(x.nrows());
            let (done, mut block) = x.multi_slice_mut((s![..start, ..], s![start..end, ..]));
            general_mat_mul(-1.0, &lower.slice(s![start..end, ..start]), &done, 1.0, &mut block);
            for i in start..end {
                for j in start..i {
                    eliminate(x, i, j, lower[[i, j]]);
                }
                x.row_mut(i).mapv_inplace(|value| value / lower[[i, i]]);
            }
        }
    }

    /// `tr A^-1`, the sum of the squares of `L^-1`: d^3 / 6 multiplications.
    #[must_use]
    pub fn inverse_trace(&self) -> f64 {
        let d = self.dim();
        let mut sum = 0.0;
        for start in (0..d).step_by(PANEL) {
            // Columns `start..` of L^-1, of which rows `start..` alone are not zero.
            let mut columns = Array2::<f64>::zeros((d - start, PANEL.min(d - start)));
            columns.diag_mut().fill(1.0);
            self.forward(&mut columns, start);
            sum += columns.iter().map(|value| value * value).sum::<f64>();
        }
        sum
    }
}

/// Factors `panel` (rows, width): its square top, then the rows below by it; the failing row and pivot otherwise.
fn factor_panel(panel: &mut ArrayViewMut2<f64>, floor: &[f64]) -> Result<(), (usize, f64)> {
    let width = panel.ncols();
    let mut top = vec![0.0; width * width];
    let mut line = vec![0.0; width];
    for (i, mut row) in panel.rows_mut().into_iter().enumerate() {
        line.iter_mut().zip(&row).for_each(|(value, from)| *value = *from);
        for j in 0..width.min(i) {
            let (before, at) = line.split_at_mut(j);
            at[0] = (at[0] - dot(&top[j * width..j * width + j], before)) / top[j * width + j];
        }
        if i < width {
            let pivot = line[i] - dot(&line[..i], &line[..i]);
            if !pivot.is_finite() || pivot <= floor[i] {
                return Err((i, pivot));
            }
            line[i] = pivot.sqrt();
            top[i * width..=i * width + i].copy_from_slice(&line[..=i]);
        }
        row.iter_mut().zip(&line).for_each(|(value, from)| *value = *from);
    }
    Ok(())
}

/// `x_i -= factor x_j`, rows of `x`.
fn eliminate(x: &mut Array2<f64>, i: usize, j: usize, factor: f64) {
    let (mut to, from) = x.multi_slice_mut((s![i, ..], s![j, ..]));
    to.scaled_add(-factor, &from);
}

/// `a . b`; eight running sums, so that the processor adds several at once.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a8.remainder().iter().zip(b8.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a8.zip(b8) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    rest + sums.iter().sum::<f64>()
}

/// `to += factor from`.
pub(crate) fn add_scaled(to: &mut [f64], factor: f64, from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn noise(rng: &mut ChaCha8Rng, rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_simple_fn((rows, columns), || 2.0 * rng.random::<f64>() - 1.0)
    }

    fn positive(rng: &mut ChaCha8Rng, d: usize) -> Array2<f64> {
        let root = noise(rng, d, d);
        root.dot(&root.t()) + Array2::<f64>::eye(d) * 0.1
    }

    /// L by the textbook's three sums.
    fn direct(a: &Array2<f64>) -> Array2<f64> {
        let mut l = Array2::<f64>::zeros(a.dim());
        for i in 0..a.nrows() {
            for j in 0..=i {
                let sum: f64 = (0..j).map(|k| l[[i, k]] * l[[j, k]]).sum();
                l[[i, j]] = if i == j { (a[[i, i]] - sum).sqrt() } else { (a[[i, j]] - sum) / l[[j, j]] };
            }
        }
        l
    }

    #[test]
    fn spread_rows_are_products_with_the_factor() {
        for (seed, d) in [1, 63, 64, 65, 130].into_iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
            let a = positive(&mut rng, d);
            let x = noise(&mut rng, 3, d);
            let gap = Cholesky::of(a.clone()).unwrap().spread(&x) - x.dot(&direct(&a).t());
            assert!(gap.iter().all(|gap| gap.abs() < 1e-9), "seed {seed}, {d}");
        }
    }

    #[test]
    fn the_factor_is_that_of_the_direct_sums_at_every_size_around_a_panel() {
        for (seed, d) in [1, 2, 7, 63, 64, 65, 130, 200].into_iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
            let a = positive(&mut rng, d);
            let factor = Cholesky::of(a.clone()).unwrap();
            let expected = direct(&a);
            let worst = (0..d).flat_map(|i| (0..=i).map(move |j| (i, j)));
            let worst = worst.map(|at| (factor.lower[at] - expected[at]).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-10, "seed {seed}, d {d}: {worst:e}");
            let inverse_trace = factor.solve(Array2::eye(d)).diag().sum();
            assert!((factor.inverse_trace() / inverse_trace - 1.0).abs() < 1e-9, "seed {seed}, d {d}");
        }
    }

    #[test]
    fn solutions_solve_and_many_sides_agree_with_one() {
        for (seed, d) in [1, 5, 64, 100, 150].into_iter().enumerate() {
            let mut rng = ChaCha8Rng::seed_from_u64(seed as u64);
            let a = positive(&mut rng, d);
            let factor = Cholesky::of(a.clone()).unwrap();
            for right in [noise(&mut rng, d, 7), noise(&mut rng, 3, d).reversed_axes()] {
                let x = factor.solve(right.clone());
                let worst = (a.dot(&x) - &right).iter().map(|value| value.abs()).fold(0.0, f64::max);
                assert!(worst < 1e-8, "seed {seed}, d {d}: {worst:e}");
                let mut one = right.column(1).to_vec();
                factor.solve_in_place(&mut one);
                let apart = x.column(1).iter().zip(&one).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(apart < 1e-8, "seed {seed}, d {d}: {apart:e}");
            }
        }
    }

    #[test]
    fn what_is_above_the_diagonal_is_never_read() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let a = positive(&mut rng, 70);
        let right = noise(&mut rng, 70, 2);
        let expected = Cholesky::of(a.clone()).unwrap().solve(right.clone());
        let half = Array2::from_shape_fn((70, 70), |(i, j)| if j > i { f64::MAX / 1e9 } else { a[[i, j]] });
        let found = Cholesky::of(half).unwrap().solve(right);
        assert!((found - expected).iter().all(|apart| apart.abs() < 1e-12));
    }

    #[test]
    fn a_matrix_without_a_factor_is_an_error() {
        assert_eq!(Cholesky::of(Array2::zeros((2, 3))), Err(NoFactor::Shape { rows: 2, columns: 3 }));
        let pivot_of = |matrix| match Cholesky::of(matrix) {
            Err(NoFactor::NotPositive { at, .. }) => Some(at),
            _ => None,
        };
        let mut indefinite = Array2::<f64>::eye(100);
        indefinite[[70, 70]] = -1e-3;
        assert_eq!(pivot_of(indefinite), Some(70));
        // Rank one: the second pivot is rounding alone.
        let thirds = Array2::from_shape_fn((3, 3), |(i, j)| (i + 1) as f64 * (j + 1) as f64 / 9.0);
        assert_eq!(pivot_of(thirds), Some(1));
        assert_eq!(pivot_of(Array2::from_elem((4, 4), f64::NAN)), Some(0));
        assert_eq!(pivot_of(Array2::zeros((1, 1))), Some(0));
        assert_eq!(Cholesky::of(Array2::zeros((0, 0))).map(|factor| factor.dim()), Ok(0));
    }
}
