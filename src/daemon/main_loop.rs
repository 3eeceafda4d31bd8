//! The loop: events in, one commit, acts out.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::RunError;
use super::execute::Runtime;
use super::process::Clock;
use crate::engine::{BrokerEvent, Engine, Event, Next, Step, WatchEvent};
use crate::source::News;
use crate::systemd;

/// Time between two ticks of the engine while there is work.
const TICK: Duration = Duration::from_millis(100);
/// The same while there is none.
const TICK_AT_REST: Duration = Duration::from_secs(1);
/// The same while nothing can fall due within seconds and nobody looks, so that the processor can sleep.
const TICK_ASLEEP: Duration = Duration::from_secs(10);
/// Signs of life within the watchdog's time, at least.
const SIGNS_OF_LIFE: u32 = 3;
/// After the last event, ticks stay frequent for this long.
const AWAKE: Duration = Duration::from_secs(2);
/// Time between two measurements of the system.
const VITALS: Duration = Duration::from_secs(10);
/// Time between two snapshots for scrapes, at least.
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
        let sleeps_until = engine.sleeps_until().filter(|_| !runtime.has_times());
        let tick_at = if clock.now().mono < awake_until || engine.waits_for_files() {
            ticked_at + TICK
        } else {
            let asleep = sleeps_until.map(|until| until.min(ticked_at + asleep(systemd::watchdog_timeout())));
            asleep.unwrap_or_default().max(ticked_at + TICK_AT_REST)
        };
        let wait = if step.is_empty() { tick_at.saturating_sub(clock.now().mono) } else { Duration::ZERO };
        match events.recv_timeout(wait) {
            Ok(first) => {
                for event in std::iter::once(first).chain(events.try_iter().take(BATCH - 1)) {
                    log(&event);
                    if leads_on(&event) {
                        awake_until = clock.now().mono + AWAKE;
                    }
                    runtime.process.metrics.heard(&event);
                    step.append(engine.step(clock.now(), event));
                }
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

/// Whether something may fall due soon after this event. That the broker has a message is the end of something.
fn leads_on(event: &Event) -> bool {
    !matches!(event, Event::Broker(BrokerEvent::Delivered { .. } | BrokerEvent::Taken(_)))
}

/// Time between two ticks that is still well within the watchdog's.
fn asleep(watchdog: Option<Duration>) -> Duration {
    watchdog.map_or(TICK_ASLEEP, |watchdog| TICK_ASLEEP.min(watchdog / SIGNS_OF_LIFE))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_hears_of_a_loop_that_sleeps_several_times_in_its_time() {
        assert_eq!(asleep(None), TICK_ASLEEP);
        assert_eq!(asleep(Some(Duration::from_secs(30))), TICK_ASLEEP, "that of the unit");
        assert_eq!(asleep(Some(Duration::from_secs(2))), Duration::from_secs(2) / 3);
    }

    #[test]
    fn what_the_broker_has_got_keeps_nobody_awake() {
        assert!(!leads_on(&Event::Broker(BrokerEvent::Delivered { seq: 1 })));
        assert!(leads_on(&Event::Broker(BrokerEvent::Connected { refused: Vec::new(), downgraded: Vec::new() })));
        assert!(leads_on(&Event::Tick));
    }
}
