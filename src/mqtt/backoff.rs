//! How long to wait before the next attempt.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::settings::Retry;

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
