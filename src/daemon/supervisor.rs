//! Seeing that the workers live, and taking the daemon down within seconds, whatever they are busy with.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::error::RunError;
use super::execute::Runtime;
use super::process::{Carryover, Clock, EVENTS};
use crate::engine::{Engine, Event};
use crate::mqtt;
use crate::systemd;
use crate::words::told;

/// How long the last messages may take on their way to the broker.
const FAREWELL: Duration = Duration::from_secs(3);
/// The link promises to end two seconds later than that; past this it is left behind.
const LINK_END: Duration = Duration::from_secs(6);
/// How long the image in hand may take.
const INGEST_END: Duration = Duration::from_secs(3);
/// How long the workers may take to make way for the next engine's; an embedding or a page of the store.
const HAND_OVER: Duration = Duration::from_secs(30);
/// Between two looks at a worker that is about to end.
const LOOK: Duration = Duration::from_millis(10);

/// What an engine that made way left.
pub(super) struct Handover {
    /// For the next engine, in order.
    pub pending: Vec<Event>,
    pub carryover: Carryover,
}

/// Both ends of an engine's queue.
pub(super) type Queue = (SyncSender<Event>, Receiver<Event>);

/// What is as true for the next engine as for this one: it comes from the link or from a signal.
fn outlives(event: &Event) -> bool {
    matches!(
        event,
        Event::Inbound(_)
            | Event::Connected
            | Event::Disconnected { .. }
            | Event::Delivered { .. }
            | Event::Fault { source: "mqtt", .. }
            | Event::Request(_)
            | Event::Reload
            | Event::ReloadAsked
            | Event::Stop
    )
}

impl Runtime {
    /// Sees that every worker is still there; one that is not ends the daemon, so that systemd starts it anew.
    ///
    /// # Errors
    /// [`RunError`] with what the worker ended on.
    pub(super) fn workers_live(&mut self) -> Result<(), RunError> {
        if let Some(ended) = self.workers.ingest.threads.iter().position(thread::JoinHandle::is_finished) {
            let thread = self.workers.ingest.threads.swap_remove(ended);
            return match thread.join() {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => Err(RunError::WorkerEnded { worker: "ingest" }),
            };
        }
        if let Some(thread) = self.workers.online_thread.take_if(|thread| thread.is_finished()) {
            return match thread.join() {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => Err(RunError::WorkerEnded { worker: "adapt" }),
            };
        }
        if self.workers.queries.thread.is_finished() {
            return Err(RunError::WorkerEnded { worker: "answer" });
        }
        if self.socket.as_ref().is_some_and(|socket| socket.handle.is_finished()) {
            return Err(RunError::WorkerEnded { worker: "http" });
        }
        if self.workers.watch.is_finished() {
            return Err(RunError::WorkerEnded { worker: "watch" });
        }
        if self.link.as_ref().is_some_and(|link| link.handle.is_finished()) {
            return Err(RunError::WorkerEnded { worker: "mqtt" });
        }
        Ok(())
    }

    /// Ends the workers. The broker gets what waits, if the end is clean; a training is cancelled and done again at
    /// the next start, and so is an image in hand.
    pub(super) fn shut_down(mut self, engine: &mut Engine, events: Receiver<Event>, clock: &Clock, cleanly: bool) {
        if let Some(training) = self.training.take() {
            training.cancel();
        }
        if let Some(backbone_swap) = &self.backbone_swap {
            backbone_swap.cancel();
        }
        // Whoever asks from now on learns that nobody is here.
        drop(self.socket.take());
        if let Some(link) = self.link.take().filter(|_| cleanly)
            && let Err(error) = self.see_off(&link.handle, engine, &events, clock)
        {
            warn!(error = told(&error), "what the broker has got could not be noted; it will get it again");
        }
        self.note_deliveries();
        // From here on no worker waits for its event to be taken.
        drop(events);
        drop(self.workers.ingest.jobs);
        drop(self.workers.queries.jobs);
        // ONNX Runtime is torn down with the process, so no thread may be inside it then.
        let until = Instant::now() + INGEST_END;
        let busy = || {
            self.workers.ingest.threads.iter().any(|thread| !thread.is_finished())
                || !self.workers.queries.thread.is_finished()
                || self.backbone_swap.as_ref().is_some_and(|backbone_swap| !backbone_swap.is_finished())
        };
        while busy() && Instant::now() < until {
            thread::sleep(LOOK);
        }
        info!("stopped");
    }

    /// Ends everything but the link, and what only this engine knew: what the queue holds for the next one, and its own
    /// queue.
    ///
    /// # Errors
    /// [`RunError::WorkerStays`] when a worker does not end within its time; only the end of the process helps then.
    pub(super) fn hand_over(mut self, engine: Engine, events: &Receiver<Event>) -> Result<(Handover, Queue), RunError> {
        if let Some(training) = &self.training {
            training.cancel();
        }
        if let Some(backbone_swap) = &self.backbone_swap {
            backbone_swap.cancel();
        }
        self.note_deliveries();
        let (sender, next) = sync_channel(EVENTS);
        let mut pending = Vec::new();
        let mut empty = || pending.extend(events.try_iter().filter(outlives));
        self.process.events.redirect(&sender, &mut empty);
        // What the workers still have to say is of no interest any more, but they must be able to say it.
        drop(self.workers.ingest.jobs);
        drop(self.workers.watch);
        drop(self.workers.online);
        drop(self.workers.queries.jobs);
        let workers = self.workers.ingest.threads;
        let until = Instant::now() + HAND_OVER;
        while workers.iter().any(|thread| !thread.is_finished())
            || self.workers.online_thread.as_ref().is_some_and(|thread| !thread.is_finished())
            || !self.workers.queries.thread.is_finished()
        {
            if Instant::now() >= until {
                return Err(RunError::WorkerStays { seconds: HAND_OVER.as_secs() });
            }
            drop(events.recv_timeout(LOOK));
            // The time is bounded above.
            systemd::alive();
        }
        if self.process.stop_asked.load(Ordering::Relaxed) {
            pending.push(Event::Stop);
        }
        info!("starting anew");
        let carried = engine.carry();
        let carryover = Carryover { carried, link: self.link, socket: self.socket };
        Ok((Handover { pending, carryover }, (sender, next)))
    }

    /// Lets the link say good-bye and notes what the broker still acknowledges, so that it is not sent again. The
    /// queue is emptied all the while, because the link waits where it is full; what else comes is left to the next
    /// start, since nothing of it was acknowledged.
    fn see_off(
        &mut self,
        link: &mqtt::Handle,
        engine: &mut Engine,
        events: &Receiver<Event>,
        clock: &Clock,
    ) -> Result<(), RunError> {
        link.stop(FAREWELL);
        let until = Instant::now() + LINK_END;
        loop {
            let is_over = link.is_finished() || Instant::now() >= until;
            let mut effects = Vec::new();
            for event in events.recv_timeout(LOOK).into_iter().chain(events.try_iter().take(EVENTS)) {
                if matches!(event, Event::Delivered { .. }) {
                    effects.extend(engine.step(clock.now(), event));
                }
            }
            self.run(effects)?;
            if is_over {
                return Ok(());
            }
        }
    }
}
