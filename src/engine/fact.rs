//! Facts that one machine reports to another.
//!
//! A machine puts a fact into the queue of the step ([`super::context::Cx::post`]); when it is done, [`super::Engine`]
//! hands the facts to the machines concerned, first in, first out. A fact states what is true, not what to do about it.
//! It is about the task that was acted for, where there was one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use super::event::{CheckedHead, EmbeddedImage, FileStamp, Scored};
use super::remote::{SwapOrder, SwapResult};
use crate::update::Manifest;
use crate::words::{HeadRef, Label, SampleId, SourceId, TaskId};

/// Something that other machines have to know.
#[derive(Debug)]
pub(super) enum Fact {
    // From the files' machine.
    /// Files that wait to be read.
    FilesWaiting {
        /// How many.
        waiting: usize,
        /// Whether files that a listing found are ready, or had to be left to another one.
        backlog_waits: bool,
    },
    /// There are no images at these paths any more.
    FilesGone(Vec<PathBuf>),
    /// An image was read.
    ImageRead(Box<ReadImage>),
    /// A kept frame was read again.
    PictureRead(Box<EmbeddedImage>),
    /// A frame was read, and what it shows was reported.
    FrameRead {
        /// Whose.
        source: SourceId,
        /// What it shows.
        image: Box<EmbeddedImage>,
    },
    /// A watched folder is lost, or cannot be watched as it should.
    WatchFailed {
        /// What happened, with the remedy.
        reason: String,
    },

    // From the labels' machine.
    /// A new image has a prediction.
    ImagePredicted {
        /// The image.
        id: SampleId,
        /// Its prediction.
        scored: Scored,
    },
    /// A new image was classified, whether or not it can be stored: it may vote for a state.
    ImageJudged {
        /// The image.
        id: SampleId,
        /// The source that it is a frame of; `None` for a file.
        source: Option<SourceId>,
        /// Its prediction.
        scored: Scored,
    },
    /// An image with a label is seen by its task for the first time, or through another part of it: a training can learn
    /// from it now.
    LabelLearnable,
    /// A label was set, changed or removed.
    LabelSet {
        /// Of this image.
        id: SampleId,
        /// `None` where it was removed.
        label: Option<Label>,
        /// The prediction at arrival and its head, if this label is the first to answer it.
        predicted: Option<(Label, u64)>,
        /// All labels by now.
        counts: LabelCounts,
    },
    /// An image was excluded from what its task learns, or taken back.
    SampleExcluded {
        /// The image.
        id: SampleId,
        /// Whether it has a label.
        is_labelled: bool,
        /// All labels by now.
        counts: LabelCounts,
    },
    /// Samples were dropped to keep the store within its quota.
    SamplesEvicted {
        /// How many.
        count: u64,
    },
    /// Samples were forgotten by request: nothing is learned from them any more.
    SamplesForgotten {
        /// How many of them were labelled.
        labelled: u64,
    },

    // From the model's machine.
    /// A training was ordered.
    TrainingDue,
    /// Another head serves, or none, or one has other figures.
    HeadsChanged,
    /// A training runs, or none does.
    TrainingRuns(bool),
    /// A training left out the labels of these images; those of all others are believed.
    LabelsLeftOut(BTreeSet<SampleId>),
    /// A new head has its verdict.
    HeadJudged,
    /// A head went out of service.
    HeadRolledBack {
        /// This one.
        from: HeadRef,
        /// Why.
        reason: String,
    },
    /// A head that came as an update was compared with one that no longer serves.
    UpdateHeadOutdated,
    /// A head that came as an update is worse than the one in service.
    UpdateHeadRefused {
        /// As text, with numbers.
        reason: String,
    },
    /// A head that came as an update serves.
    UpdateHeadInstalled {
        /// Under this version.
        head: HeadRef,
    },
    /// The head of another backbone is champion, and the backbone can take over.
    BackboneAccepted {
        /// The backbone, without its head.
        result: Box<SwapResult>,
        /// Versions of the champions before them.
        former: BTreeMap<TaskId, u64>,
    },

    /// Another backbone was compared with a head that no longer serves.
    BackboneOutdated,
    /// Another backbone is worse than the pair in service.
    BackboneRefused(Box<SwapResult>),

    // From the remote machine.
    /// The file of an update is whole, and to be verified.
    UpdateWhole(Box<Manifest>),
    /// The file of another backbone is as it was signed; its version is the model's to give.
    BackboneVerified(Box<SwapOrder>),
    /// Whether a head that came as an update is compared with the champion.
    ComparingHead(bool),
    /// It was compared.
    UpdateHeadCompared {
        /// Name of the update, for people.
        update: String,
        /// The head and the verdict.
        found: Box<CheckedHead>,
    },
    /// The head from an update failed its probation.
    UpdateHeadFailed {
        /// Which one; another may serve by now.
        head: HeadRef,
        /// Why.
        reason: String,
    },
    /// Another backbone is ready and was compared with the pair in service.
    BackboneCompared(Box<SwapResult>),
}

/// An image that was read from a file.
#[derive(Debug)]
pub(super) struct ReadImage {
    pub path: PathBuf,
    pub stamp: FileStamp,
    pub image: EmbeddedImage,
    /// From the last change of the file until it was ready.
    pub settled: Duration,
    /// Since the file was ready.
    pub latency: Duration,
}

/// What a training could learn from.
#[derive(Debug, Clone, Default)]
pub(super) struct LabelCounts {
    pub labelled: usize,
    pub classes: usize,
    /// The class, where it is the only one.
    pub only: Option<Label>,
}
