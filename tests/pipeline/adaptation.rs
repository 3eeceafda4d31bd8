//! What happens between trainings: labels that count at once, what is asked for, what has to go.

use std::time::Instant;

use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::PATIENCE;
use crate::{QUIET, Stage, name, picture};

/// A head that knows nuts and washers, on trial in a daemon that trains by request only.
fn stage_with_head(more: &str) -> Option<Stage> {
    let mut stage = Stage::set(&format!("{QUIET}\n{more}"))?;
    for index in 0..15 {
        for part in [Part::Nut, Part::Washer] {
            stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
    stage.ears.wait("health", "about the labels", |health| health["labelled"] == 30);
    assert_eq!(stage.ears.ask("train", "first")["status"], "ok");
    stage.ears.wait("train/result", "promoted", |result| result["promoted"] == true);
    stage.ears.wait("info", "with a head", |info| !info["head"].is_null());
    Some(stage)
}

fn say(stage: &mut Stage, bytes: &[u8], label: &Value) {
    stage.ears.send("label", &json!({"image": name(bytes), "label": label}));
}

/// Predictions of pictures of `part` from number `from` on, until one is as `wanted` says; how many it took.
fn until(stage: &mut Stage, part: Part, from: u64, wanted: impl Fn(&Value) -> bool) -> u64 {
    for index in from..from + 40 {
        let path = stage.home.put(&format!("until-{part}-{index}.jpg"), &picture(part, index));
        if wanted(&stage.ears.prediction(&path)) {
            return index - from + 1;
        }
    }
    panic!("none of forty pictures of {part} was called as it should be");
}

#[test]
fn a_new_class_is_predicted_from_its_first_labels_until_they_are_removed() {
    let Some(mut stage) = stage_with_head("") else { return };
    let shown: Vec<Vec<u8>> = (0..3).map(|index| picture(Part::Spring, index)).collect();
    for (index, bytes) in shown.iter().enumerate() {
        let path = stage.home.put(&format!("shown-{index}.jpg"), bytes);
        assert_ne!(stage.ears.prediction(&path)["label"], "spring");
    }
    // Only now: the first label alone may be enough for the next spring.
    for bytes in &shown {
        say(&mut stage, bytes, &json!("spring"));
    }
    let is_spring = |prediction: &Value| prediction["label"] == "spring";
    until(&mut stage, Part::Spring, 100, |prediction| is_spring(prediction) && prediction["instant"] == true);
    let old = stage.home.put("old.jpg", &picture(Part::Nut, 200));
    assert_eq!(stage.ears.prediction(&old)["label"], "nut", "what was known stays known");
    for bytes in &shown {
        say(&mut stage, bytes, &Value::Null);
    }
    until(&mut stage, Part::Spring, 300, |prediction| !is_spring(prediction));
    for index in 400..406 {
        let path = stage.home.put(&format!("after-{index}.jpg"), &picture(Part::Spring, index));
        let prediction = stage.ears.prediction(&path);
        assert!(!is_spring(&prediction) && prediction["instant"] == false, "{prediction}");
    }
}

/// A picture that somebody calls by the other class than the head does, right or not; both names.
fn contradicted(stage: &mut Stage) -> (Vec<u8>, Value, Value) {
    let bytes = picture(Part::Nut, 500);
    let path = stage.home.put("corrected.jpg", &bytes);
    let said = stage.ears.prediction(&path)["label"].clone();
    let other = json!(if said == "nut" { "washer" } else { "nut" });
    say(stage, &bytes, &other);
    (bytes, said, other)
}

#[test]
fn a_correction_reaches_the_same_thing_again_and_survives_a_restart() {
    let Some(mut stage) = stage_with_head("") else { return };
    let (bytes, _, corrected) = contradicted(&mut stage);
    stage.ears.wait("health", "about the label", |health| health["labelled"] == 31);
    stage.restart();
    // The same scene in another file: other bytes behind the picture's end make another image. How many are predicted
    // before the labels are learned again is a matter of the machine's speed.
    let (began, mut calls) = (Instant::now(), Vec::new());
    for again in 0_u32.. {
        let path = stage.home.put(&format!("again-{again}.jpg"), &[&bytes[..], &again.to_le_bytes()].concat());
        let prediction = stage.ears.prediction(&path);
        calls.push(prediction["label"].clone());
        if prediction["label"] == corrected {
            assert_eq!(prediction["instant"], true);
            return;
        }
        assert!(began.elapsed() < PATIENCE, "the correction never showed: {calls:?}");
    }
}

#[test]
fn corrections_are_switched_off_by_the_configuration() {
    let Some(mut stage) = stage_with_head("promotion: { instant: false }") else { return };
    let (bytes, said, _) = contradicted(&mut stage);
    stage.ears.wait("health", "about the label", |health| health["labelled"] == 31);
    for again in 0..5_u8 {
        let path = stage.home.put(&format!("again-{again}.jpg"), &[&bytes[..], &[again]].concat());
        assert_eq!(stage.ears.prediction(&path)["label"], said);
    }
}

#[test]
fn images_are_listed_for_review_until_they_get_a_label() {
    let Some(mut stage) = stage_with_head("") else { return };
    for index in 0..12 {
        stage.home.put(&format!("unlabelled-{index}.jpg"), &picture(Part::Gear, index));
    }
    let full = |list: &Value| list["items"].as_array().is_some_and(|items| items.len() >= 5);
    let list = stage.ears.wait("review", "with images", full).json;
    let items = list["items"].as_array().unwrap();
    assert!(items.len() <= 20, "{list}");
    for item in items {
        assert!(["novel", "uncertain", "diverse", "audit"].contains(&item["reason"].as_str().unwrap()), "{item}");
        assert!(item["path"].as_str().unwrap().contains("unlabelled-"), "{item}");
    }
    // The answer writes a probability with the digits of a double.
    let single = |items: &Value| -> Vec<_> {
        let of = |item: &Value| {
            (item["image"].clone(), item["reason"].clone(), item["probability"].as_f64().map(|p| p as f32))
        };
        items.as_array().unwrap().iter().map(of).collect()
    };
    assert_eq!(single(&stage.ears.ask("review", "list")["data"]["items"]), single(&list["items"]));
    let first = items[0]["image"].as_str().unwrap().to_owned();
    stage.ears.forget();
    stage.ears.send("label", &json!({"image": first, "label": "gear"}));
    let without =
        |list: &Value| list["items"].as_array().is_some_and(|items| items.iter().all(|i| i["image"] != *first));
    stage.ears.wait("review", "without the labelled image", without);
}

/// The smallest quota, most of it taken by a backbone: a quarter, some 350 samples, is left to samples in any case.
fn leave_little_room(stage: &mut Stage) {
    let backbones = stage.home.state().join("backbones");
    std::fs::create_dir_all(&backbones).unwrap();
    std::fs::write(backbones.join("another.onnx"), vec![7; 7 << 20]).unwrap();
    stage.home.configure("store: { quota_mb: 8, precision: f32 }");
    stage.restart();
}

#[test]
fn a_store_over_its_quota_evicts_images_counts_them_and_does_not_store_them_again() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    leave_little_room(&mut stage);
    for index in 0..600 {
        stage.home.put(&format!("{index}.jpg"), &picture(Part::Nut, index));
    }
    stage.images(600);
    let event = stage.ears.wait("event", "of images dropped", |event| event["event_type"] == "evicted").json;
    assert!(event["count"].as_u64().unwrap() > 0 && !event["why"].as_str().unwrap().is_empty(), "{event}");
    // On a slow machine the first go while others are still to come; whatever is taken in again is one too many.
    let both = |health: &Value| health["samples"].as_u64().unwrap() + health["evicted"].as_u64().unwrap();
    stage.ears.wait("health", "about all images", |health| health["evicted"].as_u64() > Some(0) && both(health) == 600);
    stage.ears.forget();
    assert_eq!(stage.ears.ask("rescan", "again")["status"], "ok");
    stage.restart();
    let path = stage.home.put("last.jpg", &picture(Part::Nut, 7_000));
    stage.ears.prediction(&path);
    let health = stage.ears.wait("health", "after the restart", |health| health["images_total"] == 1).json;
    assert_eq!(both(&health), 601, "{health}");
}

#[test]
fn the_state_folder_stays_within_its_quota_whatever_it_holds() {
    const QUOTA_MIB: u64 = 8;
    let Some(mut stage) = Stage::set(QUIET) else { return };
    // The larger embeddings fill it with fewer images. The statistics of 512 values, one MiB, have room beside them.
    stage.home.configure(&format!("backbone: {{ model: photo }}\nstore: {{ quota_mb: {QUOTA_MIB}, precision: f32 }}"));
    stage.restart();
    for index in 0..1_500 {
        let part = if index % 2 == 0 { Part::Nut } else { Part::Washer };
        let folder = if index % 4 < 2 { format!("{part}/") } else { String::new() };
        stage.home.put(&format!("{folder}{index}.jpg"), &picture(part, index));
        if index == 700 {
            stage.images(600);
            stage.ears.send("request/train", &json!({ "transaction": "midway" }));
        }
    }
    stage.images(1_500);
    let health = stage.ears.wait("health", "with evicted images", |health| health["evicted"].as_u64() > Some(100)).json;
    // Some 640 have room beside the statistics; on a slow machine messages that are not sent yet take some of it.
    assert!(health["samples"].as_u64() > Some(500), "most of the quota is for samples and their thumbnails: {health}");
    for health in stage.ears.heard("health") {
        let bytes = health.json["store_bytes"].as_u64().unwrap();
        assert!(bytes * 4 < (QUOTA_MIB << 20) * 5, "{bytes} bytes are more than 1.25 times the quota: {}", health.json);
    }
}

#[test]
fn a_training_uses_the_statistics_of_evicted_labelled_images() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    leave_little_room(&mut stage);
    for index in 0..300 {
        for part in [Part::Nut, Part::Washer] {
            stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
    stage.ears.wait("health", "about the labels", |health| health["labelled"] == 600);
    assert_eq!(stage.ears.ask("train", "first")["status"], "ok");
    let first = stage.ears.wait("train/result", "of everything", |result| result["promoted"] == true).json;
    assert_eq!((&first["n_train"], &first["hyper"]["replayed"]), (&json!(600), &Value::Null), "{first}");
    stage.ears.wait("event", "of images dropped", |event| event["event_type"] == "evicted");
    stage.ears.forget();
    assert_eq!(stage.ears.ask("train", "second")["status"], "ok");
    let second = stage.ears.wait("train/result", "of what is left", |result| !result["head"].is_null()).json;
    let gone = 600.0 - second["n_train"].as_f64().unwrap();
    let replayed = second["hyper"]["replayed"].as_f64().unwrap();
    assert!(0.0 < replayed && replayed <= gone, "{replayed} of {gone}: {second}");
}
