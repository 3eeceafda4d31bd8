//! What needs a person, from when it is found until it is over.
//!
//! An alert says the same until it is cleared or its words change; `since` stays over such a change. Only `drift` is
//! remembered over a restart, since only its cause is: the others are found again.

use std::collections::BTreeMap;

use super::Engine;
use super::effect::Effect;
use crate::wire::{Alert, AlertId, Raised, Severity, Topic, Warning};
use crate::words::Now;

/// The alerts that are up, but for `drift`.
#[derive(Debug, Default)]
pub(super) struct Alerts(BTreeMap<AlertId, Warning>);

impl Engine {
    /// Raises an alert; one that says the same already is not said again. Whether it was said.
    pub(super) fn raise(&mut self, now: Now, id: AlertId, severity: Severity, text: String) -> bool {
        let former = self.alerts.0.get(&id);
        let is_news = former.is_none_or(|former| former.text != text || former.severity != severity);
        if is_news {
            let since = former.map_or(now.wall, |former| former.since);
            self.alerts.0.insert(id, Warning { severity, text, since });
            self.publish_alert(now, id);
        }
        is_news
    }

    /// Clears an alert that is up.
    pub(super) fn clear(&mut self, now: Now, id: AlertId) {
        if self.alerts.0.remove(&id).is_some() {
            self.publish_alert(now, id);
        }
    }

    /// The alerts that are up.
    pub(super) fn raised(&self) -> Vec<Raised> {
        AlertId::ALL.into_iter().filter_map(|id| Some(Raised { id, warning: self.warning(id)? })).collect()
    }

    /// Says what an alert says now; nothing clears it.
    pub(super) fn publish_alert(&mut self, now: Now, id: AlertId) {
        match self.warning(id) {
            Some(warning) => self.publish(now, Topic::Alert(id), |_, envelope| Alert { envelope, warning }),
            None => self.effects.push(Effect::Publish { topic: Topic::Alert(id), payload: Vec::new() }),
        }
    }

    fn warning(&self, id: AlertId) -> Option<Warning> {
        match id {
            AlertId::Drift => self.live.drift.as_ref().map(|drift| drift.warning.clone()),
            _ => self.alerts.0.get(&id).cloned(),
        }
    }
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;
