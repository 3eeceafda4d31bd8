//! Softmax regression (multinomial logistic regression) on the embeddings: by L-BFGS to the minimum, or by Adam.

use ndarray::Array2;

use super::softmax_adam::{self, AdamSettings};
use super::{FittedHead, Layers};
use crate::head::TrainingFacts;
use crate::train::cv::folds::CvPlan;
use crate::train::cv::l2_path::{ChosenL2, NOISE, USUAL_PASSES, choose_l2};
use crate::train::fast::batched::fit_folds;
use crate::train::fast::preconditioner::ScaledPreconditioner;
use crate::train::lbfgs::{History, Lbfgs, Minimum, Stop};
use crate::train::{FitError, L2, Progress, Settings, Solver, Watch};

/// For the served head.
const EXACT: Stop = Stop { gradient: 1e-5, iterations: 200, noise: 1e-14 };
/// On the way there, by f32 products.
const FAST: Stop = Stop { gradient: 0.9 * EXACT.gradient, noise: NOISE, ..EXACT };
/// Share of the time of an L-BFGS training that the choice of the penalty takes.
const SELECTION: f64 = 0.95;

/// Parameters on features, out-of-fold logits (n, k), and the facts.
type FittedTheta = (Vec<f64>, Array2<f64>, TrainingFacts);

/// The head on everything, with out-of-fold logits at the penalty that it is fitted with.
pub(super) fn fit(plan: &CvPlan<'_>, settings: &Settings, watch: Watch<'_>) -> Result<FittedHead, FitError> {
    let (theta, heldout, facts) = match settings.solver {
        Solver::Lbfgs => by_lbfgs(plan, settings.l2, watch)?,
        Solver::Adam { epochs, batch, lr } => {
            let lambda = if let L2::Fixed(lambda) = settings.l2 { lambda } else { 0.0 };
            by_adam(plan, AdamSettings { epochs, batch, lr, lambda, seed: settings.seed }, watch)?
        }
    };
    let (weights, bias) = plan.features.unfold(&theta, plan.data.classes().len());
    Ok(FittedHead { layers: Layers { hidden: None, weights, bias }, heldout, facts })
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

/// The fit on everything: by fast products to the tolerance, and from there to the same tolerance in f64.
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
    let stop = Stop { iterations: EXACT.iterations - fast.iterations, ..EXACT };
    let mut search = Lbfgs::new(fast.at, stop, history);
    let mut gradient = vec![0.0; loss[0].parameters()];
    while !search.has_ended() {
        let value = loss[0].evaluate(search.query_point(), &mut gradient);
        let scaled = ScaledPreconditioner { preconditioner: &plan.preconditioner, curvature: curvatures[0], lambda };
        search.observe(value, &gradient, &|v| scaled.apply(v));
        if !go_on() {
            return Err(FitError::Cancelled);
        }
    }
    let (exact, _) = search.into_result();
    Ok(Minimum { iterations: fast.iterations + exact.iterations, ..exact })
}

fn by_adam(plan: &CvPlan<'_>, settings: AdamSettings, watch: Watch<'_>) -> Result<FittedTheta, FitError> {
    let (theta, heldout) = softmax_adam::train(plan, settings, watch)?;
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
