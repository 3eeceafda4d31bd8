//! The frozen network: manifests, ONNX Runtime (`runtime`), and the inspection and editing of ONNX files (`onnx`).
//!
//! A backbone opens only if its manifest is correct: the SHA-256 of the model, the input's shape, the embedding's width,
//! a finite embedding of a probe image, and embeddings that depend on one picture alone. Its identity covers the model's bytes, the tensors
//! and the preprocessing, so embeddings of two backbones never mix.

pub mod bundled;
#[cfg(test)]
#[allow(dead_code, reason = "shared with the tests that run such files")]
#[path = "../../tests/support/onnx.rs"]
pub(crate) mod drawn;
mod export;
mod inner;
mod inspect;
mod manifest;
mod manifest_text;
mod metadata;
mod normalization;
mod onnx;
mod pace;
mod pooling;
mod propose;
mod runtime;
mod trainable;

pub use export::{CannotExport, PROBABILITIES, Proof, Unproved, with_head};
pub use inner::{CHANNELS_MAX, INNER_MAX, Inner, Stat};
pub use inspect::{Candidate, InspectError, Inspection, inspect};
pub use manifest::{BadManifest, Embedding, Manifest, ManifestProblem, Pool};
pub use normalization::{NORMALIZATIONS, Normalization};
pub use onnx::graph::{Axis, BadModel, Graph, Node, Tensor, expose};
pub use onnx::widen::Widening;
pub use pace::{SLOW, Slow};
pub use propose::{BadProposal, Proposal, Wishes, complete, propose};
pub use runtime::errors::OpenError;
pub use runtime::message::RuntimeMessage;
pub use runtime::pipeline::{ItemError, OfRegions, embed_all, embed_regions};
pub use runtime::provider::{ProviderFigures, Way, measure_provider};
pub use runtime::session::{Alone, Cut, OnnxBackbone, Taken, read};
pub use runtime::verify::{Unfit, Verified, verify};
pub use runtime::{RuntimeMissing, environment, runtime_version};
pub use trainable::{NotTrainable, tail_input, tail_network};
