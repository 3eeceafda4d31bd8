//! Files that commands write: whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use super::failure::Failure;

/// Writes a file beside its place first, then renames it.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_checked(path, bytes, |_| Ok(()))
}

/// Writes a file beside its place, lets `check` look at it there, and renames it if that finds nothing wrong.
pub fn write_checked<T>(
    path: &Path,
    bytes: &[u8],
    check: impl FnOnce(&Path) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let failed = |error| {
        Failure::failed(format!(
            "cannot write {}: {error}; check the folder, its owner and the room on the disk",
            path.display()
        ))
    };
    let written = fs::write(&beside, bytes).and_then(|()| fs::File::open(&beside)?.sync_all()).map_err(failed);
    let checked = written.and_then(|()| check(&beside));
    let renamed = checked.and_then(|found| fs::rename(&beside, path).map(|()| found).map_err(failed));
    if renamed.is_err() {
        // What is left of it is of no use to anybody.
        let _ = fs::remove_file(&beside);
    }
    renamed
}
