//! The dense head: class scores from an embedding, and the bytes it is kept as.
//!
//! A head is a linear layer with a temperature, with a hidden layer before it or without. It knows which embedding
//! space it reads and refuses any other. `train` fits it, `eval` measures it.

mod bytes;
mod calibration;
mod dense;
mod hidden;
mod novelty;
mod record;
mod tail;

pub use bytes::BadHeadFile;
pub use calibration::{Calibration, Conformal, Doubt, DoubtRates, NoveltyFound, Ranked};
pub use dense::{DenseHead, SpaceMismatch, softmax_in_place, softmax_rows};
pub(crate) use hidden::Normal;
pub use hidden::{Hidden, Origin};
pub use novelty::{BadNovelty, Novelty, NoveltyParts};
pub(crate) use novelty::{combine, dot, unit};
pub use record::{BackboneRef, Candidate, ClassFigures, EvaluatedOn, Figures, HeadRecord, HeldOut, TrainingFacts};
pub use tail::{Tail, TailWeight, Tuning};
