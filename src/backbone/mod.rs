//! The frozen network: manifests, the ONNX Runtime library, sessions, and the graph surgery for inner tensors.
//!
//! A backbone opens only if everything its manifest says of it is true: the bytes' SHA-256, the input's shape, the
//! embedding's width, and a probe image whose embedding is finite. Its identity covers the model's bytes, the tensor
//! and the preprocessing, so embeddings of two backbones never mix.

pub mod bundled;
mod export;
mod flow;
mod graph;
mod inspect;
mod manifest;
mod manifest_text;
mod normalization;
mod pipeline;
mod pooling;
mod proof;
mod propose;
mod reader;
mod runtime;
mod session;
mod tail;
mod verify;
mod wire;

pub use export::{CannotExport, PROBABILITIES, with_head};
pub use graph::{Axis, BadModel, Graph, Node, Tensor, expose};
pub use inspect::{Candidate, InspectError, Inspection, inspect};
pub use manifest::{BadManifest, Embedding, Manifest, ManifestProblem, Pool};
pub use normalization::{NORMALIZATIONS, Normalization};
pub use pipeline::{ItemError, embed_all};
pub use proof::{Proof, Unproved};
pub use propose::{BadProposal, Proposal, Wishes, propose, settle};
pub use runtime::{RuntimeMissing, environment, runtime_version};
pub use session::{OnnxBackbone, OpenError, read};
pub use verify::{Unfit, Verified, verify};
