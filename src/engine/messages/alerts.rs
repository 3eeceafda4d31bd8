//! The alerts that are up.
//!
//! An alert stays the same until it is cleared or its text changes; `since` stays over such a change. After a restart those
//! are restored whose cause is remembered; the others are found again.

use std::collections::BTreeMap;

use super::super::context::Cx;
use super::super::step::Act;
use crate::wire::{Alert, AlertId, Raised, Severity, TaskAlert, Topic, Warning};

/// The alerts that are up.
#[derive(Debug, Default)]
pub(super) struct Alerts(BTreeMap<AlertId, Warning>);

impl Alerts {
    /// An alert that was up before a restart.
    pub fn restore(&mut self, id: AlertId, warning: Warning) {
        self.0.insert(id, warning);
    }
}

impl Cx<'_> {
    /// Raises an alert; the same alert is not published again. Returns whether it was published.
    pub fn raise(&mut self, id: AlertId, severity: Severity, text: String) -> bool {
        debug_assert!(id.severities().contains(&severity), "AlertId::severities does not know {id} as {severity:?}");
        let former = self.messages.alerts.0.get(&id);
        let is_news = former.is_none_or(|former| former.text != text || former.severity != severity);
        if is_news {
            let since = former.map_or(self.now.wall, |former| former.since);
            self.messages.alerts.0.insert(id.clone(), Warning { severity, text, since });
            self.publish_alert(id);
        }
        is_news
    }

    /// Raises an alert of the task that is acted for.
    pub fn raise_for_task(&mut self, alert: TaskAlert, severity: Severity, text: String) {
        let id = alert.of(self.named_task().as_ref());
        self.raise(id, severity, text);
    }

    /// Clears an alert of the task that is acted for.
    pub fn clear_for_task(&mut self, alert: TaskAlert) {
        let id = alert.of(self.named_task().as_ref());
        self.clear(id);
    }

    /// Clears an alert that is up.
    pub fn clear(&mut self, id: AlertId) {
        if self.messages.alerts.0.remove(&id).is_some() {
            self.publish_alert(id);
        }
    }

    /// The alerts that are up.
    pub fn raised(&self) -> Vec<Raised> {
        let raised = self.messages.alerts.0.iter();
        raised.map(|(id, warning)| Raised { id: id.clone(), warning: warning.clone() }).collect()
    }

    /// Updates an alert's text; nothing clears it.
    pub fn publish_alert(&mut self, id: AlertId) {
        match self.messages.alerts.0.get(&id).cloned() {
            Some(warning) => self.publish(Topic::Alert(id), |envelope| Alert { envelope, warning }),
            None => self.act(Act::Publish { topic: Topic::Alert(id), payload: Vec::new() }),
        }
    }
}
