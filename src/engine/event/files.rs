//! What is seen of files in the watched folders, and what they are when they are read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::wire::Ignored;
use crate::words::{EmbeddingSpace, HeadRef, Label, SampleId, TaskId};

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
    pub(in crate::engine) fn is_coarse(self) -> bool {
        self.mtime_ns % 1_000_000_000 == 0
    }
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
    /// The recorded files of these images were looked at, for [`super::super::Act::CheckFiles`]; those that are gone were
    /// reported before.
    FilesChecked(Vec<SampleId>),
    /// A part of the samples was looked through, for [`super::super::Act::FindUnseen`].
    UnseenFound(Unseen),
    /// The state of a watched folder; sent when that changes.
    FolderHealth(FolderHealth),
}

/// Samples that a task should see and does not, among some of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unseen {
    /// Files to read again: index of the watched folder, and absolute path.
    pub files: Vec<(usize, PathBuf)>,
    /// Frames to read again from their kept bytes.
    pub pictures: Vec<SampleId>,
    /// The number of the last sample that was looked through; `None` where it was the last of the store.
    pub next: Option<u64>,
    /// By task, samples without a file or kept bytes that could be read.
    pub missing: BTreeMap<TaskId, u64>,
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

/// An image with its embeddings and the predictions of the heads in service.
#[derive(Debug, Clone)]
pub struct EmbeddedImage {
    /// SHA-256 of its bytes.
    pub id: SampleId,
    /// How many these are.
    pub bytes: u64,
    /// What the tasks that look at it see, in the order of the settings.
    pub views: Vec<View>,
    /// The embeddings (dim,) of these views, each space once, as the backbone gave them.
    pub embeddings: Vec<(EmbeddingSpace, Vec<f32>)>,
    /// It in small, as a JPEG; `None` where none is kept, or the store has it.
    pub thumbnail: Option<Vec<u8>>,
    /// Its bytes, where they are to be kept: those of a frame, which has no file.
    pub picture: Option<Vec<u8>>,
    /// The group (burst of near-duplicates) that it belongs to: the identity of the group's first image.
    pub group: SampleId,
    /// Reading and decoding.
    pub decode: Duration,
    /// The backbone; zero when all embeddings came from the cache.
    pub embed: Duration,
}

/// What a task sees of an image.
#[derive(Debug, Clone)]
pub struct View {
    /// The task.
    pub task: TaskId,
    /// The embedding that it looks at: the whole image, or a region of it.
    pub space: EmbeddingSpace,
    /// Whether the store does not know yet that this task looks at this image through this space.
    pub is_new: bool,
    /// Prediction of its head in service; `None` while there is none.
    pub prediction: Option<Scored>,
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
