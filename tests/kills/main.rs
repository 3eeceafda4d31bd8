//! `kill -9` at any instant of one life: images, labels, trainings, requests, settings from afar and signed heads.
//!
//! After each kill the state folder is looked at as the kill left it: whatever was said before is there ([`said`]). At
//! the end nothing is lost and nothing doubled: every image is one sample with one prediction, every label counts,
//! every transaction has one answer. `KILL_SEED=17 cargo test --test kills` plays other instants, `make kills` 200 kills.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
mod said;
#[path = "../support/skip.rs"]
mod skip;
mod vendor;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use camera::{Camera, Light, Part};
use daemon::{Daemon, Home, Listener, Message, PATIENCE};
use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::ports::Embedder;
use edgetuned::store::{Reader, SpacesInUse};
use edgetuned::words::{EmbeddingSpace, SampleId, TaskId};
use mosquitto::Mosquitto;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rumqttc::QoS;
use said::Said;
use serde_json::json;
use vendor::Vendor;

const PARTS: [Part; 3] = [Part::Nut, Part::Spring, Part::Washer];

/// No start may take longer, from its beginning until the broker has its `online`, however busy the machine is.
const START_MAX: Duration = Duration::from_secs(30);

/// What the world did, to be compared with what came of it.
#[derive(Default)]
struct Deeds {
    images: BTreeSet<SampleId>,
    labels: BTreeMap<SampleId, String>,
    transactions: BTreeSet<String>,
    patches: u64,
}

/// One life under kills.
struct Life {
    home: Home,
    ears: Listener,
    vendor: Vendor,
    dice: ChaCha8Rng,
    deeds: Deeds,
    said: Said,
    space: EmbeddingSpace,
}

impl Life {
    /// A few images, labels for some of them, requests, and sometimes settings or a head from afar.
    fn act(&mut self, round: u64) {
        for n in 0..4 {
            self.image(round, n);
        }
        let transaction = format!("t{round}");
        self.ears.send("request/train", &json!({ "transaction": transaction }));
        self.deeds.transactions.insert(transaction);
        if self.dice.random_bool(0.3) {
            self.deeds.patches += 1;
            let patch = json!({ "prediction": { "top_k": self.deeds.patches % 3 + 1 } });
            let wish = json!({ "version": self.deeds.patches, "patch": patch }).to_string();
            self.ears.send_raw("config/desired", wish.into_bytes(), QoS::AtLeastOnce, true);
        }
        if round == 0 || self.dice.random_bool(0.2) {
            let manifest = self.vendor.release(self.space);
            self.ears.send_raw("update/head/desired", manifest, QoS::AtLeastOnce, true);
        }
    }

    fn image(&mut self, round: u64, n: u64) {
        let part = PARTS[self.dice.random_range(0..PARTS.len())];
        let bytes = Camera::new(5).with_size(160, 120).jpeg(part, 10 * round + n, &Light::DAY);
        let id = SampleId::of(&bytes);
        self.deeds.images.insert(id);
        let item = json!({ "image": &id.to_string()[..16], "label": part.name() });
        let (way, early) = (self.dice.random_range(0..4), self.dice.random_bool(0.5));
        let folder = if way == 0 { format!("{part}/") } else { String::new() };
        let mut label = || match way {
            1 => self.ears.send("label", &item),
            2 => {
                let transaction = format!("l{round}-{n}");
                self.ears.send("request/label", &json!({ "transaction": transaction, "items": [item] }));
                self.deeds.transactions.insert(transaction);
            }
            _ => {}
        };
        if early {
            label();
        }
        self.home.put(&format!("{folder}{round}-{n}.jpg"), &bytes);
        if !early {
            label();
        }
        if way < 3 {
            self.deeds.labels.insert(id, part.name().to_owned());
        }
    }

    /// Listens for so long, and sends the chunks that are asked for.
    fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            // Chunks that wait would be no fetch.
            let slice = until.min(Instant::now() + Duration::from_millis(50));
            self.ears.listen(slice);
            for message in self.ears.news() {
                self.vendor.answer(&message, &self.ears);
                self.said.hear(&message);
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Listens until `enough` is true of what was said.
    fn until(&mut self, what: &str, enough: impl Fn(&Said, &Deeds) -> bool) {
        let deadline = Instant::now() + PATIENCE * 3;
        while !enough(&self.said, &self.deeds) {
            assert!(Instant::now() < deadline, "{what}: {}", self.said.told());
            self.listen(Duration::from_millis(50));
        }
    }

    /// Until the daemon that began at `started` is online; how long that took.
    fn online(&mut self, started: Instant) -> Duration {
        self.until("it comes online", |said, _| said.online.is_some_and(|at| at > started));
        self.said.online.unwrap() - started
    }

    /// Ends it at once; what was said until then is there.
    fn kill(&mut self, daemon: Daemon, context: &str) {
        daemon.kill();
        // What the broker has heard was said, even where it reaches us only now.
        self.listen(Duration::from_millis(20));
        if let Err(lost) = self.said.is_kept(&self.home.state(), self.space) {
            panic!("{context}: {lost}");
        }
    }
}

/// Kills a daemon so often, and looks each time.
fn killed(kills: u64, seed: u64) {
    println!("KILL_SEED={seed}");
    let Some(broker) = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n") else { return };
    let vendor = Vendor::new(seed);
    let settings = format!(
        "training: {{ schedule: null, min_new_labels: 20, cooldown: 0s }}\nupdates: {{ trusted_keys: [{}] }}",
        vendor.key().display()
    );
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), broker.port, &settings);
    let ears = Listener::new(broker.port);
    let space = OnnxBackbone::open(&Manifest::resolve("default").unwrap(), 1).unwrap().space();
    let (deeds, said, dice) = (Deeds::default(), Said::default(), ChaCha8Rng::seed_from_u64(seed));
    let mut life = Life { home, ears, vendor, dice, deeds, said, space };
    let (mut starts, mut started) = (Vec::new(), Instant::now());
    // From its first connection on, the broker keeps what is sent to it.
    let mut daemon = life.home.start();
    starts.push(life.online(started));
    for round in 0..kills {
        life.act(round);
        // Half of them while it starts.
        if life.dice.random_bool(0.5) {
            starts.push(life.online(started));
        }
        let wait = Duration::from_millis(life.dice.random_range(0..900));
        life.listen(wait);
        life.kill(daemon, &format!("KILL_SEED={seed}, kill {} of {kills}", round + 1));
        started = Instant::now();
        daemon = life.home.start();
    }
    starts.push(life.online(started));
    life.until("every transaction is answered", |said, deeds| deeds.transactions.iter().all(|id| said.answers(id)));
    life.until("every image is predicted", |said, deeds| deeds.images.iter().all(|id| said.predicts(*id)));
    life.ears.send("request/status", &json!({ "transaction": "every label was taken before this" }));
    life.until("the last answer", |said, _| said.answers("every label was taken before this"));
    daemon.stop(Duration::from_secs(10));
    life.listen(Duration::from_millis(20));
    life.said.is_kept(&life.home.state(), space).unwrap();
    what_was_never_kept_is_missed(&life);
    check_store(&life);
    let slowest = starts.iter().max().unwrap();
    println!("{kills} kills: {}; slowest of {} starts {slowest:.1?}", life.said.told(), starts.len());
    assert!(*slowest < START_MAX, "a start took {slowest:?}");
    let busy = life.said.trainings() > 1 && life.said.patches() > 0 && life.said.installed() > 0;
    assert!(busy, "hardly anything was under way: {}", life.said.told());
}

/// The look at the state folder can fail.
fn what_was_never_kept_is_missed(life: &Life) {
    for (topic, json) in [
        ("prediction", json!({ "image": "00".repeat(32), "seq": 0 })),
        ("response/train", json!({ "transaction": "t0", "status": "ok", "data": {} })),
        ("response/train", json!({ "transaction": "nobody's", "status": "ok", "data": {} })),
        ("config/reported", json!({ "state": "trial", "version": life.deeds.patches + 1 })),
        ("update/head/state", json!({ "installed_version": "1000" })),
    ] {
        let mut said = Said::default();
        said.hear(&Message { topic: topic.into(), json: json.clone(), retained: false, at: Instant::now() });
        said.is_kept(&life.home.state(), life.space).expect_err(&json.to_string());
    }
}

fn check_store(life: &Life) {
    let reader = Reader::open(&life.home.state(), SpacesInUse::whole(life.space)).unwrap();
    let counts = reader.counts().unwrap();
    assert_eq!((counts.samples, counts.quarantined), (life.deeds.images.len() as u64, 0));
    let labelled = reader.labelled(&TaskId::default()).unwrap();
    let labels: BTreeMap<SampleId, String> =
        labelled.ids.iter().copied().zip(labelled.labels.iter().map(ToString::to_string)).collect();
    assert_eq!(labels, life.deeds.labels);
    for image in &life.deeds.images {
        assert!(reader.embedding(image, &life.space).unwrap().is_some(), "{image} has an embedding");
    }
    let mut unsent = reader.reports_after(0, 100).unwrap();
    unsent.extend(reader.answers_after(0, 100).unwrap());
    assert!(unsent.is_empty(), "a clean end leaves nothing unsent: {unsent:?}");
}

fn seed() -> u64 {
    std::env::var("KILL_SEED").map_or(1, |seed| seed.parse().expect("KILL_SEED is a number"))
}

#[test]
fn fifteen_kills_lose_nothing_and_double_nothing() {
    killed(15, seed());
}

#[test]
#[ignore = "takes minutes; 'make kills' runs it"]
fn two_hundred_kills_lose_nothing_and_double_nothing() {
    killed(200, seed());
}
