//! Reports on watched folders that are lost, cannot be read or give no notifications.
//!
//! While there is one, the alert `watch_lost` is up and names all of them. What was stored of a folder's images stays
//! whatever happens to the folder.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::context::Cx;
use super::super::event::{FolderHealth, WatchState};
use super::super::fact::Fact;
use super::Files;
use crate::wire::{AlertId, Severity};
use crate::words::Component;

/// The most troubles that the alert names.
const NAMED: usize = 10;

/// Watched folders, and folders below them, that have a problem.
#[derive(Debug, Default)]
pub(super) struct WatchHealth {
    /// By index of the watched folder.
    roots: BTreeMap<usize, (Severity, String)>,
    /// Folders below them that the last listing could not read, and why.
    unreadable: BTreeMap<PathBuf, String>,
}

impl WatchHealth {
    /// How bad it is and what it is; nothing where all is well.
    fn trouble(&self) -> Option<(Severity, String)> {
        let below = self.unreadable.values().map(|reason| (Severity::Warning, reason));
        let all = self.roots.values().map(|(severity, reason)| (*severity, reason)).chain(below);
        let is_error = all.clone().any(|(severity, _)| severity == Severity::Error);
        let mut text = all.clone().take(NAMED).map(|(_, reason)| reason.as_str()).collect::<Vec<_>>().join("; ");
        let more = all.count().checked_sub(NAMED).filter(|more| *more > 0);
        text.extend(more.map(|more| format!("; {more} more like these")));
        let severity = if is_error { Severity::Error } else { Severity::Warning };
        Some((severity, text)).filter(|(_, text)| !text.is_empty())
    }
}

impl Files {
    /// A watched folder fares otherwise than before.
    pub fn folder_health(&mut self, cx: &mut Cx<'_>, FolderHealth { root, state }: FolderHealth) {
        let (severity, reason) = match state {
            WatchState::Well => {
                if self.health.roots.remove(&root).is_some() {
                    // What the search looked for meanwhile was not there.
                    self.unseen.again();
                }
                return self.alert_of_folders(cx);
            }
            WatchState::Lost { reason } => (Severity::Error, reason),
            WatchState::Unheard { reason } => (Severity::Warning, reason),
        };
        self.health.roots.insert(root, (severity, reason.clone()));
        self.alert_of_folders(cx);
        cx.post(Fact::WatchFailed { reason });
    }

    /// A listing of everything ended; each folder that it could not read is reported once until that changes.
    pub fn scanned(&mut self, cx: &mut Cx<'_>, unreadable: Vec<(PathBuf, String)>) {
        let worded = |(path, reason): (PathBuf, String)| {
            let text = format!(
                "cannot list {}: {reason}; let the daemon's user read and enter it (a new group counts after a restart)",
                path.display()
            );
            (path, text)
        };
        let unreadable: BTreeMap<_, _> = unreadable.into_iter().map(worded).collect();
        let former = std::mem::replace(&mut self.health.unreadable, unreadable.clone());
        self.alert_of_folders(cx);
        for (path, reason) in unreadable {
            if !former.contains_key(&path) {
                cx.error(Component::Watch, reason);
            }
        }
    }

    fn alert_of_folders(&mut self, cx: &mut Cx<'_>) {
        match self.health.trouble() {
            // New problems get an event of their own.
            Some((severity, text)) => _ = cx.raise(AlertId::WatchLost, severity, text),
            None => cx.clear(AlertId::WatchLost),
        }
    }
}

#[cfg(test)]
#[path = "watch_health_tests.rs"]
mod tests;
