//! The linear layer in service.

use ndarray::{Array1, Array2};
use sha2::{Digest as _, Sha256};

use crate::words::{ClassSet, Digest, EmbeddingSpace, HeadId, Label};

/// `softmax((W z + b) / T)`, z the backbone's embedding as it comes.
///
/// Standardisation of the inputs is folded into `weights` and `bias` when the head is made.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseHead {
    /// The embeddings that it reads.
    pub space: EmbeddingSpace,
    /// Class of each row of `weights`.
    pub classes: ClassSet,
    /// W (k, d).
    pub weights: Array2<f32>,
    /// b (k,).
    pub bias: Array1<f32>,
    /// T, above zero; fitted on held-out logits.
    pub temperature: f32,
}

/// Why a head cannot read an embedding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Another number of values.
    #[error(
        "the head reads embeddings of {expected} values, this one has {found}: \
         use the backbone that the head was trained on, or train a new head"
    )]
    Width {
        /// Values that the head reads.
        expected: usize,
        /// Values that came.
        found: usize,
    },
    /// Another backbone or another preprocessing, possibly of the same width.
    #[error(
        "the head reads embeddings of backbone {} prepared by {}, these are of backbone {} prepared by {}: \
         point the backbone at the manifest that the head was trained with, or train a new head",
        expected.backbone.short(), expected.preprocessing.short(), found.backbone.short(), found.preprocessing.short()
    )]
    Space {
        /// The space that the head reads.
        expected: Box<EmbeddingSpace>,
        /// The space of the embeddings.
        found: Box<EmbeddingSpace>,
    },
}

impl DenseHead {
    /// Whether embeddings of `space` can be read.
    ///
    /// # Errors
    /// [`Unreadable::Space`] naming both spaces when they differ.
    pub fn reads(&self, space: &EmbeddingSpace) -> Result<(), Unreadable> {
        if self.space == *space {
            return Ok(());
        }
        Err(Unreadable::Space { expected: Box::new(self.space), found: Box::new(*space) })
    }

    /// Writes `W z + b`, before temperature, into `out` (k,) for an `embedding` (d,).
    ///
    /// # Errors
    /// [`Unreadable::Width`] when `embedding` is not d long; `out` is then untouched.
    ///
    /// # Panics
    /// When `out` is not k long.
    pub fn logits(&self, embedding: &[f32], out: &mut [f32]) -> Result<(), Unreadable> {
        assert_eq!(out.len(), self.classes.len(), "one place a class");
        let d = self.weights.ncols();
        if embedding.len() != d {
            return Err(Unreadable::Width { expected: d, found: embedding.len() });
        }
        for ((out, row), bias) in out.iter_mut().zip(self.weights.rows()).zip(&self.bias) {
            let dot: f64 = row.iter().zip(embedding).map(|(w, z)| f64::from(*w) * f64::from(*z)).sum();
            *out = (dot + f64::from(*bias)) as f32;
        }
        Ok(())
    }

    /// The probabilities (k,) of an `embedding` (d,); they sum to 1 within 1e-6.
    ///
    /// # Errors
    /// [`Unreadable::Width`] when `embedding` is not d long.
    pub fn probabilities(&self, embedding: &[f32]) -> Result<Vec<f32>, Unreadable> {
        let mut out = vec![0.0; self.classes.len()];
        self.logits(embedding, &mut out)?;
        softmax_in_place(&mut out, self.temperature);
        Ok(out)
    }

    /// Logits (n, k), before temperature, of `embeddings` (n, d); each row as [`DenseHead::logits`] gives it.
    ///
    /// # Errors
    /// [`Unreadable::Width`] when the embeddings are not d wide.
    pub fn logits_of(&self, embeddings: &Array2<f32>) -> Result<Array2<f32>, Unreadable> {
        let mut out = Array2::zeros((embeddings.nrows(), self.classes.len()));
        let mut scores = vec![0.0; self.classes.len()];
        for (embedding, mut row) in embeddings.rows().into_iter().zip(out.rows_mut()) {
            self.logits(&embedding.to_vec(), &mut scores)?;
            row.iter_mut().zip(&scores).for_each(|(place, score)| *place = *score);
        }
        Ok(out)
    }

    /// Probabilities (n, k) of `embeddings` (n, d).
    ///
    /// # Errors
    /// [`Unreadable::Width`] when the embeddings are not d wide.
    pub fn probabilities_of(&self, embeddings: &Array2<f32>) -> Result<Array2<f32>, Unreadable> {
        let mut out = self.logits_of(embeddings)?;
        softmax_rows(&mut out, self.temperature);
        Ok(out)
    }

    /// The `count` likeliest classes of `probabilities` (k,), likeliest first, ties in class order.
    #[must_use]
    pub fn top_k(&self, probabilities: &[f32], count: usize) -> Vec<(Label, f32)> {
        let mut top: Vec<_> = self.classes.labels().iter().zip(probabilities.iter().copied()).collect();
        top.sort_by(|a, b| b.1.total_cmp(&a.1));
        top.into_iter().take(count).map(|(label, p)| (label.clone(), p)).collect()
    }

    /// Identity by content: the start of the SHA-256 of weights, bias, temperature, classes and space.
    #[must_use]
    pub fn id(&self) -> HeadId {
        let mut hash = Sha256::new();
        hash.update(b"edgetuned head 1\0");
        for count in [self.classes.len(), self.weights.ncols(), self.space.dim] {
            hash.update((count as u64).to_le_bytes());
        }
        for value in self.weights.iter().chain(&self.bias).chain([&self.temperature]) {
            hash.update(value.to_le_bytes());
        }
        for label in self.classes.labels() {
            hash.update((label.as_str().len() as u64).to_le_bytes());
            hash.update(label.as_str());
        }
        hash.update(self.space.backbone.0);
        hash.update(self.space.preprocessing.0);
        HeadId(Digest(hash.finalize().into()).short())
    }
}

/// Turns every row of `logits` (n, k) into probabilities: `softmax(row / temperature)`.
pub fn softmax_rows(logits: &mut Array2<f32>, temperature: f32) {
    let mut scores = vec![0.0; logits.ncols()];
    for mut row in logits.rows_mut() {
        scores.iter_mut().zip(&row).for_each(|(score, logit)| *score = *logit);
        softmax_in_place(&mut scores, temperature);
        row.iter_mut().zip(&scores).for_each(|(place, score)| *place = *score);
    }
}

/// Turns `logits` (k,), at least one of them finite, into probabilities: `softmax(logits / temperature)`.
///
/// They are shifted by their maximum first, so logits of ±1e4 do not overflow; -inf becomes 0.
pub fn softmax_in_place(logits: &mut [f32], temperature: f32) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scaled = |logit: f32| (f64::from(logit - top) / f64::from(temperature)).exp();
    let sum: f64 = logits.iter().map(|logit| scaled(*logit)).sum();
    for logit in logits {
        *logit = (scaled(*logit) / sum) as f32;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::array;

    use super::*;

    pub(crate) fn space(dim: usize) -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"backbone"), preprocessing: Digest::of(b"crop"), dim }
    }

    pub(crate) fn head() -> DenseHead {
        let classes = ["gear", "nut", "bolt"].iter().filter_map(|name| Label::new(name).ok()).collect();
        DenseHead {
            space: space(2),
            classes,
            weights: array![[1.0, 0.5], [-1.0, 2.0], [0.0, 1e4]],
            bias: array![0.5, 0.0, -1.0],
            temperature: 2.0,
        }
    }

    #[test]
    fn logits_are_the_linear_layer_and_probabilities_its_softmax_over_temperature() {
        let mut head = head();
        let mut logits = [0.0; 3];
        head.logits(&[2.0, 1.0], &mut logits).unwrap();
        assert!(logits.iter().zip([3.0, 0.0, 9999.0]).all(|(found, expected)| (found - expected).abs() < 1e-6_f32));
        head.weights[[2, 1]] = 4.0;
        let p = head.probabilities(&[2.0, 1.0]).unwrap();
        let z = 1.5_f64.exp() + 1.0 + 1.5_f64.exp();
        assert!((f64::from(p[0]) - 1.5_f64.exp() / z).abs() < 1e-6 && (f64::from(p[1]) - 1.0 / z).abs() < 1e-6);
    }

    #[test]
    fn huge_logits_do_not_overflow_and_batches_agree_with_single_images() {
        let head = head();
        let batch = array![[2.0, 1.0], [-3.0, -1.0], [1e3, 0.0]];
        let p = head.probabilities_of(&batch).unwrap();
        for (row, embedding) in p.rows().into_iter().zip(batch.rows()) {
            assert_eq!(row.to_vec(), head.probabilities(&embedding.to_vec()).unwrap());
            assert!((row.sum() - 1.0).abs() < 1e-6, "{row}");
        }
    }

    #[test]
    fn the_likeliest_classes_come_first_and_no_more_than_asked() {
        let top = head().top_k(&[0.2, 0.7, 0.1], 2);
        assert_eq!(top.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["gear", "bolt"]);
        assert_eq!(head().top_k(&[0.2, 0.7, 0.1], 9).len(), 3);
    }

    #[test]
    fn embeddings_of_another_width_or_space_are_refused_with_both_digests() {
        let head = head();
        assert_eq!(head.probabilities(&[1.0; 3]), Err(Unreadable::Width { expected: 2, found: 3 }));
        let other = EmbeddingSpace { backbone: Digest::of(b"other"), ..head.space };
        let message = head.reads(&other).unwrap_err().to_string();
        assert!(message.contains(&other.backbone.short()) && message.contains(&head.space.backbone.short()));
        assert_eq!(head.reads(&head.space), Ok(()));
    }

    #[test]
    fn the_identity_changes_with_every_part_that_decides() {
        let (head, id) = (head(), head().id());
        assert_eq!(id.0.len(), 12);
        let changed = [
            DenseHead { temperature: 1.0, ..head.clone() },
            DenseHead { bias: array![0.5, 0.0, -2.0], ..head.clone() },
            DenseHead { space: EmbeddingSpace { preprocessing: Digest::of(b"stretch"), ..head.space }, ..head.clone() },
            DenseHead { classes: ["a", "b", "c"].iter().filter_map(|name| Label::new(name).ok()).collect(), ..head },
        ];
        assert!(changed.iter().all(|other| other.id() != id));
    }
}
