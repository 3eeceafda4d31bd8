//! Keeps every watched folder heard or polled, and lists them.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::asks::{Asks, Waiting};
use super::hints::Refusal;
use super::kept::{Found, Kept, Mode};
use super::listing::{self, Tally};
use super::mounts::Mounts;
use super::{Emit, Root, Settings, candidate};
use crate::engine::{Event, FileStamp, Sighting};

/// Listing takes at most one part in so many of the time of a polled folder.
const POLL_SHARE: u32 = 10;

/// A file that changed within this time is shown even while listings are held.
const YOUNG: Duration = Duration::from_mins(1);

pub(super) type IsKnown = Box<dyn Fn(&Path, FileStamp) -> bool + Send>;

/// The listing thread.
pub(super) struct Keeper {
    rescan: Duration,
    poll: Duration,
    folders: Vec<Kept>,
    asks: Arc<Asks>,
    emit: Emit,
    is_known: IsKnown,
    /// Whether the last listing of everything met folders that it could not read.
    met_unreadable: bool,
}

impl Keeper {
    pub(super) fn new(settings: &Settings, roots: Vec<Root>, asks: Arc<Asks>, emit: Emit, is_known: IsKnown) -> Self {
        let folders = roots.into_iter().map(Kept::new).collect();
        let Settings { rescan, poll, .. } = *settings;
        Self { rescan, poll, folders, asks, emit, is_known, met_unreadable: false }
    }

    pub(super) fn run(mut self) {
        let mut rescan_due = Instant::now();
        while !self.asks.is_stopped() {
            let due = self.folders.iter().map(|kept| kept.due).fold(rescan_due, Instant::min);
            let Waiting { everything, folders, lost, refused, deaf } = self.asks.next(due);
            for index in lost.into_iter().chain(deaf) {
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
            self.look_at_due();
        }
    }

    fn list_everything(&mut self) {
        let mut tally = Tally::default();
        let mounts = Mounts::now();
        for index in 0..self.folders.len() {
            let kept = &mut self.folders[index];
            if matches!(kept.mode, Mode::Refused(_)) {
                // The limit may have been raised.
                kept.mode = Mode::New;
            }
            if kept.look(&mounts, self.poll, &self.asks, &self.emit) != Found::Nothing {
                self.list(index, &mut tally);
            }
        }
        self.met_unreadable = !tally.unreadable.is_empty();
        if !self.asks.is_stopped() {
            (self.emit)(Event::Scanned { ignored: tally.ignored, unreadable: tally.unreadable });
        }
    }

    /// Looks whether folders are still what they were, and lists those that are polled or have come back.
    fn look_at_due(&mut self) {
        if self.folders.iter().all(|kept| Instant::now() < kept.due) {
            return;
        }
        let mounts = Mounts::now();
        for index in 0..self.folders.len() {
            let kept = &mut self.folders[index];
            if Instant::now() >= kept.due && kept.look(&mounts, self.poll, &self.asks, &self.emit) == Found::ToList {
                self.list(index, &mut Tally::default());
            }
        }
    }

    /// Lists a folder that has just appeared below a watched one, or whose owner or mode changed.
    fn list_new(&mut self, index: usize, folder: &Path) {
        let is_link = folder.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
        if let Mode::Heard(hints) = &mut self.folders[index].mode
            && !is_link
            && let Err(refusal) = hints.include(folder)
            && refusal.by_limit
        {
            self.refused(index, refusal);
        }
        let mut tally = Tally::default();
        self.list_from(index, folder, &mut tally);
        if self.met_unreadable || !tally.unreadable.is_empty() {
            // Only a listing of everything tells which folders cannot be read, and which can be again.
            self.asks.everything();
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
            let is_due = !self.asks.is_held() || candidate::is_young(stamp, YOUNG, SystemTime::now());
            if is_due && !(self.is_known)(path, stamp) {
                let path = path.to_owned();
                (self.emit)(Event::Sighted(Sighting { root: index, path, stamp: Some(stamp), closed: false }));
            }
            !self.asks.is_stopped()
        });
    }

    /// The kernel tells no more of a folder: it is listed from now on.
    fn refused(&mut self, index: usize, refusal: Refusal) {
        let kept = &mut self.folders[index];
        kept.mode = Mode::Refused(refusal);
        kept.due = Instant::now();
        kept.tell(self.poll, &self.emit);
    }
}
