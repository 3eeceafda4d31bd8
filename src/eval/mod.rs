//! How good a head is, and whether it may serve: metrics, intervals, the promotion gate.
//!
//! Every figure carries an interval from a bootstrap over groups, since frames of one burst are not independent
//! evidence. [`compare()`] scores challenger and champion on the same samples, each by a model that had not seen them;
//! `gate` alone decides.

mod bootstrap;
mod compare;
mod figures;
pub mod gate;

pub use compare::{Comparison, compare};
pub use figures::figures;
