//! The contents of the watched folders, and what arrives there.
//!
//! Listings are the truth, the kernel's notifications (inotify) are hints that make it quick: every folder is listed
//! at the start, when a notification was lost, on request, and every few minutes. Folders on network file systems,
//! where the kernel does not report what other machines write, are listed every few seconds instead. What was recorded
//! and is no longer there is reported, too.
//!
//! Regular files whose names end as those of JPEG, PNG, WebP and BMP files do ([`name_kind`]) are reported; other kinds of
//! pictures are counted by their endings. Excluded names, links that lead out of the
//! watched folder, FIFOs, sockets and devices are passed over and counted. A folder below that may not be entered costs
//! itself alone; network file systems mounted below a local folder are listed on their own. Nothing here opens
//! a file, and nothing is changed. Memory is bounded: a few thousand names of a folder are held at once.
//!
//! Every few seconds each folder itself is checked: one that is removed, cannot be read, or loses its file system is
//! reported, and what takes its place is watched and listed without a restart.

mod inotify;
mod lister;
mod listing;
mod names;
mod watched_folder;

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf, absolute};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::engine::{Event, FileStamp, Sighting, WatchEvent};
pub use crate::words::Poll;
use crate::words::{SampleId, wildcard};
use lister::{Lister, WorkQueue};
pub use listing::stamp_of;
pub use names::{NameKind, name_kind};

/// One watched folder.
#[derive(Debug, Clone)]
pub struct WatchedFolder {
    /// Where it is; need not exist yet.
    pub path: PathBuf,
    /// Whether its subfolders count.
    pub recursive: bool,
    /// Whether it is listed every few seconds.
    pub poll: Poll,
    /// Patterns of names that are passed over, with all that lies below them.
    pub exclude: Vec<String>,
}

/// What to watch and how often to look.
#[derive(Debug, Clone)]
pub struct Settings {
    /// In the order of the configuration; sightings carry the index.
    pub folders: Vec<WatchedFolder>,
    /// Between two listings of everything.
    pub rescan: Duration,
    /// Between two listings of a polled folder, and two looks whether any is still there; a folder that takes long to
    /// list is listed less often, at most a tenth of the time.
    pub poll: Duration,
}

impl Settings {
    /// These folders, everything listed every five minutes, polled ones every two seconds.
    pub fn new(folders: Vec<WatchedFolder>) -> Self {
        Self { folders, rescan: Duration::from_mins(5), poll: Duration::from_secs(2) }
    }
}

/// What was recorded of files.
pub trait Records: Send {
    /// Whether a file need not be read again while it has this stamp.
    fn is_known(&self, path: &Path, stamp: FileStamp) -> bool;

    /// Recorded files at `place` or below it, in the order of their paths after `after`, at most `limit`.
    fn below(&self, place: &Path, after: &Path, limit: usize) -> Vec<PathBuf>;

    /// Recorded files of an image.
    fn of(&self, image: &SampleId) -> Vec<PathBuf>;
}

/// The receiver of events, shared by the threads.
type Emit = Arc<dyn Fn(Event) + Send + Sync>;

/// One watched folder with its number.
#[derive(Debug, Clone)]
struct Root {
    index: usize,
    path: PathBuf,
    recursive: bool,
    poll: Poll,
    exclude: Vec<String>,
}

impl Root {
    /// Whether what has this name is passed over.
    fn excludes(&self, name: &OsStr) -> bool {
        self.exclude.iter().any(|pattern| wildcard::matches(pattern.as_bytes(), name.as_encoded_bytes()))
    }

    /// Whether no part of `path` below this folder is passed over.
    fn shows(&self, path: &Path) -> bool {
        path.strip_prefix(&self.path).is_ok_and(|below| !below.iter().any(|name| self.excludes(name)))
    }

    /// How often it is listed where it is polled.
    fn poll_every(&self, usual: Duration) -> Duration {
        if let Poll::Every(every) = self.poll { every } else { usual }
    }
}

/// The rest of the program's end of the watcher. None of its calls waits; dropping it stops the threads soon.
#[derive(Debug)]
pub struct Handle {
    queue: Arc<WorkQueue>,
    looks: Sender<(usize, PathBuf)>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts watching, and lists everything once.
///
/// `events` receives [`WatchEvent::FileSeen`], [`WatchEvent::ScanFinished`] after each listing of everything, and [`WatchEvent::FolderHealth`]
/// when a folder is lost, is back, or the kernel gives no notifications for it (once until that changes). It may wait;
/// the kernel's notices queue up meanwhile, and when they overflow the folder is heard and listed anew. A listing
/// passes over files that are known to `records`, and reports [`WatchEvent::FilesGone`] of recorded ones that it misses.
///
/// # Errors
/// When the system gives no thread, or a relative path cannot be made absolute.
pub fn spawn(
    settings: &Settings,
    records: impl Records + 'static,
    events: impl Fn(Event) + Send + Sync + 'static,
) -> io::Result<Handle> {
    let roots = settings.folders.iter().enumerate().map(|(index, folder)| {
        let WatchedFolder { path, recursive, poll, exclude } = folder;
        Ok(Root { index, path: absolute(path)?, recursive: *recursive, poll: *poll, exclude: exclude.clone() })
    });
    let roots: Vec<Root> = roots.collect::<io::Result<_>>()?;
    let emit: Emit = Arc::new(events);
    let queue = Arc::new(WorkQueue::default());
    let (looks, looked_for) = channel::<(usize, PathBuf)>();
    let looker = thread::Builder::new().name("watch-look".into()).spawn({
        let (emit, roots) = (Arc::clone(&emit), roots.clone());
        move || {
            for (root, path) in looked_for {
                let stamp = roots.get(root).and_then(|root| listing::stamp(&root.path, &path));
                emit(Event::Watch(WatchEvent::FileSeen(Sighting { root, path, stamp, closed: false, open: false })));
            }
        }
    })?;
    let lister = Lister::new(settings, roots, Arc::clone(&queue), emit, Box::new(records));
    let lister = thread::Builder::new().name("watch-list".into()).spawn(move || lister.run())?;
    Ok(Handle { queue, looks, threads: vec![looker, lister] })
}

impl Handle {
    /// Asks for a listing of everything; several that wait are one.
    pub fn scan(&self) {
        self.queue.everything();
    }

    /// Whether listings pass over all but young files: there is no room for what they find.
    pub fn hold(&self, held: bool) {
        self.queue.pause(held);
    }

    /// Asks for a look at the recorded files of these images, after the listing that is under way; answered by
    /// [`WatchEvent::FilesGone`], where some are, and [`WatchEvent::FilesChecked`].
    pub fn check(&self, images: Vec<SampleId>) {
        self.queue.check(images);
    }

    /// Asks for another look at one file; answered by a sighting, without a stamp when the file is gone or is no
    /// regular file any more.
    pub fn look(&self, root: usize, path: PathBuf) {
        // The thread is gone only after a panic, which `is_finished` tells.
        let _ = self.looks.send((root, path));
    }

    /// Whether one of the threads has ended, which it should not before [`Handle::stop`].
    pub fn is_finished(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops and waits for the threads to end.
    ///
    /// # Errors
    /// The payload of a thread's panic.
    pub fn stop(self) -> thread::Result<()> {
        self.stopping().into_iter().try_for_each(JoinHandle::join)
    }

    /// Stops; the threads are about to end, unless a file system does not answer one.
    pub fn stopping(mut self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut self.threads)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.stop();
    }
}
