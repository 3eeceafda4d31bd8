use rand::RngExt as _;

use super::*;
use crate::words::SampleId;

const D: usize = 24;

/// Images of three classes: embeddings about their class's mean, `shift` away from it in a third of the features.
struct World {
    rng: ChaCha8Rng,
    next: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), next: 0 }
    }

    fn image(&mut self, class: usize, shift: f32) -> (Vec<f32>, SampleId) {
        let mut noise = || (0..4).map(|_| self.rng.random::<f32>() - 0.5).sum::<f32>();
        let mean = |j: usize| if j % 3 == class { 3.0 } else { 1.0 };
        let z = (0..D).map(|j| mean(j) + noise() + if j < D / 3 { shift } else { 0.0 }).collect();
        self.next += 1;
        (z, SampleId::of(&self.next.to_le_bytes()))
    }

    fn class(&mut self) -> usize {
        self.rng.random_range(0..3)
    }

    fn reference(&mut self, n: usize) -> (Array2<f32>, Vec<SampleId>, Vec<usize>) {
        let predicted: Vec<usize> = (0..n).map(|_| self.class()).collect();
        let images: Vec<_> = predicted.iter().map(|&class| self.image(class, 0.0)).collect();
        let z = Array2::from_shape_fn((n, D), |(i, j)| images[i].0[j]);
        (z, images.into_iter().map(|(_, group)| group).collect(), predicted)
    }

    fn monitor(&mut self, seed: u64) -> Monitor {
        let (z, groups, predicted) = self.reference(200);
        Monitor::new(&Reference { z: &z, groups: &groups, predicted: &predicted }, seed).unwrap()
    }

    /// Feeds `n` images, of class `only` if there is one; the number of the image at which drift was found.
    fn feed(&mut self, monitor: &mut Monitor, n: usize, only: Option<usize>, shift: f32) -> Option<(usize, Finding)> {
        (1..=n).find_map(|place| {
            let class = only.unwrap_or_else(|| self.class());
            let (z, group) = self.image(class, shift);
            monitor.observe(&z, group, class).map(|finding| (place, finding))
        })
    }
}

#[test]
fn images_like_the_reference_raise_no_alarm_in_any_mix_or_order_of_classes() {
    for seed in 0..12 {
        let mut world = World::new(seed);
        let mut monitor = world.monitor(seed);
        for only in [None, Some(0), Some(2), None, Some(1)] {
            assert_eq!(world.feed(&mut monitor, 100, only, 0.0), None, "seed {seed}, only {only:?}");
        }
    }
}

#[test]
fn a_change_within_the_classes_is_found_within_sixty_images_even_in_a_batch_of_one_class() {
    for (seed, only) in (0..12).zip([None, Some(0), Some(1)].into_iter().cycle()) {
        let mut world = World::new(seed);
        let mut monitor = world.monitor(seed);
        let usual = 10 * seed as usize;
        assert_eq!(world.feed(&mut monitor, usual, None, 0.0), None, "seed {seed}");
        let found = world.feed(&mut monitor, 60, only, 0.5);
        let Some((_, finding)) = found else { panic!("seed {seed}, only {only:?}: not found") };
        assert!(finding.kind == "embedding" && finding.p_value < ALPHA && finding.mmd2 > 0.0, "{finding:?}");
        assert_eq!(finding.recent_from, monitor.recent[0].group);
    }
}

#[test]
fn an_alarm_is_raised_once_and_the_next_after_a_new_reference() {
    let mut world = World::new(1);
    let mut monitor = world.monitor(1);
    assert!(world.feed(&mut monitor, 60, None, 1.0).is_some());
    assert!(monitor.alarmed());
    assert_eq!(world.feed(&mut monitor, 200, None, 1.0), None);
    let (z, groups, predicted) = world.reference(100);
    monitor.reset(&Reference { z: &z, groups: &groups, predicted: &predicted }).unwrap();
    assert!(!monitor.alarmed());
    assert_eq!(world.feed(&mut monitor, 100, None, 0.0), None);
    assert!(world.feed(&mut monitor, 60, None, 1.0).is_some());
}

#[test]
fn a_burst_counts_as_one_image() {
    let mut world = World::new(2);
    let mut monitor = world.monitor(2);
    let (z, group) = world.image(0, 2.0);
    for _ in 0..500 {
        assert_eq!(monitor.observe(&z, group, 0), None);
    }
    assert_eq!(monitor.recent.len(), 1);
}

#[test]
fn the_same_seed_and_images_give_the_same_finding() {
    let found = || {
        let mut world = World::new(3);
        let mut monitor = world.monitor(3);
        world.feed(&mut monitor, 100, None, 0.5)
    };
    assert!(found().is_some());
    assert_eq!(found(), found());
}

#[test]
fn embeddings_that_cannot_be_compared_are_passed_over() {
    let mut world = World::new(4);
    let mut monitor = world.monitor(4);
    monitor.observe(&[1.0; D + 1], SampleId::of(b"wide"), 0);
    monitor.observe(&[f32::NAN; D], SampleId::of(b"not a number"), 0);
    assert!(monitor.recent.is_empty());
    monitor.observe(&[0.0; D], SampleId::of(b"black"), 7);
    assert!(monitor.recent[0].kernel.iter().all(|k| k.is_finite()));
}
