//! What the shell reports to the engine.

use std::path::PathBuf;
use std::time::Duration;

use super::messages::{Item, JobId, Unanswered};
use super::remote::SwapResult;
use super::write::TrainingOrder;
use crate::eval::budget::Why;
use crate::eval::forgetting::Change;
use crate::eval::gate::Verdict;
use crate::head::{Figures, HeadRecord};
use crate::update::Refusal;
use crate::wire::{Answer, Ignored, ReviewAdvice, ReviewItem, TrainingPhase, UpdateKind};
use crate::words::{Component, Digest, HeadRef, Label, SampleId, Timestamp};

/// Ticket of one inbound MQTT message; the shell acknowledges the message when the engine says so.
pub type DeliveryId = u64;

/// Ticket of one request over the socket; the shell sends the answer to its holder.
pub type Ticket = u64;

/// Size and modification time of a file: while both are unchanged, the file is considered unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileStamp {
    /// Length in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970, from the file system.
    pub mtime_ns: i64,
    /// Time of the last change of content, name or mode, as only the file system sets it, in the same unit; 0 where it is
    /// not known. It tells a file that was overwritten with the same size and time.
    pub ctime_ns: i64,
}

impl FileStamp {
    /// Whether the file system may keep times in whole seconds: then a file may have changed within the same one.
    pub(super) fn is_coarse(self) -> bool {
        self.mtime_ns % 1_000_000_000 == 0
    }
}

/// One thing that happened in the world, by where it comes from.
#[derive(Debug)]
pub enum Event {
    /// Time passed; sent about ten times a second.
    Tick,
    /// From the watcher of folders.
    Watch(WatchEvent),
    /// The ingest worker finished with one file.
    Ingest(Ingested),
    /// From the link to the broker.
    Broker(BrokerEvent),
    /// A request over the socket.
    Socket(SocketRequest),
    /// The answer to an [`super::Act::Query`].
    QueryAnswered {
        /// As in the act.
        job: JobId,
        /// What is answered.
        answer: Answer,
    },
    /// From the training worker.
    Trainer(TrainerEvent),
    /// From the worker that adapts between trainings.
    Adapter(AdapterEvent),
    /// A whole update was compared with its manifest, for [`super::Act::VerifyUpdate`].
    Updater(Box<UpdateChecked>),
    /// From the worker that prepares another backbone.
    Swap(SwapEvent),
    /// A head could not be loaded; the previous one goes on, or the one in the store is loaded again.
    HeadLoadFailed {
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

/// What the watcher of folders sees.
#[derive(Debug)]
pub enum WatchEvent {
    /// The watcher or a scan saw a file that may be an image.
    FileSeen(Sighting),
    /// A scan of all watched folders ended.
    ScanFinished {
        /// What it passed over.
        ignored: Ignored,
        /// Folders that could not be read: path and reason.
        unreadable: Vec<(PathBuf, String)>,
    },
    /// Recorded files that are no longer there.
    FilesGone(Vec<PathBuf>),
    /// The recorded files of these images were looked at, for [`super::Act::CheckFiles`]; those that are gone were
    /// reported before.
    FilesChecked(Vec<SampleId>),
    /// The state of a watched folder; sent when that changes.
    FolderHealth(FolderHealth),
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
    /// Recent embeddings differ from the reference.
    EmbeddingDrift(EmbeddingDrift),
    /// The images that are worth a label now, and what would help most.
    ReviewListReady(Review),
    /// Samples that can go, for [`super::Act::Evict`].
    EvictionCandidates(Vec<EvictionCandidate>),
    /// The statistics of all labels changed.
    StatsCheckpoint(Vec<u8>),
    /// The statistics of all labels without samples that are to be forgotten, for [`super::Query::Forget`].
    StatisticsWithout {
        /// Of the query.
        job: JobId,
        /// The samples, which are still stored.
        ids: Vec<SampleId>,
        /// The statistics.
        file: Vec<u8>,
    },
}

/// How far another backbone is.
#[derive(Debug)]
pub enum SwapEvent {
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
        /// SHA-256 of its model file.
        sha256: Digest,
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

/// A sample that can go, if it still has the label that it was chosen with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvictionCandidate {
    /// Which one.
    pub id: SampleId,
    /// Its label when it was chosen.
    pub label: Option<Label>,
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

/// A file that may be an image, as the watcher or a scan saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// Index of the watched folder in the configuration.
    pub root: usize,
    /// Absolute path.
    pub path: PathBuf,
    /// Size and time at that moment; `None` when it is gone.
    pub stamp: Option<FileStamp>,
    /// Whether the writer is known to have finished (closed after writing, or renamed into place).
    pub closed: bool,
    /// Whether it was just created, so that its writer has still to close it.
    pub open: bool,
}

/// How a watched folder fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderHealth {
    /// Index of the watched folder in the configuration.
    pub root: usize,
    /// How it fares.
    pub state: WatchState,
}

/// Whether what arrives in a watched folder is seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchState {
    /// It is.
    Well,
    /// It is not: the folder is missing, cannot be read, or lost its file system.
    Lost {
        /// What happened to which folder, with the remedy.
        reason: String,
    },
    /// Within seconds only, because the kernel gives no notifications.
    Unheard {
        /// The same.
        reason: String,
    },
}

/// What became of a file handed to the ingest worker.
#[derive(Debug)]
pub struct Ingested {
    /// Index of the watched folder.
    pub root: usize,
    /// Absolute path.
    pub path: PathBuf,
    /// Size and time of the bytes that were read.
    pub stamp: FileStamp,
    /// The result.
    pub outcome: IngestOutcome,
}

/// The result of reading one file.
#[derive(Debug)]
pub enum IngestOutcome {
    /// It is an image and has an embedding.
    Image(Box<EmbeddedImage>),
    /// It is empty or ends too early, as a file still being written does.
    Incomplete {
        /// What is missing.
        reason: String,
    },
    /// It changed while it was read.
    Changed,
    /// It no longer exists.
    Gone,
    /// Its sample was evicted or forgotten, and it is as it was then: it is not taken in again.
    LetGo,
    /// It will never be an image: hostile, of another kind, too large.
    Bad {
        /// Why.
        reason: String,
    },
    /// It could not be read now; another try may succeed.
    Unreadable {
        /// Why.
        reason: String,
    },
}

/// An image with its embedding and the prediction of the head in service.
#[derive(Debug, Clone)]
pub struct EmbeddedImage {
    /// SHA-256 of the file.
    pub id: SampleId,
    /// File size in bytes.
    pub bytes: u64,
    /// The embedding (dim,), as the backbone gave it.
    pub embedding: Vec<f32>,
    /// The group (burst of near-duplicates) that it belongs to: the identity of the group's first image.
    pub group: SampleId,
    /// Prediction of the head in service; `None` while there is none.
    pub prediction: Option<Scored>,
    /// Reading and decoding.
    pub decode: Duration,
    /// The backbone; zero when the embedding came from the cache.
    pub embed: Duration,
}

/// A head's opinion of one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The head that predicted.
    pub head: HeadRef,
    /// Classes with their probabilities, best first, at most `prediction.top_k`.
    pub top: Vec<(Label, f32)>,
    /// The classes that cannot be excluded at `prediction.abstain.alpha`; `None` with too little held out to say.
    pub set: Option<Vec<Label>>,
    /// How far it is from everything known; `None` as above.
    pub novelty: Option<f64>,
    /// Share of known held-out images that are less novel, 0..1; `None` as above.
    pub novelty_rank: Option<f64>,
    /// Whether that is beyond `prediction.unknown.percentile`.
    pub unknown: Option<bool>,
    /// Whether labels newer than the last verdict had a part in it.
    pub instant: bool,
    /// Prediction of the head in shadow mode, if there is one.
    pub shadow: Option<Shadowed>,
}

/// Prediction of a head in shadow mode.
#[derive(Debug, Clone, PartialEq)]
pub struct Shadowed {
    /// Its version.
    pub version: u64,
    /// Its best class.
    pub label: Label,
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
