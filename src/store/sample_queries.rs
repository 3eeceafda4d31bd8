//! Queries for lists of samples and for eviction.

use std::path::PathBuf;

use rusqlite::{OptionalExtension, params};

use super::columns::PathBytes;
use super::error::StoreError;
use super::reader::Reader;
use crate::engine::{LabelSource, Predicted};
use crate::words::{Label, SampleId, Timestamp};

/// Everything that is known of a sample but its embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSample {
    /// The sample.
    pub id: SampleId,
    /// Where it was first seen.
    pub path: PathBuf,
    /// Its label, its source and its time.
    pub label: Option<(Label, LabelSource, Timestamp)>,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// The prediction made then.
    pub predicted: Option<Predicted>,
    /// The first image of its burst.
    pub group: SampleId,
}

/// Which samples to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleFilter<'a> {
    /// The largest number of samples.
    pub limit: usize,
    /// Only those that arrived after this one.
    pub after: Option<&'a SampleId>,
    /// Only those with this label.
    pub label: Option<&'a Label>,
    /// Only those without a label.
    pub unlabelled: bool,
}

/// A sample without its path and prediction: what eviction and folds need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRow {
    /// The sample.
    pub id: SampleId,
    /// The first image of its burst.
    pub group: SampleId,
    /// Its present label.
    pub label: Option<Label>,
    /// Rises with the order of arrival.
    pub number: u64,
}

const SAMPLE: &str = "SELECT image, path, label, label_source, labelled_at, arrived_at, predicted, probability,
                             coalesce(predicted_head, 0), burst
                      FROM samples";

fn sample(row: &rusqlite::Row<'_>) -> rusqlite::Result<ListedSample> {
    let PathBytes(path) = row.get(1)?;
    let label: Option<Label> = row.get(2)?;
    let predicted: Option<Label> = row.get(6)?;
    Ok(ListedSample {
        id: row.get(0)?,
        path,
        label: label.map(|label| Ok::<_, rusqlite::Error>((label, row.get(3)?, row.get(4)?))).transpose()?,
        arrived_at: row.get(5)?,
        predicted: predicted
            .map(|label| Ok::<_, rusqlite::Error>(Predicted { label, probability: row.get(7)?, head: row.get(8)? }))
            .transpose()?,
        group: row.get(9)?,
    })
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Every sample, in the order of arrival.
    pub fn samples(&self) -> Result<Vec<ListedSample>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!("{SAMPLE} ORDER BY number"))?;
            Ok(select.query_map([], sample)?.collect::<Result<_, _>>()?)
        })
    }

    /// The first samples that match, in the order of arrival; `None` when the sample to start after is not stored.
    pub fn samples_of(&self, choice: &SampleFilter<'_>) -> Result<Option<Vec<ListedSample>>, StoreError> {
        self.read(|connection| {
            let after: Option<i64> = match choice.after {
                None => Some(i64::MIN),
                Some(id) => connection
                    .prepare_cached("SELECT number FROM samples WHERE image = ?1")?
                    .query_row([id], |row| row.get(0))
                    .optional()?,
            };
            let Some(after) = after else { return Ok(None) };
            let mut select = connection.prepare_cached(&format!(
                "{SAMPLE} WHERE number > ?1 AND (?2 IS NULL OR label = ?2) AND (label IS NULL OR NOT ?3)
                 ORDER BY number LIMIT ?4"
            ))?;
            let rows = select.query_map(params![after, choice.label, choice.unlabelled, choice.limit], sample)?;
            Ok(Some(rows.collect::<Result<_, _>>()?))
        })
    }

    /// Every sample, without path and prediction, in the order of arrival.
    pub fn sample_rows(&self) -> Result<Vec<SampleRow>, StoreError> {
        self.read(|connection| {
            let mut select =
                connection.prepare_cached("SELECT image, burst, label, number FROM samples ORDER BY number")?;
            let rows = select.query_map([], |row| {
                Ok(SampleRow { id: row.get(0)?, group: row.get(1)?, label: row.get(2)?, number: row.get(3)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Where a sample was first seen.
    pub fn path(&self, id: &SampleId) -> Result<Option<PathBuf>, StoreError> {
        self.read(|connection| {
            let mut find = connection.prepare_cached("SELECT path FROM samples WHERE image = ?1")?;
            Ok(find.query_row([id], |row| row.get(0).map(|PathBytes(path)| path)).optional()?)
        })
    }
}
