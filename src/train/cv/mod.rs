//! Cross-validation: the plan of one training (features, folds, and how much each sample counts in which fit), the
//! hyperparameters tried on the folds, and the rule that chooses.

pub(crate) mod l2_path;
pub(crate) mod model_choice;

use ndarray::{Array1, Array2};

use super::data::prior::{Prior, log_shares};
use super::data::split::{Folds, TRAIN_ONLY, folds};
use super::fast::features::Features;
use super::fast::preconditioner::Preconditioner;
use super::softmax_loss::SoftmaxLoss;
use super::{ClassWeights, Dataset, Settings, Solver};
use crate::words::Label;

/// Everything that is the same for all fits of one training.
pub(crate) struct CvPlan<'a> {
    /// The samples, and behind them those that are in every training set and never held out.
    pub data: &'a Dataset,
    pub features: Features<'a>,
    pub folds: Folds,
    /// The samples of each fold, then those of none: the order in which passes go over them.
    pub order: Vec<Vec<usize>>,
    /// The head that it builds on.
    pub prior: Option<Prior>,
    /// For L-BFGS.
    pub preconditioner: Preconditioner,
    /// By fold: everything outside it. Empty where there is one fold only.
    pub training_sets: Vec<FitSet>,
    /// All samples: what the served head is fitted on.
    pub all: FitSet,
    /// Whether a sample can be scored when it is held out (n,): its fold's model knows its class.
    pub scorable: Vec<bool>,
}

/// The samples of one fit.
pub(crate) struct FitSet {
    /// (n,), sum 1, 0 outside.
    pub weight: Vec<f64>,
    /// Classes with a sample inside, or known to the head that is built on (k,).
    pub known: Vec<bool>,
    /// Logarithms of the classes' shares (k,), for a head that is built on.
    pub shares: Vec<f64>,
}

impl<'a> CvPlan<'a> {
    /// The first `real` samples of `data` can be held out, the others belong to every fit.
    pub fn new(data: &'a Dataset, real: usize, settings: &Settings) -> Self {
        // Adam's steps depend on the axes, so only L-BFGS may turn them.
        let features = Features::new(data.x(), data.parts(), settings.solver == Solver::Lbfgs);
        let mut folds = folds(&data.y()[..real], &data.groups()[..real], settings.folds, settings.seed);
        folds.of.resize(data.n(), TRAIN_ONLY);
        let outside = |held_out: usize| FitSet::new(data, settings.class_weights, |i| folds.of[i] != held_out);
        let training_sets: Vec<FitSet> = if folds.count < 2 { vec![] } else { (0..folds.count).map(outside).collect() };
        let all = FitSet::new(data, settings.class_weights, |_| true);
        let scorable = scorable(data, &folds, &training_sets);
        let of_fold = |fold: usize| (0..data.n()).filter(|&i| folds.of[i] == fold).collect();
        let order = (0..folds.count).chain([TRAIN_ONLY]).map(of_fold).collect();
        let preconditioner = match settings.solver {
            Solver::Lbfgs => Preconditioner::new(features.rows(), data.n()),
            Solver::Adam { .. } => Preconditioner::default(),
        };
        let prior = data.prior().map(|head| Prior::new(head, data.x(), data.classes()));
        Self { data, features, folds, order, prior, preconditioner, training_sets, all, scorable }
    }

    /// The loss over `set` with penalty `lambda`.
    pub fn loss<'b>(&'b self, set: &'b FitSet, lambda: f64) -> SoftmaxLoss<'b> {
        let (weight, known) = (&set.weight, &set.known);
        let offset = self.prior.as_ref().map(|prior| prior.offset(&set.shares));
        SoftmaxLoss { x: self.features.rows(), y: self.data.y(), weight, known, lambda, offset }
    }

    /// The layer on embeddings, W (k, d) and b (k,), of the model `theta` of a [loss](Self::loss) over [all](Self::all) samples.
    pub fn unfold(&self, theta: &[f64]) -> (Array2<f32>, Array1<f32>) {
        let (weights, bias) = self.features.unfold(theta, self.data.classes().len());
        match &self.prior {
            Some(prior) => prior.add_to(weights, bias, &self.all.shares),
            None => (weights, bias),
        }
    }

    /// Samples that are never held out.
    pub fn train_only(&self) -> impl Iterator<Item = usize> {
        (0..self.data.n()).filter(|&sample| self.folds.of[sample] == TRAIN_ONLY)
    }

    /// Whether anything can be held out.
    pub fn can_hold_out(&self) -> bool {
        self.scorable.contains(&true)
    }

    /// Samples that can be scored when they are held out.
    pub fn scorable_samples(&self) -> impl Iterator<Item = usize> {
        (0..self.data.n()).filter(|&sample| self.scorable[sample])
    }

    /// Logits (n, k) before any prediction: all -inf. In single precision, as they are kept with the head: of many
    /// classes they are most of the memory that a training takes.
    pub fn no_logits(&self) -> Array2<f32> {
        Array2::from_elem((self.data.n(), self.data.classes().len()), f32::NEG_INFINITY)
    }

    /// Writes the logits (m, k) that `model` gives the m scorable samples held out from `fold` into `logits` (n, k).
    pub fn predict_held_out(&self, fold: usize, logits: &mut Array2<f32>, model: impl FnOnce(&[usize]) -> Array2<f64>) {
        let samples: Vec<usize> = self.scorable_samples().filter(|&sample| self.folds.of[sample] == fold).collect();
        for (row, &sample) in model(&samples).rows().into_iter().zip(&samples) {
            logits.row_mut(sample).zip_mut_with(&row, |to, logit| *to = *logit as f32);
        }
    }
}

/// Whether each sample (n,) is held out from a fit that knows its class; nothing is, when all those are of one class:
/// then there is nothing to be right or wrong about.
fn scorable(data: &Dataset, folds: &Folds, training_sets: &[FitSet]) -> Vec<bool> {
    let knows = |sample: usize| training_sets.get(folds.of[sample]).is_some_and(|set| set.known[data.y()[sample]]);
    let scorable: Vec<bool> = (0..data.n()).map(knows).collect();
    let mut classes = (0..data.n()).filter(|&sample| scorable[sample]).map(|sample| data.y()[sample]);
    let one_class = classes.next().is_none_or(|first| classes.all(|class| class == first));
    if one_class { vec![false; data.n()] } else { scorable }
}

impl FitSet {
    fn new(data: &Dataset, class_weights: ClassWeights, is_inside: impl Fn(usize) -> bool) -> Self {
        let mut counts = vec![0_usize; data.classes().len()];
        let samples: Vec<usize> = (0..data.n()).filter(|&sample| is_inside(sample)).collect();
        for &sample in &samples {
            counts[data.y()[sample]] += 1;
        }
        let of_prior = |label: &Label| data.prior().is_some_and(|head| head.classes.index_of(label).is_some());
        let known: Vec<bool> =
            counts.iter().zip(data.classes().labels()).map(|(count, label)| *count > 0 || of_prior(label)).collect();
        let classes = counts.iter().filter(|&&count| count > 0).count();
        let of_class = |class: usize| match class_weights {
            ClassWeights::Balanced => (samples.len() as f64 / (classes * counts[class]) as f64).min(10.0),
            ClassWeights::None => 1.0,
        };
        let total: f64 = samples.iter().map(|&sample| of_class(data.y()[sample])).sum();
        let (mut weight, mut shares) = (vec![0.0; data.n()], vec![0.0; counts.len()]);
        for &sample in &samples {
            let class = data.y()[sample];
            weight[sample] = of_class(class) / total;
            shares[class] += weight[sample];
        }
        Self { weight, known, shares: log_shares(&shares, samples.len()) }
    }
}
