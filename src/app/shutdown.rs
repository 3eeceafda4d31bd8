//! Seeing that the workers live, and taking the daemon down within seconds, whatever they are busy with.

use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::daemon::Clock;
use super::effects::Rim;
use super::run::{EVENTS, RunError};
use crate::engine::{Engine, Event};
use crate::http;
use crate::mqtt;
use crate::words::told;

/// How long the last messages may take on their way to the broker.
const FAREWELL: Duration = Duration::from_secs(3);
/// The link promises to end two seconds later than that; past this it is left behind.
const LINK_END: Duration = Duration::from_secs(6);
/// How long the image in hand may take.
const INGEST_END: Duration = Duration::from_secs(3);
/// Between two looks at a worker that is about to end.
const LOOK: Duration = Duration::from_millis(10);

impl Rim {
    /// Sees that every worker is still there; one that is not ends the daemon, so that systemd starts it anew.
    ///
    /// # Errors
    /// [`RunError`] with what the worker ended on.
    pub(super) fn workers_live(&mut self) -> Result<(), RunError> {
        if let Some(ended) = self.ingest.threads.iter().position(thread::JoinHandle::is_finished) {
            let thread = self.ingest.threads.swap_remove(ended);
            return match thread.join() {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => Err(RunError::WorkerEnded { worker: "ingest" }),
            };
        }
        if let Some(thread) = self.adapting.take_if(|thread| thread.is_finished()) {
            return match thread.join() {
                Ok(Err(error)) => Err(error.into()),
                Ok(Ok(())) | Err(_) => Err(RunError::WorkerEnded { worker: "adapt" }),
            };
        }
        if self.answers.thread.is_finished() {
            return Err(RunError::WorkerEnded { worker: "answer" });
        }
        if self.http.as_ref().is_some_and(http::Handle::is_finished) {
            return Err(RunError::WorkerEnded { worker: "http" });
        }
        if self.watch.is_finished() {
            return Err(RunError::WorkerEnded { worker: "watch" });
        }
        if self.mqtt.as_ref().is_some_and(mqtt::Handle::is_finished) {
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
        // Whoever asks from now on learns that nobody is here.
        drop(self.http.take());
        if let Some(link) = self.mqtt.take().filter(|_| cleanly)
            && let Err(error) = self.see_off(&link, engine, &events, clock)
        {
            warn!(error = told(&error), "what the broker has got could not be noted; it will get it again");
        }
        // From here on no worker waits for its event to be taken.
        drop(events);
        drop(self.ingest.jobs);
        drop(self.answers.jobs);
        // ONNX Runtime is torn down with the process, so no thread may be inside it then.
        let until = Instant::now() + INGEST_END;
        let busy = || self.ingest.threads.iter().any(|thread| !thread.is_finished()) || !self.answers.thread.is_finished();
        while busy() && Instant::now() < until {
            thread::sleep(LOOK);
        }
        info!("stopped");
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
