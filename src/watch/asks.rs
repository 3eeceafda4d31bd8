//! What the listing thread is asked to do next.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// New folders that wait to be listed; beyond that everything is listed.
const FOLDERS_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct Asks {
    stopped: AtomicBool,
    held: AtomicBool,
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// Everything that was asked since the last look.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// List everything.
    pub(super) everything: bool,
    /// List these folders that have just appeared: index of the watched folder, path.
    pub(super) folders: BTreeSet<(usize, PathBuf)>,
    /// These watched folders were moved or removed.
    pub(super) lost: BTreeSet<usize>,
    /// The kernel gives no more notices for these.
    pub(super) refused: BTreeSet<usize>,
    /// Notices of these were lost, that of a new folder perhaps among them.
    pub(super) deaf: BTreeSet<usize>,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        !self.everything
            && self.folders.is_empty()
            && [&self.lost, &self.refused, &self.deaf].into_iter().all(BTreeSet::is_empty)
    }
}

impl Asks {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask(&self, what: impl FnOnce(&mut Waiting)) {
        what(&mut self.waiting());
        self.changed.notify_one();
    }

    pub(super) fn everything(&self) {
        self.ask(|waiting| waiting.everything = true);
    }

    pub(super) fn folder(&self, root: usize, path: PathBuf) {
        self.ask(|waiting| {
            if waiting.folders.len() < FOLDERS_MAX {
                waiting.folders.insert((root, path));
            } else {
                waiting.everything = true;
            }
        });
    }

    pub(super) fn lost(&self, root: usize) {
        self.ask(|waiting| waiting.lost.extend([root]));
    }

    pub(super) fn refused(&self, root: usize) {
        self.ask(|waiting| waiting.refused.extend([root]));
    }

    pub(super) fn deaf(&self, root: usize) {
        self.ask(|waiting| waiting.deaf.extend([root]));
    }

    /// Whether listings pass over all but young files from now on.
    pub(super) fn hold(&self, held: bool) {
        self.held.store(held, Ordering::Relaxed);
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        // Under the lock, so that it does not fall between the waiter's look and its sleep.
        self.ask(|_| self.stopped.store(true, Ordering::Relaxed));
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Waits for something asked, the end, or `due`, and takes what there is.
    pub(super) fn next(&self, due: Instant) -> Waiting {
        let mut waiting = self.waiting();
        while waiting.is_empty() && !self.is_stopped() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            waiting = self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut waiting)
    }
}
