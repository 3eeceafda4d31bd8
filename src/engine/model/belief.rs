//! New labels that a training left out, since they are no evidence ([`crate::eval::belief`]): the alert about them, and
//! when it ends.
//!
//! Every training decides anew. Between two of them a label is believed again that changes or is confirmed: the same label,
//! given again by a person. It counts as a new one for the schedule, so that the next training learns from it.

use std::collections::BTreeSet;

use super::super::context::Cx;
use super::super::event::LeftOut;
use super::super::fact::Fact;
use super::super::write::Disbelieved;
use super::Model;
use crate::wire::{Severity, TaskAlert, Warning};
use crate::words::SampleId;

impl Model {
    /// What a training left out is reported until a later one leaves out nothing.
    pub(super) fn report_left_out(&mut self, cx: &mut Cx<'_>, left_out: Option<&LeftOut>) {
        let Some(left_out) = left_out else {
            if self.schedule.disbelieved().take().is_some() {
                believed_again(cx);
            }
            return;
        };
        let since = self.disbelieved().map_or(cx.now.wall, |former| former.since);
        let (count, text) = (left_out.images.len() as u64, left_out.text());
        let images: BTreeSet<SampleId> = left_out.images.iter().copied().take(Disbelieved::MAX).collect();
        cx.raise_for_task(TaskAlert::Labels, Severity::Warning, text.clone());
        cx.post(Fact::LabelsLeftOut(images.clone()));
        *self.schedule.disbelieved() = Some(Disbelieved { images, count, text, since });
    }

    /// The label of an image changed, or was confirmed.
    pub(super) fn label_changed_or_confirmed(&mut self, cx: &mut Cx<'_>, id: &SampleId) {
        let Some(disbelieved) = self.schedule.disbelieved() else { return };
        if disbelieved.images.remove(id) {
            disbelieved.count -= 1;
            if disbelieved.count == 0 {
                *self.schedule.disbelieved() = None;
                believed_again(cx);
            }
        }
    }

    /// The alert about labels that were left out before a restart.
    pub fn labels_alert(&self) -> Option<Warning> {
        let Disbelieved { text, since, .. } = self.disbelieved()?;
        Some(Warning { severity: Severity::Warning, text: text.clone(), since: *since })
    }
}

fn believed_again(cx: &mut Cx<'_>) {
    cx.clear_for_task(TaskAlert::Labels);
    cx.post(Fact::LabelsLeftOut(BTreeSet::new()));
}
