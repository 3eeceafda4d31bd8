//! How long to wait before the next attempt to connect, and how fast a backlog is sent.
//!
//! After a long outage the outbox holds tens of thousands of messages. Sent as fast as the link takes them, they would
//! fill the queues of slower subscribers (mosquitto drops what is beyond 1,000 for one of them) and keep a small
//! broker busy with one device.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::settings::Retry;

/// Messages of a backlog that go out in a second: a whole `mqtt.spool_mb` of 64 in about four minutes, and twice and a
/// half what a busy device makes, so that it always catches up.
pub const REPLAY_PER_SECOND: usize = 500;

/// Messages that may go at once after a pause.
const BURST: u32 = 20;

/// They are sent in groups of this size, since each group costs a query of the outbox.
const BATCH: u32 = 10;

/// Lets [`REPLAY_PER_SECOND`] messages through, evenly.
#[derive(Debug)]
pub(super) struct Pace {
    /// The time up to which the allowance is used.
    used_until: Instant,
}

impl Pace {
    /// The time that one message takes.
    const STEP: Duration = Duration::from_nanos(1_000_000_000 / REPLAY_PER_SECOND as u64);

    pub(super) fn new(now: Instant) -> Self {
        Self { used_until: now.checked_sub(Self::STEP * BURST).unwrap_or(now) }
    }

    /// How many messages may go now.
    pub(super) fn room(&self, now: Instant) -> usize {
        let idle = now.saturating_duration_since(self.used_until);
        let allowed = (idle.as_nanos() / Self::STEP.as_nanos()).min(u128::from(BURST)) as usize;
        allowed - allowed % BATCH as usize
    }

    /// Records that this many were sent.
    pub(super) fn took(&mut self, messages: usize, now: Instant) {
        let oldest = now.checked_sub(Self::STEP * BURST).unwrap_or(now);
        self.used_until = self.used_until.max(oldest) + Self::STEP * u32::try_from(messages).unwrap_or(u32::MAX);
    }

    /// When the next ones may go.
    pub(super) fn due(&self) -> Instant {
        self.used_until + Self::STEP * BATCH
    }
}

/// The delays of one run of failures after another.
#[derive(Debug)]
pub(super) struct Backoff {
    retry: Retry,
    failures: u32,
    rng: ChaCha8Rng,
}

impl Backoff {
    pub(super) fn new(retry: Retry) -> Self {
        Self { retry, failures: 0, rng: ChaCha8Rng::seed_from_u64(retry.seed) }
    }

    /// `min * 2^failures`, at most `max`, times a random 0.5..1.
    pub(super) fn next(&mut self) -> Duration {
        let full = self.retry.min.saturating_mul(1 << self.failures.min(20)).min(self.retry.max);
        self.failures = self.failures.saturating_add(1);
        full.mul_f64(self.rng.random_range(0.5..1.0))
    }

    /// Starts again: the connection was good.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages that go within `time`, looking every millisecond.
    fn sent(pace: &mut Pace, begin: Instant, time: Duration) -> usize {
        let mut sent = 0;
        for ms in 0..time.as_millis() as u64 {
            let now = begin + Duration::from_millis(ms);
            let room = pace.room(now);
            pace.took(room, now);
            sent += room;
        }
        sent
    }

    #[test]
    fn a_backlog_goes_at_its_rate_and_no_faster() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let in_ten_seconds = sent(&mut pace, begin, Duration::from_secs(10));
        assert!((4_980..=5_020).contains(&in_ten_seconds), "{in_ten_seconds}");
    }

    #[test]
    fn a_pause_saves_up_one_burst_only() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let later = begin + Duration::from_hours(1);
        assert_eq!(pace.room(later), BURST as usize);
        pace.took(BURST as usize, later);
        assert_eq!(pace.room(later), 0);
        assert_eq!(pace.room(pace.due()), BATCH as usize, "the time that it names is when the next may go");
    }

    #[test]
    fn delays_double_up_to_the_bound_and_begin_anew_after_a_good_link() {
        let retry = Retry { min: Duration::from_secs(1), max: Duration::from_mins(1), seed: 7 };
        let mut backoff = Backoff::new(retry);
        for full in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let delay = backoff.next();
            let full = Duration::from_secs(full);
            assert!(full / 2 <= delay && delay <= full, "seed 7: {delay:?} of {full:?}");
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_secs(1));
    }

    #[test]
    fn the_same_seed_gives_the_same_delays_and_another_seed_others() {
        let delays = |seed| {
            let mut backoff = Backoff::new(Retry { seed, ..Retry::default() });
            [backoff.next(), backoff.next(), backoff.next()]
        };
        assert_eq!(delays(1), delays(1));
        assert_ne!(delays(1), delays(2));
    }
}
