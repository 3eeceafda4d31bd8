//! Requests, `request/<name>`, and the answers to them, `response/<name>`. What can be requested: [`super::command`].

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::command::LabelConflict;
use super::payload::{BadPayload, bounded, from_json, shortened};
use super::{Command, Envelope, Payload, RejectedKey, Unsettled, settle};
use crate::words::{TaskId, Timestamp};

/// The most characters in a transaction.
const MAX_TRANSACTION_CHARS: usize = 128;

/// A request, its form checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The name in the topic; the answer goes to `response/<name>`.
    pub name: String,
    /// What it means.
    pub command: Command,
    /// Chosen by the caller: 1 to 128 printable characters. The same transaction gets the same answer.
    pub transaction: Option<String>,
    /// The request is refused after this time.
    pub expires: Option<Timestamp>,
    /// The task that it is about, as it says; labels have it too. See [`Request::settle`].
    pub task: Option<TaskId>,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct BadRequest {
    /// Its transaction, where it could be read, so that the refusal can carry it.
    pub transaction: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl From<BadPayload> for BadRequest {
    fn from(bad: BadPayload) -> Self {
        Self { transaction: None, reason: bad.to_string() }
    }
}

/// Fields of every request; unknown ones are ignored.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Fields {
    /// Chosen by the caller; the same transaction gets the same answer and has no second effect.
    #[serde(default)]
    #[cfg_attr(test, schemars(length(min = 1, max = 128), regex(pattern = r"^[^\x00-\x1f\x7f-\x9f]*$")))]
    transaction: Option<String>,
    /// The request is refused after this time.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<Timestamp>"))]
    expires: Option<String>,
    /// The task that it is about; the one called `default`, or the only one, where left out.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<TaskId>"))]
    task: Option<String>,
}

impl Request {
    /// Reads the payload of `request/<name>`; an empty one means `{}`.
    ///
    /// # Errors
    /// [`BadRequest`] when the payload is no JSON object, or `transaction`, `expires`, `task` or an argument is not what
    /// it should be.
    pub fn parse(name: &str, payload: &[u8]) -> Result<Self, BadRequest> {
        let payload = bounded(payload)?;
        let fields = match payload {
            [] => Fields::default(),
            // A list would do for a structure with two fields.
            [b'{', ..] => from_json(payload, "a request")?,
            _ => {
                let found = "it does not begin with '{'".into();
                return Err(BadPayload::Json { what: "a request", found }.into());
            }
        };
        let transaction = fields.transaction.map(checked_transaction).transpose()?;
        let expires = match fields.expires.as_deref().map(str::parse::<Timestamp>).transpose() {
            Ok(expires) => expires,
            Err(error) => {
                let error = shortened(&error.to_string());
                let reason = format!("expected a time as RFC 3339 in 'expires': {error}");
                return Err(BadRequest { transaction, reason });
            }
        };
        let task = match fields.task.as_deref().map(str::parse::<TaskId>).transpose() {
            Ok(task) => task,
            Err(bad) => return Err(BadRequest { transaction, reason: format!("'task' names no task: {bad}") }),
        };
        let mut command = match Command::parse(name, if payload.is_empty() { b"{}" } else { payload }) {
            Ok(command) => command,
            Err(bad) => return Err(BadRequest { transaction, reason: bad.to_string() }),
        };
        if let Some(Err(reason)) = task.as_ref().map(|task| command.be_about(task)) {
            return Err(BadRequest { transaction, reason });
        }
        Ok(Self { name: name.to_owned(), command, transaction, expires, task })
    }

    /// Which of the device's `tasks` it is about: the one that it names, else the one that is meant; `None` where it is
    /// about none. Labels in it are each settled by themselves.
    ///
    /// # Errors
    /// [`Unsettled`] when there is no such task, or it needs one and nobody can tell which.
    pub fn settle<'a>(&self, tasks: &'a [TaskId]) -> Result<Option<&'a TaskId>, Unsettled> {
        // What is purged is none of them any more.
        let is_named = self.task.is_some() && !matches!(self.command, Command::Purge(_));
        let matters = is_named || self.command.needs_task();
        matters.then(|| settle(self.task.as_ref(), tasks)).transpose()
    }
}

fn checked_transaction(text: String) -> Result<String, BadRequest> {
    let chars = text.chars().count();
    let reason = if !(1..=MAX_TRANSACTION_CHARS).contains(&chars) {
        format!("a transaction has 1 to {MAX_TRANSACTION_CHARS} characters, this one has {chars}")
    } else if let Some(found) = text.chars().find(|c| c.is_control()) {
        format!("a transaction has printable characters only, this one has {found:?}")
    } else {
        return Ok(text);
    };
    Err(BadRequest { transaction: None, reason })
}

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
        Self::Error { error: Failure { code, message: message.into(), conflicts: Vec::new(), rejected: Vec::new() } }
    }

    /// The answer that refuses labels because of others that were given meanwhile.
    pub fn conflict(message: impl Into<String>, conflicts: Vec<LabelConflict>) -> Self {
        Self::Error {
            error: Failure { code: ErrorCode::Conflict, message: message.into(), conflicts, rejected: Vec::new() },
        }
    }

    /// The answer that refuses settings because of some of their keys.
    pub fn rejected(message: impl Into<String>, rejected: Vec<RejectedKey>) -> Self {
        Self::Error {
            error: Failure { code: ErrorCode::BadRequest, message: message.into(), conflicts: Vec::new(), rejected },
        }
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
    /// With `conflict`: images that have another label than the sender saw, at most 100. Left out otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1, max = 100)))]
    pub conflicts: Vec<LabelConflict>,
    /// Keys because of which settings were refused. Left out otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub rejected: Vec<RejectedKey>,
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
    /// Something else was changed meanwhile than the sender saw; nothing was done.
    Conflict,
    /// It is not possible in the present state, for example a rollback without a previous head.
    NotPossible,
    /// It was attempted and failed.
    Failed,
}
