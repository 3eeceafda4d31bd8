//! Many models' losses and gradients in one pass over the samples.
//!
//! The folds' models are fitted in step: a block of samples is read and standardised once, stays in the cache, and
//! serves every model that trains on it. Products are f32, sums over blocks f64.

use super::FitError;
use super::features::Rows;
use super::kernel::{LANES, TILE, accumulate, products};
use super::lbfgs::Descent;
use super::objective::Objective;
use super::spectrum::{Shape, Spectrum};

/// Samples handled at once; with a width of 1,280 they take half a megabyte.
const BLOCK: usize = 96;
/// Blocks whose gradients are summed in f32 before they are added in f64.
const FLUSH: usize = 8;

/// What an evaluation found.
#[derive(Clone, Copy, Default)]
pub(super) struct Found {
    /// J
    pub value: f64,
    /// Mean of `sum_j p_j (1 - p_j) / (K - 1)`: how much curvature the softmax has left, 1 / K at zero weights.
    pub spread: f64,
}

/// One model in a pass.
pub(super) struct Job<'a, 'b> {
    pub objective: &'a Objective<'b>,
    pub theta: &'a [f64],
    /// Overwritten.
    pub gradient: &'a mut [f64],
    pub found: Found,
    /// W and b as (k, width) in f32, and the gradient of the same shape.
    w: Vec<f32>,
    sum: Vec<f32>,
}

impl<'a, 'b> Job<'a, 'b> {
    /// The loss of `objective` at `theta` is to be found.
    pub fn new(objective: &'a Objective<'b>, theta: &'a [f64], gradient: &'a mut [f64]) -> Self {
        let (k, r) = (objective.known.len(), objective.x.width());
        let width = padded(r);
        let mut w = vec![0.0; k * width];
        for (class, w) in w.chunks_exact_mut(width).enumerate() {
            w.iter_mut().zip(&theta[class * r..(class + 1) * r]).for_each(|(w, theta)| *w = *theta as f32);
            w[r] = theta[k * r + class] as f32;
        }
        gradient.fill(0.0);
        Self { objective, theta, gradient, found: Found::default(), sum: vec![0.0; w.len()], w }
    }

    /// Adds a block's part; `logits` is scratch of (rows, k).
    fn add(&mut self, samples: &[usize], block: &[f32], logits: &mut [f32]) {
        let Objective { y, weight, known, .. } = *self.objective;
        let k = known.len();
        let width = self.w.len() / k;
        let logits = &mut logits[..block.len() / width * k];
        products(block, &self.w, width, logits);
        let freedom = (known.iter().filter(|known| **known).count() - 1).max(1) as f64;
        let mut p = vec![0.0; k];
        for (row, &sample) in logits.chunks_exact_mut(k).zip(samples) {
            let weight = weight[sample];
            let top = row.iter().zip(known).filter(|(_, known)| **known).fold(f32::MIN, |top, (v, _)| top.max(*v));
            let mut sum = 0.0;
            for ((p, v), known) in p.iter_mut().zip(&*row).zip(known) {
                *p = if *known { (f64::from(*v) - f64::from(top)).exp() } else { 0.0 };
                sum += *p;
            }
            if weight > 0.0 {
                self.found.value += weight * (sum.ln() + f64::from(top) - f64::from(row[y[sample]]));
            }
            let mut squares = 0.0;
            for (v, p) in row.iter_mut().zip(&p) {
                let p = p / sum;
                squares += p * p;
                *v = (weight * p) as f32;
            }
            row[y[sample]] = (weight * (p[y[sample]] / sum - 1.0)) as f32;
            self.found.spread += weight * (1.0 - squares) / freedom;
        }
        logits[samples.len() * k..].fill(0.0);
        accumulate(logits, block, width, &mut self.sum);
    }

    /// Moves what was summed in f32 to the gradient.
    fn flush(&mut self) {
        let (k, r) = (self.objective.known.len(), self.objective.x.width());
        for (class, sum) in self.sum.chunks_exact(padded(r)).enumerate() {
            let gradient = &mut self.gradient[class * r..(class + 1) * r];
            gradient.iter_mut().zip(sum).for_each(|(g, sum)| *g += f64::from(*sum));
            self.gradient[k * r + class] += f64::from(sum[r]);
        }
        self.sum.fill(0.0);
    }
}

/// A width with a column of ones for the bias, and zeros up to whole vectors.
pub(super) fn padded(width: usize) -> usize {
    (width + 1).next_multiple_of(LANES)
}

/// Writes the features of `samples` into `block` (rows, padded width) with a one after each, zeros elsewhere, and
/// returns the whole rows written: a multiple of [`TILE`].
pub(super) fn fill<'a>(x: Rows<'_>, samples: &[usize], block: &'a mut [f32]) -> &'a [f32] {
    let (r, width) = (x.width(), padded(x.width()));
    let block = &mut block[..samples.len().next_multiple_of(TILE) * width];
    for (row, &sample) in block.chunks_exact_mut(width).zip(samples) {
        x.write(sample, &mut row[..r]);
        row[r] = 1.0;
    }
    block[samples.len() * width..].fill(0.0);
    block
}

/// Evaluates all `jobs`, which share their features, in one pass; `order` lists samples by fold.
pub(super) fn evaluate(order: &[Vec<usize>], jobs: &mut [Job<'_, '_>]) {
    let Some(first) = jobs.first() else { return };
    let x = first.objective.x;
    let k = jobs.iter().map(|job| job.objective.known.len()).max().unwrap_or(0);
    let mut block = vec![0.0; BLOCK * padded(x.width())];
    let mut logits = vec![0.0; BLOCK * k];
    for (number, samples) in order.iter().flat_map(|fold| fold.chunks(BLOCK)).enumerate() {
        let filled = fill(x, samples, &mut block);
        for job in &mut *jobs {
            if samples.iter().any(|&sample| job.objective.weight[sample] > 0.0) {
                job.add(samples, filled, &mut logits);
            }
            if number % FLUSH == FLUSH - 1 {
                job.flush();
            }
        }
    }
    for job in jobs {
        job.flush();
        job.found.value += job.objective.add_penalty(job.theta, job.gradient);
    }
}

/// Takes all `models` to their ends, each by its own objective, in step, and returns each one's last spread; `watch`
/// is asked after each pass whether to go on.
///
/// # Errors
/// [`FitError::Cancelled`] when `watch` says so.
pub(super) fn descend(
    order: &[Vec<usize>],
    spectrum: &Spectrum,
    objectives: &[Objective<'_>],
    models: &mut [Descent],
    watch: &mut dyn FnMut() -> bool,
) -> Result<Vec<f64>, FitError> {
    let mut spreads = vec![0.0; models.len()];
    let mut gradients: Vec<Vec<f64>> = models.iter().map(|model| vec![0.0; model.place().len()]).collect();
    loop {
        let running: Vec<usize> = (0..models.len()).filter(|&model| !models[model].ended()).collect();
        if running.is_empty() {
            return Ok(spreads);
        }
        let pairs = models.iter().zip(objectives).zip(&mut gradients).filter(|((model, _), _)| !model.ended());
        let mut jobs: Vec<Job<'_, '_>> =
            pairs.map(|((model, objective), gradient)| Job::new(objective, model.place(), gradient)).collect();
        evaluate(order, &mut jobs);
        let found: Vec<Found> = jobs.into_iter().map(|job| job.found).collect();
        for (&model, Found { value, spread }) in running.iter().zip(found) {
            spreads[model] = spread;
            let shape = Shape { spectrum, spread, lambda: objectives[model].lambda };
            models[model].tell(value, &gradients[model], &|v| shape.apply(v));
        }
        if !watch() {
            return Err(FitError::Cancelled);
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

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
        let objective =
            |fold: usize| Objective { x: x.view().into(), y: &y, weight: &weights[fold], known: &known, lambda: 0.3 };
        let objectives = [objective(0), objective(1)];
        let theta: Vec<f64> = (0..k * (r + 1)).map(|_| rng.random::<f64>() - 0.5).collect();
        let mut gradients = [theta.clone(), theta.clone()];
        let mut jobs: Vec<_> = objectives.iter().zip(&mut gradients).map(|(o, g)| Job::new(o, &theta, g)).collect();
        evaluate(&order, &mut jobs);
        let values: Vec<f64> = jobs.into_iter().map(|job| job.found.value).collect();
        for (fold, objective) in objectives.iter().enumerate() {
            let mut exact = theta.clone();
            let value = objective.evaluate(&theta, &mut exact);
            assert!((value - values[fold]).abs() < 1e-6 * value, "{value} {}", values[fold]);
            let worst = exact.iter().zip(&gradients[fold]).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(worst < 1e-6, "fold {fold}: {worst}");
        }
    }
}
