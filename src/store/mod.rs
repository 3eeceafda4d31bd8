//! Everything that survives a restart: one `SQLite` file, `<store.path>/edgetuned.db`.
//!
//! [`Store`] is the one writer of the daemon and holds the folder's lock; [`Reader`] is for its worker threads;
//! [`Cache`] serves commands that embed offline, beside a running daemon. Tables, blobs and files are described in
//! `docs/formats.md`. [`files`] writes the files beside the database.
//!
//! Invariants: what [`Store::commit`] returned for is on the disk, whole, and survives a power cut; a list of writes
//! is applied as one or not at all; a file that is not ours, damaged, or of a newer version is never changed.
//! Nothing here decides what is written, and nothing here reads the clock.

mod columns;
mod commit;
mod counts;
mod database;
mod error;
pub mod files;
mod label_changes;
mod looks;
mod pictures;
mod reader;
mod redo;
mod reports;
mod revision;
mod sample_queries;
mod sequence;
mod snapshot;
mod spaces;
mod training_queries;
mod updates;
mod view_queries;
mod write_ahead_log;

#[cfg(test)]
mod tests;

use sequence::Sequence;
use std::path::Path;

use rusqlite::Transaction;

use crate::engine::{Snapshot, StartupState, Write};
use crate::head::BackboneRef;
pub use crate::words::Precision;
use crate::words::{EmbeddingSpace, Region, SampleId};
pub use counts::{Counts, Room, StoredOfTask};
use database::Database;
pub use error::StoreError;
pub use label_changes::LabelLine;
pub use looks::SeenSample;
pub use reader::{Reader, Recent, StoredHead};
use redo::RedoLog;
pub use reports::AnsweredTraining;
pub use revision::Revision;
pub use sample_queries::{EvictableSample, ListedSample, LookedAt, SampleFilter, SampleRow};
pub use spaces::SpacesInUse;
pub use training_queries::{CurrentLabel, LabelOrigin, LabelledSamples, UnlabelledSamples};
pub use view_queries::IndexRow;

/// The embeddings of this process.
#[derive(Debug, Clone)]
pub struct OpenOptions<'a> {
    /// What tasks look through; embeddings of other spaces in the file are left alone.
    pub spaces: SpacesInUse,
    /// The backbone's name, for people who read the file.
    pub backbone: &'a BackboneRef,
    /// How new ones are stored; those already stored are read whatever they are.
    pub precision: Precision,
}

/// The embeddings that a [`Cache`] is for.
#[derive(Debug, Clone, Copy)]
pub struct CacheOptions<'a> {
    /// The space in which they can be compared.
    pub space: EmbeddingSpace,
    /// The backbone's name, for people who read the file.
    pub backbone: &'a BackboneRef,
    /// How new ones are stored.
    pub precision: Precision,
}

/// The daemon's database, opened for writing; one process at a time holds its folder.
#[derive(Debug)]
pub struct Store {
    database: Database,
    in_use: SpacesInUse,
    /// The spaces in use with their numbers.
    numbers: Vec<(EmbeddingSpace, i64)>,
    precision: Precision,
    sequence: Sequence,
    revision: Revision,
    label_revision: Revision,
    /// What comes with every image, before the database has it; nothing where the database has everything at once.
    redo: Option<RedoLog>,
    /// Whether the database has what a redo log held at the start.
    recovered: bool,
    /// Bytes of the log after which it is emptied.
    log_max: u64,
    _lock: database::DaemonLock,
}

impl Store {
    /// Opens the store in `folder`, creating both where they do not exist, and keeps other daemons out until dropped.
    ///
    /// # Errors
    /// [`StoreError`]; whatever is there is then unchanged, except that an older schema may have been brought up
    /// to date.
    pub fn open(folder: &Path, options: &OpenOptions<'_>) -> Result<Self, StoreError> {
        files::create_folder(folder).map_err(|error| error::io_error("create", folder, error))?;
        let mut store = files::with_reserve(folder, || Self::open_files(folder))?;
        let name = &options.backbone.name;
        let add = |transaction: &Transaction<'_>| {
            let number = |(region, space): (Region, EmbeddingSpace)| {
                Ok((space, spaces::add_space(transaction, &space, name, Some(&region))?))
            };
            options.spaces.all().into_iter().map(number).collect()
        };
        store.numbers = store.database.write("open", add)?;
        (store.in_use, store.precision) = (options.spaces.clone(), options.precision);
        Ok(store)
    }

    /// Opens the store that is in `folder` for changes that have nothing to do with embeddings, and keeps daemons out
    /// until dropped. It takes no embedding, no [`Write::Look`] and no [`Write::Statistics`].
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Missing`] where none is, and nothing is made then.
    pub fn open_existing(folder: &Path) -> Result<Self, StoreError> {
        Database::exists(folder)?;
        files::with_reserve(folder, || Self::open_files(folder))
    }

    /// The same, and creates folder and store where they do not exist: labels may come before the first image.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_for_labels(folder: &Path) -> Result<Self, StoreError> {
        files::create_folder(folder).map_err(|error| error::io_error("create", folder, error))?;
        files::with_reserve(folder, || Self::open_files(folder))
    }

    /// The files of the store, without a space.
    fn open_files(folder: &Path) -> Result<Self, StoreError> {
        let lock = database::DaemonLock::take(folder)?;
        database::refuse_damaged_log(folder)?;
        let database = Database::open(folder)?;
        let recovered = match redo::recover(&database) {
            // The daemon goes on with what is in the log and in the database.
            Err(error) if error.passes() => {
                tracing::warn!(%error, "the redo log stays as it is until the database can be written");
                false
            }
            recovered => recovered.map(|()| true)?,
        };
        let path = folder.join(sequence::FILE);
        let sequence = Sequence::open(folder).map_err(|error| error::io_error("open", &path, error))?;
        Ok(Self {
            database,
            in_use: SpacesInUse::default(),
            numbers: Vec::new(),
            precision: Precision::default(),
            sequence,
            revision: Revision::default(),
            label_revision: Revision::default(),
            redo: None,
            recovered,
            log_max: u64::MAX,
            _lock: lock,
        })
    }

    /// Keeps what the store needs beside its samples small where its quota is, and writes what comes with every image to
    /// the redo log first, which spares flash most of the writes. Readers of this process that were made before do not
    /// see all of it.
    ///
    /// # Errors
    /// [`StoreError`] when the database cannot be used.
    pub fn keep_within(&mut self, quota_bytes: u64) -> Result<(), StoreError> {
        self.log_max = 2 * database::log_max(quota_bytes);
        self.database.keep_within(quota_bytes)?;
        self.redo = RedoLog::open(&self.database, quota_bytes, !self.recovered)?;
        Ok(())
    }

    /// Closes the database, so that it is one file, where no [`Reader`] is open any more: false where one is.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be written into the database; nothing is lost, the next start does it.
    pub fn close(mut self) -> Result<bool, StoreError> {
        if let Some(redo) = self.redo.as_mut().filter(|redo| redo.holds_anything()) {
            redo.bring_in(&self.database, |_| Ok(()))?;
        }
        self.database.close()
    }

    /// Reserves numbers of messages up to `seq` beyond the loss of the database.
    fn reserve(&mut self, seq: u64) -> Result<(), StoreError> {
        let reserved = self.sequence.reserve(seq);
        reserved.map_err(|error| error::io_error("write to", &self.database.folder().join(sequence::FILE), error))
    }

    /// Applies `writes` in their order, as one; durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; nothing of the list is then applied and the store can be used as before.
    /// [`StoreError::Full`] passes when there is room again.
    pub fn commit(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        let reserved = |write: &Write| if let Write::SeqReserved(seq) = write { Some(*seq) } else { None };
        if let Some(seq) = writes.iter().filter_map(reserved).max() {
            self.reserve(seq)?;
        }
        let (in_use, numbers, precision) = (&self.in_use, &self.numbers[..], self.precision);
        let (database, redo, recovered) = (&self.database, &mut self.redo, &mut self.recovered);
        let mut durable = || {
            let apply = |transaction: &Transaction<'_>| {
                let applier = commit::Applier { transaction, in_use, numbers, precision };
                writes.iter().try_for_each(|write| applier.apply(write))
            };
            let Some(redo) = redo else {
                if !*recovered {
                    redo::recover(database)?;
                    *recovered = true;
                }
                return database.write("write to", apply);
            };
            if redo.append(database, writes, numbers, precision)? {
                return Ok(());
            }
            redo.bring_in(database, apply)
        };
        self.revision.counted(revision::changes_samples, writes, || {
            self.label_revision.counted(revision::changes_labels, writes, &mut durable)
        })?;
        // A large value, such as the statistics, leaves a log of its size.
        if self.database.log_bytes() > self.log_max
            && let Err(error) = self.database.empty_log()
        {
            tracing::debug!(%error, "the log is emptied later");
        }
        Ok(())
    }

    /// The state that the engine starts from.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read or a row in it makes no sense.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let snapshot = if self.redo.as_ref().is_some_and(RedoLog::holds_anything) {
            self.reader()?.snapshot_ahead()?
        } else {
            if !self.recovered {
                redo::recover(&self.database)?;
            }
            self.database.read("read", snapshot::snapshot)?
        };
        Ok(Snapshot { seq: snapshot.seq.max(self.sequence.reserved()), ..snapshot })
    }

    /// The state of the remote configuration and of installed backbones: the part of the snapshot that a start needs
    /// first.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read or makes no sense.
    pub fn startup_state(&self) -> Result<StartupState, StoreError> {
        self.database.read("read", snapshot::startup_state)
    }

    /// Counts the commits that may have changed samples, from now on and as long as this store is open.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision.clone()
    }

    /// The same of labels alone.
    #[must_use]
    pub fn label_revision(&self) -> Revision {
        self.label_revision.clone()
    }

    /// A connection of its own for another thread; it sees what is committed, and never waits for a writer.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be opened again.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        let pending = self.redo.as_ref().map(RedoLog::pending).unwrap_or_default();
        Reader::beside(self.database.folder(), self.in_use.clone(), pending)
    }
}

/// Embeddings by image, in one space; shared with the daemon's store, and usable in parallel to it.
///
/// Entries are not samples: the daemon does not train on them and they have no label.
#[derive(Debug)]
pub struct Cache {
    database: Database,
    space: EmbeddingSpace,
    space_number: i64,
    precision: Precision,
}

impl Cache {
    /// Opens the cache in `folder`, creating both where they do not exist.
    ///
    /// # Errors
    /// [`StoreError`] when the folder or its file cannot be used.
    pub fn open(folder: &Path, options: &CacheOptions<'_>) -> Result<Self, StoreError> {
        files::create_folder(folder).map_err(|error| error::io_error("create", folder, error))?;
        let database = Database::open(folder)?;
        let (space, name) = (&options.space, &options.backbone.name);
        let space_number = database.write("open", |transaction| spaces::add_space(transaction, space, name, None))?;
        Ok(Self { database, space: options.space, space_number, precision: options.precision })
    }

    /// The embedding (dim,) of an image; `None` when it was never embedded in this space.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read.
    pub fn get(&self, id: &SampleId) -> Result<Option<Vec<f32>>, StoreError> {
        self.database.read("read", |connection| reader::embedding(connection, self.space_number, self.space.dim, id))
    }

    /// What [`put_bytes`](Self::put_bytes) kept of an image; `None` where it kept nothing.
    ///
    /// # Errors
    /// [`StoreError`] when the file cannot be read.
    pub fn get_bytes(&self, id: &SampleId) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.read("read", |connection| reader::row_bytes(connection, self.space_number, id))
    }

    /// Keeps what its owner made of images in this space, in a form of its own: for a cache that holds no embeddings. What is
    /// already kept stays. Durable when this returns, and gone with the sample.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is then kept.
    pub fn put_bytes<'a>(
        &mut self,
        rows: impl IntoIterator<Item = (&'a SampleId, &'a [u8])>,
    ) -> Result<(), StoreError> {
        let space = self.space_number;
        self.database.write("write to", |transaction| {
            rows.into_iter().try_for_each(|(id, bytes)| commit::insert_row(transaction, space, id, bytes))
        })
    }

    /// Keeps embeddings (dim,); those already known stay as they are. Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; none of them is then kept.
    pub fn put<'a>(
        &mut self,
        embeddings: impl IntoIterator<Item = (&'a SampleId, &'a [f32])>,
    ) -> Result<(), StoreError> {
        let (space, dim, precision) = (self.space_number, self.space.dim, self.precision);
        self.database.write("write to", |transaction| {
            embeddings.into_iter().try_for_each(|(id, embedding)| {
                commit::insert_embedding(transaction, space, dim, precision, id, embedding)
            })
        })
    }
}
