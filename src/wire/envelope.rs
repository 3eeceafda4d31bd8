//! What every JSON object that goes out carries.

#[cfg(test)]
use std::borrow::Cow;

#[cfg(test)]
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::words::Timestamp;

/// `v`, `ts`, `seq` and `boot`, beside the payload's own fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Envelope {
    /// Version of the payloads' schema.
    pub v: SchemaVersion,
    /// When the message was made.
    pub ts: Timestamp,
    /// Rises with every message, over restarts too; the same when a message is delivered again.
    pub seq: u64,
    /// Names one start of the daemon.
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
