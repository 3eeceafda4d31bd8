//! What a device gives to its fleet, and what it keeps.

use base64ct::{Base64, Encoding as _};
use edgetuned::fleet::{Candidate, Statistics};
use edgetuned::words::{Digest, Timestamp};
use serde_json::{Value, json};

use crate::camera::Part;
use crate::{QUIET, Stage, picture};

const EACH: u64 = 6;

/// A device with six labelled images of each of two parts, and one of a third.
fn labelled(fleet: &str) -> Option<Stage> {
    let mut stage = Stage::set(&format!("{QUIET}\n{fleet}"))?;
    for index in 0..EACH {
        for part in [Part::Nut, Part::Washer] {
            stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
    stage.home.put(&format!("{}/0.jpg", Part::Gear), &picture(Part::Gear, 0));
    stage.ears.wait("health", "about the labels", |health| health["labelled"] == 2 * EACH + 1);
    Some(stage)
}

fn asked(stage: &mut Stage, request: &str, arguments: &Value) -> Value {
    stage.ears.send(&format!("request/{request}"), arguments);
    stage.ears.answer(request, arguments["transaction"].as_str().unwrap())
}

#[test]
fn nothing_is_shared_unless_the_device_says_so() {
    let Some(mut stage) = labelled("") else { return };
    for request in ["statistics", "score"] {
        let answer = asked(&mut stage, request, &json!({ "transaction": request, "head": "AAAA" }));
        assert_eq!(answer["error"]["code"], "not_possible", "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains("fleet.share"), "{answer}");
    }
}

#[test]
fn statistics_come_in_parts_without_classes_of_few_images_and_a_head_of_them_is_measured() {
    let Some(mut stage) = labelled("fleet: { share: true, min_class_count: 5 }") else { return };
    let mut bytes: Vec<u8> = Vec::new();
    let mut sha256 = json!(null);
    let file = loop {
        let arguments = json!({ "transaction": format!("part-{}", bytes.len()), "length": 100_000, "offset": bytes.len(), "sha256": sha256 });
        let part = asked(&mut stage, "statistics", &arguments)["data"].clone();
        assert_eq!(part["offset"], bytes.len(), "{part}");
        bytes.extend(Base64::decode_vec(part["data"].as_str().unwrap()).unwrap());
        sha256 = part["sha256"].clone();
        if bytes.len() as u64 >= part["bytes"].as_u64().unwrap() {
            break bytes;
        }
    };
    assert_eq!(json!(Digest::of(&file)), sha256);
    let statistics = Statistics::from_bytes(&file).unwrap();
    let counts: Vec<_> = statistics.counts().map(|(label, count)| (label.as_str().to_owned(), count)).collect();
    assert_eq!(counts, [("nut".to_owned(), EACH), ("washer".to_owned(), EACH)], "the only gear stays");

    // Other statistics are not continued.
    let gone = json!({ "transaction": "gone", "offset": 10, "sha256": Digest::of(b"another") });
    assert_eq!(asked(&mut stage, "statistics", &gone)["error"]["code"], "not_found");

    let head = Candidate::Lda.head(&statistics, 0).unwrap().into_record(&statistics.source, Timestamp(0)).to_bytes();
    let arguments = json!({ "transaction": "score", "head": Base64::encode_string(&head) });
    let score = asked(&mut stage, "score", &arguments)["data"].clone();
    assert_eq!((&score["n"], &score["unknown"]), (&json!(2 * EACH), &json!(1)), "{score}");
    assert!(score["right"].as_u64().unwrap() > EACH, "{score}");
    let damaged = json!({ "transaction": "damaged", "head": Base64::encode_string(&head[..head.len() - 1]) });
    assert_eq!(asked(&mut stage, "score", &damaged)["error"]["code"], "bad_request");
}
