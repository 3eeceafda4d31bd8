//! The LDA statistics of labelled samples, and the class that each sample was counted as.
//!
//! Embeddings are taken at unit length. The list of contributors lets a restart compare a checkpoint with the store
//! and mend the difference.
//!
//! A checkpoint is a name, a format number, the content and its SHA-256.
//!
//! Content, little-endian: backbone and preprocessing digests, d, the classes with their counts, the means, the half of
//! S on and below its diagonal, the contributors in order. 6.6 MB at d = 1280 and 36 bytes a sample. Reading trusts
//! nothing: whatever is wrong is an error, never a panic, and no length is believed before its bytes are there.

use std::collections::BTreeMap;

use ndarray::Array2;

use super::class_stats::RankOneUpdate;
use crate::head::unit;
use crate::train::ClassStats;
use crate::words::{Digest, EmbeddingSpace, Label, SampleId};

/// [`ClassStats`] over named classes, with the class of every sample in it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelStats {
    space: EmbeddingSpace,
    /// By class number, in the order of their first sample.
    classes: Vec<Label>,
    sums: ClassStats,
    contributors: BTreeMap<SampleId, usize>,
}

impl LabelStats {
    /// Without samples.
    #[must_use]
    pub fn new(space: EmbeddingSpace) -> Self {
        Self { space, classes: Vec::new(), sums: ClassStats::new(space.dim), contributors: BTreeMap::new() }
    }

    /// Whose embeddings these are.
    #[must_use]
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// Counts, means and scatter.
    #[must_use]
    pub fn sums(&self) -> &ClassStats {
        &self.sums
    }

    /// Names of the sums' classes; one whose samples all went away keeps its place.
    #[must_use]
    pub fn classes(&self) -> &[Label] {
        &self.classes
    }

    /// What `id` contributed as.
    #[must_use]
    pub fn class_of(&self, id: &SampleId) -> Option<&Label> {
        self.contributors.get(id).map(|class| &self.classes[*class])
    }

    /// All contributors with what they contributed as, in order.
    pub fn contributors(&self) -> impl Iterator<Item = (&SampleId, &Label)> {
        self.contributors.iter().map(|(id, class)| (id, &self.classes[*class]))
    }

    /// Makes `id` count as `label`, or not at all; its embedding `z` (d,) is the one it was added with, if it was.
    ///
    /// # Panics
    /// When `z` is not d long.
    pub fn set(&mut self, id: SampleId, label: Option<&Label>, z: &[f32]) {
        self.set_traced(id, label, z, |_, _| ());
    }

    /// As [`LabelStats::set`]; `changed` sees the sums after each change of them.
    pub(crate) fn set_traced(
        &mut self,
        id: SampleId,
        label: Option<&Label>,
        z: &[f32],
        mut changed: impl FnMut(&ClassStats, &RankOneUpdate),
    ) {
        if self.class_of(&id) == label {
            return;
        }
        let z = unit(z);
        if let Some(class) = self.contributors.remove(&id) {
            let change = self.sums.remove_traced(class, &z);
            changed(&self.sums, &change);
        }
        if let Some(label) = label {
            let class = self.number(label);
            let change = self.sums.add_traced(class, &z);
            changed(&self.sums, &change);
            self.contributors.insert(id, class);
        }
    }

    /// Adds many samples by matrix products; those that already contribute are skipped.
    ///
    /// # Panics
    /// When an embedding is not d long.
    pub fn add_all<'a>(&mut self, samples: impl IntoIterator<Item = (SampleId, &'a Label, &'a [f32])>) {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for (id, label, z) in samples {
            if self.contributors.contains_key(&id) {
                continue;
            }
            assert_eq!(z.len(), self.space.dim, "one value a column");
            let class = self.number(label);
            self.contributors.insert(id, class);
            x.extend(unit(z));
            y.push(class);
        }
        let x = Array2::from_shape_vec((y.len(), self.space.dim), x).expect("whole rows were appended");
        self.sums.add_all(x.view(), &y);
    }

    /// Removes those of `samples` that contribute, by matrix products; each with the embedding (d,) it was added with.
    ///
    /// # Panics
    /// When an embedding is not d long.
    pub fn remove_all<'a>(&mut self, samples: impl IntoIterator<Item = (SampleId, &'a [f32])>) {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for (id, z) in samples {
            assert_eq!(z.len(), self.space.dim, "one value a column");
            if let Some(class) = self.contributors.remove(&id) {
                x.extend(unit(z));
                y.push(class);
            }
        }
        let x = Array2::from_shape_vec((y.len(), self.space.dim), x).expect("whole rows were appended");
        let mut part = ClassStats::new(self.space.dim);
        part.add_all(x.view(), &y);
        self.sums.subtract(&part);
    }

    fn number(&mut self, label: &Label) -> usize {
        self.classes.iter().position(|known| known == label).unwrap_or_else(|| {
            self.classes.push(label.clone());
            self.classes.len() - 1
        })
    }
}

const NAME: &[u8; 16] = b"edgetuned lda\0\0\0";
const FORMAT: u32 = 1;

/// Why bytes are not statistics; the remedy is always to compute them again from the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLabelStats {
    /// Another file.
    #[error("these are not discriminant statistics; they are computed again from the store")]
    Name,
    /// Written by a newer program.
    #[error("the statistics have format {found}, this program reads format {FORMAT}; they are computed again")]
    Format {
        /// Its format.
        found: u32,
    },
    /// Cut short or changed.
    #[error("the statistics' checksum does not match their content; they are computed again from the store")]
    Checksum,
    /// Intact, and contradictory.
    #[error("the statistics' {part} contradicts the rest; they are computed again from the store")]
    Part {
        /// Which part.
        part: &'static str,
    },
}

impl LabelStats {
    /// As bytes; [`LabelStats::from_bytes`] gives the same back. The same statistics always give the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let (sums, d) = (&self.sums, self.space.dim);
        let mut out =
            Vec::with_capacity(8 * (sums.scatter().len() + sums.means().len()) + 36 * self.contributors.len());
        out.extend(NAME);
        out.extend(FORMAT.to_le_bytes());
        out.extend(self.space.backbone.0);
        out.extend(self.space.preprocessing.0);
        out.extend((d as u32).to_le_bytes());
        out.extend((self.classes.len() as u32).to_le_bytes());
        for (class, label) in self.classes.iter().enumerate() {
            out.push(label.as_str().len() as u8);
            out.extend(label.as_str().bytes());
            out.extend(sums.counts().get(class).copied().unwrap_or(0).to_le_bytes());
        }
        sums.means().iter().for_each(|value| out.extend(value.to_le_bytes()));
        sums.scatter().iter().for_each(|value| out.extend(value.to_le_bytes()));
        for (id, class) in &self.contributors {
            out.extend(id.0.0);
            out.extend((*class as u32).to_le_bytes());
        }
        out.extend(Digest::of(&out).0);
        out
    }

    /// The statistics in `bytes`.
    ///
    /// # Errors
    /// [`BadLabelStats`] when the bytes are not such, damaged, of a newer format or contradict themselves.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadLabelStats> {
        let (content, checksum) = bytes.split_last_chunk::<32>().ok_or(BadLabelStats::Name)?;
        let mut rest = content.strip_prefix(NAME).ok_or(BadLabelStats::Name)?;
        let format = u32::from_le_bytes(take(&mut rest, "format")?);
        if format != FORMAT {
            return Err(BadLabelStats::Format { found: format });
        }
        if Digest::of(content).0 != *checksum {
            return Err(BadLabelStats::Checksum);
        }
        let (backbone, preprocessing) = (Digest(take(&mut rest, "space")?), Digest(take(&mut rest, "space")?));
        let dim = u32::from_le_bytes(take(&mut rest, "width")?) as usize;
        let (classes, counts) = take_classes(&mut rest)?;
        let means = take_floats(&mut rest, classes.len().checked_mul(dim), "means")?;
        let means = Array2::from_shape_vec((classes.len(), dim), means);
        let means = means.map_err(|_| BadLabelStats::Part { part: "means" })?;
        let half = dim.checked_add(1).and_then(|next| next.checked_mul(dim)).map(|twice| twice / 2);
        let scatter = take_floats(&mut rest, half, "scatter")?;
        let mut out = Self {
            space: EmbeddingSpace { backbone, preprocessing, dim },
            classes,
            sums: ClassStats::from_parts(counts, means, scatter),
            contributors: BTreeMap::new(),
        };
        out.take_contributors(rest)?;
        Ok(out)
    }

    fn take_contributors(&mut self, mut rest: &[u8]) -> Result<(), BadLabelStats> {
        let bad = BadLabelStats::Part { part: "list of contributors" };
        let mut counts = vec![0; self.classes.len()];
        while !rest.is_empty() {
            let id = SampleId(Digest(take(&mut rest, "list of contributors")?));
            let class = u32::from_le_bytes(take(&mut rest, "list of contributors")?) as usize;
            *counts.get_mut(class).ok_or(bad.clone())? += 1;
            if self.contributors.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(bad);
            }
            self.contributors.insert(id, class);
        }
        if counts == self.sums.counts() { Ok(()) } else { Err(bad) }
    }
}

fn take<const N: usize>(rest: &mut &[u8], part: &'static str) -> Result<[u8; N], BadLabelStats> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(BadLabelStats::Part { part })?;
    *rest = tail;
    Ok(*head)
}

fn take_classes(rest: &mut &[u8]) -> Result<(Vec<Label>, Vec<u64>), BadLabelStats> {
    let bad = || BadLabelStats::Part { part: "list of classes" };
    let (mut classes, mut counts) = (Vec::new(), Vec::new());
    for _ in 0..u32::from_le_bytes(take(rest, "list of classes")?) {
        let [length] = take(rest, "list of classes")?;
        let (name, tail) = rest.split_at_checked(usize::from(length)).ok_or_else(bad)?;
        *rest = tail;
        let name = std::str::from_utf8(name).map_err(|_| bad())?;
        let label = Label::new(name).map_err(|_| bad())?;
        if label.as_str() != name || classes.contains(&label) {
            return Err(bad());
        }
        classes.push(label);
        counts.push(u64::from_le_bytes(take(rest, "list of classes")?));
    }
    Ok((classes, counts))
}

fn take_floats(rest: &mut &[u8], count: Option<usize>, part: &'static str) -> Result<Vec<f64>, BadLabelStats> {
    let bad = BadLabelStats::Part { part };
    let bytes = count.and_then(|count| count.checked_mul(8)).ok_or(bad.clone())?;
    let (values, tail) = rest.split_at_checked(bytes).ok_or(bad.clone())?;
    *rest = tail;
    let values = values.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]));
    let values: Vec<f64> = values.collect();
    if values.iter().all(|value| value.is_finite()) { Ok(values) } else { Err(bad) }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn statistics(seed: u64, n: usize) -> LabelStats {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 5 };
        let mut out = LabelStats::new(space);
        for i in 0..n {
            let label = Label::new(["gear", "nut", "bolt é"][rng.random_range(0..3)]).unwrap();
            let z: Vec<f32> = (0..5).map(|_| rng.random()).collect();
            out.set(SampleId::of(&i.to_le_bytes()), Some(&label), &z);
        }
        out
    }

    #[test]
    fn statistics_survive_their_bytes() {
        for (seed, n) in [0, 1, 2, 30].into_iter().enumerate() {
            let statistics = statistics(seed as u64, n);
            let bytes = statistics.to_bytes();
            assert_eq!(LabelStats::from_bytes(&bytes), Ok(statistics.clone()), "{n} samples");
            assert_eq!(statistics.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_class_without_samples_survives_too() {
        let mut statistics = statistics(1, 1);
        let id = *statistics.contributors.keys().next().unwrap();
        statistics.sums.remove(0, &[0.0; 5]);
        statistics.contributors.remove(&id);
        assert_eq!(LabelStats::from_bytes(&statistics.to_bytes()), Ok(statistics));
    }

    #[test]
    fn any_changed_or_missing_byte_is_an_error() {
        let bytes = statistics(7, 4).to_bytes();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(LabelStats::from_bytes(&changed).is_err(), "byte {at} changed");
            assert!(LabelStats::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn false_content_under_a_right_checksum_is_an_error_and_no_panic() {
        let good = statistics(7, 6).to_bytes();
        let content = &good[..good.len() - 32];
        for seed in 0..5_000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut bytes = content.to_vec();
            for _ in 0..rng.random_range(1..4) {
                // Mostly lengths and names, which come first.
                let end = if rng.random() { 150 } else { bytes.len() };
                let at = rng.random_range(20..end);
                bytes[at] = rng.random();
            }
            bytes.truncate(rng.random_range(20..=bytes.len()));
            bytes.extend(Digest::of(&bytes).0);
            if let Ok(read) = LabelStats::from_bytes(&bytes) {
                assert_eq!(read.to_bytes(), bytes, "seed {seed}: read as something else");
            }
        }
        let with = |at: usize, value: &[u8]| {
            let mut bytes = content.to_vec();
            bytes[at..at + value.len()].copy_from_slice(value);
            bytes.extend(Digest::of(&bytes).0);
            LabelStats::from_bytes(&bytes)
        };
        assert_eq!(with(16, &[2]), Err(BadLabelStats::Format { found: 2 }));
        assert!(with(84, &[255; 4]).is_err() && with(88, &[255; 4]).is_err());
        assert_eq!(with(content.len() - 4, &[9]), Err(BadLabelStats::Part { part: "list of contributors" }));
    }
}
