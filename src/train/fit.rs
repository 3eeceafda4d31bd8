//! From labelled embeddings to a head.

use ndarray::s;

use super::cv::folds::CvPlan;
use super::cv::model_choice::scorable_logits;
use super::cv::temperature;
use super::data::replay;
use super::heads::{FittedHead, Layers, fit_kind};
use super::{Dataset, FitError, Fitted, L2, Settings, Solver, Watch};
use crate::head::{DenseHead, HeldOut, TrainingFacts};

/// A head fitted on all of `data`, with out-of-fold logits of each sample, so that its figures are of images it had
/// not seen. Samples drawn from the statistics of evicted images (`data/replay`) train it too and are never evaluated.
///
/// `watch` gets the progress after each pass over the samples and may end the training. The folds' models start at
/// zero: starting from the head in service, or from one another, would show them what is held out from them.
///
/// # Errors
/// [`FitError`] when a setting is out of range, `watch` ends the training, or Adam diverges.
pub fn fit(data: &Dataset, settings: &Settings, watch: Watch<'_>) -> Result<Fitted, FitError> {
    check(settings)?;
    let replayed = replay::extended(data, settings.seed);
    let plan = CvPlan::new(replayed.as_ref().unwrap_or(data), data.n(), settings);
    let FittedHead { layers, heldout, facts } = fit_kind(&plan, settings.kind, settings, watch)?;
    let Layers { hidden, weights, bias } = layers;
    let temperature = temperature::fit(&scorable_logits(&plan, &heldout)) as f32;
    let heldout = heldout.slice(s![..data.n(), ..]).mapv(|logit| logit as f32);
    let diverged = weights.iter().chain(&bias).any(|w| !w.is_finite()) || heldout.iter().any(|l| *l > f32::MAX);
    if let (true, Solver::Adam { epochs, lr, .. }) = (diverged, settings.solver) {
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
