//! The daemon's background work, a file for each worker. They read and compute; what follows is the engine's matter.

pub(crate) mod backbone_swap;
mod export;
mod fit;
pub(crate) mod ingest;
pub(crate) mod job;
pub(crate) mod online_learning;
pub(crate) mod query;
mod review_query;
pub(crate) mod train;
mod training_data;
pub(crate) mod update;
