//! Fits the detector of unknown images, and computes its scores of known images that it had not seen.
//!
//! Every held-out score leaves the sample's whole group out of means, centre and references, so the threshold is set by
//! images as new to the detector as those that it will meet. `head::novelty` defines the score.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView1, Axis, s};

use crate::head::{Novelty, NoveltyParts, Ranked, combine, dot, unit};
use crate::train::Dataset;
use crate::words::{Digest, SampleId};

/// References that are kept, or four a class where that is more.
const REFERENCES: usize = 128;
/// References that are kept at most.
const MOST_REFERENCES: usize = 512;
/// Samples that are held out at most; enough for any percentile up to 99.9.
const HELD_OUT: usize = 1000;

/// The detector for the classes of `data`; `None` with fewer than [`Novelty::NEEDED`] samples that can be held out,
/// which are those whose class has another group.
#[must_use]
pub fn novelty(data: &Dataset, seed: u64) -> Option<Novelty> {
    let sums = Sums::compute(data);
    let order = Order::by_hash(data, seed);
    let chosen = order.references(data, (4 * data.classes().len()).clamp(REFERENCES, MOST_REFERENCES));
    let references: Vec<(usize, Vec<f32>)> =
        chosen.into_iter().map(|sample| (sample, direction(data, sample))).collect();
    let parts: Vec<[f64; 2]> =
        order.held_out().iter().flat_map(|group| held_out(data, &sums, &references, group)).collect();
    if parts.len() < Novelty::NEEDED {
        return None;
    }
    let (location, scale) = (mean(&parts), deviation(&parts));
    let scores = parts.iter().map(|parts| combine(*parts, location, scale) as f32).collect();
    let (means, centre) = sums.means();
    let references = codes(&references, &centre)?;
    Novelty::new(NoveltyParts { means, centre, references, location, scale, heldout: Ranked::new(scores)? }).ok()
}

/// The unit-length embedding (d,) of a sample, without inner values.
fn direction(data: &Dataset, sample: usize) -> Vec<f32> {
    unit(&data.x().slice(s![sample, ..data.parts()[0]]).to_vec())
}

/// Sums of unit-length embeddings.
#[derive(Clone)]
struct Sums {
    /// By class (k, d).
    by_class: Array2<f64>,
    /// (k,)
    counts: Vec<usize>,
}

impl Sums {
    fn compute(data: &Dataset) -> Self {
        let k = data.classes().len();
        let mut sums = Self { by_class: Array2::zeros((k, data.parts()[0])), counts: vec![0; k] };
        for (sample, &class) in data.y().iter().enumerate() {
            sums.by_class
                .row_mut(class)
                .iter_mut()
                .zip(direction(data, sample))
                .for_each(|(sum, v)| *sum += f64::from(v));
            sums.counts[class] += 1;
        }
        sums
    }

    /// Means of the classes that have a sample, and of all.
    fn means(&self) -> (Array2<f32>, Array1<f32>) {
        let n: usize = self.counts.iter().sum();
        let centre = self.by_class.sum_axis(Axis(0)).mapv(|sum| (sum / n as f64) as f32);
        let present: Vec<usize> = (0..self.counts.len()).filter(|&class| self.counts[class] > 0).collect();
        let mut means = Array2::zeros((present.len(), self.by_class.ncols()));
        for (mut row, &class) in means.rows_mut().into_iter().zip(&present) {
            row.assign(&self.by_class.row(class).mapv(|sum| (sum / self.counts[class] as f64) as f32));
        }
        (means, centre)
    }
}

/// The samples of each group, groups in the order of their hashes.
struct Order(Vec<(SampleId, Vec<usize>)>);

impl Order {
    fn by_hash(data: &Dataset, seed: u64) -> Self {
        let mut groups: BTreeMap<SampleId, Vec<usize>> = BTreeMap::new();
        for (sample, group) in data.groups().iter().enumerate() {
            groups.entry(*group).or_default().push(sample);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        for (_, samples) in &mut groups {
            samples.sort_by_key(|&sample| data.ids()[sample]);
        }
        groups.sort_by_cached_key(|(group, _)| Digest::of(&[&seed.to_le_bytes(), &group.0.0[..]].concat()));
        Self(groups)
    }

    /// At most `most` samples, as many of each class as there are; a second sample of a group only after the first
    /// ones of all groups of its class.
    fn references(&self, data: &Dataset, most: usize) -> Vec<usize> {
        let mut by_class: BTreeMap<usize, Vec<(usize, usize, usize)>> = BTreeMap::new();
        for (place, (_, samples)) in self.0.iter().enumerate() {
            let mut within = BTreeMap::new();
            for &sample in samples {
                let turn: &mut usize = within.entry(data.y()[sample]).or_default();
                by_class.entry(data.y()[sample]).or_default().push((*turn, place, sample));
                *turn += 1;
            }
        }
        let mut turns: Vec<(usize, usize, usize)> = Vec::new();
        for (class, mut samples) in by_class {
            samples.sort_unstable();
            turns.extend(samples.into_iter().enumerate().map(|(turn, (_, _, sample))| (turn, class, sample)));
        }
        turns.sort_unstable();
        turns.into_iter().map(|(_, _, sample)| sample).take(most).collect()
    }

    /// Whole groups with no more than [`HELD_OUT`] samples together; one group at least.
    fn held_out(&self) -> Vec<&[usize]> {
        let mut samples = 0;
        let fits = |group: &&[usize]| {
            samples += group.len();
            samples <= HELD_OUT || samples == group.len()
        };
        self.0.iter().map(|(_, samples)| samples.as_slice()).take_while(fits).collect()
    }
}

/// Both parts of the samples of `group` whose class has other samples, by a detector that has not seen the group.
fn held_out(data: &Dataset, sums: &Sums, references: &[(usize, Vec<f32>)], group: &[usize]) -> Vec<[f64; 2]> {
    let units: Vec<(usize, Vec<f32>)> =
        group.iter().map(|&sample| (data.y()[sample], direction(data, sample))).collect();
    let mut rest = sums.clone();
    for (class, unit) in &units {
        rest.by_class.row_mut(*class).iter_mut().zip(unit).for_each(|(sum, v)| *sum -= f64::from(*v));
        rest.counts[*class] -= 1;
    }
    let known: Vec<Vec<f32>> = units.into_iter().filter(|(class, _)| rest.counts[*class] > 0).map(|(_, u)| u).collect();
    if known.is_empty() {
        return vec![];
    }
    let (means, centre) = rest.means();
    let centred = |v: &[f32]| unit(&v.iter().zip(&centre).map(|(v, c)| v - c).collect::<Vec<_>>());
    let queries: Vec<Vec<f32>> = known.iter().map(|v| centred(v)).collect();
    let mut cosines = vec![f32::NEG_INFINITY; known.len()];
    for (_, other) in references.iter().filter(|(sample, _)| !group.contains(sample)) {
        let other = centred(other);
        for (best, query) in cosines.iter_mut().zip(&queries) {
            *best = best.max(dot(&other, query, |v| v));
        }
    }
    let nearest = |v: &[f32]| {
        let squared = |mean: ArrayView1<'_, f32>| -> f64 {
            mean.iter().zip(v).map(|(m, v)| (f64::from(*v) - f64::from(*m)).powi(2)).sum()
        };
        means.rows().into_iter().map(squared).fold(f64::INFINITY, f64::min).sqrt()
    };
    let both = known.iter().zip(cosines).map(|(v, cosine)| [nearest(v), f64::from(-cosine)]);
    // Without any other reference there is no nearest one.
    both.filter(|[_, away]| away.is_finite()).collect()
}

/// Directions of `references` from the centre, in whole numbers up to 127; those at the centre itself have none.
fn codes(references: &[(usize, Vec<f32>)], centre: &Array1<f32>) -> Option<Array2<i8>> {
    let mut rows = Vec::new();
    for (_, reference) in references {
        let difference = Array1::from_vec(reference.clone()) - centre;
        let largest = difference.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
        if largest > 0.0 {
            rows.extend(difference.iter().map(|v| (127.0 * v / largest).round() as i8));
        }
    }
    Array2::from_shape_vec((rows.len() / centre.len(), centre.len()), rows).ok()
}

fn mean(parts: &[[f64; 2]]) -> [f32; 2] {
    [0, 1].map(|part| (parts.iter().map(|parts| parts[part]).sum::<f64>() / parts.len() as f64) as f32)
}

fn deviation(parts: &[[f64; 2]]) -> [f32; 2] {
    /// Where all samples are alike, a difference this small is one.
    const LEAST: f32 = 1e-4;
    let mean = mean(parts);
    [0, 1].map(|part| {
        let squares = parts.iter().map(|parts| (parts[part] - f64::from(mean[part])).powi(2)).sum::<f64>();
        ((squares / parts.len() as f64).sqrt() as f32).max(LEAST)
    })
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::words::{EmbeddingSpace, Label};

    const D: usize = 40;

    /// Classes around one direction each; non-negative embeddings of any length.
    struct World {
        rng: ChaCha8Rng,
        directions: Array2<f32>,
    }

    impl World {
        fn new(seed: u64, k: usize) -> Self {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let directions = Array2::from_shape_simple_fn((k, D), || f32::from(u8::from(rng.random::<f32>() < 0.3)));
            Self { rng, directions }
        }

        fn image(&mut self, class: usize) -> Vec<f32> {
            let length = 1.0 + self.rng.random::<f32>();
            (0..D).map(|i| length * (0.5 * self.directions[[class, i]] + self.rng.random::<f32>())).collect()
        }

        fn dataset(&mut self, n: usize, k: usize, burst: usize) -> Dataset {
            let y: Vec<usize> = (0..n).map(|i| i / burst % k).collect();
            let mut x = Array2::zeros((n, D));
            for (i, &class) in y.iter().enumerate() {
                let row = if i % burst == 0 { self.image(class) } else { x.row(i - 1).mapv(|v| v * 1.001).to_vec() };
                x.row_mut(i).assign(&Array1::from_vec(row));
            }
            let id = |i: usize| SampleId::of(&i.to_le_bytes());
            let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: D };
            let classes = (0..k).map(|class| Label::new(&format!("class {class:02}")).unwrap()).collect();
            let groups = (0..n).map(|i| id(i - i % burst)).collect();
            Dataset::new(space, x, y, classes, groups, (0..n).map(id).collect()).unwrap()
        }
    }

    #[test]
    fn known_images_are_called_unknown_one_time_in_a_hundred_and_a_new_class_is_told_from_them() {
        let (mut alarms, mut known, mut seeds) = (0, 0, 0.0);
        let mut areas = 0.0;
        for seed in 0..12 {
            let mut world = World::new(seed, 5);
            let novelty = novelty(&world.dataset(400, 4, 1), seed).unwrap();
            let threshold = novelty.threshold(99.0).unwrap();
            let old: Vec<f64> = (0..300).map(|i| novelty.score(&world.image(i % 4))).collect();
            let new: Vec<f64> = (0..100).map(|_| novelty.score(&world.image(4))).collect();
            alarms += old.iter().filter(|score| **score > threshold).count();
            known += old.len();
            let above = |new: &f64| old.iter().filter(|old| *old < new).count() as f64 / old.len() as f64;
            areas += new.iter().map(above).sum::<f64>() / new.len() as f64;
            seeds += 1.0;
        }
        let share = alarms as f64 / known as f64;
        // A threshold at a rank of 400 varies by half a point from seed to seed, .15 over twelve.
        assert!((0.004..0.016).contains(&share), "{share}");
        assert!(areas / seeds > 0.9, "{}", areas / seeds);
    }

    #[test]
    fn inner_values_have_no_part_in_it() {
        let mut world = World::new(6, 3);
        let data = world.dataset(90, 3, 1);
        let inner = Array2::from_shape_simple_fn((90, 5), || 1e3 * world.rng.random::<f32>());
        let whole = ndarray::concatenate![Axis(1), *data.x(), inner];
        let (space, classes) = (EmbeddingSpace { dim: D + 5, ..data.space() }, data.classes().clone());
        let (y, groups, ids) = (data.y().to_vec(), data.groups().to_vec(), data.ids().to_vec());
        let wide = Dataset::new(space, whole, y, classes, groups, ids).unwrap().in_parts(&[D, 3, 2]);
        let (plain, found) = (novelty(&data, 3).unwrap(), novelty(&wide, 3).unwrap());
        assert_eq!(found, plain);
        let image = world.image(1);
        let longer = [&image[..], &[-1e3; 5]].concat();
        assert!((found.score(&longer) - plain.score(&image)).abs() < 1e-12);
    }

    #[test]
    fn near_duplicates_do_not_make_known_images_look_more_familiar_than_they_are() {
        let mut world = World::new(1, 2);
        let data = world.dataset(240, 2, 8);
        let novelty = novelty(&data, 0).unwrap();
        let fresh: f64 = (0..200).map(|i| novelty.score(&world.image(i % 2))).sum::<f64>() / 200.0;
        let seen: f64 = data.x().rows().into_iter().map(|row| novelty.score(&row.to_vec())).sum::<f64>() / 240.0;
        let heldout = novelty.parts().heldout.values();
        let mean = f64::from(heldout.iter().sum::<f32>()) / heldout.len() as f64;
        assert!(mean.abs() < 1e-3 && fresh.abs() < 1.0 && seen < -2.0, "held out {mean}, fresh {fresh}, seen {seen}");
    }

    #[test]
    fn held_out_scores_are_those_of_a_detector_that_never_saw_the_group() {
        let mut world = World::new(2, 3);
        let data = world.dataset(60, 3, 2);
        let sums = Sums::compute(&data);
        let order = Order::by_hash(&data, 0);
        let references: Vec<_> = order.references(&data, 128).into_iter().map(|i| (i, direction(&data, i))).collect();
        let group = [10, 11];
        let found = held_out(&data, &sums, &references, &group);
        let keep: Vec<usize> = (0..60).filter(|i| !group.contains(i)).collect();
        let pick = |ids: &[SampleId]| keep.iter().map(|&i| ids[i]).collect::<Vec<_>>();
        let y = keep.iter().map(|&i| data.y()[i]).collect();
        let rest = Dataset::new(
            data.space(),
            data.x().select(Axis(0), &keep),
            y,
            data.classes().clone(),
            pick(data.groups()),
            pick(data.ids()),
        )
        .unwrap();
        let (means, centre) = Sums::compute(&rest).means();
        for (part, &sample) in found.iter().zip(&group) {
            let u = Array1::from_vec(direction(&data, sample));
            let length = |v: &Array1<f32>| v.mapv(|v| v * v).sum().sqrt();
            let distance = means.rows().into_iter().map(|m| length(&(&u - &m))).fold(f32::INFINITY, f32::min);
            let own = &u - &centre;
            let cosine = (0..rest.n()).map(|i| {
                let other = Array1::from_vec(direction(&rest, i)) - &centre;
                own.dot(&other) / length(&own) / length(&other)
            });
            let cosine = cosine.fold(f32::NEG_INFINITY, f32::max);
            assert!((part[0] as f32 - distance).abs() < 1e-5 && (part[1] as f32 + cosine).abs() < 1e-5, "{part:?}");
        }
    }

    #[test]
    fn references_are_spread_over_classes_and_groups() {
        let mut world = World::new(3, 3);
        let data = world.dataset(300, 3, 4);
        let order = Order::by_hash(&data, 0);
        let references = order.references(&data, 60);
        for class in 0..3 {
            assert_eq!(references.iter().filter(|&&sample| data.y()[sample] == class).count(), 20);
        }
        let groups: std::collections::BTreeSet<_> = references.iter().map(|&sample| data.groups()[sample]).collect();
        assert_eq!(groups.len(), 60);
        assert_eq!(order.references(&data, 1000).len(), 300);
    }

    #[test]
    fn too_little_held_out_makes_no_detector() {
        let mut world = World::new(4, 2);
        assert!(novelty(&world.dataset(Novelty::NEEDED, 2, 1), 0).is_some());
        assert!(novelty(&world.dataset(Novelty::NEEDED - 2, 2, 1), 0).is_none());
        // Two bursts: neither class has a second group.
        assert!(novelty(&world.dataset(80, 2, 40), 0).is_none());
    }

    #[test]
    fn the_order_of_samples_changes_nothing_and_a_large_set_is_bounded() {
        let mut world = World::new(5, 2);
        let data = world.dataset(3000, 2, 2);
        let order: Vec<usize> = (0..3000).rev().collect();
        let pick = |ids: &[SampleId]| order.iter().map(|&i| ids[i]).collect::<Vec<_>>();
        let reversed = Dataset::new(
            data.space(),
            data.x().select(Axis(0), &order),
            order.iter().map(|&i| data.y()[i]).collect(),
            data.classes().clone(),
            pick(data.groups()),
            pick(data.ids()),
        )
        .unwrap();
        let (a, b) = (novelty(&data, 7).unwrap(), novelty(&reversed, 7).unwrap());
        assert_eq!((a.parts().references.nrows(), a.parts().heldout.n()), (128, 1000));
        let image = world.image(1);
        assert!((a.score(&image) - b.score(&image)).abs() < 1e-3);
        assert_eq!(a, novelty(&data, 7).unwrap());
    }
}
