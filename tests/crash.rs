//! Twenty power cuts in a stream of images, labels and requests, with a real broker that keeps the session.
//!
//! Nothing that was acknowledged may be lost and nothing doubled: every image is one sample and has one prediction,
//! every label counts, every transaction has one answer. `CRASH_SEED=17 cargo test --test crash` replays the moments.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/mosquitto.rs"]
mod mosquitto;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use camera::{Camera, Light, Part};
use daemon::{Home, Listener};
use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::ports::Embedder;
use edgetuned::store::Reader;
use edgetuned::words::SampleId;
use mosquitto::Mosquitto;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

const KILLS: u64 = 20;
const PARTS: [Part; 3] = [Part::Nut, Part::Spring, Part::Washer];

/// What the world did, to be compared with what came of it.
#[derive(Default)]
struct Deeds {
    images: BTreeSet<SampleId>,
    labels: BTreeMap<SampleId, String>,
    transactions: BTreeSet<String>,
}

/// A few images, a label for some of them, and a request.
fn act(round: u64, home: &Home, ears: &Listener, rng: &mut ChaCha8Rng, deeds: &mut Deeds) {
    for n in 0..6 {
        let part = PARTS[rng.random_range(0..PARTS.len())];
        let bytes = Camera::new(5).with_size(160, 120).jpeg(part, 10 * round + n, &Light::DAY);
        let id = SampleId::of(&bytes);
        deeds.images.insert(id);
        let in_folder = rng.random_bool(0.3);
        let folder = if in_folder { format!("{part}/") } else { String::new() };
        let by_message = !in_folder && rng.random_bool(0.7);
        let label = json!({"image": &id.to_string()[..16], "label": part.name()});
        let early = rng.random_bool(0.5);
        if by_message && early {
            ears.send("label", &label);
        }
        home.put(&format!("{folder}{round}-{n}.jpg"), &bytes);
        if by_message && !early {
            ears.send("label", &label);
        }
        if in_folder || by_message {
            deeds.labels.insert(id, part.name().to_owned());
        }
    }
    let transaction = format!("t{round}");
    ears.send("request/train", &json!({"transaction": transaction}));
    deeds.transactions.insert(transaction);
}

#[test]
fn twenty_power_cuts_lose_nothing_and_double_nothing() {
    let seed = std::env::var("CRASH_SEED").map_or(1, |seed| seed.parse().expect("CRASH_SEED is a number"));
    println!("CRASH_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let Some(broker) = Mosquitto::start() else { return };
    let settings = "training: { schedule: null, min_new_labels: 20, cooldown: 0s }";
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), broker.port, settings);
    let mut ears = Listener::new(broker.port);
    let mut deeds = Deeds::default();
    // From its first connection on, the broker keeps what is sent to it.
    let mut daemon = home.start();
    ears.wait("status", "online", |status| status == "online");
    for round in 0..KILLS {
        act(round, &home, &ears, &mut rng, &mut deeds);
        ears.listen(Instant::now() + Duration::from_millis(rng.random_range(0..900)));
        daemon.kill();
        daemon = home.start();
    }
    for transaction in &deeds.transactions {
        ears.wait("response/train", transaction, |json| json["transaction"] == *transaction);
    }
    for image in &deeds.images {
        let image = image.to_string();
        ears.wait("prediction", &image, |json| json["image"] == *image);
    }
    ears.ask("status", "every label was taken before this");
    daemon.stop(Duration::from_secs(10));
    check_messages(&mut ears, &deeds);
    check_store(&home, &deeds);
}

/// What was heard again was heard with the same `seq`.
fn check_messages(ears: &mut Listener, deeds: &Deeds) {
    let mut seqs: BTreeMap<String, Value> = BTreeMap::new();
    for message in ears.heard("prediction") {
        let (image, seq) = (message.json["image"].as_str().unwrap(), &message.json["seq"]);
        let first = seqs.entry(image.to_owned()).or_insert_with(|| seq.clone());
        assert_eq!(first, seq, "image {image} was predicted twice");
    }
    assert_eq!(seqs.len(), deeds.images.len());
    assert_eq!(seqs.values().map(Value::as_u64).collect::<BTreeSet<_>>().len(), seqs.len());
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    let mut trainings = BTreeSet::new();
    for message in ears.heard("response/train") {
        let Value::Object(mut answer) = message.json else { panic!("no object: {}", message.json) };
        // A request that is delivered again gets a new message with the same answer.
        for envelope in ["v", "ts", "seq", "boot"] {
            answer.remove(envelope);
        }
        let transaction = answer["transaction"].as_str().unwrap().to_owned();
        trainings.insert(answer.get("data").and_then(|data| data["training"].as_u64()));
        let answer = Value::Object(answer);
        let first = answers.entry(transaction).or_insert_with(|| answer.clone());
        assert_eq!(*first, answer, "one transaction, two answers");
    }
    assert_eq!(answers.len(), deeds.transactions.len());
    println!("{} images, {} labels, {} trainings ordered", seqs.len(), deeds.labels.len(), trainings.len());
}

fn check_store(home: &Home, deeds: &Deeds) {
    let manifest = Manifest::resolve("default").unwrap();
    let space = OnnxBackbone::open(&manifest, 1).unwrap().space();
    let reader = Reader::open(&home.state(), Some(&space)).unwrap();
    let counts = reader.counts().unwrap();
    assert_eq!((counts.samples, counts.quarantined), (deeds.images.len() as u64, 0));
    let labelled = reader.labelled().unwrap();
    let labels: BTreeMap<SampleId, String> =
        labelled.ids.iter().copied().zip(labelled.labels.iter().map(ToString::to_string)).collect();
    assert_eq!(labels, deeds.labels);
    for image in &deeds.images {
        assert!(reader.embedding(image).unwrap().is_some(), "{image} has an embedding");
    }
    let unsent = reader.outbox_after(0, 100).unwrap();
    assert!(unsent.is_empty(), "a clean end leaves nothing unsent: {unsent:?}");
}
