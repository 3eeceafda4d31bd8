//! The listing thread: checks every watched folder, and lists those that are new, polled, or due.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::folder_identity::Mounts;
use super::inotify::Refusal;
use super::listing::{self, Tally};
use super::watched_folder::{Check, FolderWatch, Mode};
use super::work_queue::{Work, WorkQueue};
use super::{Emit, Root, Settings, candidate};
use crate::engine::{Event, FileStamp, Sighting, WatchEvent};

/// Listing takes at most one part in this many of the time of a polled folder.
const POLL_SHARE: u32 = 10;

/// A file that changed within this time is reported even while listings are paused.
const YOUNG: Duration = Duration::from_mins(1);

pub(super) type IsKnown = Box<dyn Fn(&Path, FileStamp) -> bool + Send>;

/// The listing thread.
pub(super) struct Lister {
    rescan: Duration,
    poll: Duration,
    folders: Vec<FolderWatch>,
    queue: Arc<WorkQueue>,
    emit: Emit,
    is_known: IsKnown,
    /// Whether the last listing of everything found folders that it could not read.
    has_unreadable: bool,
}

impl Lister {
    pub(super) fn new(
        settings: &Settings,
        roots: Vec<Root>,
        queue: Arc<WorkQueue>,
        emit: Emit,
        is_known: IsKnown,
    ) -> Self {
        let folders = roots.into_iter().map(FolderWatch::new).collect();
        let Settings { rescan, poll, .. } = *settings;
        Self { rescan, poll, folders, queue, emit, is_known, has_unreadable: false }
    }

    pub(super) fn run(mut self) {
        let mut rescan_due = Instant::now();
        while !self.queue.is_stopped() {
            let due = self.folders.iter().map(|folder| folder.due).fold(rescan_due, Instant::min);
            let Work { everything, folders, lost, refused, overflowed } = self.queue.next(due);
            for index in lost.into_iter().chain(overflowed) {
                self.folders[index].mode = Mode::New;
                self.folders[index].due = Instant::now();
            }
            for index in refused {
                self.refused(index, Refusal::limit());
            }
            if everything || Instant::now() >= rescan_due {
                self.list_everything();
                rescan_due = Instant::now() + self.rescan;
                continue;
            }
            for (index, path) in folders {
                self.list_new(index, &path);
            }
            self.check_due();
        }
    }

    fn list_everything(&mut self) {
        let mut tally = Tally::default();
        let mounts = Mounts::now();
        for index in 0..self.folders.len() {
            let folder = &mut self.folders[index];
            if matches!(folder.mode, Mode::Refused(_)) {
                // The limit may have been raised.
                folder.mode = Mode::New;
            }
            if folder.check(&mounts, self.poll, &self.queue, &self.emit) != Check::Unusable {
                self.list(index, &mut tally);
            }
        }
        self.has_unreadable = !tally.unreadable.is_empty();
        if !self.queue.is_stopped() {
            (self.emit)(Event::Watch(WatchEvent::ScanFinished {
                ignored: tally.ignored,
                unreadable: tally.unreadable,
            }));
        }
    }

    /// Checks whether folders are still what they were, and lists those that are polled or have come back.
    fn check_due(&mut self) {
        if self.folders.iter().all(|folder| Instant::now() < folder.due) {
            return;
        }
        let mounts = Mounts::now();
        for index in 0..self.folders.len() {
            let folder = &mut self.folders[index];
            if Instant::now() >= folder.due
                && folder.check(&mounts, self.poll, &self.queue, &self.emit) == Check::NeedsListing
            {
                self.list(index, &mut Tally::default());
            }
        }
    }

    /// Lists a folder that has just appeared below a watched one, or whose owner or mode changed.
    fn list_new(&mut self, index: usize, folder: &Path) {
        let is_link = folder.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if let Mode::Notified(notifications) = &mut self.folders[index].mode
            && !is_link
            && let Err(refusal) = notifications.include(folder)
            && refusal.by_limit
        {
            self.refused(index, refusal);
        }
        let mut tally = Tally::default();
        self.list_from(index, folder, &mut tally);
        if self.has_unreadable || !tally.unreadable.is_empty() {
            // Only a listing of everything finds which folders cannot be read, and which can be again.
            self.queue.everything();
        }
    }

    fn list(&mut self, index: usize, tally: &mut Tally) {
        let begun = Instant::now();
        let path = self.folders[index].root.path.clone();
        self.list_from(index, &path, tally);
        self.folders[index].due = Instant::now() + self.poll.max(begun.elapsed() * POLL_SHARE);
    }

    fn list_from(&self, index: usize, start: &Path, tally: &mut Tally) {
        listing::list(&self.folders[index].root, start, tally, &mut |path, stamp| {
            let is_due = !self.queue.is_paused() || candidate::is_young(stamp, YOUNG, SystemTime::now());
            if is_due && !(self.is_known)(path, stamp) {
                let path = path.to_owned();
                (self.emit)(Event::Watch(WatchEvent::FileSeen(Sighting {
                    root: index,
                    path,
                    stamp: Some(stamp),
                    closed: false,
                })));
            }
            !self.queue.is_stopped()
        });
    }

    /// The kernel reports no more changes in a folder: it is listed from now on.
    fn refused(&mut self, index: usize, refusal: Refusal) {
        let folder = &mut self.folders[index];
        folder.mode = Mode::Refused(refusal);
        folder.due = Instant::now();
        folder.report(self.poll, &self.emit);
    }
}
