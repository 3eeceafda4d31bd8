//! What is exchanged over MQTT: topics and payloads, both ways.
//!
//! One codec for each payload: what is written here is read back equal, and what arrives from outside either becomes
//! a checked value or a [`BadPayload`] with the reason. Every outbound JSON object carries an [`Envelope`], except the
//! document for Home Assistant ([`Announced`]). `docs/mqtt.md` shows an example of each; a test reads and writes them
//! with this codec. Requests and their answers are in [`command`]. In tests each type has its JSON Schema, derived
//! beside its serde; `asyncapi` combines them into `docs/asyncapi.yaml`.
//!
//! Nothing here sends, receives, or knows the time except by argument. Unknown fields are ignored, so that an older
//! daemon understands a newer sender; a field given twice is refused, because it has two meanings.

mod alert;
pub mod command;
mod config;
mod envelope;
mod event;
mod home_assistant;
mod payload;
mod request;
mod response;
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
pub use command::{
    BadImagePrefix, Command, Exported, HeadEntry, ImagePrefix, LabelItem, LabelsTaken, Link, MAX_LABEL_ITEMS,
    MAX_REVIEW_ITEMS, MAX_SAMPLES, Prediction, PredictionBody, Promoted, ReviewItem, ReviewItems, ReviewList,
    ReviewNeighbour, RolledBack, SampleEntry, StatusReport, TopLabel, TrainAccepted, mark_replayed, parse_labels,
};
pub use config::{Desired, PatchAnswer, PatchState, RejectedKey, Reported};
pub use envelope::{Envelope, SchemaVersion};
pub use event::{EventKind, EventReport, Level};
pub use home_assistant::{Announced, BIRTH_ONLINE};
pub use payload::{BadPayload, MAX_INBOUND_BYTES, Payload};
pub use request::{BadRequest, Request};
pub use response::{Answer, ErrorCode, Failure, Response};
pub use status::{BadStatus, Health, HealthFigures, Info, InfoHead, LiveFigure, LiveFigures, Status, Versions};
pub use topic::{BadTopic, Base, InboundTopic, Qos, Topic, UpdateKind};
pub use training::{TrainResult, TrainState, TrainingPhase};
pub use update::{ChunkRequest, UpdateError, UpdatePhase, UpdateState};
