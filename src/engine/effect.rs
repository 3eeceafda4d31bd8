//! What the engine tells the rim to do.
//!
//! The rim commits every [`Write`] of a step, or of several steps, in one transaction before it does anything else
//! that the steps asked for. So whatever is acknowledged or answered is durable first, and a crash between two
//! steps leaves no half of either.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::event::{DeliveryId, FileStamp, Ticket};
use super::live::LiveMemory;
use super::succession::{BackboneMemory, SuccessionOrder};
use super::twin::TwinMemory;
use super::under_way::JobId;
use super::updates::UpdateMemory;
use crate::head::HeadRecord;
use crate::update::Manifest;
use crate::wire::{Response, Topic, UpdateKind};
use crate::words::{Digest, HeadRef, Label, SampleId, Timestamp};
pub use crate::words::{HeadStatus, LabelSource};

/// One thing to do.
#[derive(Debug)]
pub enum Effect {
    /// Make this durable.
    Write(Write),
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
    /// Find out the answer to a request, and report it as [`super::Event::FoundOut`].
    FindOut {
        /// To be reported with the answer.
        job: JobId,
        /// What is to be found out.
        task: Task,
    },
    /// Read, decode and embed this file.
    Ingest {
        /// Index of the watched folder.
        root: usize,
        /// Absolute path.
        path: PathBuf,
    },
    /// Look at this file's size and time again and report a [`super::Sighting`].
    Look {
        /// Index of the watched folder.
        root: usize,
        /// Absolute path.
        path: PathBuf,
    },
    /// List all watched folders and report what the store does not know.
    Scan,
    /// Whether listings pass over all but young files from now on, because there is no room for what they find.
    Hold(bool),
    /// Train a challenger and compare it with the champion.
    Train(TrainingOrder),
    /// Put the head of this version in service; `None` takes the present one out.
    Serve(Option<u64>),
    /// Let the head of this version answer beside the champion, unseen; `None` ends that.
    Shadow(Option<u64>),
    /// The labels of these samples changed, or their embeddings came: what corrects at once learns them.
    Learn(Vec<SampleId>),
    /// A verdict saw every label given before this time; their instant effect ends.
    Settle(Timestamp),
    /// Look for images that are worth a label, among those that arrived since then where a time is given.
    Review {
        /// Earlier images are not asked for.
        since: Option<Timestamp>,
    },
    /// Look for files that are no sample's and no longer there, some at a time.
    LookForGone,
    /// Look for samples that can go.
    Evict {
        /// So many.
        count: usize,
    },
    /// Start everything but the link anew, with the configuration and the memory that are durable by then.
    Restart,
    /// Ready this backbone beside the present one.
    Succeed(Box<SuccessionOrder>),
    /// Remove the files of a backbone that came as an update; this is the SHA-256 of its model.
    ForgetBackbone(Digest),
    /// Hold the chunks in the store against this manifest, and a head against the one in service.
    CheckUpdate(Box<Manifest>),
    /// There are new messages in the outbox.
    SendOutbox,
    /// Tell the service manager.
    Service(Service),
    /// End the process; everything before this effect is done first.
    Exit,
}

/// A word to the service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// Everything works, with the settings that were last asked for or those before them.
    Ready,
    /// Other settings are looked at or taken; [`Service::Ready`] follows.
    Reloading,
    /// The loop turns; to be passed on while no worker is stuck.
    Alive,
    /// How it is, in one line.
    Status(String),
    /// The end is under way.
    Stopping,
}

/// What has to be looked up or computed for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
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
    /// What is said of a stored image now, as [`crate::wire::Said`].
    Predict(SampleId),
    /// The configuration, read again; where it is good, [`super::Event::Reloaded`] follows the answer.
    Reload,
    /// The backbone and this head as one ONNX file, told as [`crate::wire::Exported`].
    Export(HeadRef),
}

/// One durable change. Applying a list of them is atomic; applying it twice is the same as once.
#[derive(Debug, Clone)]
pub enum Write {
    /// A new sample (ignored when its id is known), its embedding and what was predicted.
    Sample(Box<NewSample>),
    /// The embedding (dim,) of a known sample in the present embedding space.
    Embedding {
        /// The sample.
        id: SampleId,
        /// (dim,)
        embedding: Vec<f32>,
    },
    /// What a file turned out to be, so that a scan passes it over until its stamp changes.
    File {
        /// Absolute path.
        path: PathBuf,
        /// At the time it was read.
        stamp: FileStamp,
        /// What it is.
        fate: Fate,
    },
    /// Sets or removes a sample's label and adds a line to the history.
    Label {
        /// The sample.
        id: SampleId,
        /// `None` removes it.
        label: Option<Label>,
        /// Who said so.
        source: LabelSource,
        /// When.
        at: Timestamp,
    },
    /// Keeps a label for an image that has not arrived; replaces one for the same prefix.
    AwaitLabel(AwaitedLabel),
    /// Forgets a kept label.
    ForgetAwaited {
        /// As in [`AwaitedLabel::prefix`].
        prefix: String,
    },
    /// Queues a message for the broker.
    Outbox(OutboxMessage),
    /// Removes a message from the outbox: delivered or dropped.
    OutboxRemove {
        /// Its `seq`.
        seq: u64,
    },
    /// No `seq` above this has been used.
    SeqReserved(u64),
    /// Remembers the answer to a transaction.
    Ledger(LedgerEntry),
    /// Forgets the answer to a transaction.
    LedgerRemove {
        /// The transaction.
        transaction: String,
    },
    /// Stores a head.
    Head(Box<HeadRecord>),
    /// Changes a head's status and why.
    HeadStatus {
        /// Its version.
        version: u64,
        /// The new status; making one champion leaves no other.
        status: HeadStatus,
        /// In words and numbers.
        reason: String,
        /// When; for a champion, the time of promotion.
        at: Timestamp,
    },
    /// What the training schedule remembers.
    Training(TrainingMemory),
    /// Removes a sample with its embeddings and its labels' history; its files are remembered, so that they are not
    /// taken in again.
    Evict {
        /// The sample.
        id: SampleId,
    },
    /// Forgets a file that is no sample's.
    ForgetFile {
        /// Absolute path.
        path: PathBuf,
    },
    /// The statistics of all labels ever seen, in the present embedding space; replaces the former ones.
    Statistics {
        /// As `train::LabelStats` writes them.
        file: Vec<u8>,
    },
    /// Removes a stored head that is not the champion.
    HeadForget {
        /// Its version.
        version: u64,
    },
    /// What is remembered of backbones that came as updates.
    Backbone(BackboneMemory),
    /// Forgets the embeddings of samples in other spaces than the present one.
    ForgetOtherSpaces,
    /// What is remembered of settings from afar.
    Twin(TwinMemory),
    /// What is remembered of the head in service and of the stream that it sees.
    Live(Box<LiveMemory>),
    /// What is remembered of updates of one kind.
    Update {
        /// Of what.
        kind: UpdateKind,
        /// All of it.
        memory: Box<UpdateMemory>,
    },
    /// A chunk of the update under way; ignored when it is there.
    Chunk {
        /// Of what.
        kind: UpdateKind,
        /// Its number.
        n: u32,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Forgets all chunks of one kind.
    ChunksForget(UpdateKind),
}

/// A sample to be stored.
#[derive(Debug, Clone)]
pub struct NewSample {
    /// SHA-256 of the file.
    pub id: SampleId,
    /// Where it was first seen.
    pub path: PathBuf,
    /// File size in bytes.
    pub bytes: u64,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// (dim,)
    pub embedding: Vec<f32>,
    /// The first image of its burst.
    pub group: SampleId,
    /// What was said at arrival, for live accuracy.
    pub predicted: Option<Predicted>,
}

/// What was said of a sample when it arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// The best class.
    pub label: Label,
    /// Its probability.
    pub probability: f32,
    /// Version of the head in service then.
    pub head: u64,
}

/// What a file turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// This sample.
    Sample(SampleId),
    /// Put aside, with the reason.
    Quarantined(String),
}

/// A label for an image that has not been seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedLabel {
    /// 8 to 64 lowercase hexadecimal digits: the start of the image's SHA-256.
    pub prefix: String,
    /// The label.
    pub label: Label,
    /// Who said so.
    pub source: LabelSource,
    /// When.
    pub at: Timestamp,
}

/// A message that must reach the broker at least once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Rising; also inside the payload.
    pub seq: u64,
    /// Below the base.
    pub topic: Topic,
    /// JSON.
    pub payload: Vec<u8>,
    /// When it was made.
    pub made_at: Timestamp,
}

/// A remembered answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// The caller's word for its request.
    pub transaction: String,
    /// The request's name.
    pub name: String,
    /// `status`, `data` and `error` of the response, as JSON.
    pub answer: Vec<u8>,
    /// When it was answered.
    pub at: Timestamp,
}

/// What the training schedule remembers over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TrainingMemory {
    /// The order that is being carried out; after a crash it is carried out again.
    pub running: Option<TrainingOrder>,
    /// An accepted order that waits for the running one.
    pub due: Option<TrainingOrder>,
    /// When the last training ended.
    pub last: Option<Timestamp>,
    /// Labels set, changed or removed since the last training began.
    pub new_labels: u64,
    /// The number of the next training.
    pub next_id: u64,
    /// When the running training was begun: it sees every label given before.
    #[serde(default)]
    pub began: Option<Timestamp>,
    /// Up to when labels were seen by a training that has its verdict.
    #[serde(default)]
    pub settled: Option<Timestamp>,
}

/// An order to train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingOrder {
    /// Its number, in `train` answers and results.
    pub id: u64,
    /// Why, in words: `schedule`, `12 new labels`, `request`.
    pub reason: String,
}
