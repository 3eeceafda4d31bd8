//! The kernel's notifications of changes in a watched folder, turned into sightings and work for the lister.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Config, ErrorKind, EventHandler, EventKind, INotifyWatcher, RecursiveMode, Watcher as _};

use super::lister::WorkQueue;
use super::listing::{self, Target};
use super::names::{NameKind, name_kind};
use super::{Emit, Root};
use crate::engine::{Event, Sighting, WatchEvent};

/// A subscription to changes in one watched folder; dropping it ends it.
pub(super) struct Notifications {
    watcher: INotifyWatcher,
    root: Root,
}

impl Notifications {
    /// Subscribes to changes in `root`, and in the folders below that are neither excluded nor closed to this process.
    ///
    /// # Errors
    /// When the kernel refuses for the folder itself, or one of its limits is reached.
    pub(super) fn subscribe(root: &Root, queue: &Arc<WorkQueue>, emit: &Emit) -> Result<Self, Refusal> {
        let listener = Listener { root: root.clone(), queue: Arc::clone(queue), emit: Arc::clone(emit) };
        let watcher = INotifyWatcher::new(listener, Config::default().with_follow_symlinks(false))?;
        let mut notifications = Self { watcher, root: root.clone() };
        notifications.include(&root.path)?;
        Ok(notifications)
    }

    /// Subscribes to changes in `folder` and below it; its listing finds what was there before.
    ///
    /// # Errors
    /// As [`Notifications::subscribe`].
    pub(super) fn include(&mut self, folder: &Path) -> Result<(), Refusal> {
        let mut waiting = vec![folder.to_owned()];
        while let Some(folder) = waiting.pop() {
            if let Err(error) = self.watcher.watch(&folder, RecursiveMode::NonRecursive) {
                let refusal = Refusal::from(error);
                if refusal.by_limit || folder == self.root.path {
                    return Err(refusal);
                }
                // It is gone, or may not be entered: the listing reports that, and this folder is all that it costs.
                continue;
            }
            if !self.root.recursive {
                return Ok(());
            }
            let below = fs::read_dir(&folder).into_iter().flatten().flatten();
            let folders = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            waiting.extend(folders.filter(|entry| !self.root.excludes(&entry.file_name())).map(|entry| entry.path()));
        }
        Ok(())
    }
}

/// Why the kernel reports no changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) why: String,
    /// Whether one of its limits is reached.
    pub(super) by_limit: bool,
}

impl Refusal {
    /// As many folders are watched as the kernel allows.
    pub(super) fn limit() -> Self {
        Self { why: "the limit of watches is reached".to_owned(), by_limit: true }
    }
}

impl From<notify::Error> for Refusal {
    fn from(error: notify::Error) -> Self {
        let place = error.paths.first().map_or(String::new(), |path| format!(" ({})", path.display()));
        match error.kind {
            ErrorKind::MaxFilesWatch => Self::limit(),
            ErrorKind::Io(error) if is_too_many(&error) => {
                Self { why: format!("the limit of instances or of open files is reached: {error}"), by_limit: true }
            }
            ErrorKind::Io(error) => Self { why: format!("{error}{place}"), by_limit: false },
            _ => Self { why: format!("it changed meanwhile{place}"), by_limit: false },
        }
    }
}

/// Whether the process or the user has as many files open as allowed.
fn is_too_many(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
        || error.raw_os_error() == Some(rustix::io::Errno::NFILE.raw_os_error())
}

/// What a notification says of whoever writes a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Unknown,
    /// It created the file and has still to close it.
    Open,
    /// It closed the file, or moved it into place.
    Done,
}

struct Listener {
    root: Root,
    queue: Arc<WorkQueue>,
    emit: Emit,
}

impl EventHandler for Listener {
    fn handle_event(&mut self, event: notify::Result<notify::Event>) {
        let event = match event {
            Ok(event) => event,
            Err(error) if matches!(error.kind, ErrorKind::MaxFilesWatch) => return self.queue.refused(self.root.index),
            Err(_) => return self.queue.overflowed(self.root.index),
        };
        if event.need_rescan() {
            return self.queue.overflowed(self.root.index);
        }
        let Some(path) = event.paths.into_iter().next() else { return };
        match event.kind {
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(RenameMode::To)) => self.report(path, Writer::Done),
            EventKind::Create(_) => {
                // A link is not written under this name, and never closed.
                let is_new = fs::symlink_metadata(&path).is_ok_and(|file| file.is_file() && file.nlink() == 1);
                self.report(path, if is_new { Writer::Open } else { Writer::Unknown });
            }
            // Somebody may read now what could not be read before.
            EventKind::Modify(ModifyKind::Metadata(_)) if path != self.root.path => self.report(path, Writer::Unknown),
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) if path == self.root.path => {
                self.queue.lost(self.root.index);
            }
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) if self.root.shows(&path) => {
                self.queue.vanished(self.root.index, path);
            }
            _ => {}
        }
    }
}

impl Listener {
    fn report(&self, path: PathBuf, writer: Writer) {
        if !self.root.shows(&path) {
            return;
        }
        match listing::target(&self.root.path, &path) {
            Some(Target::File(stamp)) if name_kind(&path) == NameKind::Image => {
                (self.emit)(Event::Watch(WatchEvent::FileSeen(Sighting {
                    root: self.root.index,
                    path,
                    stamp: Some(stamp),
                    closed: writer == Writer::Done,
                    open: writer == Writer::Open,
                })));
            }
            Some(Target::Folder(_)) if self.root.recursive => self.queue.folder(self.root.index, path),
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

    /// Whether the folder is subscribed to and listed again, is lost, or is refused.
    fn queued(event: notify::Result<notify::Event>) -> (bool, bool, bool) {
        let queue = Arc::new(WorkQueue::default());
        let root = Root { index: 0, path: "/srv".into(), recursive: true, poll: Poll::Auto, exclude: Vec::new() };
        let emit: Emit = Arc::new(|event| panic!("{event:?}"));
        Listener { root, queue: Arc::clone(&queue), emit }.handle_event(event);
        let work = queue.next(Instant::now());
        (!work.overflowed.is_empty(), !work.lost.is_empty(), !work.refused.is_empty())
    }

    #[test]
    fn after_lost_notices_and_errors_the_folder_is_subscribed_to_anew() {
        let overflow = notify::Event::new(EventKind::Other).set_flag(Flag::Rescan);
        assert_eq!(queued(Ok(overflow)), (true, false, false));
        assert_eq!(queued(Err(Error::generic("odd"))), (true, false, false));
    }

    #[test]
    fn a_removed_root_is_lost_and_a_removed_file_is_not() {
        let gone =
            |path: &str| notify::Event::new(EventKind::Remove(notify::event::RemoveKind::Any)).add_path(path.into());
        assert_eq!(queued(Ok(gone("/srv"))), (false, true, false));
        assert_eq!(queued(Ok(gone("/srv/a.jpg"))), (false, false, false));
    }

    #[test]
    fn the_kernels_limit_is_a_refusal() {
        assert_eq!(queued(Err(Error::new(ErrorKind::MaxFilesWatch))), (false, false, true));
    }
}
