//! What a label changes.

use super::Engine;
use super::catalogue::{AWAITED_MAX, Resolved};
use super::effect::{AwaitedLabel, Effect, LabelSource, Write};
use crate::wire::{self, Answer, ErrorCode, ImagePrefix, LabelsTaken};
use crate::words::{Label, Now, SampleId};

impl Engine {
    /// Labels from the broker: those that mean one image, or one that is still to come, count; the others are
    /// reported and change nothing.
    pub(super) fn label_message(&mut self, now: Now, payload: &[u8]) {
        let items = match wire::parse_labels(payload) {
            Ok(items) => items,
            Err(why) => return self.error_on_topic(now, "label", why.to_string()),
        };
        for item in items {
            match self.catalogue.resolve(item.image.as_str()) {
                Resolved::Known(id) => self.set_label(now, id, item.label, LabelSource::Mqtt),
                Resolved::Unknown => self.await_label(now, item),
                Resolved::Ambiguous => self.error_on_topic(now, "label", several(&item.image)),
            }
        }
    }

    /// Labels by request: all of them or, where one may mean several images, none.
    pub(super) fn take_labels(&mut self, now: Now, items: &[wire::LabelItem]) -> Answer {
        let resolved: Vec<Resolved> = items.iter().map(|item| self.catalogue.resolve(item.image.as_str())).collect();
        if let Some(doubtful) = resolved.iter().position(|resolved| *resolved == Resolved::Ambiguous) {
            return ambiguous(&items[doubtful].image);
        }
        let mut taken = LabelsTaken::default();
        for (item, resolved) in items.iter().zip(resolved) {
            if let Resolved::Known(id) = resolved {
                taken.set += 1;
                self.set_label(now, id, item.label.clone(), LabelSource::Mqtt);
            } else {
                taken.kept += usize::from(item.label.is_some());
                self.await_label(now, item.clone());
            }
        }
        Answer::ok(&taken)
    }

    fn await_label(&mut self, now: Now, item: wire::LabelItem) {
        let prefix = item.image.as_str().to_owned();
        let Some(label) = item.label else {
            if self.catalogue.forget_awaited(&prefix) {
                self.write(Write::ForgetAwaited { prefix });
            }
            return;
        };
        let awaited = AwaitedLabel { prefix, label, source: LabelSource::Mqtt, at: now.wall };
        self.write(Write::AwaitLabel(awaited.clone()));
        if let Some(prefix) = self.catalogue.await_label(awaited) {
            let reason =
                format!("the label kept for image {prefix} was dropped: at most {AWAITED_MAX} wait for their image");
            self.write(Write::ForgetAwaited { prefix });
            self.error_on_topic(now, "label", reason);
        }
    }

    /// Sets or removes a known image's label; the same label again is no change.
    pub(super) fn set_label(&mut self, now: Now, id: SampleId, label: Option<Label>, source: LabelSource) {
        if self.catalogue.set_label(id, label.clone(), source) {
            let at = self.clock.stamp(now.wall);
            self.write(Write::Label { id, label: label.clone(), source, at });
            self.schedule.labels_changed(1);
            self.write(Write::Training(self.schedule.memory().clone()));
            self.effects.push(Effect::Learn(vec![id]));
            self.asks.outdated();
            self.no_longer_asked(now, &id);
            if let Some(label) = label {
                self.answered(now, id, &label);
                self.label_after_drift(now);
            }
        }
    }
}

/// The answer to a prefix that means several images.
pub(super) fn ambiguous(prefix: &ImagePrefix) -> Answer {
    Answer::error(ErrorCode::BadRequest, several(prefix))
}

fn several(prefix: &ImagePrefix) -> String {
    format!("{prefix} is the start of more than one image's SHA-256; send more digits")
}
