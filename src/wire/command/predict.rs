//! Predictions: `request/predict` for a stored image, the topic `prediction` for each new one, `state` for the latest.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, ImagePrefix, Spec};
use crate::wire::{Envelope, Payload, is_false};
use crate::words::{HeadId, Label, SampleId, SourceId, TaskId};

/// Classify a stored image with the head in service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Predict {
    /// Which image.
    pub image: ImagePrefix,
}

impl Spec for Predict {
    const NAME: &'static str = "predict";
    const ABOUT: &'static str = "Classify a stored image with the head in service.";
    const EFFECT: Effect = Effect::Reads;
    const SHAPE: &'static str = "{image}";
    type Arguments = Self;
    type Data = PredictionBody;

    fn check(arguments: Self) -> Result<Self, BadPayload> {
        Ok(arguments)
    }
}

/// One image's prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Prediction {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The prediction itself.
    #[serde(flatten)]
    pub body: PredictionBody,
}

impl Payload for Prediction {
    const WHAT: &'static str = "a prediction";
}

/// What the head in service predicts of an image; also the data of `response/predict`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PredictionBody {
    /// The task that it is about; left out where the configuration names no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "TaskId"))]
    pub task: Option<TaskId>,
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Its path; bytes that are not UTF-8 are shown as U+FFFD. Left out for a frame that is not a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub path: Option<String>,
    /// The source that it is a frame of; left out for a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "SourceId"))]
    pub source: Option<SourceId>,
    /// Whether it was kept by the broker, so that nobody knows how old it is; left out when false.
    #[serde(default, skip_serializing_if = "is_false")]
    pub stale: bool,
    /// The best class; null while no head exists.
    pub label: Option<Label>,
    /// Its calibrated probability; null while no head exists.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub probability: Option<f32>,
    /// The best classes, best first; empty while no head exists.
    pub top: Vec<TopLabel>,
    /// The classes that cannot be excluded at `prediction.abstain.alpha`, likeliest first: a single one is certain,
    /// several or none are a reason to look; null with too few held-out samples.
    pub set: Option<Vec<Label>>,
    /// Whether it is none of the classes: more novel than `prediction.unknown.percentile` of known images; null as above.
    pub unknown: Option<bool>,
    /// How far it is from everything known, in units of its own; null as above.
    pub novelty: Option<f64>,
    /// Whether labels newer than the last training contributed to it.
    #[serde(default)]
    pub instant: bool,
    /// The head that made it; null while no head exists.
    pub head: Option<HeadId>,
    /// Name of the backbone.
    pub backbone: String,
    /// From the moment at which the file was ready to this message; in an answer, how long scoring took.
    pub latency_ms: u64,
    /// Whether the message was made while the broker was not connected, or before the last start.
    pub replayed: bool,
}

/// A class and its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TopLabel {
    /// The class.
    pub label: Label,
    /// 0..1.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub probability: f32,
}

/// `payload` with `replayed` set to true where it is a JSON object that has this field; as it was otherwise.
#[must_use]
pub fn mark_replayed(payload: Vec<u8>) -> Vec<u8> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(&payload) else { return payload };
    match fields.get_mut("replayed") {
        Some(replayed @ serde_json::Value::Bool(false)) => *replayed = true.into(),
        _ => return payload,
    }
    serde_json::to_vec(&fields).unwrap_or(payload)
}
