//! The layers of a head.

use ndarray::{Array1, Array2, Axis};
use sha2::{Digest as _, Sha256};

use super::Hidden;
use super::hidden::affine;
use crate::words::{ClassSet, Digest, EmbeddingSpace, HeadId};

/// Rows handled at once, so that a large batch needs no large copy.
const BLOCK: usize = 64;

/// `softmax((W h + b) / T)`, h the backbone's embedding z as it comes, or `relu(A z + c)` with a hidden layer.
///
/// Standardisation of the inputs is folded into `weights` and `bias` when the head is made.
#[derive(Debug, Clone, PartialEq)]
pub struct DenseHead {
    /// The embeddings that it reads.
    pub space: EmbeddingSpace,
    /// Class of each row of `weights`.
    pub classes: ClassSet,
    /// The layer before; `None` for a linear head.
    pub hidden: Option<Hidden>,
    /// W (k, d), or (k, m) behind a hidden layer of m units.
    pub weights: Array2<f32>,
    /// b (k,).
    pub bias: Array1<f32>,
    /// T, above zero; fitted on held-out logits.
    pub temperature: f32,
}

/// Why a head cannot read an embedding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceMismatch {
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
    /// A linear head, its temperature 1: `weights` (k, d), `bias` (k,).
    #[must_use]
    pub fn linear(space: EmbeddingSpace, classes: ClassSet, weights: Array2<f32>, bias: Array1<f32>) -> Self {
        Self { space, classes, hidden: None, weights, bias, temperature: 1.0 }
    }

    /// Whether embeddings of `space` can be read.
    ///
    /// # Errors
    /// [`SpaceMismatch::Space`] naming both spaces when they differ.
    pub fn reads(&self, space: &EmbeddingSpace) -> Result<(), SpaceMismatch> {
        if self.space == *space {
            return Ok(());
        }
        Err(SpaceMismatch::Space { expected: Box::new(self.space), found: Box::new(*space) })
    }

    /// Writes `W h + b`, before temperature, into `out` (k,) for an `embedding` (d,).
    ///
    /// # Errors
    /// [`SpaceMismatch::Width`] when `embedding` is not d long; `out` is then untouched.
    ///
    /// # Panics
    /// When `out` is not k long.
    pub fn logits(&self, embedding: &[f32], out: &mut [f32]) -> Result<(), SpaceMismatch> {
        assert_eq!(out.len(), self.classes.len(), "one place a class");
        self.check(embedding.len())?;
        let input: Vec<f64> = match &self.hidden {
            Some(hidden) => hidden.activations(embedding),
            None => embedding.iter().copied().map(f64::from).collect(),
        };
        for ((out, row), bias) in out.iter_mut().zip(self.weights.rows()).zip(&self.bias) {
            let dot: f64 = row.iter().zip(&input).map(|(w, h)| f64::from(*w) * h).sum();
            *out = (dot + f64::from(*bias)) as f32;
        }
        Ok(())
    }

    /// The probabilities (k,) of an `embedding` (d,); they sum to 1 within 1e-6.
    ///
    /// # Errors
    /// [`SpaceMismatch::Width`] when `embedding` is not d long.
    pub fn probabilities(&self, embedding: &[f32]) -> Result<Vec<f32>, SpaceMismatch> {
        let mut out = vec![0.0; self.classes.len()];
        self.logits(embedding, &mut out)?;
        softmax_in_place(&mut out, self.temperature);
        Ok(out)
    }

    fn check(&self, found: usize) -> Result<(), SpaceMismatch> {
        let expected = self.space.dim;
        if found == expected { Ok(()) } else { Err(SpaceMismatch::Width { expected, found }) }
    }

    /// Logits (n, k), before temperature, of `embeddings` (n, d); each row as [`DenseHead::logits`] gives it but for
    /// the order of its f64 sums.
    ///
    /// # Errors
    /// [`SpaceMismatch::Width`] when the embeddings are not d wide.
    pub fn logits_of(&self, embeddings: &Array2<f32>) -> Result<Array2<f32>, SpaceMismatch> {
        self.check(embeddings.ncols())?;
        let mut out = Array2::zeros((embeddings.nrows(), self.classes.len()));
        let weights = self.weights.mapv(f64::from);
        let hidden = self.hidden.as_ref().map(|hidden| (hidden.weights.mapv(f64::from), &hidden.bias));
        for (rows, mut to) in embeddings.axis_chunks_iter(Axis(0), BLOCK).zip(out.axis_chunks_iter_mut(Axis(0), BLOCK))
        {
            let mut input = rows.mapv(f64::from);
            if let Some((weights, bias)) = &hidden {
                input = affine(&input.view(), &weights.view(), bias);
                input.mapv_inplace(|unit| unit.max(0.0));
            }
            to.assign(&affine(&input.view(), &weights.view(), &self.bias).mapv(|logit| logit as f32));
        }
        Ok(out)
    }

    /// Probabilities (n, k) of `embeddings` (n, d).
    ///
    /// # Errors
    /// [`SpaceMismatch::Width`] when the embeddings are not d wide.
    pub fn probabilities_of(&self, embeddings: &Array2<f32>) -> Result<Array2<f32>, SpaceMismatch> {
        let mut out = self.logits_of(embeddings)?;
        softmax_rows(&mut out, self.temperature);
        Ok(out)
    }

    /// Identity by content: the start of the SHA-256 of layers, temperature, classes and space.
    ///
    /// Of a projection it is the seed that counts, not the values made of it: they differ in the last bit from one
    /// machine to another, and a head keeps its name wherever it is copied.
    #[must_use]
    pub fn id(&self) -> HeadId {
        let mut hash = Sha256::new();
        hash.update(if self.hidden.is_none() { b"edgetuned head 1\0" } else { b"edgetuned head 2\0" });
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
        if let Some(hidden) = &self.hidden {
            hidden.hash(&mut hash);
        }
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

/// Turns `logits` (k,), none of them NaN, into probabilities that sum to 1: `softmax(logits / temperature)`.
///
/// They are shifted by their maximum first, so logits of ±1e4 do not overflow; -inf becomes 0. Where sums overflowed,
/// those at inf share all of it.
pub fn softmax_in_place(logits: &mut [f32], temperature: f32) {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    // The difference of two infinities is no number.
    let shifted = |logit: f32| if logit >= top { 0.0 } else { f64::from(logit - top) };
    let scaled = |logit: f32| (shifted(logit) / f64::from(temperature)).exp();
    let sum: f64 = logits.iter().map(|logit| scaled(*logit)).sum();
    for logit in logits {
        *logit = (scaled(*logit) / sum) as f32;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ndarray::array;

    use crate::words::Label;

    use super::*;
    use crate::head::Origin;

    pub(crate) fn space(dim: usize) -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"backbone"), preprocessing: Digest::of(b"crop"), dim }
    }

    pub(crate) fn head() -> DenseHead {
        let classes = ["gear", "nut", "bolt"].iter().filter_map(|name| Label::new(name).ok()).collect();
        let (weights, bias) = (array![[1.0, 0.5], [-1.0, 2.0], [0.0, 1e4]], array![0.5, 0.0, -1.0]);
        DenseHead { temperature: 2.0, ..DenseHead::linear(space(2), classes, weights, bias) }
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
            let alone = head.probabilities(&embedding.to_vec()).unwrap();
            assert!(row.iter().zip(&alone).all(|(a, b)| (a - b).abs() < 1e-6), "{row} {alone:?}");
            assert!((row.sum() - 1.0).abs() < 1e-6, "{row}");
        }
    }

    #[test]
    fn where_sums_overflow_probabilities_are_numbers_all_the_same() {
        let mut head = head();
        head.weights = array![[3e38, 3e38], [-3e38, 0.0], [3e38, 3e38]];
        let batch = array![[2.0, 2.0], [-1.0, -1.0], [-2.0, -2.0]];
        for (row, expected) in batch.rows().into_iter().zip([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]]) {
            assert_eq!(head.probabilities(&row.to_vec()).unwrap(), expected, "{row}");
        }
        assert!(head.probabilities_of(&batch).unwrap().iter().all(|p| p.is_finite()));
        let mut lost = [f32::NEG_INFINITY; 2];
        softmax_in_place(&mut lost, 0.5);
        assert!(lost.iter().all(|p| (p - 0.5).abs() < 1e-6), "{lost:?}");
    }

    /// Four units before the linear layer.
    pub(crate) fn deep() -> DenseHead {
        let hidden = Hidden {
            weights: array![[1.0, 0.0], [-1.0, 0.0], [0.5, 2.0], [0.0, -1.0]],
            bias: array![0.0, 0.0, -1.0, 0.25],
            origin: Origin::Learned,
        };
        let weights = array![[1.0, -1.0, 0.5, 2.0], [0.0, 1.0, 1.0, -1.0], [-0.5, 0.0, 0.25, 1.0]];
        DenseHead { hidden: Some(hidden), weights, ..head() }
    }

    /// A random projection of five units before the linear layer.
    pub(crate) fn projected() -> DenseHead {
        let hidden = Hidden::projection(u64::MAX - 3, 5, array![0.5, -1.0], array![2.0, 0.25]);
        let weights = Array2::from_shape_fn((3, 5), |(i, j)| (i * 3 + j) as f32 / 4.0 - 1.0);
        DenseHead { hidden: Some(hidden), weights, ..head() }
    }

    #[test]
    fn a_hidden_layer_comes_first_and_cuts_off_what_is_below_zero() {
        let mut logits = [0.0; 3];
        deep().logits(&[2.0, 1.0], &mut logits).unwrap();
        // Units 2, 0, 2 and 0.
        let expected = [2.0 + 1.0 + 0.5, 2.0, -1.0 + 0.5 - 1.0];
        assert!(logits.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6), "{logits:?}");
        for head in [deep(), projected()] {
            let batch = Array2::from_shape_fn((150, 2), |(i, j)| ((i * 7 + j * 11) % 13) as f32 - 6.0);
            let together = head.logits_of(&batch).unwrap();
            for (row, embedding) in together.rows().into_iter().zip(batch.rows()) {
                head.logits(&embedding.to_vec(), &mut logits).unwrap();
                assert!(row.iter().zip(&logits).all(|(a, b)| (a - b).abs() < 1e-5), "{row} {logits:?}");
            }
            assert_eq!(head.probabilities(&[1.0; 4]), Err(SpaceMismatch::Width { expected: 2, found: 4 }));
        }
    }

    #[test]
    fn the_likeliest_classes_come_first_and_no_more_than_asked() {
        let top = head().classes.top(&[0.2, 0.7, 0.1], 2);
        assert_eq!(top.iter().map(|(label, _)| label.as_str()).collect::<Vec<_>>(), ["gear", "bolt"]);
        assert_eq!(head().classes.top(&[0.2, 0.7, 0.1], 9).len(), 3);
    }

    #[test]
    fn embeddings_of_another_width_or_space_are_refused_with_both_digests() {
        let head = head();
        assert_eq!(head.probabilities(&[1.0; 3]), Err(SpaceMismatch::Width { expected: 2, found: 3 }));
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

    #[test]
    fn linear_heads_keep_the_identity_that_they_had_before_there_were_hidden_layers() {
        assert_eq!(head().id().0, "418358fd6a0e");
    }

    #[test]
    fn the_identity_changes_with_every_part_of_a_hidden_layer_that_is_kept() {
        let changed = |edit: &dyn Fn(&mut Hidden), head: DenseHead| {
            let mut other = head.clone();
            other.hidden.as_mut().map(edit);
            other.id() != head.id()
        };
        assert_ne!(deep().id(), DenseHead { hidden: None, ..deep() }.id());
        assert!(changed(&|hidden| hidden.weights[[3, 1]] = 0.0, deep()));
        assert!(changed(&|hidden| hidden.bias[0] = 1.0, deep()));
        let again =
            |seed, mean, inverse| move |hidden: &mut Hidden| *hidden = Hidden::projection(seed, 5, mean, inverse);
        let (seed, mean, inverse) = (u64::MAX - 3, array![0.5, -1.0], array![2.0, 0.25]);
        for (seed, mean, inverse, differs) in [
            (seed, mean.clone(), inverse.clone(), false),
            (seed - 1, mean.clone(), inverse.clone(), true),
            (seed, array![0.5, 1.0], inverse, true),
            (seed, mean, array![2.0, 0.5], true),
        ] {
            let edit = again(seed, mean, inverse);
            assert_eq!(changed(&|hidden| edit.clone()(hidden), projected()), differs);
        }
        // Another machine's last bits do not count.
        assert!(!changed(&|hidden| hidden.weights[[0, 0]] += 1e-7, projected()));
    }
}
