//! Stored heads: the row with what is known of one, and its file.

use rusqlite::{Connection, Row};

use super::error::Fault;
use super::sql::damaged;
use crate::engine::HeadInfo;
use crate::words::{EmbeddingSpace, HeadId, HeadRef, Label};

/// A stored head.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredHead {
    /// What is known without reading `bytes`.
    pub info: HeadInfo,
    /// The head's file, for [`crate::head::HeadRecord::from_bytes`].
    pub bytes: Vec<u8>,
}

/// The columns of [`info`], in its order.
const COLUMNS: &str = "heads.version, heads.id, created, spaces.backbone, preprocessing, dim, heads.backbone, classes, \
                       accuracy, status, reason, promoted_at";

/// All heads, oldest version first.
pub(super) fn list(connection: &Connection) -> Result<Vec<HeadInfo>, Fault> {
    let sql = format!("SELECT {COLUMNS} FROM heads JOIN spaces ON number = heads.space ORDER BY version");
    let heads = connection.prepare_cached(&sql)?.query_map([], info)?.collect::<Result<_, _>>()?;
    Ok(heads)
}

/// The one head for which `condition` holds.
pub(super) fn one(
    connection: &Connection,
    condition: &str,
    params: impl rusqlite::Params,
) -> Result<Option<StoredHead>, Fault> {
    let sql = format!("SELECT {COLUMNS}, file FROM heads JOIN spaces ON number = heads.space WHERE {condition}");
    let mut find = connection.prepare_cached(&sql)?;
    let mut rows = find.query(params)?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(StoredHead { info: info(row)?, bytes: row.get(12)? }))
}

fn info(row: &Row<'_>) -> rusqlite::Result<HeadInfo> {
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
