//! What a tuned head carries of the backbone: the values that the last layers have in its place.

use sha2::{Digest as _, Sha256};

use super::{DenseHead, Figures};
use crate::words::{Digest, EmbeddingSpace};

/// The last layers of a backbone, trained on with a head: from `input` on, the network computes with `weights` in the
/// place of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Tail {
    /// The tensor of the ONNX file that the tail starts from.
    pub input: String,
    /// What was trained, in the order in which the network reads it.
    pub weights: Vec<TailWeight>,
}

/// A constant of the ONNX file with other values.
#[derive(Debug, Clone, PartialEq)]
pub struct TailWeight {
    /// Its name in the file.
    pub name: String,
    /// Its axes.
    pub shape: Vec<usize>,
    /// Its values, the last axis running fastest.
    pub values: Vec<f32>,
}

/// What a head has besides its layer when the last layers of the backbone were trained on with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuning {
    /// Those layers.
    pub tail: Tail,
    /// The linear head of the first phase, on the backbone's own embeddings, of the same classes.
    pub first: DenseHead,
    /// How good that was on the same held-out pictures; `None` where it was not measured.
    pub figures: Option<Figures>,
}

/// What the digest of a space begins with; another way of computing a tail gets another word.
const VERSION: &[u8] = b"tail 1";

impl Tail {
    /// The space of the embeddings that this tail makes behind the network whose own embeddings are in `trunk`: width
    /// and preprocessing are the same, and no two tails share it.
    ///
    /// Its `backbone` is the SHA-256 of the trunk's, of the tensor, and of names, shapes and values, each text and list
    /// behind its length.
    #[must_use]
    pub fn space(&self, trunk: EmbeddingSpace) -> EmbeddingSpace {
        let mut hash = Sha256::new();
        hash.update(VERSION);
        hash.update(trunk.backbone.0);
        let text = |hash: &mut Sha256, text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        text(&mut hash, &self.input);
        hash.update((self.weights.len() as u64).to_le_bytes());
        for TailWeight { name, shape, values } in &self.weights {
            text(&mut hash, name);
            hash.update((shape.len() as u64).to_le_bytes());
            for length in shape {
                hash.update((*length as u64).to_le_bytes());
            }
            hash.update((values.len() as u64).to_le_bytes());
            for value in values {
                hash.update(value.to_le_bytes());
            }
        }
        EmbeddingSpace { backbone: Digest(hash.finalize().into()), ..trunk }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail() -> Tail {
        let weight = |name: &str, values: &[f32]| TailWeight {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: values.to_vec(),
        };
        Tail { input: "cut".to_owned(), weights: vec![weight("w", &[1.0, 2.0]), weight("b", &[0.5])] }
    }

    #[test]
    fn the_space_is_of_the_trunks_width_and_differs_from_it_and_with_everything_in_the_tail() {
        let trunk = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 4 };
        let space = tail().space(trunk);
        assert_eq!((space.dim, space.preprocessing), (trunk.dim, trunk.preprocessing));
        let mut others =
            vec![trunk.backbone, tail().space(EmbeddingSpace { backbone: Digest::of(b"c"), ..trunk }).backbone];
        let mut change = |edit: &dyn Fn(&mut Tail)| {
            let mut tail = tail();
            edit(&mut tail);
            others.push(tail.space(trunk).backbone);
        };
        change(&|tail| tail.input.push('x'));
        change(&|tail| tail.weights[0].name.push('x'));
        change(&|tail| tail.weights[0].shape = vec![1, 2]);
        change(&|tail| tail.weights[1].values[0] = -0.5);
        change(&|tail| drop(tail.weights.pop()));
        change(&|tail| tail.weights.reverse());
        assert!(!others.contains(&space.backbone));
        others.sort_unstable();
        others.dedup();
        assert_eq!(others.len(), 8, "two of the changes have one space");
        assert_eq!(tail().space(trunk), space);
    }
}
