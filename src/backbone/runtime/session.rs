//! A model in ONNX Runtime that answers as an [`Embedder`].

use std::borrow::Cow;
use std::time::Duration;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel as Level;
use ort::value::{TensorElementType as Element, TensorRef};

use super::environment;
use super::errors::OpenError;
use super::message::RuntimeMessage;
use crate::backbone::bundled;
use crate::backbone::manifest::{Manifest, Pool};
use crate::backbone::onnx::functions::inlined;
use crate::backbone::onnx::graph::{Axis, BadModel, Graph, expose};
use crate::backbone::onnx::widen::{Widening, widened};
use crate::backbone::pooling::pooled;
use crate::image::{Layout, Preprocess, Rgb};
use crate::ports::{EmbedError, Embedder};
use crate::words::{Digest, EmbeddingSpace};

/// Pictures that a network with a free batch is given in one run at most. A run keeps memory for each, 9 MB with
/// EfficientNet-Lite0 (`docs/figures.md`), and more at once are hardly faster on a processor.
pub const TOGETHER: usize = 4;

/// A frozen network in ONNX Runtime, proved on a probe image.
#[derive(Debug)]
pub struct OnnxBackbone {
    pub(super) session: Session,
    pub(super) name: String,
    pub(super) sha256: Digest,
    pub(super) space: EmbeddingSpace,
    pub(super) preprocess: Preprocess,
    pub(super) pool: Pool,
    /// Images a run when the model's first axis is fixed, or more at once are not to be had.
    pub(super) batch: Option<usize>,
    pub(super) cut: Cut,
    pub(super) one_picture: Duration,
}

/// What a backbone's embedding tensor turned out to be when it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// For one picture.
    pub shape: Vec<i64>,
    /// How its values become float32, where they are of another type.
    pub widening: Option<Widening>,
    /// Why pictures go through the network one at a time, where they must though its input takes more.
    pub alone: Option<Alone>,
}

/// Why a network whose input takes any number of pictures is given one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alone {
    /// It fails on two: a batch of 1 is written into one of its steps.
    Written,
    /// It quantises by the range that values have in the batch, so the pictures beside one change its embedding.
    Quantised,
}

impl OnnxBackbone {
    /// Opens the model of `manifest` on `threads` threads (0 counts as 1) and proves it on a mid-grey image and on two
    /// others: that an embedding depends on its picture alone.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the model stays in memory then.
    pub fn open(manifest: &Manifest, threads: usize) -> Result<Self, OpenError> {
        Self::attempt(manifest, threads, |backbone, model| backbone.proved(manifest)?.steady(manifest, model))
    }

    /// The shape that the manifest's embedding tensor has for one mid-grey image; `embedding.dim` and `embedding.pool`
    /// do not matter.
    ///
    /// # Errors
    /// [`OpenError`], as of [`open`](Self::open).
    pub fn shape(manifest: &Manifest) -> Result<Vec<i64>, OpenError> {
        Self::attempt(manifest, 1, |mut backbone, _| Ok(backbone.grey(manifest)?.0))
    }

    /// The result of `use_it` on the backbone and the model that it runs, opened at the highest optimisation level at
    /// which both succeed.
    fn attempt<T>(
        manifest: &Manifest,
        threads: usize,
        use_it: impl Fn(Self, &[u8]) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let environment = environment()?;
        let file = manifest.file.clone();
        let unusable = |source| OpenError::Model { file: file.clone(), source };
        let (bytes, graph) = read(manifest)?;
        let batch = checked_input(&graph, manifest)?;
        let tensor = &manifest.embedding.tensor;
        let model = expose(&bytes, &graph, tensor).map_err(unusable)?;
        drop(bytes);
        let (space, sha256) = (manifest.space(), manifest.sha256);
        let at = |level: Level| {
            let refused = |source: ort::Error| OpenError::Refused { file: file.clone(), source: source.into() };
            let mut opened = session(&environment, &model, threads, level).map_err(refused)?;
            let mut widening = None;
            match opened.outputs().first().and_then(|output| output.dtype().tensor_type()) {
                Some(Element::Float32) | None => {}
                Some(other) if is_number(other) => {
                    let way = Widening::of(&graph, tensor);
                    let wide = widened(&model, tensor, &way).map_err(unusable)?;
                    opened = session(&environment, &wide, threads, level).map_err(refused)?;
                    widening = Some(way);
                }
                Some(other) => {
                    let (tensor, found) = (tensor.clone(), format!("{other:?}").to_lowercase());
                    return Err(OpenError::Element { file: file.clone(), tensor, found });
                }
            }
            let (name, preprocess) = (manifest.name.clone(), manifest.preprocess.clone());
            let (pool, cut) = (manifest.embedding.pool, Cut { shape: Vec::new(), widening, alone: None });
            use_it(
                Self {
                    session: opened,
                    name,
                    sha256,
                    space,
                    preprocess,
                    pool,
                    batch,
                    cut,
                    one_picture: Duration::ZERO,
                },
                &model,
            )
        };
        let mut refusals = Vec::new();
        for level in [Level::All, Level::Level2, Level::Level1] {
            match at(level) {
                Err(OpenError::Refused { source, .. }) => refusals.push((level, source.to_string())),
                Err(OpenError::Probe { source, .. }) => refusals.push((level, source.to_string())),
                opened => {
                    for (level, cause) in refusals.into_iter().filter(|_| opened.is_ok()) {
                        tracing::warn!(model = %file.display(), ?level, cause, "opened at a lower level, refused at this");
                    }
                    return opened;
                }
            }
        }
        at(Level::Disable)
    }

    /// What reports call it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the model file.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// How long one picture took in the network when the backbone was opened, its first run left out.
    #[must_use]
    pub fn one_picture(&self) -> Duration {
        self.one_picture
    }

    /// What its embedding tensor turned out to be.
    #[must_use]
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Embeds a grey image; the width must be the manifest's and every value finite.
    fn proved(mut self, manifest: &Manifest) -> Result<Self, OpenError> {
        let (shape, values) = self.grey(manifest)?;
        let dim = self.space.dim;
        match pooled(&shape, &values, self.pool, dim, self.preprocess.layout) {
            Some(embedding) if embedding.len() == dim => {
                finite(&embedding, dim, 0)
                    .map_err(|source| OpenError::Probe { file: manifest.file.clone(), source })?;
                self.cut.shape = shape;
                Ok(self)
            }
            other => Err(OpenError::Mismatch {
                manifest: manifest.path.clone(),
                key: "embedding",
                expected: format!("dim {dim}, pool {}", self.pool.as_str()),
                found: match other {
                    Some(embedding) => format!("{} values an image in a tensor of shape {shape:?}", embedding.len()),
                    None => format!("a tensor of shape {shape:?}"),
                },
            }),
        }
    }

    /// Shape and values of the embedding tensor for a grey image.
    fn grey(&mut self, manifest: &Manifest) -> Result<(Vec<i64>, Vec<f32>), OpenError> {
        let grey = Rgb::new(8, 8, vec![128; 3 * 64]).expect("8 x 8 pixels of three bytes");
        let tensor = self.preprocess.apply(&grey);
        self.run(&tensor, 1).map_err(|source| OpenError::Fails { file: manifest.file.clone(), source: source.into() })
    }

    /// The embeddings of `n` prepared pictures, whatever their values; `None` inside where the tensor has other axes.
    pub(super) fn rows(&mut self, tensors: &[f32], n: usize) -> ort::Result<(Vec<i64>, Option<Vec<f32>>)> {
        let (shape, values) = self.run(tensors, n)?;
        let dim = self.space.dim;
        let rows = pooled(&shape, &values, self.pool, dim, self.preprocess.layout);
        Ok((shape, rows.filter(|rows| rows.len() == n * dim)))
    }

    /// Runs the network on `n` tensors, [`TOGETHER`] at a time or as many as the model fixes; returns the output's shape
    /// and values.
    fn run(&mut self, tensors: &[f32], n: usize) -> ort::Result<(Vec<i64>, Vec<f32>)> {
        let (h, w) = (self.preprocess.size.0 as usize, self.preprocess.size.1 as usize);
        let axes = |n| match self.preprocess.layout {
            Layout::Nchw => [n, 3, h, w],
            Layout::Nhwc => [n, h, w, 3],
        };
        let (mut shape, mut all) = (Vec::new(), Vec::new());
        let Some(batch) = self.batch else {
            let mut found = 0;
            for chunk in tensors.chunks(TOGETHER * 3 * h * w) {
                let input = TensorRef::from_array_view((axes(chunk.len() / (3 * h * w)), chunk))?;
                let outputs = self.session.run(ort::inputs![input])?;
                let (axes, values) = outputs[0].try_extract_tensor::<f32>()?;
                shape = axes.to_vec();
                found += shape.first().copied().unwrap_or(0);
                all.extend_from_slice(values);
            }
            // Not n: what gives another number of rows than it was given pictures must not look right.
            shape.first_mut().into_iter().for_each(|first| *first = found);
            return Ok((shape, all));
        };
        for chunk in tensors.chunks(batch * 3 * h * w) {
            let mut padded = chunk.to_vec();
            padded.resize(batch * 3 * h * w, 0.0);
            let outputs = self.session.run(ort::inputs![TensorRef::from_array_view((axes(batch), &*padded))?])?;
            let (found, values) = outputs[0].try_extract_tensor::<f32>()?;
            shape = found.to_vec();
            let images = chunk.len() / (3 * h * w);
            all.extend_from_slice(&values[..values.len() / batch * images]);
        }
        if let Some(first) = shape.first_mut() {
            *first = n as i64;
        }
        Ok((shape, all))
    }
}

impl Embedder for OnnxBackbone {
    fn space(&self) -> EmbeddingSpace {
        self.space
    }

    fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    fn embed(&mut self, tensors: &[f32], n: usize) -> Result<Vec<f32>, EmbedError> {
        if n == 0 {
            return Ok(Vec::new());
        }
        let failed = |source| EmbedError::Backend { n, source };
        let (shape, rows) = self.rows(tensors, n).map_err(|source| failed(Box::new(RuntimeMessage::from(source))))?;
        let dim = self.space.dim;
        let wrong = || format!("expected {n} embeddings of {dim} values, found a tensor of shape {shape:?}");
        let embeddings = rows.ok_or_else(|| failed(wrong().into()))?;
        finite(&embeddings, dim, 0)?;
        Ok(embeddings)
    }
}

/// The model of `manifest`, whose bytes were verified against the manifest, the functions in it replaced by their bodies.
///
/// # Errors
/// [`OpenError`] when the file cannot be read, is another one or no model.
pub fn read(manifest: &Manifest) -> Result<(Vec<u8>, Graph), OpenError> {
    let file = manifest.file.clone();
    let bytes = std::fs::read(&file).map_err(|source| match bundled::remedy_of(&manifest.path) {
        Some(remedy) if !file.exists() => OpenError::NotMade { file: file.clone(), remedy },
        _ => OpenError::Unreadable { file: file.clone(), manifest: manifest.path.clone(), source },
    })?;
    let found = Digest::of(&bytes);
    let whole = inlined(&bytes).and_then(|whole| Ok((Graph::read(&whole)?, whole)));
    match whole.map(|(graph, whole)| (graph, if let Cow::Owned(whole) = whole { Some(whole) } else { None })) {
        Ok((graph, whole)) if found == manifest.sha256 => Ok((whole.unwrap_or(bytes), graph)),
        Err(source) if found == manifest.sha256 => Err(OpenError::Model { file, source }),
        // A truncated file is distinguished from a different one: the remedy differs.
        Err(source @ BadModel::Truncated { .. }) => Err(OpenError::Model { file, source }),
        _ => Err(OpenError::Checksum { file, expected: manifest.sha256, found }),
    }
}

/// Whether a tensor of this type stands for real numbers; integers of 32 bits and more are places, counts and sums.
fn is_number(element: Element) -> bool {
    use Element::{Bfloat16, Float16, Float64, Int8, Int16, Uint8, Uint16};
    matches!(element, Bfloat16 | Float16 | Float64 | Int8 | Int16 | Uint8 | Uint16)
}

fn session(environment: &Environment, model: &[u8], threads: usize, level: Level) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(level)?
        .with_intra_threads(threads.max(1))?
        .with_inter_threads(1)?
        .commit_from_memory(model)
}

/// Compares the manifest's input with the model's; returns the batch when the model fixes it.
fn checked_input(graph: &Graph, manifest: &Manifest) -> Result<Option<usize>, OpenError> {
    let mismatch = |key, expected: String, found: String| OpenError::Mismatch {
        manifest: manifest.path.clone(),
        key,
        expected,
        found,
    };
    let names = || graph.inputs.iter().map(|input| format!("{:?}", input.name)).collect::<Vec<_>>().join(", ");
    let wanted = &manifest.input;
    let Some(input) = graph.inputs.iter().find(|input| input.name == *wanted) else {
        return Err(mismatch("input.tensor", format!("{wanted:?}"), format!("the inputs {}", names())));
    };
    if graph.inputs.len() > 1 {
        return Err(mismatch("input.tensor", "one input".into(), format!("the inputs {}", names())));
    }
    if graph.external_weights {
        return Err(mismatch("file", "one file".into(), "weights in files of their own".into()));
    }
    if input.element != "float32" {
        return Err(mismatch("input.tensor", "a float32 tensor".into(), format!("one of {}", input.element)));
    }
    let Some(shape) = &input.shape else { return Ok(None) };
    let (h, w) = (i64::from(manifest.preprocess.size.0), i64::from(manifest.preprocess.size.1));
    let (layout, expected) = match manifest.preprocess.layout {
        Layout::Nchw => ("nchw", [3, h, w]),
        Layout::Nhwc => ("nhwc", [h, w, 3]),
    };
    let fits = |(axis, length): (&Axis, i64)| matches!(axis, Axis::Free(_)) || *axis == Axis::Fixed(length);
    if shape.len() != 4 || !shape[1..].iter().zip(expected).all(fits) {
        let axes = shape.iter().map(|axis| match axis {
            Axis::Fixed(length) => length.to_string(),
            Axis::Free(name) => if name.is_empty() { "?" } else { name }.to_owned(),
        });
        let found = format!("an input of shape [{}]", axes.collect::<Vec<_>>().join(", "));
        return Err(mismatch("input", format!("size [{h}, {w}], layout {layout}"), found));
    }
    match shape[0] {
        Axis::Fixed(batch @ 1..=1024) => Ok(Some(batch as usize)),
        Axis::Fixed(batch) => Err(mismatch("input", "a batch of 1 to 1024".into(), batch.to_string())),
        Axis::Free(_) => Ok(None),
    }
}

fn finite(embeddings: &[f32], dim: usize, first_image: usize) -> Result<(), EmbedError> {
    match embeddings.iter().position(|value| !value.is_finite()) {
        Some(at) => {
            Err(EmbedError::NotFinite { image: first_image + at / dim, place: at % dim, value: embeddings[at] })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_finite_is_named_by_image_and_place() {
        let error = finite(&[0.0, 1.0, 2.0, f32::NAN], 2, 0).unwrap_err();
        assert!(matches!(error, EmbedError::NotFinite { image: 1, place: 1, value } if value.is_nan()), "{error}");
    }
}
