//! Durable changes that a step asks the store for.
//!
//! All writes of a step, or of several, are one transaction. Applying one twice is the same as once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::context::DoubtedTimes;
use super::event::FileStamp;
use super::messages::BrokerRecord;
use super::model::LiveAccuracy;
use super::remote::{BackboneState, ConfigPatch, UpdateRecord};
use super::states::StateRecord;
use crate::eval::HeldOutAnswers;
use crate::head::HeadRecord;
use crate::wire::{Topic, UpdateKind};
use crate::words::{EmbeddingSpace, Label, Origin, SampleId, TaskId, Timestamp};
pub use crate::words::{HeadStatus, LabelSource};

/// One durable change. Applying a list of them is atomic; applying it twice is the same as once.
#[derive(Debug, Clone)]
pub enum Write {
    /// A new sample (ignored when its id is known), its embeddings and the tasks that look at it.
    Sample(Box<NewSample>),
    /// The embedding (dim,) of a known sample in a space in use.
    Embedding {
        /// The sample.
        id: SampleId,
        /// The space.
        space: EmbeddingSpace,
        /// (dim,)
        embedding: Vec<f32>,
    },
    /// A task looks at a known sample through this space; what it knows of the sample stays. Ignored when the sample is
    /// not stored.
    Look {
        /// The task.
        task: TaskId,
        /// The sample.
        id: SampleId,
        /// A space in use.
        space: EmbeddingSpace,
    },
    /// What a file turned out to be, so that a scan passes it over until its stamp changes.
    File {
        /// Absolute path.
        path: PathBuf,
        /// At the time it was read.
        stamp: FileStamp,
        /// What it is.
        fate: FileDisposition,
    },
    /// Sets or removes a sample's label in one task and adds a line to the history.
    Label {
        /// The task.
        task: TaskId,
        /// The sample.
        id: SampleId,
        /// `None` removes it.
        label: Option<Label>,
        /// Source of the label.
        source: LabelSource,
        /// When.
        at: Timestamp,
        /// The number of the change that it belongs to: everything that a person did at once has the same one, so that
        /// it is undone at once. `None` where nobody can undo it: what a folder gives, and what undoing brings back.
        change: Option<u64>,
    },
    /// Excludes a sample from what a task learns, or takes it back, and adds a line to the history.
    Excluded {
        /// The task.
        task: TaskId,
        /// The sample.
        id: SampleId,
        /// Whether it is excluded from now on.
        excluded: bool,
        /// Who said so.
        source: LabelSource,
        /// When.
        at: Timestamp,
        /// As in [`Write::Label`].
        change: Option<u64>,
    },
    /// Marks every line of the history that belongs to this change as undone, in all tasks; what holds
    /// then is written separately.
    ChangeUndone {
        /// Its number.
        change: u64,
    },
    /// The class by folder of a sample was judged, or has to be judged anew.
    Folder {
        /// The task whose labels the folders give.
        task: TaskId,
        /// The sample.
        id: SampleId,
        /// The class as it was judged last.
        class: Option<Label>,
        /// Whether files came or went since.
        in_doubt: bool,
    },
    /// Under these settings the folders of all samples were judged.
    ClassFolders(ClassFolders),
    /// Keeps a label for an image that has not arrived; replaces one for the same prefix and task.
    PendingLabel(PendingLabel),
    /// Forgets a kept label.
    DeletePendingLabel {
        /// The task.
        task: TaskId,
        /// As in [`PendingLabel::prefix`].
        prefix: String,
    },
    /// Queues a message for the broker.
    Outbox(OutboxMessage),
    /// Keeps a report of what happened for who asks later; the oldest of its kind go for it.
    Keep(KeptReport),
    /// Removes a message from the outbox: delivered or dropped.
    DeleteMessage {
        /// Its `seq`.
        seq: u64,
    },
    /// No `seq` above this has been used.
    SeqReserved(u64),
    /// Remembers the answer to a transaction.
    Reply(RememberedReply),
    /// Forgets the answer to a transaction.
    DeleteReply {
        /// The transaction.
        transaction: String,
    },
    /// Stores a head of a task; ignored when the task has one of its version.
    Head {
        /// The task.
        task: TaskId,
        /// The head.
        record: Box<HeadRecord>,
    },
    /// Changes a head's status and why.
    HeadStatus {
        /// The task.
        task: TaskId,
        /// Its version.
        version: u64,
        /// The new status; making one champion leaves its task no other.
        status: HeadStatus,
        /// As text, with numbers.
        reason: String,
        /// When; for a champion, the time of promotion.
        at: Timestamp,
    },
    /// What the training schedule of a task remembers.
    TrainingState {
        /// The task.
        task: TaskId,
        /// All of it.
        state: TrainingState,
    },
    /// It in small, as a JPEG; ignored when the sample has one, or is not stored.
    Thumbnail {
        /// The sample.
        id: SampleId,
        /// At most some KB.
        jpeg: Vec<u8>,
    },
    /// Lets go of the bytes of a frame; its sample stays.
    DeletePicture {
        /// The sample.
        id: SampleId,
    },
    /// Removes a sample with its embeddings and what every task knows of it; its files are remembered, so that they are not
    /// taken in again.
    DeleteSample {
        /// The sample.
        id: SampleId,
    },
    /// Forgets a file that is gone; its sample stays.
    DeleteFile {
        /// Absolute path.
        path: PathBuf,
    },
    /// The statistics of all labels that a task has ever seen, in its present space; replaces the former ones.
    Statistics {
        /// The task.
        task: TaskId,
        /// As `train::LabelStats` writes them.
        file: Vec<u8>,
    },
    /// Deletes the statistics of labels but for those of each task in its present space.
    DeleteOtherStatistics,
    /// Removes a stored head that is not the champion.
    DeleteHead {
        /// The task.
        task: TaskId,
        /// Its version.
        version: u64,
    },
    /// What is remembered of backbones.
    BackboneState(Box<BackboneState>),
    /// Deletes the embeddings of samples in spaces that are not in use.
    DeleteOtherSpaces,
    /// State of remote settings.
    ConfigPatchState(ConfigPatch),
    /// What is remembered of a task's head in service and of the stream that it sees.
    LiveState {
        /// The task.
        task: TaskId,
        /// All of it.
        state: Box<LiveAccuracy>,
    },
    /// What is remembered of a task's state.
    StateRecord {
        /// The task.
        task: TaskId,
        /// All of it.
        record: Box<StateRecord>,
    },
    /// Deletes all that a task knows: its labels with their history, those that wait, heads, statistics, memory. No sample
    /// goes.
    PurgeTask {
        /// The task.
        task: TaskId,
    },
    /// What is remembered of the broker.
    BrokerRecord(BrokerRecord),
    /// Times in which the clock was doubted.
    DoubtedTimes(DoubtedTimes),
    /// What is remembered of updates of one kind.
    UpdateState {
        /// Of what.
        kind: UpdateKind,
        /// All of it.
        memory: Box<UpdateRecord>,
    },
    /// A chunk of the update in progress; ignored when it is there.
    Chunk {
        /// Of what.
        kind: UpdateKind,
        /// Its number.
        n: u32,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Forgets all chunks of one kind.
    DeleteChunks(UpdateKind),
}

/// A sample to be stored.
#[derive(Debug, Clone)]
pub struct NewSample {
    /// SHA-256 of its bytes.
    pub id: SampleId,
    /// Where it was first seen.
    pub origin: Origin,
    /// How many bytes these are.
    pub bytes: u64,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// (dim,) in each of the spaces that it is looked at through.
    pub embeddings: Vec<(EmbeddingSpace, Vec<f32>)>,
    /// The first image of its burst.
    pub group: SampleId,
    /// The tasks that look at it.
    pub looks: Vec<Look>,
    /// It in small, as a JPEG, where one is kept.
    pub thumbnail: Option<Vec<u8>>,
    /// Its bytes, where they are kept.
    pub picture: Option<Vec<u8>>,
}

/// A task looks at a sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The task.
    pub task: TaskId,
    /// Through the embeddings of this space.
    pub space: EmbeddingSpace,
    /// Prediction at arrival, for live accuracy.
    pub predicted: Option<Predicted>,
}

/// Prediction for a sample when it arrived.
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
pub enum FileDisposition {
    /// This sample.
    Sample(SampleId),
    /// Quarantined, with the reason.
    Quarantined(String),
}

/// Which folders give labels: the watched ones, each with whether its subfolders are classes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ClassFolders(pub Vec<(String, usize)>);

/// A label for an image that has not been seen yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingLabel {
    /// The task.
    pub task: TaskId,
    /// 8 to 64 lowercase hexadecimal digits: the start of the image's SHA-256.
    pub prefix: String,
    /// The label.
    pub label: Label,
    /// Source of the label.
    pub source: LabelSource,
    /// When.
    pub at: Timestamp,
    /// As in [`Write::Label`].
    pub change: Option<u64>,
    /// The label that waited for the image before, with its change: it waits again when this one is undone.
    pub former: Option<(Label, Option<u64>)>,
}

impl PendingLabel {
    /// This label, for an image that `former` waited for until now: the same label again stays in the change that it
    /// came with, as a label does that an image has.
    #[must_use]
    pub fn in_place_of(self, former: Option<&Self>) -> Self {
        match former {
            None => self,
            Some(same) if same.label == self.label => Self { change: same.change, former: same.former.clone(), ..self },
            Some(former) => Self { former: Some((former.label.clone(), former.change)), ..self },
        }
    }

    /// Whether it, or the one that it replaced, came by this change.
    #[must_use]
    pub fn is_of(&self, change: u64) -> bool {
        self.change == Some(change) || self.former.as_ref().is_some_and(|(_, former)| *former == Some(change))
    }

    /// What waits for the image when this change is undone.
    #[must_use]
    pub fn without(self, change: u64) -> Option<Self> {
        if self.change == Some(change) {
            let (label, change) = self.former?;
            return Some(Self { label, change, former: None, ..self });
        }
        Some(Self { former: self.former.filter(|(_, former)| *former != Some(change)), ..self })
    }
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

/// A message that stays when it was delivered, or was never to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptReport {
    /// Something that happened.
    Event {
        /// The number of the message.
        seq: u64,
        /// The task that it is about, where messages name tasks.
        task: Option<TaskId>,
        /// As it was published.
        payload: Vec<u8>,
    },
    /// The result of a training.
    Training {
        /// Of this task.
        task: TaskId,
        /// Its number.
        training: u64,
        /// As it was published.
        payload: Vec<u8>,
        /// What was answered on images that the answering model had not seen.
        answers: HeldOutAnswers,
    },
}

/// A remembered answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RememberedReply {
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
pub struct TrainingState {
    /// The order that is being carried out; after a crash it is carried out again.
    pub running: Option<TrainingOrder>,
    /// An accepted order that waits for the running one.
    pub due: Option<TrainingOrder>,
    /// When the last training ended.
    pub last: Option<Timestamp>,
    /// Labels set, changed or removed since the last training began.
    pub new_labels: u64,
    /// Labelled images that were excluded or taken back since then: at its time the schedule trains again, and they are
    /// no new labels.
    #[serde(default, skip_serializing_if = "is_none")]
    pub exclusions: u64,
    /// The number of the next training.
    pub next_id: u64,
    /// When the running training was begun: it sees every label given before.
    #[serde(default)]
    pub began: Option<Timestamp>,
    /// Up to when labels were seen by a training that has its verdict.
    #[serde(default)]
    pub settled: Option<Timestamp>,
    /// The highest version of a head that was deleted: no later head gets it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_version: Option<u64>,
    /// New labels that the last training left out, until they change or are confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disbelieved: Option<Disbelieved>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_false(value: &bool) -> bool {
    !value
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

/// Labels that are no evidence ([`crate::eval::belief`]).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disbelieved {
    /// The images; of more than [`Disbelieved::MAX`], some. What is left out here is found again by the next training.
    pub images: BTreeSet<SampleId>,
    /// How many there were.
    pub count: u64,
    /// What the alert says.
    pub text: String,
    /// Since when there have been any.
    pub since: Timestamp,
}

impl Disbelieved {
    /// Images that are remembered: they are written with every label.
    pub const MAX: usize = 1_000;
}

/// An order to train.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingOrder {
    /// Its number, in `train` answers and results.
    pub id: u64,
    /// Why: `schedule`, `12 new labels`, `request`.
    pub reason: String,
    /// Whether it has a second phase, in which the last layers of the backbone are trained on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub tune: bool,
}
