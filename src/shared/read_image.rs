//! Reading a file that should be an image, whole and unchanged.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::engine::FileStamp;
use crate::image::Limits;
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
    checked(std::fs::metadata(path).map_err(failed)?)?;
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
