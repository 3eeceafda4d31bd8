//! Checked values, each with its position in a file, and the types that a setting may have: how each is read from a
//! checked value, and shown again as it is written in YAML.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use core::net::SocketAddr;

use serde_json::{Value as Json, json};

use super::providers::ProviderSettings;
use super::sources::Rate;
use super::table::{LabelFrom, Priority};
use crate::engine::{Confirm, PromotionPolicy, TuneWhen};
use crate::train::{ClassWeights, HeadKind, L2, Schedule, Solver, TailLayers};
use crate::words::{Keep, Keyword, Label, Network, Poll, Precision, Region, SourceId, TaskId, TopicFilter};

/// A value of its key's kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// An invalid value, whose problem has been reported.
    Invalid,
    Null,
    Bool(bool),
    Integer(u64),
    Number(f64),
    Duration(Duration),
    Text(String),
    Texts(Vec<String>),
    Region(Region),
    Rate(Rate),
    Confirm(Confirm),
    Shares(BTreeMap<Label, f64>),
    Providers(BTreeMap<String, ProviderSettings>),
    Items(Vec<Values>),
    /// Keys of another section.
    Section(Values),
}

impl Value {
    /// Whether nothing in it is invalid.
    fn is_valid(&self) -> bool {
        match self {
            Self::Invalid => false,
            Self::Items(items) => items.iter().all(Values::are_valid),
            Self::Section(values) => values.are_valid(),
            _ => true,
        }
    }
}

/// A value and its position.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Located {
    pub value: Value,
    /// Name of the layer; empty for a default.
    pub file: String,
    pub line: Option<u64>,
}

/// Values by the names of the table of keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Values(BTreeMap<&'static str, Located>);

impl Values {
    pub fn insert(&mut self, name: &'static str, located: Located) {
        self.0.insert(name, located);
    }

    /// Takes over the values of `others`.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Every key as a person finds it (`watch[2].path`), with the position of its value.
    pub fn places(&self) -> Vec<(String, &Located)> {
        let mut places = Vec::new();
        self.places_below("", "", &mut places);
        places
    }

    /// The places of keys of which all begin with `name`, which a person finds as `shown`.
    fn places_below<'a>(&'a self, name: &str, shown: &str, into: &mut Vec<(String, &'a Located)>) {
        for (key, located) in &self.0 {
            let place = format!("{shown}{}", key.strip_prefix(name).unwrap_or(key));
            match &located.value {
                Value::Items(items) => {
                    for (index, item) in items.iter().enumerate() {
                        item.places_below(&format!("{key}[]"), &format!("{place}[{index}]"), into);
                    }
                }
                // Its keys begin with the section that they are of, which is the last part of this key.
                Value::Section(values) => {
                    values.places_below(key.rsplit('.').next().unwrap_or(key), &place, into);
                }
                _ => {}
            }
            into.push((place, located));
        }
    }

    fn are_valid(&self) -> bool {
        self.0.values().all(|located| located.value.is_valid())
    }

    #[cfg(test)]
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    pub fn located(&self, name: &str) -> &Located {
        self.0.get(name).expect("every key is there: the defaults are the first layer")
    }

    pub fn value(&self, name: &str) -> &Value {
        &self.located(name).value
    }

    /// The value of `name`, which is of the kind of the setting's type: no key is invalid any more, and a test reads
    /// every default.
    pub fn read<T: Setting>(&self, name: &str) -> T {
        let value = self.value(name);
        T::read(value).unwrap_or_else(|| unreachable!("checked: every key is of its kind; {name} is {value:?}"))
    }

    /// Gives `name` this text where it is `null`.
    pub fn set_if_null(&mut self, name: &str, text: impl FnOnce() -> String) {
        if let Some(Located { value: value @ Value::Null, .. }) = self.0.get_mut(name) {
            *value = Value::Text(text());
        }
    }

    /// Puts `defaults` in the place of what is invalid, and drops items that have something invalid.
    pub fn replace_invalid(&mut self, defaults: &Self) {
        for (name, located) in &mut self.0 {
            if let Value::Items(items) = &mut located.value {
                items.retain(Self::are_valid);
            }
            if located.value == Value::Invalid
                && let Some(default) = defaults.0.get(name)
            {
                *located = default.clone();
            }
        }
    }

    /// `None` for anything but text.
    pub fn text(&self, name: &str) -> Option<String> {
        String::read(self.value(name))
    }

    /// `None` for anything but text.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        PathBuf::read(self.value(name))
    }

    /// Nothing when the list is invalid.
    pub fn items(&self, name: &str) -> &[Self] {
        match self.value(name) {
            Value::Items(items) => items,
            _ => &[],
        }
    }

    /// The keys of another section that are given at `name`; `None` where there are none.
    pub fn section(&self, name: &str) -> Option<&Self> {
        match &self.0.get(name)?.value {
            Value::Section(values) => Some(values),
            _ => None,
        }
    }
}

/// The type of a setting.
pub(super) trait Setting: Sized {
    /// The setting that `value` means; `None` when it is of another kind.
    fn read(value: &Value) -> Option<Self>;

    /// As it is written in YAML.
    fn to_json(&self) -> Json;
}

impl Setting for bool {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Bool(value) = value { Some(*value) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for u64 {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Integer(value) = value { Some(*value) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

/// Of a key whose range ends far below `usize::MAX`.
impl Setting for usize {
    fn read(value: &Value) -> Option<Self> {
        u64::read(value).and_then(|value| value.try_into().ok())
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for f64 {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Number(value) = value { Some(*value) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for Duration {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Duration(value) = value { Some(*value) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(show_duration(*self))
    }
}

impl Setting for String {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for Vec<String> {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Texts(texts) = value { Some(texts.clone()) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for PathBuf {
    fn read(value: &Value) -> Option<Self> {
        String::read(value).map(|text| tidied(&text))
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for Vec<PathBuf> {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Texts(texts) = value { Some(texts.iter().map(|text| tidied(text)).collect()) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for SocketAddr {
    fn read(value: &Value) -> Option<Self> {
        String::read(value).and_then(|text| text.parse().ok())
    }

    fn to_json(&self) -> Json {
        json!(self.to_string())
    }
}

impl Setting for Vec<Network> {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Texts(texts) = value { texts.iter().map(|text| text.parse().ok()).collect() } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

/// The path without doubled and final slashes and single dots.
fn tidied(text: &str) -> PathBuf {
    PathBuf::from(text).components().collect()
}

impl<T: Setting> Setting for Option<T> {
    fn read(value: &Value) -> Option<Self> {
        if *value == Value::Null { Some(None) } else { T::read(value).map(Some) }
    }

    fn to_json(&self) -> Json {
        self.as_ref().map_or(Json::Null, Setting::to_json)
    }
}

impl Setting for L2 {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(lambda) => Some(Self::Fixed(*lambda)),
            Value::Text(_) => Some(Self::Auto),
            _ => None,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Auto => json!("auto"),
            Self::Fixed(lambda) => json!(lambda),
        }
    }
}

macro_rules! words {
    ($($keyword:ty),+) => {
        $(impl Setting for $keyword {
            fn read(value: &Value) -> Option<Self> {
                if let Value::Text(word) = value { Self::from_word(word) } else { None }
            }

            fn to_json(&self) -> Json {
                json!(self.as_str())
            }
        })+
    };
}

words!(ClassWeights, HeadKind, Keep, Precision, Priority, PromotionPolicy, Schedule, Solver, TailLayers, TuneWhen);

/// A type that is made of text and shown as it.
macro_rules! texts {
    ($($type:ty),+) => {
        $(impl Setting for $type {
            fn read(value: &Value) -> Option<Self> {
                if let Value::Text(text) = value { Self::new(text).ok() } else { None }
            }

            fn to_json(&self) -> Json {
                json!(self.as_str())
            }
        })+
    };
}

texts!(SourceId, TaskId, TopicFilter);

impl Setting for Region {
    fn read(value: &Value) -> Option<Self> {
        if let Value::Region(region) = value { Some(region.clone()) } else { None }
    }

    fn to_json(&self) -> Json {
        json!(self)
    }
}

impl Setting for Poll {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Duration(every) => Some(Self::Every(*every)),
            Value::Text(word) => match word.as_str() {
                "auto" => Some(Self::Auto),
                "always" => Some(Self::Always),
                "never" => Some(Self::Never),
                _ => None,
            },
            _ => None,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Auto => json!("auto"),
            Self::Always => json!("always"),
            Self::Every(every) => json!(show_duration(*every)),
            Self::Never => json!("never"),
        }
    }
}

impl Setting for LabelFrom {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Integer(0) => Some(Self::None),
            Value::Integer(level) => Some(Self::Folder((*level).try_into().ok()?)),
            _ => None,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::None => json!("none"),
            Self::Folder(1) => json!("folder"),
            Self::Folder(level) => json!({ "folder": level }),
        }
    }
}

const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The duration that people write as a whole number and a unit, `500ms 10s 5m 1h 7d`; `None` for other text.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, unit) = text.split_at(digits);
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(count.parse::<u64>().ok()?.checked_mul(*unit_ms)?))
}

/// The text of `duration` in the largest unit that needs no fraction; below a millisecond it is lost.
pub(super) fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    let (name, unit_ms) = match UNITS.iter().find(|(_, unit_ms)| ms.is_multiple_of(u128::from(*unit_ms))) {
        Some((name, unit_ms)) if ms > 0 => (*name, *unit_ms),
        _ => ("s", 1_000),
    };
    format!("{}{name}", ms / u128::from(unit_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_duration_is_read_back() {
        for text in ["500ms", "10s", "5m", "1h", "7d", "0s", "90s", "36h"] {
            assert_eq!(parse_duration(text).map(show_duration).as_deref(), Some(text));
        }
        assert_eq!(parse_duration("120s").map(show_duration).as_deref(), Some("2m"));
    }

    #[test]
    fn text_that_is_no_duration_is_refused() {
        for text in
            ["", "5", "s", "5 s", "-5s", "1.5h", "5S", "1h30m", "5µs", "999999999999999999d", "99999999999999999999s"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
