//! The errors of the store, by what the caller will do about them.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, ffi};

/// Why an operation of the store failed.
///
/// At opening, each means that the state folder cannot be used (exit code 69). While running, some are temporary
/// ([`StoreError::passes`]); the others need a person.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another daemon works on this folder.
    #[error(
        "cannot work on {}: {holder} already does; stop it, or give this one another store.path",
        folder.display()
    )]
    Locked {
        /// The state folder.
        folder: PathBuf,
        /// The other daemon, as far as it is known.
        holder: String,
    },
    /// Another process has been writing for longer than the store waits.
    #[error("cannot {action} {}: another process has been writing for 10 s; try again when it is done", path.display())]
    Busy {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("cannot {action} {}: the disk is full; free some space, storing then continues automatically", path.display())]
    Full {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The folder or file may not be written.
    #[error(
        "cannot {action} {}: it is not writable; check its owner, its mode and how its disk is mounted",
        path.display()
    )]
    ReadOnly {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file is damaged.
    #[error(
        "cannot {action} {}: the database is damaged and was not changed: restore a backup, or move it away and start \
         with a new one ('sqlite3 FILE .recover' may save parts)",
        path.display()
    )]
    Corrupt {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// `SQLite`'s error, or which value is invalid.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The log beside the database is damaged: what was committed last is in it.
    #[error(
        "cannot open {}: {found}, and what was stored last is in it; nothing was changed: restore a backup of it together \
         with edgetuned.db, or move it away to go on with what edgetuned.db alone has",
        path.display()
    )]
    DamagedLog {
        /// The log.
        path: PathBuf,
        /// What is wrong with it.
        found: &'static str,
    },
    /// A file of this name is there, but it is not this program's.
    #[error(
        "cannot open {}: it is {found}, not a database of edgetuned; move it away or set another store.path",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        found: &'static str,
    },
    /// A later version of this program wrote it.
    #[error(
        "cannot open {}: a newer edgetuned wrote it (schema {found}, this one knows up to {known}); update edgetuned, or \
         set another store.path",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of the file's schema.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// There is no store to read.
    #[error("cannot open {}: there is no store yet; 'edgetuned run' and 'edgetuned train' create one", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A write that contradicts what is stored: a defect of this program.
    #[error("cannot {action} {}: {reason}; nothing was changed, please report this defect", path.display())]
    Refused {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What contradicts what.
        reason: String,
    },
    /// The system failed in some other way.
    #[error("cannot {action} {}: the system refuses; check its log for disk errors ('dmesg')", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether the same operation may succeed later without a repair of the store.
    #[must_use]
    pub fn passes(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::Busy { .. } | Self::ReadOnly { .. } | Self::Io { .. })
    }
}

/// An error inside a transaction, before the file is known.
#[derive(Debug)]
pub(super) enum Fault {
    /// From `SQLite`, or a value in a row that makes no sense.
    Sql(rusqlite::Error),
    /// A write contradicts what is stored.
    Refused(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    /// Adds what was attempted, on which file, and by which connection if there was one.
    pub(super) fn at(self, action: &'static str, path: &Path, connection: Option<&Connection>) -> StoreError {
        let path = path.to_owned();
        let error = match self {
            Self::Refused(reason) => return StoreError::Refused { action, path, reason },
            Self::Sql(error) => error,
        };
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full { action, path },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { action, path },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                StoreError::ReadOnly { action, path, source: error.into() }
            }
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                let system = io::Error::from_raw_os_error(connection.map_or(0, system_error));
                match io_error(action, &path, system) {
                    // SQLite's message is more precise than the system's.
                    StoreError::Io { .. } | StoreError::Foreign { .. } => {
                        StoreError::Io { action, path, source: error.into() }
                    }
                    StoreError::ReadOnly { .. } => StoreError::ReadOnly { action, path, source: error.into() },
                    known => known,
                }
            }
            Some(ErrorCode::NotADatabase) => StoreError::Foreign { path, found: "another kind of file" },
            Some(ErrorCode::ConstraintViolation) => StoreError::Refused { action, path, reason: error.to_string() },
            // Without a code it is not from SQLite: a value in a row is not what this program writes.
            Some(ErrorCode::DatabaseCorrupt) | None => StoreError::Corrupt { action, path, source: error.into() },
            Some(_) => StoreError::Io { action, path, source: error.into() },
        }
    }
}

/// The system's number of the last call that failed for this connection. `SQLite`'s own codes distinguish a full disk
/// from others only where it writes to the database or its log.
#[allow(unsafe_code, reason = "rusqlite does not ask SQLite for it")]
fn system_error(connection: &Connection) -> i32 {
    // SAFETY: the handle lives as long as the connection, which is borrowed here.
    unsafe { ffi::sqlite3_system_errno(connection.handle()) }
}

/// An error of the file system with what was attempted and on which path.
pub(super) fn io_error(action: &'static str, path: &Path, error: io::Error) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { action, path },
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { action, path, source: error.into() }
        }
        // The state folder, or one above it, is something else.
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            StoreError::Foreign { path, found: "a file, or below one, where a folder is needed" }
        }
        _ => StoreError::Io { action, path, source: error.into() },
    }
}
