//! The daemon's answers: `response/<name>`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Envelope, Payload};

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Response {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The request's transaction, if it has one.
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

/// The outcome of a request. These bytes are remembered, so that the same transaction gets the same answer again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "status", rename_all = "lowercase")]
pub enum Answer {
    /// The request was carried out or accepted.
    Ok {
        /// Its fields depend on the request.
        data: Value,
    },
    /// The request was not carried out, and nothing has changed.
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

/// Why a request was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Failure {
    /// For programs.
    pub code: ErrorCode,
    /// For people, with the remedy.
    pub message: String,
}

/// Kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The payload cannot be read.
    BadRequest,
    /// No request has this name.
    UnknownRequest,
    /// The message was retained by the broker; requests must not be retained.
    Retained,
    /// `expires` has passed.
    Expired,
    /// The transaction was used for another request.
    TransactionReused,
    /// It names something that does not exist, for example an image.
    NotFound,
    /// Too many requests at once; the same request can succeed later.
    Busy,
    /// It is not possible in the present state, for example a rollback without a previous head.
    NotPossible,
    /// It was attempted and failed.
    Failed,
}
