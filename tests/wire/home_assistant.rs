//! The discovery document keeps to Home Assistant's rules, and a broken one is seen.

use std::fs;

use edgetuned::wire::{Announced, Base, InboundTopic, Request, Topic};
use serde_json::{Value, json};

use crate::root;
use crate::rules::faults;

const TOPIC: &str = "homeassistant/device/line-3/config";

fn document() -> Value {
    let base = Base::new("edgetuned", "line-3").unwrap();
    assert_eq!(base.join(&Topic::Discovery), TOPIC);
    Announced { base: &base, name: "Sorting line 3", backbone: "tiny" }.document()
}

#[test]
fn the_document_keeps_to_the_rules_whatever_the_device_is_called() {
    assert_eq!(faults(TOPIC, &document()), Vec::<String>::new());
    for (prefix, device) in [("plant/hall 2", "a"), ("späth", "x_9-z"), ("e", &*"a".repeat(64))] {
        let base = Base::new(prefix, device).unwrap();
        let document = Announced { base: &base, name: "\"odd\" {{ name }}", backbone: "a/b" }.document();
        assert_eq!(faults(&base.join(&Topic::Discovery), &document), Vec::<String>::new(), "{prefix} {device}");
    }
}

#[test]
fn the_document_has_the_promised_entities() {
    let document = document();
    let platform = |key: &str| document["cmps"][key]["p"].as_str().unwrap_or("nothing").to_owned();
    for (key, expected) in [
        ("label", "sensor"),
        ("confidence", "sensor"),
        ("samples", "sensor"),
        ("accuracy", "sensor"),
        ("queue", "sensor"),
        ("train", "button"),
        ("rescan", "button"),
        ("head", "update"),
        ("backbone", "update"),
        ("event", "event"),
    ] {
        assert_eq!(platform(key), expected, "{key}");
        assert_eq!(document["cmps"][key]["unique_id"], format!("line-3_{key}"));
    }
    assert_eq!(document["dev"]["model"], "tiny");
    assert_eq!(document["dev"]["name"], "Sorting line 3");
}

#[test]
fn its_topics_are_topics_of_the_device() {
    let base = Base::new("edgetuned", "line-3").unwrap();
    for (key, component) in document()["cmps"].as_object().unwrap() {
        if let Some(topic) = component.get("state_topic") {
            let below = base.strip(topic.as_str().unwrap()).unwrap();
            assert!(below.parse::<Topic>().is_ok(), "{key}: the daemon says nothing on {below}");
        }
        if let Some(topic) = component.get("command_topic") {
            let below = base.strip(topic.as_str().unwrap()).unwrap();
            let Ok(InboundTopic::Request(name)) = below.parse() else { panic!("{key}: {below} is no request") };
            let press = component["payload_press"].as_str().unwrap();
            let request = Request::parse(&name, press.as_bytes()).unwrap();
            let known = Request::parse("a-request-that-nobody-knows", b"{}").unwrap();
            assert_ne!(request.command, known.command, "{key}: nobody knows the request {name}");
        }
    }
}

#[test]
fn planted_faults_are_seen() {
    let plant = |pointer: &str, value: Option<Value>| {
        let mut document = document();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer}")).as_object_mut().unwrap();
        match value {
            Some(value) => drop(parent.insert(key.to_owned(), value)),
            None => drop(parent.remove(key).unwrap_or_else(|| panic!("{pointer} is there"))),
        }
        document
    };
    for (pointer, value, expected) in [
        ("/dev", None, "nothing identifies it"),
        ("/dev/identifiers", Some(json!([])), "nothing identifies it"),
        ("/dev/colour", Some(json!("red")), "nobody knows 'colour'"),
        ("/o", None, "it has no name"),
        ("/cmps", None, "it has no components"),
        ("/components_", Some(json!({})), "nobody knows 'components_'"),
        ("/cmps/label/p", None, "there is no platform ''"),
        ("/cmps/label/p", Some(json!("senzor")), "there is no platform 'senzor'"),
        ("/cmps/label/state_topic", None, "label: it has no state_topic"),
        ("/cmps/label/state_topic", Some(json!("edgetuned/+/state")), "is no topic"),
        ("/cmps/label/unique_id", None, "label: it has no unique_id"),
        ("/cmps/label/unique_id", Some(json!("line-3_queue")), "another one has the unique_id"),
        ("/cmps/label/value_templat", Some(json!("{{ value }}")), "a sensor has no 'value_templat'"),
        ("/cmps/label/value_template", Some(json!("{{ value }")), "is no template"),
        ("/cmps/label/qos", Some(json!(3)), "qos cannot be 3"),
        ("/cmps/label/payload_press", Some(json!("{}")), "a sensor has no 'payload_press'"),
        ("/cmps/temperature/unit_of_measurement", Some(json!("%")), "a temperature is not in"),
        ("/cmps/temperature/unit_of_measurement", None, "a temperature is not in None"),
        ("/cmps/temperature/device_class", Some(json!("warmth")), "no sensor of class 'warmth'"),
        ("/cmps/temperature/entity_category", Some(json!("config")), "no configuration"),
        ("/cmps/last_train/state_class", Some(json!("measurement")), "a timestamp is no measurement"),
        ("/cmps/samples/state_class", Some(json!("count")), "state_class cannot be"),
        ("/cmps/samples/expire_after", Some(json!("2m")), "expire_after cannot be"),
        ("/cmps/unknown/device_class", Some(json!("stranger")), "no binary sensor of class"),
        ("/cmps/train/command_topic", None, "train: it has no command_topic"),
        ("/cmps/train/name", Some(json!("")), "name cannot be"),
        ("/cmps/event/event_types", None, "event: it has no event_types"),
        ("/cmps/event/event_types", Some(json!([])), "event_types cannot be"),
        ("/cmps/head/expire_after", Some(json!(60)), "a update has no 'expire_after'"),
    ] {
        let found = faults(TOPIC, &plant(pointer, value));
        assert!(found.iter().any(|fault| fault.contains(expected)), "{pointer}, {expected}: {found:?}");
    }
    assert_eq!(faults("homeassistant/device/config", &document()).len(), 1);
}

#[test]
fn the_example_in_the_documentation_is_of_the_document() {
    let page = fs::read_to_string(root().join("docs/mqtt.md")).unwrap();
    let (_, section) = page.split_once("## Home Assistant").unwrap();
    let (_, rest) = section.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let shown: Value = serde_json::from_str(example).unwrap();
    assert_eq!(faults(TOPIC, &shown), Vec::<String>::new());
    let made = document();
    for part in ["dev", "o", "availability"] {
        assert_eq!(shown[part], made[part], "{part}");
    }
    let components = shown["cmps"].as_object().unwrap();
    assert!(components.len() > 2, "an example of few entities");
    for (key, component) in components {
        assert_eq!(component, &made["cmps"][key], "{key}");
    }
}
