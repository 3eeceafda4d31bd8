//! Training a classification head on labelled embeddings, and correcting it between two trainings.
//!
//! Begin at [`fit()`]: it deals the samples to folds (`cv/`), hands them to a kind of head (`heads/`), which chooses its
//! hyperparameters by grouped, stratified cross-validation and is then fitted on everything, and fits a temperature on
//! the out-of-fold logits. Those logits are part of the result: the figures, the gate and the calibration rest on them.
//!
//! | module | holds |
//! | --- | --- |
//! | `data/` | [`Dataset`], the head of others that it may build on, groups of near-duplicates ([`Grouper`]; of a fixed camera [`Scene`]), the split into folds, the [`subset()`] of a bounded training, replay of evicted samples |
//! | `cv/` | the plan of one training, the path of L2 penalties, the rule of model choice, temperature scaling |
//! | `heads/` | softmax (by L-BFGS or Adam), lda, rp-ridge, mlp, and `auto`, which chooses one of them |
//! | `online/` | sufficient statistics, an LDA that is updated sample by sample, and [`OnlineLearner`]: labels that take effect before the next training |
//! | `tail/` | the second phase: [`tune`] trains the last layers of the backbone on with the head |
//! | `fast/` | standardised features, SIMD products, one pass over the data for all folds, the preconditioner. `softmax_loss` is the same loss in plain f64, so a first reading may skip this |
//! | `softmax_loss`, `lbfgs`, `adam`, `cholesky` | the loss, two optimisers, positive definite systems |
//!
//! The same data, settings and machine give the same head, bit by bit. Nothing here knows the time, reads a file or
//! decides whether a head may serve; that is `eval::gate`.

mod adam;
mod cholesky;
mod cv;
mod data;
mod fast;
mod heads;
mod lbfgs;
mod online;
mod settings;
mod softmax_loss;
mod tail;

use ndarray::s;

use crate::head::{DenseHead, HeldOut, TrainingFacts};
pub use cholesky::{Cholesky, NoFactor};
use cv::CvPlan;
pub use cv::model_choice::fit_temperature;
use cv::model_choice::scorable_logits;
pub use data::groups::{Frame, Grouper};
use data::replay;
pub(crate) use data::replay::deviations;
pub use data::scene::Scene;
pub use data::split::folds_of;
pub use data::subset::{choose as subset, sample_limit};
pub use data::{BadData, Dataset};
use heads::{FittedHead, Layers, fit_kind};
pub use online::catch_up::{LabelRow, LabelRows, catch_up, past, with_replay};
pub use online::class_stats::ClassStats;
pub use online::label_stats::{BadLabelStats, LabelStats};
pub use online::learner::{OnlineLearner, Overlay};
pub use online::online_lda::{OnlineLda, Shrinkage};
pub use settings::{ClassWeights, Epoch, FitError, Fitted, HeadKind, L2, Progress, Settings, Solver, Watch};
pub use tail::{
    BadLatents, BadLayer, Bytes, Clamp, Constant, ForeignTail, Latents, MOST_BYTES, Made, Schedule, Shape, TailBuilder,
    TailLayers, TailNetwork, TailRunner, TuneError, TuneSettings, Tuned, Untrainable, Window, tune,
};

/// A head fitted on all of `data`, with out-of-fold logits of each sample, so that its figures are of images it had
/// not seen. Samples drawn from the statistics of evicted images (`data/replay`) train it too and are never evaluated.
///
/// `watch` gets the progress after each pass over the samples and may end the training. The folds' models start at
/// zero: starting from the head in service, or from one another, would show them what is held out from them.
///
/// # Errors
/// [`FitError`] when a setting is out of range, all embeddings are the same, `watch` ends the training, or Adam diverges.
///
/// # Panics
/// When `data` build on a head and the kind [cannot](HeadKind::builds_on_a_head).
pub fn fit(data: &Dataset, settings: &Settings, watch: Watch<'_>) -> Result<Fitted, FitError> {
    check(settings)?;
    assert!(data.prior().is_none() || settings.kind.builds_on_a_head(), "softmax alone builds on a head");
    let replayed = replay::extended(data, settings.seed);
    let samples = replayed.as_ref().unwrap_or(data);
    if !samples.has_spread() {
        return Err(FitError::SameEmbedding { images: data.n() });
    }
    let plan = CvPlan::new(samples, data.n(), settings);
    let FittedHead { layers, is_tempered, heldout, facts } = fit_kind(&plan, settings.kind, settings, watch)?;
    let Layers { hidden, weights, bias } = layers;
    let temperature = if is_tempered { 1.0 } else { fit_temperature(&scorable_logits(&plan, &heldout)) as f32 };
    let heldout = heldout.slice(s![..data.n(), ..]).to_owned();
    let diverged = weights.iter().chain(&bias).any(|w| !w.is_finite()) || heldout.iter().any(|l| *l == f32::INFINITY);
    if let (true, Solver::Adam { epochs, lr, .. }) = (diverged, settings.solver) {
        return Err(FitError::Diverged { epoch: epochs, lr });
    }
    let mut facts = TrainingFacts { n_train: data.n(), seed: settings.seed, ..facts };
    if let Some(replayed) = replayed {
        facts.hyper.insert("replayed".to_owned(), (replayed.n() - data.n()) as f64);
    }
    if let Some(prior) = data.prior() {
        facts.hyper.insert("prior_classes".to_owned(), prior.classes.len() as f64);
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
