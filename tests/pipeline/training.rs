//! From labels to a head in service, and back.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::camera::Part;
use crate::{Stage, name, picture};

const PARTS: [Part; 3] = [Part::Nut, Part::Spring, Part::Washer];

/// Puts pictures number `from` to `to` of each of three parts into their class folders.
fn put_classes(stage: &Stage, from: u64, to: u64) {
    for index in from..to {
        for part in PARTS {
            stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
}

fn event(stage: &mut Stage, kind: &str) -> Value {
    stage.ears.wait("event", kind, |json| json["event_type"] == kind).json
}

#[test]
fn enough_new_labels_train_a_head_that_then_predicts() {
    let Some(mut stage) = Stage::set("training: { schedule: null, min_new_labels: 45, cooldown: 0s }") else { return };
    put_classes(&stage, 0, 15);
    let result = stage.ears.wait("train/result", "there", |_| true).json;
    assert_eq!((&result["promoted"], &result["provisional"]), (&json!(true), &json!(false)), "{result}");
    assert_eq!(result["trigger"], "45 new labels");
    assert_eq!(result["classes"], json!(["nut", "spring", "washer"]));
    assert_eq!((&result["n_train"], &result["champion"]), (&json!(45), &Value::Null));
    assert!(result["challenger"]["accuracy"].as_f64().unwrap() > 0.5, "{result}");
    assert!(result["reason"].as_str().unwrap().contains("promoted head 1"), "{result}");
    assert_eq!(event(&mut stage, "promoted")["head"], result["head"]);
    event(&mut stage, "trained");
    let info = stage.ears.wait("info", "with a head", |info| !info["head"].is_null()).json;
    assert_eq!((&info["head"]["id"], &info["head"]["classes"]), (&result["head"]["id"], &result["classes"]));
    assert_eq!(info["head"]["accuracy"], result["challenger"]["accuracy"]);

    let order = ["collecting", "fitting", "evaluating", "promoting", "idle"];
    stage.ears.wait("train/state", "idle after work", |state| {
        state["phase"] == "idle" && state["seq"].as_u64() > result["seq"].as_u64()
    });
    let states = stage.ears.heard("train/state");
    let phases: Vec<_> =
        states.iter().skip(1).map(|m| order.iter().position(|phase| m.json["phase"] == *phase).unwrap()).collect();
    assert!(phases.is_sorted() && phases.len() > 1 && phases.last() == Some(&4), "phases are {phases:?} of {order:?}");
    let progress: Vec<_> = states.iter().map(|m| m.json["progress"].as_f64().unwrap()).collect();
    assert!(progress.iter().all(|share| (0.0..=1.0).contains(share)), "{progress:?}");
    assert_eq!(states[1].json["reason"], "45 new labels");

    let mut right = 0;
    for index in 100..104 {
        for part in PARTS {
            let path = stage.home.put(&format!("{part}-{index}.jpg"), &picture(part, index));
            let prediction = stage.ears.prediction(&path);
            assert_eq!(prediction["head"], result["head"]["id"]);
            assert_eq!(prediction["top"][0]["label"], prediction["label"]);
            assert_eq!(prediction["top"].as_array().unwrap().len(), 3);
            let sum: f64 =
                prediction["top"].as_array().unwrap().iter().map(|t| t["probability"].as_f64().unwrap()).sum();
            assert!((sum - 1.0).abs() < 1e-4, "{prediction}");
            right += usize::from(prediction["label"] == part.name());
        }
    }
    assert!(right >= 8, "{right} of 12 are right; chance is 4");
    let old = stage.ears.heard("prediction").iter().filter(|m| m.json["label"].is_null()).count();
    assert_eq!(old, 45, "after a training old images are not predicted again");
}

#[test]
fn a_request_trains_and_the_same_transaction_does_not_train_twice() {
    let Some(mut stage) = Stage::set("training: { schedule: null, min_new_labels: 1000000 }") else { return };
    put_classes(&stage, 0, 5);
    stage.ears.wait("health", "about the labels", |health| health["labelled"] == 15);
    let answer = stage.ears.ask("train", "t1");
    assert_eq!((&answer["status"], &answer["data"]), (&json!("ok"), &json!({"training": 1})));
    let result = stage.ears.wait("train/result", "there", |_| true).json;
    assert_eq!((&result["training"], &result["trigger"]), (&json!(1), &json!("request")));
    assert_eq!((&result["promoted"], &result["provisional"]), (&json!(true), &json!(true)), "15 images judge nothing");
    stage.ears.forget();
    assert_eq!(stage.ears.ask("train", "t1")["data"], answer["data"]);
    assert_eq!(stage.ears.ask("train", "t2")["data"], json!({"training": 2}));
    let second = stage.ears.wait("train/result", "there", |_| true).json;
    assert_eq!(second["training"], 2, "the repeated transaction ordered none");
}

#[test]
fn a_rollback_goes_back_to_the_head_before_and_stays_there_over_a_restart() {
    let settings = "training: { schedule: null, min_new_labels: 1000000 }\npromotion: { policy: always }";
    let Some(mut stage) = Stage::set(settings) else { return };
    let mut heads = Vec::new();
    for round in 0..2 {
        put_classes(&stage, 10 * round, 10 * round + 4);
        stage.ears.wait("health", "about the labels", |health| health["labelled"] == 12 * (round + 1));
        stage.ears.forget();
        assert_eq!(stage.ears.ask("train", &format!("t{round}"))["status"], "ok");
        let result = stage.ears.wait("train/result", "promoted", |result| result["promoted"] == true).json;
        heads.push(result["head"].clone());
    }
    assert_ne!(heads[0], heads[1]);
    let answer = stage.ears.ask("rollback", "back");
    assert_eq!(answer["data"], json!({"head": heads[0], "from": heads[1]}), "{answer}");
    assert_eq!(event(&mut stage, "rolled_back")["head"], heads[0]);
    let path = stage.home.put("after.jpg", &picture(Part::Nut, 90));
    assert_eq!(stage.ears.prediction(&path)["head"], heads[0]["id"]);
    assert_eq!(stage.ears.ask("rollback", "further")["error"]["code"], "not_possible");
    stage.restart();
    let path = stage.home.put("later.jpg", &picture(Part::Nut, 91));
    assert_eq!(stage.ears.prediction(&path)["head"], heads[0]["id"]);
    assert_eq!(stage.ears.ask("rollback", "back")["data"], answer["data"], "a remembered transaction has no effect");
}

#[test]
fn labels_that_are_noise_make_no_head_serve() {
    let Some(mut stage) = Stage::set("training: { schedule: null, min_new_labels: 40, cooldown: 0s }") else { return };
    // Pictures of one part, called one or the other by a digit of their digest.
    let mut names = BTreeSet::new();
    for index in 0..40 {
        let bytes = picture(Part::Pin, index);
        let class = if name(&bytes).as_bytes()[0].is_multiple_of(2) { "left" } else { "right" };
        names.insert(class);
        stage.home.put(&format!("{class}/{index}.jpg"), &bytes);
    }
    assert_eq!(names.len(), 2);
    let result = stage.ears.wait("train/result", "there", |_| true).json;
    assert_eq!((&result["promoted"], &result["code"]), (&json!(false), &json!("chance")), "{result}");
    assert!(event(&mut stage, "rejected")["reason"].as_str().unwrap().contains("guessing"));
    let path = stage.home.put("after.jpg", &picture(Part::Pin, 90));
    assert!(stage.ears.prediction(&path)["label"].is_null());
}

#[test]
fn images_that_all_look_the_same_fail_a_training_in_words_and_the_daemon_goes_on() {
    let Some(mut stage) = Stage::set("training: { schedule: null, min_new_labels: 16, cooldown: 0s }") else { return };
    for index in 0..16_u8 {
        let class = ["left", "right"][usize::from(index % 2)];
        // A byte behind the end makes it another file.
        stage.home.put(&format!("{class}/{index}.jpg"), &[picture(Part::Pin, 0), vec![index]].concat());
    }
    let error = event(&mut stage, "error");
    let reason = error["reason"].as_str().unwrap();
    assert!(
        reason.contains("training 1 failed: cannot train: all 16 labelled images have the same embedding"),
        "{error}"
    );
    let path = stage.home.put("after.jpg", &picture(Part::Pin, 90));
    assert!(stage.ears.prediction(&path)["label"].is_null());
}

#[test]
fn a_batch_with_names_drawn_at_random_is_left_out_and_shown() {
    let Some(mut stage) = Stage::set("training: { schedule: null, min_new_labels: 45, cooldown: 0s }") else { return };
    put_classes(&stage, 0, 15);
    let first = stage.ears.wait("train/result", "there", |_| true).json;
    assert_eq!(first["promoted"], true, "{first}");
    stage.ears.forget();
    // The name is drawn by a digit of the picture's digest, which knows nothing of what is on it.
    let mut wrong = Vec::new();
    for index in 15..30 {
        for part in PARTS {
            let bytes = picture(part, index);
            let drawn = PARTS[usize::from(name(&bytes).as_bytes()[0]) % 3];
            stage.home.put(&format!("{drawn}/{part}-{index}.jpg"), &bytes);
            if drawn != part {
                wrong.push(name(&bytes));
            }
        }
    }
    let second = stage.ears.wait("train/result", "there", |_| true).json;
    let left_out = second["disbelieved_labels"].as_u64().unwrap();
    assert!(left_out as usize * 2 > wrong.len(), "{left_out} left out, {} are wrong: {second}", wrong.len());
    assert_eq!(second["n_train"].as_u64().unwrap() + left_out, 90, "{second}");
    let alert = stage.ears.wait("alert/labels", "raised", Value::is_object).json;
    assert!(alert["text"].as_str().unwrap().contains("folder"), "it says where they are from: {alert}");
    let health = stage.ears.wait("health", "with them", |health| health["disbelieved"] == left_out).json;
    assert_eq!(health["labelled"], 90);
    let list = stage.ears.ask("review", "list")["data"]["items"].clone();
    assert_eq!(list[0]["reason"], "suspicious", "{list}");
    assert!(wrong.contains(&list[0]["image"].as_str().unwrap().to_owned()), "{list}");
}
