//! A made-up world around the engine: files, a broker, a clock, workers, and the crashes of one seed.
//!
//! The plain life plays only what `faults` say; with `plays_all` updates, evictions, outages of the store, lost folders and
//! damaged heads come with it, and a witness looks at every change. Dice that only the second kind of life needs are not
//! thrown in the first ([`World::chance`]).

mod broker;
mod disk;
mod storage;
mod updates;
mod witness;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use edgetuned::engine::{
    Act, AdapterEvent, BrokerEvent, Engine, Event, InstalledBackbone, Next, ProcessEvent, PromotionPolicy, Review,
    Settings, Step, SystemMetrics, Ticket, UNDER_WAY_MAX, Write,
};
use edgetuned::head::BackboneRef;
use edgetuned::wire::Response;
use edgetuned::words::{Digest, HeadRef, Now, SampleId, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::golden::Record;
use super::model::Model;
use broker::{Broker, Received};
use storage::Storage;
use updates::Vendor;
use witness::Witness;
use workers::{Adapter, Work};

pub use broker::Held;
pub use disk::{Content, File, class, folder, image_id};
pub use updates::{signer, space_of};

/// How much goes wrong; zero everywhere at the end of a run, so that everything comes to rest.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub crash: f64,
    pub link: f64,
    pub lost_hint: f64,
}

/// What else may happen, by its probability; none of it in a plain life.
#[derive(Debug, Clone, Copy, Default)]
pub struct Weather {
    /// The store begins to refuse, in a tenth of a second.
    pub outage: f64,
    /// The broker does not let the device in again, at a cut of the link.
    pub barred: f64,
    /// A chunk of an update does not come.
    pub lost_chunk: f64,
    /// A head that is to serve cannot be read, when it is first asked for.
    pub damage: f64,
    /// Embeddings are found to have drifted, at an image.
    pub drift: f64,
    /// A training comes to nothing.
    pub failed_training: f64,
    /// A challenger is no worse than the champion.
    pub better: f64,
}

/// How often what is rare was played.
#[derive(Debug, Clone, Copy, Default)]
pub struct Played {
    pub outages: u64,
    pub evictions: u64,
    pub stops: u64,
    pub backbones_reverted: u64,
    pub damaged_heads: u64,
}

pub struct World {
    pub rng: ChaCha8Rng,
    pub faults: Faults,
    pub weather: Weather,
    pub played: Played,
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
    pub broker: Broker,
    pub storage: Storage,
    pub witness: Witness,
    /// Heads whose file cannot be read.
    pub damaged: BTreeSet<u64>,
    pub folder_is_lost: bool,
    plays_all: bool,
    /// Whether what happens is printed, with `SIMULATE_TRACE`.
    is_traced: bool,
    /// Searches for an answer under way.
    under_way: usize,
    /// Searches ever begun: each finds something else.
    found: u64,
    settings: Settings,
    /// The backbone that the configuration names.
    own: BackboneRef,
    engine: Engine,
    events: VecDeque<(Duration, Event)>,
    /// What acts came to by themselves, for the next step.
    heard: Vec<Event>,
    work: Vec<(Duration, Work)>,
    adapter: Adapter,
    vendor: Vendor,
    /// Backbones that came as updates and whose files are there.
    staged: BTreeSet<Digest>,
    /// Heads that were read at least once.
    readable: BTreeSet<u64>,
    listings_are_held: bool,
    serving: Option<HeadRef>,
    shadow: Option<u64>,
    connected: bool,
    scan_at: Duration,
    vitals_at: Duration,
    tickets: u64,
    boots: u64,
    processes: u64,
    in_flight: BTreeSet<PathBuf>,
}

impl World {
    pub fn new(seed: u64, settings: Settings, faults: Faults) -> Self {
        Self::with(seed, settings, faults, Model::default(), false)
    }

    /// A world in which everything may happen, on a device that has this store.
    pub fn full(seed: u64, settings: Settings, model: Model) -> Self {
        Self::with(seed, settings, Faults { crash: 0.0, link: 0.0, lost_hint: 0.0 }, model, true)
    }

    fn with(seed: u64, settings: Settings, faults: Faults, model: Model, plays_all: bool) -> Self {
        let engine = Engine::new(settings.clone(), model.snapshot());
        let mut world = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            faults,
            weather: Weather::default(),
            played: Played::default(),
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
            broker: Broker::default(),
            storage: Storage::default(),
            witness: Witness::default(),
            damaged: BTreeSet::new(),
            folder_is_lost: false,
            plays_all,
            is_traced: plays_all && std::env::var_os("SIMULATE_TRACE").is_some(),
            under_way: 0,
            found: 0,
            own: settings.backbone.clone(),
            settings,
            engine,
            events: VecDeque::new(),
            heard: Vec::new(),
            work: Vec::new(),
            adapter: Adapter::default(),
            vendor: Vendor::default(),
            staged: BTreeSet::new(),
            readable: BTreeSet::new(),
            listings_are_held: false,
            serving: None,
            shadow: None,
            connected: false,
            scan_at: Duration::ZERO,
            vitals_at: Duration::ZERO,
            tickets: 0,
            boots: 0,
            processes: 0,
            in_flight: BTreeSet::new(),
        };
        world.boot();
        world
    }

    /// A process starts with nothing but what the model kept.
    fn boot(&mut self) {
        self.boots += 1;
        self.processes += 1;
        self.settings.boot = format!("boot-{}", self.boots);
        self.events.clear();
        self.in_flight.clear();
        self.waiting.clear();
        self.connected = false;
        self.storage.forget();
        self.forget_workers();
        self.begin();
        self.engine = Engine::new(self.settings.clone(), self.model.snapshot());
        self.start();
    }

    /// Everything but the link starts anew within the process.
    fn restart(&mut self) {
        self.restarts += 1;
        self.boots += 1;
        self.events.retain(|(_, event)| outlives(event));
        self.in_flight.clear();
        self.note_deliveries();
        self.forget_workers();
        self.begin();
        let fresh = || Engine::new(self.settings.clone(), self.model.snapshot());
        let former = std::mem::replace(&mut self.engine, fresh());
        self.engine = Engine::after(former.carry(), self.settings.clone(), self.model.snapshot());
        self.start();
        if self.plays_all {
            self.scan();
        }
    }

    /// What an engine's workers knew and were about to say.
    fn forget_workers(&mut self) {
        self.under_way = 0;
        (self.serving, self.shadow, self.listings_are_held) = (None, None, false);
        self.heard.clear();
        self.work.clear();
        self.witness.engine_begins();
    }

    /// What comes before an engine: which settings and which backbone are to be tried.
    fn begin(&mut self) {
        if !self.plays_all {
            drop(self.model.twin.starting());
            return;
        }
        loop {
            let mut memory = self.model.backbone.clone();
            let writes = memory.starting(self.now.wall);
            self.commit_start(&writes);
            let mut twin = self.model.twin.clone();
            let was_reverted = twin.reverted().is_some();
            let writes = twin.starting();
            self.commit_start(&writes);
            let taken_back = self.model.twin.reverted().filter(|_| !was_reverted);
            self.settings.opening = taken_back.map(|reason| format!("taken back: {reason}"));
            let is_fatal = self.model.twin.patch.as_ref().is_some_and(|patch| patch.contains_key("fatal"));
            if self.backbone_opens() && !is_fatal {
                break;
            }
            let mut memory = self.model.backbone.clone();
            let mut writes = memory.revert("it does not open", self.now.wall);
            let mut twin = self.model.twin.clone();
            writes.extend(twin.revert("the daemon does not start with it"));
            assert!(!writes.is_empty(), "the daemon does not start, and nothing is in probation");
            self.commit_start(&writes);
        }
        let installed = self.model.backbone.model(&self.settings.backbone_model);
        let named =
            |installed: &InstalledBackbone| BackboneRef { name: "from afar".into(), sha256: installed.sha256, dim: 1 };
        self.settings.backbone = installed.map_or_else(|| self.own.clone(), named);
        self.settings.space = space_of(self.settings.backbone.sha256);
        self.model.backbone_in_use = Some(self.settings.backbone.sha256);
        self.start_adapter();
    }

    /// What a start changes; a store that refuses would end the process, so it does so no longer.
    fn commit_start(&mut self, writes: &[Write]) {
        if writes.is_empty() {
            return;
        }
        self.storage.refuses = None;
        let before = self.model.backbone.installed.clone();
        self.witness.reverts = true;
        self.commit(writes);
        self.witness.reverts = false;
        self.played.backbones_reverted += u64::from(before != self.model.backbone.installed);
    }

    fn start(&mut self) {
        if self.folder_is_lost {
            self.report_folder();
        }
        let step = self.engine.start(self.now);
        self.recorded(&step);
        self.apply(step);
    }

    fn crash(&mut self) {
        self.crashes += 1;
        self.process_ends();
    }

    fn process_ends(&mut self) {
        self.now.mono = Duration::ZERO;
        self.scan_at = Duration::ZERO;
        self.vitals_at = Duration::ZERO;
        self.boot();
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// The same, without a throw of the dice for what never happens.
    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.happens(probability)
    }

    /// A tenth of a second passes.
    pub fn advance(&mut self) {
        self.advance_by(100);
    }

    /// So many milliseconds pass.
    pub fn advance_by(&mut self, ms: u64) {
        self.now.mono += Duration::from_millis(ms);
        self.now.wall = self.now.wall.plus(Duration::from_millis(ms));
        self.writers();
        if self.now.mono >= self.scan_at {
            self.scan_at = self.now.mono + Duration::from_mins(1);
            self.scan();
        }
        self.link();
        if self.plays_all {
            self.storage_weather();
            self.workers();
        }
        let mut due: Vec<Event> = Vec::new();
        while self.events.front().is_some_and(|(at, _)| *at <= self.now.mono) {
            due.extend(self.events.pop_front().map(|(_, event)| event));
        }
        if self.plays_all && self.now.mono >= self.vitals_at {
            self.vitals_at = self.now.mono + Duration::from_secs(10);
            due.push(Event::SystemMetrics(SystemMetrics::default()));
        }
        due.push(Event::Tick);
        // Several steps share a commit, as they do in the daemon.
        while !due.is_empty() || !self.heard.is_empty() {
            let batch = self.rng.random_range(1..=4).min(due.len());
            let (boots, processes) = (self.boots, self.processes);
            let mut events = std::mem::take(&mut self.heard);
            events.extend(due.drain(..batch));
            let mut together = Step::default();
            for event in events {
                self.handed_over(&event);
                let step = self.engine.step(self.now, event);
                self.recorded(&step);
                together.append(step);
            }
            self.apply(together);
            if self.boots != boots {
                // What was due in a process that died is gone.
                if self.processes == processes && self.plays_all {
                    // Before everything that comes from now on.
                    let now = self.now.mono;
                    due.drain(..).filter(outlives).rev().for_each(|event| self.events.push_front((now, event)));
                } else if self.processes == processes {
                    due.drain(..).filter(outlives).for_each(|event| self.later(0, event));
                }
                return;
            }
        }
        self.alerts_are_up();
    }

    /// Only plain lives are recorded.
    fn recorded(&mut self, step: &Step) {
        if !self.plays_all {
            self.record.step(self.now, step);
        }
    }

    /// An event goes to the engine.
    fn handed_over(&mut self, event: &Event) {
        if self.is_traced && !matches!(event, Event::Tick | Event::Broker(BrokerEvent::Delivered { .. })) {
            eprintln!("{:?} {event:.300?}", self.now.mono);
        }
        match event {
            Event::Ingest(ingested) => drop(self.in_flight.take(&ingested.path)),
            Event::QueryAnswered { .. } => self.under_way -= 1,
            Event::Socket(request) => self.witness_request(&request.name, &request.payload),
            Event::Broker(BrokerEvent::Message(inbound)) => {
                self.counts_deferred();
                if let Some(name) = inbound.topic.strip_prefix("request/") {
                    self.witness_request(name, &inbound.payload);
                }
            }
            _ => {}
        }
    }

    /// While nothing is stored for some time, somebody at the broker sees it.
    fn alerts_are_up(&self) {
        let since = |at: Duration| self.now.mono.saturating_sub(at) >= Duration::from_secs(2);
        if self.connected && since(self.broker.connected_at) && self.storage.waits_since().is_some_and(since) {
            let is_up = |id: &str| self.broker.retained.contains_key(&format!("alert/{id}"));
            assert!(is_up("disk_full") != is_up("store_unwritable"), "one alert says that nothing is stored");
        }
    }

    fn crash_probability(&self) -> f64 {
        if self.is_unstable() { 0.03 } else { self.faults.crash }
    }

    /// One transaction for all writes, then the acts; the process may die before, between and after.
    fn apply(&mut self, step: Step) {
        if self.happens(self.crash_probability()) {
            return self.crash();
        }
        let Step { writes, acts, then } = step;
        let (acts, then) = if self.plays_all {
            self.made_durable(writes, acts, then)
        } else {
            self.model.commit(&writes);
            (acts, then)
        };
        let processes = self.processes;
        // Nothing depends on a line in the journal, so no dice are thrown for it.
        for act in acts.into_iter().filter(|act| !matches!(act, Act::LogEvent(_))) {
            if self.happens(self.crash_probability()) {
                return self.crash();
            }
            self.act(act);
        }
        if then != Next::Continue && self.happens(self.crash_probability()) {
            return self.crash();
        }
        match then {
            Next::Continue => {}
            Next::Restart => self.restart(),
            Next::Exit => {
                self.played.stops += 1;
                self.note_deliveries();
                self.process_ends();
            }
        }
        if self.plays_all && self.processes == processes {
            self.witness_batch();
        }
    }

    fn act(&mut self, act: Act) {
        if self.is_traced && !matches!(act, Act::Publish { .. } | Act::Stat { .. } | Act::Systemd(_)) {
            eprintln!("        {act:.200?}");
        }
        match act {
            Act::SendOutbox | Act::Systemd(_) | Act::LogEvent(_) => {}
            Act::Publish { topic, payload } => {
                if self.plays_all {
                    self.hear(&topic, payload);
                }
            }
            Act::PauseScans(held) => self.listings_are_held = held && self.plays_all,
            Act::FoldInLabels(before) => {
                if self.plays_all {
                    self.fold_in(before);
                }
            }
            Act::FindMissingFiles => {
                if self.plays_all {
                    self.look_for_gone();
                }
            }
            Act::PrepareBackbone(order) => self.begin_preparation(*order),
            Act::DeleteBackbone(sha256) => self.delete_backbone(sha256),
            Act::Ack(ticket) => self.acknowledged(ticket),
            Act::Answer { ticket, response } => {
                assert!(self.waiting.remove(&ticket), "ticket {ticket} was answered twice, or never given");
                self.answered.push(*response);
            }
            Act::Query { job, query } => {
                self.under_way += 1;
                assert!(self.under_way <= UNDER_WAY_MAX, "the answering worker's queue is bounded");
                self.find_out(job, &query);
            }
            Act::Ingest { root, path } => {
                assert!(self.in_flight.insert(path.clone()), "{} was handed to the worker twice", path.display());
                assert!(self.in_flight.len() <= 8, "the worker's queue is bounded");
                let ingested = self.read(root, path);
                self.later(2_000, Event::Ingest(ingested));
            }
            Act::Stat { root, path } => self.look_at(root, path),
            Act::Rescan => self.scan(),
            Act::Train { order, version } if self.plays_all => self.work_within(300, Work::Train(order, version)),
            Act::Train { order, version } => {
                let outcome = self.train(order, version);
                self.later(5_000, outcome);
            }
            Act::Shadow(version) => {
                let stored = |version: u64| self.model.heads.iter().any(|head| head.head.version == version);
                assert!(version.is_none_or(stored), "head {version:?} is in shadow but is not stored");
                self.shadow = version;
            }
            Act::UpdateOnline(ids) => {
                // A sample may go in the same commit.
                let known = |id: &SampleId| self.model.samples.contains_key(id) || self.witness.evicted.contains(id);
                assert!(ids.iter().all(known), "only what is stored can be learned");
            }
            Act::Review { .. } if self.plays_all => self.review(),
            Act::Review { .. } => self.later(3_000, Event::Adapter(AdapterEvent::ReviewListReady(Review::default()))),
            Act::Evict { count } => self.look_for_evictable(count),
            Act::VerifyUpdate { manifest, version } => self.work_within(500, Work::Verify(manifest, version)),
            Act::Serve(version) => self.serve(version),
        }
    }

    /// A head comes into service; one whose file cannot be read does not, and the one before it goes on.
    fn serve(&mut self, version: Option<u64>) {
        let Some(version) = version else {
            self.serving = None;
            return;
        };
        let head = self.model.heads.iter().map(|head| &head.head).find(|head| head.version == version).cloned();
        assert!(head.is_some(), "head {version} serves but is not stored");
        if !self.readable.contains(&version) && !self.damaged.contains(&version) {
            let is_damaged = self.chance(self.weather.damage);
            self.played.damaged_heads += u64::from(is_damaged);
            if is_damaged {
                self.damaged.insert(version)
            } else {
                self.readable.insert(version)
            };
        }
        if self.damaged.contains(&version) {
            return self.heard.push(Event::HeadLoadFailed { version, reason: "its file cannot be read".into() });
        }
        self.serving = head;
    }

    fn later(&mut self, within_ms: u64, event: Event) {
        let at = self.now.mono + Duration::from_millis(self.rng.random_range(0..=within_ms));
        self.push(at, event);
    }

    fn push(&mut self, at: Duration, event: Event) {
        let place = self.events.partition_point(|(due, _)| *due <= at);
        self.events.insert(place, (at, event));
    }

    /// Who decides on promotion in this life.
    pub fn promotion(&self) -> PromotionPolicy {
        self.settings.promotion
    }

    /// Bytes beyond the quota.
    pub fn over_quota(&self) -> u64 {
        let used = self.model.samples.len() as u64 * self.settings.sample_bytes;
        used.saturating_sub(self.settings.quota_bytes)
    }

    /// Samples that may go.
    pub fn may_go(&self) -> usize {
        self.evictable(usize::MAX).len()
    }

    /// Asks the daemon to end, as the service manager does.
    pub fn stop(&mut self) {
        self.later(0, Event::Process(ProcessEvent::StopRequested));
    }

    /// Asks it to read its configuration again.
    pub fn reload(&mut self) {
        self.later(0, Event::Process(ProcessEvent::ReloadRequested));
    }
}

/// What is as true for the next engine of the process: it comes from the link or from a signal.
fn outlives(event: &Event) -> bool {
    matches!(
        event,
        Event::Broker(_)
            | Event::Socket(_)
            | Event::Process(ProcessEvent::ReloadRequested | ProcessEvent::StopRequested)
    )
}
