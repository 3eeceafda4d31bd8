//! One daemon per state folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::error::{StoreError, io_error};

/// Keeps other daemons out of a folder; the kernel releases it however the process ends.
#[derive(Debug)]
pub(super) struct DaemonLock {
    file: File,
}

impl DaemonLock {
    /// Takes `<folder>/daemon.lock` and writes the number of this process into it, for people.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("daemon.lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| io_error("open", &path, error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { folder: folder.to_owned(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(io_error("lock", &path, error)),
        }
        let note = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        note.map_err(|error| io_error("write", &path, error))?;
        Ok(Self { file })
    }
}

impl Drop for DaemonLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread is just starting holds the file open until its exec.
        let _ = self.file.unlock();
    }
}

/// Who holds the lock, for an error message.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("an edgetuned daemon (process {pid})"),
        _ => "another edgetuned daemon".to_owned(),
    }
}
