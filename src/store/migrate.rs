//! The schema and its versions.
//!
//! `PRAGMA user_version` counts the [`MIGRATIONS`] that were applied to a file. A released migration is never edited; a
//! change is a new one at the end.

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::error::Fault;
use super::sql::damaged;

/// `edtu`: marks the file as this program's.
pub(super) const APPLICATION_ID: i64 = 0x6564_7475;

/// Number of the newest schema.
pub(super) const NEWEST: i64 = MIGRATIONS.len() as i64;

/// Migration i brings a file from version i to i + 1.
const MIGRATIONS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")];

/// The kind of a file, by its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Ours, or empty, with this schema version.
    Ours(i64),
    /// A database of another program.
    Foreign,
}

/// The kind of the opened file, which is not changed.
pub(super) fn kind(connection: &Connection) -> rusqlite::Result<Kind> {
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
pub(super) fn migrate(transaction: &Transaction<'_>) -> Result<(), Fault> {
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
