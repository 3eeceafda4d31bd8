//! Exported models of the daemon: `<store.path>/exports/<head id>.onnx`, the latest few.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::backbone::{CannotExport, Manifest, OpenError, Proof, Unproved, with_head};
use crate::head::{BadHeadFile, HeadRecord};
use crate::store::files::{self, NewFile};
use crate::store::{Reader, StoreError};
use crate::wire::Exported;
use crate::words::{Digest, HeadRef, TaskId};

/// Exported models that are kept.
const EXPORTS: usize = 3;

/// What a model is made of.
pub(crate) struct Source<'a> {
    pub reader: &'a Reader,
    /// Whose head it is.
    pub task: &'a TaskId,
    pub manifest: &'a Manifest,
    pub threads: usize,
}

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{head} is no longer in the store; promote another one")]
    Gone { head: HeadRef },
    #[error("{head} cannot be read; train again or roll back")]
    Head { head: HeadRef, source: BadHeadFile },
    #[error(transparent)]
    Backbone(#[from] OpenError),
    #[error(transparent)]
    Model(#[from] CannotExport),
    #[error(transparent)]
    Unproved(#[from] Unproved),
    #[error("cannot write {}; check the folder, its owner and the free space on the disk", path.display())]
    Write { path: PathBuf, source: std::io::Error },
}

/// Writes the backbone and `head` as one ONNX file into `folder`, whole or not at all and only when it says what the
/// program says, and removes the oldest beyond [`EXPORTS`].
pub(crate) fn export(source: &Source<'_>, head: &HeadRef, folder: &Path) -> Result<Exported, ExportError> {
    let Source { reader, task, manifest, threads } = *source;
    let stored = reader.head(task, head.version)?.ok_or_else(|| ExportError::Gone { head: head.clone() })?;
    let record =
        HeadRecord::from_bytes(&stored.bytes).map_err(|source| ExportError::Head { head: head.clone(), source })?;
    let manifest = &manifest.clone().with_tail(record.tail().cloned());
    let proof = Proof::prepare(manifest, threads, &record)?;
    let (bytes, _) = crate::backbone::read(manifest)?;
    let model = with_head(&bytes, manifest, proof.cut(), &record)?;
    drop(bytes);
    let sha256 = Digest::of(&model);

    let path = folder.join(format!("{}.onnx", head.id));
    let failed = |source| ExportError::Write { path: path.clone(), source };
    files::create_folder(folder).map_err(failed)?;
    let mut file = NewFile::begin(&path).map_err(failed)?;
    file.write_all(&model).map_err(failed)?;
    proof.compare(file.beside(), sha256)?;
    file.put().map_err(failed)?;
    remove_old(folder, &path);
    Ok(Exported { path: path.display().to_string(), bytes: model.len() as u64, sha256, head: head.clone() })
}

/// Removes the oldest models beyond [`EXPORTS`], never `latest`; one that cannot be removed stays until the next time.
fn remove_old(folder: &Path, latest: &Path) {
    let is_model = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "onnx") && path != latest;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut others: Vec<(SystemTime, PathBuf)> = entries
        .map(|entry| entry.path())
        .filter(is_model)
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .collect();
    others.sort();
    for (_, path) in others.iter().rev().skip(EXPORTS - 1) {
        if let Err(error) = fs::remove_file(path) {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old export");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_latest_exports_stay_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        for (age, name) in [(1, "a.onnx"), (2, "b.onnx"), (3, "c.onnx"), (9, "notes.txt"), (8, "latest.onnx")] {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(100 - age)).unwrap();
        }
        remove_old(folder.path(), &folder.path().join("latest.onnx"));
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.onnx", "b.onnx", "latest.onnx", "notes.txt"]);
    }
}
