//! A job that runs once on a thread of its own and reports its result as an event: a training, the check of an update,
//! the preparation of another backbone.
//!
//! Every job runs at the priority of `training.priority`, can be cancelled, and ends in one event even when it panics.
//!
//! [`fit`] fits a head as a part of a job, with the pauses and the time limit of `training.*`.

use std::io;
use std::ops::ControlFlow;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::daemon::throttle::{Throttle, ThrottleSettings};
use crate::engine::Event;
use crate::train::{self, Dataset, FitError, Fitted, Progress};

/// An error with its causes, whatever its type.
pub(crate) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The work panicked; the panic message is in the log.
#[derive(Debug, thiserror::Error)]
#[error("it panicked; the log has the place, please report it")]
pub(crate) struct Panicked;

/// A running job. Dropping it does not end it.
pub(crate) struct Job {
    cancelled: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Job {
    /// Cancels the work at its next step. Nothing has to wait for that: it changes nothing that is in use.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether the thread has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

/// What the work of a job can ask between two of its steps.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    throttle: ThrottleSettings,
    cancelled: Arc<AtomicBool>,
}

impl Control {
    /// Whether the work is to end now, without a result.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The pauses and the time limit of a part of the work that starts now.
    pub fn throttle(&self) -> Throttle {
        Throttle::begin(self.throttle)
    }

    /// The same job, under other pauses and another time limit.
    pub fn within(&self, throttle: ThrottleSettings) -> Self {
        Self { throttle, cancelled: Arc::clone(&self.cancelled) }
    }

    /// Waits while the machine is hot or busy, unless the job is cancelled.
    pub fn wait(&self, throttle: &mut Throttle) {
        throttle.wait(&|| self.is_cancelled());
    }

    #[cfg(test)]
    pub fn for_test(throttle: ThrottleSettings) -> Self {
        Self { throttle, cancelled: Arc::default() }
    }

    #[cfg(test)]
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

/// Starts `work` on a thread called `name`; `report` turns its result, or its panic, into the event that is sent, and
/// `None` sends nothing.
///
/// # Errors
/// When the system refuses a thread.
pub(crate) fn spawn<T>(
    name: &str,
    throttle: ThrottleSettings,
    events: SyncSender<Event>,
    work: impl FnOnce(&Control) -> T + Send + 'static,
    report: impl FnOnce(Result<T, Panicked>) -> Option<Event> + Send + 'static,
) -> io::Result<Job> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let control = Control { throttle, cancelled: Arc::clone(&cancelled) };
    let thread = thread::Builder::new().name(name.into()).spawn(move || {
        throttle.lower_priority();
        if let Some(event) = report(catch_panic(|| work(&control))) {
            // There is no receiver only when this engine ends; the next one starts the job again.
            let _ = events.send(event);
        }
    })?;
    Ok(Job { cancelled, thread })
}

/// What `work` returns, or that it panicked. The work must leave nothing half-done that others see.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// A head fitted on `data`, with the seconds that it took; `None` when the job was cancelled. `progress` hears the
/// share that is done, 0..1.
///
/// The fit waits while the machine is hot or busy (`training.pause_above_c`, `training.pause_above_load`).
///
/// # Errors
/// When a setting is out of range, the solver diverges, or the fit took longer than `training.time_limit`.
pub(crate) fn fit(
    data: &Dataset,
    settings: &train::Settings,
    control: &Control,
    mut progress: impl FnMut(f64),
) -> Result<Option<Fitted>, AnyError> {
    let started = Instant::now();
    let mut throttle = control.throttle();
    let mut watch = |step: Progress| {
        progress(step.fraction);
        control.wait(&mut throttle);
        if control.is_cancelled() || throttle.is_late() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    match train::fit(data, settings, &mut watch) {
        Ok(mut fitted) => {
            fitted.facts.fit_seconds = started.elapsed().as_secs_f64();
            Ok(Some(fitted))
        }
        Err(FitError::Cancelled) if control.is_cancelled() => Ok(None),
        Err(FitError::Cancelled) => Err(throttle.late().into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;
    use std::time::Duration;

    use super::*;
    use crate::engine::TrainerEvent;
    use crate::words::TaskId;

    const SETTINGS: ThrottleSettings = ThrottleSettings {
        time_limit: Duration::from_hours(1),
        low_priority: true,
        pause_above_c: None,
        pause_above_load: None,
    };

    fn ended(result: Result<&'static str, Panicked>) -> Event {
        Event::Trainer(
            TaskId::default(),
            TrainerEvent::Failed { reason: result.map_or_else(|panicked| panicked.to_string(), str::to_owned) },
        )
    }

    /// How the job ended; `None` when it sent nothing.
    fn outcome(work: impl FnOnce(&Control) -> &'static str + Send + 'static, cancel: bool) -> Option<String> {
        let (events, received) = sync_channel(1);
        let work = move |control: &Control| {
            while cancel && !control.is_cancelled() {
                thread::yield_now();
            }
            work(control)
        };
        let report = move |result| Some(ended(result)).filter(|_| !cancel);
        let job = spawn("job", SETTINGS, events, work, report).unwrap();
        if cancel {
            job.cancel();
        }
        received.recv().ok().map(|event| match event {
            Event::Trainer(_, TrainerEvent::Failed { reason }) => reason,
            other => panic!("nobody sent {other:?}"),
        })
    }

    #[test]
    fn a_job_sends_its_result_and_a_panic_is_one() {
        assert_eq!(outcome(|_| "done", false).as_deref(), Some("done"));
        let panicked = outcome(|_| panic!("as a fit that meets what nobody thought of"), false);
        assert!(panicked.is_some_and(|reason| reason.contains("please report it")));
    }

    #[test]
    fn a_cancelled_job_ends_and_sends_nothing_where_it_has_nothing_to_report() {
        assert_eq!(outcome(|_| "cancelled", true), None);
    }

    #[test]
    fn only_the_jobs_own_thread_gets_a_lower_priority() {
        let before = rustix::process::getpriority_process(None).unwrap();
        let (events, received) = sync_channel(1);
        let work = |_: &Control| rustix::process::getpriority_process(None).unwrap();
        let report = |result: Result<i32, Panicked>| {
            result.ok().map(|nice| Event::Trainer(TaskId::default(), TrainerEvent::Failed { reason: nice.to_string() }))
        };
        spawn("job", SETTINGS, events, work, report).unwrap();
        let Event::Trainer(_, TrainerEvent::Failed { reason }) = received.recv().unwrap() else {
            panic!("the job sends only that")
        };
        assert_eq!(rustix::process::getpriority_process(None).unwrap(), before);
        assert!(reason.parse::<i32>().unwrap() > before, "{reason} is not lower than {before}");
    }
}
