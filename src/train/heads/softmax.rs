//! Softmax regression on the embeddings: by L-BFGS to the minimum, or by the classic recipe.

use std::ops::ControlFlow;

use ndarray::Array2;

use super::fit::{Layers, Solved};
use super::lbfgs::{Descent, Memory, Minimum, Stop};
use super::plan::Plan;
use super::recipe::{self, Recipe};
use super::select::{NOISE, Selection, USUAL_PASSES, select};
use super::spectrum::Shape;
use super::together::descend;
use super::{FitError, L2, Progress, Settings, Solver};
use crate::head::TrainingFacts;

/// For the served head.
const EXACT: Stop = Stop { gradient: 1e-5, iterations: 200, noise: 1e-14 };
/// On the way there, by f32 products.
const FAST: Stop = Stop { gradient: 0.9 * EXACT.gradient, noise: NOISE, ..EXACT };
/// Share of the time that selection takes of an L-BFGS training.
const SELECTION: f64 = 0.95;

/// The head on everything, with out-of-fold logits at the penalty that it is fitted with.
pub(super) fn solve(
    plan: &Plan<'_>,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Solved, FitError> {
    let (theta, heldout, facts) = match settings.solver {
        Solver::Lbfgs => to_the_minimum(plan, settings.l2, watch)?,
        Solver::Adam { epochs, batch, lr } => {
            let lambda = if let L2::Fixed(lambda) = settings.l2 { lambda } else { 0.0 };
            follow(plan, Recipe { epochs, batch, lr, lambda, seed: settings.seed }, watch)?
        }
    };
    let (weights, bias) = plan.features.unfold(&theta, plan.data.classes().len());
    Ok(Solved { layers: Layers { hidden: None, weights, bias }, heldout, facts })
}

type Found = (Vec<f64>, Array2<f64>, TrainingFacts);

fn to_the_minimum(
    plan: &Plan<'_>,
    l2: L2,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Found, FitError> {
    let mut scaled = |progress: Progress| watch(Progress { fraction: SELECTION * progress.fraction, ..progress });
    let Selection { lambda, path, logits, mean } = select(plan, l2, &mut scaled)?;
    let Minimum { at, value, iterations, converged } = settle(plan, lambda, mean, watch)?;
    Progress { fraction: 1.0, epoch: None }.tell(watch)?;
    let facts = TrainingFacts {
        solver: "lbfgs".to_owned(),
        lambda,
        lambda_path: path,
        loss: value,
        iterations,
        converged,
        ..TrainingFacts::default()
    };
    Ok((at, logits, facts))
}

/// The fit on everything: by fast products to the tolerance, then held to it in f64.
fn settle(
    plan: &Plan<'_>,
    lambda: f64,
    start: Vec<f64>,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Minimum, FitError> {
    let mut passes = 0.0;
    let mut go_on = || {
        passes += 1.0;
        let fraction = SELECTION + (1.0 - SELECTION) * passes / (passes + USUAL_PASSES);
        watch(Progress { fraction, epoch: None }).is_continue()
    };
    let objective = [plan.objective(&plan.whole, lambda)];
    let mut search = [Descent::new(start, FAST, Memory::default())];
    let spreads = descend(&plan.order, &plan.spectrum, &objective, &mut search, &mut go_on)?;
    let [search] = search;
    let (fast, memory) = search.finish();
    let stop = Stop { iterations: EXACT.iterations - fast.iterations, ..EXACT };
    let mut search = Descent::new(fast.at, stop, memory);
    let mut gradient = vec![0.0; objective[0].parameters()];
    while !search.ended() {
        let value = objective[0].evaluate(search.place(), &mut gradient);
        let shape = Shape { spectrum: &plan.spectrum, spread: spreads[0], lambda };
        search.tell(value, &gradient, &|v| shape.apply(v));
        if !go_on() {
            return Err(FitError::Cancelled);
        }
    }
    let (exact, _) = search.finish();
    Ok(Minimum { iterations: fast.iterations + exact.iterations, ..exact })
}

fn follow(
    plan: &Plan<'_>,
    recipe: Recipe,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Found, FitError> {
    let (theta, heldout) = recipe::train(plan, recipe, watch)?;
    let mut gradient = vec![0.0; theta.len()];
    let loss = plan.objective(&plan.whole, recipe.lambda).evaluate(&theta, &mut gradient);
    let facts = TrainingFacts {
        solver: "adam".to_owned(),
        lambda: recipe.lambda,
        loss,
        iterations: recipe.epochs,
        converged: gradient.iter().all(|g| g.abs() < EXACT.gradient),
        ..TrainingFacts::default()
    };
    Ok((theta, heldout, facts))
}
