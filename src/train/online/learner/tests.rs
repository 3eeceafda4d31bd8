use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::words::{Digest, EmbeddingSpace};

const D: usize = 128;

fn label(name: &str) -> Label {
    Label::new(name).unwrap()
}

fn id(number: usize) -> SampleId {
    SampleId::of(&number.to_le_bytes())
}

/// A picture of scene `class`, 0 to 3.
fn picture(rng: &mut ChaCha8Rng, class: usize) -> Vec<f32> {
    (0..D).map(|j| rng.random::<f32>() + if j % 4 == class { 1.0 } else { 0.0 }).collect()
}

fn like(rng: &mut ChaCha8Rng, z: &[f32]) -> Vec<f32> {
    z.iter().map(|z| z + 0.05 * (rng.random::<f32>() - 0.5)).collect()
}

/// A champion of "a", "b" and "c" that predict the scene with the largest values.
fn predict(z: &[f32]) -> Vec<f32> {
    let sum = |class: usize| z.iter().skip(class).step_by(4).sum::<f32>();
    let mut p = vec![sum(0), sum(1), sum(2)];
    softmax_in_place(&mut p, 1.0);
    p
}

fn champion() -> ClassSet {
    ["a", "b", "c"].map(label).into_iter().collect()
}

fn learner(seed: u64) -> (OnlineLearner, ChaCha8Rng) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
    let mut statistics = LabelStats::new(space);
    let labels = ["a", "b", "c"].map(label);
    let samples: Vec<_> = (0..90).map(|i| (id(i), i % 3, picture(&mut rng, i % 3))).collect();
    statistics.add_all(samples.iter().map(|(id, class, z)| (*id, &labels[*class], z.as_slice())));
    let mut learner = OnlineLearner::new(statistics);
    learner.refactorise().unwrap();
    (learner, rng)
}

fn answer(overlay: &Overlay, z: &[f32]) -> (ClassSet, Vec<f32>) {
    overlay.blend(&champion(), &predict(z), z).unwrap_or_else(|| (champion(), predict(z)))
}

/// Probabilities over the union of classes for the embedding `z`, of which the champion says `p`.
fn answer_of(overlay: &Overlay, p: &[f32], z: &[f32]) -> Vec<f32> {
    overlay.blend(&champion(), p, z).unwrap().1
}

fn top(answer: &(ClassSet, Vec<f32>)) -> &str {
    let best = (0..answer.1.len()).max_by(|&a, &b| answer.1[a].total_cmp(&answer.1[b])).unwrap();
    answer.0.labels()[best].as_str()
}

#[test]
fn a_correction_shows_on_like_images_and_leaves_all_others_alone() {
    for seed in 0..20 {
        let (mut learner, mut rng) = learner(seed);
        let wrong = picture(&mut rng, 0);
        learner.learn(id(1000), Timestamp(1), Some(&label("b")), &wrong);
        let overlay = learner.overlay(&champion(), &predict);
        let near = like(&mut rng, &wrong);
        assert_eq!(top(&(champion(), predict(&near))), "a", "seed {seed}");
        for z in [&wrong, &near] {
            let after = answer(&overlay, z);
            assert_eq!(top(&after), "b", "seed {seed}");
            assert!((after.1.iter().sum::<f32>() - 1.0).abs() < 1e-6, "seed {seed}");
        }
        for number in 0..60 {
            let z = picture(&mut rng, number % 3);
            let (before, after) = (predict(&z), answer(&overlay, &z));
            let moved = before.iter().zip(&after.1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(moved < 1e-3, "seed {seed}: image {number} moved by {moved}");
            assert_eq!(top(&(champion(), before)), top(&after), "seed {seed}");
        }
    }
}

#[test]
fn a_value_that_hardly_varied_moves_no_answer_by_much() {
    for seed in 0..20 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
        let mut statistics = LabelStats::new(space);
        let mut quiet = |class| {
            let mut z = picture(&mut rng, class);
            z[D - 1] = 3.4e-4 * (rng.random::<f32>() - 0.5);
            z
        };
        // From fewer samples than values, whose covariance is nearly all shrunk, to many.
        let n = [15, 90, 2_000][seed as usize % 3];
        let samples: Vec<_> = (0..n).map(|i| (id(i), i % 3, quiet(i % 3))).collect();
        let labels = ["a", "b", "c"].map(label);
        statistics.add_all(samples.iter().map(|(id, class, z)| (*id, &labels[*class], z.as_slice())));
        let mut learner = OnlineLearner::new(statistics);
        learner.refactorise().unwrap();
        let wrong = quiet(0);
        learner.learn(id(10_000), Timestamp(1), Some(&label("b")), &wrong);
        learner.learn(id(10_001), Timestamp(1), Some(&label("new")), &quiet(3));
        let overlay = learner.overlay(&champion(), &predict);
        for z in [wrong, quiet(1), quiet(3)] {
            let mut awake = z.clone();
            awake[D - 1] = 0.1;
            // The champion's own answer is left out: it is the same before and after.
            let logits =
                |of: &[f32]| answer_of(&overlay, &predict(&z), of).iter().map(|p| p.ln()).collect::<Vec<f32>>();
            let moved = logits(&z).iter().zip(logits(&awake)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(moved < 5.0, "seed {seed}, {n} samples: a logit moved by {moved}");
        }
    }
}

#[test]
fn a_new_class_is_found_after_a_few_labels_and_the_others_keep_theirs() {
    for seed in 0..20 {
        let (mut learner, mut rng) = learner(seed);
        for number in 0..5 {
            learner.learn(id(1000 + number), Timestamp(1), Some(&label("new")), &picture(&mut rng, 3));
        }
        let overlay = learner.overlay(&champion(), &predict);
        assert_eq!(overlay.components.len(), 1, "seed {seed}: one component a class");
        let found = (0..40).filter(|_| top(&answer(&overlay, &picture(&mut rng, 3))) == "new").count();
        let lost = (0..60).filter(|i| top(&answer(&overlay, &picture(&mut rng, i % 3))) == "new").count();
        assert!(found >= 30 && lost == 0, "seed {seed}: {found} of 40 found, {lost} of 60 lost");
    }
}

#[test]
fn a_withdrawn_label_leaves_no_trace_bit_for_bit() {
    for seed in 0..10 {
        let (mut learner, mut rng) = learner(seed);
        let (kept, gone, other) = (picture(&mut rng, 0), picture(&mut rng, 1), picture(&mut rng, 3));
        learner.learn(id(1000), Timestamp(1), Some(&label("b")), &kept);
        learner.learn(id(1002), Timestamp(3), Some(&label("new")), &other);
        let before = learner.overlay(&champion(), &predict);
        learner.learn(id(1001), Timestamp(2), Some(&label("c")), &gone);
        assert_ne!(learner.overlay(&champion(), &predict), before, "seed {seed}");
        learner.learn(id(1001), Timestamp(4), Some(&label("new")), &gone);
        assert_ne!(learner.overlay(&champion(), &predict), before, "seed {seed}");
        learner.learn(id(1001), Timestamp(5), None, &gone);
        assert_eq!(learner.overlay(&champion(), &predict), before, "seed {seed}");
        // A sample that the last verdict saw as "a", called "b", and "a" again.
        let judged = picture(&mut ChaCha8Rng::seed_from_u64(seed), 0);
        learner.learn(id(0), Timestamp(6), Some(&label("b")), &judged);
        learner.learn(id(0), Timestamp(7), Some(&label("a")), &judged);
        assert_eq!(learner.overlay(&champion(), &predict), before, "seed {seed}");
    }
}

#[test]
fn like_corrections_share_a_component_and_agreement_adds_none() {
    let (mut learner, mut rng) = learner(3);
    let wrong = picture(&mut rng, 0);
    learner.learn(id(1000), Timestamp(1), Some(&label("b")), &wrong);
    learner.learn(id(1001), Timestamp(2), Some(&label("b")), &like(&mut rng, &wrong));
    learner.learn(id(1002), Timestamp(3), Some(&label("c")), &picture(&mut rng, 2));
    let overlay = learner.overlay(&champion(), &predict);
    assert_eq!(overlay.components.iter().map(|component| component.n).collect::<Vec<_>>(), [2]);
    learner.learn(id(1003), Timestamp(4), Some(&label("b")), &picture(&mut rng, 0));
    assert_eq!(learner.overlay(&champion(), &predict).components.len(), 2);
}

#[test]
fn a_verdict_ends_what_it_saw_and_the_statistics_take_it_in() {
    let (mut learner, mut rng) = learner(5);
    let (old, young) = (picture(&mut rng, 0), picture(&mut rng, 1));
    learner.learn(id(1000), Timestamp(1), Some(&label("b")), &old);
    learner.learn(id(1001), Timestamp(9), Some(&label("c")), &young);
    learner.learn(id(3), Timestamp(2), None, &old);
    learner.fold_in(Timestamp(9));
    assert_eq!(learner.evidence(), 1);
    assert_eq!(learner.statistics().class_of(&id(1000)), Some(&label("b")));
    assert_eq!(learner.statistics().class_of(&id(3)), None);
    let overlay = learner.overlay(&champion(), &predict);
    assert_eq!((top(&answer(&overlay, &old)), top(&answer(&overlay, &young))), ("a", "c"));
    learner.fold_in(Timestamp(10));
    assert!(learner.overlay(&champion(), &predict).is_empty());
}

#[test]
fn a_forgotten_label_is_not_in_the_statistics_and_has_no_effect() {
    let (mut learner, mut rng) = learner(3);
    let plain = learner.clone();
    let z = [0, 1].map(|class| picture(&mut rng, class));
    learner.learn(id(1000), Timestamp(1), Some(&label("b")), &z[0]);
    learner.fold_in(Timestamp(2));
    learner.learn(id(1001), Timestamp(3), Some(&label("c")), &z[1]);
    learner.forget([(id(1000), &z[0][..]), (id(1001), &z[1][..]), (id(1002), &z[1][..])]);
    assert_eq!((learner.evidence(), learner.statistics().class_of(&id(1000))), (0, None));
    assert_eq!(learner.statistics().sums().counts(), plain.statistics().sums().counts());
    let gap = (learner.statistics().sums().means().to_owned() - plain.statistics().sums().means()).mapv(f64::abs);
    assert!(gap.iter().all(|gap| *gap < 1e-12));
    assert!(learner.overlay(&champion(), &predict).is_empty());
}

#[test]
fn beyond_the_limit_the_oldest_label_is_returned_and_has_no_effect_any_more() {
    let (mut learner, mut rng) = learner(6);
    let first = picture(&mut rng, 0);
    assert_eq!(learner.learn(id(1000), Timestamp(0), Some(&label("b")), &first), None);
    for number in 1..EVIDENCE {
        let z = picture(&mut rng, number % 3);
        assert_eq!(learner.learn(id(1000 + number), Timestamp(1), Some(&label("a")), &z), None);
    }
    assert_eq!(learner.learn(id(5000), Timestamp(2), Some(&label("a")), &first), Some(id(1000)));
    assert_eq!(learner.evidence(), EVIDENCE);
}

#[test]
fn without_scatter_or_for_another_champion_nothing_is_added() {
    let (mut learner, mut rng) = learner(7);
    let z = picture(&mut rng, 0);
    learner.learn(id(1000), Timestamp(1), Some(&label("b")), &z);
    let overlay = learner.overlay(&champion(), &predict);
    let other: ClassSet = ["a", "b"].map(label).into_iter().collect();
    assert!(overlay.blend(&other, &[0.5, 0.5], &z).is_none());
    let mut empty = OnlineLearner::new(LabelStats::new(*learner.statistics().space()));
    assert!(empty.refactorise().is_err() && empty.should_refactorise());
    empty.learn(id(1), Timestamp(1), Some(&label("b")), &z);
    assert!(empty.overlay(&champion(), &predict).is_empty());
}
