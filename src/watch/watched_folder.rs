//! One watched folder: whether it can be used, how changes in it are noticed, and what is reported of it.
//!
//! inotify reports neither a file system that is mounted over a watched folder nor, reliably, one that is unmounted, so
//! the table of mounts is read from time to time.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::fs::{Access, access};
use tracing::{info, warn};

use super::inotify::{Notifications, Refusal};
use super::lister::WorkQueue;
use super::{Emit, Poll, Root};
use crate::engine::{Event, FolderHealth, WatchEvent, WatchState};

/// How many times less often than a polled folder is listed, the mounts around one are looked at whose changes the kernel
/// reports.
const UNCHANGED: u32 = 5;

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
    /// Network file systems that are mounted below it, where the kernel reports its other changes.
    remote: Vec<PathBuf>,
    /// The state that was reported last.
    reported: Option<WatchState>,
    /// Whether there was ever anything in it: what is mounted there may come later.
    has_contents: bool,
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
            remote: Vec::new(),
            reported: None,
            has_contents: false,
        }
    }

    /// Whether a file that is missing in it is gone. A folder that has been empty since the start says nothing: its
    /// file system may be mounted later. Nor does one that is not there, or is another than the one that was listed.
    pub(super) fn shows_what_is_gone(&mut self) -> bool {
        self.has_contents =
            self.has_contents || fs::read_dir(&self.root.path).is_ok_and(|mut all| all.next().is_some());
        self.has_contents && self.unmounted.is_none() && identify(&self.root.path).is_ok_and(|(id, _)| id == self.id)
    }

    /// Checks the folder, and subscribes to it or has it polled where that is not so already.
    pub(super) fn check(&mut self, mounts: &Mounts, poll: Duration, queue: &Arc<WorkQueue>, emit: &Emit) -> Check {
        let poll = self.root.poll_every(poll);
        self.due = Instant::now() + poll;
        let found = match identify(&self.root.path) {
            Ok((id, canonical)) => {
                let mounts = mounts.around(&canonical);
                self.remote = self.remote_below(&mounts, &canonical);
                self.follow(id, mounts, queue, emit)
            }
            Err(error) => {
                self.mode = Mode::Missing(why(&error));
                Check::Unusable
            }
        };
        if found == Check::Unchanged && self.remote.is_empty() {
            self.due += poll * (UNCHANGED - 1);
        }
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

    /// Where network file systems are mounted below the folder with this canonical path, by its own path.
    fn remote_below(&self, mounts: &SurroundingMounts, canonical: &Path) -> Vec<PathBuf> {
        if !self.root.recursive || self.root.poll == Poll::Never {
            return Vec::new();
        }
        let below = mounts.below.iter().filter_map(|mount| mount.point.strip_prefix(canonical).ok());
        let points = below.map(|below| self.root.path.join(below));
        points.filter(|point| self.root.shows(point) && is_remote(point)).collect()
    }

    /// What has to be listed every few seconds although the kernel reports the folder's other changes.
    pub(super) fn remote(&self) -> &[PathBuf] {
        if matches!(self.mode, Mode::Notified(_)) { &self.remote } else { &[] }
    }

    fn chosen_mode(&self, queue: &Arc<WorkQueue>, emit: &Emit) -> Mode {
        let root = &self.root;
        if matches!(root.poll, Poll::Always | Poll::Every(_)) || (root.poll == Poll::Auto && is_remote(&root.path)) {
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
            WatchState::Well => {
                let polled = matches!(self.mode, Mode::Polled);
                info!(%folder, polled, polled_below = self.remote().len(), "watching");
            }
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
                     it (a new group counts after a restart), or correct 'watch' (it is checked every {seconds} s)"
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
                     raise fs.inotify.max_user_watches or fs.inotify.max_user_instances"
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

/// Device and inode number of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct FolderId(u64, u64);

/// The identity of the folder that `path` leads to, and its path without links.
///
/// # Errors
/// What keeps it from being listed.
pub(super) fn identify(path: &Path) -> io::Result<(FolderId, PathBuf)> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // Opening it would do too, but would be reported to everybody who watches it, this program included.
    access(path, Access::READ_OK | Access::EXEC_OK)?;
    Ok((FolderId(metadata.dev(), metadata.ino()), fs::canonicalize(path)?))
}

/// Magic numbers of file systems that other machines or programs change without a notification by the kernel; from
/// linux/magic.h and statfs(2).
const REMOTE: [u64; 10] = [
    0x6969,      // NFS
    0x517B,      // SMB
    0xFF53_4D42, // CIFS
    0xFE53_4D42, // SMB 2
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00C3_6400, // Ceph
    0x5346_414F, // AFS
    0x7375_7245, // Coda
    0x0BD0_0BD0, // Lustre
];

/// Whether `path` is on a network file system; false where that is unknown.
pub(super) fn is_remote(path: &Path) -> bool {
    // Some architectures have a signed 32-bit field here, which would extend the sign.
    rustix::fs::statfs(path).is_ok_and(|statfs| REMOTE.contains(&(statfs.f_type as u64 & 0xFFFF_FFFF)))
}

/// The mount table, as this process sees it.
#[derive(Debug, Default)]
pub(super) struct Mounts(Vec<Mount>);

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    /// The kernel's number for it.
    id: u64,
    point: PathBuf,
}

/// The mounts that a folder's content depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct SurroundingMounts {
    /// What the folder lies on.
    on: Option<Mount>,
    /// What is mounted below it.
    below: Vec<Mount>,
}

impl Mounts {
    /// The table now; empty where the kernel does not show it.
    pub(super) fn now() -> Self {
        Self::parse(&fs::read("/proc/self/mountinfo").unwrap_or_default())
    }

    /// The format is that of `proc_pid_mountinfo(5)`: number and mount point are the first and the fifth field.
    fn parse(table: &[u8]) -> Self {
        let line = |line: &[u8]| {
            let mut fields = line.split(|byte| *byte == b' ');
            let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
            Some(Mount { id, point: OsString::from_vec(unescaped(fields.nth(3)?)).into() })
        };
        Self(table.split(|byte| *byte == b'\n').filter_map(line).collect())
    }

    /// The mounts at, above and below the folder with this canonical path.
    pub(super) fn around(&self, folder: &Path) -> SurroundingMounts {
        let above = self.0.iter().filter(|mount| folder.starts_with(&mount.point));
        // Of several at one place the last one is seen.
        let on = above.max_by_key(|mount| mount.point.components().count()).cloned();
        let below = self.0.iter().filter(|mount| mount.point.starts_with(folder) && mount.point != folder);
        SurroundingMounts { on, below: below.cloned().collect() }
    }
}

impl SurroundingMounts {
    /// The mount point that is gone: where the folder's file system was mounted, if it lies on one further up now.
    pub(super) fn unmounted_since(&self, before: &Self) -> Option<PathBuf> {
        let depth = |around: &Self| around.on.as_ref().map(|mount| mount.point.components().count());
        let former = before.on.as_ref()?;
        (depth(self) < depth(before)).then(|| former.point.clone())
    }
}

/// Blanks and the like are written as three octal digits after a backslash.
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[3..] } else { tail };
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                         40 22 8:17 / /mnt/a\\040disk rw - vfat /dev/sdb1 rw\n\
                         41 40 0:40 / /mnt/a\\040disk/in/net rw shared:1 - nfs host:/x rw\n";

    fn around(table: &str, folder: &str) -> SurroundingMounts {
        Mounts::parse(table.as_bytes()).around(Path::new(folder))
    }

    #[test]
    fn what_a_folder_lies_on_and_what_lies_below_it_is_found() {
        let around = around(TABLE, "/mnt/a disk/in");
        assert_eq!(around.on, Some(Mount { id: 40, point: "/mnt/a disk".into() }));
        assert_eq!(around.below, [Mount { id: 41, point: "/mnt/a disk/in/net".into() }]);
    }

    #[test]
    fn an_unmounted_file_system_is_told_apart_from_a_mounted_one() {
        let (with, without) = (around(TABLE, "/mnt/a disk"), around(TABLE.lines().next().unwrap(), "/mnt/a disk"));
        assert_eq!(without.unmounted_since(&with), Some("/mnt/a disk".into()));
        assert_eq!(with.unmounted_since(&without), None);
        assert_eq!(with.unmounted_since(&with), None);
    }

    #[test]
    fn a_mount_over_another_at_the_same_place_is_a_change() {
        let over = format!("{TABLE}50 40 0:50 / /mnt/a\\040disk rw - tmpfs none rw\n");
        assert_ne!(around(&over, "/mnt/a disk/in"), around(TABLE, "/mnt/a disk/in"));
        assert_eq!(around(&over, "/srv"), around(TABLE, "/srv"));
    }

    #[test]
    fn the_table_of_this_machine_is_read() {
        assert!(Mounts::now().around(Path::new("/proc")).on.is_some_and(|mount| mount.point == Path::new("/proc")));
    }

    #[test]
    fn kernel_file_systems_and_missing_paths_are_not_remote() {
        assert!(!is_remote(Path::new("/proc")));
        assert!(!is_remote(Path::new("/no/such/path")));
    }
}
