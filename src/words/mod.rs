//! Plain types that every module shares: identities, labels, times, and enums that are spelled as words.
//!
//! They are checked when they are made and never again. Nothing here decides anything, and nothing here
//! knows the time except by argument.

mod access;
mod broker_url;
mod digest;
mod execution;
mod keyword;
mod label;
mod network;
mod origin;
mod region;
mod slug;
#[cfg(feature = "rusqlite")]
mod sql;
mod text;
mod timestamp;
mod topic_filter;
pub mod wildcard;

pub use crate::keywords;
pub use access::Access;
pub use broker_url::{BadBrokerUrl, BrokerUrl};
pub use digest::{BadDigest, Digest, EmbeddingSpace, HeadId, HeadRef, HeadStatus, SampleId, ShortId, draw, is_audit};
pub use execution::{BUILT_IN_PROVIDERS, CPU, Execution, Provider};
pub use keyword::{Component, Keep, Keyword, Poll, Precision};
pub use label::{BadLabel, ClassSet, Label, LabelSource};
pub use network::{BadNetwork, Network};
pub use origin::Origin;
pub use region::{BadRegion, BadRegionText, Region};
pub use slug::{BadSlug, SourceId, TaskId};
pub use text::{error_chain, is_manifest_path, on_one_line};
pub use timestamp::{Now, Timestamp};
pub use topic_filter::{BadTopicFilter, TopicFilter};
