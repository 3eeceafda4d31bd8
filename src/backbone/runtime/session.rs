//! A model in ONNX Runtime that answers as an [`Embedder`].

use std::borrow::Cow;
use std::path::Path;
use std::time::Duration;

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel as Level;
use ort::value::{TensorElementType as Element, TensorRef};

use super::environment;
use super::errors::OpenError;
use super::input::checked_input;
use super::message::RuntimeMessage;
use super::provider::Way;
use crate::backbone::bundled;
use crate::backbone::inner::CHANNELS_MAX;
use crate::backbone::manifest::{Embedding, Manifest};
use crate::backbone::onnx::functions::inlined;
use crate::backbone::onnx::graph::{BadModel, Graph, expose};
use crate::backbone::onnx::replace::replaced;
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
    /// With the channels of its inner tensors.
    pub(super) embedding: Embedding,
    /// Images a run when the model's first axis is fixed, or more at once are not to be had.
    pub(super) batch: Option<usize>,
    pub(super) cut: Cut,
    pub(super) one_picture: Duration,
    pub(super) manifest: Manifest,
    pub(super) way: Way,
    /// Versions of its last layers that it computes besides.
    pub(super) tails: usize,
}

/// What the tensors that a backbone's embeddings are taken from turned out to be when it was run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The embedding tensor.
    pub embedding: Taken,
    /// The inner tensors, in the order of the manifest.
    pub inner: Vec<Taken>,
    /// Why pictures go through the network one at a time, where they must though its input takes more.
    pub alone: Option<Alone>,
}

/// One tensor of a running model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// For one picture.
    pub shape: Vec<i64>,
    /// How its values become float32, where they are of another type.
    pub widening: Option<Widening>,
}

/// What the model made of some pictures in one of its tensors.
pub(super) struct Output {
    pub shape: Vec<i64>,
    pub values: Vec<f32>,
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
    /// Opens the model of `manifest` on `threads` threads of the CPU (0 counts as 1) and proves it on a mid-grey image and on two
    /// others: that an embedding depends on its picture alone.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the model stays in memory then.
    pub fn open(manifest: &Manifest, threads: usize) -> Result<Self, OpenError> {
        Self::open_by(manifest, &Way::on_cpu(threads))
    }

    /// The same in the way of another backbone, of the same model or with another tail.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the model stays in memory then.
    pub fn open_by(manifest: &Manifest, way: &Way) -> Result<Self, OpenError> {
        Self::open_recorded(manifest, way, None)
    }

    /// The same; with a `profile`, the runs that prove it are recorded in a file whose name begins so.
    pub(super) fn open_recorded(manifest: &Manifest, way: &Way, profile: Option<&Path>) -> Result<Self, OpenError> {
        Self::attempt(manifest, way, profile, |backbone, model| backbone.proved(manifest)?.steady(manifest, model))
    }

    /// The shape that the manifest's embedding tensor has for one mid-grey image; the other keys of `embedding` do not
    /// matter.
    ///
    /// # Errors
    /// [`OpenError`], as of [`open`](Self::open).
    pub fn shape(manifest: &Manifest) -> Result<Vec<i64>, OpenError> {
        let embedding = Embedding { inner: Vec::new(), ..manifest.embedding.clone() };
        let alone = Manifest { embedding, ..manifest.clone() };
        Self::attempt(&alone, &Way::on_cpu(1), None, |mut backbone, _| {
            Ok(backbone.grey(manifest)?.swap_remove(0).shape)
        })
    }

    /// The result of `use_it` on the backbone and the model that it runs, opened at the highest optimisation level at
    /// which both succeed.
    fn attempt<T>(
        manifest: &Manifest,
        way: &Way,
        profile: Option<&Path>,
        use_it: impl Fn(Self, &[u8]) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let environment = environment()?;
        let file = manifest.file.clone();
        let unusable = |source| OpenError::Model { file: file.clone(), source };
        let (bytes, graph) = read(manifest)?;
        let batch = checked_input(&graph, manifest)?;
        let mut embedding = manifest.embedding.clone();
        embedding.resolve(&graph, &manifest.preprocess);
        let tensors = embedding.tensors();
        let model = expose(&bytes, &graph, &tensors).map_err(unusable)?;
        drop(bytes);
        let (space, sha256) = (EmbeddingSpace { dim: embedding.width(), ..manifest.space() }, manifest.sha256);
        let at = |level: Level| {
            let refused = |source| OpenError::Refused { file: file.clone(), source };
            let mut opened = way.session(&environment, (&model, level), profile).map_err(refused)?;
            let mut ways = Vec::with_capacity(tensors.len());
            for (tensor, output) in tensors.iter().zip(opened.outputs()) {
                ways.push(match output.dtype().tensor_type() {
                    Some(Element::Float32) | None => None,
                    Some(other) if is_number(other) => Some(Widening::of(&graph, tensor)),
                    Some(other) => {
                        let (tensor, found) = ((*tensor).to_owned(), format!("{other:?}").to_lowercase());
                        return Err(OpenError::Element { file: file.clone(), tensor, found });
                    }
                });
            }
            if ways.iter().any(Option::is_some) {
                let named: Vec<_> = tensors.iter().copied().zip(ways.iter().cloned()).collect();
                let wide = widened(&model, &named).map_err(unusable)?;
                opened = way.session(&environment, (&wide, level), profile).map_err(refused)?;
            }
            let mut taken = ways.into_iter().map(|widening| Taken { shape: Vec::new(), widening });
            let cut = Cut { embedding: taken.next().unwrap_or_default(), inner: taken.collect(), alone: None };
            let backbone = Self {
                session: opened,
                name: manifest.name.clone(),
                sha256,
                space,
                preprocess: manifest.preprocess.clone(),
                embedding: embedding.clone(),
                batch,
                cut,
                one_picture: Duration::ZERO,
                manifest: manifest.clone(),
                way: way.clone(),
                tails: 0,
            };
            use_it(backbone, &model)
        };
        if way.is_strict() {
            // What is refused for a step on the CPU is so at every level.
            return at(Level::All);
        }
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

    /// Widths of the parts of an embedding, for [`Dataset::in_parts`](crate::train::Dataset::in_parts).
    #[must_use]
    pub fn parts(&self) -> Vec<usize> {
        self.embedding.parts()
    }

    /// The manifest that it was opened by, with the provider whose embeddings are its own.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How its session was made.
    #[must_use]
    pub fn way(&self) -> &Way {
        &self.way
    }

    /// What its tensors turned out to be.
    #[must_use]
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// Embeds a grey image; the widths must be the manifest's and every value finite.
    fn proved(mut self, manifest: &Manifest) -> Result<Self, OpenError> {
        let outputs = self.grey(manifest)?;
        let row = self.joined(&outputs, 1).map_err(|place| {
            let (key, expected, found) = self.unfitting(place, &outputs[place]);
            OpenError::Mismatch { manifest: manifest.path.clone(), key, expected, found }
        })?;
        finite(&row, row.len(), 0).map_err(|source| OpenError::Probe { file: manifest.file.clone(), source })?;
        let taken = std::iter::once(&mut self.cut.embedding).chain(&mut self.cut.inner);
        taken.zip(outputs).for_each(|(taken, output)| taken.shape = output.shape);
        Ok(self)
    }

    /// Key, what was expected and what was found where the output at `place`, for one picture, is not what it should be.
    fn unfitting(&self, place: usize, Output { shape, values }: &Output) -> (String, String, String) {
        let Embedding { dim, pool, inner, .. } = &self.embedding;
        let plain = format!("a tensor of shape {shape:?}");
        let Some(inner) = place.checked_sub(1).map(|entry| &inner[entry]) else {
            let found = match pooled(shape, values, *pool, *dim, self.preprocess.layout) {
                Some(embedding) => format!("{} values an image in {plain}", embedding.len()),
                None => plain,
            };
            return ("embedding".into(), format!("dim {dim}, pool {}", pool.as_str()), found);
        };
        let expected = match inner.channels {
            Some(channels) => format!("a map (1, h, w) of one picture with {channels} channels"),
            None => format!(
                "a map (1, h, w) of one picture with 1 to {CHANNELS_MAX} channels, as many as a convolution before it or \
                 its shape in the model file says"
            ),
        };
        (format!("embedding.inner[{}].tensor", place - 1), expected, format!("{plain} in {:?}", inner.tensor))
    }

    /// What a grey image gives.
    fn grey(&mut self, manifest: &Manifest) -> Result<Vec<Output>, OpenError> {
        let grey = Rgb::new(8, 8, vec![128; 3 * 64]).expect("8 x 8 pixels of three bytes");
        let tensor = self.preprocess.apply(&grey);
        self.run(&tensor, 1).map_err(|source| OpenError::Fails { file: manifest.file.clone(), source: source.into() })
    }

    /// The embeddings of `n` prepared pictures, whatever their values; `None` inside where a tensor has other axes, the
    /// first one of which has the shape beside it.
    pub(super) fn rows(&mut self, tensors: &[f32], n: usize) -> ort::Result<(Vec<i64>, Option<Vec<f32>>)> {
        let mut outputs = self.run(tensors, n)?;
        let (place, rows) = match self.joined(&outputs, n) {
            Ok(rows) => (0, Some(rows)),
            Err(place) => (place, None),
        };
        Ok((outputs.swap_remove(place).shape, rows))
    }

    /// The embeddings (n, width) of what the network made of `n` pictures: values of the embedding tensor, then those of
    /// the inner ones; where an output has other axes, its place.
    pub(super) fn joined(&self, outputs: &[Output], n: usize) -> Result<Vec<f32>, usize> {
        let (Embedding { dim, pool, inner, .. }, layout) = (&self.embedding, self.preprocess.layout);
        let values = outputs.first().and_then(|first| pooled(&first.shape, &first.values, *pool, *dim, layout));
        let values = values.filter(|rows| rows.len() == n * dim).ok_or(0_usize)?;
        if inner.is_empty() {
            return Ok(values);
        }
        let mut parts = vec![(values, *dim)];
        for (entry, (inner, output)) in inner.iter().zip(&outputs[1..]).enumerate() {
            let rows = inner.rows(&output.shape, &output.values, layout);
            parts.push((rows.filter(|rows| rows.len() == n * inner.width()).ok_or(entry + 1)?, inner.width()));
        }
        let row = |picture: usize| parts.iter().flat_map(move |(rows, width)| &rows[picture * width..][..*width]);
        Ok((0..n).flat_map(row).copied().collect())
    }

    /// Runs the network on `n` tensors, [`TOGETHER`] at a time or as many as the model fixes; returns what its outputs are
    /// for all of them.
    pub(super) fn run(&mut self, tensors: &[f32], n: usize) -> ort::Result<Vec<Output>> {
        let (h, w) = (self.preprocess.size.0 as usize, self.preprocess.size.1 as usize);
        let axes = |n| match self.preprocess.layout {
            Layout::Nchw => [n, 3, h, w],
            Layout::Nhwc => [n, h, w, 3],
        };
        let mut all: Vec<Output> = Vec::new();
        all.resize_with(1 + self.embedding.inner.len() + self.tails, || Output {
            shape: Vec::new(),
            values: Vec::new(),
        });
        let Some(batch) = self.batch else {
            for chunk in tensors.chunks(TOGETHER * 3 * h * w) {
                let input = TensorRef::from_array_view((axes(chunk.len() / (3 * h * w)), chunk))?;
                let outputs = self.session.run(ort::inputs![input])?;
                for (place, all) in all.iter_mut().enumerate() {
                    let (axes, values) = outputs[place].try_extract_tensor::<f32>()?;
                    let before = all.shape.first().copied().unwrap_or(0);
                    all.shape = axes.to_vec();
                    // Not n: what gives another number of rows than it was given pictures must not look right.
                    all.shape.first_mut().into_iter().for_each(|first| *first += before);
                    all.values.extend_from_slice(values);
                }
            }
            return Ok(all);
        };
        for chunk in tensors.chunks(batch * 3 * h * w) {
            let mut padded = chunk.to_vec();
            padded.resize(batch * 3 * h * w, 0.0);
            let outputs = self.session.run(ort::inputs![TensorRef::from_array_view((axes(batch), &*padded))?])?;
            let images = chunk.len() / (3 * h * w);
            for (place, all) in all.iter_mut().enumerate() {
                let (axes, values) = outputs[place].try_extract_tensor::<f32>()?;
                all.shape = axes.to_vec();
                all.shape.first_mut().into_iter().for_each(|first| *first = n as i64);
                all.values.extend_from_slice(&values[..values.len() / batch * images]);
            }
        }
        Ok(all)
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

/// The model of `manifest`, whose bytes were verified against the manifest, the functions in it replaced by their bodies and
/// the weights of its tail, where it has one, in place of its own.
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
        Ok((graph, whole)) if found == manifest.sha256 => {
            let bytes = whole.unwrap_or(bytes);
            let Some(tail) = &manifest.tail else { return Ok((bytes, graph)) };
            let tuned = replaced(&bytes, &tail.weights).map_err(|source| OpenError::Model { file, source })?;
            Ok((tuned, graph))
        }
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
