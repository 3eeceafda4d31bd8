//! Fitting a head as a part of a job, with the pauses and the time limit of `training.*`.

use std::ops::ControlFlow;
use std::time::Instant;

use super::job::{AnyError, Control};
use crate::train::{self, Dataset, FitError, Fitted, Progress};

/// A head fitted on `data`, with the seconds that it took; `None` when the job was cancelled. `progress` hears the share
/// that is done, 0..1.
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
