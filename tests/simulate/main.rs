//! Whole lives of the daemon, faults included, from one seed each, in milliseconds.
//!
//! The engine is the real one; disk, clock, broker, workers and store are played. Every seed runs a camera, people
//! who label, and a machine that crashes between any two acts, until the faults stop and everything comes to rest;
//! then nothing may be lost and nothing doubled. `SIMULATE_SEED=17 cargo test --test simulate` replays one life,
//! `SIMULATE_LIVES=5000` runs more of them.

mod model;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edgetuned::engine::{Configure, Fate, PromotionPolicy, Root, ScheduleSettings, Settings, UpdateSettings};
use edgetuned::head::BackboneRef;
use edgetuned::wire::{Base, PatchState, RejectedKey};
use edgetuned::words::{Digest, EmbeddingSpace, SampleId};
use rand::RngExt;
use serde_json::{Map, Value};

use world::{Content, Faults, World, class, folder, image_id};

fn settings() -> Settings {
    let digest = Digest::of(b"backbone");
    Settings {
        boot: String::new(),
        backbone_model: "played".into(),
        onnxruntime: "none".into(),
        backbone: BackboneRef { name: "played".into(), sha256: digest, dim: 1 },
        space: EmbeddingSpace { backbone: digest, preprocessing: digest, dim: 1 },
        roots: vec![Root { path: "/in".into(), label_from_folder: true, settle: Duration::from_millis(500) }],
        schedule: ScheduleSettings {
            cron: Some("*/2 * * * *".parse().expect("a plain pattern")),
            zone: jiff::tz::TimeZone::UTC,
            min_new_labels: 4,
            cooldown: Duration::from_secs(5),
        },
        promotion: PromotionPolicy::Gated,
        shadow_images: 3,
        quota_bytes: u64::MAX,
        sample_bytes: 1,
        spool_bytes_max: 1 << 24,
        spool_age_max: Duration::from_hours(7 * 24),
        base: Base::new("edgetuned", "played").expect("a plain base"),
        device_name: "played".into(),
        home_assistant: true,
        updates: UpdateSettings::default(),
        configuration: Value::Null,
        configure: Configure(Arc::new(judge)),
        opening: None,
    }
}

/// Takes every patch but those with the key `bad`.
fn judge(patch: &Map<String, Value>) -> Result<Vec<String>, Vec<RejectedKey>> {
    let rejected = |key: &String| RejectedKey { key: key.clone(), error: "as the dice fell".into() };
    match patch.keys().find(|key| *key == "bad") {
        Some(key) => Err(vec![rejected(key)]),
        None => Ok(patch.keys().cloned().collect()),
    }
}

/// What people did, to be compared with what came of it.
#[derive(Default)]
struct Deeds {
    images: u32,
    labelled: BTreeMap<SampleId, String>,
    transactions: Vec<String>,
    /// What was asked that has to be found out: name and transaction.
    questions: Vec<(&'static str, String)>,
    broken: BTreeSet<PathBuf>,
}

fn live(seed: u64) -> (World, Deeds) {
    let mut world = World::new(seed, settings(), Faults { crash: 0.01, link: 0.02, lost_hint: 0.2 });
    let mut deeds = Deeds::default();
    for _ in 0..400 {
        someone_acts(&mut world, &mut deeds);
        world.advance();
    }
    world.faults = Faults { crash: 0.0, link: 0.0, lost_hint: 0.0 };
    for _ in 0..1_500 {
        world.advance();
    }
    (world, deeds)
}

fn someone_acts(world: &mut World, deeds: &mut Deeds) {
    match world.rng.random_range(0..20) {
        0..=4 => {
            let number = deeds.images;
            deeds.images += 1;
            let folder = if world.rng.random_bool(0.3) { format!("/in/{}", class(number)) } else { "/in".into() };
            let chunks = world.rng.random_range(1..8);
            world.create(format!("{folder}/{number}.jpg").into(), Content::Image(number), chunks);
        }
        5 if deeds.images > 0 => {
            let number = world.rng.random_range(0..deeds.images);
            let copies = world.disk.len();
            world.create(format!("/in/copy-{copies}.jpg").into(), Content::Image(number), 2);
        }
        6 => {
            let path = PathBuf::from(format!("/in/hostile-{}.png", world.disk.len()));
            deeds.broken.insert(path.clone());
            world.create(path, Content::Hostile, 2);
        }
        7 => {
            let path = PathBuf::from(format!("/in/torn-{}.jpg", world.disk.len()));
            deeds.broken.insert(path.clone());
            world.create(path, Content::Image(1_000_000), u32::MAX);
        }
        8..=10 => {
            // Some labels come before their image.
            let number = world.rng.random_range(0..deeds.images + 3);
            let id = image_id(number);
            let digits = world.rng.random_range(8..=64);
            let prefix = &id.to_string()[..digits];
            world.publish("label", format!(r#"{{"image": "{prefix}", "label": "{}"}}"#, class(number)));
            deeds.labelled.insert(id, class(number).to_string());
        }
        11 => {
            let transaction = match deeds.transactions.last() {
                Some(last) if world.rng.random_bool(0.5) => last.clone(),
                _ => format!("t{}", deeds.transactions.len()),
            };
            world.publish("request/train", format!(r#"{{"transaction": "{transaction}"}}"#));
            deeds.transactions.push(transaction);
        }
        12 => world.publish("request/rollback", String::new()),
        14 | 15 => someone_asks(world, deeds),
        16 => {
            let number = world.rng.random_range(0..deeds.images + 3);
            let (id, label) = (image_id(number), class(number));
            let items = format!(r#"{{"items": [{{"image": "{id}", "label": "{label}"}}]}}"#);
            world.publish("request/label", items);
            deeds.labelled.insert(id, label.to_string());
        }
        17 => {
            let version = world.rng.random_range(1..6);
            world.publish("request/promote", format!(r#"{{"head": {version}}}"#));
        }
        13 => {
            let version = world.rng.random_range(0..=deeds.images);
            let key = if world.rng.random_bool(0.3) { "bad" } else { "good" };
            let patch = format!(r#"{{"version": {version}, "patch": {{"{key}": {version}}}}}"#);
            let wish = if world.rng.random_bool(0.2) { String::new() } else { patch };
            world.publish("config/desired", wish);
        }
        18 => {
            let topic = ["label", "request/train", "request/x", "nonsense"][world.rng.random_range(0..4)];
            world.publish(topic, "{\"a\": [".into());
        }
        _ => {}
    }
}

/// Asks what has to be found out, the same again half of the time, through either door.
fn someone_asks(world: &mut World, deeds: &mut Deeds) {
    let known = world.model.arrived.last().copied();
    let (name, transaction) = match deeds.questions.last() {
        Some(last) if world.rng.random_bool(0.5) => last.clone(),
        _ => {
            let name = ["samples", "predict", "export"][world.rng.random_range(0..3)];
            (name, format!("q{}", deeds.questions.len()))
        }
    };
    let image = known.unwrap_or_else(|| image_id(0));
    let payload = format!(r#"{{"transaction": "{transaction}", "image": "{image}"}}"#);
    if world.rng.random_bool(0.5) {
        world.publish(&format!("request/{name}"), payload);
    } else {
        world.ask(name, payload);
    }
    deeds.questions.push((name, transaction));
}

fn json(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).expect("every payload is JSON")
}

fn said<'a>(world: &'a World, topic: &'a str) -> impl Iterator<Item = Value> + 'a {
    world.received.values().filter(move |(at, _)| at == topic).map(|(_, payload)| json(payload))
}

fn check(seed: u64) {
    let (world, deeds) = live(seed);
    let context = format!("seed {seed} ({} crashes): replay with SIMULATE_SEED={seed}", world.crashes);

    let finished: BTreeSet<SampleId> = (world.disk.values())
        .filter(|file| file.missing == 0)
        .filter_map(|file| if let Content::Image(number) = file.content { Some(image_id(number)) } else { None })
        .collect();
    let stored: BTreeSet<SampleId> = world.model.samples.keys().copied().collect();
    assert_eq!(stored, finished, "every finished picture is a sample, and nothing else is; {context}");

    let mut predicted: Vec<String> =
        said(&world, "prediction").map(|p| p["image"].as_str().unwrap_or_default().to_owned()).collect();
    predicted.sort();
    let expected: Vec<String> = finished.iter().map(ToString::to_string).collect();
    assert_eq!(predicted, expected, "every picture is reported once; {context}");

    assert!(world.held.is_empty(), "every message is acknowledged; {context}");
    assert!(world.model.outbox.is_empty(), "every report is delivered; {context}");
    labels_are_kept(&world, &deeds, &context);
    broken_files_are_put_aside(&world, &deeds, &context);
    transactions_act_once(&world, &context);
    accepted_trainings_end(&world, &context);
    settings_come_to_rest(&world, &context);
}

fn labels_are_kept(world: &World, deeds: &Deeds, context: &str) {
    for (id, label) in &deeds.labelled {
        let kept = match world.model.samples.get(id) {
            Some(kept) => kept.as_ref().map(|(label, _)| label.to_string()),
            None => (world.model.awaited.values())
                .find(|awaited| id.to_string().starts_with(&awaited.prefix))
                .map(|awaited| awaited.label.to_string()),
        };
        assert_eq!(kept.as_deref(), Some(label.as_str()), "image {id} keeps its label; {context}");
    }
    for (path, file) in world.disk.iter().filter(|(path, file)| folder(path).is_some() && file.missing == 0) {
        let Content::Image(number) = file.content else { continue };
        let kept = world.model.samples[&image_id(number)].as_ref().map(|(label, _)| label.to_string());
        assert_eq!(kept, folder(path), "{} is labelled by its folder; {context}", path.display());
    }
}

fn broken_files_are_put_aside(world: &World, deeds: &Deeds, context: &str) {
    for path in &deeds.broken {
        let fate = world.model.files.get(path).map(|(_, fate)| fate);
        assert!(matches!(fate, Some(Fate::Quarantined(_))), "{} is put aside, not {fate:?}; {context}", path.display());
    }
    let told: BTreeSet<String> = said(world, "event")
        .filter(|event| event["event_type"] == "quarantined")
        .map(|event| event["path"].as_str().unwrap_or_default().to_owned())
        .collect();
    let expected: BTreeSet<String> = deeds.broken.iter().map(|path| path.display().to_string()).collect();
    // A slow writer may be given up too, until it goes on.
    assert!(told.is_superset(&expected), "each is reported, {:?} were not; {context}", &expected - &told);
}

fn transactions_act_once(world: &World, context: &str) {
    let mut answers: BTreeMap<String, Value> = BTreeMap::new();
    let by_broker = world.received.values().filter(|(topic, _)| topic.starts_with("response/"));
    let by_socket = world.answered.iter().map(|response| serde_json::to_value(response).expect("plain fields"));
    for response in by_broker.map(|(_, payload)| json(payload)).chain(by_socket) {
        let Some(transaction) = response["transaction"].as_str().map(str::to_owned) else { continue };
        let answer = serde_json::json!([response["status"], response["data"], response["error"]]);
        // Not done, and not remembered: it may be asked again.
        if response["error"]["code"] == "busy" {
            answers.entry(format!("{transaction}, busy")).or_insert(answer);
            continue;
        }
        let before = answers.entry(transaction.clone()).or_insert_with(|| answer.clone());
        assert_eq!(*before, answer, "transaction {transaction} got two answers; {context}");
    }
    assert!(world.waiting.is_empty(), "whoever waits at the socket is answered; {context}");
    for held in &world.acknowledged {
        if let Some(transaction) = json_or_null(&held.payload)["transaction"].as_str() {
            assert!(
                answers.contains_key(transaction) || answers.contains_key(&format!("{transaction}, busy")),
                "transaction {transaction} was acknowledged but never answered; {context}"
            );
        }
    }
}

fn accepted_trainings_end(world: &World, context: &str) {
    let memory = &world.model.training;
    assert!(memory.due.is_none() && memory.running.is_none(), "no training is left over; {context}");
    let results = said(world, "train/result").map(|result| result["training"].clone());
    let failures = said(world, "event")
        .filter(|event| event["source"] == "train")
        .filter_map(|event| event["reason"].as_str()?.strip_prefix("training ")?.split(' ').next()?.parse::<u64>().ok())
        .map(Value::from);
    let ended: Vec<Value> = results.chain(failures).collect();
    for accepted in said(world, "response/train").filter_map(|response| response["data"].get("training").cloned()) {
        assert!(ended.contains(&accepted), "training {accepted} was accepted and never ended; {context}");
    }
}

fn settings_come_to_rest(world: &World, context: &str) {
    let twin = &world.model.twin;
    assert!(twin.trial.is_none() && twin.answer.state != PatchState::Trial, "a trial ends: {twin:?}; {context}");
    let good = twin.patch.as_ref().is_none_or(|patch| patch.contains_key("good"));
    assert!(good, "a rejected patch is never in force: {twin:?}; {context}");
    let asked = twin.answer.version.is_none_or(|version| version <= twin.applied_version);
    assert!(asked, "what is in force was applied: {twin:?}; {context}");
}

fn json_or_null(payload: &[u8]) -> Value {
    serde_json::from_slice(payload).unwrap_or_default()
}

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_and_nothing_doubled_whatever_crashes() {
    if let Some(seed) = number_from_environment("SIMULATE_SEED") {
        return check(seed);
    }
    (0..number_from_environment("SIMULATE_LIVES").unwrap_or(200)).for_each(check);
}

#[test]
fn the_dice_do_crash_and_cut_links() {
    let lives: Vec<_> = (0..10).map(|seed| live(seed).0).collect();
    assert!(lives.iter().map(|world| world.crashes).sum::<u64>() > 20, "a simulation without faults shows nothing");
    assert!(lives.iter().any(|world| world.redelivered > 0), "no message was ever sent twice");
    assert!(lives.iter().map(|world| world.restarts).sum::<u64>() > 10, "no settings ever came from afar");
    assert!(lives.iter().any(|world| !world.model.heads.is_empty()), "no training ever ended");
    assert!(
        lives.iter().map(|world| world.answered.len()).sum::<usize>() > 20,
        "hardly anything was asked at the socket"
    );
}

#[test]
fn the_same_seed_is_the_same_life() {
    let received = |seed| live(seed).0.received;
    assert_eq!(received(3), received(3));
}
