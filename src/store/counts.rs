//! How much is stored, and what it takes.

use super::error::StoreError;
use super::files;
use super::reader::Reader;
use super::redo::About;
use crate::words::TaskId;

/// Counts of what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Samples.
    pub samples: u64,
    /// Of these, the ones with a label in any task.
    pub labelled: u64,
    /// And the ones without.
    pub unlabelled: u64,
    /// Quarantined files.
    pub quarantined: u64,
}

/// What the state folder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// Bytes of all files in it, without exported models.
    pub store_bytes: u64,
    /// Bytes of these that belong neither to samples nor to unsent messages.
    pub beside_bytes: u64,
}

/// Counts of what is stored of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoredOfTask {
    /// Samples that it looked at.
    pub samples: u64,
    /// Their present labels.
    pub labels: u64,
    /// Labels that wait for their image.
    pub awaited: u64,
    /// Heads.
    pub heads: u64,
}

/// What is stored in large values that are no embeddings; the length of a value is read without it.
const BLOB_BYTES: &str = "SELECT coalesce((SELECT sum(length(file)) FROM heads), 0)
    + coalesce((SELECT sum(length(file)) FROM statistics), 0) + coalesce((SELECT sum(length(bytes)) FROM chunks), 0)
    + coalesce((SELECT sum(octet_length(answer)) FROM ledger), 0)
    + coalesce((SELECT sum(length(report) + coalesce(length(answers), 0)) FROM trainings), 0)
    + coalesce((SELECT sum(length(report)) FROM events), 0)";

/// About what the row of a file takes that has no sample.
const FILE_ROW_BYTES: u64 = 170;

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Counts of what is stored of a task, whether it is in use or not.
    pub fn stored_of(&self, task: &TaskId) -> Result<StoredOfTask, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT (SELECT count(*) FROM task_samples WHERE task = ?1),
                        (SELECT count(label) FROM task_samples WHERE task = ?1),
                        (SELECT count(*) FROM awaited_labels WHERE task = ?1),
                        (SELECT count(*) FROM heads WHERE task = ?1)",
            )?;
            let stored = select.query_row([task], |row| {
                Ok(StoredOfTask { samples: row.get(0)?, labels: row.get(1)?, awaited: row.get(2)?, heads: row.get(3)? })
            })?;
            Ok(stored)
        })
    }

    /// The tasks of which something is stored, in the order of their names.
    pub fn stored_tasks(&self) -> Result<Vec<TaskId>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT task FROM task_samples UNION SELECT task FROM awaited_labels UNION SELECT task FROM heads
                 UNION SELECT task FROM statistics UNION SELECT task FROM label_history UNION SELECT task FROM trainings
                 UNION SELECT task FROM tasks WHERE coalesce(training, live, state) IS NOT NULL ORDER BY task",
            )?;
            Ok(select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
        })
    }

    /// Counts of what is stored, for people: it goes through all samples and files. What only the redo log has is not
    /// counted.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        self.read_about(About::Settled, |connection| {
            let samples: u64 = connection.query_row("SELECT count(*) FROM samples", [], |row| row.get(0))?;
            let labelled = "SELECT count(DISTINCT sample) FROM task_samples WHERE label IS NOT NULL";
            let labelled: u64 = connection.query_row(labelled, [], |row| row.get(0))?;
            let quarantined = connection.query_row("SELECT count(reason) FROM files", [], |row| row.get(0))?;
            Ok(Counts { samples, labelled, unlabelled: samples - labelled, quarantined })
        })
    }

    /// What the state folder takes; this takes as long however many samples and files there are.
    pub fn room(&self) -> Result<Room, StoreError> {
        let store_bytes = files::bytes_below(self.database.folder(), files::EXPORTS);
        let other_files = store_bytes.saturating_sub(self.database.file_bytes());
        self.read_about(About::Settled, |connection| {
            let bare_files: u64 = connection.query_row("SELECT count FROM bare_files", [], |row| row.get(0))?;
            let blobs: u64 = connection.query_row(BLOB_BYTES, [], |row| row.get(0))?;
            Ok(Room { store_bytes, beside_bytes: other_files + blobs + bare_files * FILE_ROW_BYTES })
        })
    }
}
