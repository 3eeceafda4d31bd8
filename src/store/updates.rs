//! The state of updates for each kind, and the chunks of those in progress.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::damaged;
use super::error::{Fault, StoreError};
use super::reader::Reader;
use crate::engine::{StoredUpdate, UpdateRecord};
use crate::wire::UpdateKind;

/// The stored state of each kind.
pub(super) fn all(connection: &Connection) -> Result<BTreeMap<UpdateKind, StoredUpdate>, Fault> {
    let one = |kind: UpdateKind| -> Result<(UpdateKind, StoredUpdate), Fault> {
        let read = |row: &Row<'_>| serde_json::from_str(row.get_ref(0)?.as_str()?).map_err(|error| damaged(0, error));
        let memory: Option<UpdateRecord> =
            connection.query_row("SELECT memory FROM updates WHERE kind = ?1", [kind.as_str()], read).optional()?;
        let mut select = connection.prepare("SELECT n FROM chunks WHERE kind = ?1 ORDER BY n")?;
        let chunks = select.query_map([kind.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok((kind, StoredUpdate { memory: memory.unwrap_or_default(), chunks }))
    };
    UpdateKind::ALL.into_iter().map(one).collect()
}

impl super::commit::Applier<'_> {
    pub(super) fn update(&self, kind: UpdateKind, memory: &UpdateRecord) -> Result<(), Fault> {
        let json = serde_json::to_string(memory).expect("plain fields are JSON");
        self.run(
            "INSERT INTO updates (kind, memory) VALUES (?1, ?2) ON CONFLICT (kind) DO UPDATE SET memory = ?2",
            params![kind.as_str(), json],
        )
    }

    pub(super) fn chunk(&self, kind: UpdateKind, n: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.run(
            "INSERT INTO chunks (kind, n, bytes) VALUES (?1, ?2, ?3) ON CONFLICT (kind, n) DO NOTHING",
            params![kind.as_str(), n, bytes],
        )
    }
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Calls `take` with each chunk of the update in progress, from number 0 on, until it breaks.
    pub fn chunks(
        &self,
        kind: UpdateKind,
        mut take: impl FnMut(u32, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached("SELECT n, bytes FROM chunks WHERE kind = ?1 ORDER BY n")?;
            let mut rows = select.query([kind.as_str()])?;
            while let Some(row) = rows.next()? {
                let bytes = row.get_ref(1)?.as_blob().map_err(|error| damaged(1, error))?;
                if take(row.get(0)?, bytes).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}
