//! A model in ONNX Runtime that answers as an [`Embedder`].

use std::path::PathBuf;

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel as Level;
use ort::value::TensorRef;

use super::{RuntimeMissing, environment};
use crate::backbone::manifest::{Manifest, Pool};
use crate::backbone::onnx::graph::{Axis, BadModel, Graph, expose};
use crate::backbone::pooling::pooled;
use crate::image::{Layout, Preprocess, Rgb};
use crate::ports::{EmbedError, Embedder};
use crate::words::{Digest, EmbeddingSpace};

/// A frozen network in ONNX Runtime, proved on a probe image.
#[derive(Debug)]
pub struct OnnxBackbone {
    session: Session,
    name: String,
    sha256: Digest,
    space: EmbeddingSpace,
    preprocess: Preprocess,
    pool: Pool,
    /// Images a run when the model's first axis is fixed.
    batch: Option<usize>,
}

/// Why a backbone does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The runtime library is missing: something needed is unavailable.
    #[error(transparent)]
    Runtime(#[from] RuntimeMissing),
    /// The model file cannot be read.
    #[error("cannot read the model {}: correct 'file' in {}", .file.display(), .manifest.display())]
    Unreadable {
        /// The model.
        file: PathBuf,
        /// Its manifest.
        manifest: PathBuf,
        /// The system's own words.
        #[source]
        source: std::io::Error,
    },
    /// Other bytes than the manifest promises.
    #[error("the model {} has SHA-256 {found}, its manifest expects {expected}: fetch the model again, or correct \
             'sha256' if the new file is meant", .file.display())]
    Checksum {
        /// The model.
        file: PathBuf,
        /// By the manifest.
        expected: Digest,
        /// Of the file.
        found: Digest,
    },
    /// No ONNX model, a truncated one, or one without the tensor.
    #[error("cannot use the model {}", .file.display())]
    Model {
        /// The model.
        file: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BadModel,
    },
    /// Something in the manifest is not true of the model.
    #[error("{} does not fit its model: {key} says {expected}, the model has {found}; correct the manifest",
        .manifest.display())]
    Mismatch {
        /// The manifest.
        manifest: PathBuf,
        /// The manifest's key.
        key: &'static str,
        /// By the manifest.
        expected: String,
        /// By the model.
        found: String,
    },
    /// ONNX Runtime refuses the model at every optimisation level.
    #[error("ONNX Runtime refuses the model {}: convert it again, or choose another backbone", .file.display())]
    Refused {
        /// The model.
        file: PathBuf,
        /// The runtime's own words, at the lowest level.
        #[source]
        source: ort::Error,
    },
    /// The probe image fails.
    #[error("the model {} fails on a grey probe image: check mean, std and scale in its manifest", .file.display())]
    Probe {
        /// The model.
        file: PathBuf,
        /// How.
        #[source]
        source: EmbedError,
    },
}

impl OpenError {
    /// True when the runtime library is what is missing (exit code 69), false when the model or its manifest is wrong
    /// (exit code 78).
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Runtime(_))
    }
}

impl OnnxBackbone {
    /// Opens the model of `manifest` on `threads` threads (0 counts as 1) and proves it on a mid-grey image.
    ///
    /// # Errors
    /// [`OpenError`]; nothing of the model stays in memory then.
    pub fn open(manifest: &Manifest, threads: usize) -> Result<Self, OpenError> {
        Self::attempt(manifest, threads, |backbone| backbone.proved(manifest))
    }

    /// The shape that the manifest's embedding tensor has for one mid-grey image; `embedding.dim` and `embedding.pool`
    /// do not matter.
    ///
    /// # Errors
    /// [`OpenError`], as of [`open`](Self::open).
    pub fn shape(manifest: &Manifest) -> Result<Vec<i64>, OpenError> {
        Self::attempt(manifest, 1, |mut backbone| Ok(backbone.grey(manifest)?.0))
    }

    /// The result of `use_it` on the backbone, opened at the highest optimisation level at which both succeed.
    fn attempt<T>(
        manifest: &Manifest,
        threads: usize,
        use_it: impl Fn(Self) -> Result<T, OpenError>,
    ) -> Result<T, OpenError> {
        let environment = environment()?;
        let file = manifest.file.clone();
        let unusable = |source| OpenError::Model { file: file.clone(), source };
        let (bytes, graph) = read(manifest)?;
        let batch = checked_input(&graph, manifest)?;
        let model = expose(&bytes, &graph, &manifest.embedding.tensor).map_err(unusable)?;
        drop((bytes, graph));
        let (space, sha256) = (manifest.space(), manifest.sha256);
        let at = |level: Level| {
            session(&environment, &model, threads, level)
                .map_err(|source| OpenError::Refused { file: file.clone(), source })
                .and_then(|session| {
                    let (name, preprocess) = (manifest.name.clone(), manifest.preprocess.clone());
                    let pool = manifest.embedding.pool;
                    use_it(Self { session, name, sha256, space, preprocess, pool, batch })
                })
        };
        for level in [Level::All, Level::Level2, Level::Level1] {
            match at(level) {
                Err(error @ (OpenError::Refused { .. } | OpenError::Probe { .. })) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(model = %file.display(), ?level, cause, "refused, trying the next lower level");
                }
                opened => return opened,
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

    /// Embeds a grey image; the width must be the manifest's and every value finite.
    fn proved(mut self, manifest: &Manifest) -> Result<Self, OpenError> {
        let (shape, values) = self.grey(manifest)?;
        let dim = self.space.dim;
        match pooled(&shape, &values, self.pool, dim, self.preprocess.layout) {
            Some(embedding) if embedding.len() == dim => {
                finite(&embedding, dim, 0)
                    .map_err(|source| OpenError::Probe { file: manifest.file.clone(), source })?;
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
        let failed = |source| OpenError::Probe { file: manifest.file.clone(), source: backend(1, source) };
        self.run(&tensor, 1).map_err(failed)
    }

    /// Runs the network on `n` tensors; returns the output's shape and values.
    fn run(&mut self, tensors: &[f32], n: usize) -> ort::Result<(Vec<i64>, Vec<f32>)> {
        let (h, w) = (self.preprocess.size.0 as usize, self.preprocess.size.1 as usize);
        let axes = |n| match self.preprocess.layout {
            Layout::Nchw => [n, 3, h, w],
            Layout::Nhwc => [n, h, w, 3],
        };
        let Some(batch) = self.batch else {
            let outputs = self.session.run(ort::inputs![TensorRef::from_array_view((axes(n), tensors))?])?;
            let (shape, values) = outputs[0].try_extract_tensor::<f32>()?;
            return Ok((shape.to_vec(), values.to_vec()));
        };
        let (mut shape, mut all) = (Vec::new(), Vec::new());
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
        let (shape, values) = self.run(tensors, n).map_err(|source| backend(n, source))?;
        let dim = self.space.dim;
        let embeddings = pooled(&shape, &values, self.pool, dim, self.preprocess.layout)
            .filter(|embeddings| embeddings.len() == n * dim)
            .ok_or_else(|| EmbedError::Backend {
                n,
                source: format!("expected {n} embeddings of {dim} values, found a tensor of shape {shape:?}").into(),
            })?;
        finite(&embeddings, dim, 0)?;
        Ok(embeddings)
    }
}

/// The model of `manifest`, whose bytes and outputs were verified against the manifest.
///
/// # Errors
/// [`OpenError`] when the file cannot be read, is another one or no model.
pub fn read(manifest: &Manifest) -> Result<(Vec<u8>, Graph), OpenError> {
    let file = manifest.file.clone();
    let bytes = std::fs::read(&file).map_err(|source| OpenError::Unreadable {
        file: file.clone(),
        manifest: manifest.path.clone(),
        source,
    })?;
    let found = Digest::of(&bytes);
    match Graph::read(&bytes) {
        Ok(graph) if found == manifest.sha256 => Ok((bytes, graph)),
        Err(source) if found == manifest.sha256 => Err(OpenError::Model { file, source }),
        // A truncated file is distinguished from a different one: the remedy differs.
        Err(source @ BadModel::Truncated { .. }) => Err(OpenError::Model { file, source }),
        _ => Err(OpenError::Checksum { file, expected: manifest.sha256, found }),
    }
}

fn backend(n: usize, source: ort::Error) -> EmbedError {
    EmbedError::Backend { n, source: Box::new(source) }
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
