//! A hidden layer before the softmax: `Dense(h, relu)`, dropout, `Dense(K, softmax)`, trained by Adam.
//!
//! The folds' models and the served one start from different draws and see different shuffles, all from one seed. How
//! many epochs to train is chosen by what the folds' models say at a few numbers of epochs, never by looking at a
//! sample that a figure is measured on and that its own model has seen.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::contest::{Tried, best, hold_out, no_logits, simplest, training_loss};
use super::features::Features;
use super::fit::{Layers, Solved};
use super::network::{How, Network, Shape, Task};
use super::plan::{Part, Plan};
use super::{FitError, L2, Progress, Settings};
use crate::head::{Hidden, Origin, TrainingFacts};

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
/// The folds stop when this many numbers in a row brought no smaller loss.
const PATIENCE: usize = 2;
/// Share of the time that the folds take.
const SELECTION: f64 = 0.8;

/// The head on everything, with out-of-fold logits at the number of epochs that it is trained for.
pub(super) fn solve(
    plan: &Plan<'_>,
    settings: &Settings,
    watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Solved, FitError> {
    let features = Features::new(plan.data.x(), false);
    let x = features.matrix();
    let decay = if let L2::Fixed(lambda) = settings.l2 { lambda } else { DECAY };
    let training = Training {
        plan,
        features: &features,
        x: &x,
        how: How { batch: BATCH, lr: LR, dropout: DROPOUT, decay },
        seed: settings.seed,
    };
    let mut scaled = |progress: Progress| watch(Progress { fraction: SELECTION * progress.fraction, ..progress });
    let (epochs, heldout) =
        if plan.can_hold_out() { training.folds(&mut scaled)? } else { (DEFAULT_EPOCHS, no_logits(plan)) };
    let mut served = training.model(0);
    for epoch in 1..=epochs {
        training.epoch(&mut served, &plan.whole, epoch)?;
        let fraction = SELECTION + (1.0 - SELECTION) * epoch as f64 / epochs as f64;
        Progress { fraction, epoch: None }.tell(watch)?;
    }
    let hyper = [("hidden", HIDDEN as f64), ("dropout", DROPOUT), ("epochs", epochs as f64), ("batch", BATCH as f64)];
    let logits = served.logits(&x, &plan.whole.known);
    let facts = TrainingFacts {
        kind: "mlp".to_owned(),
        hyper: BTreeMap::from(hyper.map(|(name, value)| (name.to_owned(), value))),
        solver: "adam".to_owned(),
        lambda: decay,
        loss: training_loss(plan, &logits),
        iterations: epochs,
        // There is no minimum to be met: it ends after as many epochs as the folds ask for.
        converged: true,
        ..TrainingFacts::default()
    };
    Ok(Solved { layers: training.unfold(&served), heldout, facts })
}

struct Training<'a> {
    plan: &'a Plan<'a>,
    features: &'a Features<'a>,
    /// Of all samples (n, d).
    x: &'a ndarray::Array2<f32>,
    how: How,
    seed: u64,
}

impl Training<'_> {
    fn model(&self, stream: usize) -> Network {
        let shape = Shape { d: self.x.ncols(), h: HIDDEN, k: self.plan.data.classes().len() };
        Network::new(shape, self.seed, stream as u64)
    }

    fn epoch(&self, model: &mut Network, part: &Part, number: usize) -> Result<(), FitError> {
        let (y, weight, known) = (self.plan.data.y(), &part.weight, &part.known);
        model.epoch(&Task { x: self.x, y, weight, known }, &self.how);
        if model.is_finite() { Ok(()) } else { Err(FitError::Diverged { epoch: number, lr: self.how.lr }) }
    }

    /// The number of epochs, and the folds' logits at it; `watch` hears fractions of this part alone.
    fn folds(
        &self,
        watch: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(usize, ndarray::Array2<f64>), FitError> {
        let plan = self.plan;
        let mut models: Vec<Network> = (1..=plan.parts.len()).map(|stream| self.model(stream)).collect();
        let (mut tried, mut done) = (Vec::<Tried>::new(), 0);
        let all = EPOCHS[EPOCHS.len() - 1] * models.len();
        for (step, &epochs) in EPOCHS.iter().enumerate() {
            let before = if step == 0 { 0 } else { EPOCHS[step - 1] };
            let mut logits = no_logits(plan);
            for (fold, (model, part)) in models.iter_mut().zip(&plan.parts).enumerate() {
                for epoch in before + 1..=epochs {
                    self.epoch(model, part, epoch)?;
                    done += 1;
                    Progress { fraction: f64::from(done) / all as f64, epoch: None }.tell(watch)?;
                }
                hold_out(plan, fold, self.x, &mut logits, |x| model.logits(&x, &part.known));
            }
            tried.push(Tried::new(plan, logits));
            if tried.len() > best(&tried) + PATIENCE {
                break;
            }
        }
        let chosen = simplest(plan, &tried);
        Ok((EPOCHS[chosen], tried.swap_remove(chosen).logits))
    }

    /// The layers on embeddings as they come, standardisation folded in.
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
