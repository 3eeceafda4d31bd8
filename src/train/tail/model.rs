//! One model in training: the tail's values and a dense layer behind them, trained by Adam.
//!
//! `logits = W ((z - m) / t) + b`, z the tail's embedding and behind it the frozen values that the space has beyond it;
//! m and t are those of the frozen embeddings, as the softmax head has them.

#![allow(clippy::inline_always, reason = "a call out of the dispatched function would lose its instruction set")]

use ndarray::{Array1, Array2};
use pulp::Arch;

use super::gemm::{Gemm, Matrix, Target};
use super::network::TailNetwork;
use super::quantised::Latents;
use super::workspace::Workspace;
use crate::train::Dataset;
use crate::train::cv::FitSet;
use crate::train::fast::features::Features;
use crate::train::softmax_loss::log_sum_exp;

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;
/// Batches are filled up to a multiple of the widest vector.
const LANES: usize = 16;

/// What all models of one training share.
pub(super) struct Task<'a> {
    pub data: &'a Dataset,
    pub latents: &'a Latents,
    pub network: &'a TailNetwork,
    pub scale: Standard,
    /// The L2 penalty of W.
    pub lambda: f64,
}

/// `((z - high) - low) inverse`, each (d,).
pub(super) struct Standard {
    high: Vec<f32>,
    low: Vec<f32>,
    inverse: Vec<f32>,
}

/// A dense layer on standardised values: W (k, d) row by row, then b (k,).
pub(super) type Dense = Vec<f32>;

impl Standard {
    pub fn of(features: &Features<'_>) -> Self {
        let mean = features.mean();
        let high: Vec<f32> = mean.iter().map(|m| *m as f32).collect();
        let low = mean.iter().zip(&high).map(|(m, high)| (m - f64::from(*high)) as f32).collect();
        Self { high, low, inverse: features.inverse().iter().map(|v| *v as f32).collect() }
    }

    /// A layer on embeddings as one on standardised values; values that never varied get the weight 0.
    pub fn folded(&self, weights: &Array2<f32>, bias: &Array1<f32>) -> Dense {
        let weight =
            |((_, j), w): ((usize, usize), &f32)| if self.inverse[j] > 0.0 { w / self.inverse[j] } else { 0.0 };
        let shifted = weights.rows().into_iter().zip(bias).map(|(row, b)| {
            (f64::from(*b) + row.iter().enumerate().map(|(j, w)| f64::from(*w) * self.mean(j)).sum::<f64>()) as f32
        });
        weights.indexed_iter().map(weight).chain(shifted).collect()
    }

    /// The layer on embeddings, W (k, d) and b (k,).
    pub fn unfolded(&self, dense: &[f32]) -> (Array2<f32>, Array1<f32>) {
        let d = self.inverse.len();
        let k = dense.len() / (d + 1);
        let weights = Array2::from_shape_fn((k, d), |(c, j)| dense[c * d + j] * self.inverse[j]);
        let bias = |c: usize| {
            let mean: f64 = (0..d).map(|j| f64::from(weights[[c, j]]) * self.mean(j)).sum();
            (f64::from(dense[k * d + c]) - mean) as f32
        };
        let bias = Array1::from_shape_fn(k, bias);
        (weights, bias)
    }

    fn mean(&self, j: usize) -> f64 {
        f64::from(self.high[j]) + f64::from(self.low[j])
    }
}

/// What a step met.
#[derive(Clone, Copy, Default)]
pub(super) struct Met {
    /// Sum of the weighted cross-entropies.
    pub loss: f64,
    /// Right answers.
    pub right: usize,
    /// Answers.
    pub count: usize,
}

impl Met {
    pub fn and(self, other: Self) -> Self {
        Self { loss: self.loss + other.loss, right: self.right + other.right, count: self.count + other.count }
    }
}

/// A tail and a dense layer in training.
pub(super) struct Model<'a> {
    task: &'a Task<'a>,
    /// The tail's values, then the dense layer's.
    pub theta: Vec<f32>,
    pub gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    /// beta1^t and beta2^t.
    decay: (f64, f64),
    work: Workspace,
    gemm: Gemm,
    /// Standardised values (d, batch), and the gradient by those of the tail.
    features: Vec<f32>,
    by_features: Vec<f32>,
    /// (k, batch)
    logits: Vec<f32>,
    row: Vec<f64>,
}

impl<'a> Model<'a> {
    /// The original tail and `dense`, for batches of `batch` at most.
    pub fn new(task: &'a Task<'a>, dense: &[f32], batch: usize) -> Self {
        let batch = batch.next_multiple_of(LANES);
        let mut theta = task.network.original();
        theta.extend_from_slice(dense);
        let zeros = vec![0.0; theta.len()];
        let (d, k) = (task.data.space().dim, task.data.classes().len());
        Self {
            task,
            gradient: zeros.clone(),
            mean: zeros.clone(),
            square: zeros,
            theta,
            decay: (1.0, 1.0),
            work: Workspace::new(task.network, batch),
            gemm: Gemm::default(),
            features: vec![0.0; d * batch],
            by_features: vec![0.0; task.network.dim() * batch],
            logits: vec![0.0; k * batch],
            row: vec![0.0; k],
        }
    }

    /// Where the dense layer's values begin.
    pub fn dense(&self) -> usize {
        self.theta.len() - self.task.data.classes().len() * (self.task.data.space().dim + 1)
    }

    /// A step of Adam on `rows` of picture and view, in the weights of `set`, of which `n` count.
    pub fn step(&mut self, rows: &[(usize, usize)], set: &FitSet, n: f64, rate: f64) -> Met {
        self.forward(rows);
        self.gradient.fill(0.0);
        let met = self.residuals(rows, set, n / rows.len() as f64);
        self.backward();
        self.update(rate);
        met
    }

    /// Writes the logits (m, k), by the plain view, of `samples` row by row; -inf for classes that are not `known`.
    pub fn logits(&mut self, samples: &[usize], known: &[bool]) -> Array2<f32> {
        let (k, batch) = (known.len(), self.work.batch());
        let mut out = Array2::from_elem((samples.len(), k), f32::NEG_INFINITY);
        let mut done = 0;
        for samples in samples.chunks(batch) {
            let rows: Vec<(usize, usize)> = samples.iter().map(|&sample| (sample, 0)).collect();
            self.forward(&rows);
            for at in 0..rows.len() {
                for class in (0..k).filter(|&class| known[class]) {
                    out[[done + at, class]] = self.logits[class * batch + at];
                }
            }
            done += rows.len();
        }
        out
    }

    fn forward(&mut self, rows: &[(usize, usize)]) {
        let Task { data, latents, network, scale, .. } = self.task;
        let (split, batch, d, k) = (self.dense(), self.work.batch(), data.space().dim, data.classes().len());
        let (tail, dense) = self.theta.split_at(split);
        latents.dequantise(rows, batch, self.work.input());
        network.forward(tail, &mut self.work);
        let (dim, embeddings) = (network.dim(), self.work.embeddings(network));
        for (j, to) in self.features.chunks_exact_mut(batch).enumerate() {
            let (high, low, inverse) = (scale.high[j], scale.low[j], scale.inverse[j]);
            if j < dim {
                let z = &embeddings[j * batch..(j + 1) * batch];
                to.iter_mut().zip(z).for_each(|(to, z)| *to = ((z - high) - low) * inverse);
            } else {
                for (to, &(picture, _)) in to.iter_mut().zip(rows) {
                    *to = ((data.x()[[picture, j]] - high) - low) * inverse;
                }
            }
        }
        let (weights, bias) = dense.split_at(k * d);
        for (to, bias) in self.logits.chunks_exact_mut(batch).zip(bias) {
            to.fill(*bias);
        }
        let target = Target::rows(&mut self.logits, batch).adding(true);
        self.gemm.multiply([k, d, batch], Matrix::rows(weights, d), Matrix::rows(&self.features, batch), target);
    }

    /// Puts `scale w_i (p_i - e_{y_i})` in the place of the logits, 0 behind the last row.
    fn residuals(&mut self, rows: &[(usize, usize)], set: &FitSet, scale: f64) -> Met {
        let batch = self.work.batch();
        let mut met = Met::default();
        for at in 0..batch {
            let Some(&(sample, _)) = rows.get(at) else {
                self.logits[at..].iter_mut().step_by(batch).for_each(|to| *to = 0.0);
                continue;
            };
            let (y, weight) = (self.task.data.y()[sample], set.weight[sample]);
            let logits = self.logits[at..].iter().step_by(batch).zip(&set.known);
            for (to, (logit, known)) in self.row.iter_mut().zip(logits) {
                *to = if *known { f64::from(*logit) } else { f64::NEG_INFINITY };
            }
            let log_sum = log_sum_exp(&self.row);
            met.loss += weight * (log_sum - self.row[y]);
            met.count += 1;
            met.right += usize::from(self.row.iter().enumerate().all(|(c, logit)| c == y || *logit < self.row[y]));
            for (class, to) in self.logits[at..].iter_mut().step_by(batch).enumerate() {
                let hit = if class == y { 1.0 } else { 0.0 };
                *to = (scale * weight * ((self.row[class] - log_sum).exp() - hit)) as f32;
            }
        }
        met
    }

    fn backward(&mut self) {
        let Task { data, network, scale, lambda, .. } = self.task;
        let (split, batch, d, k) = (self.dense(), self.work.batch(), data.space().dim, data.classes().len());
        let dim = network.dim();
        let (tail, dense) = self.theta.split_at(split);
        let (by_tail, by_dense) = self.gradient.split_at_mut(split);
        let (weights, by_weights) = (&dense[..k * d], &mut by_dense[..k * d]);
        let lambda = *lambda as f32;
        by_weights.iter_mut().zip(weights).for_each(|(to, w)| *to = lambda * w);
        let features = Matrix::transposed(&self.features, batch);
        let target = Target::rows(by_weights, d).adding(true);
        self.gemm.multiply([k, batch, d], Matrix::rows(&self.logits, batch), features, target);
        for (to, row) in by_dense[k * d..].iter_mut().zip(self.logits.chunks_exact(batch)) {
            *to = row.iter().sum();
        }
        let target = Target::rows(&mut self.by_features, batch);
        self.gemm.multiply([dim, k, batch], Matrix::transposed(weights, d), Matrix::rows(&self.logits, batch), target);
        let to = self.work.embedding_gradient(network).chunks_exact_mut(batch);
        for ((to, g), inverse) in to.zip(self.by_features.chunks_exact(batch)).zip(&scale.inverse) {
            to.iter_mut().zip(g).for_each(|(to, g)| *to = g * inverse);
        }
        network.backward(tail, &mut self.work, by_tail);
    }

    /// Adam with bias-corrected moments (Kingma and Ba, arXiv 1412.6980).
    fn update(&mut self, rate: f64) {
        self.decay = (self.decay.0 * f64::from(BETA1), self.decay.1 * f64::from(BETA2));
        let rate = (rate / (1.0 - self.decay.0)) as f32;
        let second = (1.0 / (1.0 - self.decay.1)) as f32;
        let moments = self.mean.iter_mut().zip(&mut self.square);
        let values = self.theta.iter_mut().zip(moments).zip(&self.gradient);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for ((theta, (m, v)), g) in values {
                    *m = BETA1 * *m + (1.0 - BETA1) * g;
                    *v = BETA2 * *v + (1.0 - BETA2) * g * g;
                    *theta -= rate * *m / ((second * *v).sqrt() + EPSILON);
                }
            },
        );
    }
}
