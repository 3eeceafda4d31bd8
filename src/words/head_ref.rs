//! How a head is named: by content for machines, by version for people.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::keywords;

/// Identity of a head by content: the first twelve hexadecimal digits of the SHA-256 of its weights and classes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[0-9a-f]{12}$")))]
pub struct HeadId(pub String);

impl fmt::Display for HeadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A head's two names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HeadRef {
    /// Identity by content.
    pub id: HeadId,
    /// Rising number within one state folder; 1 for a head trained offline.
    pub version: u64,
}

keywords! {
    /// Status of a head.
    #[derive(Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    pub enum HeadStatus {
        /// In service.
        Champion = "champion",
        /// Was in service, or waits for a person; can be put in service again.
        Kept = "kept",
        /// Did not pass the gate, or was rolled back.
        Rejected = "rejected",
    }
}

impl fmt::Display for HeadRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "head {} ({})", self.version, self.id)
    }
}
