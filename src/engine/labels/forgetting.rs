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
use super::super::step::{Query, TaskAct};
use super::super::write::Write;
use super::Labels;
use crate::wire::command::{Forget, Spec as _};
use crate::wire::{Answer, ErrorCode, Forgotten};
use crate::words::{SampleId, TaskId};

impl Labels {
    /// The samples that a request means; nothing changes yet.
    pub fn forget(&self, task: &TaskId, forget: &Forget) -> Outcome {
        let ids = match forget {
            Forget::Images(images) => images.iter().map(|image| self.image_named(image)).collect(),
            Forget::Class(label) => {
                let found = self.sheets.get(task).map(|sheet| sheet.index.labelled_as(label));
                let (ids, awaited) = found.unwrap_or_default();
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
        self.under_way.leaving.extend(ids);
    }

    /// The statistics are without these samples: they are deleted, and the request is answered; nothing is deleted where
    /// nobody waits for the answer any more.
    pub fn delete_forgotten(
        &mut self,
        cx: &mut Cx<'_>,
        job: JobId,
        asked: Option<(&TaskId, &Forget)>,
        ids: &[SampleId],
        files: Vec<(TaskId, Vec<u8>)>,
    ) {
        for id in ids {
            self.under_way.leaving.remove(id);
        }
        let Some((task, forget)) = asked.filter(|_| !cx.storage_is_out()) else {
            for (task, sheet) in &self.sheets {
                let stay = ids.iter().copied().filter(|id| sheet.index.contains(id)).collect();
                cx.of(task).task_act(TaskAct::UpdateOnline(stay));
            }
            let reason = "nothing can be stored now ('edgetuned ctl status' says why), so nothing was forgotten; send it \
                          again when that is over";
            return cx.found_out(job, &Answer::error(ErrorCode::Busy, reason));
        };
        let mut forgotten = Forgotten::default();
        if let Forget::Class(label) = forget
            && let Some(sheet) = self.sheets.get_mut(task)
        {
            let (_, awaited) = sheet.index.labelled_as(label);
            forgotten.awaited = awaited.len();
            for awaited in awaited {
                sheet.index.awaited.remove(&awaited.prefix);
                cx.write(Write::DeletePendingLabel { task: task.clone(), prefix: awaited.prefix });
            }
        }
        for (task, file) in files {
            cx.write(Write::Statistics { task, file });
        }
        // Those of another backbone, which may serve again, are made anew from the labels that are left.
        cx.write(Write::DeleteOtherStatistics);
        let labelled = self.labels_by_task();
        for id in ids {
            forgotten.samples += usize::from(self.delete_sample(cx, *id));
        }
        self.forget_files();
        self.sheets.values_mut().for_each(|sheet| sheet.review.outdated());
        self.no_longer_asked(cx, &ids.iter().copied().collect());
        for ((task, before), (_, after)) in labelled.into_iter().zip(self.labels_by_task()) {
            cx.of(&task).post(Fact::SamplesForgotten { labelled: (before - after) as u64 });
        }
        cx.found_out(job, &Forget::answer(&forgotten));
    }

    /// Labels that each task learns from.
    fn labels_by_task(&self) -> Vec<(TaskId, usize)> {
        self.sheets.iter().map(|(task, sheet)| (task.clone(), sheet.index.learnable())).collect()
    }
}
