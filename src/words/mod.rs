//! Plain types that every room shares: identities, labels, times.
//!
//! They are checked when they are made and never again. Nothing here decides anything, and nothing here
//! knows the time except by argument.

mod class_set;
mod digest;
mod draw;
mod head_ref;
mod label;
mod timestamp;
mod told;

pub use class_set::ClassSet;
pub use digest::{BadDigest, Digest, EmbeddingSpace, SampleId};
pub use draw::{draw, is_audit};
pub use head_ref::{HeadId, HeadRef, HeadStatus};
pub use label::{BadLabel, Label, LabelSource};
pub use timestamp::{Now, Timestamp};
pub use told::{on_one_line, told};
