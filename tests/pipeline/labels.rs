//! Where labels come from, and which one counts.

use std::fs;

use rumqttc::QoS;
use serde_json::{Value, json};

use crate::camera::Part;
use crate::{QUIET, Stage, name, picture};

/// Waits until so many images are labelled.
fn labelled(stage: &mut Stage, count: u64) {
    stage.ears.wait("health", "about these labels", |health| health["labelled"] == count);
}

/// The label of an image, as the state folder has it.
fn label_of(stage: &Stage, bytes: &[u8]) -> Option<String> {
    let database = rusqlite::Connection::open(stage.home.state().join("edgetuned.db")).unwrap();
    let digest = edgetuned::words::Digest::of(bytes).0;
    database.query_row("SELECT label FROM samples WHERE image = ?1", [&digest[..]], |row| row.get(0)).unwrap()
}

#[test]
fn class_folders_and_messages_label_and_the_latest_label_wins() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let [nut, bolt, pin] = [Part::Nut, Part::Bolt, Part::Pin].map(|part| picture(part, 5));
    let paths = [("nut/deep/1.jpg", &nut), ("2.jpg", &bolt), ("3.jpg", &pin)].map(|(n, b)| stage.home.put(n, b));
    for path in &paths {
        stage.ears.prediction(path);
    }
    labelled(&mut stage, 1);
    assert_eq!(label_of(&stage, &nut).as_deref(), Some("nut"));
    stage.ears.send("label", &json!({"image": name(&bolt), "label": "bolt"}));
    stage
        .ears
        .send("label", &json!([{"image": &name(&pin)[..8], "label": "gear"}, {"image": name(&nut), "label": "gear"}]));
    labelled(&mut stage, 3);
    assert_eq!(label_of(&stage, &bolt).as_deref(), Some("bolt"));
    assert_eq!(label_of(&stage, &pin).as_deref(), Some("gear"));
    assert_eq!(label_of(&stage, &nut).as_deref(), Some("gear"), "the latest label wins");
    stage.ears.send("label", &json!({"image": name(&nut), "label": null}));
    labelled(&mut stage, 2);
    assert_eq!(label_of(&stage, &nut), None);
}

#[test]
fn a_label_waits_for_its_image() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let bytes = picture(Part::Spring, 3);
    stage.ears.send("label", &json!({"image": &name(&bytes)[..12], "label": "spring"}));
    stage.ears.ask("status", "the label was taken before this");
    stage.restart();
    let path = stage.home.put("late.jpg", &bytes);
    stage.ears.prediction(&path);
    labelled(&mut stage, 1);
    assert_eq!(label_of(&stage, &bytes).as_deref(), Some("spring"));
}

#[test]
fn an_image_that_moves_into_a_class_folder_gets_its_label() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let bytes = picture(Part::Washer, 3);
    let path = stage.home.put("new.jpg", &bytes);
    stage.ears.prediction(&path);
    let folder = stage.home.camera().join("washer");
    fs::create_dir(&folder).unwrap();
    fs::rename(&path, folder.join("new.jpg")).unwrap();
    labelled(&mut stage, 1);
    assert_eq!(label_of(&stage, &bytes).as_deref(), Some("washer"));
    assert_eq!(stage.ears.heard("prediction").len(), 1);
}

#[test]
fn the_same_image_in_two_class_folders_keeps_its_first_label_and_an_error_is_reported() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    // With an unlabelled copy beside it, when the first is known; then ten times before either was read.
    let bytes = picture(Part::Gear, 8);
    let first = stage.home.put("1.jpg", &bytes);
    stage.ears.prediction(&first);
    stage.home.put("gear/1.jpg", &bytes);
    labelled(&mut stage, 1);
    stage.home.put("pin/1.jpg", &bytes);
    let conflict = |json: &Value, bytes: &[u8]| {
        json["event_type"] == "error" && json["reason"].as_str().unwrap().contains(&name(bytes))
    };
    stage.ears.wait("event", "about the conflict", |json| conflict(json, &bytes));
    assert_eq!(label_of(&stage, &bytes).as_deref(), Some("gear"));
    for index in 10..20 {
        let bytes = picture(Part::Gear, index);
        stage.home.put(&format!("gear/{index}.jpg"), &bytes);
        stage.home.put(&format!("pin/{index}.jpg"), &bytes);
        stage.ears.wait("event", "about the conflict", |json| conflict(json, &bytes));
        assert_eq!(label_of(&stage, &bytes).as_deref(), Some("gear"), "picture {index}");
    }
}

#[test]
fn invalid_messages_are_reported_and_change_nothing() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let path = stage.home.put("1.jpg", &picture(Part::Nut, 1));
    stage.ears.prediction(&path);
    for (topic, payload) in [
        ("label", "{\"image\": "),
        ("label", "{\"image\": \"zz\", \"label\": \"nut\"}"),
        ("label", "{\"image\": \"0123456789\", \"label\": \"\"}"),
        ("label", "\u{0}\u{1}"),
        ("request/train", "[1, 2"),
        ("request/status", "{\"transaction\": 7}"),
    ] {
        stage.ears.forget();
        stage.ears.send_raw(topic, payload.into(), QoS::AtLeastOnce, false);
        let event = stage.ears.wait("event", payload, |json| json["event_type"] == "error").json;
        assert_eq!(event["topic"], topic, "{event}");
        assert!(!event["reason"].as_str().unwrap().is_empty());
    }
    let status = stage.ears.ask("status", "alive");
    assert_eq!((&status["data"]["samples"], &status["data"]["labelled"]), (&json!(1), &json!(0)));
    assert_eq!(status["data"]["errors_total"], 6);
}
