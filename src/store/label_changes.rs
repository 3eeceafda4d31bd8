//! Queries for the history of labels: what an image was ever given, and what one change did. A line that excludes an image
//! or takes it back is no label; each query says which of the two it is about.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::{Fault, StoreError};
use super::reader::Reader;
use super::redo::About;
use crate::engine::{Before, ChangedImage, LabelSource, StoredChange};
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// A line of an image's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelLine {
    /// The new label; `None` when it was removed.
    pub label: Option<Label>,
    /// Whether the image was excluded, or taken back; `None` where the line is about its label.
    pub excluded: Option<bool>,
    /// Where the label or exclusion came from.
    pub source: LabelSource,
    /// When.
    pub at: Timestamp,
    /// The number of the change that it belongs to; `None` where nobody can undo it.
    pub change: Option<u64>,
    /// Whether it was undone.
    pub undone: bool,
}

/// The change with the highest number that is not undone, of those up to a number.
const LATEST: &str = "
    SELECT max(change) FROM (SELECT * FROM (SELECT change FROM label_history WHERE undone = 0 AND change <= ?1
                                            ORDER BY change DESC LIMIT 1)
                             UNION ALL SELECT change FROM awaited_labels WHERE change <= ?1)";

/// Who made a change, when, and whether it is undone. A label that waits for its image may be from before the change, as
/// one that was renamed is.
const MADE: &str = "
    SELECT source, at, undone
    FROM (SELECT source, at, undone, 0 AS waits FROM label_history WHERE change = ?1
          UNION ALL SELECT source, at, 0, 1 FROM awaited_labels WHERE ?1 IN (change, former_change))
    ORDER BY undone, waits, at LIMIT 1";

/// The images of a change in its order, each in the tasks that it labels or excludes it in: whether what is so now came by
/// it, and how the image is without it. Labels are compared with labels, exclusions with exclusions. What was undone, and
/// what undoing brought back, has no part in either.
const IMAGES: &str = "
    SELECT task, image, is_label,
           (SELECT change FROM label_history
            WHERE image = changed.image AND task = changed.task AND (excluded IS NULL) = is_label
                  AND undone = 0 AND source <> ?2
            ORDER BY number DESC LIMIT 1) IS ?1,
           (SELECT iif(is_label, label, excluded) FROM label_history
            WHERE image = changed.image AND task = changed.task AND (excluded IS NULL) = is_label
                  AND undone = 0 AND source <> ?2 AND change IS NOT ?1
            ORDER BY number DESC LIMIT 1)
    FROM (SELECT task, image, excluded IS NULL AS is_label, min(number) AS first
          FROM label_history WHERE change = ?1 GROUP BY image, task, is_label) AS changed
    ORDER BY first";

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Every label that a sample was ever given in a task, and whether it was excluded, oldest first.
    pub fn label_history(&self, task: &TaskId, id: &SampleId) -> Result<Vec<LabelLine>, StoreError> {
        self.read_about(About::Settled, |connection| {
            let sql = "SELECT label, source, at, change, undone, excluded FROM label_history
                       WHERE image = ?1 AND task = ?2 ORDER BY number";
            let line = |row: &Row<'_>| {
                Ok(LabelLine {
                    label: row.get(0)?,
                    source: row.get(1)?,
                    at: row.get(2)?,
                    change: row.get(3)?,
                    undone: row.get(4)?,
                    excluded: row.get(5)?,
                })
            };
            Ok(connection.prepare_cached(sql)?.query_map(params![id, task], line)?.collect::<Result<_, _>>()?)
        })
    }

    /// The change with this number, or the latest one up to `newest` that is not undone; `None` where there is none.
    pub fn change(&self, number: Option<u64>, newest: u64) -> Result<Option<StoredChange>, StoreError> {
        self.read(|connection| {
            let latest = || connection.prepare_cached(LATEST)?.query_row([newest], |row| row.get::<_, Option<u64>>(0));
            match number.map_or_else(latest, |number| Ok(Some(number)))? {
                Some(number) => stored_change(connection, number),
                None => Ok(None),
            }
        })
    }
}

fn stored_change(connection: &Connection, number: u64) -> Result<Option<StoredChange>, Fault> {
    let made = connection
        .prepare_cached(MADE)?
        .query_row([number], |row| Ok((row.get::<_, LabelSource>(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((source, at, is_undone)) = made else { return Ok(None) };
    let image = |row: &Row<'_>| {
        let before = if row.get(2)? {
            Before::Label(row.get(4)?)
        } else {
            Before::Excluded(row.get::<_, Option<bool>>(4)?.unwrap_or(false))
        };
        Ok(ChangedImage { task: row.get(0)?, id: row.get(1)?, is_present: row.get(3)?, before })
    };
    let mut select = connection.prepare_cached(IMAGES)?;
    let images = select.query_map(params![number, LabelSource::Undo], image)?.collect::<Result<_, _>>()?;
    Ok(Some(StoredChange { number, source, at, is_undone, images }))
}
