//! The statistics that a device shares.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use super::Projection;
use crate::head::BackboneRef;
use crate::train::{ClassStats, LabelStats};
use crate::words::{ClassSet, EmbeddingSpace, Label, Region, TaskId};

/// What embeddings are of: only statistics of one source can be added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Which question was answered.
    pub task: TaskId,
    /// The backbone as reports name it.
    pub backbone: BackboneRef,
    /// The embeddings.
    pub space: EmbeddingSpace,
    /// The part of the picture.
    pub region: Region,
    /// How embeddings were made shorter; `None` where they are as the backbone gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<Projection>,
}

impl Source {
    /// Values of an embedding in the statistics.
    #[must_use]
    pub fn width(&self) -> usize {
        self.projection.map_or(self.space.dim, |projection| projection.values)
    }
}

/// Counts, means and pooled scatter of labelled embeddings as the backbone gives them.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// Of what.
    pub source: Source,
    /// Class of each count and mean.
    pub classes: ClassSet,
    /// The sums (k, d), f64.
    pub sums: ClassStats,
}

/// Why a device shares nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "no class has the {min} labelled images that are shared at least{}; label more, or lower fleet.min_class_count",
    most.as_ref().map_or_else(String::new, |(label, count)| format!(" (of {label:?} there are {count})"))
)]
pub struct NothingShared {
    /// The bound.
    pub min: u64,
    /// The largest class.
    pub most: Option<(Label, u64)>,
}

impl Statistics {
    /// Those of labelled embeddings `x` (n, d), of classes `labels` (n,), and of `past` samples, whose embeddings are gone.
    ///
    /// Classes with fewer than `min` images are left out. Sums of few images are nearly those images, so where a past sample
    /// is of such a class, nothing of the past is shared: its scatter cannot be taken apart.
    ///
    /// Statistics of the past are of embeddings at unit length; each class gets the mean length of its images that are there, and
    /// the scatter the mean of those lengths.
    ///
    /// # Errors
    /// [`NothingShared`] when no class has so many.
    ///
    /// # Panics
    /// When the lengths of `x` and `labels` differ, or a width is not that of `source`'s space.
    #[allow(clippy::needless_pass_by_value, reason = "a view is made to be passed on")]
    pub fn gather(
        source: Source,
        x: ArrayView2<'_, f32>,
        labels: &[Label],
        past: Option<&LabelStats>,
        min: u64,
    ) -> Result<Self, NothingShared> {
        assert_eq!(x.dim(), (labels.len(), source.space.dim), "a label a row, a value a column");
        let of_past = |past: &LabelStats| -> Vec<(Label, u64)> {
            let counts = past.classes().iter().cloned().zip(past.sums().counts().iter().copied());
            counts.filter(|(_, count)| *count > 0).collect()
        };
        let old: Vec<(Label, u64)> = past.map(of_past).unwrap_or_default();
        let mut counts: BTreeMap<&Label, u64> = BTreeMap::new();
        for label in labels {
            *counts.entry(label).or_default() += 1;
        }
        let with_past = |label: &Label| {
            let old = old.iter().find(|(known, _)| known == label).map_or(0, |(_, count)| *count);
            counts.get(label).copied().unwrap_or(0) + old
        };
        // The past counts only where all of it may be told.
        let past = past.filter(|_| !old.is_empty() && old.iter().all(|(label, _)| with_past(label) >= min));
        let count_of =
            |label: &Label| if past.is_some() { with_past(label) } else { counts.get(label).copied().unwrap_or(0) };
        let all: ClassSet = labels.iter().chain(old.iter().map(|(label, _)| label)).cloned().collect();
        let classes: ClassSet = all.labels().iter().filter(|label| count_of(label) >= min.max(1)).cloned().collect();
        if classes.is_empty() {
            let most =
                all.labels().iter().map(|label| (label.clone(), count_of(label))).max_by_key(|(_, count)| *count);
            return Err(NothingShared { min, most });
        }
        let rows: Vec<usize> = (0..labels.len()).filter(|&row| classes.index_of(&labels[row]).is_some()).collect();
        let y: Vec<usize> = rows.iter().filter_map(|&row| classes.index_of(&labels[row])).collect();
        let mut sums = ClassStats::new(source.space.dim);
        sums.add_all(x.select(Axis(0), &rows).view(), &y);
        if let Some(past) = past {
            let lengths = lengths(&x, &rows, &y, classes.len());
            sums.merge(&lengthened(past, &classes, &lengths));
        }
        let mut statistics = Self { source, classes, sums };
        if let Some(projection) = statistics.source.projection {
            statistics.sums = projection.of_sums(&statistics.sums);
        }
        Ok(statistics)
    }

    /// Images of each class, in the order of the classes.
    pub fn counts(&self) -> impl Iterator<Item = (&Label, u64)> {
        self.classes.labels().iter().zip(self.sums.counts().iter().copied())
    }
}

/// Mean length of the embeddings of each class (k,); of a class without any, of all.
fn lengths(x: &ArrayView2<'_, f32>, rows: &[usize], y: &[usize], k: usize) -> Vec<f64> {
    let (mut sums, mut counts) = (vec![0.0; k], vec![0.0_f64; k]);
    for (&row, &class) in rows.iter().zip(y) {
        sums[class] += x.row(row).iter().map(|z| f64::from(*z).powi(2)).sum::<f64>().sqrt();
        counts[class] += 1.0;
    }
    let all = sums.iter().sum::<f64>() / counts.iter().sum::<f64>().max(1.0);
    let all = if all > 0.0 { all } else { 1.0 };
    sums.iter().zip(counts).map(|(sum, count)| if count > 0.0 { sum / count } else { all }).collect()
}

/// The sums of `past`, numbered as `classes`, as if its embeddings had these lengths.
fn lengthened(past: &LabelStats, classes: &ClassSet, lengths: &[f64]) -> ClassStats {
    let d = past.space().dim;
    let (mut counts, mut means) = (vec![0; classes.len()], Array2::zeros((classes.len(), d)));
    let (mut weighted, mut total) = (0.0, 0.0);
    for ((label, &count), mean) in past.classes().iter().zip(past.sums().counts()).zip(past.sums().means().rows()) {
        let Some(class) = classes.index_of(label).filter(|_| count > 0) else { continue };
        counts[class] = count;
        means.row_mut(class).assign(&(&mean * lengths[class]));
        weighted += lengths[class] * count as f64;
        total += count as f64;
    }
    let length = weighted / f64::max(total, 1.0);
    let scatter = past.sums().scatter().iter().map(|value| value * length * length).collect();
    ClassStats::from_parts(counts, means, scatter)
}

#[cfg(test)]
pub(super) mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::words::{Digest, SampleId};

    pub fn source(dim: usize) -> Source {
        Source {
            task: TaskId::default(),
            backbone: BackboneRef { name: "tiny".into(), sha256: Digest::of(b"model"), dim },
            space: EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim },
            region: Region::WHOLE,
            projection: None,
        }
    }

    pub fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    /// `n` images of each of `names`, around means of their own.
    pub fn samples(seed: u64, names: &[&str], n: usize, dim: usize) -> (Array2<f32>, Vec<Label>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let labels: Vec<Label> = (0..n * names.len()).map(|i| label(names[i % names.len()])).collect();
        let x = Array2::from_shape_fn((labels.len(), dim), |(i, j)| {
            let known = ["bolt", "gear", "nut", "washer", "pin"];
            let centre = known.iter().position(|name| *name == labels[i].as_str()).unwrap_or(known.len()) % dim;
            rng.random::<f32>() + if j == centre { 4.0 } else { 0.0 }
        });
        (x, labels)
    }

    pub fn shared(seed: u64, names: &[&str], n: usize, dim: usize) -> Statistics {
        let (x, labels) = samples(seed, names, n, dim);
        Statistics::gather(source(dim), x.view(), &labels, None, 1).unwrap()
    }

    /// The largest difference of two sums, in parts of the largest value.
    pub fn apart(a: &ClassStats, b: &ClassStats) -> f64 {
        assert_eq!(a.counts(), b.counts());
        let values = |sums: &ClassStats| sums.means().iter().chain(sums.scatter()).copied().collect::<Vec<f64>>();
        let (a, b) = (values(a), values(b));
        let size = b.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        a.iter().zip(&b).fold(0.0_f64, |most, (a, b)| most.max((a - b).abs())) / size
    }

    #[test]
    fn classes_with_too_few_images_leave_no_trace() {
        let (x, mut labels) = samples(1, &["gear", "nut"], 30, 4);
        labels[0] = label("secret");
        let shared = Statistics::gather(source(4), x.view(), &labels, None, 20).unwrap();
        assert_eq!(
            shared.counts().map(|(label, n)| (label.as_str(), n)).collect::<Vec<_>>(),
            [("gear", 29), ("nut", 30)]
        );
        let without = Statistics::gather(source(4), x.slice(ndarray::s![1.., ..]), &labels[1..], None, 20).unwrap();
        assert_eq!(shared, without);
        let refused = Statistics::gather(source(4), x.view(), &labels, None, 31).unwrap_err();
        assert_eq!(refused, NothingShared { min: 31, most: Some((label("nut"), 30)) });
        assert!(refused.to_string().contains("fleet.min_class_count"), "{refused}");
    }

    fn past(x: &Array2<f32>, labels: &[Label]) -> LabelStats {
        let mut past = LabelStats::new(source(x.ncols()).space);
        for (row, (z, label)) in x.rows().into_iter().zip(labels).enumerate() {
            past.set(SampleId::of(&row.to_le_bytes()), Some(label), &z.to_vec());
        }
        past
    }

    #[test]
    fn evicted_images_count_as_long_as_those_that_are_there() {
        let (x, labels) = samples(2, &["gear", "nut"], 40, 4);
        // Of one length, so that nothing is lost with it.
        let x = Array2::from_shape_fn(x.dim(), |(i, j)| 3.0 * crate::head::unit(&x.row(i).to_vec())[j]);
        let (old, now) = x.view().split_at(Axis(0), 30);
        let past = past(&old.to_owned(), &labels[..30]);
        let whole = Statistics::gather(source(4), x.view(), &labels, None, 20).unwrap();
        let shared = Statistics::gather(source(4), now, &labels[30..], Some(&past), 20).unwrap();
        assert!(apart(&shared.sums, &whole.sums) < 1e-6, "{}", apart(&shared.sums, &whole.sums));
    }

    #[test]
    fn a_past_with_a_class_of_few_images_is_held_back_whole() {
        let (x, mut labels) = samples(3, &["gear", "nut"], 40, 4);
        labels[0] = label("secret");
        let (old, now) = x.view().split_at(Axis(0), 30);
        let past = past(&old.to_owned(), &labels[..30]);
        let shared = Statistics::gather(source(4), now, &labels[30..], Some(&past), 20).unwrap();
        let without = Statistics::gather(source(4), now, &labels[30..], None, 20).unwrap();
        assert_eq!(shared, without);
    }
}
