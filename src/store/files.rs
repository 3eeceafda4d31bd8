//! Files beside the database: whole or not at all, and durable when the call returns.
//!
//! Invariant: a name never leads to half a file, even after a power cut. So a file is written next to its place,
//! synced, renamed, and its folder is synced: without the first sync the name could lead to nothing, without the
//! second the name could be gone although it was reported. Nothing else in this program renames a file.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

use super::error::StoreError;
use crate::words::Digest;

/// The folder of exported models in the state folder.
pub const EXPORTS: &str = "exports";

/// A file that is being written: it is called `<name>.part` until [`NewFile::put`], and is removed when it is dropped
/// before.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    beside: PathBuf,
    file: File,
    put: bool,
}

impl NewFile {
    /// Begins to write the file `path`; a file of that name stays until [`NewFile::put`].
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        Ok(Self { path: path.to_owned(), file: File::create(&beside)?, beside, put: false })
    }

    /// The temporary path, where its bytes can be read until [`NewFile::put`].
    pub fn beside(&self) -> &Path {
        &self.beside
    }

    /// Renames it to its path; durable when this returns.
    ///
    /// # Errors
    /// Those of the file system. The former file is then still there, or replaced by the whole new one.
    pub fn put(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.beside, &self.path)?;
        self.put = true;
        sync_folder_of(&self.path)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.put {
            // A file that cannot be removed is replaced by the next one of this name.
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// Writes a whole file, replacing an existing one.
///
/// # Errors
/// As [`NewFile::put`].
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = NewFile::begin(path)?;
    file.write_all(bytes)?;
    file.put()
}

/// A folder that is being filled: it is called `<name>.part` until [`NewFolder::put`], and is removed when it is dropped
/// before.
#[derive(Debug)]
pub struct NewFolder {
    path: PathBuf,
    beside: PathBuf,
    put: bool,
}

impl NewFolder {
    /// Begins to fill the folder `path`, which is not there, or empty.
    ///
    /// # Errors
    /// Those of the file system; also where what another one left of it is still there.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut beside = path.as_os_str().to_owned();
        beside.push(".part");
        let beside = PathBuf::from(beside);
        match fs::create_dir(&beside) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(io::Error::other(format!("{} is there, remove what was left of another try", beside.display())))
            }
            made => made.map(|()| Self { path: path.to_owned(), beside, put: false }),
        }
    }

    fn place(&self, name: &Path) -> io::Result<PathBuf> {
        let path = self.beside.join(name);
        fs::create_dir_all(path.parent().unwrap_or(&self.beside))?;
        Ok(path)
    }

    /// Writes a file in it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn write(&self, name: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::write(self.place(name)?, bytes)
    }

    /// Makes a link in it.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn link(&self, name: &Path, to: &Path) -> io::Result<()> {
        symlink(to, self.place(name)?)
    }

    /// Renames it to its path; durable when this returns, with all that is in it.
    ///
    /// # Errors
    /// Those of the file system. It is then not there, or whole.
    pub fn put(mut self) -> io::Result<()> {
        // One call for any number of files.
        rustix::fs::syncfs(File::open(&self.beside)?)?;
        fs::rename(&self.beside, &self.path)?;
        self.put = true;
        sync_folder_of(&self.path)
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.put {
            // What stays of it is named when the next one finds it.
            let _ = fs::remove_dir_all(&self.beside);
        }
    }
}

/// Creates a folder and its missing parents, readable by owner and group; durable when this returns.
///
/// # Errors
/// Those of the file system.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above)?;
    }
    match fs::DirBuilder::new().mode(0o750).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made.and_then(|()| sync_folder_of(folder)),
    }
}

/// Makes the directory entry of `path` durable.
///
/// # Errors
/// Those of the file system.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Bytes of the files in `folder` and the folders in it, but for those in its folder `without`; what cannot be read
/// counts nothing.
pub fn bytes_below(folder: &Path, without: &str) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() && entry.file_name() == without => 0,
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path(), ""),
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    };
    entries.flatten().map(bytes).sum()
}

/// Name of the reserve in the state folder: room for a start on a full disk.
///
/// To read the database at all, `SQLite` needs a few tens of KiB for the index of its log. This file keeps them: where a
/// start finds the disk full, it is removed and the start is tried once more. The daemon then predicts, and stores again
/// when there is room (decision 19). It comes back at a start with room.
const RESERVE: &str = "reserve";
/// Blocks of 32 bytes in it: 256 KiB.
const RESERVE_BLOCKS: u64 = 8_192;

/// Opens the store in `folder`, with the reserve where the disk is full otherwise.
///
/// # Errors
/// Those of `open`.
pub(super) fn with_reserve<T>(folder: &Path, open: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let path = folder.join(RESERVE);
    match open() {
        Err(StoreError::Full { .. }) if fs::remove_file(&path).is_ok() => open(),
        Ok(opened) => {
            if !path.exists() {
                // Without it the store is as good; the next start tries again.
                let _ = write(&path, &reserve_contents());
            }
            Ok(opened)
        }
        failed => failed,
    }
}

/// Bytes that a file system which compresses cannot make smaller.
fn reserve_contents() -> Vec<u8> {
    (0..RESERVE_BLOCKS).flat_map(|n| Digest::of(&n.to_le_bytes()).0).collect()
}
