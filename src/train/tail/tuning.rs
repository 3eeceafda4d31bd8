//! The training of a tail with its head: fold by fold from the original layers, then once on everything.

use std::collections::BTreeMap;
use std::f64::consts::PI;

use ndarray::Array2;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::super::adam::Adam;
use super::model::{Dense, Met, Model, Standard, Task};
use super::network::TailNetwork;
use super::quantised::Latents;
use super::settings::{Schedule, TuneError, TuneSettings, Tuned};
use crate::head::{DenseHead, HeldOut, TrainingFacts};
use crate::train::cv::l2_path::NOISE;
use crate::train::cv::model_choice::scorable_logits;
use crate::train::cv::{CvPlan, FitSet};
use crate::train::fast::batched::fit_folds;
use crate::train::heads::fit_kind;
use crate::train::lbfgs::{History, Lbfgs, Stop};
use crate::train::softmax_loss::{SoftmaxLoss, log_sum_exp};
use crate::train::{
    Dataset, Epoch, FitError, Fitted, HeadKind, L2, Progress, Settings, Solver, Watch, fit_temperature,
};

/// Largest batch: memory is reckoned by a smaller one.
const MOST_BATCH: usize = 256;
/// The weakest penalty of a frozen layer: without any, classes that can be separated have no minimum.
const WEAKEST: f64 = 1e-3;
/// Of the frozen layers that the folds start from.
const START: Stop = Stop { gradient: 1e-4, iterations: 200, noise: NOISE };

/// Trains `network` and a dense layer behind it on all of `data`, with out-of-fold logits of each sample.
///
/// `latents` are the values at the cut of the samples of `data`, in its order. The model starts from the original tail and
/// from the dense layer of `first`, the frozen head of the same samples; where that is none of a softmax, from one that is
/// fitted here. Each fold starts from the original tail and a frozen layer that is fitted without the fold, at the same
/// penalty. The loss is the weighted mean cross-entropy and `lambda/2 ||W||^2`, the optimiser Adam on everything at one
/// rate. Statistics of evicted samples are left aside: they have no values at the cut.
///
/// `watch` gets the progress after each step, and each [`Epoch`] of the model on everything, whose loss and accuracy are
/// those of its batches as they were met; `heldout` is that of the folds after the same share of their steps. Whether
/// there are labels enough, and whether the result may serve, is not decided here.
///
/// # Errors
/// [`TuneError`] when the parts do not belong together, a setting is out of range, `watch` ends the training, or the numbers
/// diverge.
pub fn tune(
    data: &Dataset,
    latents: &Latents,
    network: &TailNetwork,
    first: &Fitted,
    settings: &TuneSettings,
    watch: Watch<'_>,
) -> Result<Tuned, TuneError> {
    check(settings)?;
    check_parts(data, latents, network, first)?;
    if !data.has_spread() {
        return Err(FitError::SameEmbedding { images: data.n() }.into());
    }
    let softmax = Settings {
        kind: HeadKind::Softmax,
        solver: Solver::Lbfgs,
        l2: L2::Auto,
        class_weights: settings.class_weights,
        seed: settings.seed,
        folds: settings.folds,
    };
    let plan = CvPlan::new(data, data.n(), &softmax);
    let scale = Standard::of(&plan.features);
    let mut unheard = |progress: Progress| watch(Progress { fraction: 0.0, ..progress });
    let is_softmax = first.dense.hidden.is_none() && first.facts.kind == HeadKind::Softmax.as_str();
    let (start, lambda) = if is_softmax {
        (scale.folded(&first.dense.weights, &first.dense.bias), first.facts.lambda)
    } else {
        let own = fit_kind(&plan, HeadKind::Softmax, &softmax, &mut unheard)?;
        (scale.folded(&own.layers.weights, &own.layers.bias), own.facts.lambda)
    };
    let starts = frozen_folds(&plan, &scale, settings, lambda, &mut unheard)?;
    let task = Task { data, latents, network, scale, lambda };
    Training { task: &task, plan: &plan, settings }.run(&start, &starts, watch)
}

fn check(settings: &TuneSettings) -> Result<(), FitError> {
    let check = |ok: bool, what, expected, found| {
        if ok { Ok(()) } else { Err(FitError::Setting { what, expected, found }) }
    };
    let TuneSettings { learning_rate, views, epochs, batch, folds, .. } = *settings;
    check(learning_rate.is_finite() && learning_rate >= 0.0, "learning rate", "0 or more", learning_rate)?;
    check(views >= 1, "views", "1 or more", views as f64)?;
    check(epochs != Some(0), "epochs", "1 or more", 0.0)?;
    check((1..=MOST_BATCH).contains(&batch), "batch", "1 to 256", batch as f64)?;
    check(folds >= 2, "folds", "2 or more", folds as f64)
}

fn check_parts(data: &Dataset, latents: &Latents, network: &TailNetwork, first: &Fitted) -> Result<(), TuneError> {
    let same = |what, expected, found| {
        if expected == found { Ok(()) } else { Err(TuneError::Shape { what, expected, found }) }
    };
    same("the number of pictures with inner values", data.n(), latents.pictures())?;
    if !latents.fits(network.cut()) {
        let found = latents.shape().iter().product();
        return Err(TuneError::Shape { what: "the shape of inner values", expected: network.cut().values(), found });
    }
    let (dim, most) = (network.dim(), data.space().dim);
    if dim > most {
        return Err(TuneError::Shape { what: "the width of the tail", expected: most, found: dim });
    }
    same("the width of the first phase's head", most, first.dense.space.dim)?;
    same("the number of its classes", data.classes().len(), first.dense.classes.len())?;
    if first.dense.classes != *data.classes() {
        let same = first.dense.classes.labels().iter().zip(data.classes().labels()).filter(|(a, b)| a == b).count();
        return Err(TuneError::Shape {
            what: "the number of equal classes",
            expected: data.classes().len(),
            found: same,
        });
    }
    Ok(())
}

/// The frozen layer of each fold, fitted without it at penalty `lambda` as the first phase was: the temperature is of what the
/// folds answer, and counts for the model that starts from the first phase.
fn frozen_folds(
    plan: &CvPlan<'_>,
    scale: &Standard,
    settings: &TuneSettings,
    lambda: f64,
    watch: Watch<'_>,
) -> Result<Vec<Dense>, FitError> {
    if !plan.can_hold_out() {
        return Ok(Vec::new());
    }
    if let Solver::Adam { epochs, batch, lr } = settings.first {
        let fitted = plan.training_sets.iter().zip(1..).map(|(set, stream)| {
            let loss = plan.loss(set, lambda);
            let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
            rng.set_stream(stream);
            let mut adam = Adam::new(loss.parameters(), rng);
            for _ in 0..epochs {
                adam.epoch(&loss, batch, lr);
                Progress { fraction: 0.0, epoch: None }.report(watch)?;
            }
            let (weights, bias) = plan.features.unfold(&adam.theta, plan.data.classes().len());
            Ok(scale.folded(&weights, &bias))
        });
        return fitted.collect();
    }
    let lambda = lambda.max(WEAKEST);
    let losses: Vec<SoftmaxLoss<'_>> = plan.training_sets.iter().map(|set| plan.loss(set, lambda)).collect();
    let start = |loss: &SoftmaxLoss<'_>| Lbfgs::new(vec![0.0; loss.parameters()], START, History::default());
    let mut searches: Vec<Lbfgs> = losses.iter().map(start).collect();
    fit_folds(&plan.order, &plan.preconditioner, &losses, &mut searches, &mut || {
        watch(Progress { fraction: 0.0, epoch: None }).is_continue()
    })?;
    let layer = |search: Lbfgs| {
        let (weights, bias) = plan.features.unfold(&search.into_result().0.at, plan.data.classes().len());
        scale.folded(&weights, &bias)
    };
    Ok(searches.into_iter().map(layer).collect())
}

struct Training<'a> {
    task: &'a Task<'a>,
    plan: &'a CvPlan<'a>,
    settings: &'a TuneSettings,
}

/// The samples of a fit, and how long it goes over them.
struct Course {
    samples: Vec<usize>,
    batches: usize,
    epochs: usize,
}

impl Course {
    fn new(set: &FitSet, settings: &TuneSettings) -> Self {
        let samples: Vec<usize> = (0..set.weight.len()).filter(|&sample| set.weight[sample] > 0.0).collect();
        let batches = samples.len().div_ceil(settings.batch);
        let epochs = settings.epochs.unwrap_or_else(|| TuneSettings::STEPS.div_ceil(batches.max(1)));
        Self { samples, batches, epochs }
    }

    fn steps(&self) -> usize {
        self.batches * self.epochs
    }
}

/// What the folds' models answered after one epoch, to samples held out from them.
#[derive(Clone, Copy, Default)]
struct HeldOutEpoch {
    met: Met,
    weight: f64,
}

impl Training<'_> {
    fn run(&self, start: &[f32], starts: &[Dense], watch: Watch<'_>) -> Result<Tuned, TuneError> {
        let (plan, settings) = (self.plan, self.settings);
        let whole = Course::new(&plan.all, settings);
        let courses: Vec<Course> =
            plan.training_sets.iter().take(starts.len()).map(|set| Course::new(set, settings)).collect();
        let all: usize = courses.iter().map(Course::steps).sum::<usize>() + whole.steps();
        let mut done = 0_usize;
        let mut heldout = plan.no_logits();
        let mut held_out_epochs = vec![HeldOutEpoch::default(); whole.epochs];
        for (fold, (course, start)) in courses.iter().zip(starts).enumerate() {
            let set = &plan.training_sets[fold];
            // After this many steps its share is that of an epoch of the model on everything.
            let ends: Vec<usize> =
                (1..=whole.epochs).map(|epoch| (epoch * course.steps()).div_ceil(whole.epochs)).collect();
            let mut next = 0;
            self.train(set, course, start, 1 + fold as u64, &mut |model, step, _| {
                while next < ends.len() && ends[next] == step {
                    self.held_out(fold, model, set, &mut heldout, &mut held_out_epochs[next]);
                    next += 1;
                }
                done += 1;
                Progress { fraction: done as f64 / all as f64, epoch: None }.report(watch)
            })?;
        }
        let mut epochs = Vec::new();
        let mut met = Met::default();
        let (theta, dense) = self.train(&plan.all, &whole, start, 0, &mut |_, step, of_batch| {
            done += 1;
            met = met.and(of_batch);
            let mut epoch = None;
            if step.is_multiple_of(whole.batches) {
                let HeldOutEpoch { met: held, weight } = held_out_epochs[step / whole.batches - 1];
                epoch = Some(Epoch {
                    number: step / whole.batches,
                    of: whole.epochs,
                    loss: met.loss,
                    accuracy: met.right as f64 / met.count as f64,
                    heldout: (held.count > 0).then(|| (held.loss / weight, held.right as f64 / held.count as f64)),
                });
                epochs.extend(epoch);
                met = Met::default();
            }
            Progress { fraction: done as f64 / all as f64, epoch }.report(watch)
        })?;
        let facts = self.facts(&whole, epochs.last().map_or(0.0, |epoch| epoch.loss));
        Ok(self.tuned(&theta, &dense, facts, heldout, epochs))
    }

    /// The tail's values and the dense layer after a course over `set`; `after` gets each step, counted from 1.
    fn train(
        &self,
        set: &FitSet,
        course: &Course,
        start: &[f32],
        stream: u64,
        after: &mut dyn FnMut(&mut Model<'_>, usize, Met) -> Result<(), FitError>,
    ) -> Result<(Vec<f32>, Vec<f32>), FitError> {
        let (settings, latents) = (self.settings, self.task.latents);
        let mut model = Model::new(self.task, start, settings.batch);
        let mut rng = ChaCha8Rng::seed_from_u64(settings.seed);
        rng.set_stream(stream);
        let mut order = course.samples.clone();
        let (steps, mut step) = (course.steps(), 0);
        for epoch in 1..=course.epochs {
            order.shuffle(&mut rng);
            for samples in order.chunks(settings.batch) {
                let view = |sample: usize, rng: &mut ChaCha8Rng| {
                    rng.random_range(0..latents.views(sample).min(settings.views))
                };
                let rows: Vec<(usize, usize)> =
                    samples.iter().map(|&sample| (sample, view(sample, &mut rng))).collect();
                let rate = settings.learning_rate
                    * match settings.schedule {
                        Schedule::Cosine => f64::midpoint(1.0, (PI * step as f64 / steps as f64).cos()),
                        Schedule::Constant => 1.0,
                    };
                let met = model.step(&rows, set, order.len() as f64, rate);
                if !met.loss.is_finite() {
                    return Err(FitError::Diverged { epoch, lr: settings.learning_rate });
                }
                step += 1;
                after(&mut model, step, met)?;
            }
        }
        if model.theta.iter().any(|value| !value.is_finite()) {
            return Err(FitError::Diverged { epoch: course.epochs, lr: settings.learning_rate });
        }
        let dense = model.theta.split_off(model.dense());
        Ok((model.theta, dense))
    }

    /// What `model` answers to the samples held out from `fold`, into `logits` (n, k) and the sums of an epoch.
    fn held_out(
        &self,
        fold: usize,
        model: &mut Model<'_>,
        set: &FitSet,
        logits: &mut Array2<f32>,
        epoch: &mut HeldOutEpoch,
    ) {
        let plan = self.plan;
        let samples: Vec<usize> = plan.scorable_samples().filter(|&sample| plan.folds.of[sample] == fold).collect();
        for (row, &sample) in model.logits(&samples, &set.known).rows().into_iter().zip(&samples) {
            logits.row_mut(sample).assign(&row);
            let (y, weight) = (plan.data.y()[sample], plan.all.weight[sample]);
            let row: Vec<f64> = row.iter().copied().map(f64::from).collect();
            let right = row.iter().enumerate().all(|(class, logit)| class == y || *logit < row[y]);
            let loss = weight * (log_sum_exp(&row) - row[y]);
            epoch.met = epoch.met.and(Met { loss, right: usize::from(right), count: 1 });
            epoch.weight += weight;
        }
    }

    fn facts(&self, whole: &Course, loss: f64) -> TrainingFacts {
        let TuneSettings { learning_rate, schedule, views, batch, .. } = *self.settings;
        let cosine = if schedule == Schedule::Cosine { 1.0 } else { 0.0 };
        let hyper = [
            ("learning_rate", learning_rate),
            ("cosine", cosine),
            ("views", views as f64),
            ("batch", batch as f64),
            ("epochs", whole.epochs as f64),
            ("steps", whole.steps() as f64),
            ("tail_values", self.task.network.trained() as f64),
        ];
        TrainingFacts {
            hyper: BTreeMap::from(hyper.map(|(name, value)| (name.to_owned(), value))),
            solver: "adam".to_owned(),
            lambda: self.task.lambda,
            loss,
            iterations: whole.epochs,
            // There is no minimum to reach: it ends after the epochs that it was given.
            converged: true,
            n_train: self.plan.data.n(),
            seed: self.settings.seed,
            ..TrainingFacts::default()
        }
    }

    fn tuned(
        &self,
        theta: &[f32],
        dense: &[f32],
        facts: TrainingFacts,
        heldout: Array2<f32>,
        epochs: Vec<Epoch>,
    ) -> Tuned {
        let data = self.plan.data;
        let tail = self.task.network.tail(theta);
        let (weights, bias) = self.task.scale.unfolded(dense);
        let temperature = fit_temperature(&scorable_logits(self.plan, &heldout)) as f32;
        let space = tail.space(data.space());
        let dense = DenseHead { space, classes: data.classes().clone(), hidden: None, weights, bias, temperature };
        let heldout = HeldOut { ids: data.ids().to_vec(), logits: heldout };
        Tuned { tail, fitted: Fitted { dense, facts, heldout }, epochs }
    }
}
