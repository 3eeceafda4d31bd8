use ndarray::Array1;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::words::{ClassSet, Digest, EmbeddingSpace, Label};

const D: usize = 6;

/// `n` samples of three classes that stand apart, each its own group, with their true classes.
fn samples(n: usize, seed: u64) -> (Array2<f32>, Vec<usize>, Vec<SampleId>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let x = Array2::from_shape_fn((n, D), |(i, j)| 3.0 * f32::from(u8::from(j == i % 3)) + rng.random::<f32>());
    (x, (0..n).map(|i| i % 3).collect(), (0..n as u32).map(|i| SampleId::of(&i.to_le_bytes())).collect())
}

fn classes() -> ClassSet {
    ["gear", "nut", "washer"].iter().map(|name| Label::new(name).unwrap()).collect()
}

fn dataset(x: Array2<f32>, y: &[usize], groups: Vec<SampleId>, ids: Vec<SampleId>) -> Dataset {
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
    Dataset::new(space, x, y.to_vec(), classes(), groups, ids).unwrap()
}

/// A head whose folds called each sample by `said` with logit 3 against 0.
fn folds_said(ids: &[SampleId], said: &[usize]) -> (DenseHead, HeldOut) {
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
    let (weights, bias) = (Array2::zeros((3, D)), Array1::zeros(3));
    let logits = Array2::from_shape_fn((ids.len(), 3), |(i, j)| 3.0 * f32::from(u8::from(j == said[i])));
    (
        DenseHead { space, classes: classes(), hidden: None, weights, bias, temperature: 1.0 },
        HeldOut { ids: ids.to_vec(), logits },
    )
}

#[test]
fn swapped_labels_come_first_flagged_with_the_right_suggestion_and_neighbours_of_it() {
    for seed in 0..20 {
        let (x, truth, ids) = samples(60, seed);
        let mut y = truth.clone();
        for i in [4, 17, 33, 50] {
            y[i] = (y[i] + 1 + i % 2) % 3;
        }
        let (dense, heldout) = folds_said(&ids, &truth);
        let list = label_errors(&dataset(x, &y, ids.clone(), ids), &dense, &heldout);
        assert_eq!(list.len(), 60);
        let first: BTreeSet<usize> = list[..4].iter().map(|suspect| suspect.sample).collect();
        assert_eq!(first, BTreeSet::from([4, 17, 33, 50]), "seed {seed}");
        for suspect in &list[..4] {
            assert!(suspect.flagged && suspect.suggested == truth[suspect.sample], "seed {seed}: {suspect:?}");
            assert!(suspect.score < 0.1 && suspect.probability > 0.5, "seed {seed}: {suspect:?}");
            assert_eq!(suspect.neighbours.len(), 3);
            assert!(suspect.neighbours.is_sorted_by_key(|neighbour| neighbour.distance));
            assert!(suspect.neighbours.iter().all(|n| n.distance < 0.2 && n.sample != suspect.sample), "seed {seed}");
        }
        assert!(list[4..].iter().all(|suspect| !suspect.flagged), "seed {seed}");
    }
}

#[test]
fn neighbours_outvote_a_fold_that_errs() {
    let (x, truth, ids) = samples(60, 1);
    let mut said = truth.clone();
    said[10] = (truth[10] + 1) % 3;
    let mut y = truth.clone();
    y[20] = (truth[20] + 1) % 3;
    let (dense, heldout) = folds_said(&ids, &said);
    let list = label_errors(&dataset(x, &y, ids.clone(), ids), &dense, &heldout);
    assert_eq!((list[0].sample, list[1].sample), (20, 10));
}

#[test]
fn the_images_of_ones_own_burst_are_no_witnesses() {
    let (mut x, truth, ids) = samples(60, 2);
    let mut groups = ids.clone();
    let mut y = truth.clone();
    // Five frames of one scene, all wrongly labelled.
    for i in [0, 3, 6, 9, 12] {
        x.row_mut(i).assign(&ndarray::arr1(&[3.5, 0.5, 0.5, 0.5, 0.5, 0.5]));
        (groups[i], y[i]) = (ids[0], 1);
    }
    let (dense, heldout) = folds_said(&ids, &truth);
    let list = label_errors(&dataset(x, &y, groups, ids), &dense, &heldout);
    assert!(list[..5].iter().all(|suspect| suspect.flagged && suspect.sample <= 12 && suspect.suggested == 0));
    assert!(list[0].neighbours.iter().all(|neighbour| !matches!(neighbour.sample, 0 | 3 | 6 | 9 | 12)));
}

#[test]
fn a_class_that_no_fold_or_neighbour_could_know_is_not_doubted() {
    let (x, _, ids) = samples(20, 3);
    let mut y: Vec<usize> = (0..20).map(|i| usize::from(i % 3 == 1)).collect();
    y[0] = 2;
    let (dense, mut heldout) = folds_said(&ids, &y);
    heldout.logits[[0, 2]] = f32::NEG_INFINITY;
    heldout.logits.row_mut(5).fill(f32::NEG_INFINITY);
    let list = label_errors(&dataset(x, &y, ids.clone(), ids), &dense, &heldout);
    let single = list.iter().find(|suspect| suspect.sample == 0).unwrap();
    assert!(!single.flagged && single.score >= 1.0, "{single:?}");
    assert!(list.iter().all(|suspect| suspect.score.is_finite() && suspect.probability.is_finite()));
}

#[test]
fn labels_given_after_the_training_are_judged_by_their_neighbours_alone() {
    let (x, truth, ids) = samples(60, 4);
    let mut y = truth.clone();
    y[59] = (truth[59] + 1) % 3;
    let (dense, mut heldout) = folds_said(&ids, &truth);
    heldout.ids.truncate(50);
    heldout.logits = heldout.logits.slice_move(ndarray::s![..50, ..]);
    let list = label_errors(&dataset(x, &y, ids.clone(), ids), &dense, &heldout);
    assert!(list[0].sample == 59 && list[0].flagged, "{:?}", list[0]);
}
