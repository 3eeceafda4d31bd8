//! Labels from a file, which may come by several requests: the change that the first one begins is that of all.

use super::super::context::Cx;
use super::super::write::{LabelSource, PendingLabel, Write};
use super::Labels;
use super::index::Changed;
use super::known::Resolved;
use super::labelling::{ambiguous, tasks_of};
use crate::wire::command::{Import, ImportCounts, Imported, Spec as _};
use crate::wire::{Answer, ErrorCode, LabelItem};
use crate::words::TaskId;

impl Labels {
    /// Labels of one request: all of them or, where one may mean several images or overlooks another label, none.
    pub fn import(&mut self, cx: &mut Cx<'_>, import: &Import) -> Answer {
        if let Some(change) = import.change
            && self.under_way.importing != Some(change)
        {
            let reason = format!(
                "import {change} is no longer under way: the daemon restarted, another import began or a change was \
                 undone meanwhile; import the whole file again"
            );
            return Answer::error(ErrorCode::NotPossible, reason);
        }
        let tasks = match tasks_of(cx, &import.items) {
            Ok(tasks) => tasks,
            Err(answer) => return answer,
        };
        let resolved: Vec<Resolved> =
            import.items.iter().zip(&tasks).map(|(item, task)| self.resolve(task, item)).collect();
        if let Some(doubtful) = resolved.iter().position(|resolved| *resolved == Resolved::Ambiguous) {
            return ambiguous(&import.items[doubtful].image);
        }
        if let Some(conflict) = self.conflicts(&import.items, &tasks, &resolved) {
            return conflict;
        }
        let change = import.change.unwrap_or_else(|| self.under_way.begin_change());
        self.under_way.importing = Some(change);
        let mut counts = ImportCounts::default();
        for ((item, task), resolved) in import.items.iter().zip(&tasks).zip(resolved) {
            if let Resolved::Known(id) = resolved {
                let changed = self.set_label(cx, task, id, item.label.clone(), LabelSource::Import, Some(change));
                *(if changed == Changed::Label { &mut counts.changed } else { &mut counts.unchanged }) += 1;
            } else {
                counts += self.import_awaited(cx, task, item, change);
            }
        }
        Import::answer(&Imported { change, counts })
    }

    /// A label for an image that has not arrived.
    fn import_awaited(&mut self, cx: &mut Cx<'_>, task: &TaskId, item: &LabelItem, change: u64) -> ImportCounts {
        let Some(sheet) = self.sheets.get_mut(task) else { return ImportCounts::default() };
        let cx = &mut cx.of(task);
        let prefix = item.image.as_str();
        let is_same = sheet.index.awaited.get(prefix).map(|awaited| &awaited.label) == item.label.as_ref();
        let mut dropped = None;
        let (task, prefix) = (task.clone(), prefix.to_owned());
        if let Some(label) = item.label.clone() {
            let (source, at, change) = (LabelSource::Import, cx.now.wall, Some(change));
            dropped = sheet.await_label(cx, PendingLabel { task, prefix, label, source, at, change, former: None });
        } else if sheet.index.awaited.remove(&prefix) {
            cx.write(Write::DeletePendingLabel { task, prefix });
        }
        ImportCounts {
            unchanged: usize::from(is_same),
            awaited: usize::from(!is_same),
            dropped: usize::from(dropped.is_some()),
            ..ImportCounts::default()
        }
    }
}
