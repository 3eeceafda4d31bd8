//! Fits the detector of unknown images, and computes its scores of known images that it had not seen.
//!
//! Every held-out score leaves the sample's whole group out of means, centre and references, so the threshold is set by
//! images as new to the detector as those that it will meet. `head::novelty` defines the score.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2, ArrayView1, Axis};

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

/// The unit-length embedding (d,) of a sample.
fn direction(data: &Dataset, sample: usize) -> Vec<f32> {
    unit(&data.x().row(sample).to_vec())
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
        let mut sums = Self { by_class: Array2::zeros((k, data.x().ncols())), counts: vec![0; k] };
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
mod tests;
