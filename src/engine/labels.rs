//! What a label changes.

use super::Engine;
use super::catalogue::Resolved;
use super::effect::{AwaitedLabel, Effect, LabelSource, Write};
use crate::wire;
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
                Resolved::Ambiguous => {
                    let reason = format!(
                        "{} is the start of more than one image's SHA-256; send more digits",
                        item.image.as_str()
                    );
                    self.error_on_topic(now, "label", reason);
                }
            }
        }
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
            let reason = format!("the label kept for image {prefix} was dropped: at most 10000 wait for their image");
            self.write(Write::ForgetAwaited { prefix });
            self.error_on_topic(now, "label", reason);
        }
    }

    /// Sets or removes a known image's label; the same label again is no change.
    pub(super) fn set_label(&mut self, now: Now, id: SampleId, label: Option<Label>, source: LabelSource) {
        if self.catalogue.set_label(id, label.clone(), source) {
            self.write(Write::Label { id, label: label.clone(), source, at: now.wall });
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
