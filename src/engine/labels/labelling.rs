//! What a label changes.

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::step::TaskAct;
use super::super::write::{LabelSource, PendingLabel, Write};
use super::awaited::PENDING_MAX;
use super::comparing::overtaken;
use super::index::Changed;
use super::known::Resolved;
use super::sheet::Sheet;
use super::{Labels, UnderWay};
use crate::wire::command::{self, Spec as _};
use crate::wire::{self, Answer, ErrorCode, ImagePrefix, LabelsTaken};
use crate::words::{Label, SampleId, TaskId};

impl Labels {
    /// Labels from the broker: those that mean one image, or one that is still to come, count, unless their sender saw
    /// another label there; the others are reported and change nothing.
    pub fn label_message(&mut self, cx: &mut Cx<'_>, payload: &[u8]) {
        let items = match wire::parse_labels(payload) {
            Ok(items) => items,
            Err(why) => return cx.error_on_topic("label", why.to_string()),
        };
        let change = self.under_way.begin_change();
        for item in items {
            let task = match cx.settings().task_meant(item.task.as_ref()) {
                Ok(task) => task,
                Err(why) => {
                    cx.error_on_topic("label", why.to_string());
                    continue;
                }
            };
            let resolved = self.resolve(&task, &item);
            if let Some(conflict) = self.conflict(&task, &item, resolved) {
                cx.error_on_topic("label", overtaken(&conflict, &item));
                continue;
            }
            match resolved {
                Resolved::Known(id) => {
                    self.set_label(cx, &task, id, item.label, LabelSource::Mqtt, Some(change));
                }
                Resolved::Unknown => self.await_item(cx, &task, item, change),
                Resolved::Ambiguous => cx.error_on_topic("label", several(&item.image)),
            }
        }
    }

    /// Labels by request: all of them or, where one may mean several images or overlooks another label, none.
    pub fn take_labels(&mut self, cx: &mut Cx<'_>, items: &[wire::LabelItem]) -> Answer {
        let tasks = match tasks_of(cx, items) {
            Ok(tasks) => tasks,
            Err(answer) => return answer,
        };
        let resolved: Vec<Resolved> = items.iter().zip(&tasks).map(|(item, task)| self.resolve(task, item)).collect();
        if let Some(doubtful) = resolved.iter().position(|resolved| *resolved == Resolved::Ambiguous) {
            return ambiguous(&items[doubtful].image);
        }
        if let Some(conflict) = self.conflicts(items, &tasks, &resolved) {
            return conflict;
        }
        let change = self.under_way.begin_change();
        let (mut taken, mut has_changed) = (LabelsTaken::default(), false);
        for ((item, task), resolved) in items.iter().zip(&tasks).zip(resolved) {
            if let Resolved::Known(id) = resolved {
                taken.set += 1;
                let changed = self.set_label(cx, task, id, item.label.clone(), LabelSource::Mqtt, Some(change));
                has_changed |= changed != Changed::Nothing;
            } else {
                taken.kept += usize::from(item.label.is_some());
                has_changed |= item.label.is_some();
                self.await_item(cx, task, item.clone(), change);
            }
        }
        taken.change = has_changed.then_some(change);
        command::Label::answer(&taken)
    }

    /// Gives every image with one label in a task another one, or none, and every label that waits for its image.
    pub fn relabel(&mut self, cx: &mut Cx<'_>, task: &TaskId, relabel: &command::Relabel) -> Answer {
        let command::Relabel { from, to, dry_run } = relabel;
        let Some(sheet) = self.sheets.get_mut(task) else { return super::no_such_task(task) };
        let (images, awaited) = sheet.index.labelled_as(from);
        if images.is_empty() && awaited.is_empty() {
            return no_such_label(from);
        }
        let mut taken = LabelsTaken { set: images.len(), kept: awaited.len(), change: None };
        if *dry_run {
            return command::Relabel::answer(&taken);
        }
        let change = self.under_way.begin_change();
        let cx = &mut cx.of(task);
        let mut has_changed = false;
        for id in images {
            let changed = sheet.set_label(cx, &mut self.under_way, id, to.clone(), LabelSource::Mqtt, Some(change));
            has_changed |= changed != Changed::Nothing;
        }
        for awaited in awaited {
            if let Some(label) = to.clone() {
                has_changed = true;
                sheet.await_label(cx, PendingLabel { label, change: Some(change), ..awaited });
            } else {
                sheet.index.awaited.remove(&awaited.prefix);
                cx.write(Write::DeletePendingLabel { task: task.clone(), prefix: awaited.prefix });
            }
        }
        taken.change = has_changed.then_some(change);
        command::Relabel::answer(&taken)
    }

    /// Which image a label is for. For a task that does not look at it yet, as a new task does not, it is still to come:
    /// the label waits until the task does.
    pub(super) fn resolve(&self, task: &TaskId, item: &wire::LabelItem) -> Resolved {
        let looks_at = |id: &SampleId| self.sheets.get(task).is_some_and(|sheet| sheet.index.contains(id));
        match self.known.resolve(item.image.as_str()) {
            Resolved::Known(id) if !looks_at(&id) => Resolved::Unknown,
            resolved => resolved,
        }
    }

    /// Sets or removes a known image's label in a task, as a part of a change.
    pub(super) fn set_label(
        &mut self,
        cx: &mut Cx<'_>,
        task: &TaskId,
        id: SampleId,
        label: Option<Label>,
        source: LabelSource,
        change: Option<u64>,
    ) -> Changed {
        let Some(sheet) = self.sheets.get_mut(task) else { return Changed::Nothing };
        sheet.set_label(&mut cx.of(task), &mut self.under_way, id, label, source, change)
    }

    fn await_item(&mut self, cx: &mut Cx<'_>, task: &TaskId, item: wire::LabelItem, change: u64) {
        let Some(sheet) = self.sheets.get_mut(task) else { return };
        let cx = &mut cx.of(task);
        let (prefix, task) = (item.image.as_str().to_owned(), task.clone());
        let Some(label) = item.label else {
            if sheet.index.awaited.remove(&prefix) {
                cx.write(Write::DeletePendingLabel { task, prefix });
            }
            return;
        };
        let (source, at, change) = (LabelSource::Mqtt, cx.now.wall, Some(change));
        let awaited = PendingLabel { task, prefix, label, source, at, change, former: None };
        if let Some(prefix) = sheet.await_label(cx, awaited) {
            let reason =
                format!("the label kept for image {prefix} was dropped: at most {PENDING_MAX} wait for their image");
            cx.error_on_topic("label", reason);
        }
    }
}

impl UnderWay {
    /// A number for everything that a person does now.
    pub fn begin_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    /// A sample got a label in a task, or lost it.
    fn count_label(&mut self, id: SampleId, was_labelled: bool, is_labelled: bool) {
        match (was_labelled, is_labelled) {
            (false, true) => *self.labelled.entry(id).or_default() += 1,
            (true, false) => {
                if let Some(tasks) = self.labelled.get_mut(&id) {
                    *tasks -= 1;
                    if *tasks == 0 {
                        self.labelled.remove(&id);
                    }
                }
            }
            _ => {}
        }
    }

    /// The label of a sample was written: what was kept of it until then may go.
    fn label_written(&mut self, cx: &mut Cx<'_>, id: &SampleId) {
        let tasks = self.labelled.get(id).copied().unwrap_or(0);
        self.pictures.labelled(cx, id, tasks);
    }

    /// The engine starts: where fewer tasks look at a source than before, frames of it may have their labels.
    pub(super) fn let_labelled_pictures_go(&mut self, cx: &mut Cx<'_>) {
        for (id, tasks) in &self.labelled {
            self.pictures.labelled(cx, id, *tasks);
        }
    }

    /// What corrects at once in a task learns a sample as it is now, unless it is being forgotten.
    pub fn learn(&self, cx: &mut Cx<'_>, id: SampleId) {
        if !self.leaving.contains(&id) {
            cx.task_act(TaskAct::UpdateOnline(vec![id]));
        }
    }
}

impl Sheet {
    /// Keeps a label for an image to come; returns the prefix of the one that had to go for it.
    pub(super) fn await_label(&mut self, cx: &mut Cx<'_>, awaited: PendingLabel) -> Option<String> {
        let former = self.index.awaited.get(&awaited.prefix);
        let awaited = awaited.in_place_of(former);
        cx.write(Write::PendingLabel(awaited.clone()));
        let dropped = self.index.awaited.insert(awaited, cx.now);
        if let Some(prefix) = dropped.clone() {
            cx.write(Write::DeletePendingLabel { task: cx.task_id(), prefix });
        }
        dropped
    }

    /// Sets or removes an image's label, as a part of a change; the same label again is no change, but for who gave
    /// it, and for one that trainings leave out: a person confirms it. No effect on an image that the task does not look
    /// at.
    pub(super) fn set_label(
        &mut self,
        cx: &mut Cx<'_>,
        under_way: &mut UnderWay,
        id: SampleId,
        label: Option<Label>,
        source: LabelSource,
        change: Option<u64>,
    ) -> Changed {
        let was_labelled = self.index.label(&id).is_some();
        let changed = self.index.set_label(id, label.as_ref(), source);
        if changed == Changed::Label {
            under_way.count_label(id, was_labelled, label.is_some());
        }
        let is_said_again = changed != Changed::Label && !matches!(source, LabelSource::Folder | LabelSource::Undo);
        let is_confirmed = is_said_again && self.left_out.contains(&id);
        if changed == Changed::Nothing && !is_confirmed {
            return changed;
        }
        let task = cx.task_id();
        if let Some(since) = &mut under_way.undoing {
            since.labelled.insert((task.clone(), id));
        }
        let at = cx.stamp();
        self.index.spoken(&id, at);
        cx.write(Write::Label { task, id, label: label.clone(), source, at, change });
        under_way.learn(cx, id);
        under_way.label_written(cx, &id);
        if changed == Changed::Label || is_confirmed {
            self.left_out.remove(&id);
            self.review.outdated();
            self.no_longer_asked(cx, &[id].into());
            let predicted = label.as_ref().and_then(|_| self.index.take_predicted(&id));
            // A label of an excluded image teaches nothing, and says nothing of the head.
            if !self.index.is_excluded(&id) {
                cx.post(Fact::LabelSet { id, label, predicted, counts: self.counts() });
            }
        }
        if changed == Changed::Nothing { Changed::Confirmed } else { changed }
    }
}

/// Which task each item is about.
///
/// # Errors
/// The answer, where one is about none of the device's.
pub(super) fn tasks_of(cx: &Cx<'_>, items: &[wire::LabelItem]) -> Result<Vec<TaskId>, Answer> {
    let tasks = items.iter().map(|item| cx.settings().task_meant(item.task.as_ref()));
    tasks.collect::<Result<_, _>>().map_err(|why| Answer::from(&why))
}

/// The answer to a label that no image has.
pub(super) fn no_such_label(label: &Label) -> Answer {
    Answer::error(ErrorCode::NotFound, format!("no image has the label {label}; 'edgetuned samples list' shows all"))
}

/// The answer to a prefix that means several images.
pub(super) fn ambiguous(prefix: &ImagePrefix) -> Answer {
    Answer::error(ErrorCode::BadRequest, several(prefix))
}

fn several(prefix: &ImagePrefix) -> String {
    format!("{prefix} is the start of more than one image's SHA-256; send more digits")
}
