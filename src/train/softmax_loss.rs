//! The loss of softmax regression and its gradient, in f64: what `fast::batched` computes faster.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};

use super::data::prior::Offset;
use super::fast::features::Rows;
use super::fast::preconditioner::{Preconditioner, ScaledPreconditioner};

/// Rows handled at once, so that they stay in the cache between logits and gradient.
const BLOCK: usize = 256;

/// `J = sum_i w_i [-log softmax(W x_i + b)_{y_i}] + (lambda/2) ||W||_F^2`; b is not penalised.
///
/// With an offset o, `J = sum_i w_i [-log softmax(W x_i + b + o_i)_{y_i}] + (lambda/2) (||W||_F^2 + ||b||^2)`: what is learned is
/// how it differs from the offset, and bias differs as little as may be.
///
/// Parameters are flat: W (k, r) row by row, then b (k,). Features are f32, everything else here is f64.
#[derive(Clone, Copy)]
pub(crate) struct SoftmaxLoss<'a> {
    /// (n, r)
    pub x: Rows<'a>,
    /// Class of each sample (n,).
    pub y: &'a [usize],
    /// w (n,): 0 leaves a sample out.
    pub weight: &'a [f64],
    /// Which classes have samples of positive weight (k,); the others' logits are -inf.
    pub known: &'a [bool],
    /// L2 penalty.
    pub lambda: f64,
    /// o, of a training that builds on a head.
    pub offset: Option<Offset<'a>>,
}

impl SoftmaxLoss<'_> {
    /// The number of parameters, k (r + 1).
    pub fn parameters(&self) -> usize {
        self.known.len() * (self.x.width() + 1)
    }

    /// How many of them, from the front, are penalised.
    pub fn penalised(&self) -> usize {
        if self.offset.is_some() { self.parameters() } else { self.known.len() * self.x.width() }
    }

    /// Writes the gradient at `theta` into `gradient` and returns J.
    pub fn evaluate(&self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let mut loss = 0.0;
        let samples: Vec<usize> = (0..self.y.len()).collect();
        for samples in samples.chunks(BLOCK) {
            loss += self.add_rows(samples, 1.0, theta, gradient);
        }
        loss + self.add_penalty(theta, gradient)
    }

    /// The same over the samples `batch` alone, their weights multiplied by `scale`.
    pub fn evaluate_batch(&self, batch: &[usize], scale: f64, theta: &[f64], gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        self.add_rows(batch, scale, theta, gradient) + self.add_penalty(theta, gradient)
    }

    /// Logits (m, k) of m `samples`.
    pub fn logits(&self, theta: &[f64], samples: &[usize]) -> Array2<f64> {
        let mut out = Array2::zeros((samples.len(), self.known.len()));
        for (mut to, samples) in out.axis_chunks_iter_mut(Axis(0), BLOCK).zip(samples.chunks(BLOCK)) {
            to.assign(&self.block_logits(samples, &self.x.take(samples), theta));
        }
        out
    }

    fn add_rows(&self, samples: &[usize], scale: f64, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let (k, r) = (self.known.len(), self.x.width());
        let rows = self.x.take(samples);
        // Becomes w_i (p_i - e_{y_i}) row by row.
        let mut residual = self.block_logits(samples, &rows, theta);
        let mut loss = 0.0;
        for (mut row, &sample) in residual.rows_mut().into_iter().zip(samples) {
            let (y, weight) = (self.y[sample], scale * self.weight[sample]);
            if weight == 0.0 {
                row.fill(0.0);
                continue;
            }
            let log_sum = log_sum_exp(row.as_slice().expect("rows of a fresh array are contiguous"));
            loss += weight * (log_sum - row[y]);
            row.mapv_inplace(|logit| weight * (logit - log_sum).exp());
            row[y] -= weight;
        }
        let (weights, bias) = gradient.split_at_mut(k * r);
        let mut weights = ArrayViewMut2::from_shape((k, r), weights).expect("the split is at k * r");
        general_mat_mul(1.0, &residual.t(), &rows, 1.0, &mut weights);
        bias.iter_mut().zip(residual.columns()).for_each(|(b, column)| *b += column.sum());
        loss
    }

    /// Its approximate inverse Hessian where the softmax has so much `curvature` left.
    pub fn preconditioned<'b>(&self, preconditioner: &'b Preconditioner, curvature: f64) -> ScaledPreconditioner<'b> {
        let of_bias = if self.offset.is_some() { self.lambda } else { 0.0 };
        ScaledPreconditioner { preconditioner, curvature, lambda: self.lambda, of_bias }
    }

    /// Adds the penalty's gradient and returns the penalty.
    pub fn add_penalty(&self, theta: &[f64], gradient: &mut [f64]) -> f64 {
        let penalised = self.penalised();
        gradient[..penalised].iter_mut().zip(theta).for_each(|(g, w)| *g += self.lambda * w);
        self.lambda / 2.0 * theta[..penalised].iter().map(|w| w * w).sum::<f64>()
    }

    fn block_logits(&self, samples: &[usize], rows: &Array2<f64>, theta: &[f64]) -> Array2<f64> {
        let (k, r) = (self.known.len(), self.x.width());
        let weights = ArrayView2::from_shape((k, r), &theta[..k * r]).expect("the slice has k * r values");
        let mut logits = Array2::from_shape_fn((rows.nrows(), k), |(_, class)| theta[k * r + class]);
        general_mat_mul(1.0, rows, &weights.t(), 1.0, &mut logits);
        if let Some(offset) = self.offset {
            for (mut row, &sample) in logits.rows_mut().into_iter().zip(samples) {
                row.iter_mut().zip(offset.of(sample)).for_each(|(logit, more)| *logit += more);
            }
        }
        for (mut column, known) in logits.columns_mut().into_iter().zip(self.known) {
            if !known {
                column.fill(f64::NEG_INFINITY);
            }
        }
        logits
    }
}

/// `log sum_j exp(v_j)`, shifted by the maximum so that it does not overflow.
pub(crate) fn log_sum_exp(values: &[f64]) -> f64 {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    top + values.iter().map(|v| (v - top).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::train::data::prior::Prior;

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let (n, r, k) = (70, 5, 4);
        let x = Array2::from_shape_simple_fn((n, r), || 4.0 * rng.random::<f32>() - 2.0);
        let y: Vec<usize> = (0..n).map(|i| i % 3).collect();
        let weight: Vec<f64> = (0..n).map(|i| if i % 7 == 0 { 0.0 } else { rng.random() }).collect();
        let known = [true, true, true, false];
        let prior = Prior::of_logits(Array2::from_shape_simple_fn((n, k), || rng.random::<f32>() - 0.5));
        let shares = [-0.1, -2.0, 0.3, 0.0];
        let plain =
            SoftmaxLoss { x: x.view().into(), y: &y, weight: &weight, known: &known, lambda: 0.3, offset: None };
        for loss in [SoftmaxLoss { offset: Some(prior.offset(&shares)), ..plain }, plain] {
            check_gradient(&loss, &mut rng);
        }
    }

    fn check_gradient(loss: &SoftmaxLoss<'_>, rng: &mut ChaCha8Rng) {
        let theta: Vec<f64> = (0..loss.parameters()).map(|_| rng.random::<f64>() - 0.5).collect();
        let (mut gradient, mut scratch) = (vec![0.0; theta.len()], vec![0.0; theta.len()]);
        loss.evaluate(&theta, &mut gradient);
        let batch: Vec<usize> = (0..loss.y.len()).collect();
        loss.evaluate_batch(&batch, 1.0, &theta, &mut scratch);
        assert!(gradient.iter().zip(&scratch).all(|(a, b)| (a - b).abs() < 1e-12));
        for place in 0..theta.len() {
            let mut at = |step: f64| {
                let mut moved = theta.clone();
                moved[place] += step;
                loss.evaluate(&moved, &mut scratch)
            };
            let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((numeric - gradient[place]).abs() < 1e-7, "{place}: {numeric} against {}", gradient[place]);
        }
    }

    #[test]
    fn huge_logits_keep_the_loss_finite() {
        let x = ndarray::array![[1.0_f32], [-1.0]];
        let loss = SoftmaxLoss {
            x: x.view().into(),
            y: &[0, 1],
            weight: &[0.5, 0.5],
            known: &[true; 2],
            lambda: 0.0,
            offset: None,
        };
        let mut gradient = vec![0.0; 4];
        assert!((loss.evaluate(&[-1e4, 1e4, 0.0, 0.0], &mut gradient) - 2e4).abs() < 1e-9);
        assert!(gradient.iter().all(|g| g.is_finite()));
    }
}
