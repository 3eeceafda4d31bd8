//! The one way from values to bytes and back, what can be wrong with bytes, and what every outbound JSON object carries.

#[cfg(test)]
use std::borrow::Cow;

#[cfg(test)]
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::words::Timestamp;

/// The longest payload that is read from outside, in bytes: four times what a thousand labels need.
pub const MAX_INBOUND_BYTES: usize = 1 << 20;

/// A JSON object that goes out.
pub trait Payload: Serialize + DeserializeOwned {
    /// What it is, for messages: `a prediction`.
    const WHAT: &'static str;

    /// Its JSON.
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("payloads have text keys and write to memory")
    }

    /// Reads it back.
    ///
    /// # Errors
    /// [`BadPayload::Json`] when the bytes are not the JSON of such a payload.
    fn decode(bytes: &[u8]) -> Result<Self, BadPayload> {
        from_json(bytes, Self::WHAT)
    }
}

/// Reads `bytes` as the JSON of a `T`, called `what` in messages.
pub(super) fn from_json<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, BadPayload> {
    serde_json::from_slice(bytes).map_err(|error| BadPayload::Json { what, found: shortened(&error.to_string()) })
}

/// Parsers quote texts whole, however long they are; their start, and the place at the end, say enough.
pub(super) fn shortened(words: &str) -> String {
    const SIDE: usize = 150;
    if words.chars().count() <= 2 * SIDE {
        return words.to_owned();
    }
    let start: String = words.chars().take(SIDE).collect();
    let end: Vec<char> = words.chars().rev().take(SIDE).collect();
    format!("{start} ... {}", end.into_iter().rev().collect::<String>())
}

/// Refuses what is too long to be looked at.
pub(super) fn bounded(bytes: &[u8]) -> Result<&[u8], BadPayload> {
    if bytes.len() > MAX_INBOUND_BYTES {
        return Err(BadPayload::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes.trim_ascii())
}

/// Why bytes from outside are not taken; nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPayload {
    /// Nothing was sent where something is needed.
    #[error("the payload is empty, expected {what}")]
    Empty {
        /// What was expected.
        what: &'static str,
    },
    /// More than [`MAX_INBOUND_BYTES`].
    #[error("the payload has {bytes} bytes, at most {MAX_INBOUND_BYTES} are read; send it in parts")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not JSON, or not with the fields that it needs.
    #[error("expected the JSON of {what}: {found}")]
    Json {
        /// What was expected.
        what: &'static str,
        /// The parser's words, with line and column.
        found: String,
    },
    /// A list longer than is taken at once.
    #[error("the list has {items} labels, at most {limit} are taken at once; send it in parts")]
    TooMany {
        /// Items in the list.
        items: usize,
        /// The most there may be.
        limit: usize,
    },
}

/// `v`, `ts`, `seq` and `boot`, beside the payload's own fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Envelope {
    /// Version of the payloads' schema.
    pub v: SchemaVersion,
    /// Time of the message.
    pub ts: Timestamp,
    /// Rises with every message, over restarts too; unchanged when a message is delivered again.
    pub seq: u64,
    /// Identifies one start of the daemon.
    #[cfg_attr(test, schemars(length(min = 1)))]
    pub boot: String,
}

impl Envelope {
    /// The envelope of a message made at `ts`.
    pub fn new(ts: Timestamp, seq: u64, boot: impl Into<String>) -> Self {
        Self { v: SchemaVersion, ts, seq, boot: boot.into() }
    }
}

/// The only schema version there is, 1; another one is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchemaVersion;

impl Serialize for SchemaVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(1)
    }
}

#[cfg(test)]
impl JsonSchema for SchemaVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}

impl<'de> Deserialize<'de> for SchemaVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format_args!("schema version {other}, expected 1"))),
        }
    }
}
