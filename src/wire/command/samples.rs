//! `request/samples`: a list of samples.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, ImagePrefix, Spec};
use crate::words::{Label, LabelSource, SampleId, SourceId, Timestamp};

/// The most samples in one answer.
pub const MAX_SAMPLES: usize = 1_000;
/// Samples in an answer without a limit of its own.
const DEFAULT_SAMPLES: usize = 100;

/// Which samples to list, in the order of their arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Samples {
    /// Maximum number, 1 to [`MAX_SAMPLES`].
    pub limit: usize,
    /// Only those that arrived after this one.
    pub after: Option<ImagePrefix>,
    /// Only those with this label.
    pub label: Option<Label>,
    /// Only those without a label.
    pub unlabelled: bool,
}

impl Default for Samples {
    fn default() -> Self {
        Self { limit: DEFAULT_SAMPLES, after: None, label: None, unlabelled: false }
    }
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// Maximum number; 100 when left out.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 1000)))]
    limit: Option<u64>,
    /// Only samples that arrived after this one.
    #[serde(default)]
    after: Option<ImagePrefix>,
    /// Only samples with this label.
    #[serde(default)]
    label: Option<Label>,
    /// Only samples without a label.
    #[serde(default)]
    unlabelled: bool,
}

impl Spec for Samples {
    const NAME: &'static str = "samples";
    const ABOUT: &'static str = "List samples in the order of their arrival.";
    const EFFECT: Effect = Effect::Reads;
    const SHAPE: &'static str = "{limit, after, label, unlabelled}";
    const NOT_TEXT: &'static [&'static str] = &["limit", "unlabelled"];
    type Arguments = Arguments;
    type Data = Vec<SampleEntry>;

    fn check(arguments: Arguments) -> Result<Self, BadPayload> {
        let wrong = |found: String| Err(BadPayload::Json { what: Self::SHAPE, found });
        let Arguments { limit, after, label, unlabelled } = arguments;
        let limit = match limit {
            None => DEFAULT_SAMPLES,
            Some(limit) if (1..=MAX_SAMPLES as u64).contains(&limit) => limit as usize,
            Some(limit) => {
                return wrong(format!("'limit' is {limit}, expected 1 to {MAX_SAMPLES}; ask for more with 'after'"));
            }
        };
        if unlabelled && label.is_some() {
            return wrong("'label' and 'unlabelled' exclude each other".into());
        }
        Ok(Self { limit, after, label, unlabelled })
    }
}

/// One of the data of `response/samples`, in the order of arrival; also a row of the files that the command line writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SampleEntry {
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Path where it was first seen; bytes that are not UTF-8 are shown as U+FFFD. Left out for a frame that is not a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub path: Option<String>,
    /// The source that it is a frame of; left out for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "SourceId"))]
    pub source: Option<SourceId>,
    /// Its label; null without one.
    pub label: Option<Label>,
    /// Source of the label.
    pub label_source: Option<LabelSource>,
    /// Time of the label.
    pub labelled_at: Option<Timestamp>,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// Its predicted class on arrival; null when no head was in service.
    pub predicted: Option<Label>,
    /// Probability of that class.
    pub probability: Option<f32>,
    /// The first image of its burst.
    pub group: SampleId,
    /// The fold in which training holds it out; null without a label, and for an image that is excluded.
    pub fold: Option<usize>,
    /// Whether it is excluded: no training learns from it. Left out where it is not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub excluded: bool,
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn arguments_that_are_left_out_have_their_default() {
        assert_eq!(read("{}"), Ok(Samples::default()));
        let all = r#"{"limit":1000,"after":"ABCDEF01","label":" nut ","unlabelled":false}"#;
        let (after, label) = ("abcdef01".parse().ok(), Label::new("nut").ok());
        assert_eq!(read(all), Ok(Samples { limit: 1_000, after, label, unlabelled: false }));
    }

    #[test]
    fn limits_out_of_bounds_and_contradictions_are_refused() {
        for (arguments, reason) in [
            (r#"{"limit":0}"#, "1 to 1000"),
            (r#"{"limit":1001}"#, "'after'"),
            (r#"{"limit":"7"}"#, "invalid type"),
            (r#"{"label":"a","unlabelled":true}"#, "exclude"),
        ] {
            assert!(read::<Samples>(arguments).unwrap_err().contains(reason), "{arguments}");
        }
    }
}
