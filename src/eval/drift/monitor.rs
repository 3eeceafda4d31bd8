//! Detects drift of embeddings: tests the latest images every few images, and raises an alarm.
//!
//! What raises it: images that look different from reference images *of the same predicted class*. Lighting, lens,
//! background, a new product that is predicted as an old one. What does not: another mix of classes, one class arriving
//! in a batch included; and near-duplicates, of which one a burst counts. A camera that delivers the same picture for
//! ever is therefore not noticed here.

use std::collections::VecDeque;

use ndarray::{Array1, Array2, ArrayView1, s};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::mmd::{self, Outcome, Samples};
use super::reference::{NoReference, Reference, Space};
use crate::words::SampleId;

/// Recent images that are tested: the most of which nearly all are new within 60 images of a change.
const WINDOW: usize = 48;
/// Images between two tests.
const CADENCE: usize = 4;
/// A test that finds less than this is an alarm. Over a thousand images there are 240 tests with overlapping windows;
/// one strict test finds a change about four images earlier than two laxer ones in a row, at as few false alarms.
const ALPHA: f64 = 0.0001;
/// Permutations a test; none may be as far from zero. Without drift the first few end the test.
const PERMUTATIONS: usize = 19_999;

/// Compares the latest images with a reference; the latest ones are not kept over a restart, and the first test is
/// made when there are 48 of them.
#[derive(Debug, Clone)]
pub struct Monitor {
    space: Space,
    seed: u64,
    /// Oldest first.
    recent: VecDeque<Recent>,
    /// Images since the last test.
    untested: usize,
    alarmed: bool,
    /// What the last test found, if there was one.
    p_value: Option<f64>,
    rng: ChaCha8Rng,
}

#[derive(Debug, Clone)]
struct Recent {
    group: SampleId,
    stratum: usize,
    point: Array1<f32>,
    /// The kernel with the reference (n,).
    kernel: Array1<f32>,
}

/// Recent images do not look like the reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding {
    /// What has drifted: `embedding`.
    pub kind: &'static str,
    /// `(b + 1) / (m + 1)` of the permutation test.
    pub p_value: f64,
    /// How far the means are apart in the kernel's space, squared; about 0 without drift.
    pub mmd2: f64,
    /// Group of the oldest of the recent images that were tested.
    pub recent_from: SampleId,
}

impl Monitor {
    /// A monitor that compares with `reference`; the same seed and images in the same order give the same findings.
    ///
    /// # Errors
    /// [`NoReference`] when there are fewer than 32 independent images, or arrays of different lengths.
    pub fn new(reference: &Reference<'_>, seed: u64) -> Result<Self, NoReference> {
        let space = Space::new(reference, seed)?;
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(Self { space, seed, recent: VecDeque::new(), untested: 0, alarmed: false, p_value: None, rng })
    }

    /// Starts again with another reference: after a promotion, or when a person has seen to an alarm.
    ///
    /// # Errors
    /// [`NoReference`] as for [`Monitor::new`]; everything then stays as it was.
    pub fn reset(&mut self, reference: &Reference<'_>) -> Result<(), NoReference> {
        *self = Self::new(reference, self.seed)?;
        Ok(())
    }

    /// Whether there was an alarm; nothing is tested until [`Monitor::reset`].
    pub fn alarmed(&self) -> bool {
        self.alarmed
    }

    /// How near the last test came to an alarm, 0..=1, by the order of magnitude of its p-value, which is rough where the
    /// test ended early; `None` before the first.
    pub fn nearness(&self) -> Option<f64> {
        self.p_value.map(|p_value| (p_value.ln() / ALPHA.ln()).clamp(0.0, 1.0))
    }

    /// Takes in one image, its embedding `z` (d,), its burst and the class predicted for it; reports drift once.
    ///
    /// An image of a burst that is in the window already, or whose embedding has another width or a value that is not
    /// finite, is passed over.
    pub fn observe(&mut self, z: &[f32], group: SampleId, predicted: usize) -> Option<Finding> {
        let known = self.recent.iter().any(|recent| recent.group == group);
        if self.alarmed || known || z.len() != self.space.d() || !z.iter().all(|v| v.is_finite()) {
            return None;
        }
        let point = self.space.point(&ArrayView1::from(z));
        let kernel = self.space.with_reference(&point);
        self.recent.push_back(Recent { group, stratum: self.space.stratum(predicted), point, kernel });
        self.recent.drain(..self.recent.len().saturating_sub(WINDOW));
        self.untested += 1;
        if self.recent.len() < WINDOW || self.untested < CADENCE {
            return None;
        }
        self.untested = 0;
        let Outcome { p_value, mmd2 } = self.test();
        self.alarmed = p_value < ALPHA;
        self.p_value = Some(p_value);
        self.alarmed.then(|| Finding { kind: "embedding", p_value, mmd2, recent_from: self.recent[0].group })
    }

    fn test(&mut self) -> Outcome {
        let (n, all) = (self.space.strata.len(), self.space.strata.len() + self.recent.len());
        let mut kernel = Array2::ones((all, all));
        kernel.slice_mut(s![..n, ..n]).assign(&self.space.kernel);
        for (i, recent) in (n..).zip(&self.recent) {
            kernel.slice_mut(s![i, ..n]).assign(&recent.kernel);
            kernel.slice_mut(s![..n, i]).assign(&recent.kernel);
            for (j, other) in (n..i).zip(&self.recent) {
                let k = self.space.between(&recent.point, &other.point);
                kernel[[i, j]] = k;
                kernel[[j, i]] = k;
            }
        }
        let class: Vec<usize> =
            self.space.strata.iter().copied().chain(self.recent.iter().map(|recent| recent.stratum)).collect();
        let recent: Vec<usize> = (n..all).collect();
        let samples = Samples { kernel: &kernel, class: &class, recent: &recent };
        mmd::test(&samples, PERMUTATIONS, ALPHA, &mut self.rng)
    }
}

#[cfg(test)]
mod tests {
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
        fn feed(
            &mut self,
            monitor: &mut Monitor,
            n: usize,
            only: Option<usize>,
            shift: f32,
        ) -> Option<(usize, Finding)> {
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
}
