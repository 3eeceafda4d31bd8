//! When a job may run: at low priority, not while the machine is hot or busy, and not longer than its time limit.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::process::temperature_c;

/// Time between two checks of the machine during a pause.
const LOOK: Duration = Duration::from_secs(1);
/// By how much a job of low priority is nicer than the daemon.
const JOB: i32 = 10;
/// The same of the online worker: whoever labels waits for it, so it goes before trainings, and images before it.
const ONLINE: i32 = 5;
/// The lowest priority there is.
const NICEST: i32 = 19;

/// When a job may run, and for how long: `training.*`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ThrottleSettings {
    /// Pauses do not count.
    pub time_limit: Duration,
    pub low_priority: bool,
    /// Degrees Celsius.
    pub pause_above_c: Option<f64>,
    /// Load average of the last minute.
    pub pause_above_load: Option<f64>,
}

impl ThrottleSettings {
    /// Lowers the priority of the calling thread, if the settings ask for it.
    pub fn lower_priority(&self) {
        if self.low_priority {
            be_nicer(JOB);
        }
    }

    /// Why a job has to pause now, if it has to.
    fn obstacle(&self) -> Option<String> {
        let hot = self.pause_above_c.zip(temperature_c()).filter(|(limit, now)| now > limit);
        if let Some((limit, now)) = hot {
            return Some(format!("{now:.1} °C, above {limit}"));
        }
        let busy = self.pause_above_load.zip(load()).filter(|(limit, now)| now > limit);
        busy.map(|(limit, now)| format!("load {now:.2}, above {limit}"))
    }
}

/// Lets images go before the calling thread, the online worker's.
pub(super) fn put_behind_images() {
    be_nicer(ONLINE);
}

/// On Linux this applies to the calling thread alone.
fn be_nicer(by: i32) {
    let now = rustix::process::getpriority_process(None);
    let set = now.and_then(|now| rustix::process::setpriority_process(None, (now + by).min(NICEST)));
    if let Err(error) = set {
        warn!(%error, thread = thread::current().name(), "cannot lower the priority of a thread");
    }
}

/// The pauses and the time limit of one part of a job.
#[derive(Debug)]
pub(super) struct Throttle {
    settings: ThrottleSettings,
    started: Instant,
    waited: Duration,
}

impl Throttle {
    pub fn begin(settings: ThrottleSettings) -> Self {
        Self { settings, started: Instant::now(), waited: Duration::ZERO }
    }

    /// Returns when the machine is cool and idle enough, or when `cancelled` returns true.
    pub fn wait(&mut self, cancelled: &dyn Fn() -> bool) {
        let begun = Instant::now();
        let mut is_logged = false;
        while let Some(obstacle) = self.settings.obstacle().filter(|_| !cancelled()) {
            if !std::mem::replace(&mut is_logged, true) {
                info!(obstacle, "the training waits");
            }
            thread::sleep(LOOK);
        }
        if is_logged {
            self.waited += begun.elapsed();
        }
    }

    /// Whether the time limit is over.
    pub fn is_late(&self) -> bool {
        self.started.elapsed().saturating_sub(self.waited) > self.settings.time_limit
    }

    /// Why a job that is late ends, and what to do.
    pub fn late(&self) -> String {
        format!(
            "it took longer than training.time_limit ({} s); the head in service stays: raise the limit, or lower \
             training.max_samples",
            self.settings.time_limit.as_secs()
        )
    }
}

/// The load average of the last minute.
fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ThrottleSettings {
        ThrottleSettings {
            time_limit: Duration::ZERO,
            low_priority: false,
            pause_above_c: None,
            pause_above_load: Some(-1.0),
        }
    }

    #[test]
    fn a_training_that_has_to_wait_still_hears_that_it_is_cancelled() {
        assert!(settings().obstacle().is_some_and(|obstacle| obstacle.contains("load")), "every load is above -1");
        let asked = std::cell::Cell::new(0);
        let mut throttle = Throttle::begin(settings());
        throttle.wait(&|| asked.replace(asked.get() + 1) > 0);
        assert_eq!(asked.get(), 2, "it waited once and was cancelled then");
    }

    #[test]
    fn pauses_do_not_count_towards_the_time_limit_and_work_does() {
        let mut throttle = Throttle::begin(ThrottleSettings { pause_above_load: None, ..settings() });
        throttle.wait(&|| false);
        assert!(throttle.is_late() && throttle.late().contains("training.time_limit"));
        throttle.waited = Duration::from_hours(1);
        assert!(!throttle.is_late());
    }
}
