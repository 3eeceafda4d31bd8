//! What the kernel's notices mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Config, ErrorKind, EventHandler, EventKind, INotifyWatcher, RecursiveMode, Watcher as _};

use super::asks::Asks;
use super::candidate::{self, Target};
use super::{Emit, Root};
use crate::engine::{Event, Sighting};

/// The kernel's notices for one watched folder, turned into sightings and asks as they come.
pub(super) struct Hints {
    watcher: INotifyWatcher,
}

impl Hints {
    /// Begins to hear of changes in `root`.
    pub(super) fn attach(root: &Root, asks: &Arc<Asks>, emit: &Emit) -> notify::Result<Self> {
        let listener = Listener { root: root.clone(), asks: Arc::clone(asks), emit: Arc::clone(emit) };
        let mut watcher = INotifyWatcher::new(listener, Config::default().with_follow_symlinks(false))?;
        let mode = if root.recursive { RecursiveMode::Recursive } else { RecursiveMode::NonRecursive };
        watcher.watch(&root.path, mode)?;
        Ok(Self { watcher })
    }

    /// Returns when changes in `folder`, which has just appeared, are heard: what was there before is in its listing.
    pub(super) fn include(&mut self, folder: &Path) -> notify::Result<()> {
        self.watcher.watch(folder, RecursiveMode::Recursive)
    }
}

struct Listener {
    root: Root,
    asks: Arc<Asks>,
    emit: Emit,
}

impl EventHandler for Listener {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => return self.asks.refused(self.root.index),
            Err(_) => return self.asks.everything(),
        };
        if event.need_rescan() {
            return self.asks.everything();
        }
        let Some(path) = event.paths.into_iter().next() else { return };
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => self.see(path, true),
            // Not written to under this name, perhaps: a hard link, a symbolic one.
            EventKind::Create(_) => self.see(path, false),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) if path == self.root.path => {
                self.asks.lost(self.root.index);
            }
            _ => {}
        }
    }
}

impl Listener {
    fn see(&self, path: PathBuf, closed: bool) {
        if !candidate::is_in_sight(&self.root.path, &path) {
            return;
        }
        match candidate::target(&self.root.path, &path) {
            Some(Target::File(stamp)) if candidate::is_image_name(&path) => {
                (self.emit)(Event::Sighted(Sighting { root: self.root.index, path, stamp: Some(stamp), closed }));
            }
            Some(Target::Folder(_)) if self.root.recursive => self.asks.folder(self.root.index, path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use notify::Error;
    use notify::event::Flag;

    use super::*;
    use crate::watch::Poll;

    fn asked(event: notify::Result<notify::Event>) -> (bool, bool, bool) {
        let asks = Arc::new(Asks::default());
        let root = Root { index: 0, path: "/srv".into(), recursive: true, poll: Poll::Auto };
        let emit: Emit = Arc::new(|event| panic!("{event:?}"));
        Listener { root, asks: Arc::clone(&asks), emit }.handle_event(event);
        let waiting = asks.next(Instant::now());
        (waiting.everything, !waiting.lost.is_empty(), !waiting.refused.is_empty())
    }

    #[test]
    fn lost_notices_and_errors_lead_to_a_listing_of_everything() {
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(asked(Ok(overflow)), (true, false, false));
        assert_eq!(asked(Err(Error::generic("odd"))), (true, false, false));
    }

    #[test]
    fn a_root_that_goes_is_lost_and_a_file_that_goes_is_not() {
        let gone =
            |path: &str| notify::Event::new(EventKind::Remove(notify::event::RemoveKind::Any)).add_path(path.into());
        assert_eq!(asked(Ok(gone("/srv"))), (false, true, false));
        assert_eq!(asked(Ok(gone("/srv/a.jpg"))), (false, false, false));
    }

    #[test]
    fn the_kernels_limit_is_a_refusal() {
        assert_eq!(asked(Err(Error::new(ErrorKind::MaxFilesWatch))), (false, false, true));
    }
}
