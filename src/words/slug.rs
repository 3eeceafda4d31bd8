//! Short names that are part of topics and files: of tasks and of sources.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text cannot name a task or a source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to 32 of a-z, 0-9, '_' and '-', found {found:?}")]
pub struct BadSlug {
    /// The text, cut to 80 characters.
    pub found: String,
}

/// Defines a name of 1 to 32 of `a-z`, `0-9`, `_` and `-`.
macro_rules! slug {
    ($(#[$attribute:meta])* $name:ident) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", schemars(extend("pattern" = "^[a-z0-9_-]{1,32}$")))]
        pub struct $name(String);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// [`BadSlug`] when it is anything but 1 to 32 of `a-z`, `0-9`, `_` and `-`.
            pub fn new(text: &str) -> Result<Self, BadSlug> {
                let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-');
                if (1..=32).contains(&text.len()) && text.chars().all(fits) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(BadSlug { found: text.chars().take(80).collect() })
                }
            }

            /// The name.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = BadSlug;

            fn from_str(text: &str) -> Result<Self, BadSlug> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadSlug;

            fn try_from(text: String) -> Result<Self, BadSlug> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

slug! {
    /// Name of a task: one question about images, with classes, labels and a head of its own.
    TaskId
}

slug! {
    /// Name of a source: a camera whose frames come otherwise than as files.
    SourceId
}

impl Default for TaskId {
    /// The only task where the configuration names none.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl TaskId {
    /// Whether it is the task that a message without one is about.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.0 == "default"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_fits_into_a_topic() {
        for text in ["default", "a", "bin-2", "line_3", &"x".repeat(32)] {
            assert_eq!(TaskId::new(text).map(|task| task.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "Door", "a/b", "a+", "tür", "a b", &"x".repeat(33)] {
            assert!(TaskId::new(text).is_err(), "{text}");
        }
        assert!(TaskId::default().is_default());
        assert!(serde_json::from_str::<SourceId>("\"A\"").is_err());
    }
}
