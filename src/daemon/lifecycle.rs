//! `edgetuned run`: bringing the daemon up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};
use std::thread;

use super::error::RunError;
use super::event_sender::EventSender;
use super::execute::Next;
use super::main_loop;
use super::os;
use super::process::{Carryover, Clock, EVENTS, Process};
use super::startup::{ConfigLayers, PendingConfig, Read, take_back, words_for_taken_back};
use super::wiring::assemble;
use crate::engine::Event;
use crate::words::{Digest, told};

/// Runs the daemon until it is told to stop.
///
/// New settings take effect by a restart of everything but the link to the broker: one way for all of them.
///
/// # Errors
/// [`RunError`]; what was acknowledged is on the disk whatever it is.
pub fn run(read: Arc<Read>) -> Result<(), RunError> {
    os::return_large_blocks();
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
