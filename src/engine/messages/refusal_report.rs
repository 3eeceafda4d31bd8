//! What is said of what the broker does not take: one alert for all of it.

use super::super::context::Cx;
use super::broker_terms::Item;
use super::refusals::Refusals;
use crate::wire::{AlertId, Severity};
use crate::words::Component;

/// Items that the alert names.
const NAMED: usize = 5;

impl Refusals {
    /// What the alert says; `None` where the broker takes everything. `name` gives an item's whole name.
    pub fn trouble(&self, name: impl Fn(&Item) -> String) -> Option<String> {
        let mut parts = Vec::new();
        let held: Vec<String> = self.record.held.iter().map(|held| name(&held.item)).collect();
        if !held.is_empty() {
            let more = held.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let named = held[..held.len().min(NAMED)].join(", ");
            parts.push(format!(
                "the broker closes the connection at {named}{more}, so that is set aside: allow it in the broker's \
                 access list, or raise the broker's limit of a message's length; 'edgetuned ctl reload' tries it again"
            ));
        }
        if !self.refused.is_empty() {
            parts.push(format!(
                "the broker refuses the subscription to {}; allow it in the broker's access list",
                self.refused.join(", ")
            ));
        }
        if !self.downgraded.is_empty() {
            parts.push(format!(
                "the broker grants QoS 0 only for {}: what is sent while the connection is down is lost; allow QoS 1 \
                 there (max_qos of mosquitto)",
                self.downgraded.join(", ")
            ));
        }
        if self.record.unretained {
            parts.push(
                "the broker takes no retained messages, so all are sent without that flag: who subscribes later does \
                 not see the latest values; allow retained messages in the broker's configuration, then 'edgetuned ctl \
                 reload'"
                    .to_owned(),
            );
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl Cx<'_> {
    /// Raises or clears the alert; an event of its own tells what was not reported yet.
    pub(super) fn report_refusals(&mut self, is_reported: bool) {
        let base = self.settings().base.clone();
        let refusals = &self.messages.refusals;
        let mut text = refusals.trouble(|item| item.describe(&base)).unwrap_or_default();
        if refusals.shares_client_id() {
            let separator = if text.is_empty() { "" } else { "; " };
            text.push_str(separator);
            text.push_str(
                "the broker closes one connection after another though nothing is sent: another client with the same \
                 id, probably; give each device a device.id or mqtt.client_id of its own",
            );
        }
        if text.is_empty() {
            self.clear(AlertId::MqttRefused);
        } else if self.raise(AlertId::MqttRefused, Severity::Error, text.clone()) && !is_reported {
            self.error(Component::Mqtt, text);
        }
    }
}
