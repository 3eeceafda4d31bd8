//! A training laid out: features, folds, and who counts how much in which fit.

use super::features::Features;
use super::objective::Objective;
use super::spectrum::Spectrum;
use super::split::{Folds, NEVER, folds};
use super::{ClassWeights, Dataset, Settings, Solver};

/// Everything that is the same for all fits of one training.
pub(super) struct Plan<'a> {
    /// The samples, and behind them those that only teach.
    pub data: &'a Dataset,
    pub features: Features<'a>,
    pub folds: Folds,
    /// Samples by fold (count,), then those of none: the order in which passes go over them.
    pub order: Vec<Vec<usize>>,
    /// What L-BFGS is told of the features.
    pub spectrum: Spectrum,
    /// By fold: the fit on everything outside it.
    pub parts: Vec<Part>,
    /// The fit on everything.
    pub whole: Part,
    /// Whether a sample can be held out (n,): its fold's model knows its class.
    pub scorable: Vec<bool>,
}

/// The samples of one fit.
pub(super) struct Part {
    /// (n,), sum 1, 0 outside.
    pub weight: Vec<f64>,
    /// Classes with a sample inside (k,).
    pub known: Vec<bool>,
}

impl<'a> Plan<'a> {
    /// `data`'s first `real` samples can be held out, the others belong to every fit.
    pub fn new(data: &'a Dataset, real: usize, settings: &Settings) -> Self {
        // Adam's steps depend on the axes, so only L-BFGS may turn them.
        let features = Features::new(data.x(), settings.solver == Solver::Lbfgs);
        let mut folds = folds(&data.y()[..real], &data.groups()[..real], settings.folds, settings.seed);
        folds.of.resize(data.n(), NEVER);
        let part = |held_out: Option<usize>| {
            let inside = |sample: usize| held_out.is_none_or(|fold| folds.of[sample] != fold);
            Part::new(data, settings.class_weights, inside)
        };
        let parts: Vec<Part> = if folds.count < 2 { vec![] } else { (0..folds.count).map(|f| part(Some(f))).collect() };
        let whole = part(None);
        let knows = |sample: usize| parts.get(folds.of[sample]).is_some_and(|part| part.known[data.y()[sample]]);
        let mut scorable: Vec<bool> = (0..data.n()).map(knows).collect();
        let mut classes = (0..data.n()).filter(|&sample| scorable[sample]).map(|sample| data.y()[sample]);
        // With a single class there is nothing to be right or wrong about.
        if classes.next().is_none_or(|first| classes.all(|class| class == first)) {
            scorable.fill(false);
        }
        let of_fold = |fold: usize| (0..data.n()).filter(|&i| folds.of[i] == fold).collect();
        let order = (0..folds.count).chain([NEVER]).map(of_fold).collect();
        let spectrum = match settings.solver {
            Solver::Lbfgs => Spectrum::new(features.rows(), data.n()),
            Solver::Adam { .. } => Spectrum::default(),
        };
        Self { data, features, folds, order, spectrum, parts, whole, scorable }
    }

    /// The loss over `part`.
    pub fn objective<'b>(&'b self, part: &'b Part, lambda: f64) -> Objective<'b> {
        let (weight, known) = (&part.weight, &part.known);
        Objective { x: self.features.rows(), y: self.data.y(), weight, known, lambda }
    }

    /// Samples that only teach.
    pub fn never_held_out(&self) -> impl Iterator<Item = usize> {
        (0..self.data.n()).filter(|&sample| self.folds.of[sample] == NEVER)
    }

    /// Whether anything can be held out.
    pub fn can_hold_out(&self) -> bool {
        self.scorable.contains(&true)
    }
}

impl Part {
    fn new(data: &Dataset, class_weights: ClassWeights, inside: impl Fn(usize) -> bool) -> Self {
        let mut counts = vec![0_usize; data.classes().len()];
        let samples: Vec<usize> = (0..data.n()).filter(|&sample| inside(sample)).collect();
        for &sample in &samples {
            counts[data.y()[sample]] += 1;
        }
        let known: Vec<bool> = counts.iter().map(|&count| count > 0).collect();
        let classes = known.iter().filter(|&&known| known).count();
        let of_class = |class: usize| match class_weights {
            ClassWeights::Balanced => (samples.len() as f64 / (classes * counts[class]) as f64).min(10.0),
            ClassWeights::None => 1.0,
        };
        let total: f64 = samples.iter().map(|&sample| of_class(data.y()[sample])).sum();
        let mut weight = vec![0.0; data.n()];
        for &sample in &samples {
            weight[sample] = of_class(data.y()[sample]) / total;
        }
        Self { weight, known }
    }
}
