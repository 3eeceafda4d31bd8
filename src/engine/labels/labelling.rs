//! What a label changes.

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::write::{LabelSource, PendingLabel, Write};
use super::Labels;
use super::awaited::PENDING_MAX;
use super::index::{Changed, Resolved};
use crate::wire::command::{self, Spec as _};
use crate::wire::{self, Answer, ErrorCode, ImagePrefix, LabelsTaken};
use crate::words::{Label, SampleId, TaskId};

impl Labels {
    /// Labels from the broker: those that mean one image, or one that is still to come, count; the others are
    /// reported and change nothing.
    pub fn label_message(&mut self, cx: &mut Cx<'_>, payload: &[u8]) {
        let items = match wire::parse_labels(payload) {
            Ok(items) => items,
            Err(why) => return cx.error_on_topic("label", why.to_string()),
        };
        let change = self.begin_change();
        for item in items {
            match self.index.resolve(item.image.as_str()) {
                Resolved::Known(id) => {
                    self.set_label(cx, id, item.label, LabelSource::Mqtt, Some(change));
                }
                Resolved::Unknown => self.await_item(cx, item, change),
                Resolved::Ambiguous => cx.error_on_topic("label", several(&item.image)),
            }
        }
    }

    /// Labels by request: all of them or, where one may mean several images, none.
    pub fn take_labels(&mut self, cx: &mut Cx<'_>, items: &[wire::LabelItem]) -> Answer {
        let resolved: Vec<Resolved> = items.iter().map(|item| self.index.resolve(item.image.as_str())).collect();
        if let Some(doubtful) = resolved.iter().position(|resolved| *resolved == Resolved::Ambiguous) {
            return ambiguous(&items[doubtful].image);
        }
        let change = self.begin_change();
        let mut taken = LabelsTaken::default();
        for (item, resolved) in items.iter().zip(resolved) {
            if let Resolved::Known(id) = resolved {
                taken.set += 1;
                self.set_label(cx, id, item.label.clone(), LabelSource::Mqtt, Some(change));
            } else {
                taken.kept += usize::from(item.label.is_some());
                self.await_item(cx, item.clone(), change);
            }
        }
        command::Label::answer(&taken)
    }

    /// Gives every image with one label another one, and every label that waits for its image.
    pub fn relabel(&mut self, cx: &mut Cx<'_>, relabel: &command::Relabel) -> Answer {
        let command::Relabel { from, to } = relabel;
        let (images, awaited) = self.index.labelled_as(from);
        if images.is_empty() && awaited.is_empty() {
            return no_such_label(from);
        }
        let taken = LabelsTaken { set: images.len(), kept: awaited.len() };
        let change = self.begin_change();
        for id in images {
            self.set_label(cx, id, Some(to.clone()), LabelSource::Mqtt, Some(change));
        }
        for awaited in awaited {
            self.await_label(cx, PendingLabel { label: to.clone(), change: Some(change), ..awaited });
        }
        command::Relabel::answer(&taken)
    }

    /// A number for everything that a person does now.
    pub(super) fn begin_change(&mut self) -> u64 {
        self.changes += 1;
        self.changes
    }

    fn await_item(&mut self, cx: &mut Cx<'_>, item: wire::LabelItem, change: u64) {
        let prefix = item.image.as_str().to_owned();
        let Some(label) = item.label else {
            if self.index.awaited.remove(&prefix) {
                cx.write(Write::DeletePendingLabel { task: TaskId::default(), prefix });
            }
            return;
        };
        let (source, at, change) = (LabelSource::Mqtt, cx.now.wall, Some(change));
        let awaited = PendingLabel { task: TaskId::default(), prefix, label, source, at, change, former: None };
        if let Some(prefix) = self.await_label(cx, awaited) {
            let reason =
                format!("the label kept for image {prefix} was dropped: at most {PENDING_MAX} wait for their image");
            cx.error_on_topic("label", reason);
        }
    }

    /// Keeps a label for an image to come; returns the prefix of the one that had to go for it.
    pub(super) fn await_label(&mut self, cx: &mut Cx<'_>, awaited: PendingLabel) -> Option<String> {
        let former = self.index.awaited.get(&awaited.prefix);
        let awaited = awaited.in_place_of(former);
        cx.write(Write::PendingLabel(awaited.clone()));
        let dropped = self.index.awaited.insert(awaited, cx.now);
        if let Some(prefix) = dropped.clone() {
            cx.write(Write::DeletePendingLabel { task: TaskId::default(), prefix });
        }
        dropped
    }

    /// Sets or removes a known image's label, as a part of a change; the same label again is no change, but for who gave
    /// it, and for one that trainings leave out: a person confirms it.
    pub(super) fn set_label(
        &mut self,
        cx: &mut Cx<'_>,
        id: SampleId,
        label: Option<Label>,
        source: LabelSource,
        change: Option<u64>,
    ) -> Changed {
        let changed = self.index.set_label(id, label.clone(), source);
        let is_said_again = changed != Changed::Label && !matches!(source, LabelSource::Folder | LabelSource::Undo);
        let is_confirmed = is_said_again && self.left_out.contains(&id);
        if changed == Changed::Nothing && !is_confirmed {
            return changed;
        }
        if let Some(labelled_since) = &mut self.undoing {
            labelled_since.insert(id);
        }
        let at = cx.stamp();
        cx.write(Write::Label { task: TaskId::default(), id, label: label.clone(), source, at, change });
        self.learn(cx, id);
        if changed == Changed::Label || is_confirmed {
            self.left_out.remove(&id);
            self.review.outdated();
            self.no_longer_asked(cx, &[id].into());
            let predicted = label.as_ref().and_then(|_| self.index.take_predicted(&id));
            cx.post(Fact::LabelSet { id, label, predicted, counts: self.counts() });
        }
        changed
    }
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
