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
        Ok(Self { space, seed, recent: VecDeque::new(), untested: 0, alarmed: false, rng })
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
mod tests;
