//! The way from labelled embeddings to a head.

use std::ops::ControlFlow;

use ndarray::{Array1, Array2, s};

use super::contest::scored;
use super::plan::Plan;
use super::{Dataset, FitError, Fitted, HeadKind, L2, Progress, Settings, Solver, temperature};
use super::{auto, discriminant, mlp, replay, rp_ridge, softmax};
use crate::head::{DenseHead, HeldOut, Hidden, TrainingFacts};

/// A head fitted on all of `data`, with out-of-fold logits of each sample for honest figures. What the data remembers of
/// other samples teaches too, and is never what is judged by.
///
/// `watch` hears of progress after each pass over the samples and may end the training. The folds' models start at
/// zero: a start at the head in service, or at one another, would let them see what is held out from them.
///
/// # Errors
/// [`FitError`] when a setting is out of range, `watch` breaks off, or Adam runs away.
pub fn fit(
    data: &Dataset,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Fitted, FitError> {
    check(settings)?;
    let replayed = replay::extended(data, settings.seed);
    let plan = Plan::new(replayed.as_ref().unwrap_or(data), data.n(), settings);
    let Solved { layers, heldout, facts } = solve(&plan, settings.kind, settings, watch)?;
    let Layers { hidden, weights, bias } = layers;
    let temperature = temperature::fit(&scored(&plan, &heldout)) as f32;
    let heldout = heldout.slice(s![..data.n(), ..]).mapv(|logit| logit as f32);
    let ran_away = weights.iter().chain(&bias).any(|w| !w.is_finite()) || heldout.iter().any(|l| *l > f32::MAX);
    if let (true, Solver::Adam { epochs, lr, .. }) = (ran_away, settings.solver) {
        return Err(FitError::Diverged { epoch: epochs, lr });
    }
    let mut facts = TrainingFacts { n_train: data.n(), seed: settings.seed, ..facts };
    if let Some(replayed) = replayed {
        facts.hyper.insert("replayed".to_owned(), (replayed.n() - data.n()) as f64);
    }
    Ok(Fitted {
        dense: DenseHead { space: data.space(), classes: data.classes().clone(), hidden, weights, bias, temperature },
        facts,
        heldout: HeldOut { ids: data.ids().to_vec(), logits: heldout },
    })
}

/// What a kind of head comes to.
pub(super) struct Solved {
    pub layers: Layers,
    /// Out-of-fold logits (n, k), before temperature; -inf where there is no answer.
    pub heldout: Array2<f64>,
    /// What the kind knows of them.
    pub facts: TrainingFacts,
}

/// A head's layers, on embeddings as they come.
pub(super) struct Layers {
    /// Before the last one.
    pub hidden: Option<Hidden>,
    /// W (k, d), or (k, m) behind a hidden layer.
    pub weights: Array2<f32>,
    /// b (k,).
    pub bias: Array1<f32>,
}

/// A head of `kind`, whatever `settings` say of the kind.
pub(super) fn solve(
    plan: &Plan<'_>,
    kind: HeadKind,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Solved, FitError> {
    match kind {
        HeadKind::Softmax => softmax::solve(plan, settings, watch),
        HeadKind::Lda => discriminant::solve(plan, settings, watch),
        HeadKind::RpRidge => rp_ridge::solve(plan, settings, watch),
        HeadKind::Mlp => mlp::solve(plan, settings, watch),
        HeadKind::Auto => auto::choose(plan, settings, watch),
    }
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
