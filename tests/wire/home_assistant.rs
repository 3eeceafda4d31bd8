//! The discovery document keeps to Home Assistant's rules, and a broken one is seen.

use std::fs;

use edgetuned::wire::{Announced, AnnouncedTask, Base, InboundTopic, Request, TaskTopic, Topic, parse_labels};
use edgetuned::words::{Label, TaskId};
use serde_json::{Value, json};

use crate::root;
use crate::rules::faults;

const TOPIC: &str = "homeassistant/device/line-3/config";

fn document() -> Value {
    announced(&[])
}

/// A device that looks at a door, which has a state, and into a bin, which has none.
fn of_two_tasks() -> Value {
    let task = |id: &str, classes: &[&str], has_state| AnnouncedTask {
        id: id.parse().unwrap(),
        classes: classes.iter().map(|class| Label::new(class).unwrap()).collect(),
        has_state,
    };
    announced(&[task("door", &["closed", "open"], true), task("bin", &["empty", "full"], false)])
}

fn announced(tasks: &[AnnouncedTask]) -> Value {
    let base = Base::new("edgetuned", "line-3").unwrap();
    assert_eq!(base.join(&Topic::Discovery), TOPIC);
    Announced { base: &base, name: "Sorting line 3", backbone: "tiny", tasks, removed: &[] }.document()
}

#[test]
fn documents_with_and_without_tasks_are_as_they_were() {
    for (name, document) in [("device", document()), ("two_tasks", of_two_tasks())] {
        let path = root().join(format!("tests/data/home_assistant/{name}.json"));
        let text = format!("{document:#}\n");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(kept == text, "{} is another one: UPDATE_GOLDEN=1 cargo test --test wire", path.display());
    }
}

#[test]
fn the_document_keeps_to_the_rules_whatever_the_device_is_called() {
    assert_eq!(faults(TOPIC, &document()), Vec::<String>::new());
    assert_eq!(faults(TOPIC, &of_two_tasks()), Vec::<String>::new());
    for (prefix, device) in [("plant/hall 2", "a"), ("späth", "x_9-z"), ("e", &*"a".repeat(64))] {
        let base = Base::new(prefix, device).unwrap();
        let odd = [" \"odd\" ", "{{ name }}", "unknown", "None", "it's", "späte Mutter"];
        let classes: Vec<_> = odd.iter().map(|class| Label::new(class).unwrap()).collect();
        let tasks = [("a_b-1", vec![]), ("label", classes)];
        let tasks = tasks.map(|(id, classes)| AnnouncedTask { id: id.parse().unwrap(), classes, has_state: false });
        let document =
            Announced { base: &base, name: "\"odd\" {{ name }}", backbone: "a/b", tasks: &tasks, removed: &[] }
                .document();
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
fn each_task_has_a_state_a_list_to_label_by_and_a_button() {
    let document = of_two_tasks();
    let cmps = document["cmps"].as_object().unwrap();
    for (task, options) in [("door", ["closed", "open"]), ("bin", ["empty", "full"])] {
        let (state, list, button) =
            (&cmps[&format!("state_{task}")], &cmps[&format!("label_{task}")], &cmps[&format!("train_{task}")]);
        assert_eq!((&state["p"], &state["device_class"]), (&json!("sensor"), &json!("enum")));
        assert_eq!(state["options"], json!([options[0], options[1], "unknown"]));
        for attribute in ["confidence", "since", "review"] {
            assert!(state["json_attributes_template"].as_str().unwrap().contains(attribute), "{attribute}");
        }
        assert_eq!((&list["p"], &list["options"]), (&json!("select"), &json!(options)));
        assert_eq!(list["json_attributes_topic"], list["state_topic"], "it is emptied with each image");
        assert_eq!((&button["p"], &button["name"]), (&json!("button"), &json!(format!("Train {task}"))));
    }
    // What was about the only task goes, and the device stays.
    for (key, platform) in [
        ("label", "sensor"),
        ("confidence", "sensor"),
        ("unknown", "binary_sensor"),
        ("accuracy", "sensor"),
        ("train", "button"),
    ] {
        assert_eq!(cmps[key], json!({ "p": platform }), "{key}");
    }
    assert_eq!(cmps["samples"]["unique_id"], "line-3_samples");
    let none = AnnouncedTask { id: "door".parse().unwrap(), classes: vec![], has_state: true };
    let document = announced(&[none]);
    assert_eq!(document["cmps"]["state_door"]["options"], json!(["unknown"]));
    assert!(document["cmps"].get("label_door").is_none(), "there is no class to label with");
}

#[test]
fn its_topics_are_topics_of_the_device() {
    let base = Base::new("edgetuned", "line-3").unwrap();
    let (plain, by_task) = (document(), of_two_tasks());
    let components = [&plain, &by_task].into_iter().flat_map(|document| document["cmps"].as_object().unwrap());
    for (key, component) in components {
        if let Some(filter) = component.get("json_attributes_topic") {
            let below = base.strip(filter.as_str().unwrap()).unwrap();
            let one = below.replace('+', TaskTopic::Review.as_str());
            assert!(one.parse::<Topic>().is_ok(), "{key}: the daemon says nothing on {below}");
        }
        if let Some(topic) = component.get("state_topic") {
            let below = base.strip(topic.as_str().unwrap()).unwrap();
            assert!(below.parse::<Topic>().is_ok(), "{key}: the daemon says nothing on {below}");
        }
        if let Some(topic) = component.get("command_topic") {
            let below = base.strip(topic.as_str().unwrap()).unwrap();
            if below.parse() == Ok(InboundTopic::Label) {
                let template = component["command_template"].as_str().unwrap();
                let (_, task) = key.split_once('_').unwrap();
                // What Home Assistant makes of it.
                let said = template
                    .trim_matches(|c| matches!(c, '{' | '}' | ' '))
                    .trim_end_matches("} | to_json")
                    .replace("this.attributes.image", "'abcdef01'")
                    .replace("value", "'open'");
                let items = parse_labels(format!("{{{said}}}").replace('\'', "\"").as_bytes()).unwrap();
                assert_eq!(items[0].task.as_ref().map(TaskId::as_str), Some(task), "{template}");
                assert_eq!((items[0].image.as_str(), &items[0].label), ("abcdef01", &Label::new("open").ok()));
                continue;
            }
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
        let mut document =
            if pointer.ends_with("_door") || pointer.contains("_door/") { of_two_tasks() } else { document() };
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
        ("/cmps/state_door/options", None, "an enum has some"),
        ("/cmps/state_door/options", Some(json!(["open", "open"])), "options cannot be"),
        ("/cmps/state_door/device_class", None, "options belong to an enum"),
        ("/cmps/state_door/state_class", Some(json!("measurement")), "a enum is no measurement"),
        ("/cmps/state_door/json_attributes_topic", Some(json!("edgetuned/door+")), "is no topic"),
        ("/cmps/label_door/options", Some(json!([])), "options cannot be"),
        ("/cmps/label_door/options", None, "label_door: it has no options"),
        ("/cmps/label_door/command_topic", None, "label_door: it has no command_topic"),
        ("/cmps/label_door/optimistic", Some(json!("yes")), "optimistic cannot be"),
        ("/cmps/label_door/device_class", Some(json!("enum")), "a select has no 'device_class'"),
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
    let examples: Vec<&str> =
        section.split("```json\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    let [device, by_task] = examples[..] else { panic!("{} examples", examples.len()) };
    let shown: Value = serde_json::from_str(device).unwrap();
    assert_eq!(faults(TOPIC, &shown), Vec::<String>::new());
    let made = document();
    for part in ["dev", "o", "availability"] {
        assert_eq!(shown[part], made[part], "{part}");
    }
    let of_a_task: Value = serde_json::from_str(by_task).unwrap();
    for (shown, made) in [(&shown["cmps"], &made["cmps"]), (&of_a_task, &of_two_tasks()["cmps"])] {
        let components = shown.as_object().unwrap();
        assert!(components.len() > 2, "an example of few entities");
        for (key, component) in components {
            assert_eq!(component, &made[key], "{key}");
        }
    }
}
