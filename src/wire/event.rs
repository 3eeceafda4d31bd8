//! Events: `event`.

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload, UpdateKind};
use crate::head::BackboneRef;
use crate::words::{HeadRef, SampleId, TaskId};

/// `event`: an event with its envelope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct EventReport {
    /// Schema version, time, number and start of the daemon.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// The task that it is about; left out where the configuration names no tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "TaskId"))]
    pub task: Option<TaskId>,
    /// The event itself.
    #[serde(flatten)]
    pub kind: EventKind,
}

impl Payload for EventReport {
    const WHAT: &'static str = "an event";
}

/// Priority of an event in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A step in the daemon's life.
    Info,
    /// Worth a look, though the daemon recovers by itself.
    Warning,
}

impl EventKind {
    /// Its priority in the journal.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Self::Quarantined { .. }
            | Self::Error { .. }
            | Self::UpdateFailed { .. }
            | Self::RolledBack { .. }
            | Self::Drift { .. } => Level::Warning,
            Self::Started { .. }
            | Self::Stopped { .. }
            | Self::Trained { .. }
            | Self::Promoted { .. }
            | Self::Rejected { .. }
            | Self::BackboneChanged { .. }
            | Self::ConfigChanged { .. }
            | Self::Novel { .. }
            | Self::Evicted { .. } => Level::Info,
        }
    }

    /// The word of `event_type`.
    #[must_use]
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Stopped { .. } => "stopped",
            Self::Trained { .. } => "trained",
            Self::Promoted { .. } => "promoted",
            Self::Rejected { .. } => "rejected",
            Self::RolledBack { .. } => "rolled_back",
            Self::Quarantined { .. } => "quarantined",
            Self::BackboneChanged { .. } => "backbone_changed",
            Self::ConfigChanged { .. } => "config_changed",
            Self::Drift { .. } => "drift",
            Self::Novel { .. } => "novel",
            Self::Evicted { .. } => "evicted",
            Self::UpdateFailed { .. } => "update_failed",
            Self::Error { .. } => "error",
        }
    }

    /// What it says in words, where it has such a field.
    pub fn reason_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Stopped { reason }
            | Self::Promoted { reason, .. }
            | Self::Rejected { reason, .. }
            | Self::RolledBack { reason, .. }
            | Self::Quarantined { reason, .. }
            | Self::BackboneChanged { reason, .. }
            | Self::ConfigChanged { reason }
            | Self::Drift { reason, .. }
            | Self::UpdateFailed { reason, .. }
            | Self::Error { reason, .. } => Some(reason),
            Self::Evicted { why, .. } => Some(why),
            Self::Started { .. } | Self::Trained { .. } | Self::Novel { .. } => None,
        }
    }

    /// The values of `event_type`: all of this version, and some reserved for later ones.
    pub const TYPES: [&str; 14] = [
        "started",
        "stopped",
        "trained",
        "promoted",
        "rejected",
        "rolled_back",
        "drift",
        "novel",
        "quarantined",
        "evicted",
        "backbone_changed",
        "config_changed",
        "update_failed",
        "error",
    ];
}

/// `event_type` and its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event_type", rename_all = "snake_case")]
pub enum EventKind {
    /// The daemon started.
    Started {
        /// Of the program.
        version: String,
    },
    /// The daemon ends on request.
    Stopped {
        /// The reason, for people.
        reason: String,
    },
    /// A training ended with a head.
    Trained {
        /// Its number.
        training: u64,
        /// The head.
        head: HeadRef,
    },
    /// A head is in service from now on.
    Promoted {
        /// The head.
        head: HeadRef,
        /// The gate's reason, or who asked for it, in words and numbers.
        reason: String,
    },
    /// A head did not pass the gate.
    Rejected {
        /// The head.
        head: HeadRef,
        /// The gate's reason, in words and numbers.
        reason: String,
    },
    /// The previous head is in service again.
    RolledBack {
        /// The head in service now; null when none is.
        head: Option<HeadRef>,
        /// The head that was taken out.
        from: HeadRef,
        /// Who asked for it, or how far its accuracy fell, in words and numbers.
        reason: String,
    },
    /// A file was quarantined.
    Quarantined {
        /// Its path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The daemon started with another backbone than before.
    BackboneChanged {
        /// The one in service now.
        backbone: BackboneRef,
        /// The consequences.
        reason: String,
    },
    /// Other settings are in force from now on.
    ConfigChanged {
        /// Which, or why.
        reason: String,
    },
    /// The stream of images has changed.
    Drift {
        /// `embedding`, `confidence`, `novelty` or `error`.
        #[cfg_attr(test, schemars(extend("enum" = ["embedding", "confidence", "novelty", "error"])))]
        kind: String,
        /// Of the test, for `embedding`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(with = "f64", range(min = 0.0, max = 1.0)))]
        p_value: Option<f64>,
        /// Mean after the change minus mean before it, for the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(with = "f64"))]
        score: Option<f64>,
        /// In words and numbers, with the remedy.
        reason: String,
    },
    /// An image is none of the classes; reported at most once a minute, `prediction` has it for each image.
    Novel {
        /// SHA-256 of the file.
        image: SampleId,
        /// How far it is from everything known.
        novelty: f64,
    },
    /// Samples were dropped to keep the store within its quota.
    Evicted {
        /// How many.
        count: u64,
        /// For which reasons, how many each.
        why: String,
    },
    /// An update was refused, failed, or did not pass its probation; the previous head and backbone are in service.
    UpdateFailed {
        /// What was to be updated.
        kind: UpdateKind,
        /// The manifest's name; left out where it could not be trusted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(with = "String"))]
        name: Option<String>,
        /// The manifest's version; left out where it could not be trusted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(with = "u64"))]
        version: Option<u64>,
        /// The reason for programs; `docs/updates.md` lists the codes.
        code: String,
        /// For people, with the remedy.
        reason: String,
    },
    /// An error that was handled.
    Error {
        /// The topic below the base on which the offending message came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(with = "String"))]
        topic: Option<String>,
        /// The part of the daemon where it occurred.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, schemars(with = "String"))]
        source: Option<String>,
        /// What happened, with the remedy.
        reason: String,
    },
}
