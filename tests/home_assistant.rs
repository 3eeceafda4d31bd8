//! Home Assistant itself takes the discovery documents, shows what the device says, and says what the device takes.
//!
//! `make home-assistant` sets up an interpreter with Home Assistant; `EDGETUNED_HA_PYTHON` names one. Without it these
//! tests are skipped. `home_assistant/validate.py` is the other side.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/daemon.rs"]
mod daemon;
#[path = "home_assistant/instance.rs"]
mod instance;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::path::Path;

use daemon::Listener;
use edgetuned::wire::{Announced, AnnouncedTask, Base, Command, LabelItem, Request, parse_labels};
use edgetuned::words::Label;
use instance::{Instance, schema_faults};
use mosquitto::Mosquitto;
use rumqttc::QoS;
use serde_json::{Value, json};

const DISCOVERY: &str = "homeassistant/device/line-3/config";

/// Classes with which a template could go wrong.
const ODD: [&str; 6] = ["\"odd\"", "{{ name }}", "it's", "späte Mutter", "007", "a, [b]: {c}"];

fn announced(tasks: &[(&str, &[&str], bool)]) -> Value {
    let base = Base::new("edgetuned", "line-3").unwrap();
    let tasks: Vec<_> = tasks
        .iter()
        .map(|&(id, classes, has_state)| AnnouncedTask {
            id: id.parse().unwrap(),
            classes: classes.iter().map(|class| Label::new(class).unwrap()).collect(),
            has_state,
        })
        .collect();
    Announced { base: &base, name: "Sorting line 3", backbone: "tiny", tasks: &tasks, removed: &[] }.document()
}

/// A door, which has a state, a bin, which has none, and a task of odd classes.
fn of_tasks() -> Value {
    announced(&[("door", &["closed", "open"], true), ("bin", &["empty", "full"], false), ("odd", &ODD, false)])
}

/// The examples of `docs/mqtt.md` for a topic, which the daemon's codec reads and writes.
fn documented(topic: &str) -> Vec<Value> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/mqtt.md")).unwrap();
    let fence = format!("```json {topic}\n");
    let blocks = page.split(&fence).skip(1).map(|rest| rest.split_once("```").unwrap().0);
    let found: Vec<Value> = blocks.map(|block| serde_json::from_str(block).unwrap()).collect();
    assert!(!found.is_empty(), "docs/mqtt.md shows no {topic}");
    found
}

/// The device as it is played.
struct Device(Listener);

impl Device {
    fn announce(&self, document: &Value) {
        self.0.publish(DISCOVERY, document.to_string().into_bytes(), true);
    }

    fn keep(&self, topic: &str, payload: &Value) {
        self.0.send_raw(topic, payload.to_string().into_bytes(), QoS::AtLeastOnce, true);
    }

    fn status(&self, word: &str) {
        self.0.send_raw("status", word.into(), QoS::AtLeastOnce, true);
    }

    /// What the next message on `label` says; everything heard before it is forgotten.
    fn labelled(&mut self) -> LabelItem {
        let said = self.0.wait("label", "a choice", |_| true).json;
        self.0.forget();
        let [item] = parse_labels(said.to_string().as_bytes()).unwrap().try_into().unwrap();
        item
    }
}

fn play() -> Option<(Mosquitto, Device, Instance)> {
    let python = instance::python()?;
    let broker = Mosquitto::start()?;
    let instance = Instance::start(&python, broker.port, mosquitto::free_port());
    let device = Device(Listener::new(broker.port));
    device.status("online");
    Some((broker, device, instance))
}

#[test]
fn the_documents_keep_to_its_schemas_and_a_fault_is_seen() {
    let Some(python) = instance::python() else { return };
    for document in [announced(&[]), of_tasks(), announced(&[("a_b-1", &[], true)])] {
        assert_eq!(schema_faults(&python, &document), "", "{document:#}");
    }
    for (pointer, value, expected) in [
        ("/dev/identifiers", json!([]), "at least one identifying value"),
        ("/cmps/queue/p", json!("senzor"), "platform"),
        ("/cmps/queue/state_topic", json!("edgetuned/#/x"), "queue: "),
        ("/cmps/queue/value_template", json!("{{ value "), "queue: "),
        ("/cmps/queue/colour", json!("red"), "queue: a sensor has no 'colour'"),
        ("/cmps/state_door/device_class", json!("temperature"), "state_door: "),
        ("/cmps/label_door/optimistic", json!("perhaps"), "label_door: "),
        ("/cmps/train_door/qos", json!(3), "train_door: "),
    ] {
        let mut document = of_tasks();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        document.pointer_mut(parent).unwrap()[key] = value;
        let found = schema_faults(&python, &document);
        assert!(found.contains(expected), "{pointer}: {found:?}");
    }
}

#[test]
fn it_shows_what_a_device_without_tasks_says_and_asks_what_it_takes() {
    let Some((_broker, mut device, mut instance)) = play() else { return };
    device.announce(&announced(&[]));
    device.keep("state", &documented("prediction")[0]);
    device.keep("info", &documented("info")[0]);
    device.keep("health", &documented("health")[0]);
    device.keep("update/head/state", &documented("update/head/state")[0]);
    device.keep("update/backbone/state", &documented("update/head/state")[1]);
    for (entity, shown) in [
        ("label", json!({ "state": "gear" })),
        ("confidence", json!({ "state": "75.0", "unit_of_measurement": "%" })),
        ("unknown", json!({ "state": "off", "device_class": "problem" })),
        ("accuracy", json!({ "state": "90.0" })),
        ("samples", json!({ "state": "420" })),
        ("labelled", json!({ "state": "60" })),
        ("queue", json!({ "state": "0" })),
        ("spooled", json!({ "state": "0" })),
        ("temperature", json!({ "state": "47.5", "unit_of_measurement": "°C" })),
        ("last_train", json!({ "state": "2026-03-01T03:00:04+00:00" })),
        (
            "head",
            json!({ "state": "on", "installed_version": "4", "latest_version": "5", "in_progress": true,
                    "update_percentage": 39 }),
        ),
        ("backbone", json!({ "state": "off", "installed_version": "none", "in_progress": false })),
        ("event", json!({ "state": "unknown" })),
        ("rescan", json!({ "state": "unknown" })),
    ] {
        instance.shows(entity, &shown);
    }
    // No head yet.
    device.keep("state", &documented("state")[0]);
    instance.shows("label", &json!({ "state": "unknown" }));
    instance.shows("confidence", &json!({ "state": "unknown" }));
    for event in documented("event") {
        device.0.send("event", &event);
        instance.shows("event", &json!({ "event_type": event["event_type"], "seq": event["seq"] }));
    }
    for name in ["train", "rescan"] {
        assert_eq!(instance.ask(&json!({ "press": format!("line-3_{name}") })), json!({ "ok": true }));
        let pressed = device.0.wait(&format!("request/{name}"), "the press of a button", |_| true).json;
        let request = Request::parse(name, pressed.to_string().as_bytes()).unwrap();
        assert_ne!(request.command, Command::Unknown, "{name}");
    }
    device.status("stopped");
    instance.shows("queue", &json!({ "state": "unavailable" }));
    device.status("online");
    instance.shows("queue", &json!({ "state": "0" }));
    assert_eq!(instance.faults(), Vec::<String>::new());
    device.0.publish(DISCOVERY, Vec::new(), true);
    for entity in ["label", "train", "head", "event"] {
        instance.forgets(entity);
    }
    assert_eq!(instance.faults(), Vec::<String>::new());
}

#[test]
fn it_shows_tasks_and_labels_their_latest_image() {
    let Some((_broker, mut device, mut instance)) = play() else { return };
    device.announce(&announced(&[]));
    instance.shows("label", &json!({ "state": "unknown" }));
    device.announce(&of_tasks());
    for entity in ["label", "confidence", "unknown", "accuracy", "train"] {
        instance.forgets(entity);
    }
    let options = json!(["closed", "open", "unknown"]);
    instance.shows("state_door", &json!({ "state": "unknown", "options": options, "device_class": "enum" }));
    instance.shows("label_door", &json!({ "state": "unknown", "options": ["closed", "open"] }));
    let choose = |option: &str| json!({ "select": "line-3_label_door", "option": option });
    let refused = instance.ask(&choose("open"));
    assert!(refused["refused"].is_string(), "there is no image yet, and it says {refused}");
    instance.faults();

    let states = documented("task/door/state");
    device.keep("task/door/state", &states[0]);
    instance.shows("state_door", &json!({ "state": "open", "confidence": 0.75, "since": states[0]["since"] }));
    let prediction = documented("task/door/prediction").swap_remove(0);
    device.0.send("task/door/prediction", &prediction);
    instance.shows("label_door", &json!({ "state": "unknown", "image": prediction["image"] }));
    device.keep("task/door/review", &documented("review")[0]);
    instance.shows("state_door", &json!({ "state": "open", "confidence": 0.75, "review": 2 }));
    device.keep("task/door/state", &states[1]);
    instance.shows("state_door", &json!({ "state": "unknown", "confidence": null, "review": 2 }));

    assert_eq!(instance.ask(&choose("open")), json!({ "ok": true }));
    instance.shows("label_door", &json!({ "state": "open" }));
    let item = device.labelled();
    assert_eq!(item.task.as_ref().map(ToString::to_string).as_deref(), Some("door"));
    assert_eq!((json!(item.image), item.label), (prediction["image"].clone(), Some(Label::new("open").unwrap())));
    let refused = instance.ask(&choose("ajar"));
    assert!(refused["refused"].is_string(), "no such class, and it says {refused}");
    let mut next = prediction.clone();
    next["image"] = states[0]["image"].as_str().unwrap().replace('2', "3").into();
    device.0.send("task/door/prediction", &next);
    instance.shows("label_door", &json!({ "state": "unknown", "image": next["image"] }));

    for (label, unknown, shown) in
        [(json!("full"), false, "full"), (json!("full"), true, "unknown"), (Value::Null, false, "unknown")]
    {
        let mut answer = prediction.clone();
        (answer["task"], answer["label"], answer["unknown"]) = (json!("bin"), label, json!(unknown));
        device.keep("task/bin/state", &answer);
        instance.shows("state_bin", &json!({ "state": shown, "confidence": 0.75, "since": null }));
    }
    for class in ODD {
        let mut answer = prediction.clone();
        (answer["task"], answer["label"]) = (json!("odd"), json!(class));
        device.keep("task/odd/state", &answer);
        instance.shows("state_odd", &json!({ "state": class }));
        instance.shows("label_odd", &json!({ "state": "unknown", "image": answer["image"] }));
        assert_eq!(instance.ask(&json!({ "select": "line-3_label_odd", "option": class })), json!({ "ok": true }));
        assert_eq!(device.labelled().label, Some(Label::new(class).unwrap()));
    }
    assert_eq!(instance.ask(&json!({ "press": "line-3_train_door" })), json!({ "ok": true }));
    let pressed = device.0.wait("request/train", "the press of a button", |_| true).json;
    assert_eq!(pressed, json!({ "task": "door" }));
    assert_eq!(instance.faults(), Vec::<String>::new());

    // Without tasks again: what was about the only task is back.
    device.announce(&announced(&[]));
    instance.shows("label", &json!({ "state": "unknown" }));
    device.0.publish(DISCOVERY, Vec::new(), true);
    for entity in ["label", "state_door", "label_door", "train_door"] {
        instance.forgets(entity);
    }
    assert_eq!(instance.faults(), Vec::<String>::new());
}
