//! A second phase in a head's file: `tail.0`, `tail.1` … f32, with their names in the document, and the linear head of the
//! first phase as `first.weights` f32 (k, d), `first.bias` f32 (k,) and `first.temperature` f32 (1,).

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{BadHeadFile, Kept, finite, floats, matrix, wrong};
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
    kept.push(("first.weights".into(), Dtype::F32, first.weights.shape().to_vec(), bytes(&mut first.weights.iter())));
    kept.push(("first.bias".into(), Dtype::F32, first.bias.shape().to_vec(), bytes(&mut first.bias.iter())));
    kept.push(("first.temperature".into(), Dtype::F32, vec![1], first.temperature.to_le_bytes().to_vec()));
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
    let (k, d) = (dense.classes.len(), part.space.dim);
    let weights = finite("first.weights", floats(tensors, "first.weights", &[k, d])?)?;
    let bias = finite("first.bias", floats(tensors, "first.bias", &[k])?)?;
    let temperature = floats(tensors, "first.temperature", &[1])?[0];
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(wrong("first.temperature", "a number above zero", temperature));
    }
    let layer = DenseHead::linear(part.space, dense.classes.clone(), matrix((k, d), weights), bias.into());
    let first = DenseHead { temperature, ..layer };
    let found = first.id();
    if found != part.first {
        return Err(BadHeadFile::Checksum { expected: part.first.0.clone(), found: found.0 });
    }
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
