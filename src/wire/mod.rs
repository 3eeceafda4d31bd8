//! What is said over MQTT: topics and payloads, both ways.
//!
//! One codec for each payload: what is written here is read back equal, and what arrives from outside either becomes
//! a checked value or a [`BadPayload`] that says in words what is wrong. Every JSON object that goes out carries an
//! [`Envelope`], except the document for Home Assistant ([`Announced`]). `docs/mqtt.md` shows an example of each; a test
//! holds them to this codec. In tests each type has its JSON Schema, derived beside its serde; `asyncapi`
//! puts them together to `docs/asyncapi.yaml`.
//!
//! Nothing here sends, receives, or knows the time except by argument. Unknown fields are passed over, so that an
//! older daemon understands a newer sender; a field given twice is refused, because it has two meanings.

mod alert;
mod answers;
mod command;
mod config;
mod envelope;
mod event;
mod home_assistant;
mod label;
mod payload;
mod prediction;
mod request;
mod response;
mod review;
mod status;
mod topic;
mod training;
mod update;

#[cfg(test)]
mod asyncapi;
#[cfg(test)]
mod documented_tests;
#[cfg(test)]
mod tests;

pub use alert::{Alert, AlertId, Raised, Severity, Warning};
pub use answers::{Exported, HeadEntry, LabelsTaken, Promoted, SampleEntry};
pub use command::{Command, MAX_SAMPLES, SampleQuery};
pub use config::{Desired, PatchAnswer, PatchState, RejectedKey, Reported};
pub use envelope::{Envelope, SchemaVersion};
pub use event::{EventKind, EventReport, Level};
pub use home_assistant::{Announced, BIRTH_ONLINE};
pub use label::{BadImagePrefix, ImagePrefix, LabelItem, MAX_LABEL_ITEMS, parse_labels};
pub use payload::{BadPayload, MAX_INBOUND_BYTES, Payload};
pub use prediction::{Prediction, PredictionBody, TopLabel, mark_replayed};
pub use request::{BadRequest, Request};
pub use response::{Answer, ErrorCode, Failure, Link, Response, RolledBack, StatusReport, TrainAccepted};
pub use review::{MAX_REVIEW_ITEMS, ReviewItem, ReviewItems, ReviewList, ReviewNeighbour};
pub use status::{BadStatus, Health, HealthFigures, Info, InfoHead, LiveFigure, LiveFigures, Status, Versions};
pub use topic::{BadTopic, Base, InboundTopic, Qos, Topic, UpdateKind};
pub use training::{TrainResult, TrainState, TrainingPhase};
pub use update::{ChunkRequest, UpdateError, UpdatePhase, UpdateState};
