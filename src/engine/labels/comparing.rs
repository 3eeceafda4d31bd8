//! Labels that go by what their sender saw: where an image has another label by now, somebody else was faster.

use super::Labels;
use super::known::Resolved;
use crate::wire::command::{LabelConflict, MAX_CONFLICTS};
use crate::wire::{Answer, ImagePrefix, LabelItem};
use crate::words::{Label, TaskId};

impl Labels {
    /// The answer to labels of which some overlook what was labelled meanwhile; nothing where none does.
    pub(super) fn conflicts(&self, items: &[LabelItem], tasks: &[TaskId], resolved: &[Resolved]) -> Option<Answer> {
        let of_items = items.iter().zip(tasks).zip(resolved);
        let mut found = of_items.filter_map(|((item, task), resolved)| {
            let conflict = self.conflict(task, item, *resolved)?;
            Some((overtaken(&conflict, item), conflict))
        });
        let (first, conflict) = found.next()?;
        let mut conflicts = vec![conflict];
        let mut count = 1;
        for (_, conflict) in found {
            count += 1;
            if conflicts.len() < MAX_CONFLICTS {
                conflicts.push(conflict);
            }
        }
        let others = if count > 1 { format!(", and {} others alike", count - 1) } else { String::new() };
        Some(Answer::conflict(format!("nothing was labelled: {first}{others}"), conflicts))
    }

    /// What the image of an item is labelled as, where that is not what its sender saw. For an image that is still to come
    /// the label counts that waits for it under the same digits.
    pub(super) fn conflict(&self, task: &TaskId, item: &LabelItem, resolved: Resolved) -> Option<LabelConflict> {
        let was = item.was.as_ref()?;
        let index = &self.sheets.get(task)?.index;
        let conflict = match resolved {
            Resolved::Ambiguous => return None,
            Resolved::Known(id) => {
                let (source, at) = index.spoke_last(&id);
                let (image, label) = (ImagePrefix::from(&id), index.label(&id).cloned());
                LabelConflict { image, task: item.task.clone(), label, source, at }
            }
            Resolved::Unknown => {
                let awaited = index.awaited.get(item.image.as_str());
                LabelConflict {
                    image: item.image.clone(),
                    task: item.task.clone(),
                    label: awaited.map(|awaited| awaited.label.clone()),
                    source: awaited.map(|awaited| awaited.source),
                    at: awaited.map(|awaited| awaited.at),
                }
            }
        };
        (conflict.label != *was).then_some(conflict)
    }
}

/// What happened, with the remedy.
pub(super) fn overtaken(conflict: &LabelConflict, item: &LabelItem) -> String {
    let named = |label: Option<&Label>| label.map_or("no label".to_owned(), |label| format!("the label {label}"));
    let LabelConflict { image, label, source, at, .. } = conflict;
    let by = source.map(|source| format!(" by {}", source.as_str())).unwrap_or_default();
    let at = at.map(|at| format!(" since {at}")).unwrap_or_default();
    let saw = named(item.was.as_ref().and_then(Option::as_ref));
    let now = named(label.as_ref());
    format!(
        "image {image} has {now}{by}{at}, not {saw}, which its sender saw; look again and send it with 'was' as it is"
    )
}
