//! Whether a watched folder is there and can be used, and whether it is the one that it was.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

/// Device and inode number of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place(u64, u64);

/// The folder that `path` leads to, and its path without links.
///
/// # Errors
/// What keeps it from being listed.
pub(super) fn of(path: &Path) -> io::Result<(Place, PathBuf)> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    // Opening it would do too, but would be told of to everybody who hears of changes in it, this program included.
    access(path, Access::READ_OK | Access::EXEC_OK)?;
    Ok((Place(metadata.dev(), metadata.ino()), fs::canonicalize(path)?))
}
