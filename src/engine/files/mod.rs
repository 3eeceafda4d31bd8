//! Files on their way to the store: which are ready to be read, what became of them, and how watched folders fare.
//!
//! It knows files and nothing of samples: an image that was read is a [`Fact`] for the labels' machine.

mod readiness;
mod watch_health;

use std::path::PathBuf;
use std::time::Duration;

use super::context::Cx;
use super::event::{FileStamp, IngestOutcome, Ingested, Sighting, WatchEvent};
use super::fact::{Fact, ReadImage};
use super::step::Act;
use super::write::{FileDisposition, Write};
use crate::wire::EventKind;
pub use readiness::IN_FLIGHT_MAX;
use readiness::ReadyQueue;
use watch_health::WatchHealth;

/// The machine of files.
#[derive(Debug, Default)]
pub(super) struct Files {
    ready: ReadyQueue,
    health: WatchHealth,
    /// How many files wait, as the other machines know it.
    posted: usize,
}

impl Files {
    /// Files that wait to be read.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// What the watcher sees.
    pub fn on_watch(&mut self, cx: &mut Cx<'_>, event: WatchEvent) {
        match event {
            WatchEvent::FileSeen(sighting) => self.seen(cx, &sighting),
            WatchEvent::ScanFinished { unreadable, .. } => self.scanned(cx, unreadable),
            WatchEvent::FolderHealth(health) => self.folder_health(cx, health),
        }
        self.post_waiting(cx);
    }

    /// The ingest worker finished with a file.
    pub fn ingested(&mut self, cx: &mut Cx<'_>, ingested: Ingested) {
        let Ingested { root, path, stamp, outcome } = ingested;
        let settle = settle_of(cx, root);
        match outcome {
            IngestOutcome::Image(image) => {
                let ready_at = self.ready.finished(cx.now, &path).unwrap_or(cx.now.mono);
                cx.messages.count_image();
                if cx.storage_is_out() {
                    // It is found again by a listing when it can be stored.
                    self.ready.passed_over();
                }
                let latency = cx.now.mono.saturating_sub(ready_at);
                cx.post(Fact::ImageRead(Box::new(ReadImage { root, path, stamp, image: *image, latency })));
            }
            IngestOutcome::Incomplete { reason } | IngestOutcome::Unreadable { reason } => {
                self.ready.postponed(cx.now, &path, settle, Some(reason));
            }
            IngestOutcome::Changed => self.ready.postponed(cx.now, &path, settle, None),
            IngestOutcome::Gone => {
                self.ready.finished(cx.now, &path);
            }
            IngestOutcome::Bad { reason } => {
                self.ready.finished(cx.now, &path);
                self.quarantine(cx, path, stamp, reason);
            }
        }
        self.post_waiting(cx);
    }

    /// Time passed: looks again at files that are due.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        for look in self.ready.looks(cx.now) {
            cx.act(look);
        }
    }

    /// The step ends: hands files that are ready to the worker.
    pub fn hand_out(&mut self, cx: &mut Cx<'_>) {
        if !cx.is_stopping() {
            for act in self.ready.advance(cx.storage_is_out()) {
                cx.act(act);
            }
        }
    }

    /// A file that was dropped or quarantined is remembered, so that no listing takes it in again, for as long as it is
    /// there. While a watched folder is lost all its files seem to be gone, so nothing is checked.
    pub fn find_missing(&mut self, cx: &mut Cx<'_>) {
        if self.health.is_well() && !cx.is_stopping() {
            cx.act(Act::FindMissingFiles);
        }
    }

    /// Forgets files that are gone, unless a folder was lost meanwhile.
    pub fn missing(&mut self, cx: &mut Cx<'_>, files: Vec<(PathBuf, bool)>) {
        if !self.health.is_well() || cx.storage_is_out() {
            return;
        }
        for (path, was_quarantined) in files {
            if was_quarantined {
                cx.messages.uncount_quarantined();
            }
            cx.write(Write::DeleteFile { path });
        }
    }

    fn seen(&mut self, cx: &mut Cx<'_>, sighting: &Sighting) {
        let settle = settle_of(cx, sighting.root);
        if let Some(given_up) = self.ready.sighted(cx.now, sighting, settle) {
            self.quarantine(cx, given_up.path, given_up.stamp, given_up.reason);
        }
    }

    fn quarantine(&mut self, cx: &mut Cx<'_>, path: PathBuf, stamp: FileStamp, reason: String) {
        if cx.storage_is_out() {
            // It is found again, and quarantined, when that can be remembered.
            self.ready.passed_over();
            return;
        }
        cx.messages.count_quarantined();
        cx.emit_event(EventKind::Quarantined { path: path.to_string_lossy().into_owned(), reason: reason.clone() });
        cx.write(Write::File { path, stamp, fate: FileDisposition::Quarantined(reason) });
    }

    fn post_waiting(&mut self, cx: &mut Cx<'_>) {
        let waiting = self.ready.len();
        if std::mem::replace(&mut self.posted, waiting) != waiting {
            cx.post(Fact::FilesWaiting(waiting));
        }
    }
}

fn settle_of(cx: &Cx<'_>, root: usize) -> Duration {
    cx.settings().roots.get(root).map_or(Duration::from_millis(500), |root| root.settle)
}
