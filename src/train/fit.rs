//! The way from labelled embeddings to a head.

use std::ops::ControlFlow;

use ndarray::Array2;

use super::lbfgs::{Minimum, Stop, minimise};
use super::plan::Plan;
use super::recipe::{self, Recipe};
use super::select::{Selection, select};
use super::{Dataset, FitError, Fitted, L2, Progress, Settings, Solver, temperature};
use crate::head::{DenseHead, HeldOut, TrainingFacts};

/// For the served head.
const EXACT: Stop = Stop { gradient: 1e-5, iterations: 200 };
/// Share of the time that selection takes of an L-BFGS training.
const SELECTION: f64 = 0.95;

/// A head fitted on all of `data`, with out-of-fold logits of each sample for honest figures.
///
/// `watch` hears of progress after each fold or epoch and may end the training. Every fit starts at zero: a start at
/// the head in service would let the folds' models see what is held out from them.
///
/// # Errors
/// [`FitError`] when a setting is out of range, `watch` breaks off, or Adam runs away.
pub fn fit(
    data: &Dataset,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Fitted, FitError> {
    check(settings)?;
    let plan = Plan::new(data, settings);
    let solved = match settings.solver {
        Solver::Lbfgs => solve(&plan, settings.l2, watch)?,
        Solver::Adam { epochs, batch, lr } => {
            let lambda = if let L2::Fixed(lambda) = settings.l2 { lambda } else { 0.0 };
            follow(&plan, Recipe { epochs, batch, lr, lambda, seed: settings.seed }, watch)?
        }
    };
    let (weights, bias) = plan.features.unfold(&solved.theta, data.classes().len());
    let heldout = solved.heldout.mapv(|logit| logit as f32);
    let ran_away = weights.iter().chain(&bias).any(|w| !w.is_finite()) || heldout.iter().any(|l| *l > f32::MAX);
    if let (true, Solver::Adam { epochs, lr, .. }) = (ran_away, settings.solver) {
        return Err(FitError::Diverged { epoch: epochs, lr });
    }
    let scored: Vec<(Vec<f64>, usize)> = (0..data.n())
        .filter(|&sample| plan.scorable[sample])
        .map(|sample| (solved.heldout.row(sample).to_vec(), data.y()[sample]))
        .collect();
    let temperature = temperature::fit(&scored) as f32;
    let facts = TrainingFacts { n_train: data.n(), seed: settings.seed, ..solved.facts };
    Ok(Fitted {
        dense: DenseHead { space: data.space(), classes: data.classes().clone(), weights, bias, temperature },
        facts,
        heldout: HeldOut { ids: data.ids().to_vec(), logits: heldout },
    })
}

/// What a solver found.
struct Solved {
    theta: Vec<f64>,
    heldout: Array2<f64>,
    facts: TrainingFacts,
}

fn solve(plan: &Plan<'_>, l2: L2, watch: &mut dyn FnMut(Progress) -> ControlFlow<()>) -> Result<Solved, FitError> {
    let mut scaled = |progress: Progress| watch(Progress { fraction: SELECTION * progress.fraction, ..progress });
    let Selection { lambda, path, logits } = select(plan, l2, &mut scaled)?;
    let objective = plan.objective(&plan.whole, lambda);
    let start = vec![0.0; objective.parameters()];
    let Minimum { at, value, iterations, converged } = minimise(start, EXACT, |t, g| objective.evaluate(t, g));
    if watch(Progress { fraction: 1.0, epoch: None }).is_break() {
        return Err(FitError::Cancelled);
    }
    let facts = facts("lbfgs", lambda, path, value, iterations, converged);
    Ok(Solved { theta: at, heldout: logits, facts })
}

fn follow(
    plan: &Plan<'_>,
    recipe: Recipe,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Solved, FitError> {
    let (theta, heldout) = recipe::train(plan, recipe, watch)?;
    let mut gradient = vec![0.0; theta.len()];
    let loss = plan.objective(&plan.whole, recipe.lambda).evaluate(&theta, &mut gradient);
    let converged = gradient.iter().all(|g| g.abs() < EXACT.gradient);
    let facts = facts("adam", recipe.lambda, vec![], loss, recipe.epochs, converged);
    Ok(Solved { theta, heldout, facts })
}

fn facts(
    solver: &str,
    lambda: f64,
    lambda_path: Vec<(f64, f64)>,
    loss: f64,
    iterations: usize,
    converged: bool,
) -> TrainingFacts {
    let solver = solver.to_owned();
    TrainingFacts { solver, lambda, lambda_path, loss, iterations, converged, n_train: 0, seed: 0, fit_seconds: 0.0 }
}

fn check(settings: &Settings) -> Result<(), FitError> {
    let check = |ok: bool, what, expected, found| {
        if ok { Ok(()) } else { Err(FitError::Setting { what, expected, found }) }
    };
    check(settings.folds >= 2, "folds", "2 or more", settings.folds as f64)?;
    if let L2::Fixed(lambda) = settings.l2 {
        check(lambda.is_finite() && lambda >= 0.0, "l2", "0 or more", lambda)?;
    }
    if let Solver::Adam { epochs, batch, lr } = settings.solver {
        check(epochs >= 1, "epochs", "1 or more", epochs as f64)?;
        check(batch >= 1, "batch", "1 or more", batch as f64)?;
        check(lr.is_finite() && lr > 0.0, "learning rate", "above 0", lr)?;
    }
    Ok(())
}
