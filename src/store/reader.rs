//! Read access for worker threads and offline commands; what is stored of heads.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{self, PathBytes, TopicText, damaged, path_bytes};
use super::database::Database;
use super::error::{Fault, StoreError};
use super::redo::{About, Pending};
use super::snapshot;
use super::spaces::{Looked, SpacesInUse, looked, space_number};
use crate::engine::{FileStamp, HeadInfo, OutboxMessage, Snapshot, StartupState};
use crate::wire::Topic;
use crate::words::{EmbeddingSpace, HeadId, HeadRef, Label, SampleId, TaskId};

/// A connection that only reads. Every answer is one consistent view of what was committed before it.
///
/// Each method fails with [`StoreError`] when the file cannot be read or a row in it makes no sense.
#[derive(Debug)]
pub struct Reader {
    pub(super) database: Database,
    in_use: SpacesInUse,
    /// What the writer's redo log holds, where the writer is in this process.
    pending: Pending,
}

/// A sample that arrived not long ago.
#[derive(Debug, Clone, PartialEq)]
pub struct Recent {
    /// The sample.
    pub id: SampleId,
    /// The first image of its burst.
    pub group: SampleId,
    /// (dim,)
    pub embedding: Vec<f32>,
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Opens an existing store; for a task without a space in use nothing in it has an embedding.
    pub fn open(folder: &Path, in_use: SpacesInUse) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open_reader(folder, false)?, in_use, pending: Pending::default() })
    }

    /// The same beside the writer, whose redo log holds this.
    pub(super) fn beside(folder: &Path, in_use: SpacesInUse, pending: Pending) -> Result<Self, StoreError> {
        Ok(Self { database: Database::open_reader(folder, true)?, in_use, pending })
    }

    /// What tasks look through.
    #[must_use]
    pub fn spaces(&self) -> &SpacesInUse {
        &self.in_use
    }

    /// Whether this file need not be read again: its disposition at this stamp is known and, if it is a sample, so are the
    /// embeddings through which tasks look at it now.
    pub fn file_is_known(&self, path: &Path, stamp: FileStamp) -> Result<bool, StoreError> {
        // Listings ask this of every file, again and again.
        let held = self.pending.held().file_is_known(path, stamp);
        if let Some(known) = held {
            return Ok(known);
        }
        let about = if self.pending.held().has_file(path) { About::All } else { About::Settled };
        self.read_about(about, |connection| {
            let tasks: Vec<String> = self.in_use.tasks().map(|task| format!("'{task}'")).collect();
            let now = |task| Ok(format!(" WHEN '{task}' THEN {}", looked(connection, &self.in_use, task)?.space));
            let now: String = self.in_use.tasks().map(now).collect::<Result<_, Fault>>()?;
            let is_whole = if tasks.is_empty() {
                "false".to_owned()
            } else {
                format!(
                    "NOT EXISTS (SELECT 1 FROM samples CROSS JOIN task_samples ON sample = number
                                 WHERE samples.image = files.image AND task IN ({})
                                 AND task_samples.space IS NOT NULL AND NOT EXISTS
                                     (SELECT 1 FROM embeddings WHERE embeddings.image = samples.image
                                      AND embeddings.space = CASE task{now} END))",
                    tasks.join(", ")
                )
            };
            let known = connection
                .prepare_cached(&format!(
                    "SELECT image IS NULL OR {is_whole} FROM files
                     WHERE path = ?1 AND size = ?2 AND mtime_ns = ?3 AND ctime_ns IN (0, ?4)"
                ))?
                .query_row(params![path_bytes(path), stamp.size, stamp.mtime_ns, stamp.ctime_ns], |row| row.get(0))
                .optional()?;
            Ok(known.unwrap_or(false))
        })
    }

    /// Whether the sample of this file was evicted or forgotten, and the file is as it was then.
    pub fn file_was_let_go(&self, path: &Path, stamp: FileStamp) -> Result<bool, StoreError> {
        // What the log has of a file came after that.
        if self.pending.held().has_file(path) {
            return Ok(false);
        }
        self.read_about(About::Settled, |connection| {
            let mut find = connection.prepare_cached(
                "SELECT 1 FROM files
                 WHERE path = ?1 AND evicted = 1 AND size = ?2 AND mtime_ns = ?3 AND ctime_ns IN (0, ?4)",
            )?;
            Ok(find.exists(params![path_bytes(path), stamp.size, stamp.mtime_ns, stamp.ctime_ns])?)
        })
    }

    /// The files of this sample, in the order of their paths.
    pub fn files_of(&self, id: &SampleId) -> Result<Vec<PathBuf>, StoreError> {
        self.read_about(About::Samples(&[*id]), |connection| {
            let mut find = connection.prepare_cached("SELECT path FROM files WHERE image = ?1 ORDER BY path")?;
            let paths = find.query_map([id], |row| row.get(0).map(|PathBytes(path)| path))?;
            Ok(paths.collect::<Result<_, _>>()?)
        })
    }

    /// Recorded files at `place` or below it, whatever became of them, in the order of their paths after `after`, at
    /// most `limit`.
    pub fn files_below(&self, place: &Path, after: &Path, limit: usize) -> Result<Vec<PathBuf>, StoreError> {
        let place = path_bytes(place).strip_suffix(b"/").unwrap_or(path_bytes(place));
        // What is below begins with the place and a slash, and the next byte after that is "0".
        let [first, end] = [b'/', b'0'].map(|last| [place, &[last]].concat());
        // Listings ask this, too.
        let held = self.pending.held().files_below(Path::new(OsStr::from_bytes(place)), after);
        let stored: Vec<PathBuf> = self.read_about(About::Settled, |connection| {
            let mut find = connection.prepare_cached(
                "SELECT path FROM files WHERE path >= ?1 AND path < ?3 AND path > ?4 AND (path = ?1 OR path > ?2)
                 ORDER BY path LIMIT ?5",
            )?;
            let paths = find.query_map(params![place, first, end, path_bytes(after), limit], |row| {
                row.get(0).map(|PathBytes(path)| path)
            })?;
            Ok(paths.collect::<Result<_, _>>()?)
        })?;
        // Those beyond what was read of the database come with the next part.
        let mut all: Vec<PathBuf> = stored.into_iter().chain(held).collect();
        all.sort_unstable_by(|one, other| path_bytes(one).cmp(path_bytes(other)));
        all.dedup();
        all.truncate(limit);
        Ok(all)
    }

    /// The last `limit` samples to arrive that have an embedding in this space, oldest first.
    pub fn recent(&self, space: &EmbeddingSpace, limit: usize) -> Result<Vec<Recent>, StoreError> {
        self.read(|connection| {
            let (number, dim) = (space_number(connection, space)?.unwrap_or(0), space.dim);
            let mut select = connection.prepare_cached(
                "SELECT samples.image, burst, vector
                 FROM samples CROSS JOIN embeddings ON embeddings.image = samples.image AND space = ?1
                 ORDER BY number DESC LIMIT ?2",
            )?;
            let rows = select.query_map(params![number, limit], |row| {
                let mut embedding = Vec::with_capacity(dim);
                append_vector(row, 2, dim, &mut embedding)?;
                Ok(Recent { id: row.get(0)?, group: row.get(1)?, embedding })
            })?;
            let mut recent = rows.collect::<Result<Vec<_>, _>>()?;
            recent.reverse();
            Ok(recent)
        })
    }

    /// What a task predicted of a sample when it arrived.
    pub fn predicted(&self, task: &TaskId, id: &SampleId) -> Result<Option<(Label, f32)>, StoreError> {
        self.read_about(About::Samples(&[*id]), |connection| {
            let predicted = connection
                .prepare_cached(
                    "SELECT predicted, probability FROM samples JOIN task_samples ON sample = number
                     WHERE image = ?1 AND task = ?2 AND predicted IS NOT NULL",
                )?
                .query_row(params![id, task], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            Ok(predicted)
        })
    }

    /// What [`super::Store::snapshot`] reads, but for numbers of messages that are reserved beside the database.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.read(snapshot::snapshot)
    }

    /// What [`super::Store::startup_state`] reads.
    pub fn startup_state(&self) -> Result<StartupState, StoreError> {
        self.read_about(About::Settled, snapshot::startup_state)
    }

    /// The space of the champion, first of the default task's, or else the one in which most samples have an embedding; `None` without either.
    pub fn prevailing_space(&self) -> Result<Option<EmbeddingSpace>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT backbone, preprocessing, dim FROM spaces WHERE number = coalesce(
                     (SELECT space FROM heads WHERE status = 'champion' ORDER BY task <> 'default', task LIMIT 1),
                     (SELECT space FROM embeddings WHERE image IN (SELECT image FROM samples)
                      GROUP BY space ORDER BY count(*) DESC, space LIMIT 1))",
            )?;
            let space = select.query_row([], |row| {
                Ok(EmbeddingSpace { backbone: row.get(0)?, preprocessing: row.get(1)?, dim: row.get(2)? })
            });
            Ok(space.optional()?)
        })
    }

    /// All heads of a task without their weights, oldest version first.
    pub fn heads(&self, task: &TaskId) -> Result<Vec<HeadInfo>, StoreError> {
        self.read_about(About::Settled, |connection| list_heads(connection, task))
    }

    /// The head of this version of a task.
    pub fn head(&self, task: &TaskId, version: u64) -> Result<Option<StoredHead>, StoreError> {
        self.read_about(About::Settled, |connection| {
            one_head(connection, "task = ?1 AND version = ?2", params![task, version])
        })
    }

    /// The head of a task that is in service, whatever its space.
    pub fn champion(&self, task: &TaskId) -> Result<Option<StoredHead>, StoreError> {
        self.read_about(About::Settled, |connection| one_head(connection, "task = ?1 AND status = 'champion'", [task]))
    }

    /// The oldest unsent answers to requests whose `seq` is above `seq`, at most `limit`.
    pub fn answers_after(&self, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, StoreError> {
        let sql = "SELECT seq, topic, payload, made_at FROM outbox
                   WHERE seq > ?1 AND topic >= 'response/' AND topic < 'response0' ORDER BY seq LIMIT ?2";
        self.outbox(sql, seq, limit, is_answer)
    }

    /// The oldest unsent messages that are no answers to requests and whose `seq` is above `seq`, at most `limit`.
    pub fn reports_after(&self, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, StoreError> {
        let sql = "SELECT seq, topic, payload, made_at FROM outbox
                   WHERE seq > ?1 AND (topic < 'response/' OR topic >= 'response0') ORDER BY seq LIMIT ?2";
        self.outbox(sql, seq, limit, |message| !is_answer(message))
    }

    /// The highest `seq` in the outbox, 0 where it is empty.
    pub fn outbox_newest(&self) -> Result<u64, StoreError> {
        let held = self.pending.held();
        let newest = self.database.read("read", |connection| {
            let mut select = connection.prepare_cached("SELECT seq FROM outbox ORDER BY seq DESC LIMIT ?1")?;
            Ok(select.query_map([held.gone() + 1], |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?)
        })?;
        Ok(held.newest(&newest))
    }

    /// Messages of the database and of the redo log, which is held meanwhile: none moves from one to the other.
    fn outbox(
        &self,
        sql: &str,
        seq: u64,
        limit: usize,
        is_meant: impl Fn(&OutboxMessage) -> bool,
    ) -> Result<Vec<OutboxMessage>, StoreError> {
        let held = self.pending.held();
        let stored = limit.saturating_add(held.gone()).min(usize::MAX >> 1);
        let stored = self.database.read("read", |connection| {
            let mut select = connection.prepare_cached(sql)?;
            let messages = select.query_map(params![seq, stored], |row| {
                let TopicText(topic) = row.get(1)?;
                Ok(OutboxMessage { seq: row.get(0)?, topic, payload: row.get(2)?, made_at: row.get(3)? })
            })?;
            Ok(messages.collect::<Result<_, _>>()?)
        })?;
        Ok(held.with_messages(stored, seq, limit, is_meant))
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        self.read_about(About::All, read)
    }

    /// Reads what only needs the redo log in the database where it concerns `about`.
    pub(super) fn read_about<T>(
        &self,
        about: About<'_>,
        read: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        if self.pending.concerns(about) {
            match self.database.settle(&self.pending) {
                // The writer meets the same, and says so.
                Err(error) if error.passes() => tracing::debug!(%error, "read without the latest images"),
                settled => settled?,
            }
        }
        self.database.read("read", read)
    }

    /// The same with the present spaces of a task.
    pub(super) fn read_about_for<T>(
        &self,
        about: About<'_>,
        task: &TaskId,
        read: impl FnOnce(&Connection, Looked) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.read_about(about, |connection| read(connection, looked(connection, &self.in_use, task)?))
    }

    /// Reads with the present spaces of a task, as if the database had all of the redo log, which is not brought in: for
    /// what is asked now and then while images come.
    pub(super) fn read_ahead_for<T>(
        &self,
        task: &TaskId,
        read: impl FnOnce(&Connection, Looked) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.read_ahead(|connection| read(connection, looked(connection, &self.in_use, task)?))
    }

    fn read_ahead<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        if self.pending.concerns(About::All) {
            self.database.ahead(&self.pending, read)
        } else {
            self.database.read("read", read)
        }
    }

    /// What [`super::Store::snapshot`] reads, with what the redo log holds.
    pub(super) fn snapshot_ahead(&self) -> Result<Snapshot, StoreError> {
        self.database.ahead(&self.pending, snapshot::snapshot)
    }

    /// Reads with the present spaces of a task.
    pub(super) fn read_for<T>(
        &self,
        task: &TaskId,
        read: impl FnOnce(&Connection, Looked) -> Result<T, Fault>,
    ) -> Result<T, StoreError> {
        self.read_about_for(About::All, task, read)
    }
}

/// Whether a message answers a request.
fn is_answer(message: &OutboxMessage) -> bool {
    matches!(message.topic, Topic::Response(_))
}

/// The embedding (dim,) of an image in the space of this number.
pub(super) fn embedding(
    connection: &Connection,
    number: i64,
    dim: usize,
    id: &SampleId,
) -> Result<Option<Vec<f32>>, Fault> {
    let mut find = connection.prepare_cached("SELECT vector FROM embeddings WHERE image = ?1 AND space = ?2")?;
    let found = find.query_row(params![id, number], |row| {
        let mut embedding = Vec::with_capacity(dim);
        append_vector(row, 0, dim, &mut embedding)?;
        Ok(embedding)
    });
    Ok(found.optional()?)
}

/// The bytes of an image's row in a space.
pub(super) fn row_bytes(connection: &Connection, number: i64, id: &SampleId) -> Result<Option<Vec<u8>>, Fault> {
    let mut find = connection.prepare_cached("SELECT vector FROM embeddings WHERE image = ?1 AND space = ?2")?;
    Ok(find.query_row(params![id, number], |row| row.get(0)).optional()?)
}

/// Appends the values of a column with an embedding to `out`.
pub(super) fn append_vector(row: &Row<'_>, column: usize, dim: usize, out: &mut Vec<f32>) -> rusqlite::Result<()> {
    let bytes = row.get_ref(column)?.as_blob()?;
    columns::decode_vector(bytes, dim, out)
        .ok_or_else(|| damaged(column, format!("{} bytes are not an embedding of {dim} values", bytes.len())))
}

/// A stored head.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHead {
    /// What is known without reading `bytes`.
    pub info: HeadInfo,
    /// The head's file, for [`crate::head::HeadRecord::from_bytes`].
    pub bytes: Vec<u8>,
}

/// The columns of [`head_info`], in its order.
const COLUMNS: &str = "heads.version, heads.id, created, spaces.backbone, preprocessing, dim, heads.backbone, classes, \
                       accuracy, status, reason, promoted_at";

/// All heads of a task, oldest version first.
pub(super) fn list_heads(connection: &Connection, task: &TaskId) -> Result<Vec<HeadInfo>, Fault> {
    let sql =
        format!("SELECT {COLUMNS} FROM heads JOIN spaces ON number = heads.space WHERE task = ?1 ORDER BY version");
    let heads = connection.prepare_cached(&sql)?.query_map([task], head_info)?.collect::<Result<_, _>>()?;
    Ok(heads)
}

/// The one head for which `condition` holds.
fn one_head(
    connection: &Connection,
    condition: &str,
    params: impl rusqlite::Params,
) -> Result<Option<StoredHead>, Fault> {
    let sql = format!("SELECT {COLUMNS}, file FROM heads JOIN spaces ON number = heads.space WHERE {condition}");
    let mut find = connection.prepare_cached(&sql)?;
    let mut rows = find.query(params)?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(StoredHead { info: head_info(row)?, bytes: row.get(12)? }))
}

fn head_info(row: &Row<'_>) -> rusqlite::Result<HeadInfo> {
    let classes: Vec<Label> = serde_json::from_str(row.get_ref(7)?.as_str()?).map_err(|error| damaged(7, error))?;
    Ok(HeadInfo {
        head: HeadRef { version: row.get(0)?, id: HeadId(row.get(1)?) },
        created: row.get(2)?,
        space: EmbeddingSpace { backbone: row.get(3)?, preprocessing: row.get(4)?, dim: row.get(5)? },
        backbone: row.get(6)?,
        classes,
        accuracy: row.get(8)?,
        status: row.get(9)?,
        reason: row.get(10)?,
        promoted_at: row.get(11)?,
    })
}
