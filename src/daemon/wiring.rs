//! The composition root: opens everything, and starts the workers once nothing of the configuration can be wrong any
//! more.

use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{info, warn};

use super::RunError;
use super::commit::Committer;
use super::execute::{Runtime, Workers};
use super::heartbeat::Heartbeats;
use super::lifecycle::unique_name;
use super::pictures::StoredPictures;
use super::process::{Carryover, Link, Process, Socket};
use super::serving::Servings;
use super::startup::StartPlan;
use super::view_plan::ViewPlan;
use super::views::StoredViews;
use super::workers::backbone_swap::BackboneDir;
use super::workers::fleet::StatisticsFile;
use super::workers::ingest::{self, Groupers, Ingest};
use super::workers::online_learning::{self, TaskParts};
use super::workers::query::{self, QueryWorker};
use super::workers::scenes::Scenes;
use super::workers::train::TrainerSettings;
use super::workers::tuning::TunerSettings;
use super::workers::unseen::RootViews;
use crate::backbone::{Manifest, OnnxBackbone, Slow, Way};
use crate::config::{self, Config};
use crate::engine::{
    self, BackboneState, Configure, Engine, Event, FileStamp, OutboxMessage, ServedBackbone, Snapshot,
};
use crate::head::BackboneRef;
use crate::http::Door;
use crate::mqtt::{self, Lane, OutboxError};
use crate::ports::Embedder;
use crate::shared::folds::KeptFolds;
use crate::shared::{settings, views};
use crate::source::poll;
use crate::store::{OpenOptions, Reader, Store, StoreError, files};
use crate::wire::{ProviderReport, ProviderUse};
use crate::words::{CPU, EmbeddingSpace, SampleId, SourceId};
use crate::{http, systemd, watch};

/// How long one step of the start may take on a slow machine.
const STEP: Duration = Duration::from_mins(1);
/// How long a link that is replaced by another one may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(1);

/// Opens everything for `plan` and starts the workers, with `events` as their queue: an engine and the runtime around
/// it.
///
/// What a former engine left is taken out of `carryover` last, so that a failure leaves it there.
///
/// # Errors
/// [`RunError`] when something cannot be opened; workers that were started then end by themselves.
pub(super) fn assemble(
    plan: StartPlan,
    process: &Process,
    events: SyncSender<Event>,
    carryover: &mut Option<Carryover>,
) -> Result<(Engine, Runtime), RunError> {
    let StartPlan { config, host_name, manifest, configure, notice } = plan;
    if let Some(stand_in) = &manifest.stands_in {
        warn!("{stand_in}");
    }
    starting("opening the backbone");
    let (backbone, provider) = OnnxBackbone::open_on(&manifest, &config.backbone.execution())?;
    say_provider(&provider);
    // From here on with the provider whose embeddings are its own.
    let manifest = backbone.manifest().clone();
    if let Some(slow) = Slow::of(&manifest.name, backbone.one_picture()) {
        warn!("{slow}");
    }
    starting("opening the store");
    let mut wiring = Wiring::open(&config, process, (&backbone, provider), events)?;
    let mut snapshot = wiring.store.snapshot()?;
    starting("loading the state from the store");
    let link = settings::mqtt(&config, settings::credentials_folder().as_deref(), snapshot.seq)?;
    let engine_settings = engine::Settings { opening: notice, ..wiring.engine_settings(configure)? };
    let socket = wiring.open_socket(carryover.as_ref().and_then(|carryover| carryover.socket.as_ref()))?;
    let door = wiring.bind_door(host_name, carryover.as_ref().and_then(|carryover| carryover.socket.as_ref()))?;
    let pictures = Arc::new(StoredPictures::new(wiring.store.reader()?));
    let views = Arc::new(wiring.views()?);
    let groupers = Groupers::restore(&wiring.store.reader()?, &wiring.plan)?;
    let keep = config.sources.iter().map(|source| (source.id.clone(), source.keep));
    let scenes = Scenes::restore(&wiring.store.reader()?, &wiring.plan, wiring.parts[0], keep)?;
    // Last, so that a start which fails does not count as one that worked.
    wiring.remember_backbone(&mut snapshot.backbone)?;

    let (online, online_thread) = wiring.start_online_worker(&snapshot)?;
    let ingest = wiring.start_ingest(backbone, groupers, scenes, online.clone())?;
    let queries = wiring.start_queries(manifest)?;
    let watch = wiring.start_watch()?;
    let former_socket = carryover.as_mut().and_then(|carryover| carryover.socket.take());
    let (engine, link) = wiring.start_engine(carryover.take(), engine_settings, snapshot, link)?;
    let cameras = wiring.start_cameras()?;
    let workers = Workers { ingest, queries, online, online_thread: Some(online_thread), watch, cameras };
    let socket = socket.or(former_socket);
    if let Some(socket) = &socket {
        socket.handle.open(door);
        socket.handle.show(pictures, views);
    }
    Ok((engine, wiring.into_runtime(workers, link, socket)?))
}

/// What is open when the workers are started, and what each of them gets a part of.
struct Wiring<'a> {
    config: &'a Config,
    process: &'a Process,
    store: Store,
    manifest: Manifest,
    /// The backbone, as reports name it.
    backbone: BackboneRef,
    /// How its sessions are made.
    way: Way,
    provider: ProviderUse,
    /// The embeddings that it makes of whole pictures.
    space: EmbeddingSpace,
    /// Widths of the parts of an embedding.
    parts: Vec<usize>,
    tasks: Vec<config::Task>,
    plan: ViewPlan,
    servings: Servings,
    heartbeats: Heartbeats,
    events: SyncSender<Event>,
}

impl<'a> Wiring<'a> {
    fn open(
        config: &'a Config,
        process: &'a Process,
        (backbone, provider): (&OnnxBackbone, ProviderUse),
        events: SyncSender<Event>,
    ) -> Result<Self, RunError> {
        let space = backbone.space();
        let reference = BackboneRef { name: backbone.name().to_owned(), sha256: backbone.sha256(), dim: space.dim };
        info!(backbone = reference.name, dim = reference.dim, "the backbone answered a probe image");
        let precision = settings::precision(Some(config));
        let options = OpenOptions { spaces: views::spaces_in_use(config, space), backbone: &reference, precision };
        let mut store = Store::open(&config.store.path, &options)?;
        store.keep_within(config.store.quota_mb << 20)?;
        let tasks = config.all_tasks();
        let scoring = |task: &config::Task| (task.id.clone(), super::settings::scoring(&task.prediction));
        let (servings, heartbeats) = (Servings::new(tasks.iter().map(scoring)), Heartbeats::default());
        process.metrics.supervise(heartbeats.clone());
        Ok(Self {
            config,
            process,
            store,
            manifest: backbone.manifest().clone(),
            backbone: reference,
            way: backbone.way().clone(),
            provider,
            space,
            parts: backbone.parts(),
            tasks,
            plan: ViewPlan::new(config, space),
            servings,
            heartbeats,
            events,
        })
    }

    fn engine_settings(&self, configure: Configure) -> Result<engine::Settings, RunError> {
        let boot = self.process.boot.clone();
        let backbone = (self.backbone.clone(), self.provider.clone());
        Ok(super::settings::engine(self.config, backbone, (self.space, self.space_on_cpu()), boot, configure)?)
    }

    /// The embeddings of the same backbone on the CPU.
    fn space_on_cpu(&self) -> EmbeddingSpace {
        EmbeddingSpace { dim: self.space.dim, ..self.manifest.clone().on(None).space() }
    }

    fn backbone_dir(&self) -> BackboneDir {
        BackboneDir {
            folder: self.config.store.path.clone(),
            execution: self.config.backbone.execution(),
            precision: settings::precision(Some(self.config)),
        }
    }

    /// Makes durable what serves under which setting, and removes the files of backbones that do not count any more.
    fn remember_backbone(&mut self, state: &mut BackboneState) -> Result<(), StoreError> {
        self.backbone_dir().tidy(|files| state.keeps(files));
        let (over, name) = (self.config.backbone.model.clone(), self.backbone.name.clone());
        let provider = self.manifest.provider.clone();
        let write = state.serves(ServedBackbone { over, name, space: self.space_on_cpu(), provider });
        write.map_or(Ok(()), |write| self.store.commit(&[write]))
    }

    /// Labels given since the last verdict of their task are evidence that no verdict has seen.
    fn start_online_worker(
        &self,
        snapshot: &Snapshot,
    ) -> Result<(online_learning::Handle, JoinHandle<Result<(), StoreError>>), RunError> {
        let of_task = |task: &config::Task| TaskParts {
            task: task.id.clone(),
            space: self.space_of(task),
            serving: self.servings.of(&task.id).cloned().expect("it was made for every task"),
            folded_in_until: snapshot.tasks.get(&task.id).and_then(|stored| stored.training.settled),
            instant: task.promotion.instant,
            seed: task.training.seed,
        };
        let parts = online_learning::Parts {
            reader: self.store.reader()?,
            tasks: self.tasks.iter().map(of_task).collect(),
            heartbeat: self.heartbeats.adapt.clone(),
            metrics: Arc::clone(&self.process.metrics),
            events: self.events.clone(),
        };
        online_learning::spawn(parts).map_err(RunError::Thread)
    }

    /// Lists of samples for clients, and reports of the past.
    fn views(&self) -> Result<StoredViews, StoreError> {
        let readers = [self.store.reader()?, self.store.reader()?];
        let seeds = self.tasks.iter().map(|task| (task.id.clone(), task.training.seed)).collect();
        Ok(StoredViews::new(readers, self.store.revision(), unique_name(), seeds))
    }

    /// The space that the heads of a task read.
    fn space_of(&self, task: &config::Task) -> EmbeddingSpace {
        views::space(&views::regions(task), self.space)
    }

    /// What each training of a task gets.
    fn trainer(&self, task: &config::Task) -> TrainerSettings {
        TrainerSettings {
            task: task.id.clone(),
            fit: settings::fit_settings(&task.training),
            rules: super::settings::rules(task),
            backbone: self.backbone.clone(),
            space: self.space_of(task),
            parts: self.parts.clone(),
            max_samples: task.training.max_samples,
            throttle: super::settings::throttle(&task.training),
            tuner: TunerSettings {
                recipe: settings::tune_settings(&task.training),
                manifest: self.manifest.clone(),
                threads: self.config.backbone.threads,
                way: self.way.clone(),
                folder: self.config.store.path.clone(),
                // Embeddings go first.
                latents_max: (self.config.store.quota_mb << 20) / 4,
            },
        }
    }

    fn start_ingest(
        &self,
        backbone: OnnxBackbone,
        groupers: Groupers,
        scenes: Scenes,
        online: online_learning::Handle,
    ) -> Result<Ingest, RunError> {
        let parts = ingest::Parts {
            embedder: Box::new(backbone),
            reader: self.store.reader()?,
            slots: Arc::clone(&self.process.slots),
            plan: self.plan.clone(),
            thumbnails: self.config.store.thumbnails,
            scenes,
            groupers,
            servings: self.servings.clone(),
            burst_gaps: self.config.watch.iter().map(|watch| watch.burst_gap).collect(),
            online,
            heartbeats: self.heartbeats.clone(),
            metrics: Arc::clone(&self.process.metrics),
            events: self.events.clone(),
        };
        ingest::spawn(parts).map_err(RunError::Thread)
    }

    fn start_queries(&self, manifest: Manifest) -> Result<QueryWorker, RunError> {
        let parts = query::Parts {
            reader: self.store.reader()?,
            servings: self.servings.clone(),
            names_tasks: self.config.names_tasks(),
            manifest,
            threads: self.config.backbone.threads,
            exports: self.config.store.path.join(files::EXPORTS),
            trainings: self
                .tasks
                .iter()
                .map(|task| (task.id.clone(), (task.training.max_samples, task.training.seed)))
                .collect(),
            folds: KeptFolds::new(self.store.label_revision()),
            statistics: StatisticsFile::default(),
            views: RootViews {
                roots: self.config.watch.iter().map(|watch| watch.path.clone()).collect(),
                plan: self.plan.clone(),
            },
            read: Arc::clone(&self.process.read),
            pending_config: Arc::clone(&self.process.pending_config),
            heartbeat: self.heartbeats.answer.clone(),
            events: self.events.clone(),
        };
        query::spawn(parts).map_err(RunError::Thread)
    }

    fn start_watch(&self) -> Result<watch::Handle, RunError> {
        let recorded = Recorded(self.store.reader()?);
        let watched = super::settings::watched(self.config);
        watch::spawn(&watched, recorded, queue(self.events.clone())).map_err(RunError::Thread)
    }

    /// The cameras that are asked; what came from them and from others is known from here on.
    fn start_cameras(&self) -> Result<poll::Handle, RunError> {
        let sources: Vec<SourceId> = self.config.sources.iter().map(|source| source.id.clone()).collect();
        self.process.slots.keep(&sources);
        let cameras = super::settings::cameras(self.config);
        poll::spawn(cameras, &self.process.slots, settings::seed(self.config)).map_err(RunError::Thread)
    }

    /// The engine, in the place of a former one if there was one, and its link: the former one's where it leads to the
    /// same broker in the same way.
    fn start_engine(
        &self,
        carryover: Option<Carryover>,
        settings: engine::Settings,
        snapshot: Snapshot,
        link: Option<mqtt::Settings>,
    ) -> Result<(Engine, Option<Link>), RunError> {
        match carryover {
            None => Ok((Engine::new(settings, snapshot), self.open_link(link)?)),
            Some(Carryover { carried, link: former, .. }) if same(former.as_ref(), link.as_ref()) => {
                if let Some(former) = &former {
                    *former.outbox.lock().unwrap_or_else(PoisonError::into_inner) = self.store.reader()?;
                }
                Ok((Engine::after(carried, settings, snapshot), former))
            }
            Some(Carryover { carried, link: former, .. }) => {
                if let Some(former) = former {
                    former.handle.stop(FAREWELL);
                    // It was asked to end and does so soon; how does not matter any more.
                    let _ = former.handle.join();
                }
                Ok((Engine::after(carried.cut_off(), settings, snapshot), self.open_link(link)?))
            }
        }
    }

    fn open_link(&self, settings: Option<mqtt::Settings>) -> Result<Option<Link>, RunError> {
        let Some(settings) = settings else { return Ok(None) };
        let outbox = Arc::new(Mutex::new(self.store.reader()?));
        let events = self.process.events.clone();
        let frames = Arc::clone(&self.process.slots);
        let handle = mqtt::spawn(
            settings.clone(),
            Box::new(StoreOutbox(Arc::clone(&outbox))),
            move |event| events.send(event),
            frames,
        );
        Ok(Some(Link { settings, handle: handle.map_err(RunError::Thread)?, outbox }))
    }

    /// The socket in the state folder; nothing where the `former` one is at the same place and stays.
    fn open_socket(&self, former: Option<&Socket>) -> Result<Option<Socket>, RunError> {
        let store = &self.config.store.path;
        let path = http::path(std::env::var_os("RUNTIME_DIRECTORY").as_deref(), store);
        if former.is_some_and(|former| former.path == path && former.store == *store) {
            return Ok(None);
        }
        let events = self.process.events.clone();
        let frames = Arc::clone(&self.process.slots);
        let metrics = Arc::clone(&self.process.metrics);
        let handle = http::spawn(&path, store, move |event| events.try_send(event), frames, metrics)?;
        Ok(Some(Socket { path, store: store.clone(), handle }))
    }

    /// The door of the configuration: the `former` socket's where it is the same.
    fn bind_door(&self, host_name: String, former: Option<&Socket>) -> Result<Option<Arc<Door>>, RunError> {
        let Some(settings) = super::settings::door(self.config, host_name) else { return Ok(None) };
        Ok(Door::open(settings, former.and_then(|former| former.handle.door()))?)
    }

    fn into_runtime(self, workers: Workers, link: Option<Link>, socket: Option<Socket>) -> Result<Runtime, RunError> {
        let backbone_dir = self.backbone_dir();
        let trainers = self.tasks.iter().map(|task| (task.id.clone(), self.trainer(task))).collect();
        Ok(Runtime {
            reader: self.store.reader()?,
            committer: Committer::new(self.store),
            servings: self.servings,
            workers,
            link,
            socket,
            trainers,
            training: None,
            backbone_swap: None,
            preparing: None,
            update: None,
            backbone_dir,
            events: self.events,
            feedback: Vec::new(),
            outbox_changed: false,
            heartbeats: self.heartbeats,
            stuck: false,
            process: self.process.clone(),
        })
    }
}

/// Tells the service manager that the start, or the restart within the process, makes progress.
fn starting(words: &str) {
    systemd::starting(words, STEP);
    systemd::alive();
}

/// Whether the previous connection is to the same broker with the same settings.
fn same(former: Option<&Link>, settings: Option<&mqtt::Settings>) -> bool {
    match (former, settings) {
        (Some(Link { settings: former, .. }), Some(settings)) => {
            // What counts as replayed is a matter of the process.
            *former == mqtt::Settings { boot_seq: former.boot_seq, ..settings.clone() }
        }
        (former, settings) => former.is_none() && settings.is_none(),
    }
}

/// What became of the execution providers that were asked for.
fn say_provider(provider: &ProviderUse) {
    let ProviderReport { asked, running, cosine, speedup, .. } = &provider.report;
    if let Some(text) = provider.fallback().or_else(|| provider.shared()) {
        warn!("{text}");
    }
    if asked.len() > 1 || asked.first() != Some(running) || running != CPU {
        info!(running, cosine, speedup, "the backbone runs on this execution provider");
    }
}

fn queue(events: SyncSender<Event>) -> impl Fn(Event) + Send + Sync + 'static {
    move |event| {
        // There is no receiver only when this engine ends.
        let _ = events.send(event);
    }
}

/// What the store has of files, as the watcher asks for it. What cannot be looked up is read again, which changes
/// nothing, and is not missed.
struct Recorded(Reader);

impl watch::Records for Recorded {
    fn is_known(&self, path: &Path, stamp: FileStamp) -> bool {
        self.0.file_is_known(path, stamp).unwrap_or(false)
    }

    fn below(&self, place: &Path, after: &Path, limit: usize) -> Vec<PathBuf> {
        self.0.files_below(place, after, limit).unwrap_or_default()
    }

    fn of(&self, image: &SampleId) -> Vec<PathBuf> {
        self.0.files_of(image).unwrap_or_default()
    }
}

/// The store's outbox as the link reads it, beside the daemon's writer.
struct StoreOutbox(Arc<Mutex<Reader>>);

impl StoreOutbox {
    fn reader(&self) -> MutexGuard<'_, Reader> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl mqtt::Outbox for StoreOutbox {
    fn after(&mut self, lane: Lane, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, OutboxError> {
        let reader = self.reader();
        Ok(match lane {
            Lane::Answers => reader.answers_after(seq, limit)?,
            Lane::Reports => reader.reports_after(seq, limit)?,
        })
    }

    fn newest(&mut self) -> Result<u64, OutboxError> {
        Ok(self.reader().outbox_newest()?)
    }
}
