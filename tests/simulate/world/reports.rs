//! What has to hold of what the daemon says, when it goes into the outbox and when it goes past it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use edgetuned::wire::{TaskTopic, Topic};
use edgetuned::words::{Label, SampleId};
use serde_json::Value;

use super::super::known::Known;
use super::World;

impl World {
    /// A message goes into the outbox.
    pub(super) fn check_report(&mut self, topic: &Topic, payload: &[u8]) {
        self.check_said(topic, payload);
        self.check_tuning_said(topic, payload, false);
        if let Some((task, TaskTopic::Prediction)) = self.task_of(topic) {
            let id = image_of(payload);
            if self.is_frame(&id) {
                return assert!(self.looks_at(&task, &id), "frame {id} is predicted for {task}, which does not see it");
            }
            let path = path_of(payload);
            let looks = self.looks_at(&task, &id) && self.looks_into(&task, self.root_of(&path));
            assert!(looks, "{} is predicted for {task}, which does not look at it", path.display());
            let key = (task, id);
            let is_second = self.observed.predicted_unstored.contains(&key);
            assert!(!is_second, "image {id} is reported a second time, now that it can be stored");
            *self.observed.reported.entry(key).or_default() += 1;
        }
        match topic {
            Topic::Response(name) if name == "promote" || name == "rollback" => {
                let json: Value = serde_json::from_slice(payload).unwrap_or_default();
                if let Some(version) = json["data"]["head"]["version"].as_u64() {
                    let serves = self.observed.champion.values().any(|(champion, _)| *champion == Some(version));
                    assert!(serves, "{name} is answered with {version}, but another serves");
                }
            }
            Topic::Response(name) if name == "train" => self.check_trainable(payload),
            Topic::Response(name) if name == "switch" => {
                let json: Value = serde_json::from_slice(payload).unwrap_or_default();
                let is_stored = self.model.backbone.switch.is_some();
                assert!(is_stored || json["data"]["begun"] != true, "a switch is accepted that is not stored");
            }
            Topic::Event => self.note_event(payload),
            _ => {}
        }
    }

    fn note_event(&mut self, payload: &[u8]) {
        let json: Value = serde_json::from_slice(payload).unwrap_or_default();
        let is_about_it = json["reason"].as_str().is_some_and(|reason| reason.contains("set aside"));
        self.observed.set_aside_reports += u64::from(is_about_it);
        self.observed.bounds.count_event(self.now.mono, &json);
    }

    /// A training is accepted where there are labels of two classes, and refused where there are not.
    fn check_trainable(&self, payload: &[u8]) {
        let json: Value = serde_json::from_slice(payload).unwrap_or_default();
        let classes = |known: &Known| known.classes().into_iter().cloned().collect();
        let labels: Vec<BTreeSet<Label>> = self.model.tasks.values().map(classes).collect();
        // A transaction that is asked about again has the answer of its time.
        let (is_accepted, is_refused) = (json["status"] == "ok", json["error"]["code"] == "not_possible");
        if json["transaction"].is_string() || !(is_accepted || is_refused) {
            return;
        }
        let is_possible = labels.iter().any(|labels| (labels.len() > 1) == is_accepted);
        assert!(is_possible, "a training is answered with {json}, and the labels are {labels:?}");
    }

    /// A message goes past the outbox.
    pub(super) fn check_publish(&mut self, topic: &Topic, payload: &[u8]) {
        if *topic == Topic::Event {
            self.note_event(payload);
        }
        self.check_said(topic, payload);
        self.check_tuning_said(topic, payload, true);
        if payload.is_empty() {
            return;
        }
        self.check_state_said(topic, payload);
        if let Some((task, TaskTopic::Prediction)) = self.task_of(topic) {
            let id = image_of(payload);
            if self.is_frame(&id) {
                return;
            }
            *self.observed.direct.entry((task.clone(), id)).or_default() += 1;
            // What was stored since and is to go, though its deletion waits, is new when it is read once more.
            let is_to_go = self.observed.is_offered(&id);
            let is_first = self.observed.predicted_unstored.insert((task, id));
            assert!(is_first || is_to_go, "image {id} is reported twice while nothing can be stored");
        }
    }
}

fn path_of(payload: &[u8]) -> PathBuf {
    let json: Value = serde_json::from_slice(payload).expect("a prediction is JSON");
    json["path"].as_str().expect("it names its file").into()
}

fn image_of(payload: &[u8]) -> SampleId {
    let json: Value = serde_json::from_slice(payload).expect("a prediction is JSON");
    serde_json::from_value(json["image"].clone()).expect("it names its image")
}
