//! The bytes a head is kept as: safetensors, with one JSON document in its header under the key `edgetuned`.
//!
//! Tensors: `weights` f32 (k, d), `bias` f32 (k,), `temperature` f32 (1,), `heldout.logits` f32 (n, k) and
//! `heldout.ids` u8 (n, 32). The same record always gives the same bytes. Reading trusts nothing: shapes, values,
//! class names and two checksums are verified, and whatever is wrong is an error, never a panic.

use std::collections::HashMap;

use ndarray::{Array1, Array2};
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{BackboneRef, DenseHead, Figures, HeadRecord, HeldOut, TrainingFacts};
use crate::words::{ClassSet, Digest, EmbeddingSpace, HeadId, HeadRef, Label, SampleId, Timestamp};

const FORMAT: u32 = 1;
const KEY: &str = "edgetuned";

/// Why bytes are not a head.
#[derive(Debug, thiserror::Error)]
pub enum BadHeadFile {
    /// Not safetensors at all, or cut short.
    #[error("the head file is damaged or no head file; restore it from a copy or train again")]
    Container(#[source] SafeTensorError),
    /// Safetensors without our document, or with one that does not parse.
    #[error("the head file's header does not describe a head; restore it from a copy or train again")]
    Header(#[source] serde_json::Error),
    /// Written by a newer program.
    #[error("the head file has format {found}, this program reads format {FORMAT}: update edgetuned or train again")]
    Format {
        /// Its format.
        found: u32,
    },
    /// A part that contradicts another one.
    #[error("the head file's {part} is {found}, expected {expected}; restore it from a copy or train again")]
    Part {
        /// Which part.
        part: &'static str,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Content and header do not belong together.
    #[error("the head file's checksum is {found}, its header says {expected}; restore it from a copy or train again")]
    Checksum {
        /// In the header.
        expected: String,
        /// Of the content.
        found: String,
    },
}

/// The document in the header.
#[derive(Serialize, Deserialize)]
struct Document {
    format: u32,
    head: HeadRef,
    created: Timestamp,
    backbone: BackboneRef,
    space: EmbeddingSpace,
    classes: Vec<Label>,
    training: TrainingFacts,
    figures: Option<Figures>,
    /// SHA-256 of the held-out ids and logits; weights, classes and space are covered by the head's id.
    heldout_sha256: Digest,
}

/// Read before the rest, so that a newer file is told from a damaged one.
#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl HeadRecord {
    /// The record as one safetensors file; [`HeadRecord::from_bytes`] gives the same record back.
    ///
    /// # Panics
    /// When held-out ids and logits differ in number, or figures are not finite: such a record is never made.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        assert_eq!(self.heldout.ids.len(), self.heldout.logits.nrows(), "one row of logits a sample");
        let (k, d, n) = (self.dense.classes.len(), self.dense.weights.ncols(), self.heldout.ids.len());
        let floats = |values: &mut dyn Iterator<Item = &f32>| values.flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let weights = floats(&mut self.dense.weights.iter());
        let bias = floats(&mut self.dense.bias.iter());
        let temperature = self.dense.temperature.to_le_bytes();
        let logits = floats(&mut self.heldout.logits.iter());
        let ids: Vec<u8> = self.heldout.ids.iter().flat_map(|id| id.0.0).collect();
        let document = Document {
            format: FORMAT,
            head: self.head.clone(),
            created: self.created,
            backbone: self.backbone.clone(),
            space: self.dense.space,
            classes: self.dense.classes.labels().to_vec(),
            training: self.training.clone(),
            figures: self.figures.clone(),
            heldout_sha256: Digest::of(&[&ids[..], &logits].concat()),
        };
        let document = serde_json::to_string(&document).expect("its keys are strings and its numbers finite");
        let view = |dtype, shape: &[usize], data| {
            TensorView::new(dtype, shape.to_vec(), data).expect("the data were made for this shape")
        };
        let tensors = [
            ("weights", view(Dtype::F32, &[k, d], &weights)),
            ("bias", view(Dtype::F32, &[k], &bias)),
            ("temperature", view(Dtype::F32, &[1], &temperature)),
            ("heldout.logits", view(Dtype::F32, &[n, k], &logits)),
            ("heldout.ids", view(Dtype::U8, &[n, 32], &ids)),
        ];
        // One key only: the container keeps them in a hash map, whose order is random.
        safetensors::serialize(tensors, Some(HashMap::from([(KEY.to_owned(), document)])))
            .expect("names and shapes are fixed, the header is far below the limit")
    }

    /// The record that [`HeadRecord::to_bytes`] made `bytes` of.
    ///
    /// # Errors
    /// [`BadHeadFile`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadHeadFile> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(BadHeadFile::Container)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(BadHeadFile::Container)?;
        let document = metadata.metadata().as_ref().and_then(|map| map.get(KEY)).map_or("", String::as_str);
        let Version { format } = serde_json::from_str(document).map_err(BadHeadFile::Header)?;
        if format != FORMAT {
            return Err(BadHeadFile::Format { found: format });
        }
        let document: Document = serde_json::from_str(document).map_err(BadHeadFile::Header)?;
        let dense = read_dense(&tensors, &document)?;
        let heldout = read_heldout(&tensors, &document)?;
        Ok(Self {
            head: document.head,
            created: document.created,
            backbone: document.backbone,
            dense,
            training: document.training,
            figures: document.figures,
            heldout,
        })
    }
}

fn read_dense(tensors: &SafeTensors<'_>, document: &Document) -> Result<DenseHead, BadHeadFile> {
    let (k, d) = (document.classes.len(), document.space.dim);
    let classes = ClassSet::from(document.classes.clone());
    if classes.labels() != document.classes {
        return Err(wrong("class list", "distinct names in order", format!("{:?}", document.classes)));
    }
    let weights = finite("weights", floats(tensors, "weights", &[k, d])?)?;
    let bias = finite("bias", floats(tensors, "bias", &[k])?)?;
    let temperature = floats(tensors, "temperature", &[1])?[0];
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(wrong("temperature", "a number above zero", temperature));
    }
    let weights = Array2::from_shape_vec((k, d), weights).expect("the length was checked against the shape");
    let dense = DenseHead { space: document.space, classes, weights, bias: Array1::from_vec(bias), temperature };
    let HeadId(found) = dense.id();
    if found != document.head.id.0 {
        return Err(BadHeadFile::Checksum { expected: document.head.id.0.clone(), found });
    }
    Ok(dense)
}

fn read_heldout(tensors: &SafeTensors<'_>, document: &Document) -> Result<HeldOut, BadHeadFile> {
    let ids = tensors.tensor("heldout.ids").map_err(BadHeadFile::Container)?;
    let &[n, 32] = ids.shape() else {
        return Err(wrong("heldout.ids", "shape [n, 32]", format!("{:?}", ids.shape())));
    };
    let bytes = raw(tensors, "heldout.ids", Dtype::U8, &[n, 32])?;
    let shape = [n, document.classes.len()];
    let logits = raw(tensors, "heldout.logits", Dtype::F32, &shape)?;
    let found = Digest::of(&[bytes, logits].concat());
    if found != document.heldout_sha256 {
        return Err(BadHeadFile::Checksum { expected: document.heldout_sha256.short(), found: found.short() });
    }
    let logits = floats(tensors, "heldout.logits", &shape)?;
    if let Some(value) = logits.iter().find(|v| v.is_nan() || **v == f32::INFINITY) {
        return Err(wrong("heldout.logits", "numbers or -inf", value));
    }
    let logits = Array2::from_shape_vec((n, shape[1]), logits).expect("the length was checked against the shape");
    let ids = bytes.chunks_exact(32).map(|id| SampleId(Digest(id.try_into().expect("chunks of 32")))).collect();
    Ok(HeldOut { ids, logits })
}

fn raw<'a>(
    tensors: &SafeTensors<'a>,
    name: &'static str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], BadHeadFile> {
    let tensor = tensors.tensor(name).map_err(BadHeadFile::Container)?;
    if tensor.dtype() != dtype || tensor.shape() != shape {
        let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(wrong(name, &format!("{dtype:?} {shape:?}"), found));
    }
    Ok(tensor.data())
}

fn floats(tensors: &SafeTensors<'_>, name: &'static str, shape: &[usize]) -> Result<Vec<f32>, BadHeadFile> {
    let bytes = raw(tensors, name, Dtype::F32, shape)?;
    Ok(bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().expect("chunks of 4"))).collect())
}

fn finite(part: &'static str, values: Vec<f32>) -> Result<Vec<f32>, BadHeadFile> {
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(wrong(part, "finite numbers", value)),
        None => Ok(values),
    }
}

fn wrong(part: &'static str, expected: &str, found: impl std::fmt::Display) -> BadHeadFile {
    BadHeadFile::Part { part, expected: expected.to_owned(), found: found.to_string().chars().take(200).collect() }
}

#[cfg(test)]
mod tests;
