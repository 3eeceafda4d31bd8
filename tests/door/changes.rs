//! What a page changes: labels that overlook others, images that are set aside, settings.

use std::thread;
use std::time::{Duration, Instant};

use edgetuned::words::SampleId;
use serde_json::{Value, json};

use crate::Stage;
use crate::camera::{Camera, Light, Part};
use crate::client::{Client, Reply};
use crate::daemon::PATIENCE;

fn ask(client: &Client, name: &str, arguments: &Value) -> Reply {
    client.post(&format!("/api/v1/{name}"), &arguments.to_string())
}

/// The data of a `GET`, once it is as expected.
fn until(stage: &Stage, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let reply = stage.client().get(&format!("/api/v1/{name}"));
        let data = if reply.status == 200 { reply.json()["data"].clone() } else { Value::Null };
        if is_so(&data) {
            return data;
        }
        assert!(Instant::now() < end, "{name} is {data}; its log:\n{}", stage.log());
        thread::park_timeout(Duration::from_millis(20));
    }
}

/// A daemon that has two images.
fn with_two() -> (Stage, [SampleId; 2]) {
    let stage = Stage::set("");
    let images = [1, 2].map(|view| {
        let bytes = Camera::new(11).with_size(64, 64).jpeg(Part::Nut, view, &Light::DAY);
        stage.home.put(&format!("{view}.jpg"), &bytes);
        SampleId::of(&bytes)
    });
    until(&stage, "samples", |samples| samples.as_array().is_some_and(|samples| samples.len() == 2));
    (stage, images)
}

#[test]
fn who_is_later_learns_what_was_labelled_meanwhile() {
    let (stage, [one, two]) = with_two();
    let client = stage.client();
    let item = |image: &SampleId, label: &str| json!({"image": image, "label": label, "was": null});
    let first = ask(&client, "label", &json!({"items": [item(&one, "nut")]}));
    assert_eq!((first.status, first.json()["data"].clone()), (200, json!({"set": 1, "kept": 0, "change": 1})));
    let second = ask(&client, "label", &json!({"items": [item(&two, "bolt"), item(&one, "bolt")]}));
    let error = second.json()["error"].clone();
    assert_eq!((second.status, &error["code"]), (409, &json!("conflict")));
    let [conflict] = &error["conflicts"].as_array().unwrap()[..] else { panic!("{error}") };
    assert_eq!(
        (&conflict["image"], &conflict["label"], &conflict["source"]),
        (&json!(one), &json!("nut"), &json!("mqtt"))
    );
    let labels = until(&stage, "samples", Value::is_array);
    let labels: Vec<&Value> = labels.as_array().unwrap().iter().map(|row| &row["label"]).collect();
    assert!(labels.contains(&&json!("nut")) && labels.contains(&&Value::Null), "nothing else was labelled: {labels:?}");
    let undone = ask(&client, "undo", &json!({"change": 1}));
    assert_eq!(undone.json()["data"]["restored"][0]["instead_of"], "nut");
}

#[test]
fn an_image_that_is_set_aside_stays_so_over_a_restart_until_it_is_undone() {
    let (mut stage, [one, two]) = with_two();
    let client = stage.client();
    ask(&client, "label", &json!({"items": [{"image": one, "label": "nut"}, {"image": two, "label": "bolt"}]}));
    let refused = ask(&client, "exclude", &json!({"images": [one, "0123456789abcdef"]}));
    assert_eq!((refused.status, refused.json()["error"]["code"].clone()), (404, json!("not_found")));
    let set_aside = |stage: &Stage| {
        let samples = until(stage, "samples", Value::is_array);
        let rows = samples.as_array().unwrap().iter().filter(|row| row["excluded"] == true).cloned();
        rows.collect::<Vec<_>>()
    };
    assert_eq!(set_aside(&stage), Vec::<Value>::new(), "one that is not there refuses all");
    let prefix = &one.to_string()[..16];
    let data = ask(&client, "exclude", &json!({"images": [prefix]})).json()["data"].clone();
    assert_eq!(data, json!({"excluded": 1, "change": 2}));

    stage.daemon.stop(PATIENCE);
    stage.daemon = stage.home.start();
    stage.client().wait();
    until(&stage, "status", Value::is_object);
    let [row] = &set_aside(&stage)[..] else { panic!("it is one") };
    assert_eq!((&row["image"], &row["label"], &row["fold"]), (&json!(one), &json!("nut"), &Value::Null));
    let train = ask(&stage.client(), "train", &json!({}));
    assert_eq!(train.status, 409, "bolts alone are no two classes: {}", train.text());
    let undone = ask(&stage.client(), "undo", &json!({}));
    assert_eq!(undone.json()["data"]["restored"][0]["excluded"], false, "{}", undone.text());
    assert_eq!(set_aside(&stage), Vec::<Value>::new());
    assert_eq!(ask(&stage.client(), "train", &json!({})).status, 200);
}

#[test]
fn settings_are_read_tried_out_and_changed_and_a_link_changes_nothing() {
    let (stage, _) = with_two();
    let client = stage.client();
    let before = until(&stage, "config", Value::is_object);
    assert_eq!((&before["version"], &before["effective"]["prediction"]["top_k"]), (&Value::Null, &json!(3)));
    assert!(before["schema"]["properties"]["training"].is_object(), "{}", before["schema"]);
    assert!(before["settable"].as_array().unwrap().contains(&json!("prediction")));

    let patch = json!({"prediction": {"top_k": 4}});
    let change = json!([{"key": "prediction.top_k", "before": 3, "after": 4}]);
    let tried = ask(&client, "config", &json!({"patch": patch, "dry_run": true}));
    assert_eq!((tried.status, &tried.json()["data"]["changes"]), (200, &change));
    for query in ["?patch=%7B%7D", "?patch=1", "?dry_run=true", "?version=3"] {
        assert_eq!(client.get(&format!("/api/v1/config{query}")).status, 400, "{query}");
    }
    let wrong = ask(&client, "config", &json!({"patch": {"prediction": {"top_k": 0}, "store": {"quota_mb": 500}}}));
    let keys: Vec<Value> =
        wrong.json()["error"]["rejected"].as_array().unwrap().iter().map(|bad| bad["key"].clone()).collect();
    assert_eq!((wrong.status, keys), (400, vec![json!("store.quota_mb"), json!("prediction.top_k")]));

    let applied = ask(&client, "config", &json!({"patch": patch}));
    assert_eq!((applied.status, &applied.json()["data"]["changes"]), (200, &change));
    let after = until(&stage, "config", |config| config["effective"]["prediction"]["top_k"] == 4);
    assert_eq!(
        (&after["version"], &after["state"], &after["applied"]),
        (&json!(1), &json!("trial"), &json!(["prediction.top_k"]))
    );
}
