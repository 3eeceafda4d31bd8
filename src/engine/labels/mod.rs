//! Samples and their labels: which are known, which images are worth a label, and which samples have to go.
//!
//! Samples are shared by all tasks; what a task knows of those that it looks at is its [`Sheet`].

mod arrivals;
mod awaited;
mod class_folders;
mod comparing;
mod eviction;
mod excluding;
mod forgetting;
mod importing;
mod index;
mod known;
mod labelling;
mod last_word;
mod living;
mod pictures;
mod review_list;
mod sheet;
mod undoing;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::commands::Outcome;
use super::context::Cx;
use super::event::Review;
use super::fact::LabelCounts;
use super::settings::Settings;
use super::snapshot::Snapshot;
use super::step::Query;
use super::write::{FileDisposition, PendingLabel};
use crate::wire::command::Samples;
use crate::wire::{Answer, ErrorCode, ImagePrefix, ReviewReason};
use crate::words::{Label, SampleId, TaskId};
pub use awaited::PENDING_MAX;
use eviction::Eviction;
use known::{KnownSamples, Resolved};
use pictures::Pictures;
use sheet::Sheet;
use undoing::ChangedSince;
pub use undoing::{Before, ChangedImage, NothingToUndo, StoredChange};

/// The machine of samples and labels.
#[derive(Debug)]
pub(super) struct Labels {
    known: KnownSamples,
    sheets: BTreeMap<TaskId, Sheet>,
    eviction: Eviction,
    under_way: UnderWay,
}

/// What the sheets of all tasks share, and what is under way in any of them.
#[derive(Debug, Default)]
struct UnderWay {
    /// Samples that are being forgotten: what is learned at once has let go of them, and they are still stored.
    leaving: BTreeSet<SampleId>,
    /// In how many tasks each sample has a label; it is asked for with every tick.
    labelled: BTreeMap<SampleId, u32>,
    /// The bytes of frames that are kept.
    pictures: Pictures,
    /// The number of the latest change by a person.
    changes: u64,
    /// The change of the import that further requests may belong to.
    importing: Option<u64>,
    /// While the store is asked what is to be undone: what changed since.
    undoing: Option<ChangedSince>,
    /// Files that wait to be read, as the files' machine posted.
    files_waiting: usize,
    /// Whether files of a listing are among them, or had to be left to another one.
    backlog_waits: bool,
}

impl Labels {
    /// The machine of what the store has, which is taken; files outside of all watched folders are passed over.
    pub fn new(settings: &Settings, snapshot: &mut Snapshot) -> Self {
        let known: KnownSamples = std::mem::take(&mut snapshot.samples).into_iter().collect();
        let pictures: Pictures = std::mem::take(&mut snapshot.pictures).into_iter().collect();
        let mut awaited: BTreeMap<TaskId, Vec<PendingLabel>> = BTreeMap::new();
        for label in std::mem::take(&mut snapshot.awaited) {
            awaited.entry(label.task.clone()).or_default().push(label);
        }
        let Snapshot { files, class_folders, tasks, changes, .. } = snapshot;
        let sheet = |task: &super::TaskSettings| {
            let samples = tasks.get_mut(&task.id).map(|stored| std::mem::take(&mut stored.samples));
            let awaited = awaited.remove(&task.id).unwrap_or_default();
            let mut sheet = Sheet::new(samples.unwrap_or_default(), awaited, class_folders.clone());
            for (path, fate) in &*files {
                if let FileDisposition::Sample(id) = fate
                    && settings.root_of(path).is_some()
                {
                    // A folder that cannot be a class was reported when the file came.
                    let class = settings.class_by_folder(task, path).unwrap_or_default();
                    sheet.index.file_lives(path, *id, class.as_ref());
                }
            }
            (task.id.clone(), sheet)
        };
        let sheets: BTreeMap<TaskId, Sheet> = settings.tasks.iter().map(sheet).collect();
        let mut under_way = UnderWay { changes: *changes, pictures, ..UnderWay::default() };
        for id in sheets.values().flat_map(|sheet| sheet.index.labelled_ids()) {
            *under_way.labelled.entry(id).or_default() += 1;
        }
        Self { known, sheets, eviction: Eviction::default(), under_way }
    }

    /// Samples, and how many of them are labelled in any task.
    pub fn samples(&self) -> (usize, usize) {
        (self.known.len(), self.under_way.labelled.len())
    }

    /// Samples that a task looks at, and how many of them it has a label for.
    pub fn samples_of(&self, task: &TaskId) -> (usize, usize) {
        self.sheets.get(task).map_or((0, 0), |sheet| (sheet.index.len(), sheet.index.labelled()))
    }

    /// Whether every task looks at every sample.
    pub fn are_all_looked_at(&self) -> bool {
        self.sheets.values().all(|sheet| sheet.index.len() == self.known.len())
    }

    /// The classes that the labels of a task name.
    pub fn classes_of(&self, task: &TaskId) -> impl Iterator<Item = &Label> {
        self.sheets.get(task).into_iter().flat_map(|sheet| sheet.index.counts().keys())
    }

    /// How many labels of each class a task has.
    pub fn count_by_class(&self, task: &TaskId) -> impl Iterator<Item = (&Label, usize)> {
        let counts = self.sheets.get(task).into_iter().flat_map(|sheet| sheet.index.counts());
        counts.map(|(class, count)| (class, *count))
    }

    /// Why each image of a task's review list is on it.
    pub fn review_reasons(&self, task: &TaskId) -> impl Iterator<Item = ReviewReason> {
        self.sheets.get(task).into_iter().flat_map(|sheet| sheet.review.reasons())
    }

    /// What each task could learn from in a training.
    pub fn counts(&self) -> impl Iterator<Item = (&TaskId, LabelCounts)> {
        self.sheets.iter().map(|(task, sheet)| (task, sheet.counts()))
    }

    /// A training of a task left out the labels of these images, and believed all others.
    pub fn left_out(&mut self, task: &TaskId, images: BTreeSet<SampleId>) {
        if let Some(sheet) = self.sheets.get_mut(task) {
            sheet.left_out(images);
        }
    }

    /// The engine starts: a new review list is due, and a look at the class folders.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        let mut judged = false;
        for (task, sheet) in &mut self.sheets {
            sheet.review.outdated();
            judged |= sheet.judge_at_start(&mut cx.of(task), &mut self.under_way);
        }
        if judged {
            class_folders::note_settings(cx);
        }
        self.under_way.let_labelled_pictures_go(cx);
    }

    /// Files that wait to be read, and whether files that a listing found are among them.
    pub fn files_waiting(&mut self, waiting: usize, backlog_waits: bool) {
        (self.under_way.files_waiting, self.under_way.backlog_waits) = (waiting, backlog_waits);
    }

    /// At these paths there are no images any more.
    pub fn files_gone(&mut self, cx: &mut Cx<'_>, paths: &[PathBuf]) {
        for (task, sheet) in &mut self.sheets {
            sheet.files_gone(&mut cx.of(task), paths);
        }
    }

    /// Has the files of images in doubt looked at, when all that is known of was read.
    pub fn look_at_doubts(&mut self, cx: &mut Cx<'_>) {
        for (task, sheet) in &mut self.sheets {
            sheet.look_at_doubts(&mut cx.of(task), &self.under_way);
        }
    }

    /// Whether images' class by folder is to be judged anew, or samples are on their way out.
    pub fn are_busy(&self) -> bool {
        self.are_going() || self.sheets.values().any(|sheet| !sheet.doubts.is_empty())
    }

    /// The files of these images were looked at, and those that are gone were reported before.
    pub fn files_checked(&mut self, cx: &mut Cx<'_>, images: &[SampleId]) {
        for (task, sheet) in &mut self.sheets {
            sheet.files_checked(&mut cx.of(task), &mut self.under_way, images);
        }
    }

    /// Forgets the labels whose image did not come in time.
    pub fn expire(&mut self, cx: &mut Cx<'_>) {
        for (task, sheet) in &mut self.sheets {
            sheet.expire(&mut cx.of(task));
        }
    }

    /// Requests review lists that are out of date.
    pub fn ask_when_due(&mut self, cx: &mut Cx<'_>) {
        for (task, sheet) in &mut self.sheets {
            sheet.ask_when_due(&mut cx.of(task), self.under_way.files_waiting);
        }
    }

    /// Requests a review list of a task now.
    pub fn ask(&mut self, cx: &mut Cx<'_>, task: &TaskId) {
        if let Some(sheet) = self.sheets.get_mut(task) {
            sheet.ask(&mut cx.of(task), None);
        }
    }

    /// A review list of a task was made.
    pub fn reviewed(&mut self, cx: &mut Cx<'_>, task: &TaskId, review: Review) {
        if let Some(sheet) = self.sheets.get_mut(task) {
            sheet.reviewed(&mut cx.of(task), review);
        }
    }

    /// Publishes all review lists as they are.
    pub fn publish_reviews(&mut self, cx: &mut Cx<'_>) {
        for (task, sheet) in &mut self.sheets {
            sheet.publish_review(&mut cx.of(task));
        }
    }

    /// The review list of a task, for requests.
    pub fn show_review_list(&self, task: &TaskId) -> Answer {
        self.sheets.get(task).map_or_else(|| no_such_task(task), Sheet::show_review_list)
    }

    /// Samples in the order of their arrival.
    pub fn list_samples(&self, task: &TaskId, samples: &Samples) -> Outcome {
        let Samples { limit, after, label, unlabelled, .. } = samples.clone();
        let after = match after.map(|prefix| self.image_named(&prefix)).transpose() {
            Ok(after) => after,
            Err(answer) => return Outcome::Done(answer),
        };
        Outcome::Later(Query::Samples { task: task.clone(), limit, after, label, unlabelled })
    }

    /// The stored image that is meant by the first digits of its digest.
    ///
    /// # Errors
    /// The answer, where it means none or several.
    pub fn image_named(&self, prefix: &ImagePrefix) -> Result<SampleId, Answer> {
        match self.known.resolve(prefix.as_str()) {
            Resolved::Known(id) => Ok(id),
            Resolved::Unknown => {
                let reason = format!("no sample's SHA-256 begins with {prefix}; request/samples names them");
                Err(Answer::error(ErrorCode::NotFound, reason))
            }
            Resolved::Ambiguous => Err(labelling::ambiguous(prefix)),
        }
    }
}

/// The answer to a request about a task that the configuration does not name.
fn no_such_task(task: &TaskId) -> Answer {
    Answer::error(ErrorCode::NotFound, format!("there is no task {task}"))
}
