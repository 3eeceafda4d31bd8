//! Enums with a keyword for each value, and those that several modules share.
//!
//! The enum holds the one list of words; settings, files and the command line read and write it by [`Keyword`].

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A value with a keyword, the same in the configuration, in files, in messages and on the command line.
pub trait Keyword: Copy + Send + Sync + 'static {
    /// All values, in the order in which they are listed.
    const ALL: &'static [Self];

    /// The words of [`Keyword::ALL`], in the same order.
    const WORDS: &'static [&'static str];

    /// The word.
    fn as_str(self) -> &'static str;

    /// One line for people, as `--help` shows it.
    fn about(self) -> &'static str;

    /// The value with this word.
    #[must_use]
    fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.as_str() == word)
    }
}

/// Defines an enum that is a [`Keyword`]; the first line of a variant's documentation is its [`Keyword::about`].
#[macro_export]
macro_rules! keywords {
    (
        $(#[$attribute:meta])*
        $visibility:vis enum $name:ident {
            $(#[doc = $about:literal] $(#[$more:meta])* $variant:ident = $word:literal,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $visibility enum $name {
            $(#[doc = $about] $(#[$more])* $variant,)+
        }

        impl $name {
            /// The word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl $crate::words::Keyword for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn as_str(self) -> &'static str {
                Self::as_str(self)
            }

            fn about(self) -> &'static str {
                match self { $(Self::$variant => $about.trim_ascii(),)+ }
            }
        }
    };
}

keywords! {
    /// A part of the daemon; the `source` of an `error` event.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum Component {
        /// The wall clock, and whether it can be believed.
        Clock = "clock",
        /// Reading the configuration.
        Config = "config",
        /// The link to the broker.
        Mqtt = "mqtt",
        /// The messages that wait for the broker.
        Outbox = "outbox",
        /// Putting a head in service.
        Serve = "serve",
        /// The store and its quota.
        Store = "store",
        /// Training.
        Train = "train",
        /// Signed updates and their chunks.
        Updates = "updates",
        /// The watched folders and their files.
        Watch = "watch",
        /// The supervision of the workers.
        Watchdog = "watchdog",
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// When a watched folder is listed every few seconds instead of waiting for the kernel's notifications.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Poll {
    /// On network file systems, and those that are mounted below it.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Always, and this often.
    Every(Duration),
    /// Never because of the file system; still where the kernel refuses notifications.
    Never,
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

keywords! {
    /// Of which frames of a source the bytes are kept, until the quota needs their room.
    #[derive(Default)]
    pub enum Keep {
        /// None: a sample has its embedding and a thumbnail.
        None = "none",
        /// Those that differ from the last one kept.
        #[default]
        Changed = "changed",
        /// Each until every task that looks at it has a label for it.
        Labelled = "labelled",
        /// All.
        All = "all",
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

#[cfg(test)]
mod tests {
    use super::*;

    keywords! {
        /// Of a light.
        enum Colour {
            /// Stop.
            ///
            /// Even at night.
            Red = "red",
            /// Go.
            BlueGreen = "blue-green",
        }
    }

    #[test]
    fn every_word_leads_back_to_its_value() {
        assert_eq!(Colour::WORDS, ["red", "blue-green"]);
        for value in Colour::ALL {
            assert_eq!(Colour::from_word(value.as_str()), Some(*value));
        }
        assert_eq!((Colour::from_word("Red"), Colour::from_word("")), (None, None));
        assert_eq!(Colour::Red.about(), "Stop.");
    }
}
