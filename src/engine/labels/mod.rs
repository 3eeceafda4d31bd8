//! Samples and their labels: which are known, which images are worth a label, and which samples have to go.

mod arrivals;
mod eviction;
mod index;
mod labelling;
mod review_list;

use super::commands::Outcome;
use super::context::Cx;
use super::fact::LabelCounts;
use super::snapshot::StoredSample;
use super::step::Query;
use super::write::{PendingLabel, Write};
use crate::wire::command::Samples;
use crate::wire::{Answer, ErrorCode, ImagePrefix};
use crate::words::SampleId;
use eviction::Eviction;
pub use index::PENDING_MAX;
use index::{Resolved, SampleIndex};
use review_list::ReviewState;

/// The machine of samples and labels.
#[derive(Debug)]
pub(super) struct Labels {
    index: SampleIndex,
    review: ReviewState,
    eviction: Eviction,
    /// Files that wait to be read, as the files' machine posted.
    files_waiting: usize,
}

impl Labels {
    pub fn new(samples: Vec<StoredSample>, pending: Vec<PendingLabel>) -> Self {
        Self {
            index: SampleIndex::new(samples, pending),
            review: ReviewState::default(),
            eviction: Eviction::default(),
            files_waiting: 0,
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

    /// The engine starts: a new review list is due.
    pub fn start(&mut self) {
        self.review.outdated();
    }

    /// Number of files that wait to be read.
    pub fn files_waiting(&mut self, waiting: usize) {
        self.files_waiting = waiting;
    }

    /// The wall clock was set: labels that wait for their image are as old as they were.
    pub fn clock_was_set(&mut self, cx: &mut Cx<'_>, by_ms: i64) {
        for label in self.index.clock_was_set(by_ms) {
            cx.write(Write::PendingLabel(label));
        }
    }

    /// Forgets the labels whose image did not come in time.
    pub fn expire(&mut self, cx: &mut Cx<'_>) {
        for prefix in self.index.expire(cx.now.wall) {
            cx.write(Write::DeletePendingLabel { prefix });
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
