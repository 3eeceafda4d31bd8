//! The discriminant statistics of labelled samples, and what each sample contributed as.
//!
//! Embeddings are taken at unit length. The list of contributors lets a restart compare a checkpoint with the store
//! and mend the difference; `statistics/bytes.rs` has the checkpoint's form.

mod bytes;

use std::collections::BTreeMap;

use ndarray::Array2;

use super::Lda;
use super::lda::Change;
use crate::words::{EmbeddingSpace, Label, SampleId};

pub use bytes::BadStatistics;

/// [`Lda`] over named classes, with the class of every sample in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    space: EmbeddingSpace,
    /// By class number, in the order of their first sample.
    classes: Vec<Label>,
    lda: Lda,
    contributors: BTreeMap<SampleId, usize>,
}

impl Statistics {
    /// Of no samples yet.
    #[must_use]
    pub fn new(space: EmbeddingSpace) -> Self {
        Self { space, classes: Vec::new(), lda: Lda::new(space.dim), contributors: BTreeMap::new() }
    }

    /// Whose embeddings these are.
    #[must_use]
    pub fn space(&self) -> &EmbeddingSpace {
        &self.space
    }

    /// The sums.
    #[must_use]
    pub fn lda(&self) -> &Lda {
        &self.lda
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

    /// As [`Statistics::set`]; `changed` sees the sums after each change of them.
    pub(super) fn set_traced(
        &mut self,
        id: SampleId,
        label: Option<&Label>,
        z: &[f32],
        mut changed: impl FnMut(&Lda, &Change),
    ) {
        if self.class_of(&id) == label {
            return;
        }
        let z = unit(z);
        if let Some(class) = self.contributors.remove(&id) {
            let change = self.lda.remove_traced(class, &z);
            changed(&self.lda, &change);
        }
        if let Some(label) = label {
            let class = self.number(label);
            let change = self.lda.add_traced(class, &z);
            changed(&self.lda, &change);
            self.contributors.insert(id, class);
        }
    }

    /// Adds many samples by matrix products; those that already contribute are passed over.
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
        self.lda.add_all(x.view(), &y);
    }

    /// Takes off those of `samples` that contribute, by matrix products; each with the embedding (d,) it was added with.
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
        let mut part = Lda::new(self.space.dim);
        part.add_all(x.view(), &y);
        self.lda.unmerge(&part);
    }

    fn number(&mut self, label: &Label) -> usize {
        self.classes.iter().position(|known| known == label).unwrap_or_else(|| {
            self.classes.push(label.clone());
            self.classes.len() - 1
        })
    }
}

/// `z / |z|`; zeros stay zeros.
pub(super) fn unit(z: &[f32]) -> Vec<f32> {
    let norm = z.iter().map(|z| f64::from(*z) * f64::from(*z)).sum::<f64>().sqrt();
    let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
    z.iter().map(|z| (f64::from(*z) * scale) as f32).collect()
}
