//! The daemon's answers: `response/<name>`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::alert::Raised;
use super::{Envelope, HealthFigures, LiveFigures, Payload, TrainingPhase};
use crate::words::HeadRef;

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Response {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The caller's word for the request, if it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String", length(min = 1, max = 128)))]
    pub transaction: Option<String>,
    /// `status` with `data` or `error`.
    #[serde(flatten)]
    pub answer: Answer,
}

impl Payload for Response {
    const WHAT: &'static str = "a response";
}

/// What a request brought. The ledger keeps these bytes, so that the same transaction gets the same answer again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Answer {
    /// It is done, or accepted.
    Ok {
        /// Depends on the request.
        data: Value,
    },
    /// It is not done, and nothing has changed.
    Error {
        /// The code for programs and the reason for people.
        error: Failure,
    },
}

impl Payload for Answer {
    const WHAT: &'static str = "an answer";
}

impl Answer {
    /// The answer that carries `data`.
    ///
    /// # Panics
    /// When a map in `data` has keys that are no text.
    pub fn ok(data: &impl Serialize) -> Self {
        Self::Ok { data: serde_json::to_value(data).expect("answers have text keys") }
    }

    /// The answer that refuses.
    pub fn error(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::Error { error: Failure { code, message: message.into() } }
    }

    /// Whether it refuses with this code.
    pub fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Error { error } if error.code == code)
    }
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people, with the next act.
    pub message: String,
}

/// Kinds of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The payload cannot be read.
    BadRequest,
    /// No request has this name.
    UnknownRequest,
    /// The broker had kept the message; requests are not to be retained.
    Retained,
    /// `expires` has passed.
    Expired,
    /// The transaction was used for another request.
    TransactionReused,
    /// What it names is not there, for example no such image.
    NotFound,
    /// Too much is asked at once; the same later can be done.
    Busy,
    /// It cannot be done as things stand, for example no former head to go back to.
    NotPossible,
    /// It was tried and went wrong.
    Failed,
}

/// Data of `response/train`: accepted; the result comes on `train/result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TrainAccepted {
    /// Number of the training.
    pub training: u64,
}

/// Data of `response/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RolledBack {
    /// The head in service now; null when none is.
    pub head: Option<HeadRef>,
    /// The head that was taken out.
    pub from: HeadRef,
}

/// Data of `response/status`: `health` and what serves now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatusReport {
    /// As on `health`.
    #[serde(flatten)]
    pub health: HealthFigures,
    /// The head in service; null while there is none.
    pub head: Option<HeadRef>,
    /// Name of the backbone.
    pub backbone: String,
    /// What the training does now.
    pub phase: TrainingPhase,
    /// How right the head in service was on images that got a label later.
    pub live: LiveFigures,
    /// The head that answers unseen beside the one in service; null without one.
    pub shadow: Option<HeadRef>,
    /// Whether the broker is there.
    pub broker: Link,
    /// The alerts that are up.
    #[serde(default)]
    pub alerts: Vec<Raised>,
}

/// The link to the broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Connected and subscribed.
    Connected,
    /// Not there.
    Disconnected,
}
