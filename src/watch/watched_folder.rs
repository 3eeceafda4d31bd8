//! One watched folder: whether it can be used, how changes in it are noticed, and what is reported of it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::folder_identity::{FolderId, Mounts, SurroundingMounts, identify, is_remote};
use super::inotify::{Notifications, Refusal};
use super::work_queue::WorkQueue;
use super::{Emit, Poll, Root};
use crate::engine::{Event, FolderHealth, WatchEvent, WatchState};

/// A watched folder and how changes in it are noticed.
pub(super) struct FolderWatch {
    pub(super) root: Root,
    pub(super) mode: Mode,
    /// When it is checked next.
    pub(super) due: Instant,
    /// Which folder is subscribed to or polled: another one may take its name.
    id: FolderId,
    /// The mounts around it, before its file system was unmounted.
    mounts: SurroundingMounts,
    /// Where that was mounted.
    unmounted: Option<PathBuf>,
    /// The state that was reported last.
    reported: Option<WatchState>,
}

/// How changes in a folder are noticed.
pub(super) enum Mode {
    /// Not checked yet, or to be checked as if it were not.
    New,
    /// It cannot be used, for this reason.
    Missing(String),
    /// The kernel reports them.
    Notified(Notifications),
    /// Listed every few seconds, by its settings or file system.
    Polled,
    /// Listed every few seconds, because the kernel refused.
    Refused(Refusal),
}

/// What a check of a watched folder found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// It cannot be used.
    Unusable,
    /// It is as it was, and the kernel reports its changes.
    Unchanged,
    /// It has to be listed: it is new, or polled.
    NeedsListing,
}

impl FolderWatch {
    pub(super) fn new(root: Root) -> Self {
        Self {
            root,
            mode: Mode::New,
            due: Instant::now(),
            id: FolderId::default(),
            mounts: SurroundingMounts::default(),
            unmounted: None,
            reported: None,
        }
    }

    /// Checks the folder, and subscribes to it or has it polled where that is not so already.
    pub(super) fn check(&mut self, mounts: &Mounts, poll: Duration, queue: &Arc<WorkQueue>, emit: &Emit) -> Check {
        self.due = Instant::now() + poll;
        let found = match identify(&self.root.path) {
            Ok((id, canonical)) => self.follow(id, mounts.around(&canonical), queue, emit),
            Err(error) => {
                self.mode = Mode::Missing(why(&error));
                Check::Unusable
            }
        };
        self.report(poll, emit);
        found
    }

    fn follow(&mut self, id: FolderId, mounts: SurroundingMounts, queue: &Arc<WorkQueue>, emit: &Emit) -> Check {
        self.unmounted = mounts.unmounted_since(&self.mounts);
        let is_same = self.id == id && (self.unmounted.is_some() || self.mounts == mounts);
        self.id = id;
        if self.unmounted.is_none() {
            self.mounts = mounts;
        }
        let keeps_mode = match &self.mode {
            Mode::New | Mode::Missing(_) => false,
            // A reason that is no limit may be over at any time.
            Mode::Refused(refusal) => is_same && refusal.by_limit,
            Mode::Notified(_) | Mode::Polled => is_same,
        };
        if !keeps_mode {
            self.mode = self.chosen_mode(queue, emit);
        }
        if keeps_mode && matches!(self.mode, Mode::Notified(_)) { Check::Unchanged } else { Check::NeedsListing }
    }

    fn chosen_mode(&self, queue: &Arc<WorkQueue>, emit: &Emit) -> Mode {
        let root = &self.root;
        if root.poll == Poll::Always || (root.poll == Poll::Auto && is_remote(&root.path)) {
            return Mode::Polled;
        }
        Notifications::subscribe(root, queue, emit).map_or_else(Mode::Refused, Mode::Notified)
    }

    /// Reports the folder's state, once until it changes.
    pub(super) fn report(&mut self, poll: Duration, emit: &Emit) {
        let state = self.state(poll);
        if self.reported.as_ref() == Some(&state) {
            return;
        }
        let folder = self.root.path.display();
        match &state {
            WatchState::Well => info!(%folder, polled = matches!(self.mode, Mode::Polled), "watching"),
            WatchState::Lost { reason } | WatchState::Unheard { reason } => warn!(reason, "watch"),
        }
        self.reported = Some(state.clone());
        emit(Event::Watch(WatchEvent::FolderHealth(FolderHealth { root: self.root.index, state })));
    }

    fn state(&self, poll: Duration) -> WatchState {
        let (folder, seconds) = (self.root.path.display(), poll.as_secs_f32());
        match (&self.mode, &self.unmounted) {
            (Mode::Missing(why), _) => WatchState::Lost {
                reason: format!(
                    "watched folder {folder} cannot be used: {why}; create it, mount it, let the daemon's user read \
                     it, or correct 'watch' (it is checked every {seconds} s)"
                ),
            },
            (_, Some(point)) => WatchState::Lost {
                reason: format!(
                    "watched folder {folder} is empty or another folder: the file system that was mounted at {} is \
                     gone; mount it again, or restart the daemon if it will not come back (the folder that is there \
                     now is watched meanwhile)",
                    point.display()
                ),
            },
            (Mode::Refused(Refusal { why, .. }), None) => WatchState::Unheard {
                reason: format!(
                    "the kernel gives no notifications for {folder}: {why}; it is listed every {seconds} s instead; \
                     raise fs.inotify.max_user_watches or fs.inotify.max_user_instances, or let the daemon's user read \
                     its subfolders"
                ),
            },
            (Mode::New | Mode::Notified(_) | Mode::Polled, None) => WatchState::Well,
        }
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "it is not there".to_owned(),
        io::ErrorKind::NotADirectory => "it is not a folder".to_owned(),
        _ => error.to_string(),
    }
}
