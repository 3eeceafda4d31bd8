//! Which files are ready to be read, and which are still being written.
//!
//! A file is ready when its writer closed it or renamed it into place, when it is older than the settle time, or
//! when two looks a settle time apart found the same size and time. What cannot be read yet is waited for, twenty
//! settle times after it last changed, and then given up. All of it is bounded: past [`WAITING_MAX`] files the rest
//! is left to a later scan, which is asked for when there is room again.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::effect::Effect;
use super::event::{FileStamp, Sighting};
use crate::words::Now;

/// Files known here at once.
pub(super) const WAITING_MAX: usize = 4096;
/// Files handed to the ingest worker at once; enough to keep decoding and embedding busy side by side.
pub const IN_FLIGHT_MAX: usize = 8;
/// Settle times after which a file that cannot be read is given up.
const PATIENCE: u32 = 20;

/// Files on their way to the ingest worker.
#[derive(Debug, Default)]
pub(super) struct Settling {
    waiting: BTreeMap<PathBuf, Waiting>,
    ready: VecDeque<PathBuf>,
    in_flight: usize,
    overflowed: bool,
}

#[derive(Debug)]
struct Waiting {
    root: usize,
    stage: Stage,
    stamp: FileStamp,
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
    /// A look is under way.
    Looked,
    /// In the queue of ready files.
    Ready,
    /// With the ingest worker; `touched` when it was seen to change since.
    InFlight { touched: bool },
}

/// A file that is not waited for any longer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub path: PathBuf,
    pub stamp: FileStamp,
    pub reason: String,
}

impl Settling {
    /// Files known here.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes note of a sighting; the file may be given up when it stood still unreadable for too long.
    pub fn sighted(&mut self, now: Now, sighting: &Sighting, settle: Duration) -> Option<GivenUp> {
        let Some(stamp) = sighting.stamp else {
            return self.vanished(&sighting.path);
        };
        let Some(file) = self.waiting.get_mut(&sighting.path) else {
            self.admit(now, sighting, stamp, settle);
            return None;
        };
        let changed = file.stamp != stamp;
        if changed {
            file.stamp = stamp;
            file.changed_at = now.mono;
            file.complaint = None;
        }
        match file.stage {
            Stage::InFlight { ref mut touched } => *touched |= changed || sighting.closed,
            Stage::Ready => {}
            Stage::Watched { .. } | Stage::Looked if sighting.closed => self.make_ready(now, &sighting.path),
            Stage::Watched { ref mut look_at } => {
                if changed {
                    *look_at = now.mono + settle;
                }
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
        if self.waiting.len() >= WAITING_MAX {
            self.overflowed = true;
            return;
        }
        let file = Waiting {
            root: sighting.root,
            stage: Stage::Watched { look_at: now.mono + settle },
            stamp,
            ready_at: now.mono,
            changed_at: now.mono,
            complaint: None,
        };
        self.waiting.insert(sighting.path.clone(), file);
        let age_ms = now.wall.0.saturating_sub(stamp.mtime_ns / 1_000_000);
        if sighting.closed || u128::try_from(age_ms).is_ok_and(|age_ms| age_ms >= settle.as_millis()) {
            self.make_ready(now, &sighting.path);
        }
    }

    fn make_ready(&mut self, now: Now, path: &Path) {
        if let Some(file) = self.waiting.get_mut(path) {
            file.stage = Stage::Ready;
            file.ready_at = now.mono;
            self.ready.push_back(path.to_owned());
        }
    }

    fn vanished(&mut self, path: &Path) -> Option<GivenUp> {
        // A file in flight is let finish; the worker finds out by itself.
        if self.waiting.get(path).is_some_and(|file| !matches!(file.stage, Stage::InFlight { .. })) {
            self.waiting.remove(path);
        }
        None
    }

    /// What is to be done now: looks that are due, files for the worker, a scan when there is room for its findings.
    pub fn advance(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        while self.in_flight < IN_FLIGHT_MAX {
            let Some(path) = self.ready.pop_front() else { break };
            // A file that vanished while it waited in the queue is no longer known.
            let Some(file) = self.waiting.get_mut(&path).filter(|file| file.stage == Stage::Ready) else { continue };
            file.stage = Stage::InFlight { touched: false };
            self.in_flight += 1;
            effects.push(Effect::Ingest { root: file.root, path });
        }
        if self.overflowed && self.waiting.len() <= WAITING_MAX / 4 {
            self.overflowed = false;
            effects.push(Effect::Scan);
        }
        effects
    }

    /// Looks that are due; asked for on every tick only, since it goes through all files.
    pub fn looks(&mut self, now: Now) -> Vec<Effect> {
        let due = |file: &Waiting| matches!(file.stage, Stage::Watched { look_at } if look_at <= now.mono);
        let mut effects = Vec::new();
        for (path, file) in self.waiting.iter_mut().filter(|(_, file)| due(file)) {
            file.stage = Stage::Looked;
            effects.push(Effect::Look { root: file.root, path: path.clone() });
        }
        effects
    }

    /// The worker is done with a file; returns when it was found ready. It is forgotten, unless it changed meanwhile.
    pub fn finished(&mut self, now: Now, path: &Path) -> Option<Duration> {
        let file = self.waiting.get_mut(path)?;
        let Stage::InFlight { touched } = file.stage else { return None };
        self.in_flight -= 1;
        let ready_at = file.ready_at;
        if touched {
            file.stage = Stage::Watched { look_at: now.mono };
            file.complaint = None;
        } else {
            self.waiting.remove(path);
        }
        Some(ready_at)
    }

    /// The worker could not read a file yet; it is looked at again until it changes or patience ends.
    pub fn postponed(&mut self, now: Now, path: &Path, settle: Duration, reason: Option<String>) {
        let Some(file) = self.waiting.get_mut(path) else { return };
        let Stage::InFlight { touched } = file.stage else { return };
        self.in_flight -= 1;
        file.complaint = if touched { None } else { reason };
        file.stage = Stage::Watched { look_at: now.mono + if touched { Duration::ZERO } else { settle } };
    }
}
