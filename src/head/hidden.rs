//! The hidden layer that some heads have between embedding and class scores.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

/// `relu(A z + c)`, z the backbone's embedding as it comes.
///
/// As in the layer behind it, standardisation of the inputs is folded into `weights` and `bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// A (m, d).
    pub weights: Array2<f32>,
    /// c (m,).
    pub bias: Array1<f32>,
    /// What of it has to be kept.
    pub origin: Origin,
}

/// Where a hidden layer comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Training: it is kept as it is.
    Learned,
    /// A seed: only what follows is kept and hashed, and [`Hidden::projection`] makes the layer again.
    Projection {
        /// Of the random matrix.
        seed: u64,
        /// m (d,), subtracted from an embedding.
        mean: Array1<f32>,
        /// 1 / scale (d,), multiplied with what is left; 0 for a feature that never varied.
        inverse: Array1<f32>,
    },
}

impl Hidden {
    /// The layer `relu(R (z - mean) * inverse / sqrt(d))` of `width` units, R (m, d) drawn from N(0, 1) by `seed`.
    ///
    /// The same arguments give the same bits on the same machine; on another one, values within 1e-5.
    ///
    /// # Panics
    /// When `mean` and `inverse` differ in length.
    #[must_use]
    pub fn projection(seed: u64, width: usize, mean: Array1<f32>, inverse: Array1<f32>) -> Self {
        assert_eq!(mean.len(), inverse.len(), "one mean and one deviation a feature");
        let d = mean.len();
        let scale = 1.0 / (d.max(1) as f64).sqrt();
        let mut normal = Normal::new(ChaCha8Rng::seed_from_u64(seed));
        let (mut weights, mut bias) = (Array2::zeros((width, d)), Array1::zeros(width));
        for (mut row, bias) in weights.rows_mut().into_iter().zip(&mut bias) {
            let mut shift = 0.0;
            for ((weight, inverse), mean) in row.iter_mut().zip(&inverse).zip(&mean) {
                let value = normal.draw() * f64::from(*inverse) * scale;
                *weight = value as f32;
                shift += value * f64::from(*mean);
            }
            *bias = -shift as f32;
        }
        Self { weights, bias, origin: Origin::Projection { seed, mean, inverse } }
    }

    /// m, the number of units.
    #[must_use]
    pub fn width(&self) -> usize {
        self.bias.len()
    }

    /// The units' values (n, m) for `embeddings` (n, d), summed in f64.
    ///
    /// # Panics
    /// When the embeddings are not d wide.
    #[must_use]
    pub fn units_of(&self, embeddings: &Array2<f32>) -> Array2<f32> {
        let weights = self.weights.mapv(f64::from);
        let mut out = Array2::zeros((embeddings.nrows(), self.width()));
        for (rows, mut to) in embeddings.axis_chunks_iter(Axis(0), 64).zip(out.axis_chunks_iter_mut(Axis(0), 64)) {
            let units = affine(&rows.mapv(f64::from).view(), &weights.view(), &self.bias);
            to.assign(&units.mapv(|unit| unit.max(0.0) as f32));
        }
        out
    }

    /// The units' values (m,) for an `embedding` (d,), summed in f64.
    pub(super) fn activations(&self, embedding: &[f32]) -> Vec<f64> {
        let unit = |(row, bias): (ndarray::ArrayView1<'_, f32>, &f32)| {
            let dot: f64 = row.iter().zip(embedding).map(|(a, z)| f64::from(*a) * f64::from(*z)).sum();
            (dot + f64::from(*bias)).max(0.0)
        };
        self.weights.rows().into_iter().zip(&self.bias).map(unit).collect()
    }

    /// Adds what decides in this layer to a head's identity.
    pub(super) fn hash(&self, hash: &mut Sha256) {
        let mut floats = |values: &mut dyn Iterator<Item = &f32>| values.for_each(|v| hash.update(v.to_le_bytes()));
        match &self.origin {
            Origin::Learned => {
                floats(&mut self.weights.iter().chain(&self.bias));
                hash.update(b"learned");
            }
            Origin::Projection { seed, mean, inverse } => {
                floats(&mut mean.iter().chain(inverse));
                hash.update(seed.to_le_bytes());
                hash.update(b"projection");
            }
        }
    }
}

/// `rows W^T + b` in f64 for rows (n, d), W (m, d) and b (m,).
pub(super) fn affine(rows: &ArrayView2<'_, f64>, weights: &ArrayView2<'_, f64>, bias: &Array1<f32>) -> Array2<f64> {
    let mut out = Array2::from_shape_fn((rows.nrows(), bias.len()), |(_, unit)| f64::from(bias[unit]));
    general_mat_mul(1.0, rows, &weights.t(), 1.0, &mut out);
    out
}

/// Numbers from N(0, 1) (Box and Muller 1958).
pub(crate) struct Normal {
    rng: ChaCha8Rng,
    spare: Option<f64>,
}

impl Normal {
    pub fn new(rng: ChaCha8Rng) -> Self {
        Self { rng, spare: None }
    }

    pub fn draw(&mut self) -> f64 {
        if let Some(value) = self.spare.take() {
            return value;
        }
        // 1 - u is above 0, so the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * self.rng.random::<f64>()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projection_is_made_again_from_its_seed_bit_by_bit_and_another_seed_makes_another() {
        let (mean, inverse) = (Array1::from_elem(7, 0.5), Array1::from_elem(7, 2.0));
        let first = Hidden::projection(4, 5, mean.clone(), inverse.clone());
        assert_eq!(first, Hidden::projection(4, 5, mean.clone(), inverse.clone()));
        assert_ne!(first.weights, Hidden::projection(5, 5, mean, inverse).weights);
    }

    #[test]
    fn a_projection_standardises_what_it_reads_and_ignores_what_never_varied() {
        let mean = ndarray::array![10.0, -3.0, 7.0];
        let hidden = Hidden::projection(1, 400, mean.clone(), ndarray::array![0.5, 4.0, 0.0]);
        assert!(hidden.activations(&mean.to_vec()).iter().all(|unit| *unit < 1e-5), "at the mean every unit is zero");
        assert!(hidden.weights.column(2).iter().all(|weight| *weight == 0.0));
        // Two standard deviations along one axis: relu of N(0, 4 / 3), whose mean square is half the variance.
        let units = hidden.activations(&[14.0, -3.0, 7.0]);
        let square = units.iter().map(|unit| unit * unit).sum::<f64>() / 400.0;
        assert!((square - 2.0 / 3.0).abs() < 0.15, "{square}");
    }

    #[test]
    fn drawn_numbers_have_the_moments_of_a_normal() {
        let mut normal = Normal::new(ChaCha8Rng::seed_from_u64(3));
        let drawn: Vec<f64> = (0..100_000).map(|_| normal.draw()).collect();
        let moment = |power: i32| drawn.iter().map(|value| value.powi(power)).sum::<f64>() / 1e5;
        assert!(moment(1).abs() < 0.02 && (moment(2) - 1.0).abs() < 0.02, "{} {}", moment(1), moment(2));
        assert!(moment(3).abs() < 0.06 && (moment(4) - 3.0).abs() < 0.12, "{} {}", moment(3), moment(4));
    }
}
