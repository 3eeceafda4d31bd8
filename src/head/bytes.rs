//! The bytes a head is kept as: safetensors, with one JSON document in its header under the key `edgetuned`.
//!
//! Tensors: `weights` f32 (k, d), `bias` f32 (k,), `temperature` f32 (1,), `heldout.logits` f32 (n, k) and
//! `heldout.ids` u8 (n, 32). Behind a hidden layer of m units `weights` is (k, m), and the layer is either
//! `hidden.weights` f32 (m, d) and `hidden.bias` f32 (m,), or, where it is a random projection, `hidden.mean` and
//! `hidden.inverse` f32 (d,) with the seed in the document. A calibration is kept as `sets.scores` and `novelty.*`, a
//! [second phase](super::Tuning) as `tail.0`, `tail.1` … in their own shapes, and `first.weights`, `first.bias` and
//! `first.temperature` as of a linear head. A fleet's head that trainings build on is kept so, too, as `prior.weights` f32
//! (j, d), `prior.bias` and `prior.temperature`.
//!
//! The same record always gives the same bytes. Reading trusts nothing: shapes, values, class names and two checksums
//! are verified, and whatever is wrong is an error, never a panic.
//!
//! Linear heads are of format 1 as ever, so that older programs read them; those with a hidden layer are of format 2 and
//! those with a second phase of format 3, so that an older program reports "update" and not "damaged". Older programs read a
//! head that builds on another, and train without that one.

mod linear;
mod tuning;

use std::borrow::Cow;
use std::collections::HashMap;

use ndarray::Array2;
use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{
    BackboneRef, Calibration, Conformal, DenseHead, Figures, HeadRecord, HeldOut, Hidden, Novelty, NoveltyParts,
    Origin, Ranked, TrainingFacts,
};
use crate::words::{ClassSet, Digest, EmbeddingSpace, HeadId, HeadRef, Label, Region, SampleId, Timestamp};

/// Of linear heads.
const LINEAR: u32 = 1;
/// Of heads with a hidden layer.
const HIDDEN: u32 = 2;
/// Of heads with a second phase; the newest.
const FORMAT: u32 = 3;
const KEY: &str = "edgetuned";
/// Units of a hidden layer at most.
const MAX_WIDTH: usize = 16_384;
/// Values of a layer that is made from a seed at most (m d): a file of a few bytes must not allocate all memory.
const MAX_MADE: usize = 1 << 25;

/// Why bytes are not a head.
#[derive(Debug, thiserror::Error)]
pub enum BadHeadFile {
    /// Not safetensors at all, or cut short.
    #[error("the head file is damaged or not a head file; restore it from a copy or train again")]
    Container(#[source] SafeTensorError),
    /// Safetensors without our document, or with one that does not parse.
    #[error("the head file's header does not describe a head; restore it from a copy or train again")]
    Header(#[source] serde_json::Error),
    /// Written by a newer program.
    #[error(
        "the head file has format {found}, this program reads up to format {FORMAT}: update edgetuned or train again"
    )]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    space: EmbeddingSpace,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    region: Option<Part>,
    classes: Vec<Label>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hidden: Option<Layer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tuning: Option<tuning::TuningPart>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prior: Option<linear::PriorPart>,
    training: TrainingFacts,
    figures: Option<Figures>,
    /// SHA-256 of the held-out ids and logits; weights, classes and space are covered by the head's id.
    heldout_sha256: Digest,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calibration: Option<Counts>,
}

/// What the tensors do not contain of a hidden layer.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "origin", rename_all = "lowercase")]
enum Layer {
    Learned { width: usize },
    Projection { width: usize, seed: u64 },
}

/// A region that is not the whole picture.
#[derive(Serialize, Deserialize)]
struct Part {
    shape: Region,
    /// Of the space's preprocessing and the shape: a head of one region does not pass for one of another.
    sha256: Digest,
}

impl Part {
    fn of(region: &Region, space: &EmbeddingSpace) -> Option<Self> {
        let sha256 = region.within(space.preprocessing);
        (!region.is_whole()).then(|| Self { shape: region.clone(), sha256 })
    }
}

/// Read before the rest, so that a newer file is distinguished from a damaged one.
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
        let (k, inputs, n) = (self.dense.classes.len(), self.dense.weights.ncols(), self.heldout.ids.len());
        let floats = |values: &mut dyn Iterator<Item = &f32>| values.flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
        let (layer, mut kept) = self.dense.hidden.as_ref().map_or((None, vec![]), layer_parts);
        let (calibration, more) = calibration_parts(&self.calibration);
        kept.extend(more);
        let tuning = self.tuning.as_ref().map(tuning::parts).map(|(part, tensors)| {
            kept.extend(tensors);
            part
        });
        let prior = self.prior.as_ref().map(linear::prior_parts).map(|(part, tensors)| {
            kept.extend(tensors);
            part
        });
        let weights = floats(&mut self.dense.weights.iter());
        let bias = floats(&mut self.dense.bias.iter());
        let temperature = self.dense.temperature.to_le_bytes();
        let logits = floats(&mut self.heldout.logits.iter());
        let ids: Vec<u8> = self.heldout.ids.iter().flat_map(|id| id.0.0).collect();
        let document = Document {
            format: format_of(layer.is_some(), tuning.is_some()),
            head: self.head.clone(),
            created: self.created,
            backbone: self.backbone.clone(),
            manifest: self.manifest.clone(),
            space: self.dense.space,
            region: Part::of(&self.region, &self.dense.space),
            classes: self.dense.classes.labels().to_vec(),
            hidden: layer,
            tuning,
            prior,
            training: self.training.clone(),
            figures: self.figures.clone(),
            heldout_sha256: Digest::of(&[&ids[..], &logits].concat()),
            calibration,
        };
        let document = serde_json::to_string(&document).expect("its keys are strings and its numbers finite");
        let view = |dtype, shape: &[usize], data| {
            TensorView::new(dtype, shape.to_vec(), data).expect("the data were made for this shape")
        };
        let mut tensors = vec![
            ("weights", view(Dtype::F32, &[k, inputs], &weights)),
            ("bias", view(Dtype::F32, &[k], &bias)),
            ("temperature", view(Dtype::F32, &[1], &temperature)),
            ("heldout.logits", view(Dtype::F32, &[n, k], &logits)),
            ("heldout.ids", view(Dtype::U8, &[n, 32], &ids)),
        ];
        tensors.extend(kept.iter().map(|(name, dtype, shape, bytes)| (&**name, view(*dtype, shape, bytes))));
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
        if !(LINEAR..=FORMAT).contains(&format) {
            return Err(BadHeadFile::Format { found: format });
        }
        let document: Document = serde_json::from_str(document).map_err(BadHeadFile::Header)?;
        let expected = format_of(document.hidden.is_some(), document.tuning.is_some());
        if format != expected {
            return Err(wrong("format", &format!("{expected}, that of its parts"), format));
        }
        let dense = read_dense(&tensors, &document)?;
        let region = read_region(document.region.as_ref(), &document.space)?;
        let tuning = document.tuning.as_ref().map(|part| tuning::read(&tensors, part, &dense)).transpose()?;
        let prior = document.prior.as_ref().map(|part| linear::read_prior(&tensors, part)).transpose()?;
        let heldout = read_heldout(&tensors, &document)?;
        let calibration = read_calibration(&tensors, document.calibration.as_ref(), document.space.dim)?;
        Ok(Self {
            head: document.head,
            created: document.created,
            backbone: document.backbone,
            manifest: document.manifest,
            region,
            dense,
            tuning,
            prior,
            training: document.training,
            figures: document.figures,
            heldout,
            calibration,
        })
    }
}

fn read_region(part: Option<&Part>, space: &EmbeddingSpace) -> Result<Region, BadHeadFile> {
    let Some(Part { shape, sha256 }) = part else { return Ok(Region::WHOLE) };
    match Part::of(shape, space) {
        Some(part) if part.sha256 == *sha256 => Ok(shape.clone()),
        Some(part) => Err(BadHeadFile::Checksum { expected: sha256.short(), found: part.sha256.short() }),
        None => Err(wrong("region", "left out for the whole picture", shape)),
    }
}

fn read_dense(tensors: &SafeTensors<'_>, document: &Document) -> Result<DenseHead, BadHeadFile> {
    let (k, d) = (document.classes.len(), document.space.dim);
    let classes = ClassSet::from(document.classes.clone());
    if classes.labels() != document.classes {
        return Err(wrong("class list", "distinct names in order", format!("{:?}", document.classes)));
    }
    let hidden = document.hidden.map(|layer| read_hidden(tensors, layer, d)).transpose()?;
    let inputs = hidden.as_ref().map_or(d, Hidden::width);
    let weights = finite("weights", floats(tensors, "weights", &[k, inputs])?)?;
    let bias = finite("bias", floats(tensors, "bias", &[k])?)?;
    let temperature = floats(tensors, "temperature", &[1])?[0];
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(wrong("temperature", "a number above zero", temperature));
    }
    let weights = matrix((k, inputs), weights);
    let dense = DenseHead { space: document.space, classes, hidden, weights, bias: bias.into(), temperature };
    let HeadId(found) = dense.id();
    if found != document.head.id.0 {
        return Err(BadHeadFile::Checksum { expected: document.head.id.0.clone(), found });
    }
    Ok(dense)
}

/// The format of a head with a hidden layer, or with a second phase.
fn format_of(has_hidden: bool, has_tuning: bool) -> u32 {
    match (has_tuning, has_hidden) {
        (true, _) => FORMAT,
        (false, true) => HIDDEN,
        (false, false) => LINEAR,
    }
}

/// A tensor that a part of a head is kept as: its name, type, shape and bytes.
type Kept = (Cow<'static, str>, Dtype, Vec<usize>, Vec<u8>);

fn layer_parts(hidden: &Hidden) -> (Option<Layer>, Vec<Kept>) {
    let bytes = |values: &mut dyn Iterator<Item = &f32>| values.flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>();
    let width = hidden.width();
    match &hidden.origin {
        Origin::Learned => {
            let weights = (
                "hidden.weights".into(),
                Dtype::F32,
                hidden.weights.shape().to_vec(),
                bytes(&mut hidden.weights.iter()),
            );
            let bias = ("hidden.bias".into(), Dtype::F32, vec![width], bytes(&mut hidden.bias.iter()));
            (Some(Layer::Learned { width }), vec![weights, bias])
        }
        Origin::Projection { seed, mean, inverse } => {
            let mean = ("hidden.mean".into(), Dtype::F32, vec![mean.len()], bytes(&mut mean.iter()));
            let inverse = ("hidden.inverse".into(), Dtype::F32, vec![inverse.len()], bytes(&mut inverse.iter()));
            (Some(Layer::Projection { width, seed: *seed }), vec![mean, inverse])
        }
    }
}

fn read_hidden(tensors: &SafeTensors<'_>, layer: Layer, d: usize) -> Result<Hidden, BadHeadFile> {
    let (Layer::Learned { width } | Layer::Projection { width, .. }) = layer;
    if !(1..=MAX_WIDTH).contains(&width) {
        return Err(wrong("hidden layer's width", &format!("1 to {MAX_WIDTH}"), width));
    }
    match layer {
        Layer::Learned { .. } => {
            let weights = finite("hidden.weights", floats(tensors, "hidden.weights", &[width, d])?)?;
            let bias = finite("hidden.bias", floats(tensors, "hidden.bias", &[width])?)?;
            Ok(Hidden { weights: matrix((width, d), weights), bias: bias.into(), origin: Origin::Learned })
        }
        Layer::Projection { seed, .. } => {
            // Their length is checked first: it bounds d by the length of the file.
            let mean = finite("hidden.mean", floats(tensors, "hidden.mean", &[d])?)?;
            let inverse = finite("hidden.inverse", floats(tensors, "hidden.inverse", &[d])?)?;
            if width * d > MAX_MADE {
                return Err(wrong("hidden layer's size", &format!("at most {MAX_MADE} values"), width * d));
            }
            let hidden = Hidden::projection(seed, width, mean.into(), inverse.into());
            // Finite numbers near the end of the range make infinite ones.
            let broken = hidden.weights.iter().chain(&hidden.bias).find(|value| !value.is_finite()).copied();
            broken.map_or(Ok(hidden), |value| Err(wrong("hidden layer", "finite numbers", value)))
        }
    }
}

fn matrix<T>(shape: (usize, usize), values: Vec<T>) -> Array2<T> {
    Array2::from_shape_vec(shape, values).expect("the length was checked against the shape")
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
    let logits = matrix((n, shape[1]), logits);
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

/// What the tensors do not contain.
#[derive(Serialize, Deserialize)]
struct Counts {
    /// Held-out scores behind the sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sets: Option<u32>,
    /// Held-out scores behind the threshold of novelty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    novelty: Option<u32>,
    /// SHA-256 of the tensors' bytes, one behind the other.
    sha256: Digest,
}

/// The tensors of `calibration`, and what they do not contain; `None` when there is nothing in it.
fn calibration_parts(calibration: &Calibration) -> (Option<Counts>, Vec<Kept>) {
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let list = |name: &'static str, values: &[f32]| (name.into(), Dtype::F32, vec![values.len()], bytes(values));
    let mut kept: Vec<Kept> = Vec::new();
    if let Some(conformal) = &calibration.conformal {
        kept.push(list("sets.scores", conformal.scores().values()));
    }
    if let Some(novelty) = &calibration.novelty {
        let NoveltyParts { means, centre, references, location, scale, heldout } = novelty.parts();
        let codes = references.iter().flat_map(|code| code.to_le_bytes()).collect();
        let values: Vec<f32> = means.iter().copied().collect();
        kept.push(("novelty.means".into(), Dtype::F32, means.shape().to_vec(), bytes(&values)));
        kept.push(list("novelty.centre", &centre.to_vec()));
        kept.push(("novelty.references".into(), Dtype::I8, references.shape().to_vec(), codes));
        kept.push(list("novelty.units", &[*location, *scale].concat()));
        kept.push(list("novelty.scores", heldout.values()));
    }
    if kept.is_empty() {
        return (None, kept);
    }
    let all: Vec<u8> = kept.iter().flat_map(|(.., bytes)| bytes).copied().collect();
    let counts = Counts {
        sets: calibration.conformal.as_ref().map(|conformal| conformal.scores().n() as u32),
        novelty: calibration.novelty.as_ref().map(|novelty| novelty.parts().heldout.n() as u32),
        sha256: Digest::of(&all),
    };
    (Some(counts), kept)
}

/// The calibration of a head that reads embeddings of `d` values.
fn read_calibration(tensors: &SafeTensors<'_>, counts: Option<&Counts>, d: usize) -> Result<Calibration, BadHeadFile> {
    let Some(counts) = counts else { return Ok(Calibration::default()) };
    let conformal = counts.sets.map(|n| {
        let scores = read_ranked(tensors, "sets.scores", n)?;
        Conformal::new(scores).ok_or_else(|| wrong("sets.scores", "values from 0 to 1", "others"))
    });
    let conformal = conformal.transpose()?;
    let novelty = counts.novelty.map(|n| read_novelty(tensors, n, d)).transpose()?;
    let calibration = Calibration { conformal, novelty };
    let found = calibration_parts(&calibration).0.map(|counts| counts.sha256);
    if found != Some(counts.sha256) {
        let found = found.map_or("of nothing".to_owned(), |digest| digest.short());
        return Err(BadHeadFile::Checksum { expected: counts.sha256.short(), found });
    }
    Ok(calibration)
}

fn read_novelty(tensors: &SafeTensors<'_>, n: u32, d: usize) -> Result<Novelty, BadHeadFile> {
    let rows = |name| Ok(tensors.tensor(name).map_err(BadHeadFile::Container)?.shape().first().copied().unwrap_or(0));
    let (k, m) = (rows("novelty.means")?, rows("novelty.references")?);
    // It reads the embedding without inner values, which are behind it.
    let d = Some(rows("novelty.centre")?).filter(|own| (1..=d).contains(own)).unwrap_or(d);
    let means = finite("novelty.means", floats(tensors, "novelty.means", &[k, d])?)?;
    let centre = floats(tensors, "novelty.centre", &[d])?;
    let codes = raw(tensors, "novelty.references", Dtype::I8, &[m, d])?;
    let units = floats(tensors, "novelty.units", &[4])?;
    let parts = NoveltyParts {
        means: matrix((k, d), means),
        centre: centre.into(),
        references: matrix((m, d), codes.iter().map(|code| i8::from_le_bytes([*code])).collect()),
        location: [units[0], units[1]],
        scale: [units[2], units[3]],
        heldout: read_ranked(tensors, "novelty.scores", n)?,
    };
    Novelty::new(parts).map_err(|bad| BadHeadFile::Part { part: bad.part, expected: bad.expected, found: bad.found })
}

fn read_ranked(tensors: &SafeTensors<'_>, name: &'static str, n: u32) -> Result<Ranked, BadHeadFile> {
    let length = tensors.tensor(name).map_err(BadHeadFile::Container)?.shape().first().copied().unwrap_or(0);
    let values = floats(tensors, name, &[length])?;
    let found = format!("{length} values of {n}");
    Ranked::from_parts(n, values).ok_or_else(|| wrong(name, "finite values in ascending order, all or 1000", found))
}

#[cfg(test)]
mod tests;
