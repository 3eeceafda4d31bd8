//! What a key of the configuration is: its name, its kind and range, its default, and one line about it.

use std::time::Duration;

use super::reader::Reader;
use super::table::KEYS;
use super::value::Values;
use crate::words::Keyword;

/// A key and the values it accepts.
#[derive(Debug)]
pub struct Key {
    /// Dotted; keys of list items are below `list[]`.
    pub name: &'static str,
    /// The default in YAML; `None` where a value has to be given.
    pub default: Option<&'static str>,
    /// What it is for, on one line.
    pub about: &'static str,
    /// The values it accepts.
    pub kind: Kind,
    /// Whether `null` may be written.
    pub nullable: bool,
}

impl Key {
    pub(super) const fn new(
        name: &'static str,
        default: Option<&'static str>,
        Rule { kind, nullable }: Rule,
        about: &'static str,
    ) -> Self {
        Self { name, default, about, kind, nullable }
    }

    /// Whether a value has to be given.
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !matches!(self.kind, Kind::Section | Kind::Over { .. })
    }
}

/// The values a key accepts. Ranges include their ends.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// 1 to 256 characters, no control characters.
    Text,
    /// An absolute path without `..`.
    Path,
    /// A list of such paths.
    Paths {
        /// Items at most.
        max: usize,
    },
    /// A list of patterns for the names of files and folders.
    Names {
        /// Items at most.
        max: usize,
    },
    /// Words, or a duration in this range, for [`crate::words::Poll`].
    Poll {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// `none`, `folder`, or `{ folder: N }` with N from 1 on.
    LabelFrom {
        /// The greatest N.
        max: u64,
    },
    /// A whole number.
    Integer {
        /// The least.
        min: u64,
        /// The greatest.
        max: u64,
    },
    /// A number.
    Number {
        /// The least.
        min: f64,
        /// The greatest.
        max: f64,
    },
    /// `auto`, or a number.
    AutoOrNumber {
        /// The least number.
        min: f64,
        /// The greatest number.
        max: f64,
    },
    /// A whole number and a unit, as in `10m`.
    Duration {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// One of these words.
    Choice {
        /// All of them.
        words: &'static [&'static str],
    },
    /// A list of execution providers, in order of preference.
    Providers {
        /// Items at most.
        max: usize,
    },
    /// A map from execution providers to their options.
    ProviderOptions {
        /// Providers at most.
        max: usize,
    },
    /// A time of five cron fields.
    Cron,
    /// What [`crate::words::BrokerUrl`] reads.
    BrokerUrl,
    /// A level of a topic that names a device.
    DeviceId,
    /// What all topics begin with.
    TopicPrefix,
    /// The name of a task or a source.
    Slug,
    /// What [`crate::words::TopicFilter`] reads.
    TopicFilter,
    /// `http://` or `https://`, without secrets.
    HttpUrl,
    /// `2/s`, `30/m`, `1/10s`.
    Rate,
    /// A box or a polygon, for [`crate::words::Region`].
    Region,
    /// `2 of 3`, of at most `max`.
    Confirm {
        /// The most predictions.
        max: usize,
    },
    /// A map from labels to parts of a whole.
    Shares {
        /// Labels at most.
        max: usize,
    },
    /// A list of maps, whose keys are below `name[]`.
    Items {
        /// Items at most.
        max: usize,
        /// The beginning of an item, for remedies.
        example: &'static str,
    },
    /// A map, whose keys are below `name`, that says something even when it is empty.
    Section,
    /// A map of keys of another section, over what they are there.
    Over {
        /// That section.
        section: &'static str,
    },
    /// An address and a port to listen on.
    Listen,
    /// A list of host names.
    Hosts {
        /// Items at most.
        max: usize,
    },
    /// A list of what [`crate::words::Network`] reads.
    Networks {
        /// Items at most.
        max: usize,
    },
}

/// Kind, range, and whether `null` may be written: a column of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    kind: Kind,
    nullable: bool,
}

const fn rule(kind: Kind) -> Rule {
    Rule { kind, nullable: false }
}

pub(super) const BOOL: Rule = rule(Kind::Bool);
pub(super) const TEXT: Rule = rule(Kind::Text);
pub(super) const PATH: Rule = rule(Kind::Path);
pub(super) const PROVIDERS: Rule = rule(Kind::Providers { max: 8 });
pub(super) const PROVIDER_OPTIONS: Rule = rule(Kind::ProviderOptions { max: 16 });
pub(super) const CRON: Rule = rule(Kind::Cron);
pub(super) const BROKER_URL: Rule = rule(Kind::BrokerUrl);
pub(super) const DEVICE_ID: Rule = rule(Kind::DeviceId);
pub(super) const TOPIC_PREFIX: Rule = rule(Kind::TopicPrefix);
pub(super) const SLUG: Rule = rule(Kind::Slug);
pub(super) const TOPIC_FILTER: Rule = rule(Kind::TopicFilter);
pub(super) const HTTP_URL: Rule = rule(Kind::HttpUrl);
pub(super) const RATE: Rule = rule(Kind::Rate);
pub(super) const REGION: Rule = rule(Kind::Region);
pub(super) const SECTION: Rule = rule(Kind::Section);
pub(super) const LISTEN: Rule = rule(Kind::Listen);
/// A part of a whole.
pub(super) const SHARE: Rule = number(0.0, 1.0);

/// `null` may be written, too.
pub(super) const fn or_null(Rule { kind, .. }: Rule) -> Rule {
    Rule { kind, nullable: true }
}

pub(super) const fn integer(min: u64, max: u64) -> Rule {
    rule(Kind::Integer { min, max })
}

pub(super) const fn number(min: f64, max: f64) -> Rule {
    rule(Kind::Number { min, max })
}

pub(super) const fn auto_or_number(min: f64, max: f64) -> Rule {
    rule(Kind::AutoOrNumber { min, max })
}

pub(super) const fn duration(min: Duration, max: Duration) -> Rule {
    rule(Kind::Duration { min, max })
}

/// One of the words of `T`.
pub(super) const fn word<T: Keyword>() -> Rule {
    rule(Kind::Choice { words: T::WORDS })
}

/// A list of at most `max` paths.
pub(super) const fn paths(max: usize) -> Rule {
    rule(Kind::Paths { max })
}

/// A list of at most `max` patterns for names.
pub(super) const fn names(max: usize) -> Rule {
    rule(Kind::Names { max })
}

/// A list of at most `max` host names.
pub(super) const fn hosts(max: usize) -> Rule {
    rule(Kind::Hosts { max })
}

/// A list of at most `max` addresses and networks.
pub(super) const fn networks(max: usize) -> Rule {
    rule(Kind::Networks { max })
}

/// `auto`, `always`, `never`, or how often.
pub(super) const fn poll(min: Duration, max: Duration) -> Rule {
    rule(Kind::Poll { min, max })
}

/// Which folder below the watched one names the class, down to level `max`.
pub(super) const fn label_from(max: u64) -> Rule {
    rule(Kind::LabelFrom { max })
}

/// A list of at most `max` maps, of which each begins as `example` does.
pub(super) const fn items(max: usize, example: &'static str) -> Rule {
    rule(Kind::Items { max, example })
}

/// Votes of at most `max` predictions.
pub(super) const fn confirm(max: usize) -> Rule {
    rule(Kind::Confirm { max })
}

/// Parts of a whole for at most `max` labels.
pub(super) const fn shares(max: usize) -> Rule {
    rule(Kind::Shares { max })
}

/// Keys of `section`.
pub(super) const fn over(section: &'static str) -> Rule {
    rule(Kind::Over { section })
}

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) const fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours * 3600)
}

pub(super) const fn days(days: u64) -> Duration {
    hours(days * 24)
}

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Last parts of all names directly below `section` (`""` for the top): keys and sections, each once.
pub(super) fn below(section: &str) -> Vec<&'static str> {
    let mut words: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| {
            let rest = if section.is_empty() { key.name } else { key.name.strip_prefix(section)?.strip_prefix('.')? };
            let word = rest.split('.').next()?;
            (!word.ends_with("[]")).then_some(word)
        })
        .collect();
    words.dedup();
    words
}

/// The defaults of the keys below `list[]`, or with an empty `list` of all that are in no list.
pub(super) fn defaults(list: &str) -> Values {
    let mut values = Values::default();
    let mut problems = Vec::new();
    for key in KEYS {
        let owner = key.name.rsplit_once("[].").map_or("", |(list, _)| list);
        if let Some(default) = key.default.filter(|_| owner == list) {
            values.extend(Reader::new("", &mut problems).default(key, default));
        }
    }
    assert!(problems.is_empty(), "the table's defaults are of their kinds: {problems:?}");
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_section_stand_together_and_none_comes_twice() {
        let sections: Vec<_> = below("");
        let expected =
            "device backbone watch store training promotion prediction mqtt http fleet updates sources tasks"
                .split(' ');
        assert_eq!(sections, expected.collect::<Vec<_>>());
        for (at, key) in KEYS.iter().enumerate() {
            assert!(KEYS[..at].iter().all(|former| former.name != key.name), "{}", key.name);
        }
    }

    #[test]
    fn every_key_but_what_names_an_item_has_a_default() {
        let without: Vec<_> = KEYS.iter().filter(|key| key.is_required()).map(|key| key.name).collect();
        assert_eq!(without, ["watch[].path", "sources[].id", "tasks[].id"]);
        assert_eq!(defaults("watch").names().count(), below("watch[]").len() - 1);
    }
}
