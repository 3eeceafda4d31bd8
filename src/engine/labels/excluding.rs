//! Excluding images from what a task learns, and taking them back.
//!
//! An excluded image keeps its label and its file. Trainings, statistics, corrections and review lists go on as if it had
//! no label and asked for none. It is a change as labels are, in the same history, and undone alike.

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::write::{LabelSource, Write};
use super::known::Resolved;
use super::labelling::ambiguous;
use super::sheet::Sheet;
use super::{Labels, UnderWay};
use crate::wire::command::{Exclude, Excluded, Spec as _};
use crate::wire::{Answer, ErrorCode, ImagePrefix};
use crate::words::{SampleId, TaskId};

impl Labels {
    /// Excludes images of a task by request, or takes them back: all of them or, where one is not known, none.
    pub fn exclude(&mut self, cx: &mut Cx<'_>, task: &TaskId, exclude: &Exclude) -> Answer {
        let ids: Result<Vec<SampleId>, Answer> =
            exclude.images.iter().map(|image| self.image_of_task(cx, task, image)).collect();
        let ids = match ids {
            Ok(ids) => ids,
            Err(answer) => return answer,
        };
        let change = self.under_way.begin_change();
        let mut excluded = Excluded::default();
        for id in ids {
            let is_new = self.set_excluded(cx, task, id, exclude.excluded, LabelSource::Mqtt, Some(change));
            excluded.excluded += usize::from(is_new);
        }
        excluded.change = (excluded.excluded > 0).then_some(change);
        Exclude::answer(&excluded)
    }

    /// The image that is meant, where the task looks at it.
    fn image_of_task(&self, cx: &Cx<'_>, task: &TaskId, image: &ImagePrefix) -> Result<SampleId, Answer> {
        let looks_at = |id: &SampleId| self.sheets.get(task).is_some_and(|sheet| sheet.index.contains(id));
        match self.known.resolve(image.as_str()) {
            Resolved::Known(id) if looks_at(&id) => Ok(id),
            Resolved::Ambiguous => Err(ambiguous(image)),
            Resolved::Known(_) | Resolved::Unknown => {
                let of_it =
                    if cx.settings().names_tasks { format!(" that task {task} looks at") } else { String::new() };
                let reason = format!(
                    "nothing was excluded: no sample{of_it} has a SHA-256 that begins with {image}; request/samples names \
                     them"
                );
                Err(Answer::error(ErrorCode::NotFound, reason))
            }
        }
    }

    /// Excludes a known image in a task as a part of a change, or takes it back; whether that is new.
    pub(super) fn set_excluded(
        &mut self,
        cx: &mut Cx<'_>,
        task: &TaskId,
        id: SampleId,
        excluded: bool,
        source: LabelSource,
        change: Option<u64>,
    ) -> bool {
        let Some(sheet) = self.sheets.get_mut(task) else { return false };
        sheet.exclude(&mut cx.of(task), &mut self.under_way, id, excluded, source, change)
    }
}

impl Sheet {
    fn exclude(
        &mut self,
        cx: &mut Cx<'_>,
        under_way: &mut UnderWay,
        id: SampleId,
        excluded: bool,
        source: LabelSource,
        change: Option<u64>,
    ) -> bool {
        if !self.index.exclude(&id, excluded) {
            return false;
        }
        let task = cx.task_id();
        if let Some(since) = &mut under_way.undoing {
            since.excluded.insert((task.clone(), id));
        }
        let at = cx.stamp();
        cx.write(Write::Excluded { task, id, excluded, source, at, change });
        under_way.learn(cx, id);
        self.left_out.remove(&id);
        self.review.outdated();
        if excluded {
            self.no_longer_asked(cx, &[id].into());
        }
        let is_labelled = self.index.label(&id).is_some();
        cx.post(Fact::SampleExcluded { id, is_labelled, counts: self.counts() });
        true
    }
}
