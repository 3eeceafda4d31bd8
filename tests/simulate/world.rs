//! A made-up world around the engine: files, a broker, a clock, workers, and the crashes of one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgetuned::engine::{
    Act, AdapterEvent, BrokerEvent, EmbeddedImage, Engine, Event, FileDisposition, FileStamp, Inbound, IngestOutcome,
    Ingested, Next, Review, Scored, Settings, Shadowed, Sighting, SocketRequest, Step, Ticket, TrainerEvent,
    TrainingOrder, TrainingOutcome, UNDER_WAY_MAX, WatchEvent,
};
use edgetuned::eval::gate::Verdict;
use edgetuned::head::{Calibration, DenseHead, HeadRecord, HeldOut, TrainingFacts};
use edgetuned::wire::{Answer, Response};
use edgetuned::words::{ClassSet, HeadId, HeadRef, Label, Now, SampleId, Timestamp};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::golden::Record;
use super::model::Model;

/// What a file is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A picture; equal numbers are equal bytes.
    Image(u32),
    /// Something that will never be a picture.
    Hostile,
}

/// A file being written, or written.
#[derive(Debug, Clone)]
pub struct File {
    pub content: Content,
    pub stamp: FileStamp,
    /// Chunks that the writer still has to write; `u32::MAX` when it died over it.
    pub missing: u32,
    slow: bool,
}

/// A message that the broker holds for the daemon until it is acknowledged.
#[derive(Debug, Clone)]
pub struct Held {
    pub topic: String,
    pub payload: Vec<u8>,
    ticket: u64,
}

/// How much goes wrong; zero everywhere at the end of a run, so that everything comes to rest.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub crash: f64,
    pub link: f64,
    pub lost_hint: f64,
}

/// What a message on the broker said, by its number.
pub type Received = BTreeMap<u64, (String, Vec<u8>)>;

pub struct World {
    pub rng: ChaCha8Rng,
    pub faults: Faults,
    pub now: Now,
    pub disk: BTreeMap<PathBuf, File>,
    pub model: Model,
    pub received: Received,
    pub redelivered: u64,
    pub held: Vec<Held>,
    pub acknowledged: Vec<Held>,
    pub crashes: u64,
    pub restarts: u64,
    /// What the engine did so far.
    pub record: Record,
    /// Who waits at the socket of this process.
    pub waiting: BTreeSet<Ticket>,
    /// What was answered at the socket.
    pub answered: Vec<Response>,
    /// Searches for an answer under way.
    under_way: usize,
    /// Searches ever begun: each finds something else.
    found: u64,
    settings: Settings,
    engine: Engine,
    events: VecDeque<(Duration, Event)>,
    serving: Option<HeadRef>,
    shadow: Option<u64>,
    connected: bool,
    scan_at: Duration,
    tickets: u64,
    boots: u64,
    in_flight: BTreeSet<PathBuf>,
}

impl World {
    pub fn new(seed: u64, settings: Settings, faults: Faults) -> Self {
        let model = Model::default();
        let engine = Engine::new(settings.clone(), model.snapshot());
        let mut world = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            faults,
            now: Now { wall: Timestamp(1_772_323_200_000), mono: Duration::ZERO },
            disk: BTreeMap::new(),
            model,
            received: Received::new(),
            redelivered: 0,
            held: Vec::new(),
            acknowledged: Vec::new(),
            crashes: 0,
            restarts: 0,
            record: Record::default(),
            waiting: BTreeSet::new(),
            answered: Vec::new(),
            under_way: 0,
            found: 0,
            settings,
            engine,
            events: VecDeque::new(),
            serving: None,
            shadow: None,
            connected: false,
            scan_at: Duration::ZERO,
            tickets: 0,
            boots: 0,
            in_flight: BTreeSet::new(),
        };
        world.boot();
        world
    }

    /// A process starts with nothing but what the model kept.
    fn boot(&mut self) {
        self.boots += 1;
        self.settings.boot = format!("boot-{}", self.boots);
        self.events.clear();
        self.in_flight.clear();
        self.waiting.clear();
        self.under_way = 0;
        self.serving = None;
        self.shadow = None;
        self.connected = false;
        drop(self.model.twin.starting());
        self.engine = Engine::new(self.settings.clone(), self.model.snapshot());
        let step = self.engine.start(self.now);
        self.record.step(self.now, &step);
        self.apply(step);
    }

    /// Everything but the link starts anew within the process.
    fn restart(&mut self) {
        self.restarts += 1;
        self.boots += 1;
        self.events.retain(|(_, event)| outlives(event));
        self.in_flight.clear();
        self.serving = None;
        self.shadow = None;
        self.under_way = 0;
        drop(self.model.twin.starting());
        let fresh = || Engine::new(self.settings.clone(), self.model.snapshot());
        let former = std::mem::replace(&mut self.engine, fresh());
        self.engine = Engine::after(former.carry(), self.settings.clone(), self.model.snapshot());
        let step = self.engine.start(self.now);
        self.record.step(self.now, &step);
        self.apply(step);
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.now.mono = Duration::ZERO;
        self.scan_at = Duration::ZERO;
        self.boot();
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// A tenth of a second passes.
    pub fn advance(&mut self) {
        self.now.mono += Duration::from_millis(100);
        self.now.wall = self.now.wall.plus(Duration::from_millis(100));
        self.writers();
        if self.now.mono >= self.scan_at {
            self.scan_at = self.now.mono + Duration::from_mins(1);
            self.scan();
        }
        self.link();
        let mut due: Vec<Event> = Vec::new();
        while self.events.front().is_some_and(|(at, _)| *at <= self.now.mono) {
            due.extend(self.events.pop_front().map(|(_, event)| event));
        }
        due.push(Event::Tick);
        // Several steps share a commit, as they do in the daemon.
        while !due.is_empty() {
            let batch = self.rng.random_range(1..=4).min(due.len());
            let (boots, crashes) = (self.boots, self.crashes);
            let mut together = Step::default();
            for event in due.drain(..batch) {
                match &event {
                    Event::Ingest(ingested) => drop(self.in_flight.take(&ingested.path)),
                    Event::QueryAnswered { .. } => self.under_way -= 1,
                    _ => {}
                }
                let step = self.engine.step(self.now, event);
                self.record.step(self.now, &step);
                together.append(step);
            }
            self.apply(together);
            if self.boots != boots {
                // What was due in a process that died is gone.
                if self.crashes == crashes {
                    due.drain(..).filter(outlives).for_each(|event| self.later(0, event));
                }
                return;
            }
        }
    }

    /// One transaction for all writes, then the acts; the process may die before, between and after.
    fn apply(&mut self, step: Step) {
        if self.happens(self.faults.crash) {
            return self.crash();
        }
        self.model.commit(&step.writes);
        for act in step.acts {
            if self.happens(self.faults.crash) {
                return self.crash();
            }
            self.act(act);
        }
        if step.then != Next::Continue && self.happens(self.faults.crash) {
            return self.crash();
        }
        if step.then == Next::Restart {
            self.restart();
        }
    }

    fn act(&mut self, act: Act) {
        match act {
            // Listings here show everything, held or not.
            Act::Publish { .. }
            | Act::SendOutbox
            | Act::FoldInLabels(_)
            | Act::PauseScans(_)
            | Act::FindMissingFiles
            | Act::Systemd(_) => {}
            Act::PrepareBackbone(_) | Act::DeleteBackbone(_) => unreachable!("no backbone comes here"),
            Act::Ack(ticket) => {
                let (acknowledged, held) =
                    std::mem::take(&mut self.held).into_iter().partition(|held| held.ticket == ticket);
                self.held = held;
                self.acknowledged.extend::<Vec<Held>>(acknowledged);
            }
            Act::Answer { ticket, response } => {
                assert!(self.waiting.remove(&ticket), "ticket {ticket} was answered twice, or never given");
                self.answered.push(*response);
            }
            Act::Query { job, .. } => {
                self.under_way += 1;
                assert!(self.under_way <= UNDER_WAY_MAX, "the answering worker's queue is bounded");
                self.found += 1;
                let answer = Answer::ok(&self.found);
                self.later(4_000, Event::QueryAnswered { job, answer });
            }
            Act::Ingest { root, path } => {
                assert!(self.in_flight.insert(path.clone()), "{} was handed to the worker twice", path.display());
                assert!(self.in_flight.len() <= 8, "the worker's queue is bounded");
                let ingested = self.read(root, path);
                self.later(2_000, Event::Ingest(ingested));
            }
            Act::Stat { root, path } => {
                let stamp = self.disk.get(&path).map(|file| file.stamp);
                self.later(50, Event::Watch(WatchEvent::FileSeen(Sighting { root, path, stamp, closed: false })));
            }
            Act::Rescan => self.scan(),
            Act::Train(order) => {
                let outcome = self.train(order);
                self.later(5_000, outcome);
            }
            Act::Shadow(version) => {
                let stored = |version: u64| self.model.heads.iter().any(|head| head.head.version == version);
                assert!(version.is_none_or(stored), "head {version:?} is in shadow but is not stored");
                self.shadow = version;
            }
            Act::UpdateOnline(ids) => {
                let known = |id: &SampleId| self.model.samples.contains_key(id);
                assert!(ids.iter().all(known), "only what is stored can be learned");
            }
            Act::Review { .. } => self.later(3_000, Event::Adapter(AdapterEvent::ReviewListReady(Review::default()))),
            Act::Evict { .. } => unreachable!("the quota is without end"),
            Act::VerifyUpdate(_) => unreachable!("no key is trusted"),
            Act::Serve(version) => {
                self.serving =
                    self.model.heads.iter().map(|head| &head.head).find(|head| Some(head.version) == version).cloned();
                assert!(version.is_none() || self.serving.is_some(), "head {version:?} serves but is not stored");
            }
        }
    }

    fn later(&mut self, within_ms: u64, event: Event) {
        let at = self.now.mono + Duration::from_millis(self.rng.random_range(0..=within_ms));
        let place = self.events.partition_point(|(due, _)| *due <= at);
        self.events.insert(place, (at, event));
    }

    fn scan(&mut self) {
        let found: Vec<_> = self.disk.iter().map(|(path, file)| (path.clone(), file.stamp)).collect();
        for (path, stamp) in found {
            if !self.model.is_known(&path, stamp) {
                self.later(
                    300,
                    Event::Watch(WatchEvent::FileSeen(Sighting { root: 0, path, stamp: Some(stamp), closed: false })),
                );
            }
        }
        self.later(300, Event::Watch(WatchEvent::ScanFinished { ignored: 0, unreadable: vec![] }));
    }

    /// Starts writing a file in so many chunks.
    pub fn create(&mut self, path: PathBuf, content: Content, chunks: u32) {
        let stamp = FileStamp { size: 1, mtime_ns: self.now.wall.0 * 1_000_000 };
        let slow = self.rng.random_bool(0.3);
        self.disk.insert(path, File { content, stamp, missing: chunks, slow });
    }

    fn writers(&mut self) {
        let mut hints = Vec::new();
        for (path, file) in &mut self.disk {
            // Some writers take their time, longer than a file needs to look settled.
            if file.missing == 0 || file.missing == u32::MAX || (file.slow && !self.rng.random_bool(0.08)) {
                continue;
            }
            file.missing -= 1;
            file.stamp = FileStamp { size: file.stamp.size + 100, mtime_ns: self.now.wall.0 * 1_000_000 };
            hints.push((path.clone(), file.stamp, file.missing == 0));
        }
        for (path, stamp, closed) in hints {
            if !self.happens(self.faults.lost_hint) {
                self.later(
                    20,
                    Event::Watch(WatchEvent::FileSeen(Sighting { root: 0, path, stamp: Some(stamp), closed })),
                );
            }
        }
    }

    fn read(&mut self, root: usize, path: PathBuf) -> Ingested {
        let Some(file) = self.disk.get(&path).cloned() else {
            return Ingested { root, path, stamp: FileStamp { size: 0, mtime_ns: 0 }, outcome: IngestOutcome::Gone };
        };
        let outcome = match file.content {
            _ if file.missing > 0 => IngestOutcome::Incomplete { reason: "ends early".into() },
            Content::Hostile => IngestOutcome::Bad { reason: "no image".into() },
            Content::Image(number) => {
                let id = image_id(number);
                let twin = |(other, (_, fate)): (&PathBuf, &(FileStamp, FileDisposition))| {
                    (*other != path && *fate == FileDisposition::Sample(id) && self.disk.contains_key(other))
                        .then(|| other.clone())
                };
                IngestOutcome::Image(Box::new(EmbeddedImage {
                    id,
                    bytes: file.stamp.size,
                    embedding: vec![number as f32],
                    group: id,
                    prediction: self.serving.clone().map(|head| self.score(head, number)),
                    here_before: self
                        .model
                        .files
                        .get(&path)
                        .is_some_and(|(_, fate)| *fate == FileDisposition::Sample(id)),
                    twins: self.model.files.iter().filter_map(twin).collect(),
                    decode: Duration::from_millis(3),
                    embed: Duration::from_millis(10),
                }))
            }
        };
        Ingested { root, path, stamp: file.stamp, outcome }
    }

    /// What the head in service says of a picture, and the one in shadow, which errs on every fifth.
    fn score(&self, head: HeadRef, number: u32) -> Scored {
        let shadow = self.shadow.map(|version| {
            let label = class(if number.is_multiple_of(5) { number + 1 } else { number });
            Shadowed { version, label }
        });
        Scored {
            head,
            top: vec![(class(number), 0.9)],
            set: None,
            novelty: Some(0.0),
            novelty_rank: Some(0.5),
            unknown: Some(number.is_multiple_of(7)),
            instant: false,
            shadow,
        }
    }

    fn train(&mut self, order: TrainingOrder) -> Event {
        if self.rng.random_bool(0.1) {
            return Event::Trainer(TrainerEvent::Failed { reason: "the machine was too small".into() });
        }
        let version = self.model.heads.last().map_or(0, |head| head.head.version) + 1;
        let classes: ClassSet = (0..3).map(class).collect();
        let promote = self.rng.random_bool(0.6);
        let space = self.settings.space;
        let id = HeadId(format!("{:012x}", self.rng.next_u64() >> 16));
        let challenger = HeadRecord {
            head: HeadRef { id, version },
            created: self.now.wall,
            backbone: self.settings.backbone.clone(),
            dense: DenseHead {
                space,
                classes,
                hidden: None,
                weights: ndarray::Array2::zeros((3, space.dim)),
                bias: ndarray::Array1::zeros(3),
                temperature: 1.0,
            },
            training: TrainingFacts {
                solver: "lbfgs".into(),
                lambda: 0.1,
                lambda_path: vec![],
                loss: 0.5,
                iterations: 3,
                converged: true,
                n_train: 3,
                seed: 0,
                fit_seconds: 0.1,
                ..TrainingFacts::default()
            },
            figures: None,
            heldout: HeldOut::default(),
            calibration: Calibration::default(),
        };
        let verdict = Verdict {
            promote,
            provisional: false,
            code: "test".into(),
            reason: "as the dice fell".into(),
            change: None,
        };
        Event::Trainer(TrainerEvent::Finished(Box::new(TrainingOutcome {
            order,
            challenger,
            champion: None,
            verdict,
            changes: vec![],
            suspicious_labels: 0,
        })))
    }

    /// Somebody publishes a message for the daemon; the broker holds it until it is acknowledged.
    pub fn publish(&mut self, topic: &str, payload: String) {
        self.tickets += 1;
        self.held.push(Held { topic: topic.to_owned(), payload: payload.into_bytes(), ticket: self.tickets });
        if self.connected {
            self.deliver_held(self.held.len() - 1);
        }
    }

    /// Somebody asks at the socket; whether the answer comes before the process dies is up to the dice.
    pub fn ask(&mut self, name: &str, payload: String) {
        self.tickets += 1;
        self.waiting.insert(self.tickets);
        let request = SocketRequest { name: name.to_owned(), payload: payload.into_bytes(), ticket: self.tickets };
        self.later(0, Event::Socket(request));
    }

    fn deliver_held(&mut self, index: usize) {
        let Held { topic, payload, ticket } = self.held[index].clone();
        self.later(
            0,
            Event::Broker(BrokerEvent::Message(Inbound { topic, payload, retained: false, delivery: ticket })),
        );
    }

    /// The link comes and goes; while it is there, the outbox drains in order.
    fn link(&mut self) {
        if self.connected && self.happens(self.faults.link) {
            self.connected = false;
            self.events.retain(|(_, event)| {
                !matches!(event, Event::Broker(BrokerEvent::Message(_) | BrokerEvent::Delivered { .. }))
            });
            return self.later(
                0,
                Event::Broker(BrokerEvent::Disconnected { reason: "reset by the dice".into(), barred: false }),
            );
        }
        if !self.connected && self.happens(0.2) {
            self.connected = true;
            self.later(0, Event::Broker(BrokerEvent::Connected));
            for index in 0..self.held.len() {
                self.deliver_held(index);
            }
        }
        if !self.connected {
            return;
        }
        let window: Vec<_> = self.model.outbox.values().take(20).cloned().collect();
        for message in window {
            let said = (message.topic.to_string(), message.payload);
            match self.received.get(&message.seq) {
                Some(before) => {
                    assert_eq!(*before, said, "seq {} means two messages", message.seq);
                    self.redelivered += 1;
                }
                None => {
                    self.received.insert(message.seq, said);
                }
            }
            self.later(0, Event::Broker(BrokerEvent::Delivered { seq: message.seq }));
        }
    }
}

/// What is as true for the next engine of the process: it comes from the link.
fn outlives(event: &Event) -> bool {
    matches!(event, Event::Broker(_) | Event::Socket(_))
}

pub fn class(number: u32) -> Label {
    Label::new(["nut", "bolt", "gear"][(number % 3) as usize]).expect("a plain word")
}

pub fn image_id(number: u32) -> SampleId {
    SampleId::of(&number.to_le_bytes())
}

/// The class folder that a path lies in, below `/in`.
pub fn folder(path: &Path) -> Option<String> {
    let below = path.strip_prefix("/in").ok()?;
    (below.components().count() > 1)
        .then(|| below.components().next().expect("counted").as_os_str().to_string_lossy().into())
}
