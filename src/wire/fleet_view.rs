//! What retained messages say about a fleet: one row a device.
//!
//! Messages go in as they come, in any order, and the rows follow from the latest of each topic. A payload that cannot be
//! read, of a newer version perhaps, leaves its fields unknown and the others as they are. Nothing here subscribes, prints,
//! or knows the time.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{
    AlertId, DevicePattern, Health, Info, LiveFigures, Payload, Prediction, Status, TaskAlert, TaskState, Topic,
};
use crate::words::{HeadRef, TaskId, Timestamp};

/// The devices that are meant, and what is known of them.
#[derive(Debug)]
pub struct FleetView {
    devices: DevicePattern,
    known: BTreeMap<String, Known>,
}

/// The latest messages of a device.
#[derive(Debug, Default)]
struct Known {
    /// Whether its `info` is there, readable or not.
    is_there: bool,
    status: Option<Status>,
    info: Option<Info>,
    health: Option<Health>,
    latest: Option<RowLatest>,
    alerts: BTreeSet<AlertId>,
}

/// A device. What is null is not known.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FleetRow {
    /// Its id.
    pub device: String,
    /// `online`, `stopped` or `offline`.
    pub status: Option<&'static str>,
    /// Version of the program.
    pub version: Option<String>,
    /// Name of the backbone.
    pub backbone: Option<String>,
    /// The heads in service: one, or one for each task that the configuration names.
    pub heads: Vec<RowHead>,
    /// The alerts that are raised.
    pub alerts: Vec<AlertId>,
    /// Whether one of them is of drift.
    pub drift: bool,
    /// Files seen and not read yet.
    pub queue: Option<u64>,
    /// Messages that the broker has not acknowledged.
    pub outbox: Option<u64>,
    /// Stored images.
    pub samples: Option<u64>,
    /// Of them, with a label.
    pub labelled: Option<u64>,
    /// The latest prediction, or the present state where the task has one.
    pub latest: Option<RowLatest>,
    /// When the figures are of.
    pub health_at: Option<Timestamp>,
}

/// A head in service.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowHead {
    /// Its task; null where the configuration names none.
    pub task: Option<TaskId>,
    /// The head; null while there is none.
    pub head: Option<HeadRef>,
    /// Held-out accuracy, 0..1.
    pub accuracy: Option<f64>,
    /// Accuracy on images that got a label later; null before the first of them.
    pub live: Option<LiveFigures>,
}

/// What a device said last of a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RowLatest {
    /// When.
    pub at: Timestamp,
    /// The class, or the state; null without a head.
    pub label: Option<String>,
}

impl FleetView {
    /// Of the devices that `devices` means, none of which is known yet.
    #[must_use]
    pub fn new(devices: DevicePattern) -> Self {
        Self { devices, known: BTreeMap::new() }
    }

    /// The topics that it is made of, as filters below the base of each device.
    #[must_use]
    pub fn filters() -> Vec<String> {
        let plain = [Topic::Info, Topic::Health, Topic::State, Topic::Status].map(|topic| topic.to_string());
        plain.into_iter().chain(["alert/+".to_owned()]).collect()
    }

    /// Takes in a message of `device`, with its topic below the base.
    pub fn hear(&mut self, device: &str, topic: &Topic, payload: &[u8]) {
        if !self.devices.matches(device) {
            return;
        }
        let known = self.known.entry(device.to_owned()).or_default();
        match topic {
            Topic::Info => (known.is_there, known.info) = (!payload.is_empty(), Info::decode(payload).ok()),
            Topic::Health => known.health = Health::decode(payload).ok(),
            Topic::State => known.latest = latest(payload),
            Topic::Status => known.status = std::str::from_utf8(payload).ok().and_then(|word| word.parse().ok()),
            Topic::Alert(id) if payload.is_empty() => drop(known.alerts.remove(id)),
            Topic::Alert(id) => drop(known.alerts.insert(id.clone())),
            _ => {}
        }
    }

    /// The devices that are there, by id.
    #[must_use]
    pub fn rows(&self) -> Vec<FleetRow> {
        self.known.iter().filter(|(_, known)| known.is_there).map(|(id, known)| known.row(id)).collect()
    }
}

impl Known {
    fn row(&self, device: &str) -> FleetRow {
        let figures = self.health.as_ref().map(|health| &health.figures);
        let is_drift = |id: &AlertId| matches!(id, AlertId::Drift | AlertId::OfTask(TaskAlert::Drift, _));
        FleetRow {
            device: device.to_owned(),
            status: self.status.map(Status::as_str),
            version: self.info.as_ref().map(|info| info.versions.edgetuned.clone()),
            backbone: self.info.as_ref().map(|info| info.backbone.backbone.name.clone()),
            heads: self.heads(),
            alerts: self.alerts.iter().cloned().collect(),
            drift: self.alerts.iter().any(is_drift),
            queue: figures.map(|figures| figures.queue),
            outbox: figures.map(|figures| figures.spooled),
            samples: figures.map(|figures| figures.samples),
            labelled: figures.map(|figures| figures.labelled),
            latest: self.latest.clone(),
            health_at: self.health.as_ref().map(|health| health.envelope.ts),
        }
    }

    fn heads(&self) -> Vec<RowHead> {
        let Some(info) = &self.info else { return Vec::new() };
        let live = |task: Option<&TaskId>| {
            let health = self.health.as_ref()?;
            task.map_or(health.live, |task| health.figures.tasks.get(task)?.live)
        };
        let row = |task: Option<&TaskId>, head: Option<&super::InfoHead>| RowHead {
            task: task.cloned(),
            head: head.map(|head| HeadRef { id: head.id.clone(), version: head.version }),
            accuracy: head.and_then(|head| head.accuracy),
            live: live(task),
        };
        match &info.tasks[..] {
            [] => vec![row(None, info.head.as_ref())],
            tasks => tasks.iter().map(|task| row(Some(&task.id), task.head.as_ref())).collect(),
        }
    }
}

/// What is on `state`: a prediction, or the state of a task that has one.
fn latest(payload: &[u8]) -> Option<RowLatest> {
    if let Ok(state) = TaskState::decode(payload) {
        return Some(RowLatest { at: state.envelope.ts, label: Some(state.state.to_string()) });
    }
    let Prediction { envelope, body } = Prediction::decode(payload).ok()?;
    Some(RowLatest { at: envelope.ts, label: body.label.map(|label| label.to_string()) })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{envelope, head, label, prediction};
    use super::*;
    use crate::wire::{HealthFigures, LiveFigure, StateName, TaskHealth};

    fn envelope_with(more: &Value) -> Vec<u8> {
        let mut value = serde_json::to_value(envelope()).unwrap();
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        value.to_string().into_bytes()
    }

    fn info(more: &Value) -> Vec<u8> {
        let mut info = json!({
            "versions": { "edgetuned": "0.1.0", "onnxruntime": "1.27.0" },
            "backbone": { "name": "tiny", "sha256": "0".repeat(64), "dim": 64 }, "capabilities": [], "configuration": {},
            "head": { "id": head().id, "version": 7, "classes": ["gear"], "accuracy": 0.875 },
        });
        info.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        envelope_with(&info)
    }

    fn live(right: u64) -> LiveFigures {
        let prequential = LiveFigure { n: 10, right, accuracy: Some(right as f64 / 10.0), accuracy_interval: None };
        LiveFigures { prequential, ..LiveFigures::default() }
    }

    fn alert() -> Vec<u8> {
        envelope_with(&json!({ "severity": "warning", "text": "look", "since": "2026-03-01T08:00:00.000Z" }))
    }

    fn view(pattern: &str) -> FleetView {
        FleetView::new(pattern.parse().unwrap())
    }

    #[test]
    fn a_row_is_made_of_the_latest_message_of_each_topic_whatever_comes_first() {
        let figures = HealthFigures { samples: 20, labelled: 5, queue: 2, spooled: 3, ..HealthFigures::default() };
        let health = Health { envelope: envelope(), figures, live: Some(live(9)) }.encode();
        let messages = [
            (Topic::Info, info(&json!({}))),
            (Topic::Health, health),
            (Topic::State, prediction().encode()),
            (Topic::Status, b"online".to_vec()),
            (Topic::Alert(AlertId::Clock), alert()),
        ];
        let mut rows = Vec::new();
        for turn in 0..messages.len() {
            let mut view = view("line-*");
            for (topic, payload) in messages[turn..].iter().chain(&messages[..turn]) {
                view.hear("line-3", topic, payload);
            }
            rows.push(view.rows());
        }
        assert!(rows.iter().all(|other| *other == rows[0]));
        let [row] = &rows[0][..] else { panic!("{rows:?}") };
        assert_eq!((row.status, row.queue, row.outbox), (Some("online"), Some(2), Some(3)));
        assert_eq!((row.samples, row.labelled, row.drift), (Some(20), Some(5), false));
        assert_eq!((&row.alerts[..], row.health_at), (&[AlertId::Clock][..], Some(envelope().ts)));
        assert_eq!(row.latest.as_ref().unwrap().label.as_deref(), Some("gear"));
        let expected = RowHead { task: None, head: Some(head()), accuracy: Some(0.875), live: Some(live(9)) };
        assert_eq!(row.heads, [expected]);
        let json = serde_json::to_value(row).unwrap();
        assert_eq!((&json["alerts"], &json["heads"][0]["live"]["prequential"]["n"]), (&json!(["clock"]), &json!(10)));
    }

    #[test]
    fn each_task_has_its_head_and_its_accuracy() {
        let task = |id: &str, head: Value| json!({ "id": id, "head": head, "classes": [] });
        let served = json!({ "id": head().id, "version": 7, "classes": ["gear"], "accuracy": null });
        let mut view = view("*");
        view.hear("line-3", &Topic::Info, &info(&json!({ "tasks": [task("door", served), task("bin", Value::Null)] })));
        let door = TaskHealth { live: Some(live(8)), ..TaskHealth::default() };
        let tasks = [("door".parse().unwrap(), door), ("bin".parse().unwrap(), TaskHealth::default())].into();
        let figures = HealthFigures { tasks, ..HealthFigures::default() };
        view.hear("line-3", &Topic::Health, &Health { envelope: envelope(), figures, live: None }.encode());
        view.hear("line-3", &Topic::Alert(TaskAlert::Drift.of(Some(&"door".parse().unwrap()))), &alert());
        let state = TaskState {
            envelope: envelope(),
            task: "door".parse().unwrap(),
            state: StateName::from(label("open")),
            since: envelope().ts,
            previous: None,
            confidence: None,
            votes: [2, 3],
            image: None,
            last_seen: None,
        };
        view.hear("line-3", &Topic::State, &state.encode());
        let [row] = &view.rows()[..] else { panic!("one device") };
        assert!(row.drift);
        assert_eq!(row.latest.as_ref().unwrap().label.as_deref(), Some("open"));
        let [door, bin] = &row.heads[..] else { panic!("{row:?}") };
        assert_eq!((door.head.as_ref(), door.live, door.accuracy), (Some(&head()), Some(live(8)), None));
        assert_eq!((bin.head.as_ref(), bin.live), (None, None));
    }

    #[test]
    fn devices_come_and_go_and_what_cannot_be_read_is_not_known() {
        let mut view = view("line-*");
        for device in ["line-2", "line-1", "cam-1"] {
            view.hear(device, &Topic::Info, b"{\"v\": 2}");
        }
        view.hear("line-3", &Topic::Status, b"offline");
        let ids: Vec<_> = view.rows().into_iter().map(|row| row.device).collect();
        assert_eq!(ids, ["line-1", "line-2"], "those that are meant and have an info, by id");
        let row = &view.rows()[0];
        assert_eq!((row.status, &row.version, row.heads.len(), row.queue), (None, &None, 0, None));
        for (topic, good, bad) in [
            (Topic::Status, &b"stopped"[..], &b"asleep"[..]),
            (Topic::Alert(AlertId::Drift), &alert()[..], b""),
            (Topic::State, &prediction().encode(), b"{}"),
        ] {
            let before = view.rows()[0].clone();
            view.hear("line-1", &topic, good);
            assert_ne!(view.rows()[0], before, "{topic}");
            view.hear("line-1", &topic, bad);
            assert_eq!(view.rows()[0], before, "{topic}");
        }
        view.hear("line-1", &Topic::Info, b"");
        assert_eq!(view.rows().len(), 1, "its info was cleared");
    }
}
