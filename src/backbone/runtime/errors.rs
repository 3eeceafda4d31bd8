//! Why a backbone does not open.

use std::path::PathBuf;

use super::RuntimeMissing;
use super::message::RuntimeMessage;
use crate::backbone::onnx::graph::BadModel;
use crate::ports::EmbedError;
use crate::wire::{RefusedProvider, reasons};
use crate::words::Digest;

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
    /// The model file of a bundled backbone was never made, or is lost.
    #[error("the model {} is not there: {remedy}", .file.display())]
    NotMade {
        /// The model.
        file: PathBuf,
        /// How to get it.
        remedy: &'static str,
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
        key: String,
        /// By the manifest.
        expected: String,
        /// By the model.
        found: String,
    },
    /// ONNX Runtime refuses the model at every optimisation level.
    #[error("ONNX Runtime refuses the model {}, so export it again or choose another backbone", .file.display())]
    Refused {
        /// The model.
        file: PathBuf,
        /// Why, at the lowest level.
        #[source]
        source: RuntimeMessage,
    },
    /// The network fails on the probe image.
    #[error("the model {} fails on a grey probe image, so export it again or choose another tensor or backbone",
        .file.display())]
    Fails {
        /// The model.
        file: PathBuf,
        /// Why.
        #[source]
        source: RuntimeMessage,
    },
    /// The embedding tensor holds no numbers to compute with.
    #[error("the tensor {tensor:?} of the model {} is of {found}, an embedding is of float32, or of numbers that become so: \
             choose another tensor", .file.display())]
    Element {
        /// The model.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What it holds.
        found: String,
    },
    /// Steps before the embedding are in training mode.
    #[error("the model {} has {what} in training mode, so an embedding depends on chance or on other pictures; export it \
             again in inference mode (PyTorch: model.eval(), Keras: training=False)", .file.display())]
    Training {
        /// The model.
        file: PathBuf,
        /// Which steps.
        what: &'static str,
    },
    /// The same picture gets different embeddings.
    #[error("the model {} gives the same picture another embedding every time, {:.1} % apart: it draws random numbers; \
             export it again in inference mode (PyTorch: model.eval()), or choose a tensor before them",
        .file.display(), 100.0 * .apart)]
    Unsteady {
        /// The model.
        file: PathBuf,
        /// The distance of two, as a share of their length.
        apart: f32,
    },
    /// The embedding of a picture depends on others.
    #[error("the model {} gives a picture another embedding beside other pictures than alone, {:.1} % apart: a step of it \
             computes with the whole batch; export it again in inference mode (PyTorch: model.eval()), or with a fixed \
             batch of 1", .file.display(), 100.0 * .apart)]
    Neighbours {
        /// The model.
        file: PathBuf,
        /// The distance of both, as a share of their length.
        apart: f32,
    },
    /// No execution provider that was asked for computes the model, and the CPU was not asked for.
    #[error("no execution provider of [{}] computes the model {}: {}; put cpu at the end of backbone.execution_providers to \
             fall back to it, or correct backbone.providers: docs/accelerators.md",
        .asked.join(", "), .file.display(), reasons(.refused))]
    Provider {
        /// The model.
        file: PathBuf,
        /// Names of the providers, in order.
        asked: Vec<String>,
        /// Why not.
        refused: Vec<RefusedProvider>,
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
    /// True when the runtime library or an execution provider is what is missing (exit code 69), false when the model or its manifest is wrong
    /// (exit code 78).
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Runtime(_) | Self::Provider { .. })
    }
}
