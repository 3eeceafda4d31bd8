//! Detects a worker that is stuck: it runs, but has been busy with one task for longer than that may take.
//!
//! The service manager's watchdog is pinged while no worker is stuck, so a hung ONNX Runtime or a file system that never
//! answers leads to a restart, not to a daemon that looks healthy and does nothing. The link and the watch have no heartbeat:
//! they wait for a network or a disk for as long as it takes, and a restart would not help. Nor has a training, which may
//! pause for hours while the machine is hot or busy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Without a watchdog, how long one image may take.
const IMAGE: Duration = Duration::from_secs(30);
/// The least time for one image, however short the watchdog's timeout is.
const IMAGE_MIN: Duration = Duration::from_secs(5);
/// How many times longer a task may take that reads the whole store.
const STORE: u32 = 20;

/// Since when a worker has been busy with its current task; `None` while it is idle.
#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeat(Arc<Mutex<Option<Instant>>>);

impl Heartbeat {
    /// Runs one task; other threads see how long it takes.
    pub fn during<T>(&self, task: impl FnOnce() -> T) -> T {
        self.set(Some(Instant::now()));
        let done = task();
        self.set(None);
        done
    }

    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    pub(super) fn busy(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }
}

/// The heartbeats of all workers that must make progress.
#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeats {
    /// Reads, hashes and decodes one file.
    pub read: Heartbeat,
    /// Embeds and scores one image.
    pub embed: Heartbeat,
    /// Learns labels, reviews the store.
    pub adapt: Heartbeat,
    /// Answers one query.
    pub answer: Heartbeat,
}

/// A worker that is stuck.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    pub worker: &'static str,
    pub busy: Duration,
    pub may: Duration,
}

impl Heartbeats {
    /// How long each worker has been busy with one task; zero where it is idle.
    pub fn busy(&self) -> [(&'static str, Duration); 4] {
        let workers = [("read", &self.read), ("embed", &self.embed), ("adapt", &self.adapt), ("answer", &self.answer)];
        workers.map(|(worker, heartbeat)| (worker, heartbeat.busy().unwrap_or_default()))
    }

    /// The first worker that is stuck; `watchdog` is the watchdog's timeout.
    pub fn stuck(&self, watchdog: Option<Duration>) -> Option<Stuck> {
        let image = watchdog.map_or(IMAGE, |watchdog| watchdog.max(IMAGE_MIN));
        let workers = [
            ("read", &self.read, image),
            ("embed", &self.embed, image),
            ("adapt", &self.adapt, image * STORE),
            ("answer", &self.answer, image * STORE),
        ];
        workers.into_iter().find_map(|(worker, heartbeat, may)| {
            let busy = heartbeat.busy().filter(|busy| *busy > may)?;
            Some(Stuck { worker, busy, may })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_stuck_when_one_task_takes_longer_than_it_may_and_not_between_two() {
        let heartbeats = Heartbeats::default();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(31));
        assert!(long_ago.is_some(), "this machine has been up for less than a minute");
        assert_eq!(heartbeats.stuck(None), None, "nobody does anything");
        heartbeats.embed.set(long_ago);
        let stuck = heartbeats.stuck(None).map(|stuck| (stuck.worker, stuck.may));
        assert_eq!(stuck, Some(("embed", IMAGE)));
        assert_eq!(heartbeats.stuck(Some(Duration::from_mins(1))), None, "the watchdog bears more");
        heartbeats.embed.during(|| assert_eq!(heartbeats.stuck(None), None, "it is at the next thing"));
        assert_eq!(heartbeats.stuck(None), None, "it is at nothing");
        heartbeats.adapt.set(long_ago);
        assert_eq!(heartbeats.stuck(None), None, "the whole store takes longer");
    }
}
