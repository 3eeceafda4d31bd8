//! Several questions about the same pictures: each with its own labels, head and topics.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::camera::Part;
use crate::{Stage, name, picture};

const SETTINGS: &str = "training: { schedule: null, min_new_labels: 1000000 }\npromotion: { policy: always }\n";

/// What kind of part it is, and whether its number is even, which nothing in the picture shows.
const TASKS: &str = "tasks:\n  - { id: part }\n  - { id: side, from: [{ region: [0, 0, 0.5, 1] }] }\n";

/// The same with another region, and a third task.
const LATER: &str = "tasks:\n  - { id: part }\n  - { id: side, from: [{ region: [0.5, 0, 1, 1] }] }\n  - { id: van }\n";

struct Picture {
    path: PathBuf,
    id: String,
    part: Part,
    index: u64,
}

fn put(stage: &Stage, part: Part, index: u64) -> Picture {
    let bytes = picture(part, index);
    Picture { path: stage.home.put(&format!("{part}-{index}.jpg"), &bytes), id: name(&bytes), part, index }
}

/// What a task predicts of the file at `path`.
fn prediction(stage: &mut Stage, task: &str, path: &Path) -> Value {
    let path = path.to_str().unwrap();
    stage.ears.wait(&format!("task/{task}/prediction"), path, |json| json["path"] == path).json
}

/// Labels the pictures for one task.
fn label(stage: &Stage, task: &str, pictures: &[Picture], class: impl Fn(&Picture) -> String) {
    let items: Vec<Value> =
        pictures.iter().map(|one| json!({ "task": task, "image": one.id, "label": class(one) })).collect();
    stage.ears.send("label", &json!(items));
}

fn ask(stage: &mut Stage, name: &str, task: &str, transaction: &str) -> Value {
    stage.ears.send(&format!("request/{name}"), &json!({ "transaction": transaction, "task": task }));
    stage.ears.answer(name, transaction)
}

/// Trains a task; its promoted head and the classes of that.
fn train(stage: &mut Stage, task: &str, transaction: &str) -> (Value, Value) {
    stage.ears.forget();
    assert_eq!(ask(stage, "train", task, transaction)["status"], "ok");
    let result = stage.ears.wait(&format!("task/{task}/train/result"), "there", |_| true).json;
    assert_eq!(
        (&result["promoted"], &result["task"], &result["n_train"]),
        (&json!(true), &json!(task), &json!(12)),
        "{result}"
    );
    (result["head"]["id"].clone(), result["classes"].clone())
}

/// The labels that a task knows, by image.
fn labels(stage: &mut Stage, task: &str, transaction: &str) -> BTreeSet<(String, String)> {
    let answer = ask(stage, "samples", task, transaction);
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let samples = answer["data"].as_array().unwrap_or_else(|| panic!("no list in {answer}"));
    samples.iter().filter_map(|sample| Some((text(&sample["image"])?, text(&sample["label"])?))).collect()
}

#[test]
fn two_tasks_learn_from_the_same_pictures_and_a_third_one_looks_at_the_older_ones() {
    let Some(mut stage) = Stage::set(&format!("{SETTINGS}{TASKS}")) else { return };
    let pictures: Vec<Picture> =
        (0..6).flat_map(|index| [Part::Nut, Part::Spring].map(|part| put(&stage, part, index))).collect();
    for Picture { path, id, .. } in &pictures {
        for task in ["part", "side"] {
            let said = prediction(&mut stage, task, path);
            assert_eq!((&said["task"], &said["image"], &said["label"]), (&json!(task), &json!(id), &Value::Null));
        }
    }

    label(&stage, "part", &pictures, |one| one.part.to_string());
    let health = stage.ears.wait("health", "about the labels", |health| health["tasks"]["part"]["labelled"] == 12).json;
    assert_eq!((&health["samples"], &health["labelled"]), (&json!(12), &json!(12)));
    assert_eq!(
        health["tasks"]["side"],
        json!({ "samples": 12, "labelled": 0, "unlabelled": 12, "last_train": null, "head": null })
    );
    label(&stage, "side", &pictures, |one| if one.index % 2 == 0 { "even".into() } else { "odd".into() });
    stage.ears.wait("health", "about the other labels", |health| health["tasks"]["side"]["labelled"] == 12);

    let (of_part, classes) = train(&mut stage, "part", "t1");
    assert_eq!(classes, json!(["nut", "spring"]));
    let next = put(&stage, Part::Nut, 90);
    assert_eq!(prediction(&mut stage, "part", &next.path)["head"], of_part);
    assert_eq!(prediction(&mut stage, "side", &next.path)["head"], Value::Null, "it has not learned anything yet");
    let (of_side, classes) = train(&mut stage, "side", "t2");
    assert_eq!(classes, json!(["even", "odd"]));
    assert_ne!(of_part, of_side);
    stage.ears.forget();
    let next = put(&stage, Part::Spring, 91);
    let said = ["part", "side"].map(|task| prediction(&mut stage, task, &next.path));
    assert_eq!((&said[0]["head"], &said[1]["head"]), (&of_part, &of_side));
    assert!(["nut", "spring"].contains(&said[0]["label"].as_str().unwrap()), "{}", said[0]);
    assert!(["even", "odd"].contains(&said[1]["label"].as_str().unwrap()), "{}", said[1]);
    let state = stage.ears.wait("task/side/state", "the latest", |state| state["image"] == next.id.as_str()).json;
    assert_eq!(state["label"], said[1]["label"]);
    assert!(stage.ears.heard("prediction").is_empty(), "without a task called default the plain topics are silent");
    let refused = stage.ears.ask("train", "t3");
    assert_eq!(refused["error"]["code"], "bad_request", "{refused}");

    let known = ["part", "side"].map(|task| labels(&mut stage, task, &format!("list-{task}")));
    assert_eq!((known[0].len(), known[1].len()), (12, 12));
    stage.restart();
    let next = put(&stage, Part::Nut, 92);
    for (task, head) in [("part", &of_part), ("side", &of_side)] {
        assert_eq!(prediction(&mut stage, task, &next.path)["head"], *head);
        let place = usize::from(task == "side");
        assert_eq!(labels(&mut stage, task, &format!("again-{task}")), known[place]);
    }

    // One picture goes; the region of one task moves, and another task is new.
    fs::remove_file(&pictures[0].path).unwrap();
    stage.home.configure(LATER);
    stage.restart();
    let health = stage.ears.wait("health", "about the new task", |health| health["tasks"]["van"]["samples"] == 14).json;
    let health = match health["tasks"]["van"]["unseen"] {
        Value::Null => {
            stage.ears.wait("health", "about what is gone", |health| health["tasks"]["van"]["unseen"] == 1).json
        }
        _ => health,
    };
    let unseen = |task: &str| health["tasks"][task].get("unseen").cloned();
    assert_eq!((unseen("part"), unseen("side"), unseen("van")), (None, Some(json!(1)), Some(json!(1))), "{health}");
    assert_eq!(health["tasks"]["side"]["labelled"], 12, "a moved region loses no label: {health}");
    assert!(stage.ears.heard("task/van/prediction").is_empty(), "older images are no news");
    for (task, head) in [("part", of_part), ("side", Value::Null), ("van", Value::Null)] {
        let next = put(&stage, Part::Spring, 93);
        assert_eq!(prediction(&mut stage, task, &next.path)["head"], head, "{task}");
    }
    assert_eq!(labels(&mut stage, "side", "last"), known[1]);
    assert_eq!(ask(&mut stage, "train", "side", "t4")["status"], "ok");
    let result = stage.ears.wait("task/side/train/result", "there", |_| true).json;
    assert_eq!((&result["n_train"], &result["promoted"]), (&json!(11), &json!(true)), "{result}");
}
