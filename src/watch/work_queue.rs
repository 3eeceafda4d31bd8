//! What the listing thread has to do next; what is queued twice is done once.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// New folders that wait to be listed; beyond that everything is listed.
const FOLDERS_MAX: usize = 1_000;

/// Work for the listing thread, from the kernel's notifications and from the rest of the daemon.
#[derive(Debug, Default)]
pub(super) struct WorkQueue {
    stopped: AtomicBool,
    paused: AtomicBool,
    work: Mutex<Work>,
    changed: Condvar,
}

/// Everything that was queued since it was last taken.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// List everything.
    pub(super) everything: bool,
    /// List these folders that have just appeared: index of the watched folder, path.
    pub(super) folders: BTreeSet<(usize, PathBuf)>,
    /// These watched folders were moved or removed.
    pub(super) lost: BTreeSet<usize>,
    /// The kernel reports no more changes in these: a limit is reached.
    pub(super) refused: BTreeSet<usize>,
    /// Notifications for these were lost, perhaps including one of a new folder.
    pub(super) overflowed: BTreeSet<usize>,
}

impl Work {
    fn is_empty(&self) -> bool {
        !self.everything
            && self.folders.is_empty()
            && [&self.lost, &self.refused, &self.overflowed].into_iter().all(BTreeSet::is_empty)
    }
}

impl WorkQueue {
    fn work(&self) -> MutexGuard<'_, Work> {
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, change: impl FnOnce(&mut Work)) {
        change(&mut self.work());
        self.changed.notify_one();
    }

    pub(super) fn everything(&self) {
        self.add(|work| work.everything = true);
    }

    pub(super) fn folder(&self, root: usize, path: PathBuf) {
        self.add(|work| {
            if work.folders.len() < FOLDERS_MAX {
                work.folders.insert((root, path));
            } else {
                work.everything = true;
            }
        });
    }

    pub(super) fn lost(&self, root: usize) {
        self.add(|work| work.lost.extend([root]));
    }

    pub(super) fn refused(&self, root: usize) {
        self.add(|work| work.refused.extend([root]));
    }

    pub(super) fn overflowed(&self, root: usize) {
        self.add(|work| work.overflowed.extend([root]));
    }

    /// Whether listings skip all but recent files from now on.
    pub(super) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Relaxed);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        // Under the lock, so that it does not come between the lister's check and its sleep.
        self.add(|_| self.stopped.store(true, Ordering::Relaxed));
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// All queued work; waits for some, the end, or `due`.
    pub(super) fn next(&self, due: Instant) -> Work {
        let mut work = self.work();
        while work.is_empty() && !self.is_stopped() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            work = self.changed.wait_timeout(work, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut work)
    }
}
