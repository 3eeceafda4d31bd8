//! A class name as people write it.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::keywords;

/// Neither control characters nor slashes, and something that is not white space.
#[cfg(feature = "schema")]
const PATTERN: &str = r"^[^/\\\x00-\x1f\x7f-\x9f]*[^\s/\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*$";

/// A class name: 1 to 128 bytes, no control characters, no slashes, no white space around it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
#[cfg_attr(feature = "schema", schemars(extend("minLength" = 1, "maxLength" = 128, "pattern" = PATTERN)))]
pub struct Label(String);

/// Why a text cannot name a class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLabel {
    /// Nothing but white space.
    #[error("a label needs at least one visible character")]
    Empty,
    /// More than 128 bytes.
    #[error("a label has at most 128 bytes, this one has {bytes}")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
    },
    /// A control character or a slash.
    #[error("a label has no control characters and no slashes, this one has {found:?}")]
    Character {
        /// The first such character.
        found: char,
    },
}

impl Label {
    /// Checks and trims `text`.
    ///
    /// # Errors
    /// [`BadLabel`] when it is empty, longer than 128 bytes, or has control characters or slashes.
    pub fn new(text: &str) -> Result<Self, BadLabel> {
        let text = text.trim();
        if text.is_empty() {
            return Err(BadLabel::Empty);
        }
        if text.len() > 128 {
            return Err(BadLabel::TooLong { bytes: text.len() });
        }
        match text.chars().find(|c| c.is_control() || matches!(c, '/' | '\\')) {
            Some(found) => Err(BadLabel::Character { found }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

keywords! {
    /// Who gave a label.
    #[derive(Serialize, Deserialize)]
    #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
    #[serde(rename_all = "lowercase")]
    pub enum LabelSource {
        /// The name of the folder that the file lies in.
        Folder = "folder",
        /// A message to the daemon, over MQTT or its socket.
        Mqtt = "mqtt",
        /// A file of labels.
        Import = "import",
        /// A reverted label.
        Undo = "undo",
    }
}

impl<'de> Deserialize<'de> for Label {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_odd_ones_refused() {
        assert_eq!(Label::new(" gear ").map(|label| label.to_string()), Ok("gear".into()));
        assert_eq!(Label::new("  "), Err(BadLabel::Empty));
        assert_eq!(Label::new(&"x".repeat(129)), Err(BadLabel::TooLong { bytes: 129 }));
        assert_eq!(Label::new("a/b"), Err(BadLabel::Character { found: '/' }));
        assert!(serde_json::from_str::<Label>("\"a\\u0007\"").is_err());
    }
}
