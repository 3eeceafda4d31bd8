//! `request/forget`: samples that nothing is to be learned from any more.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, ImagePrefix, MAX_LABEL_ITEMS, Spec};
use crate::words::Label;

/// Forget samples for good, all of them or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Forget {
    /// These images, at least one and at most [`MAX_LABEL_ITEMS`].
    Images(Vec<ImagePrefix>),
    /// Every image with this label, and every such label that waits for its image.
    Class(Label),
}

/// The arguments as they are sent: one of the two.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("oneOf" = [
    { "required": ["images"], "properties": { "images": { "type": "array" }, "label": { "type": "null" } } },
    { "required": ["label"], "properties": { "label": { "type": "string" }, "images": { "type": "null" } } },
])))]
pub struct Arguments {
    /// These images.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(min = 1, max = 1000)))]
    images: Option<Vec<ImagePrefix>>,
    /// Every image with this label.
    #[serde(default)]
    label: Option<Label>,
}

impl Spec for Forget {
    const NAME: &'static str = "forget";
    const ABOUT: &'static str = "Forget samples for good, with their embeddings and labels.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{images} or {label}";
    type Arguments = Arguments;
    type Data = Forgotten;

    fn check(arguments: Arguments) -> Result<Self, BadPayload> {
        let wrong = |found: &str| Err(BadPayload::Json { what: Self::SHAPE, found: found.to_owned() });
        match arguments {
            Arguments { images: Some(images), label: None } => match images.len() {
                0 => wrong("'images' is empty"),
                1..=MAX_LABEL_ITEMS => Ok(Self::Images(images)),
                count => wrong(&format!("'images' has {count} images, at most {MAX_LABEL_ITEMS} go into one request")),
            },
            Arguments { images: None, label: Some(label) } => Ok(Self::Class(label)),
            Arguments { images: None, label: None } => wrong("neither"),
            Arguments { images: Some(_), label: Some(_) } => wrong("both"),
        }
    }

    /// An image is forgotten in every task.
    fn needs_task(&self) -> bool {
        matches!(self, Self::Class(_))
    }
}

/// Data of `response/forget`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Forgotten {
    /// Samples that are gone.
    pub samples: usize,
    /// Labels that are gone and waited for their image.
    pub awaited: usize,
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn images_or_a_class_are_named_and_never_both() {
        let images = vec!["abcdef01".parse().unwrap()];
        assert_eq!(read(r#"{"images":["ABCDEF01"]}"#), Ok(Forget::Images(images)));
        assert_eq!(read(r#"{"label":"nut"}"#), Ok(Forget::Class(Label::new("nut").unwrap())));
        let many = format!(r#"{{"images":[{}]}}"#, vec![r#""abcdef01""#; 1_001].join(","));
        for (arguments, reason) in [
            ("{}", "neither"),
            (r#"{"images":["abcdef01"],"label":"nut"}"#, "both"),
            (r#"{"images":[]}"#, "empty"),
            (many.as_str(), "at most 1000"),
        ] {
            assert!(read::<Forget>(arguments).unwrap_err().contains(reason), "{reason}");
        }
    }
}
