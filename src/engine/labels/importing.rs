//! Labels from a file, which may come by several requests: the change that the first one begins is that of all.

use super::super::context::Cx;
use super::super::write::{LabelSource, PendingLabel, Write};
use super::Labels;
use super::index::{Changed, Resolved};
use super::labelling::ambiguous;
use crate::wire::command::{Import, ImportCounts, Imported, Spec as _};
use crate::wire::{Answer, ErrorCode, LabelItem};
use crate::words::TaskId;

impl Labels {
    /// Labels of one request: all of them or, where one may mean several images, none.
    pub fn import(&mut self, cx: &mut Cx<'_>, import: &Import) -> Answer {
        if let Some(change) = import.change
            && self.importing != Some(change)
        {
            let reason = format!(
                "import {change} is no longer under way: the daemon restarted, another import began or a change was \
                 undone meanwhile; import the whole file again"
            );
            return Answer::error(ErrorCode::NotPossible, reason);
        }
        let resolved: Vec<Resolved> = import.items.iter().map(|item| self.index.resolve(item.image.as_str())).collect();
        if let Some(doubtful) = resolved.iter().position(|resolved| *resolved == Resolved::Ambiguous) {
            return ambiguous(&import.items[doubtful].image);
        }
        let change = import.change.unwrap_or_else(|| self.begin_change());
        self.importing = Some(change);
        let mut counts = ImportCounts::default();
        for (item, resolved) in import.items.iter().zip(resolved) {
            if let Resolved::Known(id) = resolved {
                let changed = self.set_label(cx, id, item.label.clone(), LabelSource::Import, Some(change));
                *(if changed == Changed::Label { &mut counts.changed } else { &mut counts.unchanged }) += 1;
            } else {
                counts += self.import_awaited(cx, item, change);
            }
        }
        Import::answer(&Imported { change, counts })
    }

    /// A label for an image that has not arrived.
    fn import_awaited(&mut self, cx: &mut Cx<'_>, item: &LabelItem, change: u64) -> ImportCounts {
        let prefix = item.image.as_str();
        let is_same = self.index.awaited.get(prefix).map(|awaited| &awaited.label) == item.label.as_ref();
        let mut dropped = None;
        if let Some(label) = item.label.clone() {
            let (source, at, change) = (LabelSource::Import, cx.now.wall, Some(change));
            let awaited = PendingLabel {
                task: TaskId::default(),
                prefix: prefix.to_owned(),
                label,
                source,
                at,
                change,
                former: None,
            };
            dropped = self.await_label(cx, awaited);
        } else if self.index.awaited.remove(prefix) {
            cx.write(Write::DeletePendingLabel { task: TaskId::default(), prefix: prefix.to_owned() });
        }
        ImportCounts {
            unchanged: usize::from(is_same),
            awaited: usize::from(!is_same),
            dropped: usize::from(dropped.is_some()),
            ..ImportCounts::default()
        }
    }
}
