//! Forgetting samples for good, on request.
//!
//! Deleting their rows is not enough: the statistics of all labels would remember them, as they are meant to remember
//! what was evicted, and trainings learn from those. So the online worker takes them out of the statistics first, and
//! the samples are deleted in the commit that has its result and the answer. A crash before that changes nothing. The
//! rows of their files stay, as those of evicted samples: a listing does not take them in again.

use super::super::JobId;
use super::super::commands::Outcome;
use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::step::{Act, Query};
use super::super::write::Write;
use super::Labels;
use crate::wire::command::{Forget, Spec as _};
use crate::wire::{Answer, ErrorCode, Forgotten};
use crate::words::{SampleId, TaskId};

impl Labels {
    /// The samples that a request means; nothing changes yet.
    pub fn forget(&self, forget: &Forget) -> Outcome {
        let ids = match forget {
            Forget::Images(images) => images.iter().map(|image| self.image_named(image)).collect(),
            Forget::Class(label) => {
                let (ids, awaited) = self.index.labelled_as(label);
                if ids.is_empty() && awaited.is_empty() { Err(super::labelling::no_such_label(label)) } else { Ok(ids) }
            }
        };
        match ids {
            Ok(ids) => Outcome::Later(Query::Forget(ids)),
            Err(answer) => Outcome::Done(answer),
        }
    }

    /// These samples are being forgotten: they are not evicted meanwhile, which would leave them in the statistics, and
    /// their labels are not learned.
    pub fn leaves(&mut self, ids: Vec<SampleId>) {
        self.leaving.extend(ids);
    }

    /// What corrects at once learns a sample as it is now, unless it is being forgotten.
    pub(super) fn learn(&self, cx: &mut Cx<'_>, id: SampleId) {
        if !self.leaving.contains(&id) {
            cx.act(Act::UpdateOnline(vec![id]));
        }
    }

    /// The statistics are without these samples: they are deleted, and the request is answered; nothing is deleted where
    /// nobody waits for the answer any more.
    pub fn delete_forgotten(
        &mut self,
        cx: &mut Cx<'_>,
        job: JobId,
        asked: Option<&Forget>,
        ids: &[SampleId],
        file: Vec<u8>,
    ) {
        for id in ids {
            self.leaving.remove(id);
        }
        if cx.storage_is_out() || asked.is_none() {
            cx.act(Act::UpdateOnline(ids.iter().copied().filter(|id| self.index.contains(id)).collect()));
            let reason = "nothing can be stored now ('edgetuned ctl status' says why), so nothing was forgotten; send it \
                          again when that is over";
            return cx.found_out(job, &Answer::error(ErrorCode::Busy, reason));
        }
        let mut forgotten = Forgotten::default();
        if let Some(Forget::Class(label)) = asked {
            let (_, awaited) = self.index.labelled_as(label);
            forgotten.awaited = awaited.len();
            for awaited in awaited {
                self.index.awaited.remove(&awaited.prefix);
                cx.write(Write::DeletePendingLabel { task: TaskId::default(), prefix: awaited.prefix });
            }
        }
        cx.write(Write::Statistics { task: TaskId::default(), file });
        // Those of another backbone, which may serve again, are made anew from the labels that are left.
        cx.write(Write::DeleteOtherStatistics);
        let labelled = self.index.labelled();
        for id in ids {
            forgotten.samples += usize::from(self.delete_sample(cx, *id));
        }
        self.index.forget_files();
        self.review.outdated();
        self.no_longer_asked(cx, &ids.iter().copied().collect());
        let labelled = (labelled - self.index.labelled()) as u64;
        cx.post(Fact::SamplesForgotten { labelled, counts: self.counts() });
        cx.found_out(job, &Forget::answer(&forgotten));
    }
}
