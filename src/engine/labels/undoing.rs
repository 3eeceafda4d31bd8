//! Taking back a change of labels, on request.
//!
//! A change is everything that a person did at once: a message, a request, an import. To exclude images is one, too. What
//! was before is in the store, where the query worker looks it up. An image whose label came by a later act keeps it, also
//! where that act came while the worker looked.

use std::collections::BTreeSet;

use super::super::JobId;
use super::super::commands::Outcome;
use super::super::context::Cx;
use super::super::step::Query;
use super::super::write::{LabelSource, Write};
use super::Labels;
use super::index::Changed;
use crate::wire::command::{Restored, Spec as _, Undo, Undone};
use crate::wire::{Answer, ErrorCode};
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// A change of labels as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChange {
    /// Its number.
    pub number: u64,
    /// Who made it.
    pub source: LabelSource,
    /// When it began.
    pub at: Timestamp,
    /// Whether it is undone.
    pub is_undone: bool,
    /// The images that it labelled, excluded or took back.
    pub images: Vec<ChangedImage>,
}

/// An image of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedImage {
    /// Whose label.
    pub task: TaskId,
    /// The sample.
    pub id: SampleId,
    /// Whether what the change did to it is still so: its present label, or that it has none, came by the change, or
    /// that it is excluded or not.
    pub is_present: bool,
    /// How it is without the change.
    pub before: Before,
}

/// How an image is without a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Before {
    /// The change is about its label: without it the image has this one.
    Label(Option<Label>),
    /// The change is about whether it is excluded.
    Excluded(bool),
}

/// The images that changed while the store is asked what is to be undone, by task.
#[derive(Debug, Default)]
pub(super) struct ChangedSince {
    /// Those that got another label, or lost theirs.
    pub labelled: BTreeSet<(TaskId, SampleId)>,
    /// Those that were excluded, or taken back.
    pub excluded: BTreeSet<(TaskId, SampleId)>,
}

/// Why nothing is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NothingToUndo {
    /// No change is left.
    #[error("there is no change of labels to undo")]
    NoneLeft,
    /// No change has this number.
    #[error("there is no change {0} of labels; 'edgetuned samples history ID' names those of an image")]
    Unknown(u64),
    /// It was undone before.
    #[error("change {0} is undone already; 'edgetuned samples history ID' shows the changes of an image")]
    Undone(u64),
}

impl StoredChange {
    /// What was found for a request, if it can be undone.
    ///
    /// # Errors
    /// [`NothingToUndo`]
    pub fn to_undo(asked: Option<u64>, found: Option<Self>) -> Result<Self, NothingToUndo> {
        match (found, asked) {
            (None, None) => Err(NothingToUndo::NoneLeft),
            (None, Some(number)) => Err(NothingToUndo::Unknown(number)),
            (Some(found), _) if found.is_undone => Err(NothingToUndo::Undone(found.number)),
            (Some(found), _) => Ok(found),
        }
    }

    /// The answer before anything is undone.
    #[must_use]
    pub fn begin(&self) -> Undone {
        let Self { number: change, source, at, .. } = *self;
        Undone { change, source, at, changed: 0, kept: 0, awaited: 0, restored: Vec::new() }
    }
}

impl Labels {
    /// A change is to be undone; nothing changes yet.
    pub fn undo(&self, undo: &Undo) -> Outcome {
        if self.under_way.undoing.is_some() {
            let reason = "another change of labels is being undone; send the request again in a second";
            return Outcome::Done(Answer::error(ErrorCode::Busy, reason));
        }
        Outcome::Later(Query::Undo { change: undo.change, newest: self.under_way.changes })
    }

    /// The store is asked what is to be undone. An import that is under way ends, so that no change is undone by half.
    pub fn undo_begins(&mut self) {
        self.under_way.undoing = Some(ChangedSince::default());
        self.under_way.importing = None;
    }

    /// The store has no answer.
    pub fn undo_ends(&mut self) {
        self.under_way.undoing = None;
    }

    /// The store has the change: it is undone, and the request is answered.
    pub fn undo_change(&mut self, cx: &mut Cx<'_>, job: JobId, asked: &Undo, found: Option<StoredChange>) {
        let since = self.under_way.undoing.take().unwrap_or_default();
        if cx.storage_is_out() {
            let reason = "nothing can be stored now ('edgetuned ctl status' says why), so nothing was undone; send it \
                          again when that is over";
            return cx.found_out(job, &Answer::error(ErrorCode::Busy, reason));
        }
        let change = match StoredChange::to_undo(asked.change, found) {
            Ok(change) => change,
            Err(why @ NothingToUndo::Undone(_)) => {
                return cx.found_out(job, &Answer::error(ErrorCode::NotPossible, why.to_string()));
            }
            Err(why) => return cx.found_out(job, &Answer::error(ErrorCode::NotFound, why.to_string())),
        };
        let mut undone = change.begin();
        cx.write(Write::ChangeUndone { change: change.number });
        for ChangedImage { task, id, is_present, before } in change.images {
            let Some(sheet) = self.sheets.get(&task).filter(|sheet| sheet.index.contains(&id)) else { continue };
            let changed_since = if matches!(before, Before::Label(_)) { &since.labelled } else { &since.excluded };
            if !is_present || changed_since.contains(&(task.clone(), id)) {
                undone.kept += 1;
                continue;
            }
            let instead_of = sheet.index.label(&id).cloned();
            let (is_restored, label, excluded) = match before {
                Before::Label(label) => {
                    let changed = self.set_label(cx, &task, id, label.clone(), LabelSource::Undo, None);
                    (changed == Changed::Label, label, None)
                }
                Before::Excluded(excluded) => {
                    let is_new = self.set_excluded(cx, &task, id, excluded, LabelSource::Undo, None);
                    (is_new, instead_of.clone(), Some(excluded))
                }
            };
            if is_restored {
                undone.restore(Restored { image: id, label, instead_of, excluded });
            }
        }
        for (task, sheet) in &mut self.sheets {
            for awaited in sheet.index.awaited.of_change(change.number) {
                let prefix = awaited.prefix.clone();
                let is_present = awaited.change == Some(change.number);
                *(if is_present { &mut undone.awaited } else { &mut undone.kept }) += 1;
                if let Some(label) = awaited.without(change.number) {
                    cx.write(Write::PendingLabel(label.clone()));
                    sheet.index.awaited.insert(label, cx.now);
                } else {
                    cx.write(Write::DeletePendingLabel { task: task.clone(), prefix: prefix.clone() });
                    sheet.index.awaited.remove(&prefix);
                }
            }
        }
        cx.found_out(job, &Undo::answer(&undone));
    }
}
