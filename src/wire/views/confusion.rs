//! `confusion`: which classes a training took for which, and on which images.

use serde::{Deserialize, Serialize};

use crate::words::{HeadRef, Label, ShortId};

/// The most images of a cell.
pub const MAX_CELL_IMAGES: usize = 50;

/// The answers of a training on images that the answering model had not seen, counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Confusion {
    /// Number of the training.
    pub training: u64,
    /// Its head.
    pub head: HeadRef,
    /// In class order.
    pub classes: Vec<Label>,
    /// `matrix[i][j]` counts images of class i that were taken for class j.
    pub matrix: Vec<Vec<u64>>,
    /// The cells that are not empty.
    pub cells: Vec<ConfusionCell>,
}

/// A cell of the matrix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfusionCell {
    /// The class, as a place in `classes`.
    #[serde(rename = "true")]
    pub truth: u16,
    /// What it was taken for.
    pub predicted: u16,
    /// Its images, in the order of their SHA-256; at most [`MAX_CELL_IMAGES`].
    #[cfg_attr(test, schemars(length(min = 1, max = 50), description = "Its images, at most 50 of them."))]
    pub images: Vec<ShortId>,
}

/// What of a `train/result` a table of confusions needs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Trained {
    /// The head.
    pub head: HeadRef,
    /// Its classes, in class order.
    pub classes: Vec<Label>,
}
