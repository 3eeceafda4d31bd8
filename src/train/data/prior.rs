//! A head that others made as the start of a training: what a fleet knows, bent to what one device sees.
//!
//! The head of a training is `W = W_0 + V`, `b = b_0 + s + c`, with `W_0` and `b_0` those of the prior. The penalty is on V and
//! c, so that a strong one leaves the prior and a weak one the device's own head, and cross-validation chooses between them
//! (biased regularisation: Kuzborskij & Orabona 2013, *Stability and Hypothesis Transfer Learning*; of networks, Li et al.
//! 2018, arXiv 1802.01483). `s_k = log((n w_k + 1 / K) / (n + 1))` brings the classes' shares to those of the device (Saerens et al.
//! 2002, doi 10.1162/089976602753284446), `w_k` the share of class k of n samples as the training weighs them, and one more
//! sample that could be of any of K classes: what was never seen here gets rare and stays possible.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::head::DenseHead;
use crate::words::ClassSet;

/// A linear head in the classes of a training.
pub(crate) struct Prior {
    /// `W_0` (k, d), of mean 0 over the classes that it knows, so that 0 says nothing of the others.
    weights: Array2<f64>,
    /// `b_0` (k,), likewise.
    bias: Array1<f64>,
    /// `W_0 z + b_0` of the samples (n, k).
    logits: Array2<f32>,
}

/// What a prior adds to the logits of a model.
#[derive(Clone, Copy)]
pub(crate) struct Offset<'a> {
    logits: ArrayView2<'a, f32>,
    shares: &'a [f64],
}

impl Prior {
    /// Of the linear `head`, at its temperature, for embeddings `x` (n, d) and `classes`, those of the head among them.
    pub fn new(head: &DenseHead, x: &Array2<f32>, classes: &ClassSet) -> Self {
        let (t, k) = (f64::from(head.temperature), classes.len());
        let middle = |values: Array1<f64>| values / head.classes.len() as f64;
        let known = head.weights.mapv(|w| f64::from(w) / t);
        let known_bias = head.bias.mapv(|b| f64::from(b) / t);
        let (row, one) = (middle(known.sum_axis(Axis(0))), known_bias.sum() / head.classes.len() as f64);
        let (mut weights, mut bias) = (Array2::zeros((k, x.ncols())), Array1::zeros(k));
        for (from, label) in head.classes.labels().iter().enumerate() {
            let to = classes.index_of(label).expect("the classes of the head are among those of the training");
            weights.row_mut(to).assign(&(&known.row(from) - &row));
            bias[to] = known_bias[from] - one;
        }
        let mut logits = Array2::zeros((x.nrows(), k));
        for (mut to, z) in logits.rows_mut().into_iter().zip(x.rows()) {
            let values = weights.dot(&z.mapv(f64::from)) + &bias;
            to.iter_mut().zip(&values).for_each(|(to, value)| *to = *value as f32);
        }
        Self { weights, bias, logits }
    }

    #[cfg(test)]
    pub fn of_logits(logits: Array2<f32>) -> Self {
        Self { weights: Array2::zeros((0, 0)), bias: Array1::zeros(0), logits }
    }

    /// The offset of a fit with these logarithms of its classes' shares (k,).
    pub fn offset<'a>(&'a self, shares: &'a [f64]) -> Offset<'a> {
        Offset { logits: self.logits.view(), shares }
    }

    /// The layer on embeddings, W (k, d) and b (k,), of a model V and c with these logarithms of the classes' shares (k,).
    pub fn add_to(&self, v: Array2<f32>, c: Array1<f32>, shares: &[f64]) -> (Array2<f32>, Array1<f32>) {
        let (mut weights, mut bias) = (v, c);
        weights.zip_mut_with(&self.weights, |to, from| *to = (f64::from(*to) + from) as f32);
        for ((to, from), share) in bias.iter_mut().zip(&self.bias).zip(shares) {
            *to = (f64::from(*to) + from + share) as f32;
        }
        (weights, bias)
    }
}

impl Offset<'_> {
    /// What is added to the logits of `sample` (k,).
    pub fn of(&self, sample: usize) -> impl Iterator<Item = f64> {
        self.logits.row(sample).into_iter().zip(self.shares).map(|(logit, share)| f64::from(*logit) + share)
    }
}

/// `log((n w_k + 1 / K) / (n + 1))` (k,) of n samples whose classes have these `shares` w (k,).
pub(crate) fn log_shares(shares: &[f64], n: usize) -> Vec<f64> {
    let (n, k) = (n as f64, shares.len() as f64);
    shares.iter().map(|share| ((n * share + 1.0 / k) / (n + 1.0)).ln()).collect()
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use ndarray::Array2;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::train::softmax_loss::log_sum_exp;
    use crate::train::{Dataset, Fitted, L2, Settings, Solver, fit};
    use crate::words::{Digest, EmbeddingSpace, Label, SampleId};

    const D: usize = 12;
    const NAMES: [&str; 4] = ["bolt", "gear", "nut", "washer"];

    fn space() -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D }
    }

    fn classes(names: &[&str]) -> ClassSet {
        names.iter().map(|name| Label::new(name).unwrap()).collect()
    }

    /// `each` samples of each of `names`, class by class in their order; `light` is added to all.
    fn samples(seed: u64, names: &[&str], each: usize, light: f32) -> Dataset {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let known = classes(names);
        let y: Vec<usize> = (0..names.len() * each).map(|i| i % names.len()).collect();
        let x = Array2::from_shape_fn((y.len(), D), |(i, j)| {
            let centre = NAMES.iter().position(|name| *name == known.labels()[y[i]].as_str()).unwrap();
            2.0 * rng.random::<f32>() + if j == centre { 1.5 } else { 0.0 } + light
        });
        let ids: Vec<SampleId> = (0..y.len()).map(|i| SampleId::of(format!("{seed} {i}").as_bytes())).collect();
        Dataset::new(space(), x, y, known, ids.clone(), ids).unwrap()
    }

    fn run(data: &Dataset, settings: Settings) -> Fitted {
        fit(data, &settings, &mut |_| ControlFlow::Continue(())).unwrap()
    }

    /// A head of all classes, with a temperature that is not 1.
    fn fleet() -> DenseHead {
        let head = run(&samples(1, &NAMES, 100, 0.0), Settings::default()).dense;
        DenseHead { weights: &head.weights * 2.0, bias: &head.bias * 2.0, temperature: 2.0 * head.temperature, ..head }
    }

    fn accuracy(head: &DenseHead, of: &Dataset) -> f64 {
        let p = head.probabilities_of(of.x()).unwrap();
        let right = p.rows().into_iter().zip(of.y()).filter(|(row, truth)| {
            let best = (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
            head.classes.labels()[best] == of.classes().labels()[**truth]
        });
        right.count() as f64 / of.n() as f64
    }

    fn log_softmax(head: &DenseHead, x: &Array2<f32>) -> Array2<f64> {
        let mut logits = head.logits_of(x).unwrap().mapv(|logit| f64::from(logit / head.temperature));
        for mut row in logits.rows_mut() {
            let sum = log_sum_exp(row.as_slice().unwrap());
            row.mapv_inplace(|logit| logit - sum);
        }
        logits
    }

    #[test]
    fn a_strong_penalty_leaves_the_prior_with_the_shares_of_the_device() {
        let (head, own) = (fleet(), samples(2, &["gear", "nut"], 20, 0.0));
        let settings = Settings { l2: L2::Fixed(1e9), ..Settings::default() };
        let fitted = run(&own.building_on(head.clone()), settings).dense;
        assert_eq!(fitted.classes, classes(&NAMES));
        let x = samples(3, &NAMES, 5, 0.0);
        let fitted = log_softmax(&DenseHead { temperature: 1.0, ..fitted }, x.x());
        // Of 40 samples and one that could be of any of 4 classes: 20.25 of 41, and a quarter of 41.
        let mut expected = log_softmax(&head, x.x());
        for mut row in expected.rows_mut() {
            row.iter_mut().zip([0.25_f64, 20.25, 20.25, 0.25]).for_each(|(logit, share)| *logit += (share / 41.0).ln());
            let sum = log_sum_exp(row.as_slice().unwrap());
            row.mapv_inplace(|logit| logit - sum);
        }
        let worst = (&fitted - &expected).iter().fold(0.0_f64, |most, gap| most.max(gap.abs()));
        assert!(worst < 1e-3, "{worst}");
    }

    #[test]
    fn a_device_with_few_labels_gains_from_the_fleet_and_keeps_the_classes_that_it_never_saw() {
        let head = fleet();
        let own = samples(2, &["gear", "nut"], 4, 0.3);
        let alone = run(&own, Settings::default()).dense;
        for solver in [Solver::Lbfgs, Solver::Adam { epochs: 20, batch: 8, lr: 1e-3 }] {
            let fitted = run(&own.clone().building_on(head.clone()), Settings { solver, ..Settings::default() }).dense;
            let here = samples(4, &["gear", "nut"], 200, 0.3);
            let (better, former) = (accuracy(&fitted, &here), accuracy(&alone, &here));
            assert!(better > former && better > 0.9, "{solver:?}: {better} against {former}");
            let elsewhere = samples(5, &["bolt", "washer"], 100, 0.3);
            let kept = accuracy(&fitted, &elsewhere);
            assert!(kept > 0.3, "{solver:?}: {kept} of classes that are rare here");
        }
    }

    #[test]
    fn many_labels_outweigh_a_prior_that_is_wrong() {
        let (right, wrong) = (fleet(), fleet());
        // Its classes are exchanged.
        let rows = [1, 0, 3, 2];
        let wrong = DenseHead { weights: right.weights.select(Axis(0), &rows), ..wrong };
        let own = samples(6, &NAMES, 100, 0.0);
        let here = samples(7, &NAMES, 200, 0.0);
        let alone = accuracy(&run(&own, Settings::default()).dense, &here);
        let built = accuracy(&run(&own.building_on(wrong), Settings::default()).dense, &here);
        assert!(built > alone - 0.03, "{built} against {alone}");
    }

    #[test]
    fn classes_of_the_device_alone_are_learned_beside_those_of_the_fleet() {
        let own = samples(8, &["nut", "washer"], 30, 0.0);
        let known = run(&samples(1, &["bolt", "gear", "nut"], 100, 0.0), Settings::default()).dense;
        let data = own.building_on(known);
        assert_eq!((data.classes(), data.sampled_classes()), (&classes(&NAMES), classes(&["nut", "washer"])));
        let fitted = run(&data, Settings::default());
        assert!(accuracy(&fitted.dense, &samples(9, &["nut", "washer"], 100, 0.0)) > 0.9);
        // What was left out of the data is learned as before.
        let rest = data.without(&std::collections::BTreeSet::from([0])).unwrap();
        assert_eq!((rest.classes(), rest.n()), (data.classes(), 59));
        assert!(fitted.heldout.logits.iter().all(|logit| logit.is_finite()), "every fold knows all classes");
    }
}
