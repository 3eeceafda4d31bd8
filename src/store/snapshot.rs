//! The tables as the engine's memory at start.

use rusqlite::{Connection, Row};

use super::error::Fault;
use super::heads;
use super::sql::damaged;
use crate::engine::{AwaitedLabel, LedgerEntry, Snapshot, Spooled, TrainingMemory};
use crate::words::Label;

pub(super) fn snapshot(connection: &Connection) -> Result<Snapshot, Fault> {
    let (seq, training) = connection.query_row("SELECT seq, training FROM state", [], |row| {
        let json = row.get_ref(1)?.as_str_or_null()?;
        let training = json.map_or_else(|| Ok(TrainingMemory::default()), serde_json::from_str);
        Ok((row.get(0)?, training.map_err(|error| damaged(1, error))?))
    })?;
    Ok(Snapshot {
        samples: all(connection, "SELECT image, label, label_source FROM samples ORDER BY number", |row| {
            let label: Option<Label> = row.get(1)?;
            Ok((row.get(0)?, label.zip(row.get(2)?)))
        })?,
        awaited: all(connection, "SELECT prefix, label, source, at FROM awaited_labels ORDER BY number", |row| {
            Ok(AwaitedLabel { prefix: row.get(0)?, label: row.get(1)?, source: row.get(2)?, at: row.get(3)? })
        })?,
        ledger: all(connection, r#"SELECT "transaction", name, answer, at FROM ledger ORDER BY number"#, |row| {
            Ok(LedgerEntry { transaction: row.get(0)?, name: row.get(1)?, answer: row.get(2)?, at: row.get(3)? })
        })?,
        outbox: all(
            connection,
            "SELECT seq, octet_length(topic) + length(payload), made_at FROM outbox ORDER BY seq",
            |row| Ok(Spooled { seq: row.get(0)?, bytes: row.get(1)?, made_at: row.get(2)? }),
        )?,
        seq,
        heads: heads::list(connection)?,
        training,
        quarantined: connection.query_row("SELECT count(reason) FROM files", [], |row| row.get(0))?,
    })
}

/// Every row of `sql`.
fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, Fault> {
    Ok(connection.prepare(sql)?.query_map([], read)?.collect::<Result<_, _>>()?)
}
