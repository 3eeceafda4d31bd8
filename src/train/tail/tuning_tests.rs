//! Trainings of small tails on drawn inner values.

use std::ops::ControlFlow;

use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::model::{Model, Standard, Task};
use super::*;
use crate::head::TailWeight;
use crate::train::cv::CvPlan;
use crate::train::softmax_loss::SoftmaxLoss;
use crate::train::{Dataset, Epoch, FitError, Fitted, Progress, Settings, fit};
use crate::words::{Digest, EmbeddingSpace, Label, SampleId};

const CUT: [usize; 3] = [6, 3, 2];
const VALUES: usize = 36;
const DIM: usize = 8;
/// Channels that the last convolution does not read as it is in the file.
const UNREAD: usize = 2;

/// A depthwise and a pointwise convolution, which reads all channels but the last two.
fn network() -> TailNetwork {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut draw = |name: &str, shape: &[usize], bound: f32| {
        let values = (0..shape.iter().product()).map(|_| bound * (2.0 * rng.random::<f32>() - 1.0)).collect();
        Constant { weight: TailWeight { name: name.to_owned(), shape: shape.to_vec(), values }, is_trained: true }
    };
    let (deep, mut last) = (draw("deep", &[6, 1, 3, 3], 0.3), draw("last", &[DIM, 6, 1, 1], 0.5));
    let bias = draw("bias", &[DIM], 0.1);
    for row in last.weight.values.chunks_exact_mut(6) {
        row[6 - UNREAD..].fill(0.0);
    }
    let (mut builder, cut) = TailBuilder::new("cut", CUT).unwrap();
    let window = Window { kernel: [3, 3], stride: [1, 1], before: [1, 1], after: [1, 1] };
    let made = builder.convolution(cut, deep, None, window, 6).unwrap();
    let made = builder.convolution(made, last, Some(bias), Window::POINT, 1).unwrap();
    let made = builder.clamp(made, Clamp { low: 0.0, high: 6.0 });
    builder.finish(made).unwrap()
}

struct World {
    data: Dataset,
    latents: Latents,
    network: TailNetwork,
    first: Fitted,
}

/// `n` samples with 2 views, groups of two; `value` draws the inner value of a class and a channel, `extra` are further
/// values of the embedding by class.
fn world(n: usize, seed: u64, extra: &[[f32; 2]], value: impl Fn(usize, usize, &mut ChaCha8Rng) -> f32) -> World {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let y: Vec<usize> = (0..n).map(|i| if i < 2 { i } else { rng.random_range(0..2) }).collect();
    let mut latents = Latents::new(CUT);
    for class in &y {
        let views: Vec<f32> = (0..2 * VALUES).map(|i| value(*class, i % VALUES / 6, &mut rng)).collect();
        latents.push(&views).unwrap();
    }
    let network = network();
    let mut runner = TailRunner::original(network.clone());
    let row = |i: usize| -> Vec<f32> {
        let z = runner.embed(&latents.dequantised(i, 0));
        z.into_iter().chain(extra.iter().map(|values| values[y[i]] + (i % 7) as f32)).collect()
    };
    let x: Vec<f32> = (0..n).flat_map(row).collect();
    let dim = DIM + extra.len();
    let ids: Vec<SampleId> = (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect();
    let groups = (0..n).map(|i| ids[i / 2 * 2]).collect();
    let classes = ["bolt", "nut"].map(|name| Label::new(name).unwrap()).into_iter().collect();
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim };
    let x = Array2::from_shape_vec((n, dim), x).unwrap();
    let data = Dataset::new(space, x, y, classes, groups, ids).unwrap();
    let first = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).unwrap();
    World { data, latents, network, first }
}

/// The class shows in the channels that the network does not read.
fn unread(n: usize, seed: u64) -> World {
    world(n, seed, &[], |class, channel, rng| {
        let sign = if class == 0 { -1.0 } else { 1.0 };
        let shift = if channel >= 6 - UNREAD { sign } else { 0.0 };
        2.0 * rng.random::<f32>() - 1.0 + shift
    })
}

/// The class shows nowhere.
fn noise(n: usize, seed: u64) -> World {
    world(n, seed, &[], |_, _, rng| 4.0 * rng.random::<f32>() - 2.0)
}

fn run(world: &World, settings: &TuneSettings) -> Tuned {
    let World { data, latents, network, first } = world;
    tune(data, latents, network, first, settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

const FAST: f64 = 1e-2;

fn fast(epochs: usize) -> TuneSettings {
    TuneSettings { learning_rate: FAST, epochs: Some(epochs), ..TuneSettings::default() }
}

fn accuracy(fitted: &Fitted, data: &Dataset) -> f64 {
    let right = |(row, y): (ndarray::ArrayView1<'_, f32>, &usize)| row[*y] > row[1 - *y];
    let rows = fitted.heldout.logits.rows().into_iter().zip(data.y());
    rows.filter(|(row, y)| right((*row, *y))).count() as f64 / data.n() as f64
}

/// What the tuned tail makes of the samples, in the space that it says.
fn embedded(world: &World, tuned: &Tuned) -> Dataset {
    let mut runner = TailRunner::new(world.network.clone(), &tuned.tail).unwrap();
    let x: Vec<f32> = (0..world.data.n()).flat_map(|i| runner.embed(&world.latents.dequantised(i, 0))).collect();
    let x = Array2::from_shape_vec((world.data.n(), DIM), x).unwrap();
    let (data, space) = (&world.data, tuned.tail.space(world.data.space()));
    let (y, classes) = (data.y().to_vec(), data.classes().clone());
    Dataset::new(space, x, y, classes, data.groups().to_vec(), data.ids().to_vec()).unwrap()
}

#[test]
fn what_the_frozen_embedding_does_not_hold_is_learnt_and_shows_on_held_out_samples() {
    for seed in 0..3 {
        let world = unread(120, seed);
        let tuned = run(&world, &fast(20));
        let [before, after] = [&world.first, &tuned.fitted].map(|fitted| accuracy(fitted, &world.data));
        assert!(before < 0.75 && after > 0.9, "seed {seed}: {before} before, {after} after");
        // The head is of the space that its tail makes, and answers there as the fit says.
        let tuned_data = embedded(&world, &tuned);
        assert_eq!(tuned.fitted.dense.space, tuned_data.space());
        assert!(tuned.fitted.dense.reads(&world.data.space()).is_err());
        let logits = tuned.fitted.dense.logits_of(tuned_data.x()).unwrap();
        let right = logits.rows().into_iter().zip(world.data.y()).filter(|(row, y)| row[**y] > row[1 - **y]).count();
        assert!(right > 108, "seed {seed}: {right} of 120");
    }
}

/// The mistake: cross-validating a head on embeddings of a tail that saw all samples. On labels that mean nothing it
/// claims far more than chance, where the folds' own tails do not.
#[test]
fn labels_that_mean_nothing_are_not_claimed_to_be_learnt() {
    let (mut honest, mut planted) = (0.0, 0.0);
    for seed in 0..3 {
        let world = noise(120, seed);
        let tuned = run(&world, &TuneSettings { batch: 16, views: 1, ..fast(120) });
        honest += accuracy(&tuned.fitted, &world.data) / 3.0;
        let leaking = embedded(&world, &tuned);
        let claimed = fit(&leaking, &Settings::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        planted += accuracy(&claimed, &world.data) / 3.0;
    }
    assert!((0.4..0.6).contains(&honest), "honest {honest}, seeds 0 to 2");
    assert!(planted > 0.7, "planted {planted}, seeds 0 to 2");
}

#[test]
fn steps_of_rate_zero_change_no_byte_of_the_tail_and_no_answer() {
    let world = unread(60, 5);
    let tuned = run(&world, &TuneSettings { learning_rate: 0.0, ..fast(2) });
    let bits = |tail: &crate::head::Tail| {
        tail.weights.iter().flat_map(|weight| weight.values.iter().map(|v| v.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(bits(&tuned.tail), bits(&world.network.tail(&world.network.original())));
    let logits = |fitted: &Fitted| fitted.dense.logits_of(world.data.x()).unwrap();
    let apart = (&logits(&tuned.fitted) - &logits(&world.first)).mapv(f32::abs).fold(0.0, |a: f32, b| a.max(*b));
    assert!(apart < 1e-4, "{apart}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_one_others() {
    let world = unread(70, 2);
    let settings = TuneSettings { seed: 3, ..fast(3) };
    let [a, b, c] = [settings, settings, TuneSettings { seed: 4, ..settings }].map(|settings| run(&world, &settings));
    assert_eq!(a, b);
    assert_ne!(a.tail, c.tail);
}

#[test]
fn progress_goes_from_nothing_to_one_and_each_epoch_stands_beside_that_of_the_folds() {
    let world = unread(70, 2);
    let World { data, latents, network, first } = &world;
    for epochs in [Some(4), None] {
        let (mut fractions, mut reported) = (vec![0.0], Vec::<Epoch>::new());
        let settings = TuneSettings { epochs, ..fast(1) };
        let tuned = tune(data, latents, network, first, &settings, &mut |Progress { fraction, epoch }| {
            fractions.push(fraction);
            reported.extend(epoch);
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(fractions.windows(2).all(|pair| pair[0] <= pair[1]) && *fractions.last().unwrap() >= 1.0);
        assert_eq!(reported, tuned.epochs);
        // 3 batches an epoch: 107 epochs are the first to make 320 steps.
        assert_eq!(reported.len(), epochs.unwrap_or(107));
        assert_eq!(tuned.fitted.facts.hyper["steps"] as usize, 3 * reported.len());
        assert!(reported.iter().zip(1..).all(|(epoch, number)| epoch.number == number && epoch.heldout.is_some()));
        let last = reported.last().unwrap();
        assert!((last.heldout.unwrap().1 - accuracy(&tuned.fitted, data)).abs() < 1e-12);
        assert!(last.loss < reported[0].loss);
    }
}

#[test]
fn frozen_values_beyond_the_tail_are_read_too() {
    let noisy = |_: usize, _: usize, rng: &mut ChaCha8Rng| 4.0 * rng.random::<f32>() - 2.0;
    let world = world(90, 3, &[[0.0, 9.0], [5.0, -5.0]], noisy);
    let tuned = run(&world, &fast(3));
    assert_eq!(tuned.fitted.dense.weights.dim(), (2, DIM + 2));
    assert!(accuracy(&tuned.fitted, &world.data) > 0.9);
}

#[test]
fn the_gradient_of_a_batch_is_that_of_its_loss() {
    let World { data, latents, network, .. } = unread(40, 8);
    let plan = CvPlan::new(&data, data.n(), &Settings::default());
    let task =
        Task { data: &data, latents: &latents, network: &network, scale: Standard::of(&plan.features), lambda: 0.3 };
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let dense: Vec<f32> = (0..2 * (DIM + 1)).map(|_| rng.random::<f32>() - 0.5).collect();
    let mut model = Model::new(&task, &dense, 40);
    let rows: Vec<(usize, usize)> = (0..40).map(|sample| (sample, 0)).collect();
    let (split, before) = (model.dense(), model.theta.clone());
    model.step(&rows, &plan.all, 40.0, 0.0);
    let gradient = model.gradient.clone();
    let loss = SoftmaxLoss { lambda: 0.3, ..plan.loss(&plan.all, 0.3) };
    let theta: Vec<f64> = dense.iter().copied().map(f64::from).collect();
    let mut expected = vec![0.0; theta.len()];
    loss.evaluate(&theta, &mut expected);
    for (at, (found, expected)) in gradient[split..].iter().zip(&expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() < 1e-4, "dense {at}: {found}, not {expected}");
    }
    for at in (0..split).step_by(5) {
        let mut moved = |by: f32| {
            model.theta.copy_from_slice(&before);
            model.theta[at] += by;
            model.step(&rows, &plan.all, 40.0, 0.0).loss
        };
        let numeric = (moved(1e-3) - moved(-1e-3)) / 2e-3;
        let found = f64::from(gradient[at]);
        assert!((numeric - found).abs() < 2e-3 + 0.05 * found.abs(), "tail {at}: {found}, not {numeric}");
    }
}

#[test]
fn parts_that_do_not_belong_together_and_settings_out_of_range_are_refused() {
    let world = unread(40, 1);
    let World { data, latents, network, first } = &world;
    let mut watch = |_: Progress| ControlFlow::Continue(());
    let mut told = |latents: &Latents, first: &Fitted, settings: &TuneSettings| {
        tune(data, latents, network, first, settings, &mut watch).unwrap_err().to_string()
    };
    let usual = fast(1);
    let fewer = Latents::quantise(CUT, 1, &[0.5; 5 * VALUES]).unwrap();
    assert!(told(&fewer, first, &usual).contains("pictures with inner values is 5, expected 40"));
    let other = Latents::quantise([3, 3, 4], 1, &[0.5; 40 * VALUES]).unwrap();
    assert!(told(&other, first, &usual).contains("shape of inner values"));
    let mut foreign = first.clone();
    foreign.dense.classes = ["a", "b"].map(|name| Label::new(name).unwrap()).into_iter().collect();
    assert!(told(latents, &foreign, &usual).contains("equal classes is 0, expected 2"));
    for (settings, word) in [
        (TuneSettings { learning_rate: -1.0, ..usual }, "learning rate"),
        (TuneSettings { learning_rate: f64::NAN, ..usual }, "learning rate"),
        (TuneSettings { views: 0, ..usual }, "views"),
        (TuneSettings { epochs: Some(0), ..usual }, "epochs"),
        (TuneSettings { batch: 0, ..usual }, "batch"),
        (TuneSettings { folds: 1, ..usual }, "folds"),
    ] {
        assert!(told(latents, first, &settings).contains(word), "{word}");
    }
    let diverged = told(latents, first, &TuneSettings { learning_rate: 1e30, ..fast(4) });
    assert!(diverged.contains("diverged"), "{diverged}");
    let cancelled = tune(data, latents, network, first, &usual, &mut |progress| {
        if progress.fraction > 0.5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(cancelled.unwrap_err(), TuneError::Fit(FitError::Cancelled));
}
