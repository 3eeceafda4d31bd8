//! What the gate must never let through, on real fits of data as hard as real data.
//!
//! Gaussian classes of which a head gets three quarters right; everything goes through `compare`, as in service.

use std::ops::ControlFlow;

use ndarray::Array2;
use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::eval::{Comparison, compare};
use crate::head::{BackboneRef, Calibration, HeadRecord};
use crate::train::{Dataset, Fitted, L2, Settings, fit};
use crate::words::{ClassSet, Digest, EmbeddingSpace, Timestamp};

const D: usize = 6;

/// A draw from N(0, 1), near enough: twelve uniform ones added up.
fn normal(rng: &mut impl Rng) -> f32 {
    (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
}

/// `sizes[class]` samples of each class around a centre of its own, `apart` standard deviations from the middle.
fn gaussians(sizes: &[usize], apart: f32, seed: u64) -> (Array2<f32>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let centres = Array2::from_shape_simple_fn((sizes.len(), D), || apart * normal(&mut rng) / (D as f32).sqrt());
    let y: Vec<usize> = sizes.iter().enumerate().flat_map(|(class, &size)| vec![class; size]).collect();
    let x = Array2::from_shape_fn((y.len(), D), |(i, j)| centres[[y[i], j]] + normal(&mut rng));
    (x, y)
}

fn dataset(x: &Array2<f32>, y: &[usize]) -> Dataset {
    let k = y.iter().max().map_or(0, |most| most + 1);
    let classes: ClassSet = (0..k).map(|class| Label::new(&format!("c{class:02}")).unwrap()).collect();
    let ids: Vec<_> = (0..y.len() as u32).map(|i| SampleId::of(&i.to_le_bytes())).collect();
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
    Dataset::new(space, x.clone(), y.to_vec(), classes, ids.clone(), ids).unwrap()
}

fn trained(data: &Dataset) -> Fitted {
    let settings = Settings { l2: L2::Fixed(0.03), ..Settings::default() };
    fit(data, &settings, &mut |_| ControlFlow::Continue(())).unwrap()
}

/// The champion that `fitted` was promoted as, measured on its own data.
fn champion(data: &Dataset, fitted: Fitted) -> HeadRecord {
    let figures = compare(data, &fitted, 1, None, &Rules::default()).challenger;
    let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"m"), dim: D };
    fitted.into_record(1, Timestamp(0), backbone, figures, Calibration::default())
}

fn against(data: &Dataset, fitted: &Fitted, champion: &HeadRecord, seed: u64) -> Comparison {
    compare(data, fitted, 2, Some(champion), &Rules { seed, ..Rules::default() })
}

/// Three classes of 12 to 25 samples: embeddings, true classes, and the same classes dealt out anew.
fn shuffled(seed: u64) -> (Array2<f32>, Vec<usize>, Vec<usize>) {
    let mut rng = ChaCha8Rng::seed_from_u64(1_000 + seed);
    let sizes: Vec<usize> = (0..3).map(|_| rng.random_range(12..25)).collect();
    let (x, truth) = gaussians(&sizes, 2.0, seed);
    let mut dealt = truth.clone();
    dealt.shuffle(&mut rng);
    (x, truth, dealt)
}

#[test]
fn a_challenger_trained_on_shuffled_labels_is_never_promoted() {
    let mut accuracy = 0.0;
    for seed in 0..200 {
        let (x, truth, dealt) = shuffled(seed);
        let data = dataset(&x, &truth);
        let champion = champion(&data, trained(&data));
        let result = against(&data, &trained(&dataset(&x, &dealt)), &champion, seed);
        accuracy += result.champion.unwrap().accuracy / 200.0;
        assert!(!result.verdict.promote, "seed {seed}: {:?}", result.verdict);
    }
    assert!((0.65..0.9).contains(&accuracy), "the data should be of realistic difficulty: {accuracy}");
}

#[test]
fn nor_when_the_labels_that_it_is_measured_by_are_the_shuffled_ones() {
    for seed in 0..200 {
        let (x, truth, dealt) = shuffled(seed);
        let (data, noise) = (dataset(&x, &truth), dataset(&x, &dealt));
        let result = against(&noise, &trained(&noise), &champion(&data, trained(&data)), seed);
        assert!(!result.verdict.promote, "seed {seed}: {:?}", result.verdict);
    }
}

#[test]
fn a_challenger_that_only_lost_a_rare_class_is_never_promoted() {
    let mut judged = 0;
    for seed in 0..120 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (k, rare) = (rng.random_range(3..=12), rng.random_range(4..=12));
        let mut sizes = vec![(150 - rare) / (k - 1); k];
        sizes[rng.random_range(0..k)] = rare;
        let lost = sizes.iter().position(|&size| size == rare).unwrap();
        let (x, y) = gaussians(&sizes, 3.0, seed);
        let data = dataset(&x, &y);
        let fitted = trained(&data);
        let mut challenger = fitted.clone();
        challenger.dense.bias[lost] -= 1e3;
        challenger.heldout.logits.column_mut(lost).mapv_inplace(|logit| logit - 1e3);
        let champion = champion(&data, fitted);
        // A class that the champion itself hardly finds is not there to be lost.
        let found = champion.figures.as_ref().unwrap().per_class[lost].recall * rare as f64;
        if found < 1.5 {
            continue;
        }
        judged += 1;
        let result = against(&data, &challenger, &champion, seed);
        assert!(!result.verdict.promote, "seed {seed}: {k} classes, {found} of {rare} lost: {:?}", result.verdict);
    }
    assert!(judged >= 60, "only {judged} had a rare class to lose");
}

#[test]
fn a_rare_class_is_not_given_up_for_gains_elsewhere() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (k, rare) = (rng.random_range(3..=6), rng.random_range(6..=12));
        let mut sizes = vec![(120 - rare) / (k - 1); k];
        sizes[0] = rare;
        let (x, y) = gaussians(&sizes, 3.0, seed);
        let data = dataset(&x, &y);
        let fitted = trained(&data);
        let mut challenger = fitted.clone();
        // Right on everything but the rare class.
        for (mut row, &class) in challenger.heldout.logits.rows_mut().into_iter().zip(&y) {
            row.fill(0.0);
            row[class.max(1)] = 4.0;
        }
        let champion = champion(&data, fitted);
        let found = champion.figures.as_ref().unwrap().per_class[0].recall * rare as f64;
        if found < 2.5 {
            continue;
        }
        let result = against(&data, &challenger, &champion, seed);
        assert_eq!(
            result.verdict.code,
            VerdictCode::ClassRecallLoss,
            "seed {seed}: {found} of {rare}: {:?}",
            result.verdict
        );
    }
}

#[test]
fn a_challenger_that_learned_from_wrong_labels_hardly_ever_serves() {
    let (mut promoted, mut loss) = (0, 0.0);
    for seed in 0..200 {
        let mut rng = ChaCha8Rng::seed_from_u64(5_000 + seed);
        let (x, truth) = gaussians(&[60, 60, 60, 60], 2.0, seed);
        let data = dataset(&x, &truth);
        // A quarter of the labels goes to another class.
        let wrong: Vec<usize> = truth
            .iter()
            .map(|&y| if rng.random_range(0..4) == 0 { (y + rng.random_range(1..4)) % 4 } else { y })
            .collect();
        let result = against(&data, &trained(&dataset(&x, &wrong)), &champion(&data, trained(&data)), seed);
        loss += result.verdict.change.map_or(0.0, |[change, _]| change) / 200.0;
        promoted += u32::from(result.verdict.promote);
    }
    assert!(loss < -0.01 && promoted <= 2, "{promoted} of 200 promoted, mean change {loss:.3}");
}
