//! The classic recipe: Adam for a number of epochs, with held-out figures after each.
//!
//! The folds' models are trained beside the served one, epoch by epoch, so that every line of the report has a
//! held-out loss without any image being set aside for good.

use std::ops::ControlFlow;

use ndarray::Array2;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::adam::Adam;
use super::plan::Plan;
use super::select::{keep_fold, losses};
use super::{Epoch, FitError, Progress};

/// The recipe's numbers.
#[derive(Clone, Copy)]
pub(super) struct Recipe {
    pub epochs: usize,
    pub batch: usize,
    pub lr: f64,
    pub lambda: f64,
    pub seed: u64,
}

/// Parameters of the served model, and out-of-fold logits (n, k).
pub(super) fn train(
    plan: &Plan<'_>,
    recipe: Recipe,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<(Vec<f64>, Array2<f64>), FitError> {
    let whole = plan.objective(&plan.whole, recipe.lambda);
    let model = |stream: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(recipe.seed);
        rng.set_stream(stream as u64);
        Adam::new(whole.parameters(), rng)
    };
    let mut served = model(0);
    let folds = if plan.can_hold_out() { plan.parts.len() } else { 0 };
    let mut others: Vec<Adam> = (1..=folds).map(model).collect();
    let mut heldout = Array2::from_elem((plan.data.n(), plan.data.classes().len()), f64::NEG_INFINITY);
    let everyone: Vec<usize> = (0..plan.data.n()).collect();
    for number in 1..=recipe.epochs {
        served.epoch(&whole, recipe.batch, recipe.lr);
        for (fold, other) in others.iter_mut().enumerate() {
            let objective = plan.objective(&plan.parts[fold], recipe.lambda);
            other.epoch(&objective, recipe.batch, recipe.lr);
            keep_fold(plan, fold, &objective, &other.theta, &mut heldout);
        }
        let epoch = report(plan, number, recipe.epochs, &whole.logits(&served.theta, &everyone), &heldout);
        if !epoch.loss.is_finite() || epoch.heldout.is_some_and(|(loss, _)| !loss.is_finite()) {
            return Err(FitError::Diverged { epoch: number, lr: recipe.lr });
        }
        let fraction = number as f64 / recipe.epochs as f64;
        Progress { fraction, epoch: Some(epoch) }.tell(watch)?;
    }
    Ok((served.theta, heldout))
}

fn report(plan: &Plan<'_>, number: usize, of: usize, train: &Array2<f64>, heldout: &Array2<f64>) -> Epoch {
    let everyone = vec![true; plan.data.n()];
    let y = plan.data.y();
    let loss = (0..plan.data.n())
        .map(|i| plan.whole.weight[i] * (super::objective::log_sum_exp(&train.row(i).to_vec()) - train[[i, y[i]]]))
        .sum();
    let heldout = plan.can_hold_out().then(|| (losses(plan, heldout).1, accuracy(heldout, y, &plan.scorable)));
    Epoch { number, of, loss, accuracy: accuracy(train, y, &everyone), heldout }
}

/// Share of right answers among the samples that `count`.
fn accuracy(logits: &Array2<f64>, y: &[usize], count: &[bool]) -> f64 {
    let counted = (0..y.len()).filter(|&i| count[i]);
    let right = counted.clone().filter(|&i| {
        let row = logits.row(i);
        row.iter().enumerate().all(|(class, logit)| class == y[i] || *logit < row[y[i]])
    });
    right.count() as f64 / counted.count() as f64
}
