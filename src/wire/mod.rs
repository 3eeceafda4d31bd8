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
mod base;
pub mod command;
mod device_pattern;
mod event;
mod fleet_view;
mod home_assistant;
mod payload;
mod provider;
mod remote;
mod request;
mod status;
mod task;
mod topic;
mod training;
pub mod views;

#[cfg(test)]
mod asyncapi;
#[cfg(test)]
mod documented_tests;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;

pub use alert::{Alert, AlertId, BadAlertId, Raised, Severity, TaskAlert, Warning};
pub use base::Base;
pub use command::{
    BadImagePrefix, Command, Exported, Forgotten, HeadEntry, ImagePrefix, LabelItem, LabelsTaken, Link,
    MAX_LABEL_ITEMS, MAX_REVIEW_ITEMS, MAX_SAMPLES, Prediction, PredictionBody, Promoted, ReviewAdvice, ReviewItem,
    ReviewItems, ReviewList, ReviewNeighbour, ReviewReason, RolledBack, SampleEntry, StatusReport, SwitchPhase,
    SwitchReport, Switching, TopLabel, TrainAccepted, mark_replayed, parse_labels,
};
pub use device_pattern::{BadDevicePattern, DevicePattern};
pub use event::{EventKind, EventReport, Level};
pub use fleet_view::{FleetRow, FleetView, RowHead, RowLatest};
pub use home_assistant::{Announced, AnnouncedTask, BIRTH_ONLINE};
pub use payload::{BadPayload, Envelope, MAX_INBOUND_BYTES, Payload, SchemaVersion};
pub use provider::{ProviderReport, ProviderUse, RefusedProvider, SAME_SPACE, reasons};
pub use remote::{
    ChunkRequest, Desired, PatchAnswer, PatchState, RejectedKey, Reported, UpdateError, UpdatePhase, UpdateState,
};
pub use request::{Answer, BadRequest, ErrorCode, Failure, Request, Response};
pub use status::{
    BadStatus, Health, HealthFigures, Ignored, Info, InfoBackbone, InfoHead, InfoTask, LiveFigure, LiveFigures,
    SourceHealth, Status, TaskHealth, Versions,
};
pub use task::{StateName, TaskState, UNKNOWN, Unsettled, settle};
pub use topic::{BadTopic, InboundTopic, Qos, TaskTopic, Topic, UpdateKind};
pub use training::{
    BestRecall, EpochFigures, PhaseFigures, RecallChange, SecondPhase, TrainResult, TrainState, TrainingPhase,
};

/// For flags that are absent when they are not set.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// For counts that are absent when they are zero.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
