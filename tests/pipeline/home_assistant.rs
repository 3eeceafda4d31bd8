//! Home Assistant finds the device, and the topics that it is given exist.

use serde_json::Value;

use crate::camera::Part;
use crate::daemon::{BASE, Listener};
use crate::{ENDING, QUIET, Stage, picture};

const DISCOVERY: &str = "homeassistant/device/line-3/config";

/// The names of fields that a template reads from the message.
fn fields(template: &str) -> Vec<&str> {
    let named = template.split("value_json.").skip(1);
    named.filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()).collect()
}

#[test]
fn every_entity_reads_a_topic_on_which_there_are_its_fields() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let path = stage.home.put("1.jpg", &picture(Part::Nut, 1));
    stage.ears.prediction(&path);
    stage.images(1);
    // Who comes later gets it from the broker.
    let mut later = Listener::new(stage.broker.port);
    let found = later.wait(DISCOVERY, "there", Value::is_object);
    assert!(found.retained);
    let document = found.json;
    let below = |topic: &Value| topic.as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/').to_owned();
    let mut read = 0;
    for (key, component) in document["cmps"].as_object().unwrap() {
        // Buttons read nothing.
        let Some(topic) = component.get("state_topic").map(below) else { continue };
        let message = stage.ears.wait(&topic, "read by Home Assistant", Value::is_object).json;
        for field in fields(component.get("value_template").and_then(Value::as_str).unwrap_or_default()) {
            assert!(message.get(field).is_some(), "{key} reads {field} on {topic}: {message}");
            read += 1;
        }
        if component["p"] == "event" {
            assert!(component["event_types"].as_array().unwrap().contains(&message["event_type"]), "{message}");
        }
    }
    assert!(read > 9, "only {read} fields were read");
    let status = below(&document["availability"][0]["topic"]);
    assert_eq!(later.wait(&status, "there", Value::is_string).json, "online");
}

#[test]
fn a_press_of_a_button_is_answered() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let document = stage.ears.wait(DISCOVERY, "there", Value::is_object).json;
    let button = &document["cmps"]["rescan"];
    let topic = button["command_topic"].as_str().unwrap().strip_prefix(BASE).unwrap().trim_start_matches('/');
    let press: Value = serde_json::from_str(button["payload_press"].as_str().unwrap()).unwrap();
    stage.ears.send(topic, &press);
    stage.ears.wait("response/rescan", "given", |answer| answer["status"] == "ok");
}

#[test]
fn when_home_assistant_comes_the_device_announces_itself_again() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let first = stage.ears.wait(DISCOVERY, "there", Value::is_object).json;
    stage.ears.forget();
    stage.ears.speak_as_home_assistant("online");
    let again = stage.ears.wait(DISCOVERY, "there again", Value::is_object);
    assert_eq!((again.json, again.retained), (first, false));
}

#[test]
fn switching_discovery_off_removes_the_device() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    stage.ears.wait(DISCOVERY, "there", Value::is_object);
    stage.daemon.stop(ENDING);
    stage.ears.forget();
    stage.home.configure("mqtt: { home_assistant: false }");
    stage.daemon = stage.home.start();
    stage.ears.wait(DISCOVERY, "empty", |payload| payload == "");
    stage.ears.wait("info", "there", |_| true);
    // What is retained there would come before all else.
    let mut later = Listener::new(stage.broker.port);
    later.wait("info", "there", |_| true);
    assert!(later.heard(DISCOVERY).is_empty());
}
