//! A simulated world around the engine: files, a broker, a clock, workers, and the crashes of one seed.
//!
//! This file has the time and the order of events; `process` starts and ends engines, `acts` carries out their steps.
//! A plain life has only the `faults`. A full one has updates, evictions, outages of the store, lost folders and damaged
//! heads as well, and `invariants` checks every change. Random numbers that only a full life needs are not drawn in a
//! plain one ([`World::chance`]).

mod acts;
mod bounds;
mod broker;
mod clock;
mod configuration;
mod disk;
mod forgetting;
mod frames;
mod invariants;
mod live;
mod looks;
mod pictures;
mod process;
mod refusing;
mod reports;
mod sources;
mod states;
mod storage;
mod tasks;
mod tunings;
mod updates;
mod workers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::time::Duration;

use edgetuned::engine::{
    AdapterEvent, BrokerEvent, Engine, Event, PromotionPolicy, Settings, Step, SwapEvent, SystemMetrics, Ticket,
    TrainerEvent, WatchEvent,
};
use edgetuned::head::BackboneRef;
use edgetuned::wire::Response;
use edgetuned::words::{Digest, HeadId, HeadRef, Now, TaskId};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::golden::Record;
use super::model::Model;
use broker::{Broker, Received};
use clock::{BEGIN, Clock};
use invariants::Observed;
use process::outlives;
use storage::Storage;
use updates::Vendor;
use workers::{Adapter, Work};

pub use broker::Held;
pub use configuration::{Change, Plan};
pub use disk::{Content, File, class, folder, image_id};
pub use looks::{Eyes, space_within};
pub use refusing::Refuses;
pub use sources::Cameras;
pub use updates::{signer, space_of};

/// How much goes wrong; zero everywhere at the end of a run, so that everything comes to rest.
#[derive(Debug, Clone, Copy)]
pub struct Faults {
    pub crash: f64,
    pub link: f64,
    pub lost_hint: f64,
}

/// Probabilities of what else may happen; all zero in a plain life.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chances {
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
    /// The file of a head is signed again while it is being compared.
    pub signed_again: f64,
    /// A head errs on live images, whatever it was measured at.
    pub poor: f64,
}

/// How often rare things happened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub outages: u64,
    pub evictions: u64,
    pub forgotten: u64,
    pub stops: u64,
    pub backbones_reverted: u64,
    /// Switches to another backbone that were accepted.
    pub switches: u64,
    pub damaged_heads: u64,
    pub clock_changes: u64,
    pub falls: u64,
    /// Bursts of broken pictures, and of repeated ones.
    pub floods: u64,
    /// Links that the broker cut at something it does not take.
    pub refusals: u64,
    /// Tasks that were taken out of the configuration, and those of them that were ended.
    pub removals: u64,
    pub purges: u64,
    /// Files of heads that were compared for one task and then for another.
    pub compared_again: u64,
    /// Regions that were moved.
    pub moved_regions: u64,
    /// Frames that were read while the store took changes.
    pub frames: u64,
    /// Frames that were read again from the bytes that are kept of them.
    pub pictures_read: u64,
    /// Images that were excluded, or taken back.
    pub exclusions: u64,
    /// Labels that were refused because of others, and those that were given to what their sender saw.
    pub conflicts: u64,
    /// Tunings that were accepted, and those that were refused by the setting.
    pub tunings: u64,
    pub refused_tunings: u64,
    /// Results of trainings with a second phase that kept the first, and that kept the second.
    pub tuned_results: [u64; 2],
    /// How often a second phase was said to run.
    pub second_phases_said: u64,
    /// Starts with a head in service that has a tail, and returns from one to the head before it.
    pub tuned_starts: u64,
    pub tuned_back: u64,
    pub compared: u64,
}

pub struct World {
    pub rng: ChaCha8Rng,
    pub faults: Faults,
    pub chances: Chances,
    pub counts: Counts,
    pub now: Now,
    pub clock: Clock,
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
    link: refusing::Link,
    pub observed: Observed,
    /// Heads whose file cannot be read.
    pub damaged: BTreeSet<(TaskId, u64)>,
    /// Heads that err on live images.
    poor: BTreeSet<HeadId>,
    pub folder_is_lost: bool,
    /// Files that were created and not closed as far as this engine knows, and since when.
    open_files: BTreeMap<PathBuf, Duration>,
    is_full: bool,
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
    feedback: Vec<Event>,
    work: Vec<(Duration, Work)>,
    adapter: Adapter,
    vendor: Vendor,
    /// Backbones that came as updates and whose files are there.
    staged: BTreeSet<Digest>,
    /// Heads that were read at least once.
    readable: BTreeSet<(TaskId, u64)>,
    listings_are_held: bool,
    serving: BTreeMap<TaskId, HeadRef>,
    shadow: BTreeMap<TaskId, u64>,
    /// Which images the tasks look at that do not look at all.
    pub eyes: BTreeMap<TaskId, Eyes>,
    pub plan: Plan,
    pub cameras: Cameras,
    connected: bool,
    scan_at: Duration,
    /// When the listing under way has reported everything.
    listed_at: Duration,
    metrics_at: Duration,
    tickets: u64,
    boots: u64,
    processes: u64,
    in_flight: BTreeSet<PathBuf>,
}

impl World {
    pub fn new(seed: u64, settings: Settings, faults: Faults) -> Self {
        Self::with(seed, settings, faults, Model::default(), None)
    }

    /// A world in which everything may happen, on a device that has this store and whose tasks look at pictures so.
    pub fn full(seed: u64, settings: Settings, model: Model, eyes: BTreeMap<TaskId, Eyes>) -> Self {
        Self::with(seed, settings, Faults { crash: 0.0, link: 0.0, lost_hint: 0.0 }, model, Some(eyes))
    }

    fn with(
        seed: u64,
        settings: Settings,
        faults: Faults,
        mut model: Model,
        eyes: Option<BTreeMap<TaskId, Eyes>>,
    ) -> Self {
        for task in &settings.tasks {
            model.tasks.entry(task.id.clone()).or_default();
        }
        let engine = Engine::new(settings.clone(), model.snapshot());
        let cameras = Cameras::new(seed, settings.sources.len());
        let mut world = Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            faults,
            chances: Chances::default(),
            counts: Counts::default(),
            now: Now { wall: BEGIN, mono: Duration::ZERO },
            clock: Clock::default(),
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
            link: refusing::Link::default(),
            open_files: BTreeMap::new(),
            observed: Observed::default(),
            damaged: BTreeSet::new(),
            poor: BTreeSet::new(),
            folder_is_lost: false,
            is_full: eyes.is_some(),
            is_traced: std::env::var_os("SIMULATE_TRACE").is_some(),
            under_way: 0,
            found: 0,
            own: settings.backbone.clone(),
            settings,
            engine,
            events: VecDeque::new(),
            feedback: Vec::new(),
            work: Vec::new(),
            adapter: Adapter::default(),
            vendor: Vendor::default(),
            staged: BTreeSet::new(),
            readable: BTreeSet::new(),
            listings_are_held: false,
            serving: BTreeMap::new(),
            shadow: BTreeMap::new(),
            eyes: eyes.unwrap_or_default(),
            plan: Plan::default(),
            cameras,
            connected: false,
            scan_at: Duration::ZERO,
            listed_at: Duration::ZERO,
            metrics_at: Duration::ZERO,
            tickets: 0,
            boots: 0,
            processes: 0,
            in_flight: BTreeSet::new(),
        };
        world.boot();
        world
    }

    fn happens(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// The same, without drawing a number for what never happens.
    fn chance(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.happens(probability)
    }

    /// A tenth of a second passes.
    pub fn advance(&mut self) {
        self.advance_by(100);
    }

    /// So many milliseconds pass.
    pub fn advance_by(&mut self, ms: u64) {
        self.pass(Duration::from_millis(ms));
        self.writers();
        if self.now.mono >= self.scan_at {
            self.scan_at = self.now.mono + Duration::from_mins(1);
            self.scan();
        }
        self.link();
        if self.is_full {
            self.storage_faults();
            self.workers();
            self.cameras_send();
        }
        let mut due: Vec<Event> = Vec::new();
        while self.events.front().is_some_and(|(at, _)| *at <= self.now.mono) {
            due.extend(self.events.pop_front().map(|(_, event)| event));
        }
        if self.is_full && self.now.mono >= self.metrics_at {
            self.metrics_at = self.now.mono + Duration::from_secs(10);
            let metrics = SystemMetrics { time_synced: self.clock.synced, ..SystemMetrics::default() };
            due.push(Event::SystemMetrics(metrics));
        }
        if self.cameras.have_news() {
            due.push(Event::Frames { news: Vec::new(), dropped: Vec::new() });
        }
        due.push(Event::Tick);
        // Several steps share a commit, as they do in the daemon.
        while !due.is_empty() || !self.feedback.is_empty() {
            let batch = self.rng.random_range(1..=4).min(due.len());
            let (boots, processes) = (self.boots, self.processes);
            let mut events = std::mem::take(&mut self.feedback);
            events.extend(due.drain(..batch));
            let mut together = Step::default();
            for event in events {
                // What came is asked for only now, so that nothing of it is lost with an engine.
                let event = if matches!(event, Event::Frames { .. }) { self.news() } else { event };
                self.handed_over(&event);
                let expected = self.expects(&event);
                let tunes = tunings::tunes(&event);
                let is_arrival = matches!(event, Event::Ingest(_));
                let step = self.engine.step(self.now, event);
                self.observed.bounds.count_step(is_arrival, self.settings.tasks.len(), &step);
                self.check_expected(&expected, &step);
                self.check_second_phase_is_said(tunes.as_ref(), &step);
                self.recorded(&step);
                together.append(step);
            }
            self.apply(together);
            if self.boots != boots {
                // What was due in a process that died is gone.
                self.lose_frames(&due);
                if self.processes == processes && self.is_full {
                    // Before everything that comes from now on.
                    let now = self.now.mono;
                    due.drain(..).filter(outlives).rev().for_each(|event| self.events.push_front((now, event)));
                } else if self.processes == processes {
                    due.drain(..).filter(outlives).for_each(|event| self.later(0, event));
                }
                return;
            }
        }
        self.clock.is_news = false;
        self.alerts_are_up();
        self.check_cameras();
        self.check_sum_of_pictures();
    }

    /// Only plain lives are recorded.
    fn recorded(&mut self, step: &Step) {
        if !self.is_full {
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
            Event::QueryAnswered { .. } | Event::ChangeFound { .. } | Event::Swap(SwapEvent::Found { .. }) => {
                self.under_way -= 1;
            }
            Event::Adapter(AdapterEvent::StatisticsWithout { ids, .. }) => {
                self.under_way -= 1;
                self.observed.forgetting.leave(ids);
            }
            Event::Watch(WatchEvent::FileSeen(seen)) if seen.closed || seen.stamp.is_none() => {
                self.open_files.remove(&seen.path);
            }
            Event::Watch(WatchEvent::FileSeen(seen)) if seen.open => {
                self.open_files.insert(seen.path.clone(), self.now.mono);
            }
            Event::Watch(WatchEvent::FilesGone(gone)) => gone.iter().for_each(|path| _ = self.open_files.remove(path)),
            Event::Trainer(task, TrainerEvent::Finished(_) | TrainerEvent::Failed { .. }) => self.training_ends(task),
            Event::Adapter(AdapterEvent::EvictionCandidates(_)) => self.observed.frames.is_searched = true,
            Event::Store(event) => self.observed.frames.store_event(event),
            Event::Broker(BrokerEvent::Connected { .. }) => self.observed.tasks.is_heard = true,
            Event::Socket(request) => self.observe_request(&request.name, &request.payload),
            Event::Broker(BrokerEvent::Message(inbound)) => {
                self.counts_deferred();
                if let Some(name) = inbound.topic.strip_prefix("request/") {
                    self.observe_request(name, &inbound.payload);
                }
            }
            _ => {}
        }
    }

    /// While nothing is stored for some time, somebody at the broker sees it.
    fn alerts_are_up(&self) {
        let since = |at: Duration| self.now.mono.saturating_sub(at) >= Duration::from_secs(2);
        let is_seen = self.connected && self.broker.refuses.is_none() && since(self.broker.connected_at);
        if is_seen && self.storage.waits_since().is_some_and(since) {
            let is_up = |id: &str| self.broker.retained.contains_key(&format!("alert/{id}"));
            assert!(is_up("disk_full") != is_up("store_unwritable"), "one alert says that nothing is stored");
        }
    }

    fn crash_probability(&self) -> f64 {
        if self.is_unstable() { 0.03 } else { self.faults.crash }
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
    pub fn promotion(&self, task: &TaskId) -> PromotionPolicy {
        self.task(task).promotion
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
}
