//! What a step asks for: durable changes first, then acts, then how the main loop goes on.
//!
//! The shell commits the writes of a step, or of several, in one transaction before it does any of their acts. So
//! whatever is acknowledged or answered is durable first, and a crash between two steps leaves no half of either.

use std::path::PathBuf;

use super::event::{DeliveryId, Ticket};
use super::messages::JobId;
use super::remote::SwapOrder;
use super::write::{TrainingOrder, Write};
use crate::update::Manifest;
use crate::wire::{EventReport, Response, Topic};
use crate::words::{Digest, HeadRef, Label, SampleId, Timestamp};

/// What one event, or several in a row, ask for.
#[derive(Debug, Default)]
pub struct Step {
    /// To be made durable in one transaction, before anything else.
    pub writes: Vec<Write>,
    /// To be done afterwards, in this order.
    pub acts: Vec<Act>,
    /// How the main loop goes on when the acts are done.
    pub then: Next,
}

impl Step {
    /// Adds what a later event asks for; whoever wants to end the loop for good has the last word.
    pub fn append(&mut self, later: Self) {
        self.writes.extend(later.writes);
        self.acts.extend(later.acts);
        self.then = self.then.max(later.then);
    }

    /// Whether it asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.acts.is_empty() && self.then == Next::Continue
    }
}

/// How the main loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Next {
    /// With the next event.
    #[default]
    Continue,
    /// By starting everything but the link anew, with the configuration and the state that are durable by then.
    Restart,
    /// By ending the process.
    Exit,
}

/// One thing to do.
#[derive(Debug)]
pub enum Act {
    /// Publish now if the broker is there, else not at all: the latest value is published again on connecting.
    Publish {
        /// Below the base.
        topic: Topic,
        /// JSON, or plain text for `status`.
        payload: Vec<u8>,
    },
    /// Acknowledge an inbound message.
    Ack(DeliveryId),
    /// Hand an answer to whoever asked over the socket.
    Answer {
        /// Of the request.
        ticket: Ticket,
        /// The same as on `response/<name>`.
        response: Box<Response>,
    },
    /// Find out the answer to a request, and report it as [`super::Event::QueryAnswered`].
    Query {
        /// To be reported with the answer.
        job: JobId,
        /// What is to be found out.
        query: Query,
    },
    /// Read, decode and embed this file.
    Ingest {
        /// Index of the watched folder.
        root: usize,
        /// Absolute path.
        path: PathBuf,
    },
    /// Look at this file's size and time again and report a [`super::Sighting`].
    Stat {
        /// Index of the watched folder.
        root: usize,
        /// Absolute path.
        path: PathBuf,
    },
    /// List all watched folders and report what the store does not know.
    Rescan,
    /// Whether listings pass over all but young files from now on, because there is no room for what they find.
    PauseScans(bool),
    /// Train a challenger and compare it with the champion.
    Train {
        /// Which training.
        order: TrainingOrder,
        /// The version that the challenger gets.
        version: u64,
    },
    /// Put the head of this version in service; `None` takes the present one out.
    Serve(Option<u64>),
    /// Let the head of this version answer beside the champion, unseen; `None` ends that.
    Shadow(Option<u64>),
    /// The labels of these samples changed, or their embeddings came: what corrects at once learns them.
    UpdateOnline(Vec<SampleId>),
    /// A verdict saw every label given before this time; their instant effect ends.
    FoldInLabels(Timestamp),
    /// Look for images that are worth a label, among those that arrived since then where a time is given.
    Review {
        /// Earlier images are not asked for.
        since: Option<Timestamp>,
    },
    /// Look for files that are no sample's and no longer there, some at a time.
    FindMissingFiles,
    /// Look for samples that can go.
    Evict {
        /// So many.
        count: usize,
    },
    /// Ready this backbone beside the present one.
    PrepareBackbone(Box<SwapOrder>),
    /// Remove the files of a backbone that came as an update; this is the SHA-256 of its model.
    DeleteBackbone(Digest),
    /// Hold the chunks in the store against this manifest, and a head against the one in service.
    VerifyUpdate {
        /// What the file has to be.
        manifest: Box<Manifest>,
        /// The version that a head in it gets.
        version: u64,
    },
    /// There are new messages in the outbox.
    SendOutbox,
    /// Write this event into the journal: where there is no broker, people look there.
    LogEvent(Box<EventReport>),
    /// Tell the service manager.
    Systemd(Systemd),
}

/// A word to the service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Systemd {
    /// Everything works, with the settings that were last asked for or those before them.
    Ready,
    /// Other settings are looked at or taken; [`Systemd::Ready`] follows.
    Reloading,
    /// The loop turns; to be passed on while no worker is stuck.
    WatchdogPing,
    /// How it is, in one line.
    Status(String),
    /// The end is under way.
    Stopping,
}

/// What has to be looked up or computed for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Samples in the order of their arrival, as [`crate::wire::SampleEntry`].
    Samples {
        /// At most so many.
        limit: usize,
        /// Only those that arrived after this one.
        after: Option<SampleId>,
        /// Only those with this label.
        label: Option<Label>,
        /// Only those without a label.
        unlabelled: bool,
    },
    /// What is said of a stored image now, as [`crate::wire::PredictionBody`].
    Predict(SampleId),
    /// The configuration, read again; where it is good, [`super::ProcessEvent::ConfigReady`] follows the answer.
    Reload,
    /// The backbone and this head as one ONNX file, told as [`crate::wire::Exported`].
    Export(HeadRef),
}
