//! Files that commands write: whole or not at all, and durable when a command says that they are written.

use std::io::Write;
use std::path::Path;

use super::failure::Failure;
use crate::store::files::NewFile;

/// Writes a file in place of the one that was there.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    write_checked(path, bytes, |_| Ok(()))
}

/// Writes a file beside its place, lets `check` look at it there, and puts it in its place if that finds nothing wrong.
pub fn write_checked<T>(
    path: &Path,
    bytes: &[u8],
    check: impl FnOnce(&Path) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let failed = |error| {
        Failure::failed(format!(
            "cannot write {}: {error}; check the folder, its owner and the room on the disk",
            path.display()
        ))
    };
    let mut file = NewFile::begin(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    let found = check(file.beside())?;
    file.put().map_err(failed)?;
    Ok(found)
}
