//! What happened: `event`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Envelope, Payload, UpdateKind};
use crate::head::BackboneRef;
use crate::words::{HeadRef, SampleId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EventReport {
    /// Of this message.
    #[serde(flatten)]
    pub envelope: Envelope,
    /// What it was.
    #[serde(flatten)]
    pub happening: Happening,
}

impl Payload for EventReport {
    const WHAT: &'static str = "an event";
}

impl Happening {
    /// The words of `event_type`: all there are, and those that a later version brings.
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event_type", rename_all = "snake_case")]
pub enum Happening {
    /// The daemon started.
    Started {
        /// Of the program.
        version: String,
    },
    /// The daemon ends by will.
    Stopped {
        /// Why.
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
        /// Why.
        reason: String,
    },
    /// A head did not pass the gate.
    Rejected {
        /// The head.
        head: HeadRef,
        /// Why.
        reason: String,
    },
    /// The head before this one serves again.
    RolledBack {
        /// The head in service now; null when none is.
        head: Option<HeadRef>,
        /// The head that was taken out.
        from: HeadRef,
        /// Why.
        reason: String,
    },
    /// A file was put aside.
    Quarantined {
        /// Where it lies.
        path: String,
        /// Why.
        reason: String,
    },
    /// The daemon started with another backbone than before.
    BackboneChanged {
        /// The one in service now.
        backbone: BackboneRef,
        /// What follows from it.
        reason: String,
    },
    /// Other settings hold from now on.
    ConfigChanged {
        /// Which, or why.
        reason: String,
    },
    /// The stream of images is not what it was.
    Drift {
        /// `embedding`, `confidence`, `novelty` or `error`.
        #[schemars(extend("enum" = ["embedding", "confidence", "novelty", "error"]))]
        kind: String,
        /// Of the test, for `embedding`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "f64", range(min = 0.0, max = 1.0))]
        p_value: Option<f64>,
        /// Mean after the change minus mean before it, for the others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "f64")]
        score: Option<f64>,
        /// In words and numbers, with the next act.
        reason: String,
    },
    /// An image is none of the classes; at most one a minute is reported so, `prediction` says it of each.
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
    /// An update was refused, failed, or did not hold; what served before serves.
    UpdateFailed {
        /// What was to be updated.
        kind: UpdateKind,
        /// The manifest's name; left out where it could not be trusted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String")]
        name: Option<String>,
        /// The manifest's version; left out where it could not be trusted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "u64")]
        version: Option<u64>,
        /// Why, for programs; `docs/updates.md` lists the codes.
        code: String,
        /// Why, in words, with the next act.
        reason: String,
    },
    /// Something went wrong and was dealt with.
    Error {
        /// The topic below the base on which the offending message came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String")]
        topic: Option<String>,
        /// The part of the daemon where it went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "String")]
        source: Option<String>,
        /// What happened, with the next act.
        reason: String,
    },
}
