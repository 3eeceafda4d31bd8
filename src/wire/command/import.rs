//! `request/import`: labels from a file, which may take several requests.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::label::{LabelItem, not_too_many};
use super::{BadPayload, Effect, Spec};

/// Set or remove labels that come from a file: all of one request or none of them, and all of one import as one change.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Import {
    /// In the order in which they count.
    #[cfg_attr(test, schemars(length(max = 1000)))]
    pub items: Vec<LabelItem>,
    /// The import that they belong to, as the answer to its first request named it; a new one where left out.
    #[serde(default)]
    pub change: Option<u64>,
}

impl Spec for Import {
    const NAME: &'static str = "import";
    const ABOUT: &'static str = "Set or remove labels that come from a file, as one change.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{items: [{image, label}], change}";
    type Arguments = Self;
    type Data = Imported;

    fn check(Self { items, change }: Self) -> Result<Self, BadPayload> {
        Ok(Self { items: not_too_many(items)?, change })
    }

    fn needs_task(&self) -> bool {
        self.items.iter().any(|item| item.task.is_none())
    }
}

/// Data of `response/import`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Imported {
    /// The number of the change, for its further requests and for undoing it.
    pub change: u64,
    /// What this request did.
    #[serde(flatten)]
    pub counts: ImportCounts,
}

/// What labels from a file did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ImportCounts {
    /// Images with another label than before, or without one.
    pub changed: usize,
    /// Labels that change nothing.
    pub unchanged: usize,
    /// Labels that now wait for images that have not arrived, or wait no more.
    pub awaited: usize,
    /// Older ones that had to go for them.
    pub dropped: usize,
}

impl AddAssign for ImportCounts {
    fn add_assign(&mut self, more: Self) {
        self.changed += more.changed;
        self.unchanged += more.unchanged;
        self.awaited += more.awaited;
        self.dropped += more.dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn labels_are_read_up_to_the_limit_with_the_import_that_they_belong_to() {
        let Import { items, change } = read(r#"{"items":[{"image":"abcdef01","label":null}],"change":3}"#).unwrap();
        assert_eq!((items.len(), change), (1, Some(3)));
        let many = format!(r#"{{"items":[{}]}}"#, vec![r#"{"image":"abcdef01","label":"a"}"#; 1_001].join(","));
        assert!(read::<Import>(&many).unwrap_err().contains("1001 labels"));
    }
}
