//! Keeps every watched folder heard or polled, and lists them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::ErrorKind;
use tracing::{info, warn};

use super::asks::Asks;
use super::hints::Hints;
use super::listing::{self, Tally};
use super::{Emit, Poll, Root, Settings, file_system};
use crate::engine::{Event, FileStamp, Sighting};

/// Listing takes at most one part in so many of the time of a polled folder.
const POLL_SHARE: u32 = 10;

pub(super) type IsKnown = Box<dyn Fn(&Path, FileStamp) -> bool + Send>;

/// The listing thread.
pub(super) struct Keeper {
    rescan: Duration,
    poll: Duration,
    folders: Vec<Kept>,
    asks: Arc<Asks>,
    emit: Emit,
    is_known: IsKnown,
}

/// A watched folder and how it is kept.
struct Kept {
    root: Root,
    mode: Mode,
    /// Device and inode number of the folder that is heard or polled: another one may come under its name.
    identity: (u64, u64),
    /// When it is looked at next, unless it is heard.
    due: Instant,
    /// The fault that people know of.
    told: Option<String>,
}

enum Mode {
    /// Missing, or not looked at yet.
    Missing,
    /// The kernel tells.
    Heard(Hints),
    /// Listed every few seconds, by its settings or file system.
    Polled,
    /// Listed every few seconds, because the kernel refused.
    Refused,
}

impl Keeper {
    pub(super) fn new(settings: &Settings, roots: Vec<Root>, asks: Arc<Asks>, emit: Emit, is_known: IsKnown) -> Self {
        let due = Instant::now();
        let kept = |root| Kept { root, mode: Mode::Missing, identity: (0, 0), due, told: None };
        let folders = roots.into_iter().map(kept).collect();
        Self { rescan: settings.rescan, poll: settings.poll, folders, asks, emit, is_known }
    }

    pub(super) fn run(mut self) {
        let mut rescan_due = Instant::now();
        while !self.asks.is_stopped() {
            let waiting_ones = self.folders.iter().filter(|kept| !matches!(kept.mode, Mode::Heard(_)));
            let due = waiting_ones.map(|kept| kept.due).fold(rescan_due, Instant::min);
            let waiting = self.asks.next(due);
            waiting.lost.into_iter().for_each(|index| self.folders[index].mode = Mode::Missing);
            waiting.refused.into_iter().for_each(|index| self.refused(index, "the limit is reached"));
            if waiting.everything || Instant::now() >= rescan_due {
                self.list_everything();
                rescan_due = Instant::now() + self.rescan;
                continue;
            }
            waiting.folders.into_iter().for_each(|(index, path)| self.list_new(index, &path));
            self.list_due();
        }
    }

    fn list_everything(&mut self) {
        let mut tally = Tally::default();
        for index in 0..self.folders.len() {
            if matches!(self.folders[index].mode, Mode::Refused) {
                // The limit may have been raised.
                self.folders[index].mode = Mode::Missing;
            }
            if self.keep(index) {
                self.list(index, &mut tally);
            }
        }
        if !self.asks.is_stopped() {
            (self.emit)(Event::Scanned { ignored: tally.ignored, unreadable: tally.unreadable });
        }
    }

    /// Lists the folders that are polled, and those that have come back.
    fn list_due(&mut self) {
        for index in 0..self.folders.len() {
            let kept = &self.folders[index];
            if !matches!(kept.mode, Mode::Heard(_)) && Instant::now() >= kept.due && self.keep(index) {
                self.list(index, &mut Tally::default());
            }
        }
    }

    /// Lists a folder that has just appeared below a watched one.
    fn list_new(&mut self, index: usize, folder: &Path) {
        let is_link = fs::symlink_metadata(folder).is_ok_and(|metadata| metadata.is_symlink());
        if let Mode::Heard(hints) = &mut self.folders[index].mode
            && !is_link
            && let Err(error) = hints.include(folder)
            && matches!(error.kind, ErrorKind::MaxFilesWatch)
        {
            self.refused(index, "the limit is reached");
        }
        self.list_from(index, folder, &mut Tally::default());
    }

    fn list(&mut self, index: usize, tally: &mut Tally) {
        let begun = Instant::now();
        let path = self.folders[index].root.path.clone();
        self.list_from(index, &path, tally);
        self.folders[index].due = Instant::now() + self.poll.max(begun.elapsed() * POLL_SHARE);
    }

    fn list_from(&self, index: usize, start: &Path, tally: &mut Tally) {
        listing::list(&self.folders[index].root, start, tally, &mut |path, stamp| {
            if !(self.is_known)(path, stamp) {
                let path = path.to_owned();
                (self.emit)(Event::Sighted(Sighting { root: index, path, stamp: Some(stamp), closed: false }));
            }
            !self.asks.is_stopped()
        });
    }

    /// Sees to it that the folder is heard or polled; false while it is missing.
    fn keep(&mut self, index: usize) -> bool {
        let kept = &mut self.folders[index];
        let path = kept.root.path.clone();
        match identity(&path) {
            Err(error) => {
                kept.mode = Mode::Missing;
                kept.due = Instant::now() + self.poll;
                let reason = format!(
                    "watched folder {} cannot be used: {error}; create it, mount it, or correct 'watch' (it is looked for again)",
                    path.display()
                );
                self.tell(index, reason);
                return false;
            }
            Ok(identity) if matches!(kept.mode, Mode::Missing) || kept.identity != identity => {
                kept.identity = identity;
                self.attach(index);
            }
            Ok(_) => {}
        }
        true
    }

    fn attach(&mut self, index: usize) {
        let root = &self.folders[index].root;
        if root.poll == Poll::Always || (root.poll == Poll::Auto && file_system::is_remote(&root.path)) {
            self.settle(index, Mode::Polled);
            return;
        }
        match Hints::attach(root, &self.asks, &self.emit) {
            Ok(hints) => self.settle(index, Mode::Heard(hints)),
            Err(error) => {
                let why = match error.kind {
                    ErrorKind::MaxFilesWatch => "the limit is reached".to_owned(),
                    ErrorKind::Io(error) => error.to_string(),
                    _ => "the folder changed meanwhile".to_owned(),
                };
                self.refused(index, &why);
            }
        }
    }

    fn settle(&mut self, index: usize, mode: Mode) {
        let kept = &mut self.folders[index];
        kept.mode = mode;
        kept.told = None;
        info!(folder = %kept.root.path.display(), polled = matches!(kept.mode, Mode::Polled), "watching");
    }

    fn refused(&mut self, index: usize, why: &str) {
        let kept = &mut self.folders[index];
        kept.mode = Mode::Refused;
        kept.due = Instant::now();
        let reason = format!(
            "the kernel gives no notices for {}: {why}; it is listed every {} s instead; raise fs.inotify.max_user_watches \
             or fs.inotify.max_user_instances, or make its subfolders readable",
            kept.root.path.display(),
            self.poll.as_secs_f32()
        );
        self.tell(index, reason);
    }

    /// Says it once until it is over.
    fn tell(&mut self, index: usize, reason: String) {
        let told = &mut self.folders[index].told;
        if told.as_ref() != Some(&reason) {
            warn!(reason, "watch");
            *told = Some(reason.clone());
            (self.emit)(Event::Fault { source: "watch", reason });
        }
    }
}

fn identity(path: &PathBuf) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() { Ok((metadata.dev(), metadata.ino())) } else { Err(io::ErrorKind::NotADirectory.into()) }
}
