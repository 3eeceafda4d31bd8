//! What the head in service says of an image: `prediction`, and the latest one on `state`.

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::words::{HeadId, Label, SampleId};

/// One image's prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Prediction {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// What the head says.
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
    /// SHA-256 of the file.
    pub image: SampleId,
    /// Where it lies; bytes that are not UTF-8 are shown as U+FFFD.
    pub path: String,
    /// The best class; null while no head exists.
    pub label: Option<Label>,
    /// Its calibrated probability; null while no head exists.
    #[cfg_attr(test, schemars(range(min = 0.0, max = 1.0)))]
    pub probability: Option<f32>,
    /// The best classes, best first; empty while no head exists.
    pub top: Vec<TopLabel>,
    /// The classes that cannot be excluded at `prediction.abstain.alpha`, likeliest first: one is a sure answer, several
    /// or none a reason to look; null while too little is held out to say.
    pub set: Option<Vec<Label>>,
    /// Whether it is none of the classes: more novel than `prediction.unknown.percentile` of known images; null as above.
    pub unknown: Option<bool>,
    /// How far it is from everything known, in units of its own; null as above.
    pub novelty: Option<f64>,
    /// Whether labels newer than the last training had a part in it.
    #[serde(default)]
    pub instant: bool,
    /// The head that was asked; null while no head exists.
    pub head: Option<HeadId>,
    /// Name of the backbone.
    pub backbone: String,
    /// From the moment at which the file was ready to this message; in an answer, how long scoring took.
    pub latency_ms: u64,
    /// Whether the message was made while the broker was away or before the last start.
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
