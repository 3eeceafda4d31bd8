//! Settings that the configuration names and a module below it obeys.

use serde::{Deserialize, Serialize};

use super::keywords;

keywords! {
    /// When a watched folder is listed every few seconds instead of waiting for the kernel's notifications.
    #[derive(Default)]
    pub enum Poll {
        /// On network file systems.
        #[default]
        Auto = "auto",
        /// Always.
        Always = "always",
        /// Never because of the file system; still where the kernel refuses notifications.
        Never = "never",
    }
}

keywords! {
    /// How embeddings are stored.
    #[derive(Default, Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    pub enum Precision {
        /// Half: two bytes a value.
        #[default]
        F16 = "f16",
        /// Single: four bytes a value.
        F32 = "f32",
    }
}

impl Precision {
    /// What one value takes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}
