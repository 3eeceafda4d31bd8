//! What one task knows of the samples that it looks at: their labels, and the list of images that are worth one.

use std::collections::BTreeSet;

use super::super::context::Cx;
use super::super::fact::LabelCounts;
use super::super::snapshot::StoredSample;
use super::super::write::{ClassFolders, PendingLabel, Write};
use super::class_folders::Doubts;
use super::index::SampleIndex;
use super::review_list::ReviewState;
use crate::words::SampleId;

/// The labels of one task.
#[derive(Debug)]
pub(super) struct Sheet {
    pub index: SampleIndex,
    pub review: ReviewState,
    pub doubts: Doubts,
    /// Samples whose labels the last training left out.
    pub left_out: BTreeSet<SampleId>,
    /// Samples that were in doubt before the start.
    pub in_doubt: Vec<SampleId>,
}

impl Sheet {
    /// What the store has of a task.
    pub fn new(samples: Vec<StoredSample>, awaited: Vec<PendingLabel>, judged_under: Option<ClassFolders>) -> Self {
        let in_doubt = samples.iter().filter(|sample| sample.in_doubt).map(|sample| sample.id).collect();
        Self {
            index: SampleIndex::new(samples, awaited),
            review: ReviewState::default(),
            doubts: Doubts::new(judged_under),
            left_out: BTreeSet::new(),
            in_doubt,
        }
    }

    /// What a training could learn from.
    pub fn counts(&self) -> LabelCounts {
        let classes = self.index.counts();
        LabelCounts {
            labelled: self.index.learnable(),
            classes: classes.len(),
            only: classes.keys().next().filter(|_| classes.len() == 1).cloned(),
        }
    }

    /// A training left out the labels of these images, and believed all others.
    pub fn left_out(&mut self, mut images: BTreeSet<SampleId>) {
        images.retain(|id| !self.index.is_excluded(id));
        self.left_out = images;
        self.review.outdated();
    }

    /// Forgets the labels whose image did not come in time.
    pub fn expire(&mut self, cx: &mut Cx<'_>) {
        for prefix in self.index.awaited.expire(&cx.ages()) {
            cx.write(Write::DeletePendingLabel { task: cx.task_id(), prefix });
        }
    }
}
