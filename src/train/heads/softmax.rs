//! Softmax regression (multinomial logistic regression) on the embeddings: by L-BFGS to the minimum, or by Adam for a
//! fixed number of epochs, with held-out figures after each.
//!
//! With Adam the folds' models are trained beside the served one, epoch by epoch, so each epoch has a held-out loss
//! without any image being kept out of the served head.

use ndarray::Array2;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::super::adam::Adam;
use super::super::cv::CvPlan;
use super::super::cv::model_choice::{log_losses, training_loss};
use super::{FittedHead, Layers};
use crate::head::TrainingFacts;
use crate::train::cv::l2_path::{ChosenL2, NOISE, USUAL_PASSES, choose_l2};
use crate::train::fast::batched::fit_folds;
use crate::train::lbfgs::{History, Lbfgs, Minimum, Stop};
use crate::train::{Epoch, FitError, L2, Progress, Settings, Solver, Watch};

/// For the served head.
const EXACT: Stop = Stop { gradient: 1e-5, iterations: 200, noise: 1e-14 };
/// By f32 products, whose rounding changes a gradient by far less than the tenth that is left.
const FAST: Stop = Stop { gradient: 0.9 * EXACT.gradient, noise: NOISE, ..EXACT };
/// Share of the time of an L-BFGS training that the choice of the penalty takes.
const SELECTION: f64 = 0.95;

/// Parameters on features, out-of-fold logits (n, k), and the facts.
type FittedTheta = (Vec<f64>, Array2<f32>, TrainingFacts);

/// The head on everything, with out-of-fold logits at the penalty that it is fitted with.
pub(super) fn fit(plan: &CvPlan<'_>, settings: &Settings, watch: Watch<'_>) -> Result<FittedHead, FitError> {
    let (theta, heldout, facts) = match settings.solver {
        Solver::Lbfgs => by_lbfgs(plan, settings.l2, watch)?,
        Solver::Adam { epochs, batch, lr } => {
            let lambda = if let L2::Fixed(lambda) = settings.l2 { lambda } else { 0.0 };
            by_adam(plan, AdamSettings { epochs, batch, lr, lambda, seed: settings.seed }, watch)?
        }
    };
    let (weights, bias) = plan.unfold(&theta);
    Ok(FittedHead { layers: Layers { hidden: None, weights, bias }, is_tempered: false, heldout, facts })
}

fn by_lbfgs(plan: &CvPlan<'_>, l2: L2, watch: Watch<'_>) -> Result<FittedTheta, FitError> {
    let mut scaled = |progress: Progress| watch(Progress { fraction: SELECTION * progress.fraction, ..progress });
    let ChosenL2 { lambda, path, heldout, mean_model } = choose_l2(plan, l2, &mut scaled)?;
    let Minimum { at, value, iterations, converged } = minimum(plan, lambda, mean_model, watch)?;
    Progress { fraction: 1.0, epoch: None }.report(watch)?;
    let facts = TrainingFacts {
        solver: "lbfgs".to_owned(),
        lambda,
        lambda_path: path,
        loss: value,
        iterations,
        converged,
        ..TrainingFacts::default()
    };
    Ok((at, heldout, facts))
}

/// The fit on everything: by fast products to the tolerance, or as far as their rounding lets it come, and from there in f64.
fn minimum(plan: &CvPlan<'_>, lambda: f64, start: Vec<f64>, watch: Watch<'_>) -> Result<Minimum, FitError> {
    let mut passes = 0.0;
    let mut go_on = || {
        passes += 1.0;
        let fraction = SELECTION + (1.0 - SELECTION) * passes / (passes + USUAL_PASSES);
        watch(Progress { fraction, epoch: None }).is_continue()
    };
    let loss = [plan.loss(&plan.all, lambda)];
    let mut search = [Lbfgs::new(start, FAST, History::default())];
    let curvatures = fit_folds(&plan.order, &plan.preconditioner, &loss, &mut search, &mut go_on)?;
    let [search] = search;
    let (fast, history) = search.into_result();
    if fast.converged {
        return Ok(fast);
    }
    let stop = Stop { iterations: EXACT.iterations - fast.iterations, ..EXACT };
    let mut search = Lbfgs::new(fast.at, stop, history);
    let mut gradient = vec![0.0; loss[0].parameters()];
    while !search.has_ended() {
        let value = loss[0].evaluate(search.query_point(), &mut gradient);
        let scaled = loss[0].preconditioned(&plan.preconditioner, curvatures[0]);
        search.observe(value, &gradient, &|v| scaled.apply(v));
        if !go_on() {
            return Err(FitError::Cancelled);
        }
    }
    let (exact, _) = search.into_result();
    Ok(Minimum { iterations: fast.iterations + exact.iterations, ..exact })
}

fn by_adam(plan: &CvPlan<'_>, settings: AdamSettings, watch: Watch<'_>) -> Result<FittedTheta, FitError> {
    let (theta, heldout) = train_by_adam(plan, settings, watch)?;
    let mut gradient = vec![0.0; theta.len()];
    let loss = plan.loss(&plan.all, settings.lambda).evaluate(&theta, &mut gradient);
    let facts = TrainingFacts {
        solver: "adam".to_owned(),
        lambda: settings.lambda,
        loss,
        iterations: settings.epochs,
        converged: gradient.iter().all(|g| g.abs() < EXACT.gradient),
        ..TrainingFacts::default()
    };
    Ok((theta, heldout, facts))
}

#[derive(Clone, Copy)]
struct AdamSettings {
    pub epochs: usize,
    pub batch: usize,
    pub lr: f64,
    pub lambda: f64,
    pub seed: u64,
}

/// Parameters of the served model, and out-of-fold logits (n, k) after the last epoch.
fn train_by_adam(
    plan: &CvPlan<'_>,
    settings: AdamSettings,
    watch: Watch<'_>,
) -> Result<(Vec<f64>, Array2<f32>), FitError> {
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
fn report(plan: &CvPlan<'_>, number: usize, of: usize, train: &Array2<f64>, heldout: &Array2<f32>) -> Epoch {
    let (y, all_samples) = (plan.data.y(), vec![true; plan.data.n()]);
    let heldout = plan.can_hold_out().then(|| (log_losses(plan, heldout, 1.0).1, accuracy(heldout, y, &plan.scorable)));
    Epoch { number, of, loss: training_loss(plan, train), accuracy: accuracy(train, y, &all_samples), heldout }
}

/// Share of right predictions among the samples that `count`.
fn accuracy<T: PartialOrd>(logits: &Array2<T>, y: &[usize], count: &[bool]) -> f64 {
    let counted = (0..y.len()).filter(|&i| count[i]);
    let right = counted.clone().filter(|&i| {
        let row = logits.row(i);
        row.iter().enumerate().all(|(class, logit)| class == y[i] || logit < &row[y[i]])
    });
    right.count() as f64 / counted.count() as f64
}
