//! How good a head is, whether it may serve, and when it should doubt: metrics, intervals, the promotion gate,
//! calibration; and what life tells of it: live results, drift, what to ask, what was forgotten, what can go.
//!
//! Every figure carries an interval from a bootstrap over groups, since frames of one burst are not independent
//! evidence. [`compare()`] scores challenger and champion on the same samples, each by a model that had not seen them;
//! `gate` alone decides. [`calibrate()`] makes the sets and the threshold by which a head in service doubts.

pub mod advice;
mod bootstrap;
pub mod budget;
mod calibrate;
mod compare;
mod conformal;
pub mod drift;
mod figures;
pub mod forgetting;
pub mod gate;
pub mod live;
mod novelty;
pub mod review;
mod sign_test;
pub mod suspicious;

pub use calibrate::calibrate;
pub use compare::{Comparison, compare, compare_across, compare_pushed};
pub use conformal::conformal;
pub use figures::figures;
pub use novelty::novelty;
pub use sign_test::sign_test;
