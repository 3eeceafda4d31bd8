//! Where labels come from, and which one counts.

use std::fs;
use std::path::PathBuf;

use rumqttc::QoS;
use serde_json::{Value, json};

use crate::camera::Part;
use crate::{ENDING, QUIET, Stage, name, picture};

/// Waits until so many images are labelled.
fn labelled(stage: &mut Stage, count: u64) {
    stage.ears.wait("health", "about these labels", |health| health["labelled"] == count);
}

/// Waits until it is so in the state folder; each look follows a report of the daemon's health.
fn until(stage: &mut Stage, what: &str, is: impl Fn(&Stage) -> bool) {
    for number in 0.. {
        if is(stage) {
            return;
        }
        assert!(number < 600, "not so after many looks: {what}");
        stage.ears.ask("status", &format!("{what} {number}"));
    }
}

/// Where an image lies, as the state folder has it.
fn path_of(stage: &Stage, bytes: &[u8]) -> PathBuf {
    let database = rusqlite::Connection::open(stage.home.state().join("edgetuned.db")).unwrap();
    let digest = edgetuned::words::Digest::of(bytes).0;
    let path = "SELECT CAST(path AS TEXT) FROM samples WHERE image = ?1";
    database.query_row(path, [&digest[..]], |row| row.get::<_, String>(0)).unwrap().into()
}

/// The label of an image, as the state folder has it.
fn label_of(stage: &Stage, bytes: &[u8]) -> Option<String> {
    let database = rusqlite::Connection::open(stage.home.state().join("edgetuned.db")).unwrap();
    let digest = edgetuned::words::Digest::of(bytes).0;
    database
        .query_row(
            "SELECT label FROM samples JOIN task_samples ON sample = number WHERE image = ?1",
            [&digest[..]],
            |row| row.get(0),
        )
        .unwrap()
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
fn the_last_act_has_the_last_word_while_it_runs_and_while_it_is_stopped() {
    for stops in [false, true] {
        let Some(mut stage) = Stage::set(QUIET) else { return };
        let bytes = picture(Part::Washer, 3);
        let camera = stage.home.camera();
        for folder in ["bolt", "nut/2026"] {
            fs::create_dir_all(camera.join(folder)).unwrap();
        }
        stage.home.put("nut/1.jpg", &bytes);
        labelled(&mut stage, 1);
        let becomes = |stage: &mut Stage, from: &str, to: &str, label: Option<&str>| {
            if stops {
                stage.daemon.stop(ENDING);
            }
            fs::rename(camera.join(from), camera.join(to)).unwrap();
            if stops {
                stage.daemon = stage.home.start();
            }
            until(stage, &format!("{label:?} after {to}, stopped: {stops}"), |stage| {
                label_of(stage, &bytes).as_deref() == label && path_of(stage, &bytes) == camera.join(to)
            });
        };
        becomes(&mut stage, "nut/1.jpg", "bolt/1.jpg", Some("bolt"));
        becomes(&mut stage, "bolt/1.jpg", "nut/1.jpg", Some("nut"));
        becomes(&mut stage, "nut/1.jpg", "1.jpg", None);
        becomes(&mut stage, "1.jpg", "nut/1.jpg", Some("nut"));
        stage.ears.send("label", &json!({"image": name(&bytes), "label": "gear"}));
        until(&mut stage, "a person's label", |stage| label_of(stage, &bytes).as_deref() == Some("gear"));
        becomes(&mut stage, "nut/1.jpg", "nut/2026/2.jpg", Some("gear"));
        becomes(&mut stage, "nut/2026/2.jpg", "2.jpg", Some("gear"));
        becomes(&mut stage, "2.jpg", "bolt/2.jpg", Some("bolt"));
    }
}

#[test]
fn a_retained_label_is_refused_at_every_connection_and_undoes_nothing() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let bytes = picture(Part::Nut, 3);
    let path = stage.home.put("1.jpg", &bytes);
    stage.ears.prediction(&path);
    stage.daemon.stop(ENDING);
    let label = |label: &str| json!({"image": name(&bytes), "label": label}).to_string().into_bytes();
    stage.ears.send_raw("label", label("nut"), QoS::AtLeastOnce, true);
    stage.daemon = stage.home.start();
    let is_refused = |json: &Value| json["topic"] == "label" && json["reason"].as_str().unwrap().contains("retain");
    stage.ears.wait("event", "about the retained label", is_refused);
    stage.ears.send_raw("label", label("bolt"), QoS::AtLeastOnce, false);
    until(&mut stage, "the later label", |stage| label_of(stage, &bytes).as_deref() == Some("bolt"));
    stage.ears.forget();
    stage.restart();
    stage.ears.wait("event", "about it again", is_refused);
    assert_eq!(label_of(&stage, &bytes).as_deref(), Some("bolt"));
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
