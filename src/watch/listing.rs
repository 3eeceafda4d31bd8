//! The files below a folder, folder by folder, each in the order of names; and which paths are considered at all.
//!
//! Of one folder at most [`NAMES`] names are held at once, so that memory does not grow with its contents.

use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::vec;

use super::Root;
use super::names::{NameKind, name_kind};
use crate::engine::FileStamp;
use crate::wire::Ignored;

/// Names of one folder that are held at once; a folder with more is read once for each such block.
const NAMES: usize = 16_384;

/// The most unreadable folders that are named.
const UNREADABLE_MAX: usize = 100;

/// What a listing skipped.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// By reason.
    pub(super) ignored: Ignored,
    /// Folders that could not be read: path and reason; no more than a hundred.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

impl Tally {
    /// Counts a file that is none of the images that are read.
    fn pass_over(&mut self, kind: NameKind) {
        self.ignored.other_names += 1;
        if let NameKind::OtherPicture(ending) = kind {
            *self.ignored.other_pictures.entry(ending.to_owned()).or_default() += 1;
        }
    }
}

/// Shows every considered file in `start` and, for a recursive root, below it, until `see` returns false.
pub(super) fn list(root: &Root, start: &Path, tally: &mut Tally, see: &mut dyn FnMut(&Path, FileStamp) -> bool) {
    list_by(NAMES, root, start, tally, see);
}

/// The same with this many names at once.
fn list_by(
    names_max: usize,
    root: &Root,
    start: &Path,
    tally: &mut Tally,
    see: &mut dyn FnMut(&Path, FileStamp) -> bool,
) {
    let identity = match target(&root.path, start) {
        Some(Target::Folder(identity)) => identity,
        // A root may itself be a link to anywhere.
        _ if start == root.path => (0, 0),
        _ => return,
    };
    let mut levels = vec![Level::new(start.to_owned(), vec![identity])];
    while let Some(level) = levels.last_mut() {
        let path = match level.next(names_max, root, &mut tally.ignored) {
            Ok(Some(path)) => path,
            Ok(None) => {
                levels.pop();
                continue;
            }
            Err(error) => {
                let folder = levels.pop().expect("it was just checked").folder;
                // Below the root it has gone since it was listed.
                if error.kind() != io::ErrorKind::NotFound || folder == root.path {
                    tally.ignored.unreadable += 1;
                    if tally.unreadable.len() < UNREADABLE_MAX {
                        tally.unreadable.push((folder, error.to_string()));
                    }
                }
                continue;
            }
        };
        match (level.pass, target(&root.path, &path)) {
            (Pass::Files, Some(Target::File(stamp))) => match name_kind(&path) {
                NameKind::Image if see(&path, stamp) => {}
                NameKind::Image => return,
                other => tally.pass_over(other),
            },
            (Pass::Files, Some(Target::Outside)) => tally.ignored.links += 1,
            (Pass::Files, Some(Target::Special)) => tally.ignored.special += 1,
            // A link to a folder above it ends here.
            (Pass::Folders, Some(Target::Folder(identity))) if !level.above.contains(&identity) => {
                let above = level.above.iter().copied().chain([identity]).collect();
                levels.push(Level::new(path, above));
            }
            _ => {}
        }
    }
}

/// A folder that is being listed.
struct Level {
    folder: PathBuf,
    /// Identities of it and of those above it.
    above: Vec<(u64, u64)>,
    pass: Pass,
    names: vec::IntoIter<OsString>,
    /// The start of the next block of names; `None` when there are no more.
    after: Option<OsString>,
}

/// What is looked at in a folder now: its files come before what lies below it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Nothing,
    Files,
    Folders,
}

impl Level {
    fn new(folder: PathBuf, above: Vec<(u64, u64)>) -> Self {
        Self { folder, above, pass: Pass::Nothing, names: Vec::new().into_iter(), after: None }
    }

    /// The next path that may be what is looked at now.
    fn next(&mut self, names_max: usize, root: &Root, ignored: &mut Ignored) -> io::Result<Option<PathBuf>> {
        loop {
            if let Some(name) = self.names.next() {
                return Ok(Some(self.folder.join(name)));
            }
            if self.after.is_none() {
                self.pass = match self.pass {
                    Pass::Nothing => Pass::Files,
                    Pass::Files if root.recursive => Pass::Folders,
                    Pass::Files | Pass::Folders => return Ok(None),
                };
                if self.pass == Pass::Files {
                    // Names can be read where what they stand for cannot be looked at.
                    fs::metadata(self.folder.join("."))?;
                }
            }
            self.read(names_max, root, ignored)?;
        }
    }

    /// Reads the next names, in order, of what may be looked at now.
    fn read(&mut self, names_max: usize, root: &Root, ignored: &mut Ignored) -> io::Result<()> {
        let after = self.after.take();
        let mut least = BinaryHeap::new();
        let mut is_cut = false;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_due = after.as_ref().is_none_or(|after| name > *after);
            if !is_due || !self.pass.wants(entry.file_type().ok()) {
                continue;
            }
            if root.excludes(&name) {
                // Later blocks of names, and the other pass over a link, meet it again.
                let is_first = after.is_none() && (self.pass == Pass::Files || is_folder(&entry));
                ignored.excluded += u64::from(is_first);
                continue;
            }
            least.push(name);
            if least.len() > names_max {
                least.pop();
                is_cut = true;
            }
        }
        let names = least.into_sorted_vec();
        self.after = names.last().filter(|_| is_cut).cloned();
        self.names = names.into_iter();
        Ok(())
    }
}

impl Pass {
    /// Whether an entry can be what is looked at; a link can be either, and some file systems do not tell.
    fn wants(self, found: Option<FileType>) -> bool {
        match (self, found) {
            (Self::Files, Some(kind)) => !kind.is_dir(),
            (Self::Folders, Some(kind)) => !kind.is_file(),
            (_, None) => true,
            (Self::Nothing, _) => false,
        }
    }
}

fn is_folder(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

/// What a path leads to.
pub(super) enum Target {
    /// A regular file.
    File(FileStamp),
    /// A folder: device and inode number.
    Folder((u64, u64)),
    /// A link that leads out of the root, or nowhere.
    Outside,
    /// A pipe, a socket or a device.
    Special,
}

/// What `path` leads to; `None` when it is gone.
pub(super) fn target(root: &Path, path: &Path) -> Option<Target> {
    let mut metadata = fs::symlink_metadata(path).ok()?;
    if metadata.is_symlink() {
        let Ok(inside) = fs::canonicalize(path) else { return Some(Target::Outside) };
        if !inside.starts_with(fs::canonicalize(root).ok()?) {
            return Some(Target::Outside);
        }
        metadata = fs::metadata(path).ok()?;
    }
    if metadata.is_dir() {
        return Some(Target::Folder((metadata.dev(), metadata.ino())));
    }
    Some(if metadata.is_file() { Target::File(stamp_of(&metadata)) } else { Target::Special })
}

/// Size and times of a file, by which a change of it is noticed.
#[must_use]
pub fn stamp_of(metadata: &fs::Metadata) -> FileStamp {
    let ns = |seconds: i64, ns: i64| seconds.saturating_mul(1_000_000_000).saturating_add(ns);
    FileStamp {
        size: metadata.len(),
        mtime_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
        ctime_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// Whether there is certainly no file at `path`: what cannot be looked at may be there.
pub(super) fn is_gone(path: &Path) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

/// Whether a file changed less than `age` before `now`; one from the future is not young, since its clock is wrong.
pub(super) fn is_young(stamp: FileStamp, age: Duration, now: SystemTime) -> bool {
    let changed = u64::try_from(stamp.mtime_ns).map(|mtime_ns| UNIX_EPOCH + Duration::from_nanos(mtime_ns));
    changed.is_ok_and(|changed| now.duration_since(changed).is_ok_and(|since| since < age))
}

/// The stamp of the regular file at `path`.
pub(super) fn stamp(root: &Path, path: &Path) -> Option<FileStamp> {
    match target(root, path)? {
        Target::File(stamp) => Some(stamp),
        Target::Folder(_) | Target::Outside | Target::Special => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Poll;

    fn listed(folder: &Path, names_max: usize) -> (Vec<PathBuf>, Ignored) {
        let exclude = ["@eaDir", ".*"].map(str::to_owned).to_vec();
        let root = Root { index: 0, path: folder.to_owned(), recursive: true, poll: Poll::Auto, exclude };
        let (mut tally, mut paths) = (Tally::default(), Vec::new());
        list_by(names_max, &root, folder, &mut tally, &mut |path, _| {
            paths.push(path.strip_prefix(folder).unwrap().to_owned());
            true
        });
        (paths, tally.ignored)
    }

    #[test]
    fn a_folder_with_more_names_than_are_held_is_listed_in_the_same_order() {
        let folder = tempfile::tempdir().unwrap();
        for inner in ["a", "b/deep", "c"] {
            fs::create_dir_all(folder.path().join(inner)).unwrap();
            for number in 0..9 {
                fs::write(folder.path().join(inner).join(format!("{number}.jpg")), b"x").unwrap();
            }
        }
        for name in ["1.jpg", "0.txt", "2.jpg", "3.png", "4.TIF", "5.bmp", ".6.jpg", "8.tif", "9.heic"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        fs::create_dir(folder.path().join("@eaDir")).unwrap();
        fs::write(folder.path().join("@eaDir/1.jpg"), b"x").unwrap();
        for (link, target) in [("out.jpg", "/etc"), ("nowhere.jpg", "gone"), ("inside.jpg", "1.jpg")] {
            std::os::unix::fs::symlink(target, folder.path().join(link)).unwrap();
        }
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("7.jpg")).unwrap();
        let whole = listed(folder.path(), NAMES);
        let other_pictures = [("heic", 1), ("tif", 2)].map(|(ending, count)| (ending.to_owned(), count)).into();
        let ignored = Ignored { other_names: 4, other_pictures, links: 2, excluded: 2, special: 1, unreadable: 0 };
        assert_eq!((whole.0.len(), &whole.1), (32, &ignored));
        for names_max in [1, 2, 3, 6, 9] {
            assert_eq!(listed(folder.path(), names_max), whole, "with {names_max} names at once");
        }
    }
}
