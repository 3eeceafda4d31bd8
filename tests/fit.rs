//! Training and figures against scikit-learn, and what a training promises whatever the data.
//!
//! `data/fit.json` is made by `data/make_fit_golden.py` (scikit-learn 1.9.1) from generated numbers.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::ops::ControlFlow;

use edgetuned::eval::figures;
use edgetuned::head::{EvaluatedOn, softmax_in_place};
use edgetuned::train::{ClassWeights, Dataset, FitError, Fitted, L2, Progress, Settings, Solver, fit};
use edgetuned::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId};
use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    fits: Vec<GoldenFit>,
    figures: Vec<GoldenFigures>,
}

#[derive(Deserialize)]
struct GoldenFit {
    lambda: f64,
    balanced: bool,
    y: Vec<usize>,
    z: Vec<Vec<f32>>,
    loss: f64,
    probabilities: Vec<Vec<f32>>,
    every: usize,
}

#[derive(Deserialize)]
struct GoldenFigures {
    y: Vec<usize>,
    probabilities: Vec<Vec<f32>>,
    accuracy: f64,
    balanced_accuracy: f64,
    macro_f1: f64,
    log_loss: f64,
    ece: f64,
    precision: Vec<f64>,
    recall: Vec<f64>,
    f1: Vec<f64>,
    support: Vec<u64>,
    confusion: Vec<Vec<u64>>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("data/fit.json")).unwrap()
}

fn matrix(rows: &[Vec<f32>]) -> Array2<f32> {
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn classes(k: usize) -> ClassSet {
    (0..k).map(|class| Label::new(&format!("class {class}")).unwrap()).collect()
}

fn ids(n: usize) -> Vec<SampleId> {
    (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect()
}

fn dataset(x: Array2<f32>, y: &[usize], groups: Vec<SampleId>) -> Dataset {
    let k = y.iter().max().unwrap() + 1;
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: x.ncols() };
    Dataset::new(space, x, y.to_vec(), classes(k), groups, ids(y.len())).unwrap()
}

/// `n` samples of `k` classes whose class means are `apart` from one another; every `burst` samples are one group and
/// almost the same picture.
fn clusters(seed: u64, n: usize, k: usize, apart: f32, burst: usize) -> Dataset {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let y: Vec<usize> = (0..n).map(|i| i / burst % k).collect();
    let mut noise = Array2::from_shape_simple_fn((n, 24), || 4.0 * rng.random::<f32>());
    for i in 0..n {
        let first = noise.row(i - i % burst).to_owned();
        let own = noise.row(i).to_owned();
        noise.row_mut(i).assign(&(&first * 0.99 + &own * 0.01));
        noise[[i, y[i]]] += apart;
    }
    let groups = (0..n).map(|i| SampleId::of(&(i - i % burst).to_le_bytes())).collect();
    dataset(noise, &y, groups)
}

fn run(data: &Dataset, settings: &Settings) -> Fitted {
    fit(data, settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn heldout_accuracy(data: &Dataset, fitted: &Fitted) -> f64 {
    let best = |i: usize| {
        let row = fitted.heldout.logits.row(i);
        (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
    };
    (0..data.n()).filter(|&i| best(i) == data.y()[i]).count() as f64 / data.n() as f64
}

#[test]
fn losses_and_probabilities_are_those_of_scikit_learn() {
    for (number, golden) in golden().fits.into_iter().enumerate() {
        let data = dataset(matrix(&golden.z), &golden.y, ids(golden.y.len()));
        let class_weights = if golden.balanced { ClassWeights::Balanced } else { ClassWeights::None };
        let fitted = run(&data, &Settings { l2: L2::Fixed(golden.lambda), class_weights, ..Settings::default() });
        assert!(
            (fitted.facts.loss / golden.loss - 1.0).abs() < 1e-4,
            "{number}: {} {}",
            fitted.facts.loss,
            golden.loss
        );
        let rows = data.x().rows().into_iter().step_by(golden.every);
        for (row, expected) in rows.zip(&golden.probabilities) {
            let mut found = vec![0.0; expected.len()];
            fitted.dense.logits(&row.to_vec(), &mut found).unwrap();
            softmax_in_place(&mut found, 1.0);
            let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 2e-3, "fit {number}: {found:?} {expected:?}");
        }
    }
}

#[test]
fn figures_are_those_of_scikit_learn_and_within_their_intervals() {
    for golden in golden().figures {
        let (n, k) = (golden.y.len(), golden.support.len());
        let p = matrix(&golden.probabilities);
        let found = figures(&p, &golden.y, &ids(n), &classes(k), EvaluatedOn::Test, 0).unwrap();
        for (found, [low, high], expected) in [
            (found.accuracy, found.accuracy_interval, golden.accuracy),
            (found.balanced_accuracy, found.balanced_accuracy_interval, golden.balanced_accuracy),
            (found.macro_f1, found.macro_f1_interval, golden.macro_f1),
            (found.log_loss, found.log_loss_interval, golden.log_loss),
        ] {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
            assert!(low < found && found < high, "{low} {found} {high}");
        }
        assert!((found.ece - golden.ece).abs() < 1e-6);
        assert_eq!(found.confusion, golden.confusion);
        for (class, figures) in found.per_class.iter().enumerate() {
            let pairs = [
                (figures.precision, golden.precision[class]),
                (figures.recall, golden.recall[class]),
                (figures.f1, golden.f1[class]),
            ];
            assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 1e-9), "{figures:?}");
            assert_eq!(figures.support, golden.support[class]);
        }
    }
}

#[test]
fn figures_of_nothing_are_none_and_a_class_without_samples_has_no_part_in_the_means() {
    let none = Array2::zeros((0, 2));
    assert_eq!(figures(&none, &[], &[], &classes(2), EvaluatedOn::Test, 0), None);
    let p = ndarray::array![[0.9, 0.1, 0.0], [0.2, 0.8, 0.0]];
    let found = figures(&p, &[0, 1], &ids(2), &classes(3), EvaluatedOn::Test, 0).unwrap();
    assert!((found.balanced_accuracy - 1.0).abs() < 1e-12 && found.per_class[2].support == 0);
    let wrong = ndarray::array![[0.0, 1.0]];
    let found = figures(&wrong, &[0], &ids(1), &classes(2), EvaluatedOn::Test, 0).unwrap();
    assert!((found.log_loss - 1e6_f64.ln()).abs() < 1e-9, "a surely wrong image costs a bounded loss");
}

#[test]
fn well_separated_classes_are_learnt_and_the_held_out_figures_show_it() {
    let data = clusters(1, 120, 4, 8.0, 1);
    let fitted = run(&data, &Settings::default());
    assert!(heldout_accuracy(&data, &fitted) > 0.95);
    assert!(fitted.facts.converged && fitted.facts.n_train == 120 && fitted.facts.lambda_path.len() > 2);
    assert_eq!(fitted.heldout.ids, data.ids());
}

#[test]
fn near_duplicates_never_leak_into_the_held_out_figures() {
    for seed in 0..5 {
        // Nothing to learn but the bursts themselves.
        let data = clusters(seed, 160, 2, 0.0, 4);
        let honest = heldout_accuracy(&data, &run(&data, &Settings::default()));
        let split = dataset(data.x().clone(), data.y(), data.ids().to_vec());
        let leaky = heldout_accuracy(&split, &run(&split, &Settings { l2: L2::Fixed(0.001), ..Settings::default() }));
        assert!(honest < 0.75 && leaky > honest + 0.15, "seed {seed}: honest {honest}, leaky {leaky}");
    }
}

#[test]
fn the_same_data_and_seed_give_the_same_head_bit_by_bit() {
    let data = clusters(3, 60, 3, 2.0, 2);
    let adam = Solver::Adam { epochs: 4, batch: 8, lr: 1e-2 };
    for solver in [Solver::Lbfgs, adam] {
        let settings = Settings { solver, ..Settings::default() };
        assert_eq!(run(&data, &settings), run(&data, &settings));
    }
    let other = Settings { solver: adam, seed: 1, ..Settings::default() };
    assert_ne!(run(&data, &other).dense.id(), run(&data, &Settings { seed: 0, ..other }).dense.id());
}

#[test]
fn the_order_of_samples_changes_no_answer() {
    let data = clusters(4, 60, 3, 2.0, 1);
    let order: Vec<usize> = (0..60).rev().collect();
    let pick = |ids: &[SampleId]| -> Vec<SampleId> { order.iter().map(|&i| ids[i]).collect() };
    let y = order.iter().map(|&i| data.y()[i]).collect();
    let x = data.x().select(ndarray::Axis(0), &order);
    let (groups, ids) = (pick(data.groups()), pick(data.ids()));
    let reversed = Dataset::new(data.space(), x, y, data.classes().clone(), groups, ids).unwrap();
    let (a, b) = (run(&data, &Settings::default()), run(&reversed, &Settings::default()));
    assert!((a.facts.lambda - b.facts.lambda).abs() < 1e-12);
    let gap = (&a.dense.weights - &b.dense.weights).mapv(f32::abs).fold(0.0, |worst, gap| gap.max(worst));
    assert!(gap < 1e-3, "{gap}");
}

#[test]
fn a_class_of_one_group_is_trained_but_not_held_out() {
    let mut y = vec![0, 1, 0, 1, 0, 1, 0, 1, 2, 2];
    let x = Array2::from_shape_fn((10, 3), |(i, j)| f32::from(u8::from(y[i] == j)) + 0.01 * (i as f32).sin());
    let mut groups = ids(10);
    groups[9] = groups[8];
    let data = dataset(x.clone(), &y, groups);
    let fitted = run(&data, &Settings::default());
    assert!(fitted.heldout.logits.row(8).iter().all(|logit| *logit == f32::NEG_INFINITY));
    assert!(fitted.heldout.logits.row(0).iter().all(|logit| logit.is_finite()));
    assert!(fitted.dense.probabilities(&x.row(8).to_vec()).unwrap()[2] > 0.5);
    y.truncate(2);
    let pair = dataset(x.slice(ndarray::s![..2, ..]).to_owned(), &y, ids(2));
    let fitted = run(&pair, &Settings::default());
    assert!(fitted.heldout.logits.iter().all(|logit| *logit == f32::NEG_INFINITY) && fitted.heldout.ids.len() == 2);
    assert!((fitted.dense.temperature - 1.0).abs() < 1e-6 && fitted.facts.lambda_path.is_empty());
}

#[test]
fn the_classic_recipe_reports_each_epoch_and_learns() {
    let data = clusters(6, 120, 3, 8.0, 1);
    let settings = Settings { solver: Solver::Adam { epochs: 30, batch: 16, lr: 1e-2 }, ..Settings::default() };
    let mut seen: Vec<Progress> = Vec::new();
    let fitted = fit(&data, &settings, &mut |progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    })
    .unwrap();
    let epochs: Vec<_> = seen.iter().filter_map(|progress| progress.epoch).collect();
    assert_eq!(epochs.iter().map(|epoch| epoch.number).collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());
    assert!(epochs[29].loss < epochs[0].loss / 2.0 && epochs[29].accuracy > 0.95, "{:?}", epochs[29]);
    let (_, accuracy) = epochs[29].heldout.unwrap();
    assert!((accuracy - heldout_accuracy(&data, &fitted)).abs() < 1e-12 && accuracy > 0.9);
    assert_eq!((fitted.facts.solver.as_str(), fitted.facts.iterations), ("adam", 30));
}

#[test]
fn progress_rises_to_one_and_the_caller_can_cancel_it() {
    let data = clusters(7, 40, 2, 2.0, 1);
    let mut last = 0.0;
    let result = fit(&data, &Settings::default(), &mut |progress| {
        assert!(progress.fraction >= last && progress.fraction <= 1.0);
        last = progress.fraction;
        ControlFlow::Continue(())
    });
    assert!(result.is_ok() && (last - 1.0).abs() < 1e-12);
    let cancelled = fit(&data, &Settings::default(), &mut |_| ControlFlow::Break(()));
    assert_eq!(cancelled.unwrap_err(), FitError::Cancelled);
}

#[test]
fn settings_out_of_range_and_diverging_training_are_refused_with_the_remedy() {
    let data = clusters(8, 40, 2, 2.0, 1);
    let error = |settings: Settings| fit(&data, &settings, &mut |_| ControlFlow::Continue(())).unwrap_err().to_string();
    let adam = |epochs, batch, lr| Settings { solver: Solver::Adam { epochs, batch, lr }, ..Settings::default() };
    assert!(error(Settings { folds: 1, ..Settings::default() }).contains("folds 1: it must be 2 or more"));
    assert!(error(Settings { l2: L2::Fixed(-1.0), ..Settings::default() }).contains("l2 -1"));
    assert!(error(adam(0, 8, 1e-3)).contains("epochs"));
    assert!(error(adam(1, 0, 1e-3)).contains("batch"));
    assert!(error(adam(1, 8, f64::NAN)).contains("learning rate"));
    assert!(error(adam(3, 8, 1e200)).contains("use a smaller one"));
}
