//! `edgetuned run`: bringing the daemon up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};
use std::thread;

use super::allocator;
use super::event_sender::EventSender;
use super::execute::Next;
use super::main_loop::{self, Clock};
use super::startup::{ConfigLayers, PendingConfig, Read, take_back, words_for_taken_back};
use super::wiring::{Link, Socket, assemble};
use crate::backbone::OpenError;
use crate::config::Problem;
use crate::engine::{Carried, Event};
use crate::http;
use crate::ports::EmbedError;
use crate::shared::settings::BadSettings;
use crate::store::StoreError;
use crate::words::{Digest, told};

/// Events that wait for the loop; workers wait past it.
pub(super) const EVENTS: usize = 1_024;

/// Why the daemon did not start or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration is wrong.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Configuration(Vec<Problem>),
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
    Settings(#[from] BadSettings),
    /// The socket cannot be made.
    #[error(transparent)]
    Socket(#[from] http::SocketError),
    /// The backbone failed on a batch.
    #[error(transparent)]
    Embed(#[from] EmbedError),
    /// A part of the daemon ended that must not.
    #[error("the {worker} worker ended; restart the daemon, and report this with the log if it happens again")]
    WorkerEnded {
        /// Which one.
        worker: &'static str,
    },
    /// A worker does not make way for the next engine's.
    #[error("a worker did not end within {seconds} s, so other settings cannot take effect; restart the daemon")]
    WorkerStays {
        /// How long it was waited for.
        seconds: u64,
    },
    /// The system gives no thread.
    #[error("cannot start a thread; raise the limit of processes (TasksMax, ulimit -u)")]
    Thread(#[source] std::io::Error),
    /// The system tells no signals.
    #[error("cannot listen for SIGTERM and SIGINT; raise the limit of open files (LimitNOFILE, ulimit -n)")]
    Signals(#[source] std::io::Error),
}

/// What lives as long as the process.
#[derive(Clone)]
pub(super) struct Process {
    pub read: Arc<Read>,
    pub fresh: PendingConfig,
    pub events: EventSender,
    pub clock: Clock,
    /// A new word at every start.
    pub boot: String,
    /// Whether a termination signal has come; it may still wait in the queue of events.
    pub stop_asked: Arc<AtomicBool>,
}

/// What an engine leaves to the next one of the same process.
pub(super) struct Carryover {
    pub carried: Carried,
    pub link: Option<Link>,
    pub socket: Option<Socket>,
}

/// Runs the daemon until it is told to stop.
///
/// New settings take effect by a restart of everything but the link to the broker: one way for all of them.
///
/// # Errors
/// [`RunError`]; what was acknowledged is on the disk whatever it is.
pub fn run(read: Arc<Read>) -> Result<(), RunError> {
    allocator::give_back();
    let mut sources = read().map_err(RunError::Configuration)?;
    let (mut sender, mut events) = sync_channel(EVENTS);
    let process = Process {
        read,
        fresh: PendingConfig::default(),
        events: EventSender::new(sender.clone()),
        clock: Clock::start(),
        boot: boot(),
        stop_asked: Arc::default(),
    };
    // Before the lock says that a daemon runs here: from then on it stops cleanly.
    listen_to_signals(process.events.clone(), Arc::clone(&process.stop_asked))?;
    let (mut kept, mut pending, mut former, mut taken_back) =
        (None::<Carryover>, Vec::new(), None::<ConfigLayers>, None);
    loop {
        let assembled = sources.start().and_then(|mut start| {
            start.opening = taken_back.take().or(start.opening);
            assemble(start, &process, sender.clone(), &mut kept)
        });
        let (mut engine, mut runtime) = match assembled {
            Ok(assembled) => assembled,
            // What is new goes, and what was before is tried again.
            Err(error) => match former.take() {
                Some(before) => {
                    sources = before;
                    taken_back = Some(format!("the former configuration holds again: {}", told(&error)));
                    continue;
                }
                None if take_back(&sources.own()?.store.path, &told(&error))? => {
                    taken_back = Some(words_for_taken_back(&told(&error)));
                    continue;
                }
                None => return Err(error),
            },
        };
        match main_loop::run(&mut engine, &mut runtime, pending, &events, &process.clock) {
            Ok(Next::Restart) => {
                let (left, queue) = runtime.hand_over(engine, &events)?;
                (pending, kept) = (left.pending, Some(left.kept));
                (sender, events) = queue;
                let fresh = process.fresh.lock().unwrap_or_else(PoisonError::into_inner).take();
                former = fresh.map(|fresh| std::mem::replace(&mut sources, fresh));
            }
            ended => {
                runtime.shut_down(&mut engine, events, &process.clock, ended.is_ok());
                return ended.map(drop);
            }
        }
    }
}

/// A new word at every start.
fn boot() -> String {
    let seed = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    Digest::of(seed.as_bytes()).short()
}

/// SIGTERM and SIGINT become [`Event::Stop`], SIGHUP becomes [`Event::Reload`]; `stop_asked` tells of the former at once,
/// also to who does not listen to events now. SIGCONT becomes [`Event::ReloadAsked`]: systemd sends it besides running the
/// unit's `ExecReload=`, and newer ones wait for an answer.
fn listen_to_signals(events: EventSender, stop_asked: Arc<AtomicBool>) -> Result<(), RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Thread)?;
    // Here, not on the thread: a signal that comes before that one runs must not kill.
    let entered = runtime.enter();
    let listen = |kind| signal(kind).map_err(RunError::Signals);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hang_up = listen(SignalKind::hangup())?;
    let mut go_on = listen(SignalKind::from_raw(libc::SIGCONT))?;
    drop(entered);
    let wait = async move {
        loop {
            let event = tokio::select! {
                _ = terminate.recv() => Event::Stop,
                _ = interrupt.recv() => Event::Stop,
                _ = hang_up.recv() => Event::Reload,
                _ = go_on.recv() => Event::ReloadAsked,
            };
            stop_asked.fetch_or(matches!(event, Event::Stop), Ordering::Relaxed);
            events.send(event);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait)).map_err(RunError::Thread)?;
    Ok(())
}
