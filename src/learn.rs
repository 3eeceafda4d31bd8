//! The modules that compute and touch nothing: the package `edgetuned-learn`.
//!
//! They compile without the rest of the project and are optimised in every profile. [`edgetuned`](../edgetuned)
//! re-exports each under its own name, so that a path is the same on both sides. Start at [`train`] for how a head is
//! fitted, at [`eval`] for how it is judged.

pub mod eval;
pub mod fleet;
pub mod head;
pub mod image;
pub mod train;
pub mod words;
