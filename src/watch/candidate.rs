//! Which paths are considered, and their metadata.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::engine::FileStamp;

/// Whether the name ends as an image's does. The content decides later.
#[must_use]
pub fn is_image_name(path: &Path) -> bool {
    path.extension().is_some_and(|extension| {
        ["jpg", "jpeg", "png", "webp", "bmp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

/// Whether the name begins with a dot.
pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().first() == Some(&b'.')
}

/// Whether no part of `path` below `root` is hidden.
pub(super) fn is_in_sight(root: &Path, path: &Path) -> bool {
    path.strip_prefix(root).is_ok_and(|below| !below.iter().any(is_hidden))
}

/// What a path leads to.
pub(super) enum Target {
    /// A regular file.
    File(FileStamp),
    /// A folder: device and inode number.
    Folder((u64, u64)),
}

/// What `path` leads to; `None` when it is gone, is something else, or is a link that leads out of `root`.
pub(super) fn target(root: &Path, path: &Path) -> Option<Target> {
    let mut metadata = fs::symlink_metadata(path).ok()?;
    if metadata.is_symlink() {
        let (inside, whole) = (fs::canonicalize(path).ok()?, fs::canonicalize(root).ok()?);
        if !inside.starts_with(whole) {
            return None;
        }
        metadata = fs::metadata(path).ok()?;
    }
    if metadata.is_dir() {
        return Some(Target::Folder((metadata.dev(), metadata.ino())));
    }
    metadata.is_file().then(|| Target::File(stamp_of(&metadata)))
}

/// Size and time of a file, by which a change of it is noticed.
#[must_use]
pub fn stamp_of(metadata: &fs::Metadata) -> FileStamp {
    let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
    FileStamp { size: metadata.len(), mtime_ns }
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
        Target::Folder(_) => None,
    }
}
