//! What Home Assistant shows of each task: its state or latest answer, a list to label the latest image by, and a button.
//!
//! The list says on `label` what the latest image is. Its command template knows the chosen class alone, so the entity
//! keeps the digest of the image as an attribute: what is labelled is the image that Home Assistant has last heard of,
//! also where another one arrives while somebody chooses. Each new image empties the list.

use serde_json::{Value, json};

use super::Announced;
use crate::wire::command::{Spec as _, Train};
use crate::wire::{InboundTopic, TaskTopic, Topic, UNKNOWN};
use crate::words::{Label, TaskId};

/// A task as it is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedTask {
    /// Its name.
    pub id: TaskId,
    /// The classes of its head in service, and those that only its labels name so far.
    pub classes: Vec<Label>,
    /// Whether `task/<id>/state` holds a state, and not the latest prediction.
    pub has_state: bool,
}

/// The entities of a task that is no more: Home Assistant removes one of which the platform alone is said.
pub(super) fn retired(task: &TaskId) -> impl Iterator<Item = (String, Value)> {
    let keys = [("sensor", "state"), ("button", Train::NAME), ("select", "label")];
    keys.into_iter().map(move |(platform, key)| (format!("{key}_{task}"), json!({ "p": platform })))
}

impl Announced<'_> {
    /// The entities of a task. No class to label with, no list.
    pub(super) fn of_task(&self, task: &AnnouncedTask) -> impl Iterator<Item = (String, Value)> {
        let list = (!task.classes.is_empty()).then(|| self.label_list(task));
        [self.present(task), self.train_button(task)].into_iter().chain(list)
    }

    /// The present state, or the latest answer.
    fn present(&self, task: &AnnouncedTask) -> (String, Value) {
        let answer = "{{ 'unknown' if value_json.unknown | default(false, true) or value_json.label is none \
                      else value_json.label }}";
        let state = "{{ value_json.state | default('unknown', true) }}";
        let mut options: Vec<&str> = task.classes.iter().map(Label::as_str).filter(|class| *class != UNKNOWN).collect();
        options.push(UNKNOWN);
        let reads = json!({
            "device_class": "enum",
            "options": options,
            // State and review list are two topics, and an entity's attributes come from one filter.
            "json_attributes_topic": format!("{}/task/{}/+", self.base, task.id),
            "json_attributes_template": attributes(task.has_state),
        });
        let topic = Topic::Task(task.id.clone(), TaskTopic::State);
        let template = if task.has_state { state } else { answer };
        self.sensor(&format!("state_{}", task.id), task.id.as_str(), &topic, template, &[&reads])
    }

    /// A list of classes; choosing one labels the latest image with it.
    fn label_list(&self, task: &AnnouncedTask) -> (String, Value) {
        // Where the state is something else, only predictions name each image.
        let latest = if task.has_state { TaskTopic::Prediction } else { TaskTopic::State };
        let latest = Topic::Task(task.id.clone(), latest);
        let chosen =
            format!("{{{{ {{'task': '{}', 'image': this.attributes.image, 'label': value}} | to_json }}}}", task.id);
        let chooses = json!({
            "options": task.classes,
            "optimistic": true,
            "command_topic": format!("{}/{}", self.base, InboundTopic::Label),
            "command_template": chosen,
            "json_attributes_topic": self.base.join(&latest),
            "json_attributes_template": "{{ {'image': value_json.image} | to_json }}",
        });
        let name = format!("Label {}", task.id);
        self.reader("select", &format!("label_{}", task.id), &name, &latest, "{{ none }}", &[&chooses])
    }

    fn train_button(&self, task: &AnnouncedTask) -> (String, Value) {
        let asks = json!({
            "command_topic": format!("{}/request/{}", self.base, Train::NAME),
            "payload_press": json!({ "task": task.id }).to_string(),
        });
        self.entity("button", &format!("{}_{}", Train::NAME, task.id), &format!("Train {}", task.id), &[&asks])
    }
}

/// Confidence and since of the messages with the state, the length of the list of those with a review list; each keeps
/// what the other one said.
fn attributes(has_state: bool) -> String {
    let (told, confidence, since) = if has_state {
        ("'state' in value_json", "value_json.confidence", "value_json.since")
    } else {
        ("'probability' in value_json", "value_json.probability", "none")
    };
    format!(
        "{{% set old = this.attributes %}}{{{{ {{\
         'confidence': {confidence} if {told} else old.get('confidence'), \
         'since': {since} if {told} else old.get('since'), \
         'review': value_json['items'] | count if 'items' in value_json else old.get('review')}} | to_json }}}}"
    )
}
