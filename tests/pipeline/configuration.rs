//! Remote settings, and a configuration that is read again.

use rumqttc::QoS;
use serde_json::{Value, json};

use super::camera::Part;
use super::daemon::{Listener, signal};
use super::{ENDING, QUIET, Stage, picture};

fn desire(listener: &Listener, version: u64, patch: &Value) {
    let wish = json!({ "version": version, "patch": patch }).to_string().into_bytes();
    listener.send_raw("config/desired", wish, QoS::AtLeastOnce, true);
}

fn reported(listener: &mut Listener, what: &str, is: impl FnMut(&Value) -> bool) -> Value {
    listener.wait("config/reported", what, is).json
}

#[test]
fn a_patch_takes_effect_survives_a_restart_and_is_removed_by_an_empty_payload() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let listener = &mut stage.ears;
    desire(listener, 1, &json!({ "prediction": { "top_k": 2 }, "device": { "name": "Line three" } }));
    let said = reported(listener, "version 1", |json| json["version"] == 1);
    assert_eq!(said["rejected"], json!([]));
    let mut applied: Vec<String> = serde_json::from_value(said["applied"].clone()).unwrap();
    applied.sort();
    assert_eq!(applied, ["device.name", "prediction.top_k"]);
    assert_eq!(said["effective"]["prediction"]["top_k"], 2);
    assert!(
        !listener.heard("status").iter().any(|message| message.json != "online"),
        "the link was held all the while"
    );

    // It works with the new settings: an image is predicted, and what is retained speaks of them.
    let path = stage.home.put("1.jpg", &picture(Part::Nut, 1));
    listener.prediction(&path);
    listener.wait("info", "with the new name", |json| json["configuration"]["device"]["name"] == "Line three");

    stage.restart();
    let listener = &mut stage.ears;
    let said = reported(listener, "version 1 again", |json| json["version"] == 1);
    assert_eq!(said["effective"]["prediction"]["top_k"], 2, "it is kept over restarts");

    listener.send_raw("config/desired", Vec::new(), QoS::AtLeastOnce, true);
    let said = reported(listener, "the file's settings", |json| json["effective"]["prediction"]["top_k"] == 3);
    assert_eq!((&said["version"], &said["applied"]), (&Value::Null, &json!([])));
}

#[test]
fn one_bad_key_rejects_the_whole_patch() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let listener = &mut stage.ears;
    desire(
        listener,
        1,
        &json!({ "prediction": { "top_k": 2 }, "training": { "cooldwon": "1m" }, "mqtt": { "url": "mqtt://x" } }),
    );
    let said = reported(listener, "a rejection", |json| json["version"] == 1);
    assert_eq!((&said["applied"], &said["state"]), (&json!([]), &json!("rejected")), "{said}");
    let keys: Vec<&Value> = said["rejected"].as_array().unwrap().iter().map(|rejected| &rejected["key"]).collect();
    assert_eq!(keys, ["mqtt.url", "training.cooldwon"], "every problem is reported at once: {said}");
    assert!(said["rejected"][1]["error"].as_str().unwrap().contains("cooldown"), "{said}");
    assert_eq!(said["effective"]["prediction"]["top_k"], 3);
}

#[test]
fn a_patch_with_missing_watched_folders_is_reverted() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let listener = &mut stage.ears;
    let missing = stage.home.camera().with_file_name("nowhere");
    desire(listener, 1, &json!({ "watch": [{ "path": missing }] }));
    let said = reported(listener, "taken back", |json| json["state"] == "reverted");
    assert!(said["rejected"][0]["error"].as_str().unwrap().contains("nowhere"), "{said}");
    let path = stage.home.put("1.jpg", &picture(Part::Nut, 2));
    listener.prediction(&path);
}

#[test]
fn the_configuration_is_reloaded_on_sighup_and_an_invalid_one_is_refused() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let listener = &mut stage.ears;
    stage.home.configure("prediction: { top_k: 1 }\n");
    signal("HUP", stage.daemon.id());
    listener.wait("info", "with the new setting", |json| json["configuration"]["prediction"]["top_k"] == 1);
    stage.home.configure("prediction: { top_k: 0 }\n");
    signal("HUP", stage.daemon.id());
    let is_config_error = |json: &Value| json["event_type"] == "error" && json["source"] == "config";
    let reason = listener.wait("event", "an error of the configuration", is_config_error).json["reason"].clone();
    assert!(reason.as_str().unwrap().contains("prediction.top_k"), "{reason}");
    stage.home.configure("backbone: { model: /nowhere.yaml }\n");
    signal("HUP", stage.daemon.id());
    listener.wait("event", "a complaint about the backbone", |json| {
        is_config_error(json) && json["reason"].as_str().unwrap().contains("nowhere")
    });
    let path = stage.home.put("1.jpg", &picture(Part::Nut, 3));
    listener.prediction(&path);
    stage.daemon.stop(ENDING);
}

#[test]
fn a_patch_with_which_three_starts_fail_is_reverted_by_the_fourth() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    desire(&stage.ears, 1, &json!({ "prediction": { "top_k": 2 } }));
    reported(&mut stage.ears, "on trial", |json| json["state"] == "trial");
    for start in 2..=4 {
        signal("KILL", stage.daemon.id());
        stage.daemon.gone();
        stage.ears.forget();
        stage.daemon = stage.home.start();
        let said = reported(&mut stage.ears, "of this start", |json| json["version"] == 1);
        let expected = if start < 4 { "trial" } else { "reverted" };
        assert_eq!(said["state"], expected, "start {start}: {said}");
        assert_eq!(said["effective"]["prediction"]["top_k"], if start < 4 { 2 } else { 3 });
    }
    stage.ears.wait("event", "about it", |json| json["event_type"] == "config_changed");
}
