//! The dense head: class scores from an embedding, and the bytes it is kept as.
//!
//! A head is a plain linear layer with a temperature. It knows which embedding space it reads and refuses any
//! other. How it is fitted is `train`'s matter, how good it is `eval`'s.

mod bytes;
mod dense;
mod record;

pub use bytes::BadHeadFile;
pub use dense::{DenseHead, Unreadable, softmax_in_place, softmax_rows};
pub use record::{BackboneRef, ClassFigures, EvaluatedOn, Figures, HeadRecord, HeldOut, TrainingFacts};
