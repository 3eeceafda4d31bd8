//! Values that were checked one by one, each with the place where it stands.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A value of the kind that its key asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Something is there, and its problem has been told.
    Faulty,
    Null,
    Truth(bool),
    Whole(u64),
    Number(f64),
    Duration(Duration),
    Text(String),
    Texts(Vec<String>),
    Items(Vec<Taken>),
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Placed {
    pub value: Value,
    /// Name of the layer; empty for a default.
    pub file: String,
    pub line: Option<u64>,
}

/// Values by the names of the table of keys.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Taken(BTreeMap<&'static str, Placed>);

/// The table gives every key a default, checked by a test, and `load` ends at the first problem.
const KIND: &str = "checked: every key has a value of its kind";

impl Taken {
    pub fn insert(&mut self, name: &'static str, placed: Placed) {
        self.0.insert(name, placed);
    }

    /// Takes over what `others` say.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Every key as a person finds it (`watch[2].path`), with where its value stands.
    pub fn places(&self) -> impl Iterator<Item = (String, &Placed)> {
        self.0.iter().flat_map(|(name, placed)| {
            let items = match &placed.value {
                Value::Items(items) => items.as_slice(),
                _ => &[],
            };
            let below = items.iter().enumerate().flat_map(move |(index, item)| {
                item.0.iter().map(move |(key, placed)| (key.replacen("[]", &format!("[{index}]"), 1), placed))
            });
            std::iter::once(((*name).to_owned(), placed)).chain(below)
        })
    }

    #[cfg(test)]
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    pub fn placed(&self, name: &str) -> &Placed {
        self.0.get(name).expect("every key is there: the defaults are the first layer")
    }

    pub fn value(&self, name: &str) -> &Value {
        &self.placed(name).value
    }

    /// `None` for anything but text.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// `None` for anything but text.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        // Collecting the components drops doubled and final slashes and single dots.
        self.text(name).map(|text| PathBuf::from(text).components().collect())
    }

    /// Nothing for anything but a list of text.
    pub fn paths(&self, name: &str) -> Vec<PathBuf> {
        let texts = if let Value::Texts(texts) = self.value(name) { texts.as_slice() } else { &[] };
        texts.iter().map(|text| PathBuf::from(text).components().collect()).collect()
    }

    pub fn truth(&self, name: &str) -> bool {
        matches!(self.value(name), Value::Truth(true))
    }

    pub fn whole(&self, name: &str) -> u64 {
        match self.value(name) {
            Value::Whole(whole) => *whole,
            other => unreachable!("{KIND}; {name} is {other:?}"),
        }
    }

    /// A whole number whose range is far below `usize::MAX`.
    pub fn size(&self, name: &str) -> usize {
        self.whole(name) as usize
    }

    pub fn number(&self, name: &str) -> f64 {
        match self.value(name) {
            Value::Number(number) => *number,
            other => unreachable!("{KIND}; {name} is {other:?}"),
        }
    }

    /// `None` for anything but a number.
    pub fn optional_number(&self, name: &str) -> Option<f64> {
        match self.value(name) {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn duration(&self, name: &str) -> Duration {
        match self.value(name) {
            Value::Duration(duration) => *duration,
            other => unreachable!("{KIND}; {name} is {other:?}"),
        }
    }

    /// Nothing when the list is faulty.
    pub fn items(&self, name: &str) -> &[Self] {
        match self.value(name) {
            Value::Items(items) => items,
            _ => &[],
        }
    }
}
