//! Labels that take effect before the next training.
//!
//! `class_stats` holds exact sums of all samples, `label_stats` adds which sample counted as what, `online_lda` keeps
//! the discriminant of those sums up to date, and `learner` makes of it and of the newest labels the `overlay` that
//! corrects the champion's answers. (Decision 10.)

pub(crate) mod catch_up;
pub(crate) mod class_stats;
pub(crate) mod label_stats;
pub(crate) mod learner;
pub(crate) mod online_lda;
