//! Embeddings on a plane: their two principal components.

use ndarray::{Array1, Array2, ArrayView1, Axis};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The most embeddings that a plane should be fitted on; all others are only placed on it.
pub const PROJECTION_SAMPLES: usize = 2_000;

/// Directions that are followed at a time: more than two, so that the two converge although the third is nearly as long.
const DIRECTIONS: usize = 8;
/// Passes over the embeddings at most.
const PASSES: usize = 60;
/// The relative change of both variances in a pass at which the directions stand.
const TOLERANCE: f64 = 1e-5;
/// Sweeps of Jacobi's method; a matrix this small needs fewer.
const SWEEPS: usize = 30;
/// What is left of a column that others span, beside its length before.
const SPANNED: f32 = 1e-5;

/// The plane on which embeddings differ most.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// (d,) the mean.
    centre: Array1<f32>,
    /// (d,) each, of length 1, or 0 where embeddings do not differ in a second direction.
    axes: [Array1<f32>; 2],
    /// The share of the variance along each axis, 0..1; the larger one first.
    pub share: [f64; 2],
}

impl Projection {
    /// Fits the plane to `rows` (n, d); `None` where all of them are the same.
    ///
    /// Subspace iteration with a Rayleigh-Ritz step (Halko, Martinsson and Tropp, 2011, algorithms 4.4 and 5.3) from a fixed
    /// start; of each axis the coordinate of largest magnitude is positive. So the same rows give the same plane.
    #[must_use]
    pub fn fit(rows: &Array2<f32>) -> Option<Self> {
        let centre = rows.mean_axis(Axis(0))?;
        let centred = rows - &centre;
        let total: f64 = centred.iter().map(|value| f64::from(*value).powi(2)).sum();
        if total <= 0.0 || !total.is_finite() {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let d = rows.ncols();
        let mut basis = Array2::from_shape_fn((d, DIRECTIONS.min(d)), |_| rng.random_range(-1.0_f32..1.0));
        let (mut variances, mut axes) = ([0.0; 2], [Array1::zeros(d), Array1::zeros(d)]);
        for _ in 0..PASSES {
            orthonormalise(&mut basis);
            let coordinates = centred.dot(&basis);
            let (found, turn) = eigen(coordinates.t().dot(&coordinates).mapv(f64::from));
            let before = variances;
            for (place, axis) in axes.iter_mut().enumerate().take(found.len()) {
                variances[place] = found[place].max(0.0);
                *axis = basis.dot(&turn.column(place).mapv(|value| value as f32));
            }
            let moved = [0, 1].map(|place| (variances[place] - before[place]).abs());
            if moved[0].max(moved[1]) <= TOLERANCE * variances[0] {
                break;
            }
            basis = centred.t().dot(&coordinates);
        }
        axes.iter_mut().for_each(point_up);
        Some(Self { centre, axes, share: variances.map(|variance| (variance / total).min(1.0)) })
    }

    /// Where an embedding (d,) lies, from the centre.
    ///
    /// # Panics
    /// When it has another width.
    #[must_use]
    pub fn place(&self, embedding: &[f32]) -> [f32; 2] {
        let offset = &ArrayView1::from(embedding) - &self.centre;
        [0, 1].map(|axis| self.axes[axis].dot(&offset))
    }
}

/// Makes the columns orthogonal and of length 1, by modified Gram-Schmidt, twice; one that the others span becomes 0.
fn orthonormalise(basis: &mut Array2<f32>) {
    for column in 0..basis.ncols() {
        let (others, mut rest) = basis.view_mut().split_at(Axis(1), column);
        let mut this = rest.column_mut(0);
        let length = norm(&this.view());
        for _ in 0..2 {
            for other in others.columns() {
                let along = other.dot(&this);
                this.scaled_add(-along, &other);
            }
        }
        let left = norm(&this.view());
        let scale = if left > SPANNED * length { 1.0 / left } else { 0.0 };
        this.mapv_inplace(|value| value * scale);
    }
}

fn norm(vector: &ArrayView1<'_, f32>) -> f32 {
    vector.dot(vector).sqrt()
}

/// Lets the coordinate of largest magnitude be positive; of equals the first.
fn point_up(axis: &mut Array1<f32>) {
    let largest =
        axis.iter().fold(0.0_f32, |largest, value| if value.abs() > largest.abs() { *value } else { largest });
    if largest < 0.0 {
        axis.mapv_inplace(|value| -value);
    }
}

/// The eigenvalues of a symmetric matrix (k, k), largest first, and its eigenvectors, column by column: Jacobi's method.
fn eigen(mut matrix: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let k = matrix.nrows();
    let mut vectors = Array2::<f64>::eye(k);
    for _ in 0..SWEEPS {
        for p in 0..k {
            for q in p + 1..k {
                let off = matrix[[p, q]];
                if off == 0.0 {
                    continue;
                }
                let theta = (matrix[[q, q]] - matrix[[p, p]]) / (2.0 * off);
                let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
                let cosine = 1.0 / tangent.hypot(1.0);
                let sine = tangent * cosine;
                for i in 0..k {
                    let (a, b) = (matrix[[i, p]], matrix[[i, q]]);
                    (matrix[[i, p]], matrix[[i, q]]) = (cosine * a - sine * b, sine * a + cosine * b);
                }
                for i in 0..k {
                    let (a, b) = (matrix[[p, i]], matrix[[q, i]]);
                    (matrix[[p, i]], matrix[[q, i]]) = (cosine * a - sine * b, sine * a + cosine * b);
                    let (a, b) = (vectors[[i, p]], vectors[[i, q]]);
                    (vectors[[i, p]], vectors[[i, q]]) = (cosine * a - sine * b, sine * a + cosine * b);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|&a, &b| matrix[[b, b]].total_cmp(&matrix[[a, a]]));
    (order.iter().map(|&place| matrix[[place, place]]).collect(), vectors.select(Axis(1), &order))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cross in four dimensions, from a point: 3 to each side along the second axis, 2 along the fourth, 1 along the first.
    fn cross() -> Array2<f32> {
        let mut rows = Array2::from_elem((6, 4), 5.0);
        for (place, (axis, step)) in
            [(1, 3.0), (1, -3.0), (3, 2.0), (3, -2.0), (0, 1.0), (0, -1.0)].into_iter().enumerate()
        {
            rows[[place, axis]] += step;
        }
        rows
    }

    #[test]
    fn a_cross_lies_along_its_two_long_arms() {
        let plane = Projection::fit(&cross()).unwrap();
        for (share, exact) in plane.share.into_iter().zip([9.0 / 14.0, 4.0 / 14.0]) {
            assert!((share - exact).abs() < 1e-5, "{share} for {exact}");
        }
        let exact = [[3.0, 0.0], [-3.0, 0.0], [0.0, 2.0], [0.0, -2.0], [0.0, 0.0], [0.0, 0.0]];
        for (row, exact) in cross().rows().into_iter().zip(exact) {
            let place = plane.place(row.as_slice().unwrap());
            assert!(place.iter().zip(exact).all(|(a, b)| (a - b).abs() < 1e-3), "{place:?} for {exact:?}");
        }
    }

    #[test]
    fn the_same_rows_give_the_same_plane_and_turned_ones_the_same_distances() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let rows =
            Array2::from_shape_fn((200, 24), |(_, column)| rng.random_range(-1.0_f32..1.0) / (1.0 + column as f32));
        let plane = Projection::fit(&rows).unwrap();
        assert_eq!(Some(&plane), Projection::fit(&rows).as_ref());
        let mirrored = Projection::fit(&rows.mapv(|value| -value)).unwrap();
        for row in rows.rows() {
            let row = row.to_vec();
            let turned: Vec<f32> = row.iter().map(|value| -value).collect();
            let (a, b) = (plane.place(&row), mirrored.place(&turned));
            assert!(a.iter().zip(b).all(|(a, b)| (a + b).abs() < 1e-3), "signs do not depend on the rows: {a:?} {b:?}");
        }
    }

    #[test]
    fn one_direction_has_no_second_axis_and_one_point_no_plane() {
        let line = Array2::from_shape_fn((5, 3), |(row, _)| row as f32);
        let plane = Projection::fit(&line).unwrap();
        assert!((plane.share[0] - 1.0).abs() < 1e-6 && plane.share[1] < 1e-6, "{:?}", plane.share);
        assert!(plane.place(&[4.0; 3])[1].abs() < 1e-3);
        assert_eq!(Projection::fit(&Array2::from_elem((4, 3), 2.0)), None);
        assert_eq!(Projection::fit(&Array2::zeros((0, 3))), None);
    }
}
