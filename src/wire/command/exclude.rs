//! `request/exclude`: images that nothing is learned from for now.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, ImagePrefix, MAX_LABEL_ITEMS, Spec};

/// Exclude images, or take them back, all of them or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclude {
    /// Which images: at least one and at most [`MAX_LABEL_ITEMS`].
    pub images: Vec<ImagePrefix>,
    /// Whether they are excluded from now on, or no longer.
    pub excluded: bool,
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// Which images.
    #[cfg_attr(test, schemars(length(min = 1, max = 1000)))]
    images: Vec<ImagePrefix>,
    /// False takes them back.
    #[serde(default = "yes")]
    excluded: bool,
}

fn yes() -> bool {
    true
}

impl Spec for Exclude {
    const NAME: &'static str = "exclude";
    const ABOUT: &'static str = "Exclude images from training and review, or take them back.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{images, excluded}";
    const NOT_TEXT: &'static [&'static str] = &["excluded"];
    type Arguments = Arguments;
    type Data = Excluded;

    fn check(Arguments { images, excluded }: Arguments) -> Result<Self, BadPayload> {
        let wrong = |found: String| Err(BadPayload::Json { what: Self::SHAPE, found });
        match images.len() {
            0 => wrong("'images' is empty".to_owned()),
            1..=MAX_LABEL_ITEMS => Ok(Self { images, excluded }),
            count => wrong(format!("'images' has {count} images, at most {MAX_LABEL_ITEMS} go into one request")),
        }
    }
}

/// Data of `response/exclude`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Excluded {
    /// Images that this excluded, or took back; those that were so before do not count.
    pub excluded: usize,
    /// The number of the change, by which it is undone; null when nothing changed.
    pub change: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn images_are_excluded_unless_they_are_to_be_taken_back() {
        let images = vec!["abcdef01".parse().unwrap()];
        assert_eq!(read(r#"{"images":["ABCDEF01"]}"#), Ok(Exclude { images: images.clone(), excluded: true }));
        assert_eq!(read(r#"{"images":["abcdef01"],"excluded":false}"#), Ok(Exclude { images, excluded: false }));
        let many = format!(r#"{{"images":[{}]}}"#, vec![r#""abcdef01""#; 1_001].join(","));
        for (arguments, reason) in
            [("{}", "missing field `images`"), (r#"{"images":[]}"#, "empty"), (many.as_str(), "at most 1000")]
        {
            assert!(read::<Exclude>(arguments).unwrap_err().contains(reason), "{reason}");
        }
    }
}
