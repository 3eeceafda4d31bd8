//! The daemon's background work, a file for each worker. Workers read and compute; the engine decides what follows.
//!
//! `ingest`, `online_learning` and `query` run all the time. `train`, `update` and `backbone_swap` are jobs ([`job`]): a thread
//! for each, with pauses and a time limit.

pub(crate) mod backbone_swap;
mod belief;
mod export;
pub(crate) mod fleet;
mod frames;
pub(crate) mod ingest;
pub(crate) mod job;
pub(crate) mod online_learning;
mod parts;
mod pictures;
pub(crate) mod query;
mod review_query;
pub(super) mod scenes;
mod task_learner;
pub(crate) mod train;
pub(crate) mod tuning;
pub(crate) mod unseen;
pub(crate) mod update;
