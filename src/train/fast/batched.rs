//! Losses and gradients of all folds' models in one pass over the samples.
//!
//! The folds are fitted in lock-step: a block of samples is read and standardised once, stays in the cache, and is used
//! by every model that trains on it. Products are f32, sums over blocks f64.

use ndarray::{Array2, Axis};

use super::features::Rows;
use super::preconditioner::Preconditioner;
use super::simd::{LANES, TILE, accumulate, products};
use crate::train::FitError;
use crate::train::lbfgs::Lbfgs;
use crate::train::softmax_loss::SoftmaxLoss;

/// Samples handled at once; with a width of 1,280 they take half a megabyte.
const BLOCK: usize = 96;
/// Blocks whose gradients are summed in f32 before they are added in f64.
const FLUSH: usize = 8;

/// A loss at one point.
#[derive(Clone, Copy, Default)]
pub(crate) struct Evaluation {
    /// J of [`SoftmaxLoss`].
    pub value: f64,
    /// Mean of `sum_j p_j (1 - p_j) / (K - 1)`: how much curvature the softmax has left, 1 / K at zero weights.
    pub curvature: f64,
}

/// One model in a pass: its loss and gradient at `theta` are computed.
pub(crate) struct FoldFit<'a, 'b> {
    pub loss: &'a SoftmaxLoss<'b>,
    pub theta: &'a [f64],
    pub gradient: &'a mut [f64],
    pub evaluation: Evaluation,
    /// W and b as (k, width) in f32, and the gradient of the same shape.
    w: Vec<f32>,
    sum: Vec<f32>,
}

impl<'a, 'b> FoldFit<'a, 'b> {
    /// Before the pass; `gradient` is overwritten.
    pub fn new(loss: &'a SoftmaxLoss<'b>, theta: &'a [f64], gradient: &'a mut [f64]) -> Self {
        let (k, r) = (loss.known.len(), loss.x.width());
        let w = layer(theta, k, r);
        gradient.fill(0.0);
        Self { loss, theta, gradient, evaluation: Evaluation::default(), sum: vec![0.0; w.len()], w }
    }

    /// Adds the part of one block; `logits` is scratch of (rows, k).
    fn add(&mut self, samples: &[usize], block: &[f32], logits: &mut [f32]) {
        let SoftmaxLoss { y, weight, known, offset, .. } = *self.loss;
        let k = known.len();
        let width = self.w.len() / k;
        let logits = &mut logits[..block.len() / width * k];
        products(block, &self.w, width, logits);
        let freedom = (known.iter().filter(|known| **known).count() - 1).max(1) as f64;
        let mut p = vec![0.0; k];
        for (row, &sample) in logits.chunks_exact_mut(k).zip(samples) {
            let weight = weight[sample];
            if let Some(offset) = offset {
                row.iter_mut().zip(offset.of(sample)).for_each(|(logit, more)| *logit += more as f32);
            }
            let top = row.iter().zip(known).filter(|(_, known)| **known).fold(f32::MIN, |top, (v, _)| top.max(*v));
            let mut sum = 0.0;
            for ((p, v), known) in p.iter_mut().zip(&*row).zip(known) {
                *p = if *known { (f64::from(*v) - f64::from(top)).exp() } else { 0.0 };
                sum += *p;
            }
            if weight > 0.0 {
                self.evaluation.value += weight * (sum.ln() + f64::from(top) - f64::from(row[y[sample]]));
            }
            let mut squares = 0.0;
            for (v, p) in row.iter_mut().zip(&p) {
                let p = p / sum;
                squares += p * p;
                *v = (weight * p) as f32;
            }
            row[y[sample]] = (weight * (p[y[sample]] / sum - 1.0)) as f32;
            self.evaluation.curvature += weight * (1.0 - squares) / freedom;
        }
        logits[samples.len() * k..].fill(0.0);
        accumulate(logits, block, width, &mut self.sum);
    }

    /// Moves what was summed in f32 to the gradient.
    fn flush(&mut self) {
        let (k, r) = (self.loss.known.len(), self.loss.x.width());
        for (class, sum) in self.sum.chunks_exact(padded_width(r)).enumerate() {
            let gradient = &mut self.gradient[class * r..(class + 1) * r];
            gradient.iter_mut().zip(sum).for_each(|(g, sum)| *g += f64::from(*sum));
            self.gradient[k * r + class] += f64::from(sum[r]);
        }
        self.sum.fill(0.0);
    }
}

/// W and b of `theta` as (k, padded width) in f32.
fn layer(theta: &[f64], k: usize, r: usize) -> Vec<f32> {
    let width = padded_width(r);
    let mut layer = vec![0.0; k * width];
    for (class, w) in layer.chunks_exact_mut(width).enumerate() {
        w.iter_mut().zip(&theta[class * r..(class + 1) * r]).for_each(|(w, theta)| *w = *theta as f32);
        w[r] = theta[k * r + class] as f32;
    }
    layer
}

/// Logits (m, k) of m `samples` by the model `theta` of a loss; -inf for classes that it does not know.
pub(crate) fn predict(loss: &SoftmaxLoss<'_>, theta: &[f64], samples: &[usize]) -> Array2<f64> {
    let SoftmaxLoss { x, known, offset, .. } = *loss;
    let (k, width) = (known.len(), padded_width(x.width()));
    let layer = layer(theta, k, x.width());
    let (mut block, mut logits) = (vec![0.0; BLOCK * width], vec![0.0; BLOCK * k]);
    let mut out = Array2::from_elem((samples.len(), k), f64::NEG_INFINITY);
    for (mut out, samples) in out.axis_chunks_iter_mut(Axis(0), BLOCK).zip(samples.chunks(BLOCK)) {
        let filled = fill_block(x, samples, &mut block);
        let logits = &mut logits[..filled.len() / width * k];
        products(filled, &layer, width, logits);
        for ((mut out, logits), &sample) in out.rows_mut().into_iter().zip(logits.chunks_exact(k)).zip(samples) {
            let seen = out.iter_mut().zip(logits).zip(known).filter(|(_, known)| **known);
            seen.for_each(|((out, logit), _)| *out = f64::from(*logit));
            if let Some(offset) = offset {
                out.iter_mut().zip(offset.of(sample)).for_each(|(out, more)| *out += more);
            }
        }
    }
    out
}

/// A width with a column of ones for the bias, and zeros up to whole vectors.
pub(crate) fn padded_width(width: usize) -> usize {
    (width + 1).next_multiple_of(LANES)
}

/// Writes the features of `samples` into `block` (rows, padded width) with a one after each, zeros elsewhere, and
/// returns the whole rows written: a multiple of [`TILE`].
pub(crate) fn fill_block<'a>(x: Rows<'_>, samples: &[usize], block: &'a mut [f32]) -> &'a [f32] {
    let (r, width) = (x.width(), padded_width(x.width()));
    let block = &mut block[..samples.len().next_multiple_of(TILE) * width];
    for (row, &sample) in block.chunks_exact_mut(width).zip(samples) {
        x.write(sample, &mut row[..r]);
        row[r] = 1.0;
    }
    block[samples.len() * width..].fill(0.0);
    block
}

/// Evaluates all `fits`, which share their features, in one pass over the samples in `order`, which lists them by fold.
pub(crate) fn evaluate_all(order: &[Vec<usize>], fits: &mut [FoldFit<'_, '_>]) {
    let Some(first) = fits.first() else { return };
    let x = first.loss.x;
    let k = fits.iter().map(|fit| fit.loss.known.len()).max().unwrap_or(0);
    let mut block = vec![0.0; BLOCK * padded_width(x.width())];
    let mut logits = vec![0.0; BLOCK * k];
    for (number, samples) in order.iter().flat_map(|fold| fold.chunks(BLOCK)).enumerate() {
        let filled = fill_block(x, samples, &mut block);
        for fit in &mut *fits {
            if samples.iter().any(|&sample| fit.loss.weight[sample] > 0.0) {
                fit.add(samples, filled, &mut logits);
            }
            if number % FLUSH == FLUSH - 1 {
                fit.flush();
            }
        }
    }
    for fit in fits {
        fit.flush();
        fit.evaluation.value += fit.loss.add_penalty(fit.theta, fit.gradient);
    }
}

/// Runs all `searches` to their ends in lock-step, one pass over the data an evaluation, each search by its own loss;
/// returns the last curvature of each. `go_on` is called after each pass.
///
/// # Errors
/// [`FitError::Cancelled`] when `go_on` is false.
pub(crate) fn fit_folds(
    order: &[Vec<usize>],
    preconditioner: &Preconditioner,
    losses: &[SoftmaxLoss<'_>],
    searches: &mut [Lbfgs],
    go_on: &mut dyn FnMut() -> bool,
) -> Result<Vec<f64>, FitError> {
    let mut curvatures = vec![0.0; searches.len()];
    let mut gradients: Vec<Vec<f64>> = searches.iter().map(|search| vec![0.0; search.query_point().len()]).collect();
    loop {
        let running: Vec<usize> = (0..searches.len()).filter(|&search| !searches[search].has_ended()).collect();
        if running.is_empty() {
            return Ok(curvatures);
        }
        let pairs = searches.iter().zip(losses).zip(&mut gradients).filter(|((search, _), _)| !search.has_ended());
        let mut fits: Vec<FoldFit<'_, '_>> =
            pairs.map(|((search, loss), gradient)| FoldFit::new(loss, search.query_point(), gradient)).collect();
        evaluate_all(order, &mut fits);
        let evaluations: Vec<Evaluation> = fits.into_iter().map(|fit| fit.evaluation).collect();
        for (&search, Evaluation { value, curvature }) in running.iter().zip(evaluations) {
            curvatures[search] = curvature;
            let scaled = losses[search].preconditioned(preconditioner, curvature);
            searches[search].observe(value, &gradients[search], &|v| scaled.apply(v));
        }
        if !go_on() {
            return Err(FitError::Cancelled);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::train::data::prior::Prior;

    #[test]
    fn one_pass_gives_each_model_what_f64_gives_it_alone() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (n, r, k) = (1000, 21, 4);
        let x = Array2::from_shape_simple_fn((n, r), || 4.0 * rng.random::<f32>() - 2.0);
        let y: Vec<usize> = (0..n).map(|i| i % 3).collect();
        let order: Vec<Vec<usize>> = (0..2).map(|fold| (0..n).filter(|i| i % 5 % 2 == fold).collect()).collect();
        let weights: Vec<Vec<f64>> = (0..2)
            .map(|fold| (0..n).map(|i| if i % 5 % 2 == fold { 0.0 } else { rng.random::<f64>() / 500.0 }).collect())
            .collect();
        let known = [true, true, true, false];
        let loss = |fold: usize| SoftmaxLoss {
            x: x.view().into(),
            y: &y,
            weight: &weights[fold],
            known: &known,
            lambda: 0.3,
            offset: None,
        };
        let prior = Prior::of_logits(Array2::from_shape_simple_fn((n, k), || rng.random::<f32>() - 0.5));
        let losses = [loss(0), SoftmaxLoss { offset: Some(prior.offset(&[-0.1, -2.0, 0.3, 0.0])), ..loss(1) }];
        let theta: Vec<f64> = (0..k * (r + 1)).map(|_| rng.random::<f64>() - 0.5).collect();
        let mut gradients = [theta.clone(), theta.clone()];
        let mut fits: Vec<_> = losses.iter().zip(&mut gradients).map(|(o, g)| FoldFit::new(o, &theta, g)).collect();
        evaluate_all(&order, &mut fits);
        let values: Vec<f64> = fits.into_iter().map(|fit| fit.evaluation.value).collect();
        for (fold, loss) in losses.iter().enumerate() {
            let mut exact = theta.clone();
            let value = loss.evaluate(&theta, &mut exact);
            assert!((value - values[fold]).abs() < 1e-6 * value, "{value} {}", values[fold]);
            let samples: Vec<usize> = (0..n).rev().step_by(3).collect();
            let (logits, expected) = (predict(loss, &theta, &samples), loss.logits(&theta, &samples));
            let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-5 || (a.is_infinite() && b.is_infinite());
            assert!(logits.iter().zip(&expected).all(is_near), "fold {fold}");
            let worst = exact.iter().zip(&gradients[fold]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-6, "fold {fold}: {worst}");
        }
    }
}
