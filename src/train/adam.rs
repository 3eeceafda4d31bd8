//! Adam (Kingma and Ba, arXiv 1412.6980), the usual optimiser of transfer learning.

use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::softmax_loss::SoftmaxLoss;

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// A model in training: parameters and moments.
pub(crate) struct Adam {
    /// Flat, as [`SoftmaxLoss`] has them; zeros at first.
    pub theta: Vec<f64>,
    mean: Vec<f64>,
    square: Vec<f64>,
    gradient: Vec<f64>,
    /// beta1^t and beta2^t.
    decay: (f64, f64),
    rng: ChaCha8Rng,
}

impl Adam {
    /// A model of `parameters` zeros; `rng` shuffles its batches.
    pub fn new(parameters: usize, rng: ChaCha8Rng) -> Self {
        let zeros = vec![0.0; parameters];
        Self {
            theta: zeros.clone(),
            mean: zeros.clone(),
            square: zeros.clone(),
            gradient: zeros,
            decay: (1.0, 1.0),
            rng,
        }
    }

    /// Goes once, in a new random order, over the samples of positive weight in batches of `batch`.
    ///
    /// A batch's loss is the mean over its samples of `n w_i` times their cross-entropy, n counting those samples.
    pub fn epoch(&mut self, loss: &SoftmaxLoss<'_>, batch: usize, learning_rate: f64) {
        let mut order: Vec<usize> = (0..loss.y.len()).filter(|&i| loss.weight[i] > 0.0).collect();
        let n = order.len() as f64;
        order.shuffle(&mut self.rng);
        for batch in order.chunks(batch.max(1)) {
            loss.evaluate_batch(batch, n / batch.len() as f64, &self.theta, &mut self.gradient);
            self.step(learning_rate);
        }
    }

    /// `theta -= lr m^ / (sqrt(v^) + eps)` with the bias-corrected moments m^ and v^.
    fn step(&mut self, learning_rate: f64) {
        self.decay = (self.decay.0 * BETA1, self.decay.1 * BETA2);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((theta, (m, v)), g) in self.theta.iter_mut().zip(moments).zip(&self.gradient) {
            *m = BETA1 * *m + (1.0 - BETA1) * g;
            *v = BETA2 * *v + (1.0 - BETA2) * g * g;
            let (m, v) = (*m / (1.0 - self.decay.0), *v / (1.0 - self.decay.1));
            *theta -= learning_rate * m / (v.sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn the_first_step_is_the_learning_rate_against_the_gradients_sign() {
        let x = ndarray::array![[1.0_f32], [-2.0]];
        let loss = SoftmaxLoss {
            x: x.view().into(),
            y: &[0, 1],
            weight: &[0.5, 0.5],
            known: &[true; 2],
            lambda: 0.0,
            offset: None,
        };
        let mut adam = Adam::new(4, ChaCha8Rng::seed_from_u64(0));
        adam.epoch(&loss, 32, 1e-3);
        assert!((adam.theta[0] - 1e-3).abs() < 1e-9 && (adam.theta[1] + 1e-3).abs() < 1e-9, "{:?}", adam.theta);
    }

    #[test]
    fn three_steps_agree_with_the_paper_worked_by_hand() {
        let mut adam = Adam::new(1, ChaCha8Rng::seed_from_u64(0));
        let (mut m, mut v, mut theta) = (0.0, 0.0, 0.0);
        for (t, g) in [(1, 0.5), (2, -0.25), (3, 1.0)] {
            adam.gradient[0] = g;
            adam.step(0.1);
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            theta -= 0.1 * (m / (1.0 - 0.9_f64.powi(t))) / ((v / (1.0 - 0.999_f64.powi(t))).sqrt() + 1e-8);
        }
        assert!((adam.theta[0] - theta).abs() < 1e-12, "{} against {theta}", adam.theta[0]);
    }
}
