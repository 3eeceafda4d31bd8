//! Seeing that a worker is stuck: it lives, but has been at one thing for longer than that may take.
//!
//! The service manager's watchdog is fed while no worker is stuck, so a hung ONNX Runtime or a file system that never
//! answers ends in a restart and not in a daemon that looks well and does nothing. The link and the watch have no pulse:
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
pub(super) struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// Does one thing; what takes too long is seen meanwhile.
    pub fn of<T>(&self, thing: impl FnOnce() -> T) -> T {
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

/// The pulses of all workers that must get on.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulses {
    /// Reads, hashes and decodes one file.
    pub read: Pulse,
    /// Embeds and scores one image.
    pub embed: Pulse,
    /// Learns labels, reviews the store.
    pub adapt: Pulse,
    /// Finds out one answer.
    pub answer: Pulse,
}

/// A worker that is stuck.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stuck {
    pub worker: &'static str,
    pub busy: Duration,
    pub may: Duration,
}

impl Pulses {
    /// The first worker that has been at one thing for too long; `patience` is the watchdog's.
    pub fn stuck(&self, patience: Option<Duration>) -> Option<Stuck> {
        let image = patience.map_or(IMAGE, |patience| patience.max(IMAGE_MIN));
        let workers = [
            ("read", &self.read, image),
            ("embed", &self.embed, image),
            ("adapt", &self.adapt, image * STORE),
            ("answer", &self.answer, image * STORE),
        ];
        workers.into_iter().find_map(|(worker, pulse, may)| {
            let busy = pulse.busy().filter(|busy| *busy > may)?;
            Some(Stuck { worker, busy, may })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_stuck_when_one_thing_takes_longer_than_it_may_and_not_between_two() {
        let pulses = Pulses::default();
        let long_ago = Instant::now().checked_sub(Duration::from_secs(31));
        assert!(long_ago.is_some(), "this machine has been up for less than a minute");
        assert_eq!(pulses.stuck(None), None, "nobody does anything");
        pulses.embed.set(long_ago);
        let stuck = pulses.stuck(None).map(|stuck| (stuck.worker, stuck.may));
        assert_eq!(stuck, Some(("embed", IMAGE)));
        assert_eq!(pulses.stuck(Some(Duration::from_mins(1))), None, "the watchdog bears more");
        pulses.embed.of(|| assert_eq!(pulses.stuck(None), None, "it is at the next thing"));
        assert_eq!(pulses.stuck(None), None, "it is at nothing");
        pulses.adapt.set(long_ago);
        assert_eq!(pulses.stuck(None), None, "the whole store takes longer");
    }
}
