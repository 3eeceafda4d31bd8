//! The files below a folder, folder by folder, each in the order of names.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Root;
use super::candidate::{self, Target};
use crate::engine::FileStamp;

/// The most unreadable folders that are named.
const UNREADABLE_MAX: usize = 100;

/// What a listing passed over.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Files with another kind of name.
    pub(super) ignored: u64,
    /// Folders that could not be read: path and reason; no more than a hundred.
    pub(super) unreadable: Vec<(PathBuf, String)>,
}

/// Shows every considered file in `start` and, for a recursive root, below it, until `see` returns false.
pub(super) fn list(root: &Root, start: &Path, tally: &mut Tally, see: &mut dyn FnMut(&Path, FileStamp) -> bool) {
    let start_is_root = start == root.path;
    let identity = match candidate::target(&root.path, start) {
        Some(Target::Folder(identity)) => identity,
        // A root may itself be a link to anywhere.
        _ if start_is_root => (0, 0),
        _ => return,
    };
    // With each folder go the identities of those above it, so that a link to one of them ends there.
    let mut folders = vec![(start.to_owned(), vec![identity])];
    while let Some((folder, above)) = folders.pop() {
        let names = match names(&folder) {
            Ok(names) => names,
            // Gone since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != root.path => continue,
            Err(error) => {
                if tally.unreadable.len() < UNREADABLE_MAX {
                    tally.unreadable.push((folder, error.to_string()));
                }
                continue;
            }
        };
        let mut inner = Vec::new();
        for name in names {
            let path = folder.join(name);
            match candidate::target(&root.path, &path) {
                Some(Target::File(stamp)) if candidate::is_image_name(&path) => {
                    if !see(&path, stamp) {
                        return;
                    }
                }
                Some(Target::File(_)) => tally.ignored += 1,
                Some(Target::Folder(identity)) if root.recursive && !above.contains(&identity) => {
                    let above = above.iter().copied().chain([identity]).collect();
                    inner.push((path, above));
                }
                Some(Target::Folder(_)) | None => {}
            }
        }
        folders.extend(inner.into_iter().rev());
    }
}

/// The names in `folder` that are not hidden, sorted.
fn names(folder: &Path) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if !candidate::is_hidden(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}
