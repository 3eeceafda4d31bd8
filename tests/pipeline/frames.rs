//! Frames as samples: labelled, learned from, listed, and embedded again from the bytes that are kept.

use std::time::Instant;

use edgetuned::image::{Limits, THUMBNAIL_BYTES_MAX, decode};
use edgetuned::store::{Reader, SpacesInUse};
use edgetuned::words::SampleId;
use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::PATIENCE;
use crate::{Stage, name, picture};

const SETTINGS: &str = "training: { schedule: null, min_new_labels: 1000000 }\npromotion: { policy: always }\n";

/// A task that looks at this region of frames of which so many are kept.
fn settings(keep: &str, region: &str) -> String {
    let task = format!("{{ id: part, from: [{{ source: line, region: {region} }}] }}");
    format!("{SETTINGS}sources: [{{ id: line, mqtt: cell/line, rate: 100/s, keep: {keep} }}]\ntasks: [{task}]")
}

/// Publishes six pictures of each of two parts, one when the one before was predicted, and labels them; their identities.
fn labelled(stage: &mut Stage) -> Vec<String> {
    let mut items = Vec::new();
    for (part, index) in (0..6).flat_map(|index| [(Part::Nut, index), (Part::Spring, index)]) {
        let bytes = picture(part, index);
        let id = name(&bytes);
        stage.ears.publish("cell/line", bytes, false);
        let said = stage.ears.wait("task/part/prediction", &id, |said| said["image"] == id.as_str()).json;
        assert_eq!((&said["source"], said.get("path")), (&json!("line"), None), "{said}");
        items.push(json!({ "image": id, "label": part.to_string() }));
    }
    stage.ears.send("label", &json!(items));
    stage.ears.wait("health", "about the labels", |health| health["tasks"]["part"]["labelled"] == 12);
    items.into_iter().map(|item| item["image"].as_str().unwrap().to_owned()).collect()
}

fn train(stage: &mut Stage, transaction: &str) -> Value {
    stage.ears.forget();
    stage.ears.send("request/train", &json!({ "transaction": transaction }));
    assert_eq!(stage.ears.answer("train", transaction)["status"], "ok");
    stage.ears.wait("task/part/train/result", "there", |_| true).json
}

#[test]
fn frames_are_learned_from_and_embedded_again_from_the_bytes_that_are_kept() {
    let Some(mut stage) = Stage::set(&settings("all", "[0, 0, 1, 0.9]")) else { return };
    let ids = labelled(&mut stage);
    let result = train(&mut stage, "t1");
    assert_eq!((&result["n_train"], &result["promoted"]), (&json!(12), &json!(true)), "{result}");
    let next = picture(Part::Spring, 90);
    stage.ears.publish("cell/line", next.clone(), false);
    let said = stage.ears.wait("task/part/prediction", "of the next", |said| said["image"] == name(&next)).json;
    assert_eq!(said["label"], "spring", "{said}");
    let listed = stage.ears.ask("samples", "s1");
    let first = &listed["data"][0];
    assert_eq!(
        (&first["source"], first.get("path"), &first["label"]),
        (&json!("line"), None, &json!("nut")),
        "{first}"
    );

    let reader = Reader::open(&stage.home.state(), SpacesInUse::default()).unwrap();
    let id: SampleId = ids[0].parse().unwrap();
    assert_eq!(reader.picture(&id).unwrap(), Some(picture(Part::Nut, 0)));
    let thumbnail = reader.thumbnail(&id).unwrap().expect("of every sample");
    let small = decode(&thumbnail, &Limits::default()).unwrap();
    assert!(thumbnail.len() <= THUMBNAIL_BYTES_MAX && small.width().max(small.height()) <= 160);

    stage.home.configure(&settings("all", "[0, 0.1, 1, 1]"));
    stage.restart();
    for id in &ids {
        until_seen(&mut stage, id);
    }
    let again = train(&mut stage, "t2");
    assert_eq!((&again["n_train"], &again["promoted"]), (&json!(12), &json!(true)), "{again}");
    assert_ne!(again["head"]["id"], result["head"]["id"]);
    let counts = stage.ears.wait("health", "about all", |health| health["tasks"]["part"]["samples"] == 13).json;
    assert_eq!(counts["tasks"]["part"].get("unseen"), None, "{counts}");
}

/// Asks until the task has an embedding of the image.
fn until_seen(stage: &mut Stage, id: &str) {
    let deadline = Instant::now() + PATIENCE;
    for round in 0.. {
        let transaction = format!("{id}-{round}");
        stage.ears.send("request/predict", &json!({ "transaction": transaction, "image": id }));
        let answer = stage.ears.answer("predict", &transaction);
        if answer["status"] == "ok" {
            return;
        }
        assert!(answer["error"]["code"] == "not_possible" && Instant::now() < deadline, "{answer}");
    }
}

#[test]
fn a_frame_that_was_not_kept_has_a_label_and_is_missed_when_the_region_moves() {
    let Some(mut stage) = Stage::set(&settings("none", "[0, 0, 1, 0.9]")) else { return };
    let ids = labelled(&mut stage);
    let reader = Reader::open(&stage.home.state(), SpacesInUse::default()).unwrap();
    let id: SampleId = ids[0].parse().unwrap();
    assert!(reader.picture(&id).unwrap().is_none() && reader.thumbnail(&id).unwrap().is_some());
    stage.home.configure(&settings("none", "[0, 0.1, 1, 1]"));
    stage.restart();
    stage.ears.wait("health", "about what is missed", |health| health["tasks"]["part"]["unseen"] == 12);
    // The same bytes once more are looked at, and their label counts again.
    stage.ears.publish("cell/line", picture(Part::Nut, 0), false);
    stage.ears.wait("task/part/prediction", "of the first", |said| said["image"] == ids[0].as_str());
    stage.ears.ask("train", "t1");
    let told = stage.ears.wait("event", "about the training", |event| event["source"] == "train").json;
    assert!(told["reason"].as_str().unwrap().contains("class 'nut' is the only class"), "{told}");
}

#[test]
fn the_latest_frame_is_judged_again_when_labels_or_another_head_say_otherwise() {
    let with_state =
        settings("changed", "[0, 0, 1, 0.9]").replace("{ id: part,", "{ id: part, state: { confirm: 1 of 1 },");
    let Some(mut stage) = Stage::set(&with_state) else { return };
    let ids = labelled(&mut stage);
    train(&mut stage, "t1");
    let next = picture(Part::Spring, 90);
    stage.ears.publish("cell/line", next.clone(), false);
    let state = stage.ears.wait("task/part/state", "of the frame", |state| state["state"] == "spring").json;
    assert_eq!((&state["image"], &state["votes"]), (&json!(name(&next)), &json!([1, 1])), "{state}");
    // What was called a spring is called a coil from now on.
    let renamed = ids.iter().skip(1).step_by(2).map(|id| json!({ "image": id, "label": "coil" }));
    stage.ears.send("label", &Value::Array(renamed.collect()));
    train(&mut stage, "t2");
    let state = stage.ears.wait("task/part/state", "of the same frame", |state| state["state"] == "coil").json;
    assert_eq!((&state["image"], &state["votes"]), (&json!(name(&next)), &json!([1, 1])), "{state}");
}
