//! Checked values, each with its position in a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::setting::Setting;

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
    Items(Vec<Values>),
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

    /// Takes over what `others` say.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Every key as a person finds it (`watch[2].path`), with the position of its value.
    pub fn places(&self) -> impl Iterator<Item = (String, &Located)> {
        self.0.iter().flat_map(|(name, located)| {
            let items = match &located.value {
                Value::Items(items) => items.as_slice(),
                _ => &[],
            };
            let below = items.iter().enumerate().flat_map(move |(index, item)| {
                item.0.iter().map(move |(key, located)| (key.replacen("[]", &format!("[{index}]"), 1), located))
            });
            std::iter::once(((*name).to_owned(), located)).chain(below)
        })
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
}
