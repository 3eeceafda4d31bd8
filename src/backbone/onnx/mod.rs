//! ONNX files as bytes: their wire format, the graph in them, walks through it, and the layers that are added to it.
//!
//! Nothing here knows ONNX Runtime or manifests.

pub(super) mod channels;
pub(super) mod flow;
pub(super) mod functions;
pub(super) mod graph;
pub(super) mod layer;
pub(super) mod operators;
pub(super) mod reader;
pub(super) mod replace;
pub(super) mod tail;
pub(super) mod tails;
pub(super) mod values;
pub(super) mod waist;
pub(super) mod widen;
pub(super) mod wire;
