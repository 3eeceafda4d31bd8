//! A network with one hidden layer of rectified units and a softmax, trained by Adam with decoupled weight decay.
//!
//! Everything is f32 but the losses: no sum is longer than a batch or a row, and the work is a fraction.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView1, ArrayView2, ArrayViewMut2, Axis, s};
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::train::softmax_loss::log_sum_exp;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Sizes of the layers.
#[derive(Clone, Copy)]
pub(crate) struct LayerSizes {
    /// Width of the input.
    pub d: usize,
    /// Hidden units.
    pub h: usize,
    /// Classes.
    pub k: usize,
}

/// How the network is trained.
#[derive(Clone, Copy)]
pub(crate) struct Hyperparameters {
    /// Samples in a batch.
    pub batch: usize,
    /// Learning rate.
    pub lr: f64,
    /// Share of hidden units left out at each step, 0..1; the others count for more by as much.
    pub dropout: f64,
    /// Share of the weights, but not of the biases, taken off by a step of learning rate 1 (arXiv 1711.05101).
    pub decay: f64,
}

/// What the network is trained on: the samples of positive weight.
pub(crate) struct TrainingData<'a> {
    /// (n, d)
    pub x: &'a Array2<f32>,
    /// Class of each sample (n,).
    pub y: &'a [usize],
    /// (n,), sum 1.
    pub weight: &'a [f64],
    /// Classes with samples (k,); the others' logits are -inf.
    pub known: &'a [bool],
}

/// The layers and Adam's moments.
pub(crate) struct Network {
    sizes: LayerSizes,
    /// Flat: A (h, d), W (k, h), c (h,), b (k,).
    theta: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    gradient: Vec<f32>,
    decay: (f32, f32),
    rng: ChaCha8Rng,
}

/// The parameters, by layer.
pub(crate) struct Layers<'a> {
    /// A (h, d).
    pub hidden: ArrayView2<'a, f32>,
    /// c (h,).
    pub hidden_bias: ArrayView1<'a, f32>,
    /// W (k, h).
    pub weights: ArrayView2<'a, f32>,
    /// b (k,).
    pub bias: ArrayView1<'a, f32>,
}

impl LayerSizes {
    fn weights(self) -> usize {
        self.h * (self.d + self.k)
    }

    fn parameters(self) -> usize {
        self.weights() + self.h + self.k
    }

    fn layers(self, theta: &[f32]) -> Layers<'_> {
        let (hidden, rest) = theta.split_at(self.h * self.d);
        let (weights, rest) = rest.split_at(self.k * self.h);
        let (hidden_bias, bias) = rest.split_at(self.h);
        Layers {
            hidden: ArrayView2::from_shape((self.h, self.d), hidden).expect("the slice has h * d values"),
            hidden_bias: ArrayView1::from(hidden_bias),
            weights: ArrayView2::from_shape((self.k, self.h), weights).expect("the slice has k * h values"),
            bias: ArrayView1::from(bias),
        }
    }
}

impl Network {
    /// Weights uniform within `sqrt(6 / (inputs + outputs))` (Glorot and Bengio 2010), biases 0.
    pub fn new(sizes: LayerSizes, seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        let mut theta = vec![0.0; sizes.parameters()];
        let (first, rest) = theta.split_at_mut(sizes.h * sizes.d);
        for (weights, ends) in [(first, sizes.d + sizes.h), (&mut rest[..sizes.k * sizes.h], sizes.h + sizes.k)] {
            let bound = (6.0 / ends as f32).sqrt();
            weights.fill_with(|| bound * (2.0 * rng.random::<f32>() - 1.0));
        }
        let zeros = vec![0.0; theta.len()];
        Self { sizes, theta, mean: zeros.clone(), square: zeros.clone(), gradient: zeros, decay: (1.0, 1.0), rng }
    }

    /// The parameters.
    pub fn layers(&self) -> Layers<'_> {
        self.sizes.layers(&self.theta)
    }

    /// Whether every parameter is a number.
    pub fn is_finite(&self) -> bool {
        self.theta.iter().all(|value| value.is_finite())
    }

    /// Logits (n, k) of `x` (n, d), no unit left out.
    pub fn logits(&self, x: &Array2<f32>, known: &[bool]) -> Array2<f64> {
        let mut out = Array2::zeros((x.nrows(), self.sizes.k));
        for (mut to, rows) in out.axis_chunks_iter_mut(Axis(0), 64).zip(x.axis_chunks_iter(Axis(0), 64)) {
            let hidden = self.hidden(&rows);
            to.assign(&self.output(&hidden, known).mapv(f64::from));
        }
        out
    }

    /// Goes once, in a new random order, over the samples of positive weight.
    ///
    /// A batch's loss is the mean over its samples of `n w_i` times their cross-entropy, n counting those samples.
    pub fn epoch(&mut self, data: &TrainingData<'_>, hyper: &Hyperparameters) {
        let mut order: Vec<usize> = (0..data.y.len()).filter(|&sample| data.weight[sample] > 0.0).collect();
        let n = order.len() as f64;
        order.shuffle(&mut self.rng);
        for batch in order.chunks(hyper.batch.max(1)) {
            let kept = 1.0 - hyper.dropout as f32;
            let mask = Array2::from_shape_simple_fn((batch.len(), self.sizes.h), || {
                if self.rng.random::<f32>() < kept { 1.0 / kept } else { 0.0 }
            });
            self.evaluate(data, batch, n / batch.len() as f64, &mask);
            self.step(hyper);
        }
    }

    /// The weighted cross-entropy of `batch`, weights multiplied by `scale` and hidden units by `mask` (batch, h); its
    /// gradient goes into `self.gradient`.
    fn evaluate(&mut self, data: &TrainingData<'_>, batch: &[usize], scale: f64, mask: &Array2<f32>) -> f64 {
        let x = data.x.select(Axis(0), batch);
        let mut hidden = self.hidden(&x.view());
        hidden *= mask;
        // Becomes w_i (p_i - e_{y_i}) row by row.
        let mut residual = self.output(&hidden, data.known);
        let mut loss = 0.0;
        for (mut row, &sample) in residual.rows_mut().into_iter().zip(batch) {
            let (y, weight) = (data.y[sample], scale * data.weight[sample]);
            let logits: Vec<f64> = row.iter().copied().map(f64::from).collect();
            let log_sum = log_sum_exp(&logits);
            loss += weight * (log_sum - logits[y]);
            row.iter_mut().zip(&logits).for_each(|(to, logit)| *to = (weight * (logit - log_sum).exp()) as f32);
            row[y] -= weight as f32;
        }
        let LayerSizes { d, h, k } = self.sizes;
        let mut back = residual.dot(&self.layers().weights);
        ndarray::Zip::from(&mut back).and(&hidden).and(mask).for_each(|back, unit, mask| {
            *back = if *unit > 0.0 { *back * mask } else { 0.0 };
        });
        let (first, rest) = self.gradient.split_at_mut(h * d);
        let (second, rest) = rest.split_at_mut(k * h);
        let (hidden_bias, bias) = rest.split_at_mut(h);
        let matrix = |shape, values| ArrayViewMut2::from_shape(shape, values).expect("the slices have these lengths");
        general_mat_mul(1.0, &back.t(), &x, 0.0, &mut matrix((h, d), first));
        general_mat_mul(1.0, &residual.t(), &hidden, 0.0, &mut matrix((k, h), second));
        hidden_bias.iter_mut().zip(back.columns()).for_each(|(to, column)| *to = column.sum());
        bias.iter_mut().zip(residual.columns()).for_each(|(to, column)| *to = column.sum());
        loss
    }

    fn hidden(&self, x: &ArrayView2<'_, f32>) -> Array2<f32> {
        let layers = self.layers();
        let mut out = Array2::from_shape_fn((x.nrows(), self.sizes.h), |(_, unit)| layers.hidden_bias[unit]);
        general_mat_mul(1.0, x, &layers.hidden.t(), 1.0, &mut out);
        out.mapv_inplace(|unit| unit.max(0.0));
        out
    }

    fn output(&self, hidden: &Array2<f32>, known: &[bool]) -> Array2<f32> {
        let layers = self.layers();
        let mut out = Array2::from_shape_fn((hidden.nrows(), self.sizes.k), |(_, class)| layers.bias[class]);
        general_mat_mul(1.0, hidden, &layers.weights.t(), 1.0, &mut out);
        for (class, _) in known.iter().enumerate().filter(|(_, known)| !**known) {
            out.slice_mut(s![.., class]).fill(f32::NEG_INFINITY);
        }
        out
    }

    /// Adam with bias-corrected moments (arXiv 1412.6980), and decay apart from it.
    fn step(&mut self, hyper: &Hyperparameters) {
        self.decay = (self.decay.0 * BETA1, self.decay.1 * BETA2);
        let (first, second) = (1.0 / (1.0 - self.decay.0), 1.0 / (1.0 - self.decay.1));
        let rate = hyper.lr as f32;
        let kept = 1.0 - (hyper.lr * hyper.decay) as f32;
        self.theta[..self.sizes.weights()].iter_mut().for_each(|weight| *weight *= kept);
        let moments = self.mean.iter_mut().zip(&mut self.square);
        for ((theta, (m, v)), g) in self.theta.iter_mut().zip(moments).zip(&self.gradient) {
            *m = BETA1 * *m + (1.0 - BETA1) * g;
            *v = BETA2 * *v + (1.0 - BETA2) * g * g;
            *theta -= rate * first * *m / ((second * *v).sqrt() + EPSILON);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: LayerSizes = LayerSizes { d: 5, h: 4, k: 3 };

    struct Data {
        x: Array2<f32>,
        y: Vec<usize>,
        weight: Vec<f64>,
    }

    fn data(n: usize) -> Data {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let x = Array2::from_shape_simple_fn((n, SIZES.d), || 2.0 * rng.random::<f32>() - 1.0);
        Data { x, y: (0..n).map(|i| i % 2).collect(), weight: (0..n).map(|_| rng.random()).collect() }
    }

    /// The loss in plain loops and f64.
    fn loss(theta: &[f64], data: &Data, mask: &Array2<f32>) -> f64 {
        let LayerSizes { d, h, k } = SIZES;
        let (hidden, weights) = (|u: usize, j: usize| theta[u * d + j], |c: usize, u: usize| theta[h * d + c * h + u]);
        let biases = &theta[h * (d + k)..];
        let mut total = 0.0;
        for (i, x) in data.x.rows().into_iter().enumerate() {
            let unit = |u: usize| (0..d).map(|j| hidden(u, j) * f64::from(x[j])).sum::<f64>() + biases[u];
            let units: Vec<f64> = (0..h).map(|u| unit(u).max(0.0) * f64::from(mask[[i, u]])).collect();
            // The last class is unknown.
            let logit = |c: usize| (0..h).map(|u| weights(c, u) * units[u]).sum::<f64>() + biases[h + c];
            let sum: f64 = (0..k - 1).map(|c| logit(c).exp()).sum();
            total += data.weight[i] * (sum.ln() - logit(data.y[i]));
        }
        total
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences_of_a_loss_written_out() {
        let data = data(40);
        let mut network = Network::new(SIZES, 3, 0);
        let n = network.theta.len();
        network.theta[n - 7..].iter_mut().enumerate().for_each(|(i, bias)| *bias = 0.1 * i as f32);
        let mask = Array2::from_shape_fn((40, SIZES.h), |(i, u)| if (i + u) % 3 == 0 { 0.0 } else { 1.5 });
        let training = TrainingData { x: &data.x, y: &data.y, weight: &data.weight, known: &[true, true, false] };
        let batch: Vec<usize> = (0..40).collect();
        let found = network.evaluate(&training, &batch, 1.0, &mask);
        let theta: Vec<f64> = network.theta.iter().copied().map(f64::from).collect();
        assert!((found - loss(&theta, &data, &mask)).abs() < 1e-5);
        for place in 0..theta.len() {
            let at = |step: f64| {
                let mut moved = theta.clone();
                moved[place] += step;
                loss(&moved, &data, &mask)
            };
            let numeric = (at(1e-6) - at(-1e-6)) / 2e-6;
            let analytic = f64::from(network.gradient[place]);
            assert!((numeric - analytic).abs() < 2e-5, "{place}: {numeric} against {analytic}");
        }
    }

    #[test]
    fn a_circle_is_learnt_which_no_linear_head_separates() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let x = Array2::from_shape_simple_fn((300, 2), || 4.0 * rng.random::<f32>() - 2.0);
        let y: Vec<usize> = x.rows().into_iter().map(|row| usize::from(row.dot(&row) < 2.0)).collect();
        let weight = vec![1.0 / 300.0; 300];
        let mut network = Network::new(LayerSizes { d: 2, h: 32, k: 2 }, 1, 0);
        let training = TrainingData { x: &x, y: &y, weight: &weight, known: &[true; 2] };
        let hyper = Hyperparameters { batch: 16, lr: 1e-2, dropout: 0.1, decay: 1e-3 };
        (0..60).for_each(|_| network.epoch(&training, &hyper));
        let logits = network.logits(&x, &[true; 2]);
        let right = (0..300).filter(|&i| (logits[[i, 1]] > logits[[i, 0]]) == (y[i] == 1)).count();
        assert!(right > 280, "{right} of 300");
    }

    #[test]
    fn decay_shrinks_weights_and_leaves_biases() {
        let mut network = Network::new(SIZES, 3, 0);
        network.theta.fill(1.0);
        network.step(&Hyperparameters { batch: 1, lr: 0.1, dropout: 0.0, decay: 0.5 });
        let (weights, biases) = network.theta.split_at(SIZES.weights());
        assert!(weights.iter().all(|weight| (weight - 0.95).abs() < 1e-6));
        assert!(biases.iter().all(|bias| (bias - 1.0).abs() < 1e-6));
    }
}
