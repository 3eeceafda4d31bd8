//! The plain life: a camera, people who label and ask, and a machine that crashes. `golden.txt` records what the engine
//! does in it, so its settings, its faults and its random draws stay as they are; other kinds of lives stand beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use edgetuned::engine::{
    Configure, GoodPatch, PromotionPolicy, Root, ScheduleSettings, Settings, TaskSettings, TuneWhen, UpdateSettings,
};
use edgetuned::head::BackboneRef;
use edgetuned::wire::{Base, ProviderUse, RejectedKey};
use edgetuned::words::{Digest, EmbeddingSpace, SampleId, TaskId};
use rand::RngExt;
use serde_json::{Map, Value};

use super::world::{Content, Faults, World, class, image_id};

/// Of three lives one has no second phase, one has one on request, and one by the schedule, too.
pub fn settings(seed: u64) -> Settings {
    let tune = [TuneWhen::Never, TuneWhen::Manual, TuneWhen::Schedule][seed as usize % 3];
    let digest = Digest::of(b"backbone");
    Settings {
        boot: String::new(),
        backbone_model: "played".into(),
        onnxruntime: "none".into(),
        backbone: BackboneRef { name: "played".into(), sha256: digest, dim: 1 },
        space: EmbeddingSpace { backbone: digest, preprocessing: digest, dim: 1 },
        space_on_cpu: EmbeddingSpace { backbone: digest, preprocessing: digest, dim: 1 },
        provider: ProviderUse::on_cpu(3),
        roots: vec![Root { path: "/in".into(), settle: Duration::from_millis(500) }],
        sources: Vec::new(),
        tasks: vec![TaskSettings {
            id: TaskId::default(),
            space: EmbeddingSpace { backbone: digest, preprocessing: digest, dim: 1 },
            label_levels: vec![Some(1)],
            schedule: ScheduleSettings {
                cron: Some("*/2 * * * *".parse().expect("a plain pattern")),
                zone: jiff::tz::TimeZone::UTC,
                min_new_labels: 4,
                cooldown: Duration::from_secs(5),
                tunes: tune == TuneWhen::Schedule,
            },
            tune,
            promotion: PromotionPolicy::Gated,
            shadow_images: 3,
            state: None,
        }],
        names_tasks: false,
        quota_bytes: u64::MAX,
        sample_bytes: 1,
        broker: Some("played".into()),
        spool_bytes_max: 1 << 24,
        spool_age_max: Duration::from_hours(7 * 24),
        base: Base::new("edgetuned", "played").expect("a plain base"),
        device_name: "played".into(),
        home_assistant: true,
        share: None,
        updates: UpdateSettings::default(),
        configuration: Value::Null,
        configure: Configure(Arc::new(judge)),
        settable: vec!["good".into()],
        schema: Value::Null,
        opening: None,
    }
}

/// Takes every patch but those with the key `bad`.
fn judge(patch: &Map<String, Value>) -> Result<GoodPatch, Vec<RejectedKey>> {
    let rejected = |key: &String| RejectedKey { key: key.clone(), error: "drawn at random".into() };
    match patch.keys().find(|key| *key == "bad") {
        Some(key) => Err(vec![rejected(key)]),
        None => Ok(GoodPatch { applied: patch.keys().cloned().collect(), effective: Value::Null }),
    }
}

/// What people did, to compare with what came of it.
#[derive(Default)]
pub struct Actions {
    pub images: u32,
    pub labelled: BTreeMap<SampleId, String>,
    pub transactions: Vec<String>,
    /// What was asked that has to be found out: name and transaction.
    pub questions: Vec<(&'static str, String)>,
    pub broken: BTreeSet<PathBuf>,
}

/// One life: 400 tenths of a second with people and faults, then 1,500 in which everything comes to rest.
pub fn live(seed: u64) -> (World, Actions) {
    let mut world = World::new(seed, settings(seed), Faults { crash: 0.01, link: 0.02, lost_hint: 0.2 });
    let mut actions = Actions::default();
    for _ in 0..400 {
        someone_acts(&mut world, &mut actions);
        world.advance();
    }
    world.faults = Faults { crash: 0.0, link: 0.0, lost_hint: 0.0 };
    for _ in 0..1_500 {
        world.advance();
    }
    (world, actions)
}

fn someone_acts(world: &mut World, actions: &mut Actions) {
    match world.rng.random_range(0..20) {
        0..=4 => {
            let number = actions.images;
            actions.images += 1;
            let folder = if world.rng.random_bool(0.3) { format!("/in/{}", class(number)) } else { "/in".into() };
            let chunks = world.rng.random_range(1..8);
            world.create(format!("{folder}/{number}.jpg").into(), Content::Image(number), chunks);
        }
        5 if actions.images > 0 => {
            let number = world.rng.random_range(0..actions.images);
            let copies = world.disk.len();
            world.create(format!("/in/copy-{copies}.jpg").into(), Content::Image(number), 2);
        }
        6 => {
            let path = PathBuf::from(format!("/in/hostile-{}.png", world.disk.len()));
            actions.broken.insert(path.clone());
            world.create(path, Content::Hostile, 2);
        }
        7 => {
            let path = PathBuf::from(format!("/in/torn-{}.jpg", world.disk.len()));
            actions.broken.insert(path.clone());
            world.create(path, Content::Image(1_000_000), u32::MAX);
        }
        8..=10 => {
            // Some labels come before their image.
            let number = world.rng.random_range(0..actions.images + 3);
            let id = image_id(number);
            let digits = world.rng.random_range(8..=64);
            let prefix = &id.to_string()[..digits];
            world.publish("label", format!(r#"{{"image": "{prefix}", "label": "{}"}}"#, class(number)));
            actions.labelled.insert(id, class(number).to_string());
        }
        11 => {
            let transaction = match actions.transactions.last() {
                Some(last) if world.rng.random_bool(0.5) => last.clone(),
                _ => format!("t{}", actions.transactions.len()),
            };
            let name = asks_for(&transaction);
            world.publish(&format!("request/{name}"), format!(r#"{{"transaction": "{transaction}"}}"#));
            actions.transactions.push(transaction);
        }
        12 => world.publish("request/rollback", String::new()),
        14 | 15 => someone_asks(world, actions),
        16 => {
            let number = world.rng.random_range(0..actions.images + 3);
            let (id, label) = (image_id(number), class(number));
            let items = format!(r#"{{"items": [{{"image": "{id}", "label": "{label}"}}]}}"#);
            world.publish("request/label", items);
            actions.labelled.insert(id, label.to_string());
        }
        17 => {
            let version = world.rng.random_range(1..6);
            world.publish("request/promote", format!(r#"{{"head": {version}}}"#));
        }
        13 => {
            let version = world.rng.random_range(0..=actions.images);
            let key = if world.rng.random_bool(0.3) { "bad" } else { "good" };
            let patch = format!(r#"{{"version": {version}, "patch": {{"{key}": {version}}}}}"#);
            let desired = if world.rng.random_bool(0.2) { String::new() } else { patch };
            world.publish("config/desired", desired);
        }
        18 => {
            let topic = ["label", "request/train", "request/x", "nonsense"][world.rng.random_range(0..4)];
            world.publish(topic, "{\"a\": [".into());
        }
        _ => {}
    }
}

/// Half of the transactions ask for a second phase; the same one asks for the same again.
fn asks_for(transaction: &str) -> &'static str {
    if transaction.ends_with(['1', '3', '5', '7', '9']) { "tune" } else { "train" }
}

/// Asks what has to be found out, the same again half of the time, through either door.
fn someone_asks(world: &mut World, actions: &mut Actions) {
    let known = world.model.arrived.last().copied();
    let (name, transaction) = match actions.questions.last() {
        Some(last) if world.rng.random_bool(0.5) => last.clone(),
        _ => {
            let name = ["samples", "predict", "export"][world.rng.random_range(0..3)];
            (name, format!("q{}", actions.questions.len()))
        }
    };
    let image = known.unwrap_or_else(|| image_id(0));
    let payload = format!(r#"{{"transaction": "{transaction}", "image": "{image}"}}"#);
    if world.rng.random_bool(0.5) {
        world.publish(&format!("request/{name}"), payload);
    } else {
        world.ask(name, payload);
    }
    actions.questions.push((name, transaction));
}
