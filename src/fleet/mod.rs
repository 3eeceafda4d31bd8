//! What many devices learned, put together from sums: no picture, embedding or identity of one leaves a device.
//!
//! Counts, means and pooled scatter of labelled embeddings add up exactly, so the sums of many devices are those of all
//! their pictures in one place, and heads can be made of them.
//!
//! | module | holds |
//! | --- | --- |
//! | `statistics` | [`Statistics`]: what a device shares, and what it holds back |
//! | `bytes` | the file that they travel as |
//! | `projection` | [`Projection`]: fewer values, for a slow link |
//! | `merge` | [`Merge`]: sums of many devices in any order, the table of classes by device |
//! | `disagreements` | [`Disagreement`]: a class that a device sees differently from the others |
//! | `heads` | heads from sums alone |
//! | `scores` | [`Score`]: a head measured on a device's own images, as numbers; which head is chosen, which device is left out |
//!
//! Pure: files, brokers and devices are the callers'.

mod bytes;
mod disagreements;
mod heads;
mod merge;
mod projection;
mod scores;
mod statistics;

pub use bytes::BadStatistics;
pub use disagreements::Disagreement;
pub use heads::{Candidate, FleetHead, HeadKind, NoHead, candidates};
pub use merge::{Aliases, CannotMerge, Merge, Merged};
pub use projection::Projection;
pub use scores::{Best, Score, TEMPERATURES, Trial, choose, harm, score};
pub use statistics::{NothingShared, Source, Statistics};
