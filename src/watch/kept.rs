//! One watched folder, how it is kept, and what people have to know of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::asks::Asks;
use super::hints::{Hints, Refusal};
use super::mounts::{Around, Mounts};
use super::place::{self, Place};
use super::{Emit, Poll, Root, file_system};
use crate::engine::{Event, WatchState, Watched};

/// A watched folder and how it is kept.
pub(super) struct Kept {
    pub(super) root: Root,
    pub(super) mode: Mode,
    /// When it is looked at next.
    pub(super) due: Instant,
    /// Which folder it is that is heard or polled: another one may come under its name.
    place: Place,
    /// The mounts around it, before what it lay on went.
    around: Around,
    /// Where that was mounted.
    unmounted: Option<PathBuf>,
    /// What people know of.
    told: Option<WatchState>,
}

pub(super) enum Mode {
    /// Not looked at yet, or to be looked at as if it were not.
    New,
    /// It cannot be used, for this reason.
    Missing(String),
    /// The kernel tells.
    Heard(Hints),
    /// Listed every few seconds, by its settings or file system.
    Polled,
    /// Listed every few seconds, because the kernel refused.
    Refused(Refusal),
}

/// What a look at a watched folder found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It cannot be used.
    Nothing,
    /// It is as it was, and heard.
    Same,
    /// It has to be listed: it is new, or polled.
    ToList,
}

impl Kept {
    pub(super) fn new(root: Root) -> Self {
        Self {
            root,
            mode: Mode::New,
            due: Instant::now(),
            place: Place::default(),
            around: Around::default(),
            unmounted: None,
            told: None,
        }
    }

    /// Sees to it that the folder is heard or polled, if it is there.
    pub(super) fn look(&mut self, mounts: &Mounts, poll: Duration, asks: &Arc<Asks>, emit: &Emit) -> Found {
        self.due = Instant::now() + poll;
        let found = match place::of(&self.root.path) {
            Ok((place, whole)) => self.found(place, mounts.around(&whole), asks, emit),
            Err(error) => {
                self.mode = Mode::Missing(why(&error));
                Found::Nothing
            }
        };
        self.tell(poll, emit);
        found
    }

    fn found(&mut self, place: Place, around: Around, asks: &Arc<Asks>, emit: &Emit) -> Found {
        self.unmounted = around.unmounted(&self.around);
        let is_same = self.place == place && (self.unmounted.is_some() || self.around == around);
        self.place = place;
        if self.unmounted.is_none() {
            self.around = around;
        }
        let is_kept = match &self.mode {
            Mode::New | Mode::Missing(_) => false,
            // What is no limit may be over at any time.
            Mode::Refused(refusal) => is_same && refusal.by_limit,
            Mode::Heard(_) | Mode::Polled => is_same,
        };
        if !is_kept {
            self.mode = self.attached(asks, emit);
        }
        if is_kept && matches!(self.mode, Mode::Heard(_)) { Found::Same } else { Found::ToList }
    }

    fn attached(&self, asks: &Arc<Asks>, emit: &Emit) -> Mode {
        let root = &self.root;
        if root.poll == Poll::Always || (root.poll == Poll::Auto && file_system::is_remote(&root.path)) {
            return Mode::Polled;
        }
        Hints::attach(root, asks, emit).map_or_else(Mode::Refused, Mode::Heard)
    }

    /// Says how the folder fares, once until that changes.
    pub(super) fn tell(&mut self, poll: Duration, emit: &Emit) {
        let state = self.state(poll);
        if self.told.as_ref() == Some(&state) {
            return;
        }
        let folder = self.root.path.display();
        match &state {
            WatchState::Well => info!(%folder, polled = matches!(self.mode, Mode::Polled), "watching"),
            WatchState::Lost { reason } | WatchState::Unheard { reason } => warn!(reason, "watch"),
        }
        self.told = Some(state.clone());
        emit(Event::Watched(Watched { root: self.root.index, state }));
    }

    fn state(&self, poll: Duration) -> WatchState {
        let (folder, seconds) = (self.root.path.display(), poll.as_secs_f32());
        match (&self.mode, &self.unmounted) {
            (Mode::Missing(why), _) => WatchState::Lost {
                reason: format!(
                    "watched folder {folder} cannot be used: {why}; create it, mount it, let the daemon's user read \
                     it, or correct 'watch' (it is looked for every {seconds} s)"
                ),
            },
            (_, Some(point)) => WatchState::Lost {
                reason: format!(
                    "watched folder {folder} is empty or another one: what was mounted at {} is gone; mount it again, or \
                     restart the daemon if it is not to come back (what lies there now is watched meanwhile)",
                    point.display()
                ),
            },
            (Mode::Refused(Refusal { why, .. }), None) => WatchState::Unheard {
                reason: format!(
                    "the kernel gives no notices for {folder}: {why}; it is listed every {seconds} s instead; raise \
                     fs.inotify.max_user_watches or fs.inotify.max_user_instances, or let the daemon's user read its \
                     subfolders"
                ),
            },
            (Mode::New | Mode::Heard(_) | Mode::Polled, None) => WatchState::Well,
        }
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::NotADirectory => "it is no folder".to_owned(),
        _ => error.to_string(),
    }
}
