//! What the engine is started from: everything the store remembers that deciding needs.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::context::DoubtedTimes;
use super::messages::BrokerRecord;
use super::model::LiveAccuracy;
use super::remote::{BackboneState, ConfigPatch, StoredUpdate};
use super::states::StateRecord;
use super::write::{
    ClassFolders, FileDisposition, HeadStatus, LabelSource, PendingLabel, RememberedReply, TrainingState,
};
use crate::head::HeadRecord;
use crate::wire::{HeadEntry, Topic, UpdateKind};
use crate::words::{EmbeddingSpace, HeadRef, Label, SampleId, SourceId, TaskId, Timestamp};

/// The store's memory at start.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Every sample, in the order of arrival.
    pub samples: Vec<SampleId>,
    /// The frames whose bytes are kept, in the order of arrival.
    pub pictures: Vec<StoredPicture>,
    /// What each task knows; a store has at least the default task.
    pub tasks: BTreeMap<TaskId, StoredTask>,
    /// Labels for images not seen yet, oldest first.
    pub awaited: Vec<PendingLabel>,
    /// No change of labels has a number above this.
    pub changes: u64,
    /// Remembered answers, oldest first.
    pub ledger: Vec<RememberedReply>,
    /// Unsent messages, oldest first.
    pub outbox: Vec<Spooled>,
    /// No `seq` above this has been used.
    pub seq: u64,
    /// Every recorded file but those whose sample was evicted: path and what it is.
    pub files: Vec<(PathBuf, FileDisposition)>,
    /// The settings under which the samples' folders were judged last; `None` before the first time.
    pub class_folders: Option<ClassFolders>,
    /// What is remembered of backbones that came as updates.
    pub backbone: BackboneState,
    /// State of remote settings.
    pub twin: ConfigPatch,
    /// What is remembered of the broker.
    pub broker: BrokerRecord,
    /// Times in which the clock was doubted.
    pub doubted: DoubtedTimes,
    /// What is remembered of updates, and which chunks there are.
    pub updates: BTreeMap<UpdateKind, StoredUpdate>,
}

/// The bytes of a frame that are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPicture {
    /// Its sample.
    pub id: SampleId,
    /// Whose frame it is.
    pub source: SourceId,
    /// How many bytes.
    pub bytes: u64,
}

/// What a task knows.
#[derive(Debug, Clone, Default)]
pub struct StoredTask {
    /// The samples that it looks at, in the order of arrival.
    pub samples: Vec<StoredSample>,
    /// Its heads, oldest first.
    pub heads: Vec<HeadInfo>,
    /// What its schedule remembers.
    pub training: TrainingState,
    /// What is remembered of its head in service.
    pub live: LiveAccuracy,
    /// What is remembered of its state.
    pub state: StateRecord,
}

/// A sample as a task's decisions need it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredSample {
    /// Its identity.
    pub id: SampleId,
    /// Its label and who gave it.
    pub label: Option<(Label, LabelSource)>,
    /// Who took its label away, where it has none any more.
    pub removed_by: Option<LabelSource>,
    /// When its label was given or taken away.
    pub spoken_at: Option<Timestamp>,
    /// Whether it is excluded from what the task learns.
    pub excluded: bool,
    /// Its class by folder as it was last judged.
    pub folder: Option<Label>,
    /// Whether files came or went since.
    pub in_doubt: bool,
    /// Class predicted at arrival and version of the head that predicted it; `None` also when a label has answered it
    /// already.
    pub predicted: Option<(Label, u64)>,
}

impl Snapshot {
    /// What the only task knows where the configuration names none.
    #[must_use]
    pub fn default_task(&mut self) -> &mut StoredTask {
        self.tasks.entry(TaskId::default()).or_default()
    }
}

impl From<StoredTask> for Snapshot {
    /// A store with the default task alone.
    fn from(task: StoredTask) -> Self {
        let samples = task.samples.iter().map(|sample| sample.id).collect();
        Self { samples, tasks: BTreeMap::from([(TaskId::default(), task)]), ..Self::default() }
    }
}

impl StoredSample {
    /// A sample of which nothing was said.
    #[must_use]
    pub fn new(id: SampleId) -> Self {
        Self {
            id,
            label: None,
            removed_by: None,
            spoken_at: None,
            excluded: false,
            folder: None,
            in_doubt: false,
            predicted: None,
        }
    }
}

/// What goes first when the outbox has no room: the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worth {
    /// Reports of what happened: they are many in bad times, and the journal has them.
    Event,
    /// Answers: who waited for one can send the request again.
    Answer,
    /// Predictions, which exist nowhere else, and what is sent once.
    Prediction,
}

impl Worth {
    /// All of them, the lowest first.
    pub const ALL: [Self; 3] = [Self::Event, Self::Answer, Self::Prediction];

    /// Of a message on this topic.
    #[must_use]
    pub fn of(topic: &Topic) -> Self {
        match topic {
            Topic::Event => Self::Event,
            Topic::Response(_) => Self::Answer,
            _ => Self::Prediction,
        }
    }
}

/// An unsent message, without its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spooled {
    /// Its number.
    pub seq: u64,
    /// Its topic's rank among those that are dropped when there is no room.
    pub worth: Worth,
    /// Length of topic and payload in bytes.
    pub bytes: u64,
    /// When it was made.
    pub made_at: Timestamp,
}

/// A stored head, without its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadInfo {
    /// Its names.
    pub head: HeadRef,
    /// When it was trained.
    pub created: Timestamp,
    /// The embeddings that it reads.
    pub space: EmbeddingSpace,
    /// Name of the backbone, for people.
    pub backbone: String,
    /// Its classes.
    pub classes: Vec<Label>,
    /// Held-out accuracy, 0..1; `None` with too little held out.
    pub accuracy: Option<f64>,
    /// Where it stands.
    pub status: HeadStatus,
    /// Why, as text with numbers.
    pub reason: String,
    /// When it last became champion.
    pub promoted_at: Option<Timestamp>,
}

impl From<&HeadInfo> for HeadEntry {
    fn from(info: &HeadInfo) -> Self {
        Self {
            id: info.head.id.clone(),
            version: info.head.version,
            created: info.created,
            backbone: info.backbone.clone(),
            classes: info.classes.clone(),
            accuracy: info.accuracy,
            status: info.status,
            reason: info.reason.clone(),
        }
    }
}

impl HeadInfo {
    /// What is known of a head that was just stored, for this reason.
    pub(crate) fn of(record: &HeadRecord, reason: String) -> Self {
        Self {
            head: record.head.clone(),
            created: record.created,
            space: record.frozen().space,
            backbone: record.backbone.name.clone(),
            classes: record.dense.classes.labels().to_vec(),
            accuracy: record.figures.as_ref().map(|figures| figures.accuracy),
            status: HeadStatus::Kept,
            reason,
            promoted_at: None,
        }
    }
}
