//! One life of a daemon that is killed again and again: what the world does, and what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use edgetuned::words::{EmbeddingSpace, SampleId, TaskId};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rumqttc::QoS;
use serde_json::{Value, json};

use crate::PARTS;
use crate::camera::{Camera, Light, Part};
use crate::daemon::{Daemon, Home, Listener, PATIENCE};
use crate::kept::Kept;
use crate::questions::Question;
use crate::said::Said;
use crate::vendor::Vendor;

/// What the world did, to be compared with what came of it.
#[derive(Default, Clone)]
pub struct Deeds {
    pub images: BTreeSet<SampleId>,
    /// Every label that was given, in whichever way.
    pub labels: BTreeMap<(TaskId, SampleId), String>,
    /// Those of them that class folders gave.
    pub sorted: BTreeSet<(TaskId, SampleId)>,
    /// What was asked, by transaction.
    pub asked: BTreeMap<String, Asked>,
    pub patches: u64,
}

/// What a transaction asked for.
#[derive(Clone)]
pub enum Asked {
    /// A training of a task.
    Training(TaskId),
    /// A label of an image in a task.
    Label(TaskId, SampleId, String),
}

/// One life under kills.
pub struct Life {
    pub home: Home,
    pub ears: Listener,
    pub vendor: Vendor,
    pub dice: ChaCha8Rng,
    pub questions: Vec<Question>,
    pub deeds: Deeds,
    pub said: Said,
    /// Of whole pictures.
    pub space: EmbeddingSpace,
}

/// How an image gets its label for a question; there are more numbers than these.
const BY_FOLDER: u8 = 0;
const BY_MESSAGE: u8 = 1;
const BY_REQUEST: u8 = 2;

impl Life {
    /// A few images, labels for some of them, requests, and sometimes settings or a head from afar.
    pub fn act(&mut self, round: u64) {
        for n in 0..4 {
            self.image(round, n);
        }
        // Each in its turn.
        let question = self.questions[round as usize % self.questions.len()].clone();
        let transaction = format!("t{round}");
        self.ears.send("request/train", &question.about(json!({ "transaction": transaction })));
        self.deeds.asked.insert(transaction, Asked::Training(question.task.clone()));
        if self.dice.random_bool(0.3) {
            self.deeds.patches += 1;
            let patch = json!({ "prediction": { "top_k": self.deeds.patches % 3 + 1 } });
            let wish = json!({ "version": self.deeds.patches, "patch": patch }).to_string();
            self.ears.send_raw("config/desired", wish.into_bytes(), QoS::AtLeastOnce, true);
        }
        if round == 0 || self.dice.random_bool(0.2) {
            let manifest = self.vendor.release(&question, self.space);
            self.ears.send_raw("update/head/desired", manifest, QoS::AtLeastOnce, true);
        }
    }

    fn image(&mut self, round: u64, n: u64) {
        let part = PARTS[self.dice.random_range(0..PARTS.len())];
        let bytes = Camera::new(5).with_size(160, 120).jpeg(part, 10 * round + n, &Light::DAY);
        let id = SampleId::of(&bytes);
        self.deeds.images.insert(id);
        let ways: Vec<u8> = self.questions.iter().map(|_| self.dice.random_range(0..4)).collect();
        let early = self.dice.random_bool(0.5);
        let is_sorted = self.questions.iter().zip(&ways).any(|(question, way)| question.by_folder && *way == BY_FOLDER);
        let folder = if is_sorted { format!("{part}/") } else { String::new() };
        if early {
            self.label(id, part, &ways, &format!("l{round}-{n}"));
        }
        self.home.put(&format!("{folder}{round}-{n}.jpg"), &bytes);
        if !early {
            self.label(id, part, &ways, &format!("l{round}-{n}"));
        }
    }

    /// Labels an image for each question in its way.
    fn label(&mut self, id: SampleId, part: Part, ways: &[u8], transaction: &str) {
        let mut items = Vec::new();
        for (question, way) in self.questions.iter().zip(ways) {
            let label = question.answer(part);
            let item = json!({ "image": &id.to_string()[..16], "label": label });
            match *way {
                BY_FOLDER if question.by_folder => {
                    self.deeds.sorted.insert((question.task.clone(), id));
                }
                BY_FOLDER | BY_MESSAGE => items.push(question.about(item)),
                BY_REQUEST => {
                    let transaction = format!("{transaction}-{}", question.task);
                    let request = question.about(json!({ "transaction": transaction, "items": [item] }));
                    self.ears.send("request/label", &request);
                    self.deeds.asked.insert(transaction, Asked::Label(question.task.clone(), id, label.to_owned()));
                }
                _ => continue,
            }
            self.deeds.labels.insert((question.task.clone(), id), label.to_owned());
        }
        // One message for the labels of several tasks.
        match items.len() {
            0 => {}
            1 => self.ears.send("label", &items[0]),
            _ => self.ears.send("label", &Value::Array(items)),
        }
    }

    /// Listens for so long, and sends the chunks that are asked for.
    pub fn listen(&mut self, time: Duration) {
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
    pub fn until(&mut self, what: &str, enough: impl Fn(&Said, &Deeds) -> bool) {
        let deadline = Instant::now() + PATIENCE * 3;
        while !enough(&self.said, &self.deeds) {
            assert!(Instant::now() < deadline, "{what}: {}", self.said.told());
            self.listen(Duration::from_millis(50));
        }
    }

    /// Until the daemon that began at `started` is online; how long that took.
    pub fn online(&mut self, started: Instant) -> Duration {
        self.until("it comes online", |said, _| said.online.is_some_and(|at| at > started));
        self.said.online.unwrap() - started
    }

    /// Images of these rounds, and a head for every question, so that there are states from the first kill on.
    pub fn learn(&mut self, rounds: Range<u64>) {
        for round in rounds {
            for n in 0..4 {
                self.image(round, n);
            }
        }
        self.hear_predictions();
        for question in &self.questions {
            let transaction = format!("first-{}", question.task);
            self.ears.send("request/train", &question.about(json!({ "transaction": transaction })));
            self.deeds.asked.insert(transaction, Asked::Training(question.task.clone()));
        }
        self.hear_trainings();
    }

    /// Until nothing is left to be said.
    pub fn hear_everything(&mut self) {
        self.hear_predictions();
        self.hear_trainings();
        self.until("a head from afar was installed or refused", |said, _| said.updates() > 0);
        let last = "every label was taken before this";
        self.ears.send("request/status", &json!({ "transaction": last }));
        self.until("the last answer", |said, _| said.answers(last));
    }

    pub fn hear_predictions(&mut self) {
        let tasks: Vec<TaskId> = self.questions.iter().map(|question| question.task.clone()).collect();
        self.until("every image is predicted", |said, deeds| {
            deeds.images.iter().all(|id| tasks.iter().all(|task| said.predicts(task, *id)))
        });
    }

    /// Until everything is answered, and every training that was accepted has its result.
    pub fn hear_trainings(&mut self) {
        self.until("every transaction is answered", |said, deeds| deeds.asked.keys().all(|id| said.answers(id)));
        self.until("every training has a result", Said::has_trained);
    }

    /// Ends it at once; what was said until then is there.
    pub fn kill(&mut self, daemon: Daemon, context: &str) {
        daemon.kill();
        // What the broker has heard was said, even where it reaches us only now.
        self.listen(Duration::from_millis(20));
        if let Err(lost) = self.look() {
            panic!("{context}: {lost}");
        }
    }

    /// Looks at the state folder of a daemon that is not running: whether all that was said is there, and nothing else.
    pub fn look(&mut self) -> Result<Kept, String> {
        let kept = Kept::open(&self.home.state(), &self.questions, self.space)?;
        self.said.is_in(&kept, &self.deeds)?;
        self.said.states.find(&kept)?;
        Ok(kept)
    }
}
