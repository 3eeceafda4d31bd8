//! The device as Home Assistant discovers it: one document for all its entities, on
//! `homeassistant/device/<device id>/config`.
//!
//! Every entity reads a topic that the daemon publishes anyway; nothing is published for Home Assistant but this
//! document. Where the configuration names tasks, each has entities of its own (`tasks`). Templates bear missing fields
//! and null: they render `None`, which Home Assistant shows as unknown. What Home Assistant accepts is written down as
//! rules in the tests.

#[cfg(test)]
mod schema;
mod tasks;

use serde_json::{Map, Value, json};

use super::command::{Spec as _, Train};
use super::{Base, Command, EventKind, Status, Topic, UpdateKind};
use crate::words::TaskId;
#[cfg(test)]
pub(super) use schema::schema;
pub use tasks::AnnouncedTask;

/// What Home Assistant says on `homeassistant/status` when it is there.
pub const BIRTH_ONLINE: &[u8] = b"online";

/// `health` comes every 30 s; what reads it is unavailable after so many seconds without one.
const HEALTH_EXPIRES_S: u32 = 120;

/// What is about the one task there is where the configuration names none; beside the button for trainings.
const BY_TASK: [&str; 4] = ["label", "confidence", "unknown", "accuracy"];

/// Who is announced.
#[derive(Debug, Clone, Copy)]
pub struct Announced<'a> {
    /// Its topics.
    pub base: &'a Base,
    /// Its name for people.
    pub name: &'a str,
    /// Name of its backbone.
    pub backbone: &'a str,
    /// The tasks that the configuration names; none where it names none.
    pub tasks: &'a [AnnouncedTask],
    /// Tasks that the configuration named before: their entities go.
    pub removed: &'a [TaskId],
}

impl Announced<'_> {
    /// The discovery document.
    #[must_use]
    pub fn document(&self) -> Value {
        json!({
            "dev": {
                "identifiers": [self.base.device()],
                "name": self.name,
                "manufacturer": "edgetuned",
                "model": self.backbone,
                "sw_version": env!("CARGO_PKG_VERSION"),
            },
            "o": { "name": "edgetuned", "sw": env!("CARGO_PKG_VERSION") },
            "availability": [{
                "topic": self.base.join(&Topic::Status),
                "payload_available": "online",
                "payload_not_available": "offline",
                // 'stopped' is not there, either.
                "value_template": format!("{{{{ 'online' if value == '{}' else 'offline' }}}}", Status::Online),
            }],
            "cmps": self.components(),
        })
    }

    fn components(&self) -> Map<String, Value> {
        let percent =
            json!({ "unit_of_measurement": "%", "state_class": "measurement", "suggested_display_precision": 1 });
        let (count, diagnostic) = (json!({ "state_class": "measurement" }), json!({ "entity_category": "diagnostic" }));
        let health = json!({ "expire_after": HEALTH_EXPIRES_S });
        let celsius = json!({ "device_class": "temperature", "unit_of_measurement": "°C" });
        let unknown = "{{ 'ON' if value_json.unknown | default(false, true) else 'OFF' }}";
        [
            self.sensor("label", "Label", &Topic::State, &plain("label"), &[]),
            self.sensor("confidence", "Confidence", &Topic::State, &share("value_json.probability"), &[&percent]),
            self.reader(
                "binary_sensor",
                "unknown",
                "Unknown object",
                &Topic::State,
                unknown,
                &[&json!({ "device_class": "problem" })],
            ),
            self.sensor(
                "accuracy",
                "Accuracy",
                &Topic::Info,
                &share("(value_json.head | default({}, true)).accuracy"),
                &[&percent],
            ),
            self.sensor("samples", "Samples", &Topic::Health, &plain("samples"), &[&count, &health]),
            self.sensor("labelled", "Labelled samples", &Topic::Health, &plain("labelled"), &[&count, &health]),
            self.sensor("queue", "Queue", &Topic::Health, &plain("queue"), &[&count, &health]),
            self.sensor(
                "spooled",
                "Unsent messages",
                &Topic::Health,
                &plain("spooled"),
                &[&count, &health, &diagnostic],
            ),
            self.sensor(
                "temperature",
                "Temperature",
                &Topic::Health,
                &plain("temperature_c"),
                &[&celsius, &count, &health, &diagnostic],
            ),
            self.sensor(
                "last_train",
                "Last training",
                &Topic::Health,
                &plain("last_train"),
                &[&json!({ "device_class": "timestamp" }), &health, &diagnostic],
            ),
            self.update(UpdateKind::Head, "Head"),
            self.update(UpdateKind::Backbone, "Backbone"),
            self.entity(
                "event",
                "event",
                "Event",
                &[&json!({ "state_topic": self.base.join(&Topic::Event), "event_types": EventKind::TYPES })],
            ),
        ]
        .into_iter()
        .chain(Command::ALL.iter().filter_map(|command| Some(self.button(command.name, command.button?))))
        .map(|(key, entity)| if self.is_by_task(&key) { retired(key, &entity) } else { (key, entity) })
        .chain(self.removed.iter().flat_map(tasks::retired))
        .chain(self.tasks.iter().flat_map(|task| self.of_task(task)))
        .collect()
    }

    /// Whether each task has an entity in place of this one.
    fn is_by_task(&self, key: &str) -> bool {
        !self.tasks.is_empty() && [&BY_TASK[..], &[Train::NAME]].concat().contains(&key)
    }

    fn sensor(&self, key: &str, name: &str, topic: &Topic, template: &str, more: &[&Value]) -> (String, Value) {
        self.reader("sensor", key, name, topic, template, more)
    }

    /// An entity that shows what `template` makes of each message on `topic`.
    fn reader(
        &self,
        platform: &str,
        key: &str,
        name: &str,
        topic: &Topic,
        template: &str,
        more: &[&Value],
    ) -> (String, Value) {
        let reads = json!({ "state_topic": self.base.join(topic), "value_template": template });
        self.entity(platform, key, name, &[&[&reads], more].concat())
    }

    /// A press is the request `key` without a transaction.
    fn button(&self, key: &str, name: &str) -> (String, Value) {
        let asks = json!({ "command_topic": format!("{}/request/{key}", self.base), "payload_press": "{}" });
        self.entity("button", key, name, &[&asks])
    }

    /// Versions and progress. Home Assistant can ask for nothing here: updates are pushed, and signed.
    ///
    /// It throws away messages with fields that it does not know, and with null for a version, so the template makes a
    /// message of its own.
    fn update(&self, kind: UpdateKind, name: &str) -> (String, Value) {
        let template = "{{ {'installed_version': value_json.installed_version | default('none', true) | string, \
                        'latest_version': value_json.latest_version \
                        | default(value_json.installed_version, true) | default('none', true) | string, \
                        'in_progress': value_json.in_progress | default(false, true), \
                        'update_percentage': value_json.update_percentage | default(none)} | to_json }}";
        let title = json!({ "title": format!("edgetuned {kind}") });
        self.reader("update", kind.as_str(), name, &Topic::UpdateState(kind), template, &[&title])
    }

    /// An entity with the fields of all `parts`.
    fn entity(&self, platform: &str, key: &str, name: &str, parts: &[&Value]) -> (String, Value) {
        let unique_id = format!("{}_{key}", self.base.device());
        let common = json!({ "p": platform, "unique_id": unique_id, "name": name, "qos": 1 });
        let parts = [&common].into_iter().chain(parts.iter().copied()).filter_map(Value::as_object);
        let fields: Map<String, Value> = parts.flatten().map(|(field, value)| (field.clone(), value.clone())).collect();
        (key.to_owned(), fields.into())
    }
}

/// An entity of an earlier document that is to go: nothing but its platform.
fn retired(key: String, entity: &Value) -> (String, Value) {
    (key, json!({ "p": entity["p"] }))
}

/// The field as it is; unknown where it is missing or null.
fn plain(field: &str) -> String {
    format!("{{{{ value_json.{field} | default(none) }}}}")
}

/// The value of `expression`, a share of 1, in per cent; unknown where it is missing or null.
fn share(expression: &str) -> String {
    format!(
        "{{% set share = {expression} | default(none) %}}{{{{ (100 * share) | round(1) if share is number else none }}}}"
    )
}
