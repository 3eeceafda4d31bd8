//! What is new and could stop the daemon from working is on trial until the daemon has worked with it.
//!
//! Each start with it is counted before it is tried. After [`STARTS_MAX`] starts none of which worked for
//! [`PROBATION`], what was before holds again. A start that was cut short by a power cut counts like one that crashed:
//! nobody can tell them apart, and three in a row within a minute are rare.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How long the daemon has to work with what is new.
pub const PROBATION: Duration = Duration::from_mins(1);

/// Starts that are tried.
pub const STARTS_MAX: u32 = 3;

/// Something new that is on trial, and what was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probation<T> {
    /// Starts so far.
    pub starts: u32,
    /// What is restored when it fails.
    pub before: T,
}

impl<T> Probation<T> {
    /// A trial of what the next start will try first.
    pub fn new(before: T) -> Self {
        Self { starts: 0, before }
    }

    /// A trial of what is tried already, in this run of the daemon.
    pub fn under_way(before: T) -> Self {
        Self { starts: 1, before }
    }

    /// Counts a start; false when it has been tried often enough.
    #[must_use]
    pub fn count_start(&mut self) -> bool {
        self.starts += 1;
        self.starts <= STARTS_MAX
    }

    /// The daemon stops on purpose, which does not count against what is new: the start that follows does not count.
    pub fn uncount_start(&mut self) {
        self.starts = self.starts.saturating_sub(1);
    }
}

/// The report of a probation that failed by its starts.
pub fn failed_by_starts() -> String {
    format!("the daemon started {STARTS_MAX} times with it and never ran for {} s", PROBATION.as_secs())
}
