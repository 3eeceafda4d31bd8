//! One ONNX file of a backbone and a head, for any runtime.
//!
//! It is the backbone's graph as far as the embedding, then pooling, head and softmax, in operators of the version that
//! the backbone is written in; its metadata has what a user needs besides. Only bytes are made here: that the
//! file computes what the program computes is for the caller to prove.

use std::path::Path;

use ndarray::Array2;

use super::inner::{Inner, Stat};
use super::manifest::{Embedding, Manifest, Pool};
use super::metadata::metadata;
use super::onnx::graph::{Axis, BadModel, Graph, expose};
use super::onnx::reader::{GRAPH, INPUT, METADATA, OUTPUT, graph_fields, name_in, versions};
use super::onnx::tail::{Attribute, Tail, float_info};
use super::onnx::wire::{fields, put_bytes};
use super::pooling::channels_last;
use super::runtime::errors::OpenError;
use super::runtime::session::{Cut, OnnxBackbone, Taken};
use crate::head::{DenseHead, HeadRecord, SpaceMismatch};
use crate::image::{Layout, Rgb};
use crate::ports::{EmbedError, Embedder};
use crate::words::Digest;

/// The output of an exported model: probabilities (n, k), in the order of its classes.
pub const PROBABILITIES: &str = "probabilities";

/// Versions of the standard operators in which heads are written.
pub(super) const OPSETS: std::ops::RangeInclusive<i64> = 7..=22;

/// Why a head cannot be put behind a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotExport {
    /// The model is none.
    #[error(transparent)]
    Model(#[from] BadModel),
    /// Written in operators of another version.
    #[error(
        "the model uses {}, a head can be added to those of version {} to {}: convert it with Python's \
         onnx.version_converter and train on the result, or choose another backbone",
        .found.map_or("operators of no stated version".to_owned(), |found| format!("ONNX operators of version {found}")),
        OPSETS.start(), OPSETS.end()
    )]
    Opset {
        /// Its version of the standard operators, if it states one.
        found: Option<i64>,
    },
    /// The backbone has a tensor of the output's name.
    #[error(
        "the backbone already computes a tensor {PROBABILITIES:?} before its embedding: choose an embedding before it \
         and train again, or rename it"
    )]
    NameTaken,
}

/// The model in `bytes`, which `manifest` describes and whose tensors `cut` does, with the head of `record`
/// behind it: input as before, but for one picture where the backbone takes no more at a time; [`PROBABILITIES`] as the
/// only output; and the metadata keys `classes`, `backbone`, `head`, `preprocessing` and, where the head looks at a region,
/// `region`, which replace those of the model's own of these names. The region itself is not in the graph: who runs the
/// model cuts it out.
///
/// # Errors
/// [`CannotExport`].
pub fn with_head(bytes: &[u8], manifest: &Manifest, cut: &Cut, record: &HeadRecord) -> Result<Vec<u8>, CannotExport> {
    let Cut { embedding: taken, inner, alone } = cut;
    let whole = Graph::read(bytes)?;
    let mut embedding = manifest.embedding.clone();
    embedding.resolve(&whole, &manifest.preprocess);
    let cut = expose(bytes, &whole, &embedding.tensors())?;
    let graph = Graph::read(&cut)?;
    let versions = versions(&cut);
    if versions.opset.is_none_or(|opset| !OPSETS.contains(&opset)) {
        return Err(CannotExport::Opset { found: versions.opset });
    }
    let mut named = graph.inputs.iter().map(|input| &input.name);
    if graph.computes(PROBABILITIES)
        || graph.weights.contains_key(PROBABILITIES)
        || named.any(|name| name == PROBABILITIES)
    {
        return Err(CannotExport::NameTaken);
    }
    let mut tail = Tail::behind(&cut, versions);
    let layout = manifest.preprocess.layout;
    let mut rows = vec![pooled(&mut tail, &embedding, taken, layout)];
    for (inner, taken) in embedding.inner.iter().zip(inner) {
        statistics(&mut tail, inner, taken, layout, &mut rows);
    }
    let rows = match &rows[..] {
        [only] => only.clone(),
        several => {
            let several: Vec<_> = several.iter().map(String::as_str).collect();
            tail.node("Concat", &several, &[Attribute::Int("axis", 1)])
        }
    };
    layers(&mut tail, &record.dense, &rows);
    let batch = graph.inputs.first().and_then(|input| input.shape.as_ref()?.first().cloned());
    let batch = if alone.is_some() { Axis::Fixed(1) } else { batch.unwrap_or(Axis::Free(String::new())) };
    let output = [batch, Axis::Fixed(record.dense.classes.len() as i64)];

    let mut whole = Vec::with_capacity(cut.len());
    for field in graph_fields(&cut)?.into_iter().filter(|field| field.number != OUTPUT) {
        if alone.is_some() && field.number == INPUT && name_in(field, 1).as_ref() == Some(&manifest.input) {
            let way = &manifest.preprocess;
            let (h, w) = (i64::from(way.size.0), i64::from(way.size.1));
            let axes = if way.layout == Layout::Nchw { [1, 3, h, w] } else { [1, h, w, 3] };
            put_bytes(&mut whole, INPUT, &float_info(&manifest.input, &axes.map(Axis::Fixed)));
        } else {
            whole.extend_from_slice(field.raw);
        }
    }
    whole.extend(tail.into_fields());
    put_bytes(&mut whole, OUTPUT, &float_info(PROBABILITIES, &output));

    let ours = metadata(manifest, record);
    let mut model = Vec::with_capacity(whole.len() + 4096);
    for field in fields(&cut).map_while(Result::ok) {
        let replaced = || name_in(field, 1).is_some_and(|key| ours.iter().any(|(ours, _)| *ours == key));
        if field.number != GRAPH && !(field.number == METADATA && replaced()) {
            model.extend_from_slice(field.raw);
        }
    }
    put_bytes(&mut model, GRAPH, &whole);
    for (key, value) in ours {
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, key.as_bytes());
        put_bytes(&mut entry, 2, value.as_bytes());
        put_bytes(&mut model, METADATA, &entry);
    }
    Ok(model)
}

/// The name of `tensor` in float32.
fn float32(tail: &mut Tail, tensor: &str, taken: &Taken) -> String {
    taken.widening.as_ref().map_or(tensor.to_owned(), |widening| widening.append(tail, tensor))
}

/// From the embedding tensor to one row (n, dim) an image; the name of that.
fn pooled(tail: &mut Tail, embedding: &Embedding, taken: &Taken, layout: Layout) -> String {
    let Embedding { tensor, dim, pool, .. } = embedding;
    let tensor = &float32(tail, tensor, taken);
    let picked = match pool {
        Pool::None => tensor.to_owned(),
        Pool::Cls => {
            let first = tail.integers("first", &[0]);
            tail.node("Gather", &[tensor, &first], &[Attribute::Int("axis", 1)])
        }
        Pool::Avg => {
            let side = |axis: usize| taken.shape.get(axis).map_or(0, |length| *length as usize);
            let last = channels_last([side(1), side(3)], *dim, layout);
            tail.mean(tensor, if last { &[1, 2] } else { &[2, 3] })
        }
    };
    let row = tail.integers("row", &[-1, *dim as i64]);
    tail.node("Reshape", &[&picked, &row], &[])
}

/// Appends to `rows` the means and deviations (n, channels) of an inner map, as far as they are wanted.
///
/// `std = sqrt(mean((x - mean(x))^2))`: written as `sqrt(mean(x^2) - mean(x)^2)`, float32 would lose its digits where the
/// mean is large.
fn statistics(tail: &mut Tail, inner: &Inner, taken: &Taken, layout: Layout, rows: &mut Vec<String>) {
    let map = &float32(tail, &inner.tensor, taken);
    let last = inner.fits(&taken.shape, layout).is_some_and(|(_, last)| last);
    let axes: [i64; 2] = if last { [1, 2] } else { [2, 3] };
    for stat in &inner.stat {
        rows.push(match stat {
            Stat::Mean => tail.mean(map, &axes),
            Stat::Std => {
                let mean = tail.mean_kept(map, &axes);
                let apart = tail.node("Sub", &[map, &mean], &[]);
                let squares = tail.node("Mul", &[&apart, &apart], &[]);
                let variance = tail.mean(&squares, &axes);
                tail.node("Sqrt", &[&variance], &[])
            }
        });
    }
}

/// `softmax((W h + b) / T)` of the rows z (n, d), h being z or, with a hidden layer, `relu(A z + c)`.
///
/// T is divided into W and b, so that no node is needed for it.
fn layers(tail: &mut Tail, head: &DenseHead, rows: &str) {
    let inputs = head.hidden.as_ref().map_or(rows.to_owned(), |hidden| {
        let (width, d) = hidden.weights.dim();
        let weights = tail.floats("hidden_weights", &[width, d], hidden.weights.iter().copied());
        let bias = tail.floats("hidden_bias", &[width], hidden.bias.iter().copied());
        let units = tail.node("Gemm", &[rows, &weights, &bias], &[Attribute::Int("transB", 1)]);
        tail.node("Relu", &[&units], &[])
    });
    let tempered = |value: &f32| (f64::from(*value) / f64::from(head.temperature)) as f32;
    let weights = tail.floats("weights", head.weights.shape(), head.weights.iter().map(tempered));
    let bias = tail.floats("bias", head.bias.shape(), head.bias.iter().map(tempered));
    let logits = tail.node("Gemm", &[&inputs, &weights, &bias], &[Attribute::Int("transB", 1)]);
    // Before version 13 the axis means "from here on", which is the same of two axes.
    tail.node_called("Softmax", &[&logits], &[Attribute::Int("axis", 1)], PROBABILITIES);
}

/// How far a probability of the exported model may be from the program's own.
const TOLERANCE: f32 = 1e-4;

/// The program's own answers to a few very different images, to compare an exported model with.
#[derive(Debug)]
pub struct Proof<'a> {
    manifest: &'a Manifest,
    threads: usize,
    pictures: Vec<Vec<f32>>,
    expected: Array2<f32>,
    cut: Cut,
}

/// Why a model is not proved.
#[derive(Debug, thiserror::Error)]
pub enum Unproved {
    /// It does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It fails on a picture.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// The head does not fit the backbone.
    #[error(transparent)]
    Head(#[from] SpaceMismatch),
    /// Its answers differ.
    #[error(
        "the exported model's probabilities differ from the program's own by {apart}, expected at most {TOLERANCE}; \
         it was not written: report it, with the name of the backbone"
    )]
    Differs {
        /// The largest difference.
        apart: f32,
    },
    /// Its answers about a picture differ beside others.
    #[error(
        "the exported model's probabilities of a picture differ by {apart} beside other pictures, expected at most \
         {TOLERANCE}; it was not written: export the backbone for one picture at a time, and train on that"
    )]
    Neighbours {
        /// The largest difference.
        apart: f32,
    },
}

impl<'a> Proof<'a> {
    /// Runs backbone and head, on `threads` threads.
    ///
    /// # Errors
    /// [`Unproved`] when the backbone does not open or the head does not fit it.
    pub fn prepare(manifest: &'a Manifest, threads: usize, record: &HeadRecord) -> Result<Self, Unproved> {
        let mut backbone = OnnxBackbone::open(manifest, threads)?;
        let pictures = pictures(&backbone);
        let embeddings = one_at_a_time(&mut backbone, &pictures)?;
        let expected = record.dense.probabilities_of(&embeddings)?;
        let cut = backbone.cut().clone();
        Ok(Self { manifest, threads, pictures, expected, cut })
    }

    /// What the backbone's tensors are, for [`with_head`].
    #[must_use]
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// The number of images on which both are compared.
    #[must_use]
    pub fn pictures(&self) -> usize {
        self.pictures.len()
    }

    /// The largest difference between a probability of the exported model in `file`, whose bytes have this SHA-256, and
    /// the program's own, one picture at a time and all at once.
    ///
    /// # Errors
    /// [`Unproved`], with [`Unproved::Differs`] or [`Unproved::Neighbours`] where it is more than 1e-4.
    pub fn compare(&self, file: &Path, sha256: Digest) -> Result<f32, Unproved> {
        // The exported model is a backbone whose embedding are the probabilities.
        let (tensor, dim) = (PROBABILITIES.to_owned(), self.expected.ncols());
        let embedding = Embedding { tensor, dim, pool: Pool::None, inner: Vec::new() };
        let exported =
            Manifest { file: file.to_owned(), path: file.to_owned(), sha256, embedding, ..self.manifest.clone() };
        let mut exported = OnnxBackbone::open(&exported, self.threads)?;
        let difference = |found: &Array2<f32>| {
            (found - &self.expected).iter().fold(0.0, |apart: f32, difference| apart.max(difference.abs()))
        };
        let alone = difference(&one_at_a_time(&mut exported, &self.pictures)?);
        if alone > TOLERANCE {
            return Err(Unproved::Differs { apart: alone });
        }
        let together = difference(&outputs(&mut exported, &self.pictures)?);
        if together > TOLERANCE {
            return Err(Unproved::Neighbours { apart: together });
        }
        Ok(alone.max(together))
    }
}

/// Tensors of plain grey, a slope of each colour in its own direction, and noise.
fn pictures(backbone: &OnnxBackbone) -> Vec<Vec<f32>> {
    const SIDE: u32 = 256;
    let pictures: [fn(u32, u32) -> [u32; 3]; 3] = [
        |_, _| [128; 3],
        |x, y| [x, y, 255 - x.midpoint(y)],
        // Three of the primes that scatter neighbours: no two of them are alike.
        |x, y| [7919, 104_729, 1_299_709].map(|prime| (x * SIDE + y + 1).wrapping_mul(prime) >> 7),
    ];
    let tensor = |picture: fn(u32, u32) -> [u32; 3]| {
        let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
        let pixels = places.flat_map(|(x, y)| picture(x, y)).map(|value| (value & 255) as u8).collect();
        backbone.preprocess().apply(&Rgb::new(SIDE, SIDE, pixels).expect("three bytes a pixel"))
    };
    pictures.into_iter().map(tensor).collect()
}

/// What `network` makes of each tensor (3*h*w) alone: (n, dim).
fn one_at_a_time(network: &mut OnnxBackbone, tensors: &[Vec<f32>]) -> Result<Array2<f32>, EmbedError> {
    let rows = tensors.iter().map(|tensor| network.embed(tensor, 1)).collect::<Result<Vec<_>, _>>()?;
    Ok(Array2::from_shape_vec((tensors.len(), network.space().dim), rows.concat())
        .expect("a row of dim values an image"))
}

/// What `network` makes of the tensors (n, 3*h*w), all at once: (n, dim).
fn outputs(network: &mut OnnxBackbone, tensors: &[Vec<f32>]) -> Result<Array2<f32>, EmbedError> {
    let values = network.embed(&tensors.concat(), tensors.len())?;
    Ok(Array2::from_shape_vec((tensors.len(), network.space().dim), values).expect("a row of dim values an image"))
}

#[cfg(test)]
#[path = "export_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "export_inner_tests.rs"]
mod inner_tests;
