//! Labels, and the classes of a head.

use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use unicode_normalization::UnicodeNormalization as _;

use super::keywords;

/// Neither control characters nor slashes, and something that is not white space.
#[cfg(feature = "schema")]
const PATTERN: &str = r"^[^/\\\x00-\x1f\x7f-\x9f]*[^\s/\\\x00-\x1f\x7f-\x9f][^/\\\x00-\x1f\x7f-\x9f]*$";

/// A class name in Unicode's normal form C: 1 to 128 bytes without control characters, slashes and surrounding space.
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
    /// Checks, trims and normalises `text`.
    ///
    /// # Errors
    /// [`BadLabel`] when it is empty, longer than 128 bytes, or has control characters or slashes.
    pub fn new(text: &str) -> Result<Self, BadLabel> {
        // What people see as the same is the same: macOS writes an accent as a character of its own.
        let text: String = text.trim().nfc().collect();
        if text.is_empty() {
            return Err(BadLabel::Empty);
        }
        if text.len() > 128 {
            return Err(BadLabel::TooLong { bytes: text.len() });
        }
        match text.chars().find(|c| c.is_control() || matches!(c, '/' | '\\')) {
            Some(found) => Err(BadLabel::Character { found }),
            None => Ok(Self(text)),
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
        /// The name of the folder that the file is in.
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

/// Distinct labels in lexical order; position in it is the class index everywhere.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Label>", into = "Vec<Label>")]
pub struct ClassSet(Vec<Label>);

impl ClassSet {
    /// Index of `label`, if it is one of them.
    #[must_use]
    pub fn index_of(&self, label: &Label) -> Option<usize> {
        self.0.binary_search(label).ok()
    }

    /// The labels in class order.
    #[must_use]
    pub fn labels(&self) -> &[Label] {
        &self.0
    }

    /// The labels of the classes `members`, those with the largest value in `p` (k,) first, ties in class order.
    #[must_use]
    pub fn likeliest(&self, p: &[f32], mut members: Vec<usize>) -> Vec<Label> {
        members.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
        members.into_iter().map(|class| self.0[class].clone()).collect()
    }

    /// The `count` classes with the largest value in `p` (k,), with it; ties in class order.
    #[must_use]
    pub fn top(&self, p: &[f32], count: usize) -> Vec<(Label, f32)> {
        let mut top: Vec<_> = self.0.iter().zip(p.iter().copied()).collect();
        top.sort_by(|a, b| b.1.total_cmp(&a.1));
        top.into_iter().take(count).map(|(label, p)| (label.clone(), p)).collect()
    }

    /// Number of classes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no class.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<Label>> for ClassSet {
    fn from(mut labels: Vec<Label>) -> Self {
        labels.sort();
        labels.dedup();
        Self(labels)
    }
}

impl From<ClassSet> for Vec<Label> {
    fn from(classes: ClassSet) -> Self {
        classes.0
    }
}

impl FromIterator<Label> for ClassSet {
    fn from_iter<I: IntoIterator<Item = Label>>(labels: I) -> Self {
        labels.into_iter().collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_odd_ones_refused() {
        assert_eq!(Label::new(" gear ").map(|label| label.to_string()), Ok("gear".into()));
        let [composed, decomposed] = ["Gr\u{f6}\u{df}e", "Gro\u{308}\u{df}e"].map(|name| Label::new(name).unwrap());
        assert_eq!(composed, decomposed, "as Linux and macOS write it");
        assert_eq!(Label::new("  "), Err(BadLabel::Empty));
        assert_eq!(Label::new(&"x".repeat(129)), Err(BadLabel::TooLong { bytes: 129 }));
        assert_eq!(Label::new("a/b"), Err(BadLabel::Character { found: '/' }));
        assert!(serde_json::from_str::<Label>("\"a\\u0007\"").is_err());
    }
}
