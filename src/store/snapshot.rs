//! The tables as the state that the engine starts from.

use std::collections::{BTreeMap, HashMap};

use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use super::columns::{PathBytes, TopicText, damaged};
use super::error::Fault;
use super::{reader, updates};
use crate::engine::{
    FileDisposition, LabelSource, PendingLabel, RememberedReply, Snapshot, Spooled, StartupState, StoredPicture,
    StoredSample, StoredTask, Worth,
};
use crate::words::{Label, SampleId, TaskId, Timestamp};

pub(super) fn snapshot(connection: &Connection) -> Result<Snapshot, Fault> {
    let sql = "SELECT seq, class_folders, doubted, broker, changes FROM state";
    let (seq, class_folders, doubted, broker, changes) = connection.query_row(sql, [], |row| {
        Ok((row.get(0)?, from_json(row, 1)?, from_json(row, 2)?, from_json(row, 3)?, row.get(4)?))
    })?;
    let StartupState { twin, backbone } = startup_state(connection)?;
    Ok(Snapshot {
        samples: all(connection, "SELECT image FROM samples ORDER BY number", |row| row.get(0))?,
        pictures: all(
            connection,
            "SELECT image, source, length(pictures.bytes) FROM pictures JOIN samples ON number = sample
             WHERE source IS NOT NULL ORDER BY sample",
            |row| Ok(StoredPicture { id: row.get(0)?, source: row.get(1)?, bytes: row.get(2)? }),
        )?,
        tasks: tasks(connection)?,
        awaited: all(connection, AWAITED, |row| {
            let former: Option<Label> = row.get(6)?;
            Ok(PendingLabel {
                task: row.get(0)?,
                prefix: row.get(1)?,
                label: row.get(2)?,
                source: row.get(3)?,
                at: row.get(4)?,
                change: row.get(5)?,
                former: former.map(|label| Ok::<_, rusqlite::Error>((label, row.get(7)?))).transpose()?,
            })
        })?,
        changes,
        ledger: all(connection, r#"SELECT "transaction", name, answer, at FROM ledger ORDER BY number"#, |row| {
            Ok(RememberedReply { transaction: row.get(0)?, name: row.get(1)?, answer: row.get(2)?, at: row.get(3)? })
        })?,
        outbox: all(
            connection,
            "SELECT seq, topic, octet_length(topic) + length(payload), made_at FROM outbox ORDER BY seq",
            |row| {
                let TopicText(topic) = row.get(1)?;
                Ok(Spooled { seq: row.get(0)?, worth: Worth::of(&topic), bytes: row.get(2)?, made_at: row.get(3)? })
            },
        )?,
        seq,
        files: all(connection, "SELECT path, image, reason FROM files WHERE evicted = 0", |row| {
            let PathBytes(path) = row.get(0)?;
            let fate = match row.get(1)? {
                Some(id) => FileDisposition::Sample(id),
                None => FileDisposition::Quarantined(row.get(2)?),
            };
            Ok((path, fate))
        })?,
        class_folders,
        doubted,
        broker,
        twin,
        backbone,
        updates: updates::all(connection)?,
    })
}

/// The state of the remote configuration and of installed backbones.
pub(super) fn startup_state(connection: &Connection) -> Result<StartupState, Fault> {
    let read = |row: &Row<'_>| Ok(StartupState { twin: from_json(row, 0)?, backbone: from_json(row, 1)? });
    Ok(connection.query_row("SELECT twin, backbone FROM state", [], read)?)
}

/// What each task knows; the default one is always there.
fn tasks(connection: &Connection) -> Result<BTreeMap<TaskId, StoredTask>, Fault> {
    let known = all(connection, "SELECT task, training, live, state FROM tasks", |row| {
        Ok((row.get::<_, TaskId>(0)?, from_json(row, 1)?, from_json(row, 2)?, from_json(row, 3)?))
    })?;
    let mut samples = connection.prepare(SAMPLES)?;
    let mut lines = connection.prepare(LINES)?;
    let mut tasks = BTreeMap::from([(TaskId::default(), StoredTask::default())]);
    for (task, training, live, state) in known {
        let line = |row: &Row<'_>| Ok((row.get(0)?, Line { source: row.get(1)?, at: row.get(2)? }));
        // A later line takes the place of an earlier one.
        let last: HashMap<SampleId, Line> = lines.query_map([&task], line)?.collect::<Result<_, _>>()?;
        let samples = samples.query_map([&task], |row| stored_sample(row, &last))?.collect::<Result<_, _>>()?;
        let heads = reader::list_heads(connection, &task)?;
        tasks.insert(task, StoredTask { samples, heads, training, live, state });
    }
    Ok(tasks)
}

/// Who gave a label or took it away, and when.
struct Line {
    source: LabelSource,
    at: Timestamp,
}

/// A sample of [`SAMPLES`]; `last` has the last line of each image in the history of the task's labels. A prediction that was
/// answered by a label is no longer open.
fn stored_sample(row: &Row<'_>, last: &HashMap<SampleId, Line>) -> rusqlite::Result<StoredSample> {
    let (id, label): (SampleId, Option<Label>) = (row.get(0)?, row.get(1)?);
    let answered = last.get(&id);
    let removed = answered.filter(|_| label.is_none());
    let predicted: Option<Label> = if answered.is_some() { None } else { row.get(4)? };
    Ok(StoredSample {
        id,
        label: label.zip(row.get(2)?),
        removed_by: removed.map(|line| line.source),
        spoken_at: removed.map_or_else(|| row.get(3), |line| Ok(Some(line.at)))?,
        folder: row.get(6)?,
        in_doubt: row.get(7)?,
        excluded: row.get(8)?,
        predicted: predicted.zip(row.get(5)?),
    })
}

/// Version 1 did not store the head that predicted: 0.
const SAMPLES: &str = "
    SELECT image, label, label_source, labelled_at, predicted, coalesce(predicted_head, 0), folder, in_doubt, excluded
    FROM task_samples CROSS JOIN samples ON number = sample WHERE task = ?1 ORDER BY sample";

/// Read once: looked up, it would be searched for each sample.
const LINES: &str = "SELECT image, source, at FROM label_history WHERE task = ?1 AND excluded IS NULL ORDER BY number";

const AWAITED: &str =
    "SELECT task, prefix, label, source, at, change, former, former_change FROM awaited_labels ORDER BY number";

/// The value of a column with JSON; the default where it is NULL.
pub(super) fn from_json<T: DeserializeOwned + Default>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let json = row.get_ref(column)?.as_str_or_null()?;
    json.map_or_else(|| Ok(T::default()), serde_json::from_str).map_err(|error| damaged(column, error))
}

/// Every row of `sql`.
fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    Ok(connection.prepare(sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
}
