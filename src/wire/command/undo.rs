//! `request/undo`: the labels as they were before a change.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Spec};
use crate::words::{Label, LabelSource, SampleId, Timestamp};

/// The most images that an answer names.
pub const MAX_RESTORED: usize = 1_000;

/// Take back a change of labels: everything that one request or one import did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Undo {
    /// Its number; the latest one that is not undone where left out.
    #[serde(default)]
    pub change: Option<u64>,
}

impl Spec for Undo {
    const NAME: &'static str = "undo";
    const ABOUT: &'static str = "Take back the latest change of labels, or the one with this number.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{change}";
    const NOT_TEXT: &'static [&'static str] = &["change"];
    type Arguments = Self;
    type Data = Undone;

    fn check(arguments: Self) -> Result<Self, BadPayload> {
        Ok(arguments)
    }
}

/// Data of `response/undo`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Undone {
    /// The number of the change.
    pub change: u64,
    /// Who had made it.
    pub source: LabelSource,
    /// When.
    pub at: Timestamp,
    /// Images with another label than before, or that are excluded or no longer.
    pub changed: usize,
    /// Images of the change, stored or to come, that were changed after it, and stay so.
    pub kept: usize,
    /// Labels that wait for their image and are another one than before, or wait no more.
    pub awaited: usize,
    /// The images that are as before the change again, at most 1000.
    #[cfg_attr(test, schemars(length(max = 1000)))]
    pub restored: Vec<Restored>,
}

/// An image that is as before the change again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Restored {
    /// The image.
    pub image: SampleId,
    /// The label that it has now.
    pub label: Option<Label>,
    /// The label that was undone; the same one where the change excluded the image or took it back.
    pub instead_of: Option<Label>,
    /// Whether it is excluded now, where the change was about that; left out where it was about its label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "bool"))]
    pub excluded: Option<bool>,
}

impl Undone {
    /// One more image is as before the change again.
    pub fn restore(&mut self, restored: Restored) {
        self.changed += 1;
        if self.restored.len() < MAX_RESTORED {
            self.restored.push(restored);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn a_change_is_named_by_its_number_or_is_the_latest() {
        assert_eq!(read("{}"), Ok(Undo { change: None }));
        assert_eq!(read(r#"{"change":7}"#), Ok(Undo { change: Some(7) }));
        assert!(read::<Undo>(r#"{"change":"7"}"#).unwrap_err().contains("invalid type"));
    }

    #[test]
    fn every_image_counts_and_a_thousand_are_named() {
        let mut undone = Undone {
            change: 1,
            source: LabelSource::Import,
            at: Timestamp(0),
            changed: 0,
            kept: 0,
            awaited: 0,
            restored: Vec::new(),
        };
        for n in 0..=MAX_RESTORED {
            undone.restore(Restored {
                image: SampleId::of(&n.to_be_bytes()),
                label: None,
                instead_of: None,
                excluded: None,
            });
        }
        assert_eq!((undone.changed, undone.restored.len()), (MAX_RESTORED + 1, MAX_RESTORED));
    }
}
