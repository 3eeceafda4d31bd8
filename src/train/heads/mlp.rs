//! A multilayer perceptron: `Dense(h, relu)`, dropout, `Dense(K, softmax)`, trained by Adam.
//!
//! The folds' models and the served one start from different draws and see different shuffles, all from one seed. The
//! number of epochs (early stopping) is chosen by the out-of-fold logits at a few numbers of epochs.

use std::collections::BTreeMap;

use ndarray::{Array2, Axis};

use super::super::cv::{CvPlan, FitSet};
use super::mlp_network::{Hyperparameters, LayerSizes, Network, TrainingData};
use super::{FittedHead, Layers};
use crate::head::{Hidden, Origin, TrainingFacts};
use crate::train::cv::model_choice::{Evaluated, no_longer_improves, simplest_not_worse, training_loss};
use crate::train::fast::features::Features;
use crate::train::{FitError, L2, Progress, Settings, Watch};

/// Hidden units: enough to bend what is linear, few enough for some hundred images.
const HIDDEN: usize = 64;
/// Half of the units at each step, as is usual in front of a classifier.
const DROPOUT: f64 = 0.5;
/// Decay of weights where no penalty is given; a hundred times the usual, for images are few.
const DECAY: f64 = 1.0;
/// Samples in a batch.
const BATCH: usize = 32;
/// Learning rate.
const LR: f64 = 1e-3;
/// Numbers of epochs that are compared.
const EPOCHS: [usize; 7] = [3, 5, 8, 12, 20, 30, 45];
/// Used when nothing can be held out to choose by.
const DEFAULT_EPOCHS: usize = 20;
/// Share of the time that the folds take.
const SELECTION: f64 = 0.8;

/// The head on everything, with out-of-fold logits at the number of epochs that it is trained for.
pub(super) fn fit(plan: &CvPlan<'_>, settings: &Settings, watch: Watch<'_>) -> Result<FittedHead, FitError> {
    let features = Features::new(plan.data.x(), plan.data.parts(), false);
    let x = features.matrix();
    let decay = if let L2::Fixed(lambda) = settings.l2 { lambda } else { DECAY };
    let training = Training {
        plan,
        features: &features,
        x: &x,
        hyper: Hyperparameters { batch: BATCH, lr: LR, dropout: DROPOUT, decay },
        seed: settings.seed,
    };
    let mut scaled = |progress: Progress| watch(Progress { fraction: SELECTION * progress.fraction, ..progress });
    let (epochs, heldout) =
        if plan.can_hold_out() { training.choose_epochs(&mut scaled)? } else { (DEFAULT_EPOCHS, plan.no_logits()) };
    let mut served = training.model(0);
    for epoch in 1..=epochs {
        training.epoch(&mut served, &plan.all, epoch)?;
        let fraction = SELECTION + (1.0 - SELECTION) * epoch as f64 / epochs as f64;
        Progress { fraction, epoch: None }.report(watch)?;
    }
    let hyper = [("hidden", HIDDEN as f64), ("dropout", DROPOUT), ("epochs", epochs as f64), ("batch", BATCH as f64)];
    let logits = served.logits(&x, &plan.all.known);
    let facts = TrainingFacts {
        kind: "mlp".to_owned(),
        hyper: BTreeMap::from(hyper.map(|(name, value)| (name.to_owned(), value))),
        solver: "adam".to_owned(),
        lambda: decay,
        loss: training_loss(plan, &logits),
        iterations: epochs,
        // There is no minimum to reach: it ends after the number of epochs that cross-validation chose.
        converged: true,
        ..TrainingFacts::default()
    };
    Ok(FittedHead { layers: training.unfold(&served), is_tempered: false, heldout, facts })
}

struct Training<'a> {
    plan: &'a CvPlan<'a>,
    features: &'a Features<'a>,
    /// Of all samples (n, d).
    x: &'a Array2<f32>,
    hyper: Hyperparameters,
    seed: u64,
}

impl Training<'_> {
    fn model(&self, stream: usize) -> Network {
        let sizes = LayerSizes { d: self.x.ncols(), h: HIDDEN, k: self.plan.data.classes().len() };
        Network::new(sizes, self.seed, stream as u64)
    }

    fn epoch(&self, model: &mut Network, set: &FitSet, number: usize) -> Result<(), FitError> {
        let (y, weight, known) = (self.plan.data.y(), &set.weight, &set.known);
        model.epoch(&TrainingData { x: self.x, y, weight, known }, &self.hyper);
        if model.is_finite() { Ok(()) } else { Err(FitError::Diverged { epoch: number, lr: self.hyper.lr }) }
    }

    /// The number of epochs, and the out-of-fold logits (n, k) at it; `watch` gets fractions of this part alone.
    fn choose_epochs(&self, watch: Watch<'_>) -> Result<(usize, Array2<f32>), FitError> {
        let plan = self.plan;
        let mut models: Vec<Network> = (1..=plan.training_sets.len()).map(|stream| self.model(stream)).collect();
        let (mut candidates, mut done) = (Vec::<Evaluated>::new(), 0);
        let all = EPOCHS[EPOCHS.len() - 1] * models.len();
        for (step, &epochs) in EPOCHS.iter().enumerate() {
            let before = if step == 0 { 0 } else { EPOCHS[step - 1] };
            let mut logits = plan.no_logits();
            for (fold, (model, set)) in models.iter_mut().zip(&plan.training_sets).enumerate() {
                for epoch in before + 1..=epochs {
                    self.epoch(model, set, epoch)?;
                    done += 1;
                    Progress { fraction: f64::from(done) / all as f64, epoch: None }.report(watch)?;
                }
                plan.predict_held_out(fold, &mut logits, |samples| {
                    model.logits(&self.x.select(Axis(0), samples), &set.known)
                });
            }
            candidates.push(Evaluated::tempered(plan, logits));
            if no_longer_improves(&candidates) {
                break;
            }
        }
        let chosen = simplest_not_worse(plan, &candidates);
        Ok((EPOCHS[chosen], candidates.swap_remove(chosen).logits))
    }

    /// The layers for embeddings as the backbone gives them: standardisation is folded into the first one.
    fn unfold(&self, model: &Network) -> Layers {
        let layers = model.layers();
        let weights = layers.hidden.mapv(f64::from) * &self.features.inverse();
        let bias = layers.hidden_bias.mapv(f64::from) - weights.dot(&self.features.mean());
        Layers {
            hidden: Some(Hidden {
                weights: weights.mapv(|weight| weight as f32),
                bias: bias.mapv(|bias| bias as f32),
                origin: Origin::Learned,
            }),
            weights: layers.weights.to_owned(),
            bias: layers.bias.to_owned(),
        }
    }
}
