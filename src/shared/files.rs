//! Files that daemon and commands both read: images, whole and unchanged, and the public keys that may sign updates.

use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::engine::FileStamp;
use crate::image::Limits;
use crate::update::{BadKey, TrustedKey, TrustedKeys};
use crate::watch::stamp_of;
use crate::words::SampleId;

/// A file's bytes with their identity.
#[derive(Debug)]
pub struct Picture {
    /// SHA-256 of the bytes.
    pub id: SampleId,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Size and time, the same before and after reading.
    pub stamp: FileStamp,
}

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// It is gone.
    #[error("{} does not exist", .0.display())]
    Gone(PathBuf),
    /// It changed while it was read.
    #[error("{} changed while it was read; try again when its writer is done", .0.display())]
    Changed(PathBuf),
    /// A folder, pipe, socket or device.
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// More bytes than the limit.
    #[error("{} has {bytes} bytes, at most {limit} are read; make the picture smaller", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The system refuses access.
    #[error("cannot read {}; check its owner, its mode and the disk", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

/// Reads the regular file at `path`, of at most `limits.bytes`, and checks that it did not change meanwhile.
///
/// # Errors
/// [`PictureError`]; a pipe or device in place of a file is not opened.
pub fn read_picture(path: &Path, limits: &Limits) -> Result<Picture, PictureError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => PictureError::Gone(path.to_owned()),
        _ => PictureError::Unreadable { path: path.to_owned(), source },
    };
    let checked = |metadata: Metadata| match metadata.len() {
        _ if !metadata.is_file() => Err(PictureError::NotAFile(path.to_owned())),
        bytes if bytes > limits.bytes as u64 => {
            Err(PictureError::TooLarge { path: path.to_owned(), bytes, limit: limits.bytes as u64 })
        }
        _ => Ok(stamp_of(&metadata)),
    };
    checked(fs::metadata(path).map_err(failed)?)?;
    // Without O_NONBLOCK, a pipe that just replaced the file would block the worker.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let before = checked(file.metadata().map_err(failed)?)?;
    let mut bytes = Vec::with_capacity(usize::try_from(before.size).unwrap_or(0));
    (&file).take(limits.bytes as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let after = checked(file.metadata().map_err(failed)?)?;
    if before != after || bytes.len() as u64 != after.size {
        return Err(PictureError::Changed(path.to_owned()));
    }
    Ok(Picture { id: SampleId::of(&bytes), bytes, stamp: after })
}

/// A sample's bytes as the first of its `files` that still has them, with that file; `None` where none has.
#[must_use]
pub fn living<'a>(id: &SampleId, files: &'a [PathBuf], limits: &Limits) -> Option<(&'a Path, Vec<u8>)> {
    files.iter().find_map(|path| match read_picture(path, limits) {
        Ok(picture) if picture.id == *id => Some((path.as_path(), picture.bytes)),
        Ok(_) => None,
        Err(error) => {
            tracing::debug!(%error, "a file of a sample");
            None
        }
    })
}

/// Why a key's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read {}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// It contains no key.
    #[error("{} holds no key that can be trusted", .path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: BadKey,
    },
}

/// Reads one key's file.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_key(path: &Path) -> Result<TrustedKey, KeyFileError> {
    let unreadable = |source| KeyFileError::Unreadable { path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(unreadable)?;
    TrustedKey::from_pem(&text).map_err(|source| KeyFileError::Bad { path: path.to_owned(), source })
}

/// Reads all keys; a key that cannot be used is an error, so that no subset is trusted silently.
///
/// # Errors
/// The first [`KeyFileError`].
pub(crate) fn read_keys(paths: &[PathBuf]) -> Result<TrustedKeys, KeyFileError> {
    paths.iter().map(|path| read_key(path)).collect::<Result<_, _>>().map(TrustedKeys)
}
