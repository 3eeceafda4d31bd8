//! Groups of near-duplicate images, decided as the images arrive.
//!
//! A camera that looks at one part for a second delivers ten images of it. They share a group, and a group never
//! is on both sides of a split. Two things make a burst: similarity, always, and closeness in time, for sources that
//! are configured to deliver series. The memory is bounded and can be restored from the last images alone.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::head::unit;
use crate::words::{SampleId, Timestamp};

/// Images that are remembered.
const MEMORY: usize = 64;
/// A near-duplicate is closer than this share of the usual distance to the nearest neighbour.
const SHARE: f64 = 0.13;
/// Distances that must be known before the usual one means anything.
const MIN_DISTANCES: usize = 8;

/// Puts each arriving image into the group of its near-duplicate, or into one of its own.
#[derive(Debug, Clone, Default)]
pub struct Grouper {
    recent: VecDeque<Recent>,
    /// By source of series: when its last image was made, and the group that this one went to.
    series: BTreeMap<usize, (Timestamp, SampleId)>,
}

/// Where and when an image was made, for sources that deliver series.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Number of the camera or folder.
    pub source: usize,
    /// When the image was made.
    pub at: Timestamp,
    /// Images of one source that are no further apart than this are one series.
    pub gap: Duration,
}

#[derive(Debug, Clone)]
struct Recent {
    group: SampleId,
    unit: Vec<f32>,
    /// Cosine distance to the nearest image remembered when it arrived, other than its near-duplicates.
    nearest: Option<f64>,
}

impl Grouper {
    /// How many of the latest embeddings it compares, and needs to continue after a restart.
    pub const MEMORY: usize = MEMORY;

    /// A grouper that remembers `recent` images, oldest first, as if they had just arrived with these groups.
    pub fn restore<'a>(recent: impl IntoIterator<Item = (SampleId, &'a [f32])>) -> Self {
        let mut grouper = Self::default();
        for (group, embedding) in recent {
            let unit = unit(embedding);
            let nearest = grouper.nearest(&unit, Some(group)).map(|(distance, _)| distance);
            grouper.remember(Recent { group, unit, nearest });
        }
        grouper
    }

    /// The group of the image `id` with this `embedding` (d,): that of the nearest remembered image when the cosine
    /// distance is below 0.13 x the running median of nearest-neighbour distances, else `id` itself.
    ///
    /// Until eight such distances are known, only (almost) equal embeddings are grouped.
    pub fn assign(&mut self, id: SampleId, embedding: &[f32]) -> SampleId {
        let unit = unit(embedding);
        let threshold = self.threshold();
        let group = match self.nearest(&unit, None) {
            Some((distance, group)) if distance < threshold => group,
            _ => id,
        };
        let nearest = self.nearest(&unit, Some(group)).map(|(distance, _)| distance);
        self.remember(Recent { group, unit, nearest });
        group
    }

    /// The same for an image of a series: within `frame.gap` of the source's last image it shares that one's group,
    /// however different it looks.
    pub fn assign_frame(&mut self, id: SampleId, embedding: &[f32], frame: Frame) -> SampleId {
        let last = self.series.get(&frame.source);
        let near = |at: Timestamp| frame.at.since(at).max(at.since(frame.at)) <= frame.gap;
        let group = match last.filter(|(at, _)| near(*at)).map(|(_, group)| *group) {
            Some(group) => {
                let unit = unit(embedding);
                let nearest = self.nearest(&unit, Some(group)).map(|(distance, _)| distance);
                self.remember(Recent { group, unit, nearest });
                group
            }
            None => self.assign(id, embedding),
        };
        self.series.insert(frame.source, (frame.at, group));
        group
    }

    /// Distance below which two images are near-duplicates.
    fn threshold(&self) -> f64 {
        /// Rounding of embeddings stored as f16 moves them by less than this.
        const EQUAL: f64 = 1e-6;
        let mut distances: Vec<f64> = self.recent.iter().filter_map(|recent| recent.nearest).collect();
        if distances.len() < MIN_DISTANCES {
            return EQUAL;
        }
        distances.sort_by(f64::total_cmp);
        (SHARE * distances[distances.len() / 2]).max(EQUAL)
    }

    /// Distance and group of the nearest remembered image of the same width that is not of group `except`.
    fn nearest(&self, unit: &[f32], except: Option<SampleId>) -> Option<(f64, SampleId)> {
        let candidates = self.recent.iter().filter(|recent| recent.unit.len() == unit.len());
        candidates
            .filter(|recent| Some(recent.group) != except)
            .map(|recent| (distance(&recent.unit, unit), recent.group))
            .min_by(|a, b| a.0.total_cmp(&b.0))
    }

    fn remember(&mut self, recent: Recent) {
        if self.recent.len() == MEMORY {
            self.recent.pop_front();
        }
        self.recent.push_back(recent);
    }
}

/// `1 - cos` of two unit vectors, as half the squared distance: exact where they almost agree.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// `bursts` scenes of `frames` near-duplicates each: (id, embedding, scene).
    fn stream(seed: u64, bursts: usize, frames: usize) -> Vec<(SampleId, Vec<f32>, usize)> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut noise = move |scale: f32| scale * (rng.random::<f32>() - 0.5);
        let mut images = Vec::new();
        for burst in 0..bursts {
            let scene: Vec<f32> = (0..32).map(|_| 1.0 + noise(2.0)).collect();
            for frame in 0..frames {
                let embedding = scene.iter().map(|z| z + noise(0.02)).collect();
                images.push((SampleId::of(format!("{burst} {frame}").as_bytes()), embedding, burst));
            }
        }
        images
    }

    #[test]
    fn frames_of_a_burst_share_the_group_of_its_first_image_and_scenes_do_not() {
        for seed in 0..20 {
            let mut grouper = Grouper::default();
            let single = stream(seed, 10, 1);
            for (id, embedding, _) in &single {
                assert_eq!(grouper.assign(*id, embedding), *id, "seed {seed}");
            }
            for burst in stream(seed + 100, 12, 5).chunks(5) {
                for (id, embedding, _) in burst {
                    assert_eq!(grouper.assign(*id, embedding), burst[0].0, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_series_is_one_group_however_its_images_look_until_there_is_a_gap() {
        let mut grouper = Grouper::default();
        let images = stream(3, 6, 1);
        let frame = |source, ms| Frame { source, at: Timestamp(ms), gap: Duration::from_secs(2) };
        let mut group =
            |image: usize, source, ms| grouper.assign_frame(images[image].0, &images[image].1, frame(source, ms));
        assert_eq!(group(0, 0, 0), images[0].0);
        assert_eq!(group(1, 0, 1500), images[0].0);
        assert_eq!(group(2, 1, 1600), images[2].0, "another source");
        assert_eq!(group(3, 0, 3400), images[0].0, "the gap is to the last one, not to the first");
        assert_eq!(group(4, 0, 9000), images[4].0);
        assert_eq!(group(5, 0, 7500), images[4].0, "a clock set back is still near");
    }

    #[test]
    fn memory_stays_bounded_and_a_restored_grouper_goes_on_alike() {
        let images = stream(5, 100, 2);
        let mut grouper = Grouper::default();
        let groups: Vec<_> = images.iter().map(|(id, embedding, _)| grouper.assign(*id, embedding)).collect();
        assert_eq!(grouper.recent.len(), MEMORY);
        let from = images.len() - MEMORY;
        let mut restored = Grouper::restore((from..images.len()).map(|i| (groups[i], images[i].1.as_slice())));
        let (id, embedding) = (SampleId::of(b"new"), &images[images.len() - 1].1);
        assert_eq!(restored.assign(id, embedding), groups[groups.len() - 1]);
        let (other, far) = (SampleId::of(b"far"), &stream(77, 1, 1)[0].1);
        assert_eq!(restored.assign(other, far), other);
    }

    #[test]
    fn zeros_and_another_width_are_no_ones_neighbours() {
        let mut grouper = Grouper::default();
        let (a, b) = (SampleId::of(b"a"), SampleId::of(b"b"));
        assert_eq!(grouper.assign(a, &[1.0, 0.0]), a);
        assert_eq!(grouper.assign(b, &[0.0, 0.0, 0.0]), b);
    }
}
