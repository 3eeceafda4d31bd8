//! Labels from outside: `request/label`, which is answered, and the topic `label`, which is not.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::{BadPayload, Effect, Spec};
use crate::wire::payload::{bounded, from_json};
use crate::words::{self, LabelSource, SampleId, TaskId, Timestamp};

/// The most labels in one message.
pub const MAX_LABEL_ITEMS: usize = 1_000;
/// The most conflicts that an error names.
pub const MAX_CONFLICTS: usize = 100;

/// Set or remove labels, all of them or none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Label {
    /// In the order in which they count.
    #[cfg_attr(test, schemars(length(max = 1000)))]
    pub items: Vec<LabelItem>,
}

impl Spec for Label {
    const NAME: &'static str = "label";
    const ABOUT: &'static str = "Set or remove labels, all of them or none, with an answer.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{items: [{image, label, was}]}";
    type Arguments = Self;
    type Data = LabelsTaken;

    fn check(Self { items }: Self) -> Result<Self, BadPayload> {
        Ok(Self { items: not_too_many(items)? })
    }

    fn needs_task(&self) -> bool {
        self.items.iter().any(|item| item.task.is_none())
    }
}

/// Data of `response/label` and `response/relabel`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LabelsTaken {
    /// Items whose image is stored: it has this label now, or none.
    pub set: usize,
    /// Items whose label waits for its image.
    pub kept: usize,
    /// The number of the change, by which it is undone; null when nothing changed.
    pub change: Option<u64>,
}

/// An image that has another label by now than its sender saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LabelConflict {
    /// All digits of a stored image, else those that were sent.
    pub image: ImagePrefix,
    /// The task that the item names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "TaskId"))]
    pub task: Option<TaskId>,
    /// The label that it has; null for none.
    pub label: Option<words::Label>,
    /// Who gave that label or took the former one away; null where nobody ever did.
    pub source: Option<LabelSource>,
    /// When.
    pub at: Option<Timestamp>,
}

/// One label for one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("required" = ["image", "label"])))]
pub struct LabelItem {
    /// Which image.
    pub image: ImagePrefix,
    /// Which task's label it is; as in a request where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// Its class; null removes its label. A message without this field is refused rather than read as null.
    #[serde(deserialize_with = "Option::deserialize")]
    pub label: Option<words::Label>,
    /// The label that the sender saw, null for none: where the image has another one by now, nothing changes. Whatever it
    /// has where left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    #[cfg_attr(test, schemars(with = "Option<words::Label>"))]
    pub was: Option<Option<words::Label>>,
}

/// Tells a field that is null from one that is left out.
fn said<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Lets every item be about `task`, the task of the request that they come in.
///
/// # Errors
/// The reason, where an item names another one.
pub(super) fn all_about(items: &mut [LabelItem], task: &TaskId) -> Result<(), String> {
    if let Some(other) = items.iter().filter_map(|item| item.task.as_ref()).find(|named| *named != task) {
        return Err(format!("the request is about task {task}, and an item about {other}; name the task once"));
    }
    for item in items {
        item.task = Some(task.clone());
    }
    Ok(())
}

/// Reads one `{image, label}`, with or without a `task`, or a list of them, in the order in which they count.
///
/// # Errors
/// [`BadPayload`] when anything in it is wrong; then nothing of it counts.
pub fn parse_labels(payload: &[u8]) -> Result<Vec<LabelItem>, BadPayload> {
    const WHAT: &str = "{image, label} or a list of them";
    let payload = bounded(payload)?;
    match payload.first() {
        None => Err(BadPayload::Empty { what: WHAT }),
        Some(b'[') => not_too_many(from_json(payload, WHAT)?),
        Some(_) => Ok(vec![from_json(payload, WHAT)?]),
    }
}

pub(super) fn not_too_many(items: Vec<LabelItem>) -> Result<Vec<LabelItem>, BadPayload> {
    match items.len() {
        0..=MAX_LABEL_ITEMS => Ok(items),
        items => Err(BadPayload::TooMany { items, limit: MAX_LABEL_ITEMS }),
    }
}

impl From<&SampleId> for ImagePrefix {
    fn from(id: &SampleId) -> Self {
        Self(id.to_string())
    }
}

/// The start of an image's SHA-256, or all of it: 8 to 64 lowercase hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
#[cfg_attr(test, schemars(extend("pattern" = "^[0-9A-Fa-f]{8,64}$")))]
pub struct ImagePrefix(String);

impl ImagePrefix {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ImagePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a text that should name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected an image's SHA-256 or its first 8 or more hexadecimal digits, found {found:?}")]
pub struct BadImagePrefix {
    /// The text, cut to 80 characters.
    pub found: String,
}

impl FromStr for ImagePrefix {
    type Err = BadImagePrefix;

    fn from_str(text: &str) -> Result<Self, BadImagePrefix> {
        if !(8..=64).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(BadImagePrefix { found: text.chars().take(80).collect() });
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl<'de> Deserialize<'de> for ImagePrefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn a_label_that_its_sender_saw_is_one_or_none_or_left_out() {
        for (was, expected) in
            [("", None), (r#","was":null"#, Some(None)), (r#","was":" nut ""#, Some(words::Label::new("nut").ok()))]
        {
            let [item] = &parse_labels(format!(r#"{{"image":"abcdef01","label":"a"{was}}}"#).as_bytes()).unwrap()[..]
            else {
                panic!("it is one item")
            };
            assert_eq!(item.was, expected, "{was}");
            let again = serde_json::to_vec(item).unwrap();
            assert_eq!(parse_labels(&again).unwrap(), std::slice::from_ref(item), "{was}");
        }
        assert!(parse_labels(br#"{"image":"abcdef01","label":"a","was":""}"#).is_err());
    }

    #[test]
    fn labels_of_a_request_are_read_up_to_the_limit() {
        let Label { items } = read(r#"{"items":[{"image":"abcdef01","label":null}]}"#).unwrap();
        assert_eq!((items.len(), &items[0].label), (1, &None));
        let many = format!(r#"{{"items":[{}]}}"#, vec![r#"{"image":"abcdef01","label":"a"}"#; 1_001].join(","));
        for (arguments, reason) in
            [(r#"{"items":[{"image":"abcdef01"}]}"#, "missing field `label`"), (&many, "1001 labels")]
        {
            assert!(read::<Label>(arguments).unwrap_err().contains(reason), "{reason}");
        }
    }
}
