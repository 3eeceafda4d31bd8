//! What the shell reports to the engine.

mod files;
mod sources;

use super::labels::StoredChange;
use super::messages::{Item, JobId, Unanswered};
use super::remote::{FoundBackbone, SwapResult};
use super::write::{LabelSource, TrainingOrder};
use crate::eval::HeldOutAnswers;
use crate::eval::budget::Why;
use crate::eval::forgetting::Change;
use crate::eval::gate::Verdict;
use crate::head::{Figures, HeadRecord};
use crate::update::Refusal;
use crate::wire::{Answer, ReviewAdvice, ReviewItem, SecondPhase, TrainingPhase, UpdateKind};
use crate::words::{Component, Digest, Label, SampleId, TaskId, Timestamp};
pub use files::{
    EmbeddedImage, FileStamp, FolderHealth, IngestOutcome, Ingested, Scored, Shadowed, Sighting, Unseen, View,
    WatchEvent, WatchState,
};
pub use sources::{FrameOutcome, FrameRead, PictureRead, SourceCounts, SourceNews};

/// Ticket of one inbound MQTT message; the shell acknowledges the message when the engine says so.
pub type DeliveryId = u64;

/// Ticket of one request over the socket; the shell sends the answer to its holder.
pub type Ticket = u64;

/// One thing that happened in the world, by where it comes from.
#[derive(Debug)]
pub enum Event {
    /// Time passed; sent about ten times a second.
    Tick,
    /// From the watcher of folders.
    Watch(WatchEvent),
    /// The ingest worker finished with one file.
    Ingest(Ingested),
    /// Frames came from sources, or did not.
    Frames {
        /// Of each source of which there is anything to say.
        news: Vec<SourceNews>,
        /// Who waited for the answer to a frame that is gone.
        dropped: Vec<Ticket>,
    },
    /// The ingest worker finished with one frame.
    Frame(FrameRead),
    /// The ingest worker finished with a kept frame.
    Picture(PictureRead),
    /// From the link to the broker.
    Broker(BrokerEvent),
    /// A request over the socket.
    Socket(SocketRequest),
    /// A client begins to watch.
    WatchBegan,
    /// The answer to an [`super::Act::Query`].
    QueryAnswered {
        /// As in the act.
        job: JobId,
        /// What is answered.
        answer: Answer,
    },
    /// The change of labels that a [`super::Query::Undo`] means.
    ChangeFound {
        /// As in the act.
        job: JobId,
        /// As it is in the store; `None` where there is none.
        found: Option<StoredChange>,
    },
    /// From the training worker, about a training of this task.
    Trainer(TaskId, TrainerEvent),
    /// From the worker that adapts between trainings.
    Adapter(AdapterEvent),
    /// A stored image was classified again, for [`super::TaskAct::JudgeAgain`].
    JudgedAgain {
        /// In this task.
        task: TaskId,
        /// The image.
        image: SampleId,
        /// What the head in service says of it now.
        scored: Scored,
    },
    /// A whole update was compared with its manifest, for [`super::Act::VerifyUpdate`].
    Updater(Box<UpdateChecked>),
    /// From the worker that prepares another backbone.
    Swap(SwapEvent),
    /// A head could not be loaded; the previous one goes on, or the one in the store is loaded again.
    HeadLoadFailed {
        /// Whose head.
        task: TaskId,
        /// Its version.
        version: u64,
        /// Why.
        reason: String,
    },
    /// From the store.
    Store(StoreEvent),
    /// From the process: signals, and configuration files read again.
    Process(ProcessEvent),
    /// What only the shell can measure; sent about every ten seconds.
    SystemMetrics(SystemMetrics),
    /// Something in the shell went wrong and was dealt with; people should know.
    ComponentError {
        /// Which part of the daemon.
        source: Component,
        /// What happened, with the remedy.
        reason: String,
    },
}

/// What the link to the broker brings.
#[derive(Debug)]
pub enum BrokerEvent {
    /// A message arrived on a topic below the device's base.
    Message(Inbound),
    /// The broker accepted the connection and answered the subscriptions.
    Connected {
        /// Filters that it refused.
        refused: Vec<String>,
        /// Filters that it granted with `QoS` 0 only.
        downgraded: Vec<String>,
    },
    /// The link broke, or did not come up.
    Disconnected {
        /// In the client's words.
        reason: String,
        /// Whether the broker refuses this device, which only a person can fix.
        barred: bool,
        /// What waited for the broker's answer.
        unanswered: Option<Unanswered>,
    },
    /// A message arrived that is longer than allowed; it was read to its end and thrown away.
    Oversized {
        /// Its topic below the base.
        topic: String,
        /// Its length.
        bytes: usize,
        /// Whether the broker keeps it.
        retained: bool,
        /// For the acknowledgement.
        delivery: DeliveryId,
    },
    /// The broker took something that was to wait for everything else.
    Taken(Item),
    /// The broker acknowledged the spooled message with this number.
    Delivered {
        /// Its `seq`.
        seq: u64,
    },
}

impl BrokerEvent {
    /// The broker accepted the connection and every subscription.
    #[must_use]
    pub fn connected() -> Self {
        Self::Connected { refused: Vec::new(), downgraded: Vec::new() }
    }

    /// The link broke while nothing waited for the broker's answer.
    #[must_use]
    pub fn disconnected(reason: &str, barred: bool) -> Self {
        Self::Disconnected { reason: reason.to_owned(), barred, unanswered: None }
    }
}

/// What the training worker reports.
#[derive(Debug)]
pub enum TrainerEvent {
    /// Where it is.
    Progress {
        /// What it does now.
        phase: TrainingPhase,
        /// 0..1 over the whole training.
        progress: f64,
    },
    /// It finished.
    Finished(Box<TrainingOutcome>),
    /// It could not finish.
    Failed {
        /// Why, with the remedy.
        reason: String,
    },
}

/// What the worker that adapts between trainings finds.
#[derive(Debug)]
pub enum AdapterEvent {
    /// Recent embeddings of a task differ from its reference.
    EmbeddingDrift(TaskId, EmbeddingDrift),
    /// The images that are worth a label now in this task, and what would help most.
    ReviewListReady(TaskId, Review),
    /// Samples that can go, for [`super::Act::Evict`].
    EvictionCandidates(Vec<EvictionCandidate>),
    /// The statistics of all labels of a task changed.
    StatsCheckpoint(TaskId, Vec<u8>),
    /// The statistics of all labels without samples that are to be forgotten, for [`super::Query::Forget`].
    StatisticsWithout {
        /// Of the query.
        job: JobId,
        /// The samples, which are still stored.
        ids: Vec<SampleId>,
        /// The statistics of each task.
        files: Vec<(TaskId, Vec<u8>)>,
    },
}

/// How far another backbone is.
#[derive(Debug)]
pub enum SwapEvent {
    /// The backbone of a request to switch was looked up.
    Found {
        /// Of the query.
        job: JobId,
        /// It, or why there is none, with the remedy.
        found: Result<Box<FoundBackbone>, String>,
    },
    /// It embeds the stored images.
    Progress {
        /// Images embedded.
        embedded: u64,
        /// The total.
        of: u64,
    },
    /// It is ready and judged.
    Ready(Box<SwapResult>),
    /// It cannot be prepared.
    Failed {
        /// What its files are called.
        files: Digest,
        /// Why, with the remedy.
        reason: String,
    },
}

/// Whether the store takes writes.
#[derive(Debug)]
pub enum StoreEvent {
    /// It accepts no writes; pending ones are not durable and wait.
    Unavailable {
        /// Whether the disk is full.
        full: bool,
        /// Why, with the remedy.
        reason: String,
    },
    /// It took everything that waited.
    Recovered,
}

/// Requests to the process.
#[derive(Debug)]
pub enum ProcessEvent {
    /// The configuration is to be read again.
    ReloadRequested,
    /// It was read again, is good and waits to be taken.
    ConfigReady,
    /// A termination signal arrived.
    StopRequested,
}

/// What a whole update was found to be.
#[derive(Debug)]
pub struct UpdateChecked {
    /// Of what.
    pub kind: UpdateKind,
    /// The task whose head it was compared with.
    pub task: TaskId,
    /// Of the file, verified against its manifest.
    pub sha256: Digest,
    /// What is in it, or why it is refused.
    pub outcome: Result<Checked, Refusal>,
}

/// The contents of an update whose file matches its manifest.
#[derive(Debug)]
pub enum Checked {
    /// A head.
    Head(Box<CheckedHead>),
    /// A backbone, whose file was not opened.
    Backbone,
}

/// A head that answers for the images of this device.
#[derive(Debug)]
pub struct CheckedHead {
    /// The head with its figures on this device's labels, where there are enough of them.
    pub record: HeadRecord,
    /// The gate's verdict.
    pub verdict: Verdict,
    /// Version of the head that it was compared with.
    pub against: Option<u64>,
}

/// A sample that can go, if it still has the labels that it was chosen with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvictionCandidate {
    /// Which one.
    pub id: SampleId,
    /// Its labels when it was chosen, in the order of the tasks' names.
    pub labels: Vec<(TaskId, Label)>,
    /// Why it can go.
    pub why: Why,
}

/// The review list's candidates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Review {
    /// In the order in which to work through them.
    pub items: Vec<ReviewItem>,
    /// Which class would gain most from more labels.
    pub advice: Option<ReviewAdvice>,
}

/// What a test of the embeddings found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EmbeddingDrift {
    /// Of the test that set the alarm off.
    pub p_value: f64,
    /// Arrival of the first image that it considered.
    pub since: Timestamp,
}

/// Measurements for `health`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SystemMetrics {
    /// Size of the store's files in bytes.
    pub store_bytes: u64,
    /// Of these, what belongs neither to samples nor to unsent messages.
    pub store_beside_bytes: u64,
    /// Memory of this process that is resident, in bytes.
    pub rss_bytes: u64,
    /// Temperature of the processor, where the machine reports it.
    pub temperature_c: Option<f64>,
    /// Whether the clock follows a time server, where the kernel reports it.
    pub time_synced: Option<bool>,
}

/// Result of a training.
#[derive(Debug, Clone)]
pub struct TrainingOutcome {
    /// The order that it fulfils.
    pub order: TrainingOrder,
    /// The challenger; its version is not used by any stored head.
    pub challenger: HeadRecord,
    /// The champion's figures on the samples that both were compared on; `None` without a champion.
    pub champion: Option<Figures>,
    /// Version of the champion when the training began, whether its file could be read or not; `None` where none served.
    pub against: Option<u64>,
    /// The gate's verdict.
    pub verdict: Verdict,
    /// How each class that both heads know fares.
    pub changes: Vec<Change>,
    /// Labels that the out-of-fold answers contradict.
    pub suspicious_labels: u64,
    /// New labels that it left out; `None` where it believed all.
    pub left_out: Option<LeftOut>,
    /// What the challenger's models of the folds answered.
    pub answers: HeldOutAnswers,
    /// Of a training with a second phase.
    pub second: Option<SecondPhase>,
}

/// New labels that a training left out, since they are no evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOut {
    /// Their images.
    pub images: Vec<SampleId>,
    /// How many labels were new.
    pub of: u64,
    /// How many of those that were left out came from where, most first.
    pub sources: Vec<(LabelSource, u64)>,
    /// The label that most of them have, and what older labels make of the same images.
    pub mostly: (Label, Label),
}

impl LeftOut {
    /// How many, from where, what about them, and what to do.
    #[must_use]
    pub fn text(&self) -> String {
        let from: Vec<String> =
            self.sources.iter().map(|(source, count)| format!("{count} by {}", source.as_str())).collect();
        let (given, expected) = &self.mostly;
        format!(
            "{} of {} new labels ({}) contradict the older ones and cannot be learned, mostly '{given}' on images like \
             '{expected}'; the head was trained without them: look at 'review', and correct them or give them again to \
             confirm",
            self.images.len(),
            self.of,
            from.join(", ")
        )
    }
}

/// One request over the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketRequest {
    /// `train`; 1 to 64 of `a-z`, `0-9`, `_` and `-`.
    pub name: String,
    /// As it came.
    pub payload: Vec<u8>,
    /// For the answer.
    pub ticket: Ticket,
}

/// One inbound MQTT message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The topic below the base, `label` or `request/train`.
    pub topic: String,
    /// As it came.
    pub payload: Vec<u8>,
    /// Whether the broker had kept it.
    pub retained: bool,
    /// For the acknowledgement.
    pub delivery: DeliveryId,
}
