//! Files on their way to the store: which are ready to be read, what became of them, and how watched folders fare.
//!
//! It knows files and nothing of samples: an image that was read, or a file that is gone, is a [`Fact`] for the labels'
//! machine.

mod readiness;
mod unseen;
mod watch_health;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::context::Cx;
use super::event::{FileStamp, IngestOutcome, Ingested, PictureRead, Sighting, WatchEvent};
use super::fact::{Fact, ReadImage};
use super::note::{ImageResult, Note};
use super::settings::Settings;
use super::write::{FileDisposition, Write};
use crate::wire::{EventKind, Ignored};
use crate::words::TaskId;
pub use readiness::IN_FLIGHT_MAX;
use readiness::{Readiness, ReadyQueue};
use unseen::UnseenSearch;
use watch_health::WatchHealth;

/// The machine of files.
#[derive(Debug, Default)]
pub(super) struct Files {
    ready: ReadyQueue,
    health: WatchHealth,
    /// Files that are put aside now.
    quarantined: BTreeSet<PathBuf>,
    /// What the last listing passed over.
    ignored: Ignored,
    /// Recorded files that no watched folder contains any more.
    outside: Vec<PathBuf>,
    /// How many files wait, and whether a backlog does, as the other machines know it.
    posted: (usize, bool),
    /// Whether all watched folders were listed.
    listed: bool,
    /// Samples that a task does not see yet.
    unseen: UnseenSearch,
}

impl Files {
    /// The machine of what the store has.
    pub fn new(settings: &Settings, files: &[(PathBuf, FileDisposition)]) -> Self {
        let mut machine = Self::default();
        for (path, fate) in files {
            if settings.root_of(path).is_none() {
                machine.outside.push(path.clone());
            } else if let FileDisposition::Quarantined(_) = fate {
                machine.quarantined.insert(path.clone());
            }
        }
        machine
    }

    /// The engine starts: files that nobody watches any more are forgotten.
    pub fn start(&mut self, cx: &mut Cx<'_>) {
        for path in std::mem::take(&mut self.outside) {
            cx.write(Write::DeleteFile { path });
        }
    }

    /// There may be samples that a task does not see yet.
    pub fn search_unseen(&mut self) {
        self.unseen.begin();
    }

    /// Samples that a task should see and that cannot be read any more.
    pub fn missing(&self, task: &TaskId) -> u64 {
        self.unseen.missing(task)
    }

    /// Files that are put aside now.
    pub fn quarantined(&self) -> usize {
        self.quarantined.len()
    }

    /// What the last listing passed over.
    pub fn ignored(&self) -> Ignored {
        self.ignored.clone()
    }

    /// Files that wait to be read.
    pub fn waiting(&self) -> usize {
        self.ready.len()
    }

    /// What the watcher sees.
    pub fn on_watch(&mut self, cx: &mut Cx<'_>, event: WatchEvent) {
        match event {
            WatchEvent::FileSeen(sighting) => {
                self.unseen.looked_at(&sighting.path);
                self.seen(cx, &sighting);
            }
            WatchEvent::UnseenFound(found) => {
                for look in self.unseen.found(found) {
                    cx.act(look);
                }
            }
            WatchEvent::ScanFinished { ignored, unreadable } => {
                self.listed = true;
                self.ignored = ignored;
                self.scanned(cx, unreadable);
            }
            WatchEvent::FilesGone(paths) => self.gone(cx, paths),
            // For the labels' machine.
            WatchEvent::FilesChecked(_) => {}
            WatchEvent::FolderHealth(health) => self.folder_health(cx, health),
        }
        self.post_waiting(cx);
    }

    /// The ingest worker finished with a file.
    pub fn ingested(&mut self, cx: &mut Cx<'_>, ingested: Ingested) {
        let Ingested { root, path, stamp, outcome } = ingested;
        let outcome = if self.ready.is_outdated(&path) { IngestOutcome::Changed } else { outcome };
        let settle = settle_of(cx, root);
        match outcome {
            IngestOutcome::Image(image) => {
                let ready = self.ready.finished(cx.now, &path).unwrap_or(Readiness::at(cx.now.mono));
                cx.messages.count_image();
                if cx.storage_is_out() {
                    // It is found again by a listing when it can be stored.
                    self.ready.passed_over();
                    self.unseen.again();
                } else {
                    self.quarantined.remove(&path);
                }
                let latency = cx.now.mono.saturating_sub(ready.at);
                let settled = ready.settled;
                cx.post(Fact::ImageRead(Box::new(ReadImage { path, stamp, image: *image, settled, latency })));
            }
            IngestOutcome::Incomplete { reason } => self.ready.postponed(cx.now, &path, settle, Some(reason)),
            IngestOutcome::Unreadable { reason } => {
                cx.note(Note::Image(ImageResult::Failed));
                self.ready.postponed(cx.now, &path, settle, Some(reason));
            }
            IngestOutcome::Changed => self.ready.postponed(cx.now, &path, settle, None),
            IngestOutcome::Gone | IngestOutcome::LetGo => {
                self.ready.finished(cx.now, &path);
            }
            IngestOutcome::Bad { reason } => {
                self.ready.finished(cx.now, &path);
                self.quarantine(cx, path, stamp, reason);
            }
        }
        self.post_waiting(cx);
    }

    /// The ingest worker finished with a kept frame.
    pub fn picture_read(&mut self, cx: &mut Cx<'_>, read: PictureRead) {
        self.unseen.picture_read(read.id);
        if let Some(image) = read.image {
            if cx.storage_is_out() {
                // What it shows cannot be stored now: it is found again.
                self.unseen.again();
            }
            cx.post(Fact::PictureRead(image));
        }
    }

    /// Samples were forgotten: what the worker has in hand may be files of theirs, and is read again when the store says
    /// which are.
    pub fn samples_forgotten(&mut self) {
        self.ready.outdate();
    }

    /// Time passed: looks again at files that are due.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        for look in self.ready.looks(cx.now) {
            cx.act(look);
        }
    }

    /// The step ends: hands files that are ready to the worker, and looks for more where nothing waits.
    pub fn hand_out(&mut self, cx: &mut Cx<'_>) {
        if cx.is_stopping() {
            return;
        }
        for act in self.ready.advance(cx.storage_is_out()) {
            cx.act(act);
        }
        if self.listed
            && self.ready.len() == 0
            && !cx.storage_is_out()
            && let Some(search) = self.unseen.advance()
        {
            cx.act(search);
        }
    }

    /// Forgets files that are gone; their samples stay.
    fn gone(&mut self, cx: &mut Cx<'_>, paths: Vec<PathBuf>) {
        if cx.storage_is_out() {
            // The listing that follows finds that they are gone.
            self.ready.passed_over();
            return;
        }
        for path in &paths {
            self.quarantined.remove(path);
            cx.write(Write::DeleteFile { path: path.clone() });
        }
        cx.post(Fact::FilesGone(paths));
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
        self.quarantined.insert(path.clone());
        cx.note(Note::Image(ImageResult::Quarantined));
        cx.post(Fact::FilesGone(vec![path.clone()]));
        cx.emit_event(EventKind::Quarantined { path: path.to_string_lossy().into_owned(), reason: reason.clone() });
        cx.write(Write::File { path, stamp, fate: FileDisposition::Quarantined(reason) });
    }

    fn post_waiting(&mut self, cx: &mut Cx<'_>) {
        let (waiting, backlog_waits) = (self.ready.len(), self.ready.backlog_waits());
        if std::mem::replace(&mut self.posted, (waiting, backlog_waits)) != (waiting, backlog_waits) {
            cx.post(Fact::FilesWaiting { waiting, backlog_waits });
        }
    }
}

fn settle_of(cx: &Cx<'_>, root: usize) -> Duration {
    cx.settings().roots.get(root).map_or(Duration::from_millis(500), |root| root.settle)
}
