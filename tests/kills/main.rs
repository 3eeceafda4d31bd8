//! `kill -9` at any instant of one life: images, labels, trainings, requests, settings from afar and signed heads, about
//! one question, or about those of four tasks that each have a state.
//!
//! After each kill the state folder is looked at as the kill left it: whatever was said before is there ([`said`]), and
//! no state is untrue ([`states`]). At the end nothing is lost and nothing doubled: every image is one sample with one
//! prediction in each task, every label counts in its task and in no other, every transaction has one answer.
//! A third life ([`tuning`]) is killed while it trains the backbone's last layers on.
//! `KILL_SEED=17 cargo test --test kills` plays other instants, `make kills` 200 kills of each life.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;
mod kept;
mod life;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/onnx.rs"]
mod onnx;
mod planted;
mod questions;
mod said;
#[path = "../support/skip.rs"]
mod skip;
mod states;
mod tuning;
mod vendor;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use camera::Part;
use daemon::{Home, Listener};
use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::ports::Embedder;
use edgetuned::store::Reader;
use edgetuned::words::{SampleId, TaskId};
use life::{Deeds, Life};
use mosquitto::Mosquitto;
use questions::Question;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use said::Said;
use vendor::Vendor;

const PARTS: [Part; 3] = [Part::Nut, Part::Spring, Part::Washer];

/// No start may take longer, from its beginning until the broker has its `online`, however busy the machine is.
const START_MAX: Duration = Duration::from_secs(30);

/// How a device is set up, beside its tasks and the key that it trusts.
struct Device {
    settings: String,
    /// Of its backbone.
    manifest: Manifest,
}

impl Device {
    /// With the backbone that is the default, and trainings now and then.
    fn plain() -> Self {
        let settings = "training: { schedule: null, min_new_labels: 20, cooldown: 0s }".to_owned();
        Self { settings, manifest: Manifest::resolve("default").unwrap() }
    }
}

/// A broker, and a life that begins; nothing where there is no broker.
fn begun(seed: u64, questions: Vec<Question>, device: &Device) -> Option<(Mosquitto, Life)> {
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n")?;
    let vendor = Vendor::new(seed);
    let settings = format!(
        "{}\nupdates: {{ trusted_keys: [{}] }}\n{}",
        device.settings,
        vendor.key().display(),
        questions::section(&questions)
    );
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), broker.port, &settings);
    let ears = Listener::new(broker.port);
    let space = OnnxBackbone::open(&device.manifest, 1).unwrap().space();
    let (deeds, said, dice) = (Deeds::default(), Said::new(&questions), ChaCha8Rng::seed_from_u64(seed));
    Some((broker, Life { home, ears, vendor, dice, questions, deeds, said, space }))
}

/// Kills a daemon so often, and looks each time.
fn killed(kills: u64, seed: u64, questions: Vec<Question>) {
    println!("KILL_SEED={seed}");
    let Some((_broker, mut life)) = begun(seed, questions, &Device::plain()) else { return };
    let (mut starts, mut started) = (Vec::new(), Instant::now());
    // From its first connection on, the broker keeps what is sent to it.
    let mut daemon = life.home.start();
    starts.push(life.online(started));
    let has_tasks = life.questions.len() > 1;
    if has_tasks {
        life.learn(kills..kills + 6);
    }
    for round in 0..kills {
        life.act(round);
        // Half of them while it starts.
        if life.dice.random_bool(0.5) {
            starts.push(life.online(started));
        }
        // Of many trainings hardly one would end before a kill.
        if has_tasks && round % 20 == 19 {
            life.hear_trainings();
        }
        let wait = Duration::from_millis(life.dice.random_range(0..900));
        life.listen(wait);
        life.kill(daemon, &format!("KILL_SEED={seed}, kill {} of {kills}", round + 1));
        started = Instant::now();
        daemon = life.home.start();
    }
    starts.push(life.online(started));
    life.hear_everything();
    daemon.stop(Duration::from_secs(10));
    life.listen(Duration::from_millis(20));
    let kept = life.look().unwrap();
    planted::are_missed(&life, kept);
    life.said.states.are_published().unwrap();
    let connecting = life.said.states.were_true_on_connecting().unwrap();
    check_store(&life);
    let slowest = starts.iter().max().unwrap();
    let (labels, told) = (life.deeds.labels.len(), life.said.told());
    println!("{kills} kills: {labels} labels given; {told}; slowest of {} starts {slowest:.1?}", starts.len());
    assert!(*slowest < START_MAX, "a start took {slowest:?}");
    let busy = life.said.trainings() > 1 && life.said.patches() > 0;
    assert!(busy, "hardly anything was under way: {}", life.said.told());
    if has_tasks {
        println!("{connecting} states published on connecting were compared with what the kill before left");
        assert!(connecting > 0 && life.said.states.known() > 0, "a task had no state, or none could be compared");
    }
}

fn check_store(life: &Life) {
    let spaces = questions::spaces(&life.questions, life.space);
    let reader = Reader::open(&life.home.state(), spaces).unwrap();
    let counts = reader.counts().unwrap();
    assert_eq!((counts.samples, counts.quarantined), (life.deeds.images.len() as u64, 0));
    let mut labels: BTreeMap<(TaskId, SampleId), String> = BTreeMap::new();
    for question in &life.questions {
        let labelled = reader.labelled(&question.task).unwrap();
        let of_task = labelled.ids.iter().zip(&labelled.labels);
        labels.extend(of_task.map(|(id, label)| ((question.task.clone(), *id), label.to_string())));
        let space = question.space(life.space);
        for image in &life.deeds.images {
            assert!(
                reader.embedding(image, &space).unwrap().is_some(),
                "{image} has an embedding for {}",
                question.task
            );
        }
    }
    assert_eq!(labels, life.deeds.labels);
    let mut unsent = reader.reports_after(0, 100).unwrap();
    unsent.extend(reader.answers_after(0, 100).unwrap());
    assert!(unsent.is_empty(), "a clean end leaves nothing unsent: {unsent:?}");
}

fn seed() -> u64 {
    std::env::var("KILL_SEED").map_or(1, |seed| seed.parse().expect("KILL_SEED is a number"))
}

#[test]
fn fifteen_kills_lose_nothing_and_double_nothing() {
    killed(15, seed(), Question::only());
}

#[test]
fn twelve_kills_among_four_tasks_lose_nothing_and_leave_no_state_untrue() {
    killed(12, seed(), Question::four());
}

#[test]
fn eight_kills_in_second_phases_lose_no_order_and_leave_the_head_with_its_tail() {
    tuning::killed(8, seed());
}

#[test]
#[ignore = "takes minutes; 'make kills' runs it"]
fn two_hundred_kills_in_second_phases_lose_no_order_and_leave_the_head_with_its_tail() {
    tuning::killed(200, seed());
}

#[test]
#[ignore = "takes minutes; 'make kills' runs it"]
fn two_hundred_kills_lose_nothing_and_double_nothing() {
    killed(200, seed(), Question::only());
}

#[test]
#[ignore = "takes minutes; 'make kills' runs it"]
fn two_hundred_kills_among_four_tasks_lose_nothing_and_leave_no_state_untrue() {
    killed(200, seed(), Question::four());
}
