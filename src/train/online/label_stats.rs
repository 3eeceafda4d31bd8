//! The LDA statistics of labelled samples, and the class that each sample was counted as.
//!
//! Embeddings are taken at unit length. The list of contributors lets a restart compare a checkpoint with the store
//! and mend the difference; `statistics/bytes.rs` has the checkpoint's form.

mod bytes;

use std::collections::BTreeMap;

use ndarray::Array2;

use super::class_stats::RankOneUpdate;
use crate::head::unit;
use crate::train::ClassStats;
use crate::words::{EmbeddingSpace, Label, SampleId};

pub use bytes::BadLabelStats;

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
