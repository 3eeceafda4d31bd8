//! The script: images, labels, corrections, orders to train, faults of the link.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use edgetuned::words::SampleId;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use crate::camera::{Camera, Light, Part};
use crate::daemon::{Home, Listener, PATIENCE};
use crate::faults::{Fault, Stage};

/// Between two images.
const IMAGE: Duration = Duration::from_millis(200);
/// Between two orders to train, in the part that is judged.
const TRAIN: Duration = Duration::from_mins(1);
/// Orders before that part: more than the heads that are kept, so that their number is reached by then.
const FILLING: u32 = 40;
/// Share of images that get a label in that part, and before it, so that soon all that is stored has one.
const LABELLED: f64 = 0.3;
const LABELLED_FILLING: f64 = 0.8;
/// Between two faults of the link.
const FAULT: Duration = Duration::from_secs(20);
/// The camera's folder holds so many files; older ones are removed.
const FILES: usize = 600;

/// How much was done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    pub images: u64,
    pub predicted: u64,
    pub labels: u64,
    pub corrections: u64,
    pub trainings: u64,
    pub promoted: u64,
    pub faults: u64,
    pub errors: u64,
}

/// Everything that is done to the daemon, and what of it is not answered yet.
pub struct Traffic {
    pub done: Done,
    rng: ChaCha8Rng,
    camera: Camera,
    image_at: Duration,
    train_at: Duration,
    /// Until here what has a bound fills up.
    filled_at: Duration,
    fault_at: Duration,
    /// Labels to be sent, with their time.
    labels: Vec<(Duration, String, Part)>,
    files: VecDeque<PathBuf>,
    /// Images without a prediction, with the moment at which they were written.
    awaited: BTreeMap<String, Instant>,
    /// Trainings that ended.
    results: BTreeSet<Option<u64>>,
    latencies_ms: Vec<f64>,
    heard_ms: Vec<f64>,
}

impl Traffic {
    /// For a play that is judged from `filled_at` on.
    pub fn new(seed: u64, filled_at: Duration) -> Self {
        Self {
            done: Done::default(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            camera: Camera::new(seed),
            image_at: Duration::ZERO,
            train_at: filled_at / FILLING,
            filled_at,
            fault_at: FAULT,
            labels: Vec::new(),
            files: VecDeque::new(),
            awaited: BTreeMap::new(),
            results: BTreeSet::new(),
            latencies_ms: Vec::new(),
            heard_ms: Vec::new(),
        }
    }

    /// When there is something to do again.
    pub fn next_at(&self) -> Duration {
        self.image_at.min(self.train_at).min(self.fault_at)
    }

    /// Does what is due at `now`.
    pub fn act(&mut self, now: Duration, home: &Home, stage: &mut Stage) {
        if now >= self.image_at {
            self.image_at += IMAGE;
            self.image(now, home);
        }
        while let Some(due) = self.labels.iter().position(|(at, ..)| *at <= now) {
            let (_, image, part) = self.labels.swap_remove(due);
            stage.ears.send("label", &json!({ "image": image, "label": part.name() }));
            self.done.labels += 1;
        }
        if now >= self.train_at {
            self.train_at += if now < self.filled_at { self.filled_at / FILLING } else { TRAIN };
            stage.ears.send("request/train", &json!({ "transaction": format!("t{}", now.as_secs()) }));
        }
        if now >= self.fault_at {
            self.fault_at += FAULT;
            // A broker that ends may take messages with it, which this play does not excuse.
            let fault = std::iter::repeat_with(|| Fault::draw(&mut self.rng))
                .find(|fault| !matches!(fault, Fault::Restart | Fault::Kill))
                .expect("most are others");
            stage.strike(fault);
            self.done.faults += 1;
        }
    }

    /// Writes a picture, and decides who labels it: nobody, somebody, or somebody who is wrong at first.
    fn image(&mut self, now: Duration, home: &Home) {
        let part = *Part::ALL.choose(&mut self.rng).expect("there are parts");
        let light = if now.as_secs() % 600 < 300 { Light::DAY } else { Light::EVENING };
        let bytes = self.camera.jpeg(part, self.done.images, &light);
        let id = SampleId::of(&bytes).to_string();
        let path = home.put(&format!("{}.jpg", self.done.images), &bytes);
        self.done.images += 1;
        self.awaited.insert(id.clone(), Instant::now());
        self.files.push_back(path);
        if self.files.len() > FILES {
            fs::remove_file(self.files.pop_front().expect("there are many")).expect("it is there");
        }
        if self.rng.random_bool(if now < self.filled_at { LABELLED_FILLING } else { LABELLED }) {
            let soon = now + Duration::from_millis(self.rng.random_range(0..5_000));
            if self.rng.random_bool(0.1) {
                let other = *Part::ALL.choose(&mut self.rng).expect("there are parts");
                self.labels.push((soon, id.clone(), other));
                self.labels.push((soon + Duration::from_secs(10), id, part));
                self.done.corrections += 1;
            } else {
                self.labels.push((soon, id, part));
            }
        }
    }

    /// Takes note of what was said.
    pub fn hear(&mut self, ears: &mut Listener) {
        for message in ears.news() {
            let said = &message.json;
            match message.topic.as_str() {
                "prediction" => {
                    let image = said["image"].as_str().expect("a prediction names its image");
                    // One that comes again was counted.
                    let Some(written) = self.awaited.remove(image) else { continue };
                    self.done.predicted += 1;
                    self.heard_ms.push((message.at - written).as_secs_f64() * 1_000.0);
                    if said["replayed"] == false {
                        self.latencies_ms.push(said["latency_ms"].as_f64().expect("it has a latency"));
                    }
                }
                // Over a link that fails a result may come twice.
                "train/result" if self.results.insert(said["training"].as_u64()) => {
                    self.done.trainings += 1;
                    self.done.promoted += u64::from(said["promoted"] == true);
                }
                "event" if said["event_type"] == "error" => {
                    println!("{said}");
                    self.done.errors += 1;
                }
                _ => {}
            }
        }
    }

    /// Waits until every image is predicted.
    pub fn settle(&mut self, ears: &mut Listener) {
        let until = Instant::now() + PATIENCE;
        while !self.awaited.is_empty() && Instant::now() < until {
            ears.listen(Instant::now() + Duration::from_millis(100));
            self.hear(ears);
        }
    }

    /// What the daemon said of its latency, and how long it took to be heard, since the last call.
    pub fn take_latencies(&mut self) -> (Vec<f64>, Vec<f64>) {
        (std::mem::take(&mut self.latencies_ms), std::mem::take(&mut self.heard_ms))
    }
}
