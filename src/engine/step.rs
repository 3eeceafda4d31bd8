//! The result of a step: durable changes first, then acts, then how the main loop continues.
//!
//! The shell commits the writes of a step, or of several, in one transaction before it does any of their acts. So
//! whatever is acknowledged or answered is durable first, and a crash between two steps leaves no half of either.

use std::path::PathBuf;

use super::event::{DeliveryId, Ticket};
use super::messages::{JobId, Terms};
use super::note::Note;
use super::remote::SwapOrder;
use super::write::{TrainingOrder, Write};
use crate::update::Manifest;
use crate::wire::{EventReport, Response, Topic, command};
use crate::words::{Digest, HeadRef, Label, SampleId, SourceId, TaskId, Timestamp};

/// What one event, or several in a row, ask for.
#[derive(Debug, Default)]
pub struct Step {
    /// To be made durable in one transaction, before anything else.
    pub writes: Vec<Write>,
    /// To be done afterwards, in this order.
    pub acts: Vec<Act>,
    /// How the main loop continues after the acts.
    pub then: Next,
    /// What is counted of it.
    pub notes: Vec<Note>,
}

impl Step {
    /// Adds the result of a later event; an exit overrides a restart, which overrides continuing.
    pub fn append(&mut self, later: Self) {
        self.writes.extend(later.writes);
        self.acts.extend(later.acts);
        self.then = self.then.max(later.then);
        self.notes.extend(later.notes);
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.acts.is_empty() && self.then == Next::Continue
    }
}

/// How the main loop continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Next {
    /// With the next event.
    #[default]
    Continue,
    /// By restarting everything but the broker's connection, with the configuration and state that are durable by then.
    Restart,
    /// By ending the process.
    Exit,
}

/// One thing to do.
#[derive(Debug)]
pub enum Act {
    /// Publish now if the broker is connected, else not at all: the latest value is published again on connecting.
    Publish {
        /// Below the base.
        topic: Topic,
        /// JSON, or plain text for `status`.
        payload: Vec<u8>,
    },
    /// Show to the clients that watch, and to nobody else.
    Show {
        /// Below the base.
        topic: Topic,
        /// As it is published.
        payload: Vec<u8>,
    },
    /// Acknowledge an inbound message.
    Ack(DeliveryId),
    /// Send an answer to the client at the socket.
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
    /// Take the frame that waits at this source, decode and embed it, and report a [`super::FrameRead`].
    IngestFrame {
        /// Whose.
        source: SourceId,
    },
    /// Decode the kept bytes of this sample, embed what tasks have not seen of it, and report a [`super::PictureRead`].
    IngestPicture {
        /// The sample.
        id: SampleId,
    },
    /// Ask this camera for its picture more often for a while, where that is how its frames come.
    Burst(SourceId),
    /// Read this file's size and time again and report a [`super::Sighting`].
    Stat {
        /// Index of the watched folder.
        root: usize,
        /// Absolute path.
        path: PathBuf,
    },
    /// List all watched folders and report what the store does not know.
    Rescan,
    /// Whether listings skip all but recent files from now on, because the queue is full.
    PauseScans(bool),
    /// One thing to do for a task.
    Task(TaskId, TaskAct),
    /// Look whether the recorded files of these images are still there, after the listing that is under way; report
    /// [`super::WatchEvent::FilesChecked`].
    CheckFiles(Vec<SampleId>),
    /// Look through the next `limit` samples whose numbers are above `after` for some that a task should see and does not;
    /// report [`super::WatchEvent::UnseenFound`].
    FindUnseen {
        /// 0 for the first samples.
        after: u64,
        /// How many are looked through.
        limit: usize,
    },
    /// Look for samples that can go.
    Evict {
        /// How many.
        count: usize,
    },
    /// Prepare this backbone while the current one serves.
    PrepareBackbone(Box<SwapOrder>),
    /// Remove the files of a backbone in the state folder that are called so, and prepare it no further.
    DeleteBackbone(Digest),
    /// Verify the chunks in the store against this manifest, and compare a head with the one in service.
    VerifyUpdate {
        /// Whose head is compared.
        task: TaskId,
        /// What the file has to be.
        manifest: Box<Manifest>,
        /// The version that a head in it gets.
        version: u64,
    },
    /// There are new messages in the outbox.
    SendOutbox,
    /// Send to the broker in this way from now on.
    AdaptToBroker(Box<Terms>),
    /// Write this event into the journal: where there is no broker, people look there.
    LogEvent(Box<EventReport>),
    /// Tell the service manager.
    Systemd(Systemd),
}

/// One thing to do for a task: with its heads, its labels, or what was learned from them.
#[derive(Debug)]
pub enum TaskAct {
    /// Train a challenger and compare it with the champion.
    Train {
        /// Which training.
        order: TrainingOrder,
        /// The version that the challenger gets.
        version: u64,
    },
    /// Put the head of this version in service; `None` takes the current one out.
    Serve(Option<u64>),
    /// Put the stored champion, which has this version, in service again after a start. Unlike [`TaskAct::Serve`] it
    /// depends on no change, so it need not wait for the store.
    Resume(u64),
    /// Run the head of this version in shadow mode beside the champion; `None` ends that.
    Shadow(Option<u64>),
    /// The labels of these samples changed, or their embeddings came: what corrects at once learns them.
    UpdateOnline(Vec<SampleId>),
    /// A verdict saw every label given before this time; their instant effect ends.
    FoldInLabels(Timestamp),
    /// Classify this stored image again, after what was asked for before, and report it as [`super::Event::JudgedAgain`].
    JudgeAgain(SampleId),
    /// Look for images that are worth a label, among those that arrived since then where a time is given.
    Review {
        /// Earlier images are not considered.
        since: Option<Timestamp>,
    },
}

/// A word to the service manager.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Systemd {
    /// Everything works, with the settings requested last or the previous ones.
    Ready,
    /// Other settings are checked or applied; [`Systemd::Ready`] follows.
    Reloading,
    /// The loop turns; to be passed on while no worker is stuck.
    WatchdogPing,
    /// How it is, in one line.
    Status(String),
    /// Shutdown is in progress.
    Stopping,
}

/// What has to be looked up or computed for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// Samples in the order of their arrival, as [`crate::wire::SampleEntry`].
    Samples {
        /// Whose labels.
        task: TaskId,
        /// Maximum number.
        limit: usize,
        /// Only those that arrived after this one.
        after: Option<SampleId>,
        /// Only those with this label.
        label: Option<Label>,
        /// Only those without a label.
        unlabelled: bool,
    },
    /// The prediction for a stored image now, as [`crate::wire::PredictionBody`].
    Predict(TaskId, SampleId),
    /// A backbone of this device, by its bundled name or the path of its manifest, reported as
    /// [`super::SwapEvent::Found`].
    Backbone(String),
    /// The configuration, read again; where it is good, [`super::ProcessEvent::ConfigReady`] follows the answer.
    Reload,
    /// A change of labels, reported as [`super::Event::ChangeFound`].
    Undo {
        /// Its number; the latest one that is not undone where there is none.
        change: Option<u64>,
        /// The latest change when the request came: later ones are not meant.
        newest: u64,
    },
    /// The statistics of all labels without these samples, reported as [`super::AdapterEvent::StatisticsWithout`]: the
    /// samples are deleted with them.
    Forget(Vec<SampleId>),
    /// What is stored of a task that is none of the settings', answered as [`crate::wire::command::Purged`]; the task is
    /// ended in the commit that has the answer.
    Purge(TaskId),
    /// The backbone and this head as one ONNX file, answered as [`crate::wire::Exported`].
    Export(TaskId, HeadRef),
    /// A part of the statistics of a task, of classes with so many images at least, answered as
    /// [`crate::wire::command::StatisticsPart`].
    Statistics {
        /// Of which task.
        task: TaskId,
        /// Images of a class at least.
        min_class_count: u64,
        /// Which part.
        part: command::Statistics,
    },
    /// The head in this file measured on the labelled images of a task, answered as [`crate::fleet::Score`].
    Score(TaskId, Vec<u8>),
}
