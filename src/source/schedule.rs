//! When a camera is asked next: at its pace, faster during a burst, more rarely while it fails. Pure: time is an argument.

use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Failures delay the next attempt by at most this, or by the pace where that is longer.
const RARELY: Duration = Duration::from_mins(1);

/// A time of closer looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Between two frames.
    pub every: Duration,
    /// How long it lasts.
    pub length: Duration,
}

/// The times at which one camera is asked.
#[derive(Debug)]
pub(super) struct Schedule {
    every: Duration,
    burst: Option<Burst>,
    burst_until: Duration,
    /// When the last attempt was due.
    was_due: Option<Duration>,
    due: Duration,
    /// The delay after the last failure; `None` after a success.
    delay: Option<Duration>,
    random: ChaCha8Rng,
}

impl Schedule {
    /// Due at once, then each `every`.
    pub(super) fn new(every: Duration, burst: Option<Burst>, seed: u64) -> Self {
        Self {
            every,
            burst,
            burst_until: Duration::ZERO,
            was_due: None,
            due: Duration::ZERO,
            delay: None,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// When to ask next.
    pub(super) fn due(&self) -> Duration {
        self.due
    }

    /// Looks closer from now on, for the length of a burst; one that runs is prolonged. A camera that fails is not asked
    /// more often for it.
    pub(super) fn burst(&mut self, now: Duration) {
        let Some(burst) = self.burst else { return };
        self.burst_until = now + burst.length;
        if self.delay.is_none() {
            self.due = self.due.min(self.was_due.map_or(now, |was_due| was_due + burst.every)).max(now);
        }
    }

    /// The camera answered: asked at its pace, without drift, and without catching up on what was missed.
    pub(super) fn answered(&mut self, now: Duration) {
        self.delay = None;
        let pace = self.pace(now);
        self.was_due = Some(self.due);
        let next = self.due + pace;
        // What was missed is missed; a camera slower than its pace is asked as soon as it has answered.
        self.due = if next < now { now } else { next };
    }

    /// It did not: decorrelated jitter, that is a random delay between the pace and three times the last delay
    /// (M. Brooker, "Exponential Backoff And Jitter", 2015).
    pub(super) fn failed(&mut self, now: Duration) {
        let least = self.every.max(Duration::from_secs(1)).min(RARELY.max(self.every));
        let most = self.delay.unwrap_or(least).saturating_mul(3).min(RARELY.max(self.every));
        let share: f64 = self.random.random_range(0.0..1.0);
        let delay = least + most.saturating_sub(least).mul_f64(share);
        self.delay = Some(delay);
        self.was_due = Some(self.due);
        self.due = now + delay;
    }

    fn pace(&self, now: Duration) -> Duration {
        match self.burst {
            Some(burst) if now < self.burst_until => burst.every.min(self.every),
            _ => self.every,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The times of attempts until `end`, in milliseconds, each answered after `takes`.
    fn attempts(schedule: &mut Schedule, takes: Duration, end: Duration) -> Vec<u128> {
        let mut times = Vec::new();
        let mut now = Duration::ZERO;
        while schedule.due().max(now) < end {
            now = schedule.due().max(now);
            times.push(now.as_millis());
            now += takes;
            schedule.answered(now);
        }
        times
    }

    #[test]
    fn a_camera_is_asked_at_its_pace_without_drift() {
        let mut schedule = Schedule::new(10 * SECOND, None, 0);
        let times = attempts(&mut schedule, Duration::from_millis(300), 41 * SECOND);
        assert_eq!(times, [0, 10_000, 20_000, 30_000, 40_000]);
    }

    #[test]
    fn one_that_is_slower_than_its_pace_is_asked_one_request_after_another() {
        let mut schedule = Schedule::new(SECOND, None, 0);
        let times = attempts(&mut schedule, Duration::from_millis(2_500), 9 * SECOND);
        assert_eq!(times, [0, 2_500, 5_000, 7_500]);
    }

    #[test]
    fn a_burst_begins_at_once_lasts_its_time_and_is_prolonged() {
        let burst = Burst { every: SECOND, length: 3 * SECOND };
        let mut schedule = Schedule::new(10 * SECOND, Some(burst), 0);
        schedule.answered(Duration::ZERO);
        schedule.burst(4 * SECOND);
        assert_eq!(schedule.due(), 4 * SECOND, "the last frame is older than the burst's pace");
        let mut times = Vec::new();
        for _ in 0..6 {
            let now = schedule.due();
            times.push(now.as_secs());
            if now == 6 * SECOND {
                schedule.burst(now);
            }
            schedule.answered(now);
        }
        assert_eq!(times, [4, 5, 6, 7, 8, 9]);
        assert_eq!(schedule.due(), 19 * SECOND);
        schedule.burst(9 * SECOND + SECOND / 2);
        assert_eq!(schedule.due(), 10 * SECOND, "one frame came half a second ago");
        let mut without = Schedule::new(10 * SECOND, None, 0);
        without.answered(Duration::ZERO);
        without.burst(SECOND);
        assert_eq!(without.due(), 10 * SECOND);
    }

    #[test]
    fn failures_are_tried_more_and_more_rarely_up_to_a_minute_and_a_burst_changes_nothing() {
        for seed in 0..200 {
            let burst = Burst { every: SECOND / 4, length: 20 * SECOND };
            let mut schedule = Schedule::new(2 * SECOND, Some(burst), seed);
            let (mut now, mut longest) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..30 {
                schedule.failed(now);
                schedule.burst(now);
                let delay = schedule.due().saturating_sub(now);
                assert!(delay >= 2 * SECOND && delay <= RARELY, "seed {seed}: {delay:?}");
                longest = longest.max(delay);
                now = schedule.due();
            }
            assert!(longest > 15 * SECOND, "seed {seed}: at most {longest:?}");
            schedule.answered(now);
            assert!(schedule.due() <= now + 2 * SECOND, "seed {seed}");
        }
    }

    #[test]
    fn a_camera_with_a_pace_of_hours_is_not_asked_more_often_when_it_fails() {
        let mut schedule = Schedule::new(3600 * SECOND, None, 1);
        for _ in 0..5 {
            let now = schedule.due();
            schedule.failed(now);
            assert_eq!(schedule.due().saturating_sub(now), 3600 * SECOND);
        }
    }
}
