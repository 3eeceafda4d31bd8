//! `request/status`: health and what is in service.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Empty, Spec, SwitchReport};
use crate::wire::{HealthFigures, LiveFigures, Raised, TrainingPhase};
use crate::words::{HeadRef, TaskId};

/// Report health counters and what is in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status;

impl Spec for Status {
    const NAME: &'static str = "status";
    const ABOUT: &'static str = "Report health counters and what is in service.";
    const EFFECT: Effect = Effect::Reads;
    type Arguments = Empty;
    type Data = StatusReport;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }

    fn needs_task(&self) -> bool {
        false
    }
}

/// Data of `response/status`: `health`, and what is in service now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StatusReport {
    /// As on `health`.
    #[serde(flatten)]
    pub health: HealthFigures,
    /// The task that `head`, `phase`, `live` and `shadow` are of: the one asked for, `default`, or the only one. Left out
    /// where the configuration names no tasks, and where none is meant; then they are empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "TaskId"))]
    pub task: Option<TaskId>,
    /// The head in service; null while there is none.
    pub head: Option<HeadRef>,
    /// Name of the backbone.
    pub backbone: String,
    /// Phase of the training.
    pub phase: TrainingPhase,
    /// Accuracy of the head in service on images that got a label later.
    pub live: LiveFigures,
    /// The head in shadow mode beside the one in service; null without one.
    pub shadow: Option<HeadRef>,
    /// The switch to another backbone that is under way, or the last one; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "SwitchReport"))]
    pub switch: Option<SwitchReport>,
    /// Whether the broker is connected.
    pub broker: Link,
    /// Why it is disconnected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "String"))]
    pub broker_reason: Option<String>,
    /// The alerts that are raised.
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
    /// Not connected.
    Disconnected,
    /// `mqtt.url` is null.
    Off,
}
