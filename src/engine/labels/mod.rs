//! Samples and their labels: which are known, which images are worth a label, and which samples have to go.

mod arrivals;
mod awaited;
mod class_folders;
mod eviction;
mod forgetting;
mod importing;
mod index;
mod labelling;
mod last_word;
mod living;
mod review_list;
mod undoing;

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::commands::Outcome;
use super::context::Cx;
use super::fact::LabelCounts;
use super::settings::Settings;
use super::snapshot::StoredSample;
use super::step::Query;
use super::write::{ClassFolders, FileDisposition, PendingLabel, Write};
use crate::wire::command::Samples;
use crate::wire::{Answer, ErrorCode, ImagePrefix};
use crate::words::{SampleId, TaskId};
pub use awaited::PENDING_MAX;
use class_folders::Doubts;
use eviction::Eviction;
use index::{Resolved, SampleIndex};
use review_list::ReviewState;
pub use undoing::{ChangedImage, NothingToUndo, StoredChange};

/// The machine of samples and labels.
#[derive(Debug)]
pub(super) struct Labels {
    index: SampleIndex,
    review: ReviewState,
    eviction: Eviction,
    doubts: Doubts,
    /// Samples that are being forgotten: what is learned at once has let go of them, and they are still stored.
    leaving: BTreeSet<SampleId>,
    /// The number of the latest change by a person.
    changes: u64,
    /// The change of the import that further requests may belong to.
    importing: Option<u64>,
    /// While the store is asked what is to be undone: the images whose labels changed since.
    undoing: Option<BTreeSet<SampleId>>,
    /// Samples whose labels the last training left out.
    left_out: BTreeSet<SampleId>,
    /// Samples that were in doubt before the start.
    in_doubt: Vec<SampleId>,
    /// Files that wait to be read, as the files' machine posted.
    files_waiting: usize,
    /// Whether files of a listing are among them, or had to be left to another one.
    backlog_waits: bool,
}

impl Labels {
    /// The machine of what the store has; files outside of all watched folders are passed over.
    pub fn new(
        settings: &Settings,
        samples: Vec<StoredSample>,
        pending: Vec<PendingLabel>,
        files: &[(PathBuf, FileDisposition)],
        judged_under: Option<ClassFolders>,
        changes: u64,
    ) -> Self {
        let in_doubt = samples.iter().filter(|sample| sample.in_doubt).map(|sample| sample.id).collect();
        let mut index = SampleIndex::new(samples, pending);
        for (path, fate) in files {
            if let FileDisposition::Sample(id) = fate
                && settings.root_of(path).is_some()
            {
                // A folder that cannot be a class was reported when the file came.
                let class = settings.class_by_folder(path).unwrap_or_default();
                index.file_lives(path, *id, class.as_ref());
            }
        }
        Self {
            index,
            review: ReviewState::default(),
            eviction: Eviction::default(),
            doubts: Doubts::new(judged_under),
            leaving: BTreeSet::new(),
            changes,
            importing: None,
            undoing: None,
            left_out: BTreeSet::new(),
            in_doubt,
            files_waiting: 0,
            backlog_waits: false,
        }
    }

    /// Samples, and how many of them are labelled.
    pub fn samples(&self) -> (usize, usize) {
        (self.index.len(), self.index.labelled())
    }

    /// What a training could learn from.
    pub fn counts(&self) -> LabelCounts {
        let classes = self.index.counts();
        LabelCounts {
            labelled: self.index.labelled(),
            classes: classes.len(),
            only: classes.keys().next().filter(|_| classes.len() == 1).cloned(),
        }
    }

    /// A training left out the labels of these images, and believed all others.
    pub fn left_out(&mut self, images: BTreeSet<SampleId>) {
        self.left_out = images;
        self.review.outdated();
    }

    /// The engine starts: a new review list is due, and a look at the class folders.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        self.review.outdated();
        let in_doubt = std::mem::take(&mut self.in_doubt);
        self.judge_at_start(cx, in_doubt);
    }

    /// Files that wait to be read, and whether files that a listing found are among them.
    pub fn files_waiting(&mut self, waiting: usize, backlog_waits: bool) {
        (self.files_waiting, self.backlog_waits) = (waiting, backlog_waits);
    }

    /// Forgets the labels whose image did not come in time.
    pub fn expire(&mut self, cx: &mut Cx<'_>) {
        for prefix in self.index.awaited.expire(&cx.ages()) {
            cx.write(Write::DeletePendingLabel { task: TaskId::default(), prefix });
        }
    }

    /// Samples in the order of their arrival.
    pub fn list_samples(&self, samples: &Samples) -> Outcome {
        let Samples { limit, after, label, unlabelled } = samples.clone();
        let after = match after.map(|prefix| self.image_named(&prefix)).transpose() {
            Ok(after) => after,
            Err(answer) => return Outcome::Done(answer),
        };
        Outcome::Later(Query::Samples { limit, after, label, unlabelled })
    }

    /// The stored image that is meant by the first digits of its digest.
    ///
    /// # Errors
    /// The answer, where it means none or several.
    pub fn image_named(&self, prefix: &ImagePrefix) -> Result<SampleId, Answer> {
        match self.index.resolve(prefix.as_str()) {
            Resolved::Known(id) => Ok(id),
            Resolved::Unknown => {
                let reason = format!("no sample's SHA-256 begins with {prefix}; request/samples names them");
                Err(Answer::error(ErrorCode::NotFound, reason))
            }
            Resolved::Ambiguous => Err(labelling::ambiguous(prefix)),
        }
    }
}
