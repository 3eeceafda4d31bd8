//! Which files are ready to be read, and which are still being written.
//!
//! A file is ready when its writer closed it or renamed it into place, when it is older than the settle time, or
//! when two checks a settle time apart found the same size and time. What cannot be read yet is waited for, twenty
//! settle times after it last changed, and then given up. All of it is bounded: past [`WAITING_MAX`] files the rest
//! is left to a later scan, which is requested when there is space again.
//!
//! What arrives goes ahead of what a listing found, however long that is: a new image waits for the few files that are
//! with the worker, not for the backlog. The backlog keeps every [`SHARE`]th turn, so that it ends.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::event::{FileStamp, Sighting};
use super::super::step::Act;
use crate::words::Now;

/// Files known here at once.
pub(super) const WAITING_MAX: usize = 4096;
/// Of these, those that a listing found; the rest is kept free for what arrives.
pub(super) const LISTED_MAX: usize = 3072;
/// A file that changed within this time has arrived, whoever found it.
const YOUNG: Duration = Duration::from_mins(1);
/// Where both wait, every n-th turn is the backlog's.
const SHARE: u32 = 4;
/// Files handed to the ingest worker at once; enough to keep decoding and embedding busy side by side.
pub const IN_FLIGHT_MAX: usize = 8;
/// A file that was created and not closed is taken for whole when it stayed unchanged for so many times `settle`.
const OPEN_PATIENCE: u32 = 240;

/// Settle times after which a file that cannot be read is given up.
const PATIENCE: u32 = 20;

/// Files on their way to the ingest worker.
#[derive(Debug, Default)]
pub(super) struct ReadyQueue {
    waiting: BTreeMap<PathBuf, Waiting>,
    /// Ready, and arrived just now.
    arrived: VecDeque<PathBuf>,
    /// Ready, and found by a listing.
    backlog: VecDeque<PathBuf>,
    /// Turns in a row that were not the backlog's.
    passed: u32,
    in_flight: usize,
    overflowed: bool,
    /// Whether listings are paused because the queue is full.
    held: bool,
}

#[derive(Debug)]
struct Waiting {
    root: usize,
    stage: Stage,
    stamp: FileStamp,
    /// Whether it goes before what listings found.
    has_arrived: bool,
    /// Whether it was created and its writer has not closed it.
    open: bool,
    /// When it was last found ready.
    ready_at: Duration,
    /// When the stamp was last seen to change.
    changed_at: Duration,
    /// Why the last reading failed, when it did.
    complaint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Look again at this time.
    Watched { look_at: Duration },
    /// A check is in progress.
    Looked,
    /// In the queue of ready files.
    Ready,
    /// With the ingest worker; `touched` when it was seen to change since, `outdated` when what comes of it does not
    /// count any more.
    InFlight { touched: bool, outdated: bool },
}

/// When a file was found ready, and how long after its last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Readiness {
    pub at: Duration,
    pub settled: Duration,
}

impl Readiness {
    /// At this time, as soon as it changed.
    pub fn at(now: Duration) -> Self {
        Self { at: now, settled: Duration::ZERO }
    }
}

/// A file that is not waited for any longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub path: PathBuf,
    pub stamp: FileStamp,
    pub reason: String,
}

impl ReadyQueue {
    /// Files known here.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether files that a listing found are ready, or had to be left to another listing.
    pub fn backlog_waits(&self) -> bool {
        self.overflowed || !self.backlog.is_empty()
    }

    /// Records a sighting; the file may be given up when it stayed unreadable for too long.
    pub fn sighted(&mut self, now: Now, sighting: &Sighting, settle: Duration) -> Option<GivenUp> {
        let Some(stamp) = sighting.stamp else {
            return self.vanished(&sighting.path);
        };
        let Some(file) = self.waiting.get_mut(&sighting.path) else {
            self.admit(now, sighting, stamp, settle);
            return None;
        };
        let changed = file.stamp != stamp;
        file.has_arrived |= changed || sighting.closed;
        file.open = (file.open || sighting.open) && !sighting.closed;
        if changed {
            file.stamp = stamp;
            file.changed_at = now.mono;
            file.complaint = None;
        }
        match file.stage {
            // A second notice of the same writing says nothing new, where the file's time tells writings apart.
            Stage::InFlight { ref mut touched, .. } => *touched |= changed || (sighting.closed && stamp.is_coarse()),
            Stage::Ready => {}
            Stage::Watched { .. } | Stage::Looked if sighting.closed => self.make_ready(now, &sighting.path),
            Stage::Watched { ref mut look_at } => {
                if changed {
                    *look_at = now.mono + settle;
                }
            }
            // Half a picture may have its full length; whoever forgot to close it is not waited for without end.
            Stage::Looked if file.open && now.mono.saturating_sub(file.changed_at) < settle * OPEN_PATIENCE => {
                file.stage = Stage::Watched { look_at: now.mono + settle };
            }
            Stage::Looked if changed => file.stage = Stage::Watched { look_at: now.mono + settle },
            Stage::Looked => match &file.complaint {
                None => self.make_ready(now, &sighting.path),
                Some(reason) if now.mono.saturating_sub(file.changed_at) >= settle * PATIENCE => {
                    let given_up = GivenUp { path: sighting.path.clone(), stamp, reason: reason.clone() };
                    self.waiting.remove(&sighting.path);
                    return Some(given_up);
                }
                Some(_) => file.stage = Stage::Watched { look_at: now.mono + settle },
            },
        }
        None
    }

    fn admit(&mut self, now: Now, sighting: &Sighting, stamp: FileStamp, settle: Duration) {
        let age_ms = now.wall.0.saturating_sub(stamp.mtime_ns / 1_000_000);
        // The age of a file from the future is not known.
        let age = u64::try_from(age_ms).ok().map(Duration::from_millis);
        let has_arrived = sighting.closed || age.is_some_and(|age| age < YOUNG);
        if self.waiting.len() >= if has_arrived { WAITING_MAX } else { LISTED_MAX } {
            self.overflowed = true;
            return;
        }
        let file = Waiting {
            root: sighting.root,
            stage: Stage::Watched { look_at: now.mono + settle },
            stamp,
            has_arrived,
            open: sighting.open,
            ready_at: now.mono,
            changed_at: now.mono,
            complaint: None,
        };
        self.waiting.insert(sighting.path.clone(), file);
        if sighting.closed || (!sighting.open && age.is_some_and(|age| age >= settle)) {
            self.make_ready(now, &sighting.path);
        }
    }

    fn make_ready(&mut self, now: Now, path: &Path) {
        if let Some(file) = self.waiting.get_mut(path) {
            file.stage = Stage::Ready;
            file.ready_at = now.mono;
            let queue = if file.has_arrived { &mut self.arrived } else { &mut self.backlog };
            queue.push_back(path.to_owned());
        }
    }

    fn vanished(&mut self, path: &Path) -> Option<GivenUp> {
        // A file in flight is left to finish; the worker notices by itself.
        if self.waiting.get(path).is_some_and(|file| !matches!(file.stage, Stage::InFlight { .. })) {
            self.waiting.remove(path);
        }
        None
    }

    /// A file was taken that has to be found again: everything is listed when there is room.
    pub fn passed_over(&mut self) {
        self.overflowed = true;
    }

    /// What is to be done now: files for the worker; listings held while there is no room for what they find, or while
    /// what is taken `is_forgotten`, so that they would find the same again and again; a scan when that is over.
    pub fn advance(&mut self, is_forgotten: bool) -> Vec<Act> {
        let mut effects = Vec::new();
        while self.in_flight < IN_FLIGHT_MAX {
            let Some(path) = self.next() else { break };
            // A file that vanished while it waited in the queue is no longer known.
            let Some(file) = self.waiting.get_mut(&path).filter(|file| file.stage == Stage::Ready) else { continue };
            file.stage = Stage::InFlight { touched: false, outdated: false };
            self.in_flight += 1;
            effects.push(Act::Ingest { root: file.root, path });
        }
        let scan = self.overflowed && !is_forgotten && self.waiting.len() <= WAITING_MAX / 4;
        self.overflowed &= !scan;
        let hold = self.overflowed || is_forgotten;
        if std::mem::replace(&mut self.held, hold) != hold {
            effects.push(Act::PauseScans(hold));
        }
        if scan {
            effects.push(Act::Rescan);
        }
        effects
    }

    /// The next file whose turn it is.
    fn next(&mut self) -> Option<PathBuf> {
        let is_backlogs = !self.backlog.is_empty() && (self.arrived.is_empty() || self.passed + 1 >= SHARE);
        self.passed = if is_backlogs { 0 } else { self.passed + 1 };
        if is_backlogs { self.backlog.pop_front() } else { self.arrived.pop_front() }
    }

    /// Checks that are due; computed on every tick only, since it goes through all files.
    pub fn looks(&mut self, now: Now) -> Vec<Act> {
        let due = |file: &Waiting| matches!(file.stage, Stage::Watched { look_at } if look_at <= now.mono);
        let mut effects = Vec::new();
        for (path, file) in self.waiting.iter_mut().filter(|(_, file)| due(file)) {
            file.stage = Stage::Looked;
            effects.push(Act::Stat { root: file.root, path: path.clone() });
        }
        effects
    }

    /// Whatever comes of the files that are with the worker does not count: they are looked at again.
    pub fn outdate(&mut self) {
        for file in self.waiting.values_mut() {
            if let Stage::InFlight { outdated, .. } = &mut file.stage {
                *outdated = true;
            }
        }
    }

    /// Whether what comes of a file does not count.
    pub fn is_outdated(&self, path: &Path) -> bool {
        self.waiting.get(path).is_some_and(|file| matches!(file.stage, Stage::InFlight { outdated: true, .. }))
    }

    /// The worker is done with a file; returns when it was found ready. It is forgotten, unless it changed meanwhile.
    pub fn finished(&mut self, now: Now, path: &Path) -> Option<Readiness> {
        let file = self.waiting.get_mut(path)?;
        let Stage::InFlight { touched, .. } = file.stage else { return None };
        self.in_flight -= 1;
        let ready = Readiness { at: file.ready_at, settled: file.ready_at.saturating_sub(file.changed_at) };
        if touched {
            file.stage = Stage::Watched { look_at: now.mono };
            file.complaint = None;
        } else {
            self.waiting.remove(path);
        }
        Some(ready)
    }

    /// The worker could not read a file yet; it is checked again until it changes or time runs out.
    pub fn postponed(&mut self, now: Now, path: &Path, settle: Duration, reason: Option<String>) {
        let Some(file) = self.waiting.get_mut(path) else { return };
        let Stage::InFlight { touched, .. } = file.stage else { return };
        self.in_flight -= 1;
        file.complaint = if touched { None } else { reason };
        file.stage = Stage::Watched { look_at: now.mono + if touched { Duration::ZERO } else { settle } };
    }
}

#[cfg(test)]
#[path = "readiness_tests.rs"]
mod tests;
