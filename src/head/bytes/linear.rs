//! A second linear head in a head's file: its weights f32 (k, d), bias f32 (k,) and temperature f32 (1,).

use safetensors::tensor::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{BadHeadFile, Kept, finite, floats, matrix, wrong};
use crate::head::DenseHead;
use crate::words::{ClassSet, EmbeddingSpace, HeadId, Label};

/// Names of its weights, bias and temperature.
type Names = [&'static str; 3];
/// Of the head of the first phase.
pub(super) const FIRST: Names = ["first.weights", "first.bias", "first.temperature"];
/// Of the head that trainings build on.
const PRIOR: Names = ["prior.weights", "prior.bias", "prior.temperature"];

/// What the tensors of a head that is built on do not contain.
#[derive(Serialize, Deserialize)]
pub(super) struct PriorPart {
    space: EmbeddingSpace,
    classes: Vec<Label>,
    id: HeadId,
}

/// The tensors of the linear `head`.
pub(super) fn tensors([weights, bias, temperature]: Names, head: &DenseHead) -> [Kept; 3] {
    let bytes =
        |values: &mut dyn Iterator<Item = &f32>| values.flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    [
        (weights.into(), Dtype::F32, head.weights.shape().to_vec(), bytes(&mut head.weights.iter())),
        (bias.into(), Dtype::F32, head.bias.shape().to_vec(), bytes(&mut head.bias.iter())),
        (temperature.into(), Dtype::F32, vec![1], head.temperature.to_le_bytes().to_vec()),
    ]
}

/// The head that [`tensors`] took apart, of these classes, whose id is `expected`.
pub(super) fn read(
    tensors: &SafeTensors<'_>,
    [weights, bias, temperature]: Names,
    space: EmbeddingSpace,
    classes: ClassSet,
    expected: &HeadId,
) -> Result<DenseHead, BadHeadFile> {
    let (k, d) = (classes.len(), space.dim);
    let values = matrix((k, d), finite(weights, floats(tensors, weights, &[k, d])?)?);
    let biases = finite(bias, floats(tensors, bias, &[k])?)?;
    let divisor = floats(tensors, temperature, &[1])?[0];
    if !(divisor.is_finite() && divisor > 0.0) {
        return Err(wrong(temperature, "a number above zero", divisor));
    }
    let head = DenseHead { temperature: divisor, ..DenseHead::linear(space, classes, values, biases.into()) };
    let found = head.id();
    if found != *expected {
        return Err(BadHeadFile::Checksum { expected: expected.0.clone(), found: found.0 });
    }
    Ok(head)
}

/// A head that trainings build on, as tensors and what those do not contain.
pub(super) fn prior_parts(prior: &DenseHead) -> (PriorPart, [Kept; 3]) {
    let part = PriorPart { space: prior.space, classes: prior.classes.labels().to_vec(), id: prior.id() };
    (part, tensors(PRIOR, prior))
}

/// The head that [`prior_parts`] took apart.
pub(super) fn read_prior(tensors: &SafeTensors<'_>, part: &PriorPart) -> Result<DenseHead, BadHeadFile> {
    let classes = ClassSet::from(part.classes.clone());
    if classes.labels() != part.classes {
        return Err(wrong("class list of the head built on", "distinct names in order", format!("{:?}", part.classes)));
    }
    read(tensors, PRIOR, part.space, classes, &part.id)
}
