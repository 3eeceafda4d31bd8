//! Notices workers that ended, and stops the daemon within seconds whatever they are busy with.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::RunError;
use super::execute::{Runtime, Workers};
use super::process::{Carryover, Clock, EVENTS};
use super::workers::job::Job;
use crate::engine::{BrokerEvent, Engine, Event, ProcessEvent, Step};
use crate::words::{Component, error_chain};
use crate::{mqtt, systemd};

/// How long the last messages may take to reach the broker.
const FAREWELL: Duration = Duration::from_secs(3);
/// The link ends at most two seconds later than that; after this it is no longer waited for.
const LINK_END: Duration = Duration::from_secs(6);
/// How long the workers may take with what they are at: an image, an answer, a step of a training.
const WORKERS_END: Duration = Duration::from_secs(3);
/// How long the workers may take to end before a restart within the process: an embedding, or a page of the store.
const HAND_OVER: Duration = Duration::from_secs(30);
/// Time between two checks of a worker that is about to end.
const LOOK: Duration = Duration::from_millis(10);

/// What an engine leaves to the next one.
pub(super) struct Handover {
    /// Events for the next engine, in order.
    pub pending: Vec<Event>,
    pub carryover: Carryover,
}

/// Both ends of an engine's queue.
pub(super) type Queue = (SyncSender<Event>, Receiver<Event>);

/// Whether the next engine needs this event: it comes from the link, the socket or a signal.
fn outlives(event: &Event) -> bool {
    matches!(
        event,
        Event::Broker(_)
            | Event::ComponentError { source: Component::Mqtt, .. }
            | Event::Socket(_)
            | Event::Process(ProcessEvent::ReloadRequested | ProcessEvent::StopRequested)
    )
}

impl Runtime {
    /// Fails when a worker has ended: that ends the daemon, and systemd restarts it.
    ///
    /// # Errors
    /// [`RunError`] with the worker's error.
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
        if self.workers.cameras.is_finished() {
            return Err(RunError::WorkerEnded { worker: "poll" });
        }
        if self.workers.watch.is_finished() {
            return Err(RunError::WorkerEnded { worker: "watch" });
        }
        if self.link.as_ref().is_some_and(|link| link.handle.is_finished()) {
            return Err(RunError::WorkerEnded { worker: "mqtt" });
        }
        Ok(())
    }

    /// Ends the workers. In a clean end the broker still gets the messages that wait. A training is cancelled and
    /// repeated at the next start, and so is the current image.
    pub(super) fn shut_down(mut self, engine: &mut Engine, events: Receiver<Event>, clock: &Clock, cleanly: bool) {
        [&self.training, &self.backbone_swap, &self.update].into_iter().flatten().for_each(Job::cancel);
        // Requests from now on are refused.
        drop(self.socket.take());
        if let Some(link) = self.link.take().filter(|_| cleanly)
            && let Err(error) = self.disconnect(&link.handle, engine, &events, clock)
        {
            warn!(
                error = error_chain(&error),
                "the broker's last acknowledgements could not be stored; it will receive these messages again"
            );
        }
        self.committer.note_deliveries();
        // From here on no worker waits for space in the queue.
        drop(events);
        let Self { committer, reader, workers, training, backbone_swap, update, .. } = self;
        let Workers { ingest, queries, online, online_thread, watch, cameras } = workers;
        // A camera that does not answer is not waited for.
        drop((reader, ingest.jobs, queries.jobs, online, cameras));
        let watch = watch.stopping();
        // ONNX Runtime is unloaded with the process, so no thread may be inside it then; and the store is one file when
        // those that read it end before it.
        let runs = |job: &Option<Job>| job.as_ref().is_some_and(|job| !job.is_finished());
        let until = Instant::now() + WORKERS_END;
        while Instant::now() < until
            && (ingest.threads.iter().any(|thread| !thread.is_finished())
                || watch.iter().any(|thread| !thread.is_finished())
                || online_thread.as_ref().is_some_and(|thread| !thread.is_finished())
                || !queries.thread.is_finished()
                || [&training, &backbone_swap, &update].into_iter().any(runs))
        {
            thread::sleep(LOOK);
        }
        match committer.close() {
            Ok(true) => {}
            Ok(false) => info!("a worker still reads the store; the next start writes its log into the database"),
            Err(error) => warn!(error = error_chain(&error), "the store is closed by the next start"),
        }
        info!("stopped");
    }

    /// Ends everything but the link and the socket. The events that the next engine needs, and the queue for it.
    ///
    /// # Errors
    /// [`RunError::WorkerStays`] when a worker does not end in time; only the end of the process helps then.
    pub(super) fn hand_over(mut self, engine: Engine, events: &Receiver<Event>) -> Result<(Handover, Queue), RunError> {
        [&self.training, &self.backbone_swap, &self.update].into_iter().flatten().for_each(Job::cancel);
        self.committer.note_deliveries();
        if let Some(socket) = &self.socket {
            socket.handle.restarting();
        }
        let (sender, next) = sync_channel(EVENTS);
        let mut pending = Vec::new();
        let mut empty = || pending.extend(events.try_iter().filter(outlives));
        self.process.events.redirect(&sender, &mut empty);
        // The last events of the workers no longer matter, but sending them must not block.
        drop(self.workers.ingest.jobs);
        drop(self.workers.watch);
        drop(self.workers.cameras);
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
            pending.push(Event::Process(ProcessEvent::StopRequested));
        }
        info!("starting anew");
        let carried = engine.carry();
        let carryover = Carryover { carried, link: self.link, socket: self.socket };
        Ok((Handover { pending, carryover }, (sender, next)))
    }

    /// Disconnects the link and notes which messages the broker still acknowledges, so that they are not sent again.
    /// The queue is emptied meanwhile, because the link blocks when it is full; other events are left to the next
    /// start, since none of them was acknowledged.
    fn disconnect(
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
            let mut step = Step::default();
            for event in events.recv_timeout(LOOK).into_iter().chain(events.try_iter().take(EVENTS)) {
                if matches!(event, Event::Broker(BrokerEvent::Delivered { .. })) {
                    step.append(engine.step(clock.now(), event));
                }
            }
            self.run(step)?;
            if is_over {
                return Ok(());
            }
        }
    }
}
