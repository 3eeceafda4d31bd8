//! Softmax regression by Adam for a fixed number of epochs, with held-out figures after each.
//!
//! The folds' models are trained beside the served one, epoch by epoch, so each epoch has a held-out loss without any
//! image being kept out of the served head.

use ndarray::Array2;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use crate::train::adam::Adam;
use crate::train::cv::folds::CvPlan;
use crate::train::cv::model_choice::{log_losses, training_loss};
use crate::train::{Epoch, FitError, Progress, Watch};

#[derive(Clone, Copy)]
pub(super) struct AdamSettings {
    pub epochs: usize,
    pub batch: usize,
    pub lr: f64,
    pub lambda: f64,
    pub seed: u64,
}

/// Parameters of the served model, and out-of-fold logits (n, k) after the last epoch.
pub(super) fn train(
    plan: &CvPlan<'_>,
    settings: AdamSettings,
    watch: Watch<'_>,
) -> Result<(Vec<f64>, Array2<f64>), FitError> {
    let AdamSettings { epochs, batch, lr, lambda, seed } = settings;
    let loss = plan.loss(&plan.all, lambda);
    let model = |stream: usize| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream as u64);
        Adam::new(loss.parameters(), rng)
    };
    let mut served = model(0);
    let folds = if plan.can_hold_out() { plan.training_sets.len() } else { 0 };
    let mut fold_models: Vec<Adam> = (1..=folds).map(model).collect();
    let mut heldout = plan.no_logits();
    let all_samples: Vec<usize> = (0..plan.data.n()).collect();
    for number in 1..=epochs {
        served.epoch(&loss, batch, lr);
        for (fold, model) in fold_models.iter_mut().enumerate() {
            let loss = plan.loss(&plan.training_sets[fold], lambda);
            model.epoch(&loss, batch, lr);
            plan.predict_held_out(fold, &mut heldout, |samples| loss.logits(&model.theta, samples));
        }
        let epoch = report(plan, number, epochs, &loss.logits(&served.theta, &all_samples), &heldout);
        if !epoch.loss.is_finite() || epoch.heldout.is_some_and(|(loss, _)| !loss.is_finite()) {
            return Err(FitError::Diverged { epoch: number, lr });
        }
        Progress { fraction: number as f64 / epochs as f64, epoch: Some(epoch) }.report(watch)?;
    }
    Ok((served.theta, heldout))
}

/// The figures of an epoch from the served model's logits of all samples and the out-of-fold logits, (n, k) each.
fn report(plan: &CvPlan<'_>, number: usize, of: usize, train: &Array2<f64>, heldout: &Array2<f64>) -> Epoch {
    let (y, all_samples) = (plan.data.y(), vec![true; plan.data.n()]);
    let heldout = plan.can_hold_out().then(|| (log_losses(plan, heldout).1, accuracy(heldout, y, &plan.scorable)));
    Epoch { number, of, loss: training_loss(plan, train), accuracy: accuracy(train, y, &all_samples), heldout }
}

/// Share of right predictions among the samples that `count`.
fn accuracy(logits: &Array2<f64>, y: &[usize], count: &[bool]) -> f64 {
    let counted = (0..y.len()).filter(|&i| count[i]);
    let right = counted.clone().filter(|&i| {
        let row = logits.row(i);
        row.iter().enumerate().all(|(class, logit)| class == y[i] || *logit < row[y[i]])
    });
    right.count() as f64 / counted.count() as f64
}
