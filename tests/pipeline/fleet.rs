//! What a device gives to its fleet, and what it keeps.

use base64ct::{Base64, Encoding as _};
use edgetuned::fleet::{Candidate, Statistics};
use edgetuned::words::{Digest, Timestamp};
use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::{Daemon, Home};
use crate::mosquitto::Mosquitto;
use crate::updates::Workshop;
use crate::{QUIET, Stage, home, picture};

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

/// What the daemon of `home` says once it has so many labels and is connected.
pub fn labels(home: &Home, daemon: &mut Daemon, count: u64) {
    loop {
        assert!(daemon.is_running(), "the daemon ended by itself");
        let output = home.command(&["ctl", "status", "--json"]).output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if status["broker"] == "connected" && status["labelled"] == count {
            return;
        }
    }
}

/// Four devices that see two of three parts each; the last one shares nothing.
fn four_devices(broker: &Mosquitto, workshop: &Workshop) -> Vec<(Home, Daemon)> {
    let parts = [Part::Nut, Part::Washer, Part::Gear];
    (0..4_usize)
        .map(|n| {
            let home = home(broker.port, QUIET);
            let key = workshop.path("signing.key.pub");
            home.configure(&format!(
                "device: {{ id: line-{n} }}\nfleet: {{ share: {}, min_class_count: 5 }}\nupdates: {{ trusted_keys: [{}] }}\n",
                n < 3,
                key.display()
            ));
            let seen = [parts[n % 3], parts[(n + 1) % 3]];
            for index in 0..EACH {
                for part in seen {
                    home.put(&format!("{part}/{index}.jpg"), &picture(part, 100 * n as u64 + index));
                }
            }
            let mut daemon = home.start();
            labels(&home, &mut daemon, 2 * EACH);
            (home, daemon)
        })
        .collect()
}

#[test]
fn what_three_devices_learned_becomes_one_head_that_all_take() {
    let Some(broker) = Mosquitto::start() else { return };
    let workshop = Workshop::new();
    let devices = four_devices(&broker, &workshop);
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let (code, report) = workshop.run(&[
        "fleet",
        "collect",
        "--url",
        &url,
        "--devices",
        "line-*",
        "--out",
        "statistics",
        "--chunk-kb",
        "200",
    ]);
    assert_eq!(code, 0, "{report}");
    let lines = report["devices"].as_array().unwrap();
    let files: Vec<&str> = lines.iter().filter_map(|line| line["file"].as_str()).collect();
    assert_eq!((lines.len(), files.len()), (4, 3), "{report}");
    assert!(lines[3]["reason"].as_str().unwrap().contains("fleet.share"), "{report}");
    // The program itself writes the same file, with the daemon beside it.
    let direct = workshop.path("direct.safetensors");
    let written = devices[0].0.command(&["statistics", "--out", direct.to_str().unwrap()]).output().unwrap();
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(std::fs::read(&direct).unwrap(), std::fs::read(workshop.path(files[0])).unwrap());

    let words = [&["fleet", "merge"][..], &files, &["--out", "fleet.safetensors"]].concat();
    let (code, plain) = workshop.run(&words);
    assert_eq!((code, &plain["classes"]), (0, &json!(["gear", "nut", "washer"])), "{plain}");
    assert_eq!(
        plain["devices"][0],
        json!({ "device": "line-0", "images": { "nut": EACH, "washer": EACH } }),
        "{plain}"
    );
    let (code, measured) = workshop.run(&[&words[..], &["--url", &url]].concat());
    assert_eq!((code, &measured["measured"]["devices"]), (0, &json!(3)), "{measured}");
    assert!(measured["measured"]["accuracy"].as_f64().unwrap() > 0.5, "{measured}");
    assert_eq!(measured["measured"]["left_out"], json!([]), "{measured}");

    let manifest = workshop.sign("fleet.safetensors", 7, "signing.key");
    let (code, report) = workshop.run(&[
        "update",
        "publish",
        &manifest,
        "--file",
        "fleet.safetensors",
        "--device",
        "line-*",
        "--url",
        &url,
    ]);
    assert_eq!(code, 0, "{report}");
    assert!(report["devices"].as_array().unwrap().iter().all(|line| line["outcome"] == "installed"), "{report}");
}
