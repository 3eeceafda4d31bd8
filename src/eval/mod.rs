//! Evaluation: metrics with intervals, the promotion gate, calibration; and in service live accuracy, drift, the review
//! list, label errors, forgetting and eviction.
//!
//! Every figure carries an interval from a bootstrap over groups, since frames of one burst are not independent
//! evidence. [`compare()`] scores challenger and champion on the same samples, each by a model that had not seen them;
//! `gate` alone decides, on the labels that
//! [`belief`] takes for evidence. [`calibrate()`] makes the prediction sets and the threshold for unknown images.

pub mod belief;
pub mod budget;
mod calibrate;
mod compare;
#[cfg(test)]
mod degenerate_tests;
pub mod drift;
mod figures;
pub mod forgetting;
pub mod gate;
mod held_out_answers;
pub mod label_errors;
pub mod live;
pub mod next_class;
mod novelty;
mod projection;
pub mod proportion;
pub mod review;
mod statistics;

pub use calibrate::{calibrate, conformal};
pub use compare::{Comparison, compare, compare_across, compare_phases, compare_pushed, held_out_answers};
pub use figures::figures;
pub use held_out_answers::{HeldOutAnswer, HeldOutAnswers};
pub use novelty::novelty;
pub use projection::{PROJECTION_SAMPLES, Projection};
pub use statistics::sign_test;
