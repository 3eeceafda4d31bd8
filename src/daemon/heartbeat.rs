//! Seeing that a worker is stuck: it lives, but has been at one thing for longer than that may take.
//!
//! The service manager's watchdog is fed while no worker is stuck, so a hung ONNX Runtime or a file system that never
//! answers ends in a restart and not in a daemon that looks well and does nothing. The link and the watch have no heartbeat:
//! they wait for a network or a disk for as long as it takes, which a restart does not shorten. Nor has a training, which may
//! pause for hours where the machine is hot or busy.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Without a watchdog, how long one image may take.
const IMAGE: Duration = Duration::from_secs(30);
/// A watchdog that is shorter than this does not make images come faster.
const IMAGE_MIN: Duration = Duration::from_secs(5);
/// How many times longer one thing may take that goes through the whole store.
const STORE: u32 = 20;

/// Since when a worker has been at the present thing.
#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeat(Arc<Mutex<Option<Instant>>>);

impl Heartbeat {
    /// Does one thing; what takes too long is seen meanwhile.
    pub fn during<T>(&self, thing: impl FnOnce() -> T) -> T {
        self.set(Some(Instant::now()));
        let done = thing();
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

/// The heartbeats of all workers that must get on.
#[derive(Debug, Clone, Default)]
pub(super) struct Heartbeats {
    /// Reads, hashes and decodes one file.
    pub read: Heartbeat,
    /// Embeds and scores one image.
    pub embed: Heartbeat,
    /// Learns labels, reviews the store.
    pub adapt: Heartbeat,
    /// Finds out one answer.
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
    /// The first worker that has been at one thing for too long; `watchdog` is the watchdog's.
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
    fn a_worker_is_stuck_when_one_thing_takes_longer_than_it_may_and_not_between_two() {
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
