//! Cameras that are asked for a picture over HTTP, one thread each.
//!
//! A request can take as long as its timeout, and one camera that stalls must not hold up another. Threads share nothing
//! but the slots; one costs less than 0.25 MiB. Their number is the number of sources, which the configuration bounds.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::fetch::{Fetched, Fetcher, Request};
use super::schedule::{Burst, Schedule};
use super::slot::{Frame, Slots};
use crate::words::{SampleId, SourceId};

/// Enough for an encrypted connection, and a quarter of what is usual.
const STACK_BYTES: usize = 512 << 10;

/// One camera and its pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Camera {
    /// Whose frames they are.
    pub source: SourceId,
    /// How it is asked.
    pub request: Request,
    /// How often.
    pub every: Duration,
    /// How often when something seems to happen.
    pub burst: Option<Burst>,
}

/// The cameras' threads; dropping it ends them, each at the latest when the request that it is at has been answered.
#[derive(Debug)]
pub struct Handle {
    cameras: Vec<(SourceId, Sender<LookCloser>)>,
    threads: Vec<JoinHandle<()>>,
}

/// To be asked more often for a while.
struct LookCloser;

/// Asks each of `cameras` at its pace, and brings what it answers to `slots`.
///
/// `seed` is of the delays after failures, so that devices do not come back to one server all at once.
///
/// # Errors
/// When the system gives no thread.
pub fn spawn(cameras: Vec<Camera>, slots: &Arc<Slots>, seed: u64) -> io::Result<Handle> {
    let mut handle = Handle { cameras: Vec::new(), threads: Vec::new() };
    for (number, camera) in (0..).zip(cameras) {
        let (orders, ordered) = channel();
        handle.cameras.push((camera.source.clone(), orders));
        let polling = Polling::new(camera, Arc::clone(slots), ordered, seed.wrapping_add(number));
        let builder = thread::Builder::new().name("poll".into()).stack_size(STACK_BYTES);
        handle.threads.push(builder.spawn(move || polling.run())?);
    }
    Ok(handle)
}

impl Handle {
    /// Has the camera looked at more closely for a while, where it has a burst.
    pub fn burst(&self, source: &SourceId) {
        for (_, orders) in self.cameras.iter().filter(|(camera, _)| camera == source) {
            // The thread is gone only after a panic, which `is_finished` tells.
            let _ = orders.send(LookCloser);
        }
    }

    /// Whether one of the threads has ended, which it should not by itself.
    pub fn is_finished(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops; the threads are about to end, each when its request has been answered.
    pub fn stopping(mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.threads)
    }
}

struct Polling {
    source: SourceId,
    fetcher: Fetcher,
    schedule: Schedule,
    slots: Arc<Slots>,
    orders: Receiver<LookCloser>,
    begin: Instant,
    /// The reason of the last failure without its numbers, so that the journal has each once.
    failing: Option<String>,
}

impl Polling {
    fn new(camera: Camera, slots: Arc<Slots>, orders: Receiver<LookCloser>, seed: u64) -> Self {
        Self {
            source: camera.source,
            fetcher: Fetcher::new(camera.request),
            schedule: Schedule::new(camera.every, camera.burst, seed),
            slots,
            orders,
            begin: Instant::now(),
            failing: None,
        }
    }

    fn run(mut self) {
        loop {
            let wait = self.schedule.due().saturating_sub(self.begin.elapsed());
            match self.orders.recv_timeout(wait) {
                Ok(LookCloser) => {
                    self.schedule.burst(self.begin.elapsed());
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let fetched = self.fetcher.fetch();
            match self.orders.try_recv() {
                // Of settings that are no more.
                Err(TryRecvError::Disconnected) => return,
                Ok(LookCloser) => self.schedule.burst(self.begin.elapsed()),
                Err(TryRecvError::Empty) => {}
            }
            self.bring(fetched);
        }
    }

    fn bring(&mut self, fetched: Result<Fetched, String>) {
        let now = self.begin.elapsed();
        let source = &self.source;
        match fetched {
            Ok(fetched) => {
                self.schedule.answered(now);
                if self.failing.take().is_some() {
                    info!(%source, "the camera answers again");
                }
                match fetched {
                    Fetched::Picture(bytes) => {
                        let frame = Frame { id: SampleId::of(&bytes), bytes, stale: false, waiter: None };
                        let offered = self.slots.offer(source, frame);
                        debug!(%source, ?offered, "a frame");
                    }
                    Fetched::Unchanged => self.slots.frozen(source),
                }
            }
            Err(reason) => {
                self.schedule.failed(now);
                let kind = reason.replace(|c: char| c.is_ascii_digit(), "");
                if self.failing.as_ref() != Some(&kind) {
                    warn!(%source, reason, "no picture");
                    self.failing = Some(kind);
                }
                self.slots.failed(source, reason);
            }
        }
    }
}

#[cfg(test)]
#[path = "poll_tests.rs"]
mod tests;
