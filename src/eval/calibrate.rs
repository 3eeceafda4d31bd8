//! The calibration of a trained head: prediction sets and the threshold for unknown images.

use super::conformal::conformal;
use super::novelty::novelty;
use crate::head::Calibration;
use crate::train::{Dataset, Fitted};

/// The calibration of `fitted`, trained on `data`: sets from its out-of-fold logits, the detector of unknown images
/// from the embeddings. Nothing in it rests on a model that had seen the group of the sample it scored.
///
/// # Panics
/// When `fitted` was trained on other samples.
#[must_use]
pub fn calibrate(data: &Dataset, fitted: &Fitted, seed: u64) -> Calibration {
    assert!(fitted.heldout.ids == data.ids(), "the samples that it was trained on, in their order");
    Calibration {
        conformal: conformal(&fitted.heldout.logits, data.y(), data.groups(), seed),
        novelty: novelty(data, seed),
    }
}
