//! The loop: events in, one commit, acts out.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::RunError;
use super::execute::Runtime;
use super::process::Clock;
use crate::engine::{Engine, Event, Next, Step, WatchEvent};
use crate::source::News;

/// Time between two ticks of the engine while there is work.
const TICK: Duration = Duration::from_millis(100);
/// The same while there is none, so that the processor can sleep.
const TICK_AT_REST: Duration = Duration::from_secs(1);
/// After the last event, ticks stay frequent for this long.
const AWAKE: Duration = Duration::from_secs(2);
/// Time between two measurements of the system.
const VITALS: Duration = Duration::from_secs(10);
/// Time between two snapshots for scrapes; the loop turns that often anyway.
const SHOWN: Duration = Duration::from_secs(1);
/// Events that share a commit, at most.
const BATCH: usize = 256;

/// Runs the engine until it asks for an exit or a restart, beginning with the events that a former one left.
///
/// # Errors
/// [`RunError`] when the store or a worker fails in a way that only a restart of the process can repair.
pub(super) fn run(
    engine: &mut Engine,
    runtime: &mut Runtime,
    left: Vec<Event>,
    events: &Receiver<Event>,
    clock: &Clock,
) -> Result<Next, RunError> {
    let (mut ticked_at, mut vitals_at) = (Duration::ZERO, clock.now().mono + VITALS);
    let mut awake_until = clock.now().mono + AWAKE;
    // First, so that the first `health` has figures.
    let mut begun = engine.step(clock.now(), Event::SystemMetrics(runtime.vitals()?));
    begun.append(engine.start(clock.now()));
    for event in left {
        runtime.process.metrics.heard(&event);
        begun.append(engine.step(clock.now(), event));
    }
    let next = runtime.run(begun)?;
    runtime.process.metrics.show(engine.gauges(clock.now()));
    let mut shown_at = clock.now().mono;
    if next != Next::Continue {
        return Ok(next);
    }
    if let Some(socket) = &runtime.socket {
        socket.handle.running();
    }
    loop {
        let mut step = Step::default();
        // First: it applies to every event that waits in the queue.
        for event in std::mem::take(&mut runtime.feedback) {
            step.append(engine.step(clock.now(), event));
            awake_until = clock.now().mono + AWAKE;
        }
        let at_rest = clock.now().mono >= awake_until && !engine.waits_for_files();
        let tick_at = ticked_at + if at_rest { TICK_AT_REST } else { TICK };
        let wait = if step.is_empty() { tick_at.saturating_sub(clock.now().mono) } else { Duration::ZERO };
        match events.recv_timeout(wait) {
            Ok(first) => {
                for event in std::iter::once(first).chain(events.try_iter().take(BATCH - 1)) {
                    log(&event);
                    runtime.process.metrics.heard(&event);
                    step.append(engine.step(clock.now(), event));
                }
                awake_until = clock.now().mono + AWAKE;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(RunError::WorkerEnded { worker: "every worker" }),
        }
        let News { sources: news, dropped } = runtime.process.slots.news();
        if !news.is_empty() || !dropped.is_empty() {
            step.append(engine.step(clock.now(), Event::Frames { news, dropped }));
        }
        let now = clock.now();
        if now.mono >= vitals_at {
            vitals_at = now.mono + VITALS;
            step.append(engine.step(now, Event::SystemMetrics(runtime.vitals()?)));
        }
        if now.mono >= tick_at {
            ticked_at = now.mono;
            runtime.workers_live()?;
            step.append(engine.step(now, Event::Tick));
        }
        let next = runtime.run(step)?;
        if now.mono.saturating_sub(shown_at) >= SHOWN {
            shown_at = now.mono;
            runtime.process.metrics.show(engine.gauges(now));
        }
        if next != Next::Continue {
            return Ok(next);
        }
    }
}

/// Logs events that nothing else logs.
fn log(event: &Event) {
    match event {
        Event::Ingest(ingested) => {
            tracing::debug!(path = %ingested.path.display(), outcome = ?brief(ingested), "ingested");
        }
        Event::Watch(WatchEvent::ScanFinished { ignored, .. }) => tracing::debug!(?ignored, "folders listed"),
        _ => {}
    }
}

fn brief(ingested: &crate::engine::Ingested) -> String {
    use crate::engine::IngestOutcome::{Bad, Changed, Gone, Image, Incomplete, LetGo, Unreadable};
    match &ingested.outcome {
        Image(image) => format!("image {:?} decoded in {:?}, embedded in {:?}", image.id, image.decode, image.embed),
        Bad { reason } | Incomplete { reason } | Unreadable { reason } => reason.clone(),
        Changed => "changed while it was read".into(),
        Gone => "gone".into(),
        LetGo => "its sample was let go".into(),
    }
}
