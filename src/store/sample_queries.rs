//! Queries for lists of samples and for eviction.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::origin;
use super::error::{Fault, StoreError};
use super::reader::Reader;
use super::redo::About;
use super::spaces::space_number;
use crate::engine::{LabelSource, Predicted};
use crate::words::{Label, Origin, Region, SampleId, TaskId, Timestamp};

/// Everything that a task knows of a sample but its embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedSample {
    /// The sample.
    pub id: SampleId,
    /// Where it was first seen.
    pub origin: Origin,
    /// Its label, its source and its time.
    pub label: Option<(Label, LabelSource, Timestamp)>,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// The prediction made then.
    pub predicted: Option<Predicted>,
    /// The first image of its burst.
    pub group: SampleId,
    /// Whether it is excluded from what the task learns.
    pub excluded: bool,
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

/// A sample without its origin and prediction: what folds need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleRow {
    /// The sample.
    pub id: SampleId,
    /// The first image of its burst.
    pub group: SampleId,
    /// Its present label; `None` for one that is excluded, which is in no fold.
    pub label: Option<Label>,
    /// Rises with the order of arrival.
    pub number: u64,
}

/// A sample as eviction sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvictableSample {
    /// The sample.
    pub id: SampleId,
    /// The first image of its burst.
    pub group: SampleId,
    /// Its labels in all tasks that learn from it, in the order of their names.
    pub labels: Vec<(TaskId, Label)>,
    /// Rises with the order of arrival.
    pub number: u64,
}

/// What tasks look at of a sample now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LookedAt {
    /// The sample.
    pub id: SampleId,
    /// The parts of the picture, each once.
    pub regions: Vec<Region>,
    /// Whether one of these tasks has a label for it.
    pub is_labelled: bool,
    /// Rises with the order of arrival.
    pub number: u64,
}

const SAMPLE: &str = "SELECT image, path, source, label, label_source, labelled_at, arrived_at, predicted, probability,
                             coalesce(predicted_head, 0), burst, excluded
                      FROM task_samples CROSS JOIN samples ON number = sample";

fn sample(row: &rusqlite::Row<'_>) -> rusqlite::Result<ListedSample> {
    let (label, predicted): (Option<Label>, Option<Label>) = (row.get(3)?, row.get(7)?);
    Ok(ListedSample {
        id: row.get(0)?,
        origin: origin(row, 1)?,
        label: label.map(|label| Ok::<_, rusqlite::Error>((label, row.get(4)?, row.get(5)?))).transpose()?,
        arrived_at: row.get(6)?,
        predicted: predicted
            .map(|label| Ok::<_, rusqlite::Error>(Predicted { label, probability: row.get(8)?, head: row.get(9)? }))
            .transpose()?,
        group: row.get(10)?,
        excluded: row.get(11)?,
    })
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Every sample that a task looks at, in the order of arrival.
    pub fn samples(&self, task: &TaskId) -> Result<Vec<ListedSample>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(&format!("{SAMPLE} WHERE task = ?1 ORDER BY sample"))?;
            Ok(select.query_map([task], sample)?.collect::<Result<_, _>>()?)
        })
    }

    /// The first samples of a task that match, in the order of arrival; `None` when the sample to start after is not
    /// stored.
    pub fn samples_of(
        &self,
        task: &TaskId,
        choice: &SampleFilter<'_>,
    ) -> Result<Option<Vec<ListedSample>>, StoreError> {
        self.read(|connection| {
            let Some(after) = place(connection, choice.after)? else { return Ok(None) };
            let mut select = connection.prepare_cached(&format!(
                "{SAMPLE} WHERE sample > ?1 AND task = ?2 AND (?3 IS NULL OR label = ?3) AND (label IS NULL OR NOT ?4)
                 ORDER BY sample LIMIT ?5"
            ))?;
            let choice = params![after, task, choice.label, choice.unlabelled, choice.limit];
            Ok(Some(select.query_map(choice, sample)?.collect::<Result<_, _>>()?))
        })
    }

    /// Every sample that a task looks at, without origin and prediction, in the order of arrival.
    pub fn sample_rows(&self, task: &TaskId) -> Result<Vec<SampleRow>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT image, burst, iif(excluded, NULL, label), number FROM task_samples CROSS JOIN samples ON number = sample
                 WHERE task = ?1 ORDER BY sample",
            )?;
            let rows = select.query_map([task], |row| {
                Ok(SampleRow { id: row.get(0)?, group: row.get(1)?, label: row.get(2)?, number: row.get(3)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The samples that are in a fold of a task, with the first image of each one's burst and the label, in the order of
    /// arrival.
    pub fn folded(&self, task: &TaskId) -> Result<Vec<(SampleId, SampleId, Label)>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT image, burst, label FROM task_samples CROSS JOIN samples ON number = sample
                 WHERE task = ?1 AND label IS NOT NULL AND NOT excluded ORDER BY sample",
            )?;
            let rows = select.query_map([task], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Every sample with its labels in all tasks, in the order of arrival.
    pub fn evictable(&self) -> Result<Vec<EvictableSample>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT image, burst, number, task, label
                 FROM samples LEFT JOIN task_samples ON sample = number AND label IS NOT NULL AND excluded = 0
                 ORDER BY number, task",
            )?;
            let mut found: Vec<EvictableSample> = Vec::new();
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let number = row.get(2)?;
                if found.last().is_none_or(|last| last.number != number) {
                    let (id, group) = (row.get(0)?, row.get(1)?);
                    found.push(EvictableSample { id, group, labels: Vec::new(), number });
                }
                if let (Some(task), Some(last)) = (row.get(3)?, found.last_mut()) {
                    last.labels.push((task, row.get(4)?));
                }
            }
            Ok(found)
        })
    }

    /// Every sample that a task looks at through a space in use, in the order of arrival.
    pub fn looked_at(&self) -> Result<Vec<LookedAt>, StoreError> {
        let mut found: BTreeMap<u64, LookedAt> = BTreeMap::new();
        for task in self.spaces().tasks() {
            let parts = self.spaces().of(task);
            self.read_for(task, |connection, looked| {
                let numbered = parts.iter().map(|(region, space)| Ok((space_number(connection, space)?, region)));
                let regions = numbered.collect::<Result<BTreeMap<_, _>, Fault>>()?;
                let mut select = connection.prepare_cached(&format!(
                    "SELECT image, number, label IS NOT NULL, {} FROM task_samples CROSS JOIN samples ON number = sample
                     WHERE task = ?1",
                    looked.space
                ))?;
                let mut rows = select.query([task])?;
                while let Some(row) = rows.next()? {
                    let space: Option<i64> = row.get(3)?;
                    let Some(region) = space.and_then(|space| regions.get(&Some(space))) else { continue };
                    let (id, number, is_labelled) = (row.get(0)?, row.get(1)?, row.get::<_, bool>(2)?);
                    let new = LookedAt { id, regions: Vec::new(), is_labelled, number };
                    let sample = found.entry(number).or_insert(new);
                    sample.is_labelled |= is_labelled;
                    if !sample.regions.contains(region) {
                        sample.regions.push((*region).clone());
                    }
                }
                Ok(())
            })?;
        }
        Ok(found.into_values().collect())
    }

    /// Where a sample was first seen.
    pub fn origin(&self, id: &SampleId) -> Result<Option<Origin>, StoreError> {
        self.read_about(About::Samples(&[*id]), |connection| {
            let mut find = connection.prepare_cached("SELECT path, source FROM samples WHERE image = ?1")?;
            Ok(find.query_row([id], |row| origin(row, 0)).optional()?)
        })
    }
}

/// The number of a sample, before all of them without one; `None` where it is not stored.
fn place(connection: &Connection, sample: Option<&SampleId>) -> Result<Option<i64>, Fault> {
    let Some(id) = sample else { return Ok(Some(i64::MIN)) };
    let mut find = connection.prepare_cached("SELECT number FROM samples WHERE image = ?1")?;
    Ok(find.query_row([id], |row| row.get(0)).optional()?)
}
