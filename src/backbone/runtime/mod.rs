//! ONNX Runtime: the library, sessions, the pipeline for many images, and the check of a model that is new.

pub(super) mod library;
pub(super) mod pipeline;
pub(super) mod session;
pub(super) mod verify;
