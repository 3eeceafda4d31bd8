//! The full life: beside the camera, people and crashes of the plain one, signed updates of heads and backbones, a store
//! with a small quota that refuses for a while, restarts, clean ends, lost folders, damaged heads, drift.
//!
//! `world::invariants` looks at every change while it lives; `checks` at what is left when everything has come to rest.

mod checks;
mod configuration;
mod drift;
mod floods;
mod people;
mod sources;
mod tasks;

use std::sync::Arc;
use std::time::Duration;

use edgetuned::engine::{
    Configure, GoodPatch, HeadInfo, HeadStatus, PromotionPolicy, Root, ScheduleSettings, Settings, TaskSettings,
    UpdateSettings,
};
use edgetuned::head::BackboneRef;
use edgetuned::update::TrustedKeys;
use edgetuned::wire::{Base, ProviderUse, RejectedKey};
use edgetuned::words::{Digest, HeadId, HeadRef, TaskId, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Value};

use super::model::Model;
use super::world::{Chances, Faults, Plan, Refuses, World, class, signer, space_of};
pub use checks::check;
use people::Actions;

/// Steps in which something may go wrong.
const STEPS: usize = 260;

fn settings(rng: &mut ChaCha8Rng) -> Settings {
    let digest = Digest::of(b"backbone");
    let promotion = match rng.random_range(0..10) {
        0 => PromotionPolicy::Always,
        1 => PromotionPolicy::Manual,
        _ => PromotionPolicy::Gated,
    };
    Settings {
        boot: String::new(),
        backbone_model: "played".into(),
        onnxruntime: "none".into(),
        backbone: BackboneRef { name: "played".into(), sha256: digest, dim: 1 },
        space: space_of(digest),
        space_on_cpu: space_of(digest),
        provider: ProviderUse::on_cpu(3),
        roots: vec![Root { path: "/in".into(), settle: Duration::from_millis(500) }],
        sources: Vec::new(),
        tasks: vec![TaskSettings {
            id: TaskId::default(),
            space: space_of(digest),
            label_levels: vec![Some(1)],
            schedule: ScheduleSettings {
                cron: Some("*/2 * * * *".parse().expect("a plain pattern")),
                zone: jiff::tz::TimeZone::UTC,
                min_new_labels: 4,
                cooldown: Duration::from_secs(5),
                tunes: false,
            },
            tune: edgetuned::engine::TuneWhen::Never,
            promotion,
            shadow_images: if rng.random_bool(0.5) { 3 } else { 0 },
            state: None,
        }],
        names_tasks: false,
        // Some 40 samples, beside what the outbox holds.
        quota_bytes: if rng.random_bool(0.6) { 80_000 } else { u64::MAX },
        sample_bytes: 2_000,
        broker: Some("played".into()),
        spool_bytes_max: if rng.random_bool(0.2) { 20_000 } else { 1 << 24 },
        spool_age_max: Duration::from_hours(7 * 24),
        base: Base::new("edgetuned", "played").expect("a plain base"),
        device_name: "played".into(),
        home_assistant: true,
        share: Some(20),
        updates: UpdateSettings {
            keys: TrustedKeys(vec![signer().public()]),
            device: "played".into(),
            chunk_bytes_max: 65_536,
            bytes_max: u64::MAX,
        },
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

/// A device that is new, or has nearly as many heads as are kept, of which the last one serves.
fn store(rng: &mut ChaCha8Rng, settings: &Settings) -> Model {
    let mut model = Model::default();
    let first = model.tasks.entry(settings.tasks[0].id.clone()).or_default();
    let heads = if rng.random_bool(0.3) { rng.random_range(29..=32) } else { 0 };
    for version in 1..=heads {
        let served = rng.random_bool(0.7) || version == heads;
        first.heads.push(HeadInfo {
            head: HeadRef { id: HeadId(format!("{version:012x}")), version },
            created: Timestamp(version as i64),
            space: settings.tasks[0].space,
            backbone: settings.backbone.name.clone(),
            classes: (0..3).map(class).collect(),
            accuracy: None,
            status: if version == heads { HeadStatus::Champion } else { HeadStatus::Kept },
            reason: "it was there".into(),
            promoted_at: served.then_some(Timestamp(version as i64)),
        });
    }
    model
}

/// What somebody does in three lives of ten, drawn apart, so that the other lives are what they were.
fn drawn_apart(seed: u64) -> Actions {
    let [excludes, switches] = [0x0065_7863_6c75_6465, 0x0073_7769_7463_6865]
        .map(|what: u64| ChaCha8Rng::seed_from_u64(seed ^ what).random_bool(0.3));
    Actions { switches, excludes, ..Actions::default() }
}

/// Plays one life, until everything has come to rest.
fn live(seed: u64) -> (World, Actions) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0073_6974_7469_6e67);
    let mut settings = settings(&mut rng);
    let mut drawn = tasks::Drawn::of(seed, &settings);
    tasks::tune(seed, settings.tasks.iter_mut());
    let mut moves = Vec::new();
    if let Some(drawn) = &mut drawn {
        moves = configuration::regions(seed, drawn, &mut settings);
        sources::draw(seed, drawn, &mut settings);
        (settings.tasks, settings.names_tasks) = (drawn.tasks.clone(), true);
    }
    let model = store(&mut rng, &settings);
    let eyes = drawn.as_ref().map(|drawn| drawn.eyes.clone()).unwrap_or_default();
    let mut world = World::full(seed, settings, model, eyes);
    let mut purges = None;
    if let Some(drawn) = &drawn {
        let configuration::Writer { changes, ends } = configuration::Writer::of(seed, drawn, moves);
        (world.plan, purges) = (Plan::new(changes), ends);
    }
    let crash = [0.0, 0.001, 0.004][rng.random_range(0..3)];
    world.faults = Faults { crash, link: 0.01, lost_hint: 0.2 };
    world.chances = Chances {
        outage: if rng.random_bool(0.6) { 0.01 } else { 0.0 },
        barred: 0.2,
        lost_chunk: 0.1,
        damage: if rng.random_bool(0.3) { 0.1 } else { 0.0 },
        drift: 0.02,
        failed_training: 0.1,
        better: rng.random_range(0.2..0.9),
        poor: 0.1,
        signed_again: 0.3,
    };
    let mut actions =
        Actions { audits_only: rng.random_bool(0.25), sets_clock: rng.random_bool(0.3), ..drawn_apart(seed) };
    actions.purges = purges;
    actions.revises = drawn.is_some_and(|drawn| drawn.revises);
    if actions.audits_only {
        // A head serves long enough to be found poor.
        (world.chances.better, world.chances.poor) = (0.15, 0.5);
    }
    if actions.sets_clock && rng.random_bool(0.5) {
        world.start_in_1970();
    }
    if rng.random_bool(0.15) {
        let filters = world.filters();
        let refuses = Refuses::random(&mut rng, &filters);
        // What is subscribed to late comes after what was published later.
        world.broker.not_taken = refuses.filter.is_some();
        world.broker.refuses = Some(refuses);
    }
    let flood = floods::Flood::random(&mut rng, STEPS);
    actions.forgets = rng.random_bool(0.3);
    for step in 0..STEPS {
        if flood.broken == Some(step) {
            floods::broken_pictures(&mut world, &mut actions);
        }
        people::someone_acts(&mut world, &mut actions);
        if step % 10 == 0 && world.configuration_changed() {
            world.reload();
        }
        let pauses = world.rng.random_bool(0.15);
        world.advance_by(if pauses { 1_000 } else { 100 });
    }
    come_to_rest(&mut world);
    sources::come_back(&mut world);
    drift::answer(&mut world, &mut actions);
    if let Some(task) = actions.purges.clone() {
        configuration::ends(&mut world, &task);
    }
    if flood.repeated {
        floods::repeated_pictures(&mut world, &mut actions);
    }
    (world, actions)
}

/// The schedule may have ordered one at the last moment.
pub(super) fn await_trainings(world: &mut World) {
    let is_at_work = |world: &World| {
        let memories = world.model.tasks.values().map(|known| &known.training);
        memories.into_iter().any(|training| training.running.is_some() || training.due.is_some())
    };
    for _ in 0..60 {
        if !is_at_work(world) {
            return;
        }
        rest(world, 1_000, 1);
    }
}

/// Nothing goes wrong any more, and everything has time to end.
fn come_to_rest(world: &mut World) {
    world.faults = Faults { crash: 0.0, link: 0.0, lost_hint: 0.0 };
    world.chances = Chances { better: 1.0, ..Chances::default() };
    world.cameras.are_away = true;
    world.storage.refuses = None;
    world.set_folder_lost(false);
    world.sync_clock();
    configuration::is_read(world);
    if world.broker.refuses.is_some() {
        the_broker_relents(world);
    }
    rest(world, 100, 100);
    rest(world, 1_000, 60);
    // A backbone with which the daemon crashed may have given way just now.
    for _ in 0..20 {
        rest(world, 1_000, if world.held.is_empty() { 0 } else { 3 });
    }
    let left: Vec<_> = world.held.iter().map(|held| &held.topic).collect();
    assert!(left.is_empty() || world.broker.not_taken, "every message is acknowledged, not so {left:?}");
    // What the broker has got and the store could not note at a restart is sent again over the next connection.
    world.reconnect();
    rest(world, 1_000, 260);
}

/// The broker goes on refusing what it does not take, and everything else arrives; then it takes everything again, which
/// is found out by trying it when the daemon is asked to reload.
fn the_broker_relents(world: &mut World) {
    rest(world, 2_000, 600);
    world.only_what_is_refused_waits();
    world.broker_relents();
    let restarts = world.restarts;
    while world.restarts == restarts {
        world.reload();
        rest(world, 1_000, 4);
    }
    rest(world, 1_000, 150);
    world.nothing_is_set_aside();
}

/// Lets time pass in so many steps.
fn rest(world: &mut World, step_ms: u64, steps: u32) {
    for _ in 0..steps {
        world.advance_by(step_ms);
    }
}
