//! The frozen network: manifests, the ONNX Runtime library, sessions, and the graph surgery for inner tensors.
//!
//! A backbone opens only if everything its manifest says of it is true: the bytes' SHA-256, the input's shape, the
//! embedding's width, and a probe image whose embedding is finite. Its identity covers the model's bytes, the tensor
//! and the preprocessing, so embeddings of two backbones never mix.

pub mod bundled;
mod graph;
mod inspect;
mod manifest;
mod pipeline;
mod reader;
mod runtime;
mod session;
mod wire;

pub use graph::{Axis, BadModel, Graph, Node, Tensor, expose};
pub use inspect::{Candidate, InspectError, Inspection, inspect};
pub use manifest::{BadManifest, Embedding, Manifest, ManifestProblem, Pool};
pub use pipeline::{ItemError, embed_all};
pub use runtime::{RuntimeMissing, environment, runtime_version};
pub use session::{OnnxBackbone, OpenError};
