//! `edgetuned run`: starting the daemon, starting it again within the process, and what follows when a start fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};
use std::thread;

use super::event_sender::EventSender;
use super::metrics::Metrics;
use super::process::{self, Clock, EVENTS, Process};
use super::startup::{ConfigLayers, PendingConfig, Read, StartPlan, take_back};
use super::wiring::assemble;
use super::{RunError, main_loop};
use crate::engine::{Event, Next, ProcessEvent, reverted_notice};
use crate::source::Slots;
use crate::words::{Digest, error_chain};

/// Runs the daemon until it is asked to stop.
///
/// New settings take effect by a restart within the process of everything but the link to the broker: one way for all
/// of them.
///
/// # Errors
/// [`RunError`]; what was acknowledged is on the disk whatever it is.
pub fn run(read: Arc<Read>) -> Result<(), RunError> {
    process::return_large_blocks();
    let mut attempt = Attempt { layers: read().map_err(RunError::Configuration)?, origin: Origin::Unchanged };
    let (mut sender, mut events) = sync_channel(EVENTS);
    let sending = EventSender::new(sender.clone());
    let wakes = sending.clone();
    let process = Process {
        // The loop looks what came.
        slots: Arc::new(Slots::new(move || wakes.try_send(Event::Frames { news: Vec::new(), dropped: Vec::new() }))),
        read,
        pending_config: PendingConfig::default(),
        events: sending,
        clock: Clock::start(),
        boot: unique_name(),
        metrics: Arc::new(Metrics::new()),
        stop_asked: Arc::default(),
    };
    // Before the lock says that a daemon runs here: from then on it stops cleanly.
    listen_to_signals(process.events.clone(), Arc::clone(&process.stop_asked))?;
    let (mut carryover, mut pending) = (None, Vec::new());
    loop {
        let assembled = attempt.plan().and_then(|plan| assemble(plan, &process, sender.clone(), &mut carryover));
        let (mut engine, mut runtime) = match assembled {
            Ok(assembled) => assembled,
            Err(error) => {
                attempt = attempt.after_failure(error)?;
                continue;
            }
        };
        match main_loop::run(&mut engine, &mut runtime, pending, &events, &process.clock) {
            Ok(Next::Restart) => {
                let (left, queue) = runtime.hand_over(engine, &events)?;
                (pending, carryover) = (left.pending, Some(left.carryover));
                (sender, events) = queue;
                attempt =
                    attempt.after_restart(process.pending_config.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
            ended => {
                runtime.shut_down(&mut engine, events, &process.clock, ended.is_ok());
                return ended.map(drop);
            }
        }
    }
}

/// One attempt to start with a configuration.
struct Attempt {
    layers: ConfigLayers,
    origin: Origin,
}

/// Why these layers are tried, which decides what is tried after them.
enum Origin {
    /// They are those of the process's start, or of the engine before.
    Unchanged,
    /// They were read again while the daemon ran; `former` held before.
    Reloaded { former: ConfigLayers },
    /// Another start failed; `notice` says what was reverted because of it.
    Recovery { notice: String },
}

impl Attempt {
    fn plan(&self) -> Result<StartPlan, RunError> {
        let mut plan = self.layers.start()?;
        if let Origin::Recovery { notice } = &self.origin {
            plan.notice = Some(notice.clone());
        }
        Ok(plan)
    }

    /// What to try after `error`: the layers that held before, or these without what is on trial.
    ///
    /// # Errors
    /// `error` when nothing is left to revert.
    fn after_failure(self, error: RunError) -> Result<Self, RunError> {
        let reason = error_chain(&error);
        match self.origin {
            Origin::Reloaded { former } => {
                let notice = format!("the former configuration holds again: {reason}");
                Ok(Self { layers: former, origin: Origin::Recovery { notice } })
            }
            Origin::Unchanged | Origin::Recovery { .. } if take_back(&self.layers.own()?.store.path, &reason)? => {
                let notice = reverted_notice(&reason);
                Ok(Self { layers: self.layers, origin: Origin::Recovery { notice } })
            }
            Origin::Unchanged | Origin::Recovery { .. } => Err(error),
        }
    }

    /// What to try when the engine asked for a restart; `reloaded` are layers that were read again meanwhile.
    fn after_restart(self, reloaded: Option<ConfigLayers>) -> Self {
        match reloaded {
            Some(layers) => Self { layers, origin: Origin::Reloaded { former: self.layers } },
            None => Self { layers: self.layers, origin: Origin::Unchanged },
        }
    }
}

/// Another one whenever it is asked for.
pub(super) fn unique_name() -> String {
    let seed = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    Digest::of(seed.as_bytes()).short()
}

/// SIGTERM and SIGINT become [`ProcessEvent::StopRequested`], SIGHUP becomes [`ProcessEvent::ReloadRequested`]. `stop_asked` is set at once, for code
/// that does not read events at that moment.
fn listen_to_signals(events: EventSender, stop_asked: Arc<AtomicBool>) -> Result<(), RunError> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(RunError::Thread)?;
    // Here, not on the thread: a signal that comes before that one runs must not kill.
    let entered = runtime.enter();
    let listen = |kind| signal(kind).map_err(RunError::Signals);
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    let mut hang_up = listen(SignalKind::hangup())?;
    drop(entered);
    let wait = async move {
        loop {
            let event = tokio::select! {
                _ = terminate.recv() => Event::Process(ProcessEvent::StopRequested),
                _ = interrupt.recv() => Event::Process(ProcessEvent::StopRequested),
                _ = hang_up.recv() => Event::Process(ProcessEvent::ReloadRequested),
            };
            stop_asked.fetch_or(matches!(event, Event::Process(ProcessEvent::StopRequested)), Ordering::Relaxed);
            events.send(event);
        }
    };
    thread::Builder::new().name("signals".into()).spawn(move || runtime.block_on(wait)).map_err(RunError::Thread)?;
    Ok(())
}
