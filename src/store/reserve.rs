//! Room for a start on a full disk.
//!
//! To read the database at all, `SQLite` needs a few tens of KiB for the index of its log. A file in the state folder
//! keeps them: where a start finds the disk full, the file is removed and the start is tried once more. The daemon then
//! predicts, and stores again when there is room (decision 19). It comes back at a start with room.

use std::fs;
use std::path::Path;

use super::error::StoreError;
use super::files;
use crate::words::Digest;

/// Its name in the state folder.
const FILE: &str = "reserve";
/// Blocks of 32 bytes in it: 256 KiB.
const BLOCKS: u64 = 8_192;

/// Opens the store in `folder`, with the reserve where the disk is full otherwise.
///
/// # Errors
/// Those of `open`.
pub(super) fn with_room<T>(folder: &Path, open: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let path = folder.join(FILE);
    match open() {
        Err(StoreError::Full { .. }) if fs::remove_file(&path).is_ok() => open(),
        Ok(opened) => {
            if !path.exists() {
                // Without it the store is as good; the next start tries again.
                let _ = files::write(&path, &contents());
            }
            Ok(opened)
        }
        failed => failed,
    }
}

/// Bytes that a file system which compresses cannot make smaller.
fn contents() -> Vec<u8> {
    (0..BLOCKS).flat_map(|n| Digest::of(&n.to_le_bytes()).0).collect()
}
