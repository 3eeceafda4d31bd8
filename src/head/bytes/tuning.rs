//! A second phase in a head's file: `tail.0`, `tail.1` … f32, with their names in the document, and the linear head of the
//! first phase as `first.weights`, `first.bias` and `first.temperature`.

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{BadHeadFile, Kept, finite, linear, wrong};
use crate::head::{DenseHead, Figures, Tail, TailWeight, Tuning};
use crate::words::{EmbeddingSpace, HeadId};

/// Weights of a tail at most; a file that goes beyond is hostile.
const MOST_WEIGHTS: usize = 1_000;

/// What the tensors do not contain.
#[derive(Serialize, Deserialize)]
pub(super) struct TuningPart {
    /// Of the backbone's own embeddings.
    space: EmbeddingSpace,
    input: String,
    weights: Vec<String>,
    /// Of the head of the first phase.
    first: HeadId,
    figures: Option<Figures>,
}

/// The tensors of `tuning`, and what they do not contain.
pub(super) fn parts(Tuning { tail, first, figures }: &Tuning) -> (TuningPart, Vec<Kept>) {
    let bytes =
        |values: &mut dyn Iterator<Item = &f32>| values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let weight = |(place, weight): (usize, &TailWeight)| {
        (format!("tail.{place}").into(), Dtype::F32, weight.shape.clone(), bytes(&mut weight.values.iter()))
    };
    let mut kept: Vec<Kept> = tail.weights.iter().enumerate().map(weight).collect();
    kept.extend(linear::tensors(linear::FIRST, first));
    let part = TuningPart {
        space: first.space,
        input: tail.input.clone(),
        weights: tail.weights.iter().map(|weight| weight.name.clone()).collect(),
        first: first.id(),
        figures: figures.clone(),
    };
    (part, kept)
}

/// The second phase that [`parts`] took apart, of the head whose layer is `dense`.
pub(super) fn read(tensors: &SafeTensors<'_>, part: &TuningPart, dense: &DenseHead) -> Result<Tuning, BadHeadFile> {
    let tail = read_tail(tensors, part)?;
    if tail.space(part.space) != dense.space {
        let (expected, found) = (dense.space.backbone.short(), tail.space(part.space).backbone.short());
        return Err(BadHeadFile::Checksum { expected, found });
    }
    let first = linear::read(tensors, linear::FIRST, part.space, dense.classes.clone(), &part.first)?;
    Ok(Tuning { tail, first, figures: part.figures.clone() })
}

fn read_tail(tensors: &SafeTensors<'_>, part: &TuningPart) -> Result<Tail, BadHeadFile> {
    if !(1..=MOST_WEIGHTS).contains(&part.weights.len()) {
        return Err(wrong("tail", &format!("1 to {MOST_WEIGHTS} weights"), part.weights.len()));
    }
    let weights = part.weights.iter().enumerate().map(|(place, name)| {
        let tensor = tensors.tensor(&format!("tail.{place}")).map_err(BadHeadFile::Container)?;
        if tensor.dtype() != Dtype::F32 {
            return Err(wrong("tail", "F32", format!("{:?}", tensor.dtype())));
        }
        let words = tensor.data().chunks_exact(4);
        let values = words.map(|word| f32::from_le_bytes(word.try_into().expect("chunks of 4"))).collect();
        Ok(TailWeight { name: name.clone(), shape: tensor.shape().to_vec(), values: finite("tail", values)? })
    });
    Ok(Tail { input: part.input.clone(), weights: weights.collect::<Result<_, _>>()? })
}
