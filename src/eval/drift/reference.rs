//! What recent images are compared with: a bounded, balanced choice of the images that the champion learned from, and
//! the kernel in which they are compared.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array1, Array2, ArrayView1, Axis};

use crate::words::{Digest, SampleId};

/// Images kept: 1.3 MB at 1,280 wide, and their noise is small beside that of a window of recent ones.
const MAX_IMAGES: usize = 256;
/// With fewer independent images than this (five-shot heads) only drift that anyone would see could be found.
const MIN_IMAGES: usize = 32;
/// Classes with fewer images are compared together: a mean of fewer says little about its class.
const MIN_CLASS: usize = 8;
/// Standard deviations below this share of their median are raised to it. Without, features that hardly ever fire
/// in the reference count the most wherever they do, and tests on unchanged images find p < .01 up to seven times too
/// often (the bundled backbone on maize leaves); with it, as often as they should.
const DEVIATION_FLOOR: f32 = 1.0;

/// Images that the champion was trained on.
#[derive(Debug, Clone, Copy)]
pub struct Reference<'a> {
    /// Embeddings (n, d).
    pub z: &'a Array2<f32>,
    /// The burst of each image (n,); one image a burst is used.
    pub groups: &'a [SampleId],
    /// The class predicted for each image (n,) by a head that had not seen it: out of fold. A head's answers for its
    /// own training images are too good: recent images called by a class would include mistakes, these would not.
    pub predicted: &'a [usize],
}

/// Why recent images cannot be compared with a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoReference {
    /// Too few independent images.
    #[error("cannot monitor drift: the reference has {groups} independent images, at least {MIN_IMAGES} are needed")]
    TooFew {
        /// Bursts among them.
        groups: usize,
    },
    /// The arrays do not belong together.
    #[error("cannot monitor drift: the reference has {z} embeddings, {groups} groups and {predicted} predictions")]
    Shape {
        /// Rows of embeddings.
        z: usize,
        /// Groups given.
        groups: usize,
        /// Predictions given.
        predicted: usize,
    },
}

/// The chosen images, standardised, and the kernel `k(x, y) = exp(-|x - y|^2 / (2 h^2))`, h their median distance.
#[derive(Debug, Clone)]
pub(super) struct Space {
    /// (n, d).
    points: Array2<f32>,
    /// Squared length of each point (n,).
    squares: Array1<f32>,
    /// Kernel of the points with one another (n, n).
    pub kernel: Array2<f32>,
    /// The stratum of each point (n,).
    pub strata: Vec<usize>,
    /// The stratum of each predicted class that has its own.
    own: BTreeMap<usize, usize>,
    /// The stratum of all other classes.
    rest: usize,
    mean: Array1<f32>,
    inverse: Array1<f32>,
    /// `1 / (2 h^2)`.
    scale: f32,
}

impl Space {
    /// Chooses images from `reference` by hashes seeded with `seed`, and learns the scales of their features.
    pub fn new(reference: &Reference<'_>, seed: u64) -> Result<Self, NoReference> {
        let (z, groups, predicted) = (reference.z.nrows(), reference.groups.len(), reference.predicted.len());
        if groups != z || predicted != z {
            return Err(NoReference::Shape { z, groups, predicted });
        }
        let chosen = choose(reference, seed);
        if chosen.len() < MIN_IMAGES {
            return Err(NoReference::TooFew { groups: chosen.len() });
        }
        let predicted: Vec<usize> = chosen.iter().map(|&i| reference.predicted[i]).collect();
        let (own, rest) = strata(&predicted);
        let strata = predicted.iter().map(|class| *own.get(class).unwrap_or(&rest)).collect();
        let mut points = reference.z.select(Axis(0), &chosen);
        points.rows_mut().into_iter().for_each(|mut row| row /= length(&row.view()));
        let mean = points.mean_axis(Axis(0)).expect("there are images");
        let deviation = points.std_axis(Axis(0), 0.0);
        let floor = DEVIATION_FLOOR * median(deviation.to_vec());
        let inverse = deviation.mapv(|s| if s.max(floor) > 0.0 { 1.0 / s.max(floor) } else { 0.0 });
        points.rows_mut().into_iter().for_each(|mut row| row.zip_mut_with(&mean, |x, m| *x -= m));
        points *= &inverse;
        let squares: Array1<f32> = points.rows().into_iter().map(|row| row.dot(&row)).collect();
        let mut kernel = points.dot(&points.t());
        for ((i, j), k) in kernel.indexed_iter_mut() {
            *k = (squares[i] + squares[j] - 2.0 * *k).max(0.0);
        }
        let distances = kernel.indexed_iter().filter(|((i, j), _)| i < j).map(|(_, square)| *square).collect();
        let scale = 1.0 / (2.0 * median(distances)).max(f32::MIN_POSITIVE);
        kernel.mapv_inplace(|square| (-scale * square).exp());
        Ok(Self { points, squares, kernel, strata, own, rest, mean, inverse, scale })
    }

    /// Width of the embeddings, d.
    pub fn d(&self) -> usize {
        self.mean.len()
    }

    /// The standardised point (d,) of the embedding `z` (d,).
    pub fn point(&self, z: &ArrayView1<'_, f32>) -> Array1<f32> {
        (z / length(z) - &self.mean) * &self.inverse
    }

    /// The kernel of a point (d,) with those of the reference (n,).
    pub fn with_reference(&self, point: &Array1<f32>) -> Array1<f32> {
        let square = point.dot(point);
        let mut row = self.points.dot(point);
        row.zip_mut_with(&self.squares, |k, own| *k = (-self.scale * (square + own - 2.0 * *k).max(0.0)).exp());
        row
    }

    /// The kernel of two points (d,).
    pub fn between(&self, a: &Array1<f32>, b: &Array1<f32>) -> f32 {
        (-self.scale * a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>()).exp()
    }

    /// The stratum of images that are predicted to be of `class`.
    pub fn stratum(&self, class: usize) -> usize {
        *self.own.get(&class).unwrap_or(&self.rest)
    }
}

/// One image a group, at most 256, as many of each predicted class as of any other while they last; within a class
/// those with the lowest seeded hashes of their groups, whatever the order they come in.
fn choose(reference: &Reference<'_>, seed: u64) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let mut by_class: BTreeMap<usize, Vec<(Digest, usize)>> = BTreeMap::new();
    for (i, group) in reference.groups.iter().enumerate().filter(|(_, group)| seen.insert(**group)) {
        let hash = Digest::of(&[&seed.to_le_bytes(), &group.0.0[..]].concat());
        by_class.entry(reference.predicted[i]).or_default().push((hash, i));
    }
    for members in by_class.values_mut() {
        members.sort_unstable();
    }
    let longest = by_class.values().map(Vec::len).max().unwrap_or(0);
    let rounds = (0..longest).flat_map(|place| by_class.values().filter_map(move |members| members.get(place)));
    rounds.map(|(_, i)| *i).take(MAX_IMAGES).collect()
}

/// A stratum for each class with enough images, and the one for all others: one of their own if they are enough
/// together, else that of the smallest class that is.
fn strata(predicted: &[usize]) -> (BTreeMap<usize, usize>, usize) {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for class in predicted {
        *counts.entry(*class).or_default() += 1;
    }
    let (large, small): (Vec<_>, Vec<_>) = counts.into_iter().partition(|(_, count)| *count >= MIN_CLASS);
    let own: BTreeMap<usize, usize> = large.iter().enumerate().map(|(place, (class, _))| (*class, place)).collect();
    let others: usize = small.iter().map(|(_, count)| count).sum();
    let smallest = large.iter().min_by_key(|(_, count)| *count).map(|(class, _)| own[class]);
    (own, smallest.filter(|_| others < MIN_CLASS).unwrap_or(large.len()))
}

/// The upper median of values that are not empty.
fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Euclidean length; 1 for zero, which has no direction.
fn length(z: &ArrayView1<'_, f32>) -> f32 {
    let length = z.dot(z).sqrt();
    if length > 0.0 { length } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(n: usize, burst: usize) -> Vec<SampleId> {
        (0..n).map(|i| SampleId::of(&(i / burst).to_le_bytes())).collect()
    }

    fn embeddings(n: usize) -> Array2<f32> {
        Array2::from_shape_fn((n, 3), |(i, j)| ((i * (j + 2)) % 17) as f32 + 1.0)
    }

    #[test]
    fn one_image_a_burst_is_chosen_and_classes_are_balanced() {
        let (z, groups) = (embeddings(1200), groups(1200, 2));
        // 20 bursts of class 1, 580 of class 0.
        let predicted: Vec<usize> = (0..1200).map(|i| usize::from(i % 60 < 2)).collect();
        let reference = Reference { z: &z, groups: &groups, predicted: &predicted };
        let chosen = choose(&reference, 1);
        let bursts: BTreeSet<_> = chosen.iter().map(|&i| groups[i]).collect();
        assert_eq!((chosen.len(), bursts.len()), (MAX_IMAGES, MAX_IMAGES));
        assert_eq!(chosen.iter().filter(|&&i| predicted[i] == 1).count(), 20);
        assert_ne!(choose(&reference, 2), chosen);
    }

    #[test]
    fn every_predicted_class_has_something_to_be_compared_with() {
        for counts in [vec![40], vec![30, 7], vec![30, 12, 3], vec![17, 5, 5, 5], vec![4; 10]] {
            let predicted: Vec<usize> =
                counts.iter().enumerate().flat_map(|(class, count)| vec![class; *count]).collect();
            let (z, groups) = (embeddings(predicted.len()), groups(predicted.len(), 1));
            let space = Space::new(&Reference { z: &z, groups: &groups, predicted: &predicted }, 1).unwrap();
            for class in 0..=counts.len() {
                let stratum = space.stratum(class);
                let images = space.strata.iter().filter(|other| **other == stratum).count();
                assert!(images >= MIN_CLASS, "{counts:?}: class {class} is compared with {images} images");
            }
        }
    }

    #[test]
    fn a_reference_that_says_nothing_is_refused_with_its_number_of_images() {
        let (z, predicted) = (embeddings(80), vec![0; 80]);
        let few = Reference { z: &z, groups: &groups(80, 4), predicted: &predicted };
        assert_eq!(Space::new(&few, 1).err(), Some(NoReference::TooFew { groups: 20 }));
        let uneven = Reference { z: &z, groups: &groups(79, 1), predicted: &predicted };
        assert_eq!(Space::new(&uneven, 1).err(), Some(NoReference::Shape { z: 80, groups: 79, predicted: 80 }));
    }

    #[test]
    fn the_kernel_is_one_function_whichever_way_it_is_computed() {
        let z = Array2::from_shape_fn((64, 5), |(i, j)| ((i * 7 + j * 13) % 23) as f32 - 11.5);
        let (groups, predicted) = (groups(64, 1), vec![0; 64]);
        let space = Space::new(&Reference { z: &z, groups: &groups, predicted: &predicted }, 1).unwrap();
        let points: Vec<_> = space.points.rows().into_iter().map(|row| row.to_owned()).collect();
        for (i, point) in points.iter().enumerate() {
            let row = space.with_reference(point);
            for (j, other) in points.iter().enumerate() {
                let k = space.between(point, other);
                assert!((row[j] - k).abs() < 1e-4 && (space.kernel[[i, j]] - k).abs() < 1e-4, "{i} {j}: {k}");
            }
        }
    }
}
