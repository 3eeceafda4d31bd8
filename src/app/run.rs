//! `edgetuned run`: bringing the daemon up.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use tracing::info;

use super::adapt;
use super::daemon::{self, Clock};
use super::effects::Rim;
use super::ingest::{self, Parts};
use super::outbox::Outbox;
use super::serving::Serving;
use super::settings;
use super::trainer::TrainerSettings;
use crate::backbone::{Manifest, OnnxBackbone, OpenError};
use crate::config::Config;
use crate::engine::{Engine, Event};
use crate::head::BackboneRef;
use crate::mqtt;
use crate::ports::{EmbedError, Embedder};
use crate::store::{OpenOptions, Store, StoreError};
use crate::train::Grouper;
use crate::watch;
use crate::words::Digest;

/// Events that wait for the loop; workers wait past it.
pub(super) const EVENTS: usize = 1_024;

/// Why the daemon did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The backbone's manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] crate::backbone::BadManifest),
    /// The backbone did not open.
    #[error(transparent)]
    Backbone(#[from] OpenError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The configuration names something that cannot be.
    #[error(transparent)]
    Settings(#[from] settings::BadSettings),
    /// The backbone failed on a batch.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// A part of the daemon ended that must not.
    #[error("the {worker} worker ended; restart the daemon, and report this with the log if it happens again")]
    WorkerEnded {
        /// Which one.
        worker: &'static str,
    },
    /// The system gives no thread.
    #[error("cannot start a thread; raise the limit of processes (TasksMax, ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// The system tells no signals.
    #[error("cannot listen for SIGTERM and SIGINT; raise the limit of open files (LimitNOFILE, ulimit -n)")]
    Signals(#[source] std::io::Error),
}

/// Runs the daemon until it is told to stop.
///
/// # Errors
/// [`RunError`]; what was acknowledged is on the disk whatever it is.
pub fn run(config: &Config) -> Result<(), RunError> {
    let (sender, events) = sync_channel(EVENTS);
    let (mut engine, mut rim) = assemble(config, sender)?;
    let clock = Clock::start();
    let ended = daemon::run(&mut engine, &mut rim, &events, &clock);
    rim.shut_down(&mut engine, events, &clock, ended.is_ok());
    ended
}

/// Opens everything, and starts the workers only when nothing can be wrong any more.
fn assemble(config: &Config, events: SyncSender<Event>) -> Result<(Engine, Rim), RunError> {
    // Before the lock says that a daemon runs here: from then on it stops cleanly.
    let stop_asked = Arc::new(AtomicBool::new(false));
    stop_on_signals(events.clone(), Arc::clone(&stop_asked))?;
    let manifest = Manifest::resolve(&config.backbone.model)?;
    let backbone = OnnxBackbone::open(&manifest, config.backbone.threads)?;
    let space = backbone.space();
    let reference = BackboneRef { name: backbone.name().to_owned(), sha256: backbone.sha256(), dim: space.dim };
    info!(backbone = reference.name, dim = reference.dim, "the backbone answered a probe image");
    let precision = settings::precision(Some(config));
    let store = Store::open(&config.store.path, &OpenOptions { space, backbone: &reference, precision })?;
    let snapshot = store.snapshot()?;
    let credentials = settings::credentials_folder();
    let link = settings::mqtt(config, credentials.as_deref(), snapshot.seq)?;
    let engine_settings = settings::engine(config, reference.clone(), space, boot())?;
    let (outbox, known, reader) = (store.reader()?, store.reader()?, store.reader()?);
    let recent = reader.recent(Grouper::MEMORY)?;

    let serving = Serving::new(settings::scoring(config));
    let (adapt, adapting) = adapt::spawn(adapt::Parts {
        reader: store.reader()?,
        space,
        serving: serving.clone(),
        events: events.clone(),
        settled: snapshot.training.settled,
        instant: config.promotion.instant,
        seed: config.training.seed,
    })
    .map_err(RunError::Thread)?;
    let ingest = ingest::spawn(Parts {
        embedder: Box::new(backbone),
        reader: store.reader()?,
        grouper: Grouper::restore(recent.iter().map(|recent| (recent.group, recent.embedding.as_slice()))),
        serving: serving.clone(),
        burst_gaps: config.watch.iter().map(|watch| watch.burst_gap).collect(),
        adapt: adapt.clone(),
        events: events.clone(),
    })
    .map_err(RunError::Thread)?;
    let mqtt = link.map(|link| mqtt::spawn(link, Box::new(Outbox(outbox)), forward(events.clone()))).transpose();
    let mqtt = mqtt.map_err(RunError::Thread)?;
    // What cannot be looked up is read again, which changes nothing.
    let is_known = move |path: &Path, stamp| known.file_is_known(path, stamp).unwrap_or(false);
    let watched = settings::watched(config);
    let watch = watch::spawn(&watched, is_known, forward(events.clone())).map_err(RunError::Thread)?;
    let trainer = TrainerSettings {
        fit: settings::fit_settings(config),
        rules: settings::rules(config),
        backbone: reference,
        space,
        max_samples: config.training.max_samples,
        patience: settings::patience(config),
    };
    let engine = Engine::new(engine_settings, snapshot);
    let adapting = Some(adapting);
    let rim = Rim {
        store,
        reader,
        serving,
        ingest,
        adapt,
        adapting,
        watch,
        mqtt,
        trainer,
        training: None,
        events,
        stop_asked,
    };
    Ok((engine, rim))
}

/// A new word at every start.
fn boot() -> String {
    let seed = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    Digest::of(seed.as_bytes()).short()
}

fn forward(events: SyncSender<Event>) -> impl Fn(Event) + Send + Sync + 'static {
    move |event| {
        // Nobody listens only when the daemon ends.
        let _ = events.send(event);
    }
}

/// SIGTERM and SIGINT become [`Event::Stop`]; `stop_asked` says so at once, also to who does not listen to events now.
fn stop_on_signals(events: SyncSender<Event>, stop_asked: Arc<AtomicBool>) -> Result<(), RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Thread)?;
    // Here, not on the thread: a signal that comes before that one runs must not kill.
    let entered = runtime.enter();
    let listen = |kind| signal(kind).map_err(RunError::Signals);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    drop(entered);
    let wait = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop_asked.store(true, Ordering::Relaxed);
            if events.send(Event::Stop).is_err() {
                break;
            }
        }
    };
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait)).map_err(RunError::Thread)?;
    Ok(())
}
