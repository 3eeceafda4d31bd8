//! The redo log: what comes with every image is made durable here, and brought into the database many images at a time.
//!
//! A commit of `SQLite` writes a page of 4 KiB for each table and index that it touches, twice; what an image adds is a
//! line in nine of them. A record of the redo log is the values alone. The database takes them when the log is full, with
//! the first change of another kind, before a reader asks about what is in it, and at every start. Which records it has
//! is in the same transaction: its generation. So a record counts once, wherever the power is cut.
//!
//! Invariants: records are appended and brought in under the lock of the file, whoever does it; what the database would
//! refuse is not recorded; what the log cannot take goes to the database at once, so that no error is the log's own.

mod codec;
mod pending;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};

use self::codec::Numbers;
pub(super) use self::pending::{About, Pending};
use self::record::{Found, PAYLOAD_MAX, SECTOR};
use super::columns::damaged;
use super::commit::Applier;
use super::database::Database;
use super::error::{Fault, StoreError, io_error};
use super::files;
use super::spaces::SpacesInUse;
use crate::engine::{FileDisposition, Write};
use crate::words::{EmbeddingSpace, Precision};

/// Its name in the state folder.
const FILE: &str = "edgetuned.redo";
/// Bytes of the file at most.
const BYTES: usize = 2_097_152;
/// Bytes by which it grows, so that few syncs have to write where its end is.
const STEP: u64 = 64 << 10;
/// What the kernel keeps of a file at the least.
const PAGE: u64 = 4096;
const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];

/// The end of the writer.
#[derive(Debug)]
pub(super) struct RedoLog {
    pub(super) file: File,
    /// Of the records that are appended now.
    generation: u64,
    /// Where the next one goes.
    end: u64,
    length: u64,
    limit: u64,
    /// Whether what lies at the end may be half a record, or a whole one that was not acknowledged.
    failed: bool,
    /// Changes whenever somebody else has written to the database.
    data_version: i64,
    pending: Pending,
}

impl RedoLog {
    /// Opens the log in the folder, for a store of `quota` bytes; `None` where there is no room for one. What the database
    /// could not take at the start, since the disk is full, stays in it.
    ///
    /// # Errors
    /// [`StoreError`] where there is something in it that cannot be read.
    pub(super) fn open(database: &Database, quota: u64, held: bool) -> Result<Option<Self>, StoreError> {
        let limit = (quota / 32).min(BYTES as u64);
        if limit < STEP && !held {
            // One of a former, larger quota.
            let _ = fs::remove_file(database.folder().join(FILE));
            return Ok(None);
        }
        let Some(mut log) = Self::begun(database, limit, held) else { return Ok(None) };
        if held {
            log.adopt(database)?;
        }
        Ok(Some(log))
    }

    /// Goes on behind the records that are there.
    fn adopt(&mut self, database: &Database) -> Result<(), StoreError> {
        let records = Records::read(&self.file, database.folder(), self.generation, ALL)?;
        let numbers = database.read("read", |connection| Ok(numbers(connection)?))?;
        for record in &records.found {
            let writes = records.writes(*record, &numbers).map_err(|fault| fault.at("read", &records.path, None))?.0;
            self.pending.held().add(self.generation, &writes);
            self.end = record::end(*record);
        }
        Ok(())
    }

    /// The log with nothing in it.
    fn begun(database: &Database, limit: u64, held: bool) -> Option<Self> {
        let open = || -> io::Result<(File, u64)> {
            let path = database.folder().join(FILE);
            if !path.exists() {
                files::write(&path, &record::first_sector())?;
            }
            let file = OpenOptions::new().read(true).write(true).open(&path)?;
            // It is read as a whole and rarely; no more of it than is written is to be kept in one piece.
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random)?;
            let length = file.metadata()?.len();
            if length > limit && !held {
                // A former quota was larger.
                file.set_len(limit)?;
            }
            Ok((file, if held { length } else { length.min(limit) }))
        };
        // Without it every commit goes to the database.
        let opened = open().inspect_err(|error| tracing::warn!(%error, "the redo log cannot be used")).ok();
        let (file, length) = opened?;
        // They begin anywhere, so that a log that was left beside another database is of none of its generations.
        let begin = "UPDATE state SET redo = 1 + abs(random() / 2) WHERE redo = 0";
        let generation = database.write("write to", |transaction| {
            transaction.execute(begin, [])?;
            Ok(generation(transaction)?)
        });
        let generation = generation.inspect_err(|error| tracing::warn!(%error, "the redo log cannot be used")).ok()?;
        let data_version = database.data_version().ok()?;
        let end = SECTOR as u64;
        Some(Self { file, generation, end, length, limit, failed: false, data_version, pending: Pending::default() })
    }

    /// What it holds, for readers of this process.
    pub(super) fn pending(&self) -> Pending {
        self.pending.clone()
    }

    /// Makes these changes durable, where they are all of the kind that is recorded and there is room; false where the
    /// database has to.
    pub(super) fn append(
        &mut self,
        database: &Database,
        writes: &[Write],
        numbers: &Numbers,
        precision: Precision,
    ) -> Result<bool, StoreError> {
        if self.failed {
            return Ok(false);
        }
        let Some(payload) = codec::encode(writes, numbers, precision) else { return Ok(false) };
        if payload.len() > PAYLOAD_MAX {
            return Ok(false);
        }
        let Ok(_lock) = Lock::take(&self.file) else { return Ok(false) };
        self.look(database)?;
        if !self.samples_are_there(database, writes)? {
            return Ok(false);
        }
        let (_, records) = self.pending.held().acknowledged();
        let record = record::seal(self.generation, records, &payload);
        let end = self.end + record.len() as u64;
        if end > self.limit || self.grow(end).is_err() {
            return Ok(false);
        }
        let written = self.file.write_all_at(&record, self.end).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            tracing::warn!(%error, "the redo log cannot be written; the database is written instead");
            self.failed = true;
            return Ok(false);
        }
        self.end = end;
        self.pending.held().add(self.generation, writes);
        Ok(true)
    }

    /// Brings everything that was acknowledged into the database, and `more` in the same transaction.
    pub(super) fn bring_in(
        &mut self,
        database: &Database,
        more: impl FnOnce(&Transaction<'_>) -> Result<(), Fault>,
    ) -> Result<(), StoreError> {
        let _lock = Lock::take(&self.file).map_err(|error| io_error("lock", &database.folder().join(FILE), error))?;
        self.look(database)?;
        let (_, records) = self.pending.held().acknowledged();
        if records == 0 && !self.failed {
            return database.write("write to", more);
        }
        let held = Records::read(&self.file, database.folder(), self.generation, records)?;
        database.write("write to", |transaction| {
            held.apply(transaction)?;
            more(transaction)
        })?;
        self.begin(self.generation + 1);
        Ok(())
    }

    /// Whether it holds what the database does not have.
    pub(super) fn holds_anything(&self) -> bool {
        self.pending.held().acknowledged().1 > 0
    }

    /// Looks whether somebody else has brought the log into the database.
    fn look(&mut self, database: &Database) -> Result<(), StoreError> {
        let data_version = database.data_version()?;
        if data_version != self.data_version {
            let generation = database.read("read", |connection| Ok(generation(connection)?))?;
            if generation != self.generation {
                self.begin(generation);
            }
            self.data_version = data_version;
        }
        Ok(())
    }

    fn begin(&mut self, generation: u64) {
        self.generation = generation;
        self.end = SECTOR as u64;
        self.failed = false;
        self.pending.held().clear();
    }

    /// Whether every file that is recorded as a sample's has that sample, which the database insists on.
    fn samples_are_there(&self, database: &Database, writes: &[Write]) -> Result<bool, StoreError> {
        let held = self.pending.held();
        for write in writes {
            let Write::File { fate: FileDisposition::Sample(id), .. } = write else { continue };
            let comes = writes.iter().any(|other| matches!(other, Write::Sample(sample) if sample.id == *id));
            if !comes && !held.holds(id) {
                let is_stored = database.read("read", |connection| {
                    Ok(connection.prepare_cached("SELECT 1 FROM samples WHERE image = ?1")?.exists([id])?)
                })?;
                if !is_stored {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Makes the file long enough.
    fn grow(&mut self, end: u64) -> io::Result<()> {
        while self.length < end {
            let to = ((self.length / STEP + 1) * STEP).min(self.limit);
            // Page by page: the kernel would else take many for one, and count all of it with every write.
            while self.length < to {
                let page = ((self.length / PAGE + 1) * PAGE).min(to);
                self.file.write_all_at(&ZEROS[..(page - self.length) as usize], self.length)?;
                self.length = page;
            }
            self.file.sync_all()?;
        }
        Ok(())
    }
}

/// Brings what a log in the folder holds into its database, whoever wrote it: at a start, and before a reader looks who
/// does not share [`Pending`] with the writer.
///
/// # Errors
/// [`StoreError`]; [`StoreError::DamagedLog`] where the log is not as it was written. Nothing is then changed.
pub(super) fn recover(database: &Database) -> Result<(), StoreError> {
    let path = database.folder().join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("open", &path, error)),
    };
    let _lock = Lock::take(&file).map_err(|error| io_error("lock", &path, error))?;
    let generation = database.read("read", |connection| Ok(generation(connection)?))?;
    let records = Records::read(&file, database.folder(), generation, ALL)?;
    if records.found.is_empty() {
        return Ok(());
    }
    database.write("write to", |transaction| records.apply(transaction))
}

/// The same for a reader of the writer's own process, of what was acknowledged.
pub(super) fn settle(database: &Database, pending: &Pending) -> Result<(), StoreError> {
    let path = database.folder().join(FILE);
    let file = File::open(&path).map_err(|error| io_error("open", &path, error))?;
    let _lock = Lock::take(&file).map_err(|error| io_error("lock", &path, error))?;
    let generation = database.read("read", |connection| Ok(generation(connection)?))?;
    let (of, acknowledged) = pending.held().acknowledged();
    // Otherwise another process was first.
    if of == generation && acknowledged > 0 {
        let records = Records::read(&file, database.folder(), generation, acknowledged)?;
        database.write("write to", |transaction| records.apply(transaction))?;
    }
    pending.held().clear();
    Ok(())
}

/// Reads as if the database had what was acknowledged, which stays where it is: nothing is written. Whoever writes to
/// the database waits meanwhile.
pub(super) fn ahead<T>(
    database: &Database,
    pending: &Pending,
    read: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, StoreError> {
    let path = database.folder().join(FILE);
    let file = File::open(&path).map_err(|error| io_error("open", &path, error))?;
    let lock = Lock::take(&file).map_err(|error| io_error("lock", &path, error))?;
    database.try_out("read", |transaction| {
        let (of, acknowledged) = pending.held().acknowledged();
        let generation = generation(transaction)?;
        if of == generation && acknowledged > 0 {
            let records = Records::read(&file, database.folder(), generation, acknowledged);
            let records = records.map_err(|error| Fault::Refused(error.to_string()))?;
            drop(lock);
            records.apply(transaction)?;
        }
        read(transaction)
    })
}

/// As many records as are whole.
const ALL: u32 = u32::MAX;

/// Acknowledged records of one generation.
struct Records<'a> {
    file: &'a File,
    found: Vec<(u64, u32)>,
    generation: u64,
    path: PathBuf,
}

impl<'a> Records<'a> {
    /// The first `count` of them.
    fn read(file: &'a File, folder: &Path, generation: u64, count: u32) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let mut found = match record::find(file, generation).map_err(|error| io_error("read", &path, error))? {
            Found::Records(found) => found,
            Found::Damage(found) => return Err(StoreError::DamagedLog { path, found }),
        };
        if count != ALL && found.len() < count as usize {
            return Err(StoreError::DamagedLog { path, found: "a record in it is not as it was written" });
        }
        found.truncate(count as usize);
        Ok(Self { file, found, generation, path })
    }

    /// The changes in one of them, and how their embeddings are stored.
    fn writes(&self, record: (u64, u32), numbers: &Numbers) -> Result<(Vec<Write>, Precision), Fault> {
        let payload = record::payload(self.file, record).ok();
        let decoded = payload.and_then(|payload| codec::decode(&payload, numbers));
        let nonsense = || damaged(0, format!("a record of {} makes no sense", self.path.display()));
        decoded.ok_or_else(|| nonsense().into())
    }

    /// Applies all of them, and counts the generation up: they are void from this transaction on.
    fn apply(&self, transaction: &Transaction<'_>) -> Result<(), Fault> {
        let (in_use, numbers) = (SpacesInUse::default(), numbers(transaction)?);
        for record in &self.found {
            // One at a time: memory is short.
            let (writes, precision) = self.writes(*record, &numbers)?;
            let applier = Applier { transaction, in_use: &in_use, numbers: &numbers, precision };
            writes.iter().try_for_each(|write| applier.apply(write))?;
        }
        let next = i64::try_from(self.generation + 1).unwrap_or(0);
        transaction.execute("UPDATE state SET redo = ?1", params![next])?;
        Ok(())
    }
}

fn generation(connection: &Connection) -> rusqlite::Result<u64> {
    connection.prepare_cached("SELECT redo FROM state")?.query_row([], |row| row.get(0))
}

fn numbers(connection: &Connection) -> rusqlite::Result<Vec<(EmbeddingSpace, i64)>> {
    let mut select = connection.prepare_cached("SELECT backbone, preprocessing, dim, number FROM spaces")?;
    let rows = select.query_map([], |row| {
        let space = EmbeddingSpace { backbone: row.get(0)?, preprocessing: row.get(1)?, dim: row.get(2)? };
        Ok((space, row.get(3)?))
    })?;
    rows.collect()
}

/// The lock of the file, for as long as it lives.
struct Lock(File);

impl Lock {
    fn take(file: &File) -> io::Result<Self> {
        // Of the same open file: it is released with the word below, not with the copy.
        let file = file.try_clone()?;
        file.lock()?;
        Ok(Self(file))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}
