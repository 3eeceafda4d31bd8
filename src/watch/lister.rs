//! The listing thread and its queue: checks every watched folder, and lists those that are new, polled, or due.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::inotify::Refusal;
use super::listing::{self, Tally};
use super::watched_folder::{Check, FolderWatch, Mode, Mounts};
use super::{Emit, Records, Root, Settings};
use crate::engine::{Event, Sighting, WatchEvent};
use crate::wire::Ignored;
use crate::words::SampleId;

/// Listing takes at most one part in this many of the time of a polled folder.
const POLL_SHARE: u32 = 10;

/// A file that changed within this time is reported even while listings are paused.
const YOUNG: Duration = Duration::from_mins(1);

/// Recorded files that are looked at together.
const PAGE: usize = 256;

/// The listing thread.
pub(super) struct Lister {
    rescan: Duration,
    poll: Duration,
    folders: Vec<FolderWatch>,
    queue: Arc<WorkQueue>,
    emit: Emit,
    records: Box<dyn Records>,
    /// Whether the last listing of everything found folders that it could not read.
    has_unreadable: bool,
    /// What it passed over, as it was logged last.
    ignored: Ignored,
}

impl Lister {
    pub(super) fn new(
        settings: &Settings,
        roots: Vec<Root>,
        queue: Arc<WorkQueue>,
        emit: Emit,
        records: Box<dyn Records>,
    ) -> Self {
        let folders = roots.into_iter().map(FolderWatch::new).collect();
        let Settings { rescan, poll, .. } = *settings;
        Self { rescan, poll, folders, queue, emit, records, has_unreadable: false, ignored: Ignored::default() }
    }

    pub(super) fn run(mut self) {
        let mut rescan_due = Instant::now();
        while !self.queue.is_stopped() {
            let due = self.folders.iter().map(|folder| folder.due).fold(rescan_due, Instant::min);
            let Work { everything, folders, vanished, checks, lost, refused, overflowed } = self.queue.next(due);
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
            } else {
                for (index, path) in folders {
                    self.list_new(index, &path);
                }
                for (index, path) in vanished {
                    self.look_for_missing(index, &path);
                }
                self.check_due();
            }
            self.check_files(checks);
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
            let Tally { ignored, unreadable } = tally;
            if self.ignored != ignored {
                say_passed_over(&self.ignored, &ignored);
                self.ignored = ignored.clone();
            }
            (self.emit)(Event::Watch(WatchEvent::ScanFinished { ignored, unreadable }));
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
            if Instant::now() < folder.due {
                continue;
            }
            match folder.check(&mounts, self.poll, &self.queue, &self.emit) {
                Check::Unusable => {}
                Check::NeedsListing => self.list(index, &mut Tally::default()),
                Check::Unchanged => self.list_remote(index),
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
        if !self.queue.is_paused() {
            self.look_for_missing(index, &path);
        }
        let folder = &mut self.folders[index];
        folder.due = Instant::now() + folder.root.poll_every(self.poll).max(begun.elapsed() * POLL_SHARE);
    }

    /// Lists the network file systems that are mounted below a folder whose other changes the kernel reports.
    fn list_remote(&mut self, index: usize) {
        let begun = Instant::now();
        for point in self.folders[index].remote().to_owned() {
            self.list_from(index, &point, &mut Tally::default());
            if !self.queue.is_paused() {
                self.look_for_missing(index, &point);
            }
        }
        let folder = &mut self.folders[index];
        folder.due = folder.due.max(Instant::now() + begun.elapsed() * POLL_SHARE);
    }

    fn list_from(&self, index: usize, start: &Path, tally: &mut Tally) {
        listing::list(&self.folders[index].root, start, tally, &mut |path, stamp| {
            let is_due = !self.queue.is_paused() || listing::is_young(stamp, YOUNG, SystemTime::now());
            if is_due && !self.records.is_known(path, stamp) {
                let path = path.to_owned();
                (self.emit)(Event::Watch(WatchEvent::FileSeen(Sighting {
                    root: index,
                    path,
                    stamp: Some(stamp),
                    closed: false,
                    open: false,
                })));
            }
            !self.queue.is_stopped()
        });
    }

    /// Reports the recorded files at `place` or below it that are gone.
    fn look_for_missing(&mut self, index: usize, place: &Path) {
        let mut after = PathBuf::new();
        while !self.queue.is_stopped() {
            let mut files = self.records.below(place, &after, PAGE);
            let Some(last) = files.last() else { return };
            after.clone_from(last);
            files.retain(|path| listing::is_gone(path));
            if files.is_empty() {
                continue;
            }
            // Looked at afterwards: the folder itself may have gone meanwhile.
            if !self.folders[index].shows_what_is_gone() {
                return;
            }
            (self.emit)(Event::Watch(WatchEvent::FilesGone(files)));
        }
    }

    /// Looks at the recorded files of images.
    fn check_files(&mut self, images: Vec<SampleId>) {
        if images.is_empty() {
            return;
        }
        let mut gone: Vec<PathBuf> = images.iter().flat_map(|image| self.records.of(image)).collect();
        gone.retain(|path| {
            listing::is_gone(path) && self.watcher_of(path).is_some_and(FolderWatch::shows_what_is_gone)
        });
        if !gone.is_empty() {
            (self.emit)(Event::Watch(WatchEvent::FilesGone(gone)));
        }
        (self.emit)(Event::Watch(WatchEvent::FilesChecked(images)));
    }

    /// The innermost watched folder that a file lies in.
    fn watcher_of(&mut self, path: &Path) -> Option<&mut FolderWatch> {
        let around = self.folders.iter_mut().filter(|folder| path.starts_with(&folder.root.path));
        around.max_by_key(|folder| folder.root.path.components().count())
    }

    /// The kernel reports no more changes in a folder: it is listed from now on.
    fn refused(&mut self, index: usize, refusal: Refusal) {
        let folder = &mut self.folders[index];
        folder.mode = Mode::Refused(refusal);
        folder.due = Instant::now();
        folder.report(self.poll, &self.emit);
    }
}

/// New folders that wait to be listed, and as many vanished places; beyond that everything is listed.
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
    /// Something was moved or removed here: index of the watched folder, path.
    pub(super) vanished: BTreeSet<(usize, PathBuf)>,
    /// Look at the recorded files of these images.
    pub(super) checks: Vec<SampleId>,
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
            && self.checks.is_empty()
            && [&self.folders, &self.vanished].into_iter().all(BTreeSet::is_empty)
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

    pub(super) fn vanished(&self, root: usize, path: PathBuf) {
        self.add(|work| {
            if work.vanished.len() < FOLDERS_MAX {
                work.vanished.insert((root, path));
            } else {
                work.everything = true;
            }
        });
    }

    pub(super) fn check(&self, images: Vec<SampleId>) {
        self.add(|work| work.checks.extend(images));
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

/// One line a listing, where what it passes over has changed; a warning where pictures are lost by it.
fn say_passed_over(before: &Ignored, ignored: &Ignored) {
    info!(?ignored, "passed over in the watched folders");
    let pictures = &ignored.other_pictures;
    if *pictures != before.other_pictures && !pictures.is_empty() {
        warn!(?pictures, "pictures of kinds that are not read are passed over; convert them to JPEG or PNG");
    }
}
