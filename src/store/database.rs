//! The file: one daemon holds its folder, a connection changes no foreign file and loses nothing acknowledged, and its
//! schema is brought up to date.
//!
//! `PRAGMA user_version` counts the [`MIGRATIONS`] that were applied to a file. A released migration is never edited; a
//! change is a new one at the end.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};

use super::columns::damaged;
use super::error::{Fault, StoreError, io_error};
use super::{redo, write_ahead_log};

/// Name of the file in the state folder.
const FILE: &str = "edgetuned.db";

/// Bytes after which the log is written into the database, and which it keeps on the disk.
const LOG_BYTES: u64 = 4 << 20;

/// Bytes after which the log is written into the database under this quota.
pub(super) fn log_max(quota: u64) -> u64 {
    (quota / 32).min(LOG_BYTES)
}

/// How long a connection waits for another process's transaction.
const BUSY: Duration = Duration::from_secs(10);

/// An open connection and its file.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) connection: Connection,
    file: PathBuf,
}

impl Database {
    /// Opens the file for writing, creates it if it is missing, and brings its schema up to date.
    pub(super) fn open(folder: &Path) -> Result<Self, StoreError> {
        let database = Self::connect(folder, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        if database.version()? < NEWEST {
            database.set("journal_mode", "wal")?;
            // Has no effect within a transaction.
            database.set("foreign_keys", false)?;
            database.write("migrate", migrate)?;
            database.set("foreign_keys", true)?;
        }
        // Also what makes the log and its index, which a full disk refuses.
        database.set("journal_mode", "wal")?;
        // In WAL mode NORMAL would lose the last commits in a power cut; what is acknowledged must not be among them.
        database.set("synchronous", "full")?;
        database.set("journal_size_limit", LOG_BYTES)?;
        Ok(database)
    }

    /// Keeps the log small beside `quota` bytes, and gives back what a former, larger quota left free.
    pub(super) fn keep_within(&self, quota: u64) -> Result<(), StoreError> {
        let log = log_max(quota);
        self.set("wal_autocheckpoint", log / self.number("page_size")?.max(1))?;
        self.set("journal_size_limit", log)?;
        if self.free_bytes()? > quota / 4 {
            let vacuumed = self.connection.execute_batch("VACUUM");
            match vacuumed.map_err(|error| self.fault("compact", error.into())) {
                // It takes as much room as the database once more; it can be done at another start.
                Err(StoreError::Full { .. } | StoreError::Busy { .. }) | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes the log into the database and removes it, so that one file is left; false where another connection still
    /// reads, whose end does the same.
    pub(super) fn close(self) -> Result<bool, StoreError> {
        let Self { connection, file } = self;
        connection.close().map_err(|(connection, error)| Fault::from(error).at("close", &file, Some(&connection)))?;
        Ok(!log_of(&file).exists())
    }

    /// Fails where no store is.
    pub(super) fn exists(folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(FILE);
        if path.exists() { Ok(()) } else { Err(StoreError::Missing { path }) }
    }

    /// Opens the file of an existing store for reading.
    ///
    /// What the redo log holds is brought in first, but for a reader beside the writer in the same process.
    pub(super) fn open_reader(folder: &Path, beside_writer: bool) -> Result<Self, StoreError> {
        Self::exists(folder)?;
        // Where a daemon runs its log is good, and changes while it is read.
        if refuse_damaged_log(folder).is_err()
            && let Ok(_lock) = DaemonLock::take(folder)
        {
            refuse_damaged_log(folder)?;
        }
        // Reading in parallel to a writer needs write access to the shared index of the log, so the flag is not
        // READ_ONLY.
        let database = Self::connect(folder, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if database.version()? < NEWEST {
            // Empty, or of an older version: opening it for writing once brings it up to date.
            drop(Self::open(folder)?);
        }
        if !beside_writer {
            match redo::recover(&database) {
                // What is in the database can be read all the same.
                Err(error) if error.passes() => tracing::warn!(%error, "the latest images are left out"),
                recovered => recovered?,
            }
        }
        database.set("query_only", true)?;
        Ok(database)
    }

    /// Brings what the redo log holds into the database, by a connection that otherwise only reads.
    pub(super) fn settle(&self, pending: &redo::Pending) -> Result<(), StoreError> {
        self.set("query_only", false)?;
        let settled = redo::settle(self, pending);
        self.set("query_only", true)?;
        settled
    }

    /// Reads as if the database had what the redo log holds, by a connection that otherwise only reads.
    pub(super) fn ahead<T>(
        &self,
        pending: &redo::Pending,
        read: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.set("query_only", false)?;
        // Or pages that are only tried out would be written into the log of the database for want of room.
        self.set("cache_spill", false)?;
        let found = redo::ahead(self, pending, read);
        self.set("cache_spill", true)?;
        self.set("query_only", true)?;
        found
    }

    /// Changes whenever another connection has written.
    pub(super) fn data_version(&self) -> Result<i64, StoreError> {
        Ok(self.number("data_version")? as i64)
    }

    /// Connects, and refuses a file of another program before anything could change it.
    fn connect(folder: &Path, flags: OpenFlags) -> Result<Self, StoreError> {
        let file = folder.join(FILE);
        refuse_other_kinds(&file)?;
        let connection = Connection::open_with_flags(&file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|error| Fault::from(error).at("open", &file, None))?;
        let database = Self { connection, file };
        database.connection.busy_timeout(BUSY).map_err(|error| database.fault("open", error.into()))?;
        database.connection.set_prepared_statement_cache_capacity(64);
        // In KiB when negative.
        database.set("cache_size", -2048)?;
        database.set("foreign_keys", true)?;
        match database.read("open", |connection| Ok(kind(connection)?))? {
            Kind::Foreign => Err(StoreError::Foreign { path: database.file, found: "a database of another program" }),
            Kind::Ours(found) if found > NEWEST => Err(StoreError::Newer { path: database.file, found, known: NEWEST }),
            Kind::Ours(_) => Ok(database),
        }
    }

    /// The state folder.
    pub(super) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("."))
    }

    /// Bytes of the database's file.
    pub(super) fn file_bytes(&self) -> u64 {
        fs::metadata(&self.file).map_or(0, |metadata| metadata.len())
    }

    /// Bytes of the log.
    pub(super) fn log_bytes(&self) -> u64 {
        fs::metadata(log_of(&self.file)).map_or(0, |metadata| metadata.len())
    }

    /// Writes the log into the database and empties it, as far as no reader needs it.
    pub(super) fn empty_log(&self) -> Result<(), StoreError> {
        let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        emptied.map_err(|error| self.fault("write to", error.into()))
    }

    /// Bytes of the database's pages that hold nothing.
    pub(super) fn free_bytes(&self) -> Result<u64, StoreError> {
        Ok(self.number("freelist_count")? * self.number("page_size")?)
    }

    /// Reads in one consistent view.
    pub(super) fn read<T>(
        &self,
        action: &'static str,
        read: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let view = || -> Result<T, Fault> {
            let transaction = self.connection.unchecked_transaction()?;
            let value = read(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        view().map_err(|fault| self.fault(action, fault))
    }

    /// Applies `write` in one transaction; nothing of it stays when it fails.
    pub(super) fn write<T>(
        &self,
        action: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let apply = || -> Result<T, Fault> {
            // Immediate: waits for the lock at the start, instead of failing half way.
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        apply().map_err(|fault| self.fault(action, fault))
    }

    /// As [`write`](Self::write), but everything is taken back at the end.
    pub(super) fn try_out<T>(
        &self,
        action: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let apply = || -> Result<T, Fault> {
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let value = change(&transaction)?;
            transaction.rollback()?;
            Ok(value)
        };
        apply().map_err(|fault| self.fault(action, fault))
    }

    fn fault(&self, action: &'static str, fault: Fault) -> StoreError {
        fault.at(action, &self.file, Some(&self.connection))
    }

    fn version(&self) -> Result<i64, StoreError> {
        Ok(self.number("user_version")? as i64)
    }

    fn number(&self, pragma: &'static str) -> Result<u64, StoreError> {
        let number = self.connection.pragma_query_value(None, pragma, |row| row.get(0));
        number.map_err(|error| self.fault("read", error.into()))
    }

    fn set(&self, pragma: &'static str, value: impl rusqlite::ToSql) -> Result<(), StoreError> {
        let set = self.connection.pragma_update(None, pragma, value);
        set.map_err(|error| self.fault("open", error.into()))
    }
}

/// The log of the database `file`.
fn log_of(file: &Path) -> PathBuf {
    file.with_extension("db-wal")
}

/// Refuses a log that `SQLite` would take for an empty one, and lose: only while no other process writes to it, which
/// whoever holds the folder's lock knows.
pub(super) fn refuse_damaged_log(folder: &Path) -> Result<(), StoreError> {
    let path = log_of(&folder.join(FILE));
    match write_ahead_log::damage(&path).map_err(|error| io_error("read", &path, error))? {
        None => Ok(()),
        Some(found) => Err(StoreError::DamagedLog { path, found }),
    }
}

/// Refuses a file that does not begin as an `SQLite` database does: `SQLite` itself overwrites short ones.
fn refuse_other_kinds(file: &Path) -> Result<(), StoreError> {
    let start = start_of(file)?;
    // A power cut while the file was made may leave anything in it; its journal then makes SQLite start over.
    let interrupted = || Ok::<_, StoreError>(start_of(&file.with_extension("db-journal"))?.starts_with(&JOURNAL));
    if start.is_empty() || start == b"SQLite format 3\0" || interrupted()? {
        return Ok(());
    }
    Err(StoreError::Foreign { path: file.to_owned(), found: "another kind of file" })
}

/// The first bytes of a rollback journal of `SQLite`, once its database may be written.
const JOURNAL: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// The first 16 bytes of a file, or all of a shorter one; none where it is missing.
fn start_of(file: &Path) -> Result<Vec<u8>, StoreError> {
    let opened = match File::open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("open", file, error)),
    };
    let mut start = Vec::new();
    opened.take(16).read_to_end(&mut start).map_err(|error| io_error("read", file, error))?;
    Ok(start)
}

/// Keeps other daemons out of a folder; the kernel releases it however the process ends.
#[derive(Debug)]
pub(super) struct DaemonLock {
    file: File,
}

impl DaemonLock {
    /// Takes `<folder>/daemon.lock` and writes the number of this process into it, for people.
    pub(super) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join("daemon.lock");
        let mut file = File::options()
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
        // In place, which a full disk allows; it is for people.
        let note = file.rewind().and_then(|()| file.write_all(format!("{:<10}\n", std::process::id()).as_bytes()));
        match note.map_err(|error| io_error("write", &path, error)) {
            Ok(()) | Err(StoreError::Full { .. }) => Ok(Self { file }),
            Err(error) => Err(error),
        }
    }
}

impl Drop for DaemonLock {
    fn drop(&mut self) {
        // Closing is not enough: a child that another thread is just starting holds the file open until its exec.
        let _ = self.file.unlock();
    }
}

/// The process that holds the lock, for an error message.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(32).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("an edgetuned daemon (process {pid})"),
        _ => "another edgetuned daemon".to_owned(),
    }
}

/// `edtu`: marks the file as this program's.
pub(super) const APPLICATION_ID: i64 = 0x6564_7475;

/// Number of the newest schema.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Migration i brings a file from version i to i + 1.
const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
];

/// The kind of a file, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Ours, or empty, with this schema version.
    Ours(i64),
    /// A database of another program.
    Foreign,
}

/// The kind of the opened file, which is not changed.
fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (application, version) = (number("application_id")?, number("user_version")?);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let is_blank = application == 0 && version == 0 && tables == 0;
    Ok(if application == APPLICATION_ID || is_blank { Kind::Ours(version) } else { Kind::Foreign })
}

/// Brings the schema up to date; the version is read inside the transaction, so two processes may both try.
///
/// Foreign keys have to be off, or tables that are made anew would take those that refer to them along; whether all of
/// them hold is checked at the end.
fn migrate(transaction: &Transaction<'_>) -> Result<(), Fault> {
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for migration in MIGRATIONS.iter().skip(version as usize) {
        transaction.execute_batch(migration)?;
    }
    if let Some(table) = astray(transaction)? {
        return Err(damaged(0, format!("a row of {table} refers to a row that is not there")).into());
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", NEWEST)?;
    Ok(())
}

/// A table with a row that refers to one that is not there.
fn astray(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
    transaction.query_row("PRAGMA foreign_key_check", [], |row| row.get(0)).optional()
}
