//! From a file to its prediction.

use std::fs;

use edgetuned::backbone::Manifest;
use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::Listener;
use crate::{QUIET, Stage, name, picture};

#[test]
fn a_new_device_publishes_its_info_and_predictions_without_a_label() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let info = stage.ears.wait("info", "there", |_| true).json;
    let backbone = Manifest::resolve("default").unwrap();
    assert_eq!(info["backbone"]["dim"], backbone.space().dim, "{info}");
    let provider = &info["backbone"]["provider"];
    assert_eq!((&provider["asked"], &provider["running"]), (&json!(["cpu"]), &json!("cpu")), "{info}");
    assert_eq!((&provider["cosine"], &provider["speedup"]), (&json!(1.0), &json!(1.0)), "{info}");
    assert!(provider["nodes"]["cpu"].as_u64().is_some_and(|steps| steps > 10), "{info}");
    assert_eq!(info["head"], Value::Null);
    assert_eq!(info["configuration"]["device"]["id"], "line-3");
    for key in ["v", "ts", "seq", "boot", "versions", "capabilities"] {
        assert!(!info[key].is_null(), "{key} in {info}");
    }
    let images: Vec<_> = (0..3).map(|index| picture(Part::Nut, index)).collect();
    let paths: Vec<_> = (0..).zip(&images).map(|(n, bytes)| stage.home.put(&format!("{n}.jpg"), bytes)).collect();
    for (path, bytes) in paths.iter().zip(&images) {
        let prediction = stage.ears.prediction(path);
        assert_eq!(prediction["image"], name(bytes));
        for key in ["label", "probability", "set", "unknown", "novelty", "head"] {
            assert_eq!(prediction.get(key), Some(&Value::Null), "{key} in {prediction}");
        }
        assert_eq!((&prediction["top"], &prediction["replayed"]), (&json!([]), &json!(false)));
        assert_eq!(prediction["backbone"], info["backbone"]["name"]);
        assert_eq!(prediction["boot"], info["boot"]);
        assert!(prediction["latency_ms"].is_u64() && prediction["seq"].is_u64(), "{prediction}");
    }
    let state = stage.ears.wait("state", "the latest prediction", |state| state["path"] == paths[2].to_str().unwrap());
    assert_eq!(state.json["image"], name(&images[2]));
    let health = stage.ears.wait("health", "about three images", |health| health["samples"] == 3).json;
    let keys = [
        "samples",
        "labelled",
        "unlabelled",
        "queue",
        "quarantined",
        "evicted",
        "spooled",
        "store_bytes",
        "rss_bytes",
        "images_total",
        "errors_total",
        "last_train",
        "uptime_s",
        "temperature_c",
        "time_synced",
    ];
    for key in keys {
        assert!(health.get(key).is_some(), "{key} in {health}");
    }
    assert_eq!((&health["unlabelled"], &health["labelled"]), (&json!(3), &json!(0)));
    assert!(health["rss_bytes"].as_u64().unwrap() > 1 << 20, "{health}");
    // Who comes later learns the same from what the broker kept.
    let mut later = Listener::new(stage.broker.port);
    for topic in ["status", "info", "state", "train/state"] {
        assert!(later.wait(topic, "kept", |_| true).retained, "{topic}");
    }
}

#[test]
fn the_same_bytes_under_another_name_are_the_same_image() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let bytes = picture(Part::Gear, 1);
    let first = stage.home.put("first.jpg", &bytes);
    stage.ears.prediction(&first);
    stage.home.put("copy.jpg", &bytes);
    let other = stage.home.put("other.jpg", &picture(Part::Gear, 2));
    stage.ears.prediction(&other);
    stage.images(3);
    assert_eq!(stage.ears.heard("prediction").len(), 2);
    assert_eq!(stage.ears.ask("status", "s")["data"]["samples"], 2);
}

#[test]
fn a_broken_file_is_quarantined_with_its_reason_and_the_others_are_classified() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let bytes = picture(Part::Bolt, 1);
    let empty = stage.home.put("empty.jpg", b"");
    let half = stage.home.put("half.jpg", &bytes[..bytes.len() / 2]);
    let hostile = stage.home.put("hostile.png", b"\x89PNG\r\n\x1a\nand then something else");
    stage.home.put("notes.txt", b"no image");
    let good = stage.home.put("good.jpg", &bytes);
    stage.ears.prediction(&good);
    for path in [empty, half.clone(), hostile] {
        let path = path.to_str().unwrap();
        let event = stage.ears.wait("event", path, |json| json["event_type"] == "quarantined" && json["path"] == path);
        assert!(!event.json["reason"].as_str().unwrap().is_empty());
    }
    stage.ears.wait("health", "about three put aside", |health| health["quarantined"] == 3);
    // It is looked at again when it changes.
    let whole = picture(Part::Bolt, 2);
    fs::write(&half, &whole).unwrap();
    assert_eq!(stage.ears.prediction(&half)["image"], name(&whole));
}

#[test]
fn a_rescan_is_answered_and_finds_nothing_twice() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let first = stage.home.put("1.jpg", &picture(Part::Pin, 1));
    stage.ears.prediction(&first);
    assert_eq!(stage.ears.ask("rescan", "r1")["status"], "ok");
    let second = stage.home.put("2.jpg", &picture(Part::Pin, 2));
    stage.ears.prediction(&second);
    stage.images(2);
    assert_eq!(stage.ears.heard("prediction").len(), 2);
}
