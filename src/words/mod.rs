//! Plain types that every module shares: identities, labels, times, and enums that are spelled as words.
//!
//! They are checked when they are made and never again. Nothing here decides anything, and nothing here
//! knows the time except by argument.

mod broker_url;
mod class_set;
mod component;
mod digest;
mod draw;
mod head_ref;
mod keyword;
mod label;
mod options;
#[cfg(feature = "rusqlite")]
mod sql;
mod text;
mod timestamp;

pub use broker_url::{BadBrokerUrl, BrokerUrl};
pub use class_set::ClassSet;
pub use component::Component;
pub use digest::{BadDigest, Digest, EmbeddingSpace, SampleId};
pub use draw::{draw, is_audit};
pub use head_ref::{HeadId, HeadRef, HeadStatus};
pub use keyword::Keyword;
pub use label::{BadLabel, Label, LabelSource};
pub use options::{Poll, Precision};
pub use text::{error_chain, on_one_line};
pub use timestamp::{Now, Timestamp};

pub use crate::keywords;
