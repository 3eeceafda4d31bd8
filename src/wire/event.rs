//! What happened: `event`.

use serde::{Deserialize, Serialize};

use super::{Envelope, Payload};
use crate::head::BackboneRef;
use crate::words::HeadRef;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// `event_type` and its fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Something went wrong and was dealt with.
    Error {
        /// The topic below the base on which the offending message came.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        /// The part of the daemon where it went wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// What happened, with the next act.
        reason: String,
    },
}
