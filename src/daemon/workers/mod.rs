//! The daemon's background work, a file for each worker. They read and compute; what follows is the engine's matter.

pub(crate) mod backbone_swap;
mod export;
pub(crate) mod ingest;
pub(crate) mod online_learning;
pub(crate) mod query;
pub(crate) mod train;
mod training_data;
pub(crate) mod update;
