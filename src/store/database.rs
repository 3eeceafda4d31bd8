//! One connection to the file, opened so that no foreign file is changed and nothing acknowledged is lost.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, params};

use super::OpenOptions;
use super::error::{Fault, StoreError, io_error};
use super::migrate::{self, Kind};
use crate::words::EmbeddingSpace;

/// Name of the file in the state folder.
const FILE: &str = "edgetuned.db";

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
        let mut database = Self::connect(folder, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        if database.version()? < migrate::NEWEST {
            database.set("journal_mode", "wal")?;
            // Has no effect within a transaction.
            database.set("foreign_keys", false)?;
            database.write("migrate", migrate::migrate)?;
            database.set("foreign_keys", true)?;
        }
        database.set("journal_mode", "wal")?;
        // In WAL mode NORMAL would lose the last commits in a power cut; what is acknowledged must not be among them.
        database.set("synchronous", "full")?;
        database.set("journal_size_limit", 4 << 20)?;
        Ok(database)
    }

    /// Fails where no store is.
    pub(super) fn exists(folder: &Path) -> Result<(), StoreError> {
        let path = folder.join(FILE);
        if path.exists() { Ok(()) } else { Err(StoreError::Missing { path }) }
    }

    /// Opens the file of an existing store for reading.
    pub(super) fn open_reader(folder: &Path) -> Result<Self, StoreError> {
        Self::exists(folder)?;
        // Reading in parallel to a writer needs write access to the shared index of the log, so the flag is not
        // READ_ONLY.
        let database = Self::connect(folder, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if database.version()? < migrate::NEWEST {
            // Empty, or of an older version: opening it for writing once brings it up to date.
            drop(Self::open(folder)?);
        }
        database.set("query_only", true)?;
        Ok(database)
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
        match database.read("open", |connection| Ok(migrate::kind(connection)?))? {
            Kind::Foreign => Err(StoreError::Foreign { path: database.file, found: "a database of another program" }),
            Kind::Ours(found) if found > migrate::NEWEST => {
                Err(StoreError::Newer { path: database.file, found, known: migrate::NEWEST })
            }
            Kind::Ours(_) => Ok(database),
        }
    }

    /// The state folder.
    pub(super) fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("."))
    }

    /// Bytes of the database and its log on the disk.
    pub(super) fn bytes(&self) -> u64 {
        let log = self.file.with_extension("db-wal");
        [&self.file, &log].iter().filter_map(|file| fs::metadata(file).ok()).map(|metadata| metadata.len()).sum()
    }

    /// The number of `options.space`, which is added if it is new.
    pub(super) fn add_space(&mut self, options: &OpenOptions<'_>) -> Result<i64, StoreError> {
        self.write("open", |transaction| add_space(transaction, &options.space, &options.backbone.name))
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
        &mut self,
        action: &'static str,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        let Self { connection, file } = self;
        let apply = || -> Result<T, Fault> {
            // Immediate: waits for the lock at the start, instead of failing half way.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = write(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        let applied = apply();
        applied.map_err(|fault| fault.at(action, file, Some(connection)))
    }

    fn fault(&self, action: &'static str, fault: Fault) -> StoreError {
        fault.at(action, &self.file, Some(&self.connection))
    }

    fn version(&self) -> Result<i64, StoreError> {
        let version = self.connection.pragma_query_value(None, "user_version", |row| row.get(0));
        version.map_err(|error| self.fault("open", error.into()))
    }

    fn set(&self, pragma: &'static str, value: impl rusqlite::ToSql) -> Result<(), StoreError> {
        let set = self.connection.pragma_update(None, pragma, value);
        set.map_err(|error| self.fault("open", error.into()))
    }
}

/// The number of a space, which is added if it is new.
pub(super) fn add_space(transaction: &Transaction<'_>, space: &EmbeddingSpace, name: &str) -> Result<i64, Fault> {
    if let Some(number) = space_number(transaction, space)? {
        return Ok(number);
    }
    transaction
        .prepare_cached("INSERT INTO spaces (backbone, preprocessing, dim, name) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![space.backbone, space.preprocessing, space.dim, name])?;
    Ok(transaction.last_insert_rowid())
}

/// The number of a space in the file.
pub(super) fn space_number(connection: &Connection, space: &EmbeddingSpace) -> Result<Option<i64>, Fault> {
    let mut find = connection
        .prepare_cached("SELECT number FROM spaces WHERE backbone = ?1 AND preprocessing = ?2 AND dim = ?3")?;
    let mut rows = find.query(params![space.backbone, space.preprocessing, space.dim])?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
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
