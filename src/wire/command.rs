//! What a request asks for, with its arguments.

use serde::Deserialize;
use serde_json::Value;

use super::label::{ImagePrefix, LabelItem, MAX_LABEL_ITEMS};
use super::payload::{BadPayload, from_json};
use crate::words::Label;

/// The most samples in one answer.
pub const MAX_SAMPLES: usize = 1_000;
/// Samples in an answer where nothing else is said.
const SAMPLES: usize = 100;

/// What to do. Arguments that are not known are passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Train now.
    Train,
    /// List the watched folders again.
    Rescan,
    /// Read the configuration again, and take it if it is good.
    Reload,
    /// Put the head before this one back in service.
    Rollback,
    /// Put this head in service.
    Promote {
        /// Its version, or its id or the first 4 or more characters of that.
        head: String,
    },
    /// Say what the head in service makes of a stored image.
    Predict {
        /// Which image.
        image: ImagePrefix,
    },
    /// List samples.
    Samples(SampleQuery),
    /// List heads.
    Heads,
    /// Write backbone and head in service as one ONNX file.
    Export,
    /// Say how it goes.
    Status,
    /// Say which images are worth a label.
    Review,
    /// Set or remove labels, all of them or none.
    Label {
        /// In the order in which they count.
        items: Vec<LabelItem>,
    },
    /// Something that this version does not know; it is answered with an error.
    Unknown,
}

/// Which samples to list, in the order of their arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleQuery {
    /// At most so many, 1 to [`MAX_SAMPLES`].
    pub limit: usize,
    /// Only those that arrived after this one.
    pub after: Option<ImagePrefix>,
    /// Only those with this label.
    pub label: Option<Label>,
    /// Only those without a label.
    pub unlabelled: bool,
}

impl Default for SampleQuery {
    fn default() -> Self {
        Self { limit: SAMPLES, after: None, label: None, unlabelled: false }
    }
}

impl Command {
    /// The names of all that can be asked.
    pub const NAMES: [&str; 12] = [
        "train", "rescan", "reload", "rollback", "promote", "predict", "samples", "heads", "export", "status",
        "review", "label",
    ];

    /// Whether asking again changes nothing, so that nobody needs a transaction for it.
    #[must_use]
    pub fn only_reads(name: &str) -> bool {
        ["predict", "samples", "heads", "status", "review"].contains(&name)
    }

    /// Whether doing it changes something durable, so that it cannot be done while nothing can be stored.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Train | Self::Reload | Self::Rollback | Self::Promote { .. } | Self::Label { .. } => true,
            // A listing finds things; what it finds is taken in when there is room again.
            Self::Rescan
            | Self::Predict { .. }
            | Self::Samples(_)
            | Self::Heads
            | Self::Export
            | Self::Status
            | Self::Review
            | Self::Unknown => false,
        }
    }

    /// Reads the arguments of the request `name` from its payload, a JSON object.
    ///
    /// # Errors
    /// [`BadPayload`] when an argument is missing or not what it should be.
    pub(super) fn parse(name: &str, payload: &[u8]) -> Result<Self, BadPayload> {
        Ok(match name {
            "train" => Self::Train,
            "rescan" => Self::Rescan,
            "reload" => Self::Reload,
            "rollback" => Self::Rollback,
            "promote" => Self::Promote { head: promoted(payload)? },
            "predict" => {
                let Predict { image } = from_json(payload, "{image}")?;
                Self::Predict { image }
            }
            "samples" => Self::Samples(query(payload)?),
            "heads" => Self::Heads,
            "export" => Self::Export,
            "status" => Self::Status,
            "review" => Self::Review,
            "label" => Self::Label { items: labels(payload)? },
            _ => Self::Unknown,
        })
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Promote {
    /// Its version, or its id or the first 4 or more characters of that.
    #[cfg_attr(test, schemars(schema_with = "id_or_version"))]
    head: Value,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Predict {
    image: ImagePrefix,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Samples {
    /// At most so many; 100 when left out.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 1000)))]
    limit: Option<u64>,
    #[serde(default)]
    after: Option<ImagePrefix>,
    #[serde(default)]
    label: Option<Label>,
    #[serde(default)]
    unlabelled: bool,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Labels {
    #[cfg_attr(test, schemars(length(max = 1000)))]
    items: Vec<LabelItem>,
}

#[cfg(test)]
fn id_or_version(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "integer"], "minimum": 0 })
}

fn promoted(payload: &[u8]) -> Result<String, BadPayload> {
    const WHAT: &str = "{head}";
    let Promote { head } = from_json(payload, WHAT)?;
    match head {
        Value::String(text) => Ok(text),
        Value::Number(version) if version.is_u64() => Ok(version.to_string()),
        other => {
            let found = format!("'head' is {other}, expected a head's id or version");
            Err(BadPayload::Json { what: WHAT, found: found.chars().take(200).collect() })
        }
    }
}

fn query(payload: &[u8]) -> Result<SampleQuery, BadPayload> {
    const WHAT: &str = "{limit, after, label, unlabelled}";
    let wrong = |found: String| Err(BadPayload::Json { what: WHAT, found });
    let Samples { limit, after, label, unlabelled } = from_json(payload, WHAT)?;
    let limit = match limit {
        None => SAMPLES,
        Some(limit) if (1..=MAX_SAMPLES as u64).contains(&limit) => limit as usize,
        Some(limit) => {
            return wrong(format!("'limit' is {limit}, expected 1 to {MAX_SAMPLES}; ask for more with 'after'"));
        }
    };
    if unlabelled && label.is_some() {
        return wrong("'label' and 'unlabelled' exclude each other".into());
    }
    Ok(SampleQuery { limit, after, label, unlabelled })
}

fn labels(payload: &[u8]) -> Result<Vec<LabelItem>, BadPayload> {
    let Labels { items } = from_json(payload, "{items: [{image, label}]}")?;
    match items.len() {
        0..=MAX_LABEL_ITEMS => Ok(items),
        items => Err(BadPayload::TooMany { items, limit: MAX_LABEL_ITEMS }),
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
