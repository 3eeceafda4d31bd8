//! Opening everything, and starting the workers only when nothing can be wrong any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::info;

use super::commit::Delivered;
use super::error::RunError;
use super::event_sender::EventSender;
use super::execute::Runtime;
use super::heartbeat::Heartbeats;
use super::process::{Carryover, Link, Process, Socket};
use super::serving::Serving;
use super::settings;
use super::startup::StartPlan;
use super::workers::backbone_swap::BackboneDir;
use super::workers::ingest::{self, Parts};
use super::workers::online_learning;
use super::workers::query::{self, QueryWorker};
use super::workers::train::TrainerSettings;
use crate::backbone::{Manifest, OnnxBackbone};
use crate::config::Config;
use crate::engine::{self, Engine, Event, OutboxMessage, Snapshot};
use crate::head::BackboneRef;
use crate::http;
use crate::mqtt::{self, Lane, OutboxError};
use crate::ports::Embedder;
use crate::shared;
use crate::store::{OpenOptions, Reader, Store, StoreError};
use crate::systemd;
use crate::train::Grouper;
use crate::watch;
use crate::words::{EmbeddingSpace, Timestamp};

/// How long one step of the start may take on a slow machine.
const STEP: Duration = Duration::from_mins(1);
/// How long a link that is replaced by another one may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(1);

/// An engine and the runtime around it, with `events` as its queue. What is `kept` of a former one is taken over at the very
/// end, so that a failure leaves it where it is.
pub(super) fn assemble(
    start: StartPlan,
    process: &Process,
    events: SyncSender<Event>,
    kept: &mut Option<Carryover>,
) -> Result<(Engine, Runtime), RunError> {
    let StartPlan { config, installed, configure, opening } = start;
    let config = &config;
    let manifest = match &installed {
        Some(installed) => Manifest::load(&installed.manifest)?,
        None => Manifest::resolve(&config.backbone.model)?,
    };
    starting("opening the backbone");
    let backbone = OnnxBackbone::open(&manifest, config.backbone.threads)?;
    let space = backbone.space();
    let reference = BackboneRef { name: backbone.name().to_owned(), sha256: backbone.sha256(), dim: space.dim };
    info!(backbone = reference.name, dim = reference.dim, "the backbone answered a probe image");
    let precision = shared::settings::precision(Some(config));
    starting("opening the store");
    let store = Store::open(&config.store.path, &OpenOptions { space, backbone: &reference, precision })?;
    let snapshot = store.snapshot()?;
    starting("taking up what the store knows");
    let link = shared::settings::mqtt(config, shared::settings::credentials_folder().as_deref(), snapshot.seq)?;
    let mut engine_settings = settings::engine(config, reference.clone(), space, process.boot.clone(), configure)?;
    engine_settings.opening = opening;
    let former = kept.as_ref().and_then(|kept| kept.socket.as_ref());
    let socket = open_socket(&config.store.path, former, process)?;
    let (known, reader) = (store.reader()?, store.reader()?);
    let recent = reader.recent(Grouper::MEMORY)?;

    let serving = Serving::new(settings::scoring(config));
    let settled = snapshot.training.settled;
    let heartbeats = Heartbeats::default();
    let (adapt, adapting) = adapting(config, &store, space, &serving, settled, &heartbeats, &events)?;
    let ingest = ingest::spawn(Parts {
        embedder: Box::new(backbone),
        reader: store.reader()?,
        grouper: Grouper::restore(recent.iter().map(|recent| (recent.group, recent.embedding.as_slice()))),
        serving: serving.clone(),
        burst_gaps: config.watch.iter().map(|watch| watch.burst_gap).collect(),
        adapt: adapt.clone(),
        heartbeats: heartbeats.clone(),
        events: events.clone(),
    })
    .map_err(RunError::Thread)?;
    let answers = answering(config, &store, &serving, manifest, process, &heartbeats, &events)?;
    // What cannot be looked up is read again, which changes nothing.
    let is_known = move |path: &Path, stamp| known.file_is_known(path, stamp).unwrap_or(false);
    let watched = settings::watched(config);
    let watch = watch::spawn(&watched, is_known, queue(events.clone())).map_err(RunError::Thread)?;
    let trainer = trainer(config, reference, space);
    let former = kept.as_mut().and_then(|kept| kept.socket.take());
    let (engine, link) = begin(kept.take(), engine_settings, snapshot, link, &store, process)?;
    let runtime = Runtime {
        store,
        reader,
        serving,
        ingest,
        answers,
        adapt,
        adapting: Some(adapting),
        watch,
        link,
        socket: socket.or(former),
        trainer,
        training: None,
        backbone_swap: None,
        backbone_dir: BackboneDir { folder: config.store.path.clone(), threads: config.backbone.threads, precision },
        events,
        heard: Vec::new(),
        unstored: None,
        delivered: Delivered::default(),
        heartbeats,
        stuck: false,
        process: process.clone(),
    };
    Ok((engine, runtime))
}

/// Tells the service manager that the start, or the restart within the process, gets on.
fn starting(words: &str) {
    systemd::starting(words, STEP);
    systemd::alive();
}

/// The worker that learns labels at once and looks after the rest in the background.
fn adapting(
    config: &Config,
    store: &Store,
    space: EmbeddingSpace,
    serving: &Serving,
    settled: Option<Timestamp>,
    heartbeats: &Heartbeats,
    events: &SyncSender<Event>,
) -> Result<(online_learning::Handle, JoinHandle<Result<(), StoreError>>), RunError> {
    let parts = online_learning::Parts {
        reader: store.reader()?,
        space,
        serving: serving.clone(),
        heartbeat: heartbeats.adapt.clone(),
        events: events.clone(),
        settled,
        instant: config.promotion.instant,
        seed: config.training.seed,
    };
    online_learning::spawn(parts).map_err(RunError::Thread)
}

/// What trainings need.
fn trainer(config: &Config, backbone: BackboneRef, space: EmbeddingSpace) -> TrainerSettings {
    TrainerSettings {
        fit: shared::settings::fit_settings(config),
        rules: settings::rules(config),
        backbone,
        space,
        max_samples: config.training.max_samples,
        throttle: settings::throttle(config),
    }
}

/// The engine, in the place of a former one if there was one, and its link: the former one's where it leads to the same
/// broker in the same way.
fn begin(
    kept: Option<Carryover>,
    settings: engine::Settings,
    snapshot: Snapshot,
    link: Option<mqtt::Settings>,
    store: &Store,
    process: &Process,
) -> Result<(Engine, Option<Link>), RunError> {
    match kept {
        None => Ok((Engine::new(settings, snapshot), open(link, store, process)?)),
        Some(Carryover { carried, link: former, .. }) if same(former.as_ref(), link.as_ref()) => {
            Ok((Engine::after(carried, settings, snapshot), former))
        }
        Some(Carryover { carried, link: former, .. }) => {
            if let Some(former) = former {
                former.handle.stop(FAREWELL);
                // It was told to end and does so soon; how does not matter any more.
                let _ = former.handle.join();
            }
            Ok((Engine::after(carried.cut_off(), settings, snapshot), open(link, store, process)?))
        }
    }
}

/// The worker that finds out answers.
fn answering(
    config: &Config,
    store: &Store,
    serving: &Serving,
    manifest: Manifest,
    process: &Process,
    heartbeats: &Heartbeats,
    events: &SyncSender<Event>,
) -> Result<QueryWorker, RunError> {
    let parts = query::Parts {
        reader: store.reader()?,
        serving: serving.clone(),
        manifest,
        threads: config.backbone.threads,
        exports: config.store.path.join("exports"),
        seed: config.training.seed,
        read: Arc::clone(&process.read),
        fresh: Arc::clone(&process.fresh),
        heartbeat: heartbeats.answer.clone(),
        events: events.clone(),
    };
    query::spawn(parts).map_err(RunError::Thread)
}

/// Whether the former link leads to the same broker in the same way.
fn same(former: Option<&Link>, settings: Option<&mqtt::Settings>) -> bool {
    match (former, settings) {
        (Some(Link { settings: former, .. }), Some(settings)) => {
            // What counts as replayed is a matter of the process.
            *former == mqtt::Settings { boot_seq: former.boot_seq, ..settings.clone() }
        }
        (former, settings) => former.is_none() && settings.is_none(),
    }
}

fn open(settings: Option<mqtt::Settings>, store: &Store, process: &Process) -> Result<Option<Link>, RunError> {
    let Some(settings) = settings else { return Ok(None) };
    let outbox = StoreOutbox(store.reader()?);
    let handle = mqtt::spawn(settings.clone(), Box::new(outbox), forward(process.events.clone()));
    Ok(Some(Link { settings, handle: handle.map_err(RunError::Thread)? }))
}

/// The socket in the state folder at `store`; nothing where the `former` one is at the same place and stays.
fn open_socket(store: &Path, former: Option<&Socket>, process: &Process) -> Result<Option<Socket>, RunError> {
    let path = http::path(std::env::var_os("RUNTIME_DIRECTORY").as_deref(), store);
    if former.is_some_and(|former| former.path == path && former.store == store) {
        return Ok(None);
    }
    let events = process.events.clone();
    let handle = http::spawn(&path, store, move |event| events.try_send(event))?;
    Ok(Some(Socket { path, store: store.to_owned(), handle }))
}

fn forward(events: EventSender) -> impl Fn(Event) + Send + 'static {
    move |event| events.send(event)
}

fn queue(events: SyncSender<Event>) -> impl Fn(Event) + Send + Sync + 'static {
    move |event| {
        // Nobody listens only when this engine ends.
        let _ = events.send(event);
    }
}

/// The store's outbox as the link reads it, beside the daemon's writer.
struct StoreOutbox(Reader);

impl mqtt::Outbox for StoreOutbox {
    fn after(&mut self, lane: Lane, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, OutboxError> {
        let Self(reader) = self;
        Ok(match lane {
            Lane::Answers => reader.answers_after(seq, limit)?,
            Lane::Reports => reader.reports_after(seq, limit)?,
        })
    }

    fn newest(&mut self) -> Result<u64, OutboxError> {
        Ok(self.0.outbox_newest()?)
    }
}
