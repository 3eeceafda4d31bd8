//! What is said of watched folders that are lost, cannot be read or are not heard.
//!
//! While there is one, the alert `watch_lost` is up and names all of them. What was stored of a folder's images stays
//! whatever becomes of the folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Engine;
use super::event::WatchState;
use crate::wire::{AlertId, Severity};
use crate::words::Now;

/// The most troubles that the alert names.
const NAMED: usize = 10;

/// Watched folders, and folders below them, of which something has to be said.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// By index of the watched folder.
    roots: BTreeMap<usize, (Severity, String)>,
    /// Folders below them that the last listing could not read, and why.
    unreadable: BTreeMap<PathBuf, String>,
}

impl Watching {
    /// Whether every watched folder is there and can be read.
    pub fn is_well(&self) -> bool {
        self.said().is_none_or(|(severity, _)| severity != Severity::Error)
    }

    /// How bad it is and what it is; nothing where all is well.
    fn said(&self) -> Option<(Severity, String)> {
        let below = self.unreadable.values().map(|reason| (Severity::Error, reason));
        let all = self.roots.values().map(|(severity, reason)| (*severity, reason)).chain(below);
        let is_error = all.clone().any(|(severity, _)| severity == Severity::Error);
        let mut text = all.clone().take(NAMED).map(|(_, reason)| reason.as_str()).collect::<Vec<_>>().join("; ");
        let more = all.count().checked_sub(NAMED).filter(|more| *more > 0);
        text.extend(more.map(|more| format!("; {more} more like these")));
        let severity = if is_error { Severity::Error } else { Severity::Warning };
        Some((severity, text)).filter(|(_, text)| !text.is_empty())
    }
}

impl Engine {
    /// A watched folder fares otherwise than before.
    pub(super) fn watched(&mut self, now: Now, root: usize, state: WatchState) {
        let (severity, reason) = match state {
            WatchState::Well => {
                self.watching.roots.remove(&root);
                return self.alert_of_folders(now);
            }
            WatchState::Lost { reason } => (Severity::Error, reason),
            WatchState::Unheard { reason } => (Severity::Warning, reason),
        };
        self.watching.roots.insert(root, (severity, reason.clone()));
        self.alert_of_folders(now);
        self.fault(now, "watch", reason);
    }

    /// A listing of everything ended; each folder that it could not read is told of once until that changes.
    pub(super) fn scanned(&mut self, now: Now, unreadable: Vec<(PathBuf, String)>) {
        let told = |(path, reason): (PathBuf, String)| {
            let told = format!("cannot list {}: {reason}; let the daemon's user read and enter it", path.display());
            (path, told)
        };
        let unreadable: BTreeMap<_, _> = unreadable.into_iter().map(told).collect();
        let former = std::mem::replace(&mut self.watching.unreadable, unreadable.clone());
        self.alert_of_folders(now);
        for (path, reason) in unreadable {
            if !former.contains_key(&path) {
                self.error(now, "watch", reason);
            }
        }
    }

    fn alert_of_folders(&mut self, now: Now) {
        match self.watching.said() {
            // What of it is new is told of by an event of its own.
            Some((severity, text)) => _ = self.raise(now, AlertId::WatchLost, severity, text),
            None => self.clear(now, AlertId::WatchLost),
        }
    }
}

#[cfg(test)]
#[path = "watched_tests.rs"]
mod tests;
