//! Queries for training and for the review list: labelled and unlabelled samples with their embeddings. One that is
//! excluded is neither: here it has no label, and none is asked for.
//!
//! Embeddings are those through which the task looks at a sample now; a sample without one is left out where a row needs one.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Axis};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{damaged, origin};
use super::error::{Fault, StoreError};
use super::reader::{Reader, append_vector, embedding};
use super::redo::About;
use super::snapshot::from_json;
use super::spaces::{Looked, space_number};
use crate::engine::{LabelSource, TrainingState};
use crate::words::{EmbeddingSpace, Label, Origin, SampleId, TaskId, Timestamp};

/// The labelled samples that have an embedding, in the order of their identities: row i belongs to `ids[i]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LabelledSamples {
    /// (n,)
    pub ids: Vec<SampleId>,
    /// (n,)
    pub labels: Vec<Label>,
    /// (n,) first image of each one's burst.
    pub groups: Vec<SampleId>,
    /// (n, dim)
    pub embeddings: Array2<f32>,
}

/// A sample with its present label.
#[derive(Debug, Clone, PartialEq)]
pub struct CurrentLabel {
    /// The sample.
    pub id: SampleId,
    /// Its label; `None` when it has none, or has none any more, or is excluded.
    pub label: Option<Label>,
    /// (dim,); `None` when it was not embedded in the present space yet.
    pub embedding: Option<Vec<f32>>,
    /// When the label was given; there exactly when `label` is.
    pub labelled_at: Option<Timestamp>,
    /// The first image of its burst.
    pub group: SampleId,
    /// Whether it is excluded.
    pub excluded: bool,
}

/// How a sample came by its present label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelOrigin {
    /// When it was given last.
    pub at: Timestamp,
    /// By whom.
    pub source: LabelSource,
    /// Whether it was given twice running, as by a person who confirms it.
    pub is_confirmed: bool,
}

impl LabelledSamples {
    /// Those that `keep` names, in the same order.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&SampleId) -> bool) -> Self {
        let places: Vec<usize> = (0..self.ids.len()).filter(|&place| keep(&self.ids[place])).collect();
        Self {
            ids: places.iter().map(|&place| self.ids[place]).collect(),
            labels: places.iter().map(|&place| self.labels[place].clone()).collect(),
            groups: places.iter().map(|&place| self.groups[place]).collect(),
            embeddings: self.embeddings.select(Axis(0), &places),
        }
    }
}

/// Samples without a label, oldest first: row i belongs to `ids[i]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnlabelledSamples {
    /// (n,)
    pub ids: Vec<SampleId>,
    /// (n,) first image of each one's burst.
    pub groups: Vec<SampleId>,
    /// (n,)
    pub arrived_at: Vec<Timestamp>,
    /// (n,) where each was first seen.
    pub origins: Vec<Origin>,
    /// (n, dim)
    pub embeddings: Array2<f32>,
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// All samples that are labelled in a task, with an embedding.
    pub fn labelled(&self, task: &TaskId) -> Result<LabelledSamples, StoreError> {
        self.read_about_for(About::Labelled, task, |connection, looked| {
            let ids: Vec<SampleId> = labelled_ids(connection, task, &looked)?.into_iter().map(|(id, ..)| id).collect();
            labelled_of(connection, task, &looked, &ids)
        })
    }

    /// Identity, label and group of the same samples, in the order of identities.
    pub fn labelled_ids(&self, task: &TaskId) -> Result<Vec<(SampleId, Label, SampleId)>, StoreError> {
        self.read_about_for(About::Labelled, task, |connection, looked| labelled_ids(connection, task, &looked))
    }

    /// Those of `ids` that are labelled in a task and have an embedding; each once, in the order of identities.
    pub fn labelled_of(&self, task: &TaskId, ids: &[SampleId]) -> Result<LabelledSamples, StoreError> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        self.read_about_for(About::Labelled, task, |connection, looked| labelled_of(connection, task, &looked, &ids))
    }

    /// The present labels in a task of these samples, in their order; those that are not stored are left out.
    pub fn labels_of(&self, task: &TaskId, ids: &[SampleId]) -> Result<Vec<CurrentLabel>, StoreError> {
        self.read_about_for(About::Samples(ids), task, |connection, Looked { space, dim, .. }| {
            let mut find = connection.prepare_cached(&format!(
                "SELECT samples.image, burst, iif(excluded, NULL, label), iif(excluded, NULL, labelled_at), vector,
                        coalesce(excluded, 0)
                 FROM samples LEFT JOIN task_samples ON sample = number AND task = ?1
                 LEFT JOIN embeddings ON embeddings.image = samples.image AND embeddings.space = {space}
                 WHERE samples.image = ?2"
            ))?;
            let found = ids.iter().map(|id| find.query_row(params![task, id], |row| now(row, dim)).optional());
            Ok(found.filter_map(Result::transpose).collect::<Result<_, _>>()?)
        })
    }

    /// The samples with an embedding whose label in a task was given at or after `since`, the earliest label first;
    /// all that are labelled without a time.
    pub fn labelled_since(&self, task: &TaskId, since: Option<Timestamp>) -> Result<Vec<CurrentLabel>, StoreError> {
        self.read_about_for(About::Labelled, task, |connection, Looked { space, dim, .. }| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT samples.image, burst, label, labelled_at, vector, excluded
                 FROM task_samples CROSS JOIN samples ON number = sample
                 CROSS JOIN embeddings ON embeddings.image = samples.image AND embeddings.space = {space}
                 WHERE task = ?1 AND labelled_at >= ?2 AND excluded = 0 ORDER BY labelled_at, sample"
            ))?;
            let since = since.map_or(i64::MIN, |since| since.0);
            Ok(select.query_map(params![task, since], |row| now(row, dim))?.collect::<Result<_, _>>()?)
        })
    }

    /// The latest `limit` samples without a label in a task that arrived at or after `since`, oldest first.
    pub fn unlabelled(
        &self,
        task: &TaskId,
        limit: usize,
        since: Option<Timestamp>,
    ) -> Result<UnlabelledSamples, StoreError> {
        self.read_ahead_for(task, |connection, Looked { space, dim, .. }| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT * FROM (SELECT samples.image, burst, arrived_at, path, source, vector, sample
                                FROM task_samples CROSS JOIN samples ON number = sample
                                CROSS JOIN embeddings
                                    ON embeddings.image = samples.image AND embeddings.space = {space}
                                WHERE task = ?1 AND label IS NULL AND excluded = 0 AND arrived_at >= ?2
                                ORDER BY sample DESC LIMIT ?3)
                 ORDER BY sample"
            ))?;
            let (mut found, mut values) = (UnlabelledSamples::default(), Vec::new());
            let mut rows = select.query(params![task, since.map_or(i64::MIN, |since| since.0), sql_limit(limit)])?;
            while let Some(row) = rows.next()? {
                found.ids.push(row.get(0)?);
                found.groups.push(row.get(1)?);
                found.arrived_at.push(row.get(2)?);
                found.origins.push(origin(row, 3)?);
                append_vector(row, 5, dim, &mut values)?;
            }
            found.embeddings = matrix(found.ids.len(), dim, values)?;
            Ok(found)
        })
    }

    /// How every sample that is labelled in a task came by its label.
    pub fn label_origins(&self, task: &TaskId) -> Result<BTreeMap<SampleId, LabelOrigin>, StoreError> {
        self.read_about(About::Labelled, |connection| {
            let mut select = connection.prepare_cached(
                "SELECT image, labelled_at, label_source,
                        (SELECT count(label) = 2 AND min(label) = max(label)
                         FROM (SELECT label FROM label_history
                               WHERE image = samples.image AND task = ?2 AND undone = 0 AND source <> ?1
                                     AND label_history.excluded IS NULL
                               ORDER BY number DESC LIMIT 2))
                 FROM task_samples CROSS JOIN samples ON number = sample WHERE task = ?2 AND label IS NOT NULL",
            )?;
            let rows = select.query_map(params![LabelSource::Undo, task], |row| {
                Ok((row.get(0)?, LabelOrigin { at: row.get(1)?, source: row.get(2)?, is_confirmed: row.get(3)? }))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// The images whose labels the last training of a task left out.
    pub fn disbelieved(&self, task: &TaskId) -> Result<BTreeSet<SampleId>, StoreError> {
        self.read_about(About::Settled, |connection| {
            let mut find = connection.prepare_cached("SELECT training FROM tasks WHERE task = ?1")?;
            let state: Option<TrainingState> = find.query_row([task], |row| from_json(row, 0)).optional()?;
            let disbelieved = state.and_then(|state| state.disbelieved);
            Ok(disbelieved.map_or_else(BTreeSet::new, |disbelieved| disbelieved.images))
        })
    }

    /// The statistics of all labels of a task in its present space, as they were last written.
    pub fn statistics(&self, task: &TaskId) -> Result<Option<Vec<u8>>, StoreError> {
        self.read_about_for(About::Settled, task, |connection, looked| {
            let mut find = connection.prepare_cached("SELECT file FROM statistics WHERE task = ?1 AND space = ?2")?;
            Ok(find.query_row(params![task, looked.first], |row| row.get(0)).optional()?)
        })
    }

    /// The embedding (dim,) of an image in a space, whether it is a sample or not.
    pub fn embedding(&self, id: &SampleId, space: &EmbeddingSpace) -> Result<Option<Vec<f32>>, StoreError> {
        self.read_about(About::Samples(&[*id]), |connection| match space_number(connection, space)? {
            Some(number) => embedding(connection, number, space.dim, id),
            None => Ok(None),
        })
    }
}

fn labelled_ids(
    connection: &Connection,
    task: &TaskId,
    looked: &Looked,
) -> Result<Vec<(SampleId, Label, SampleId)>, Fault> {
    let mut select = connection.prepare_cached(&format!(
        "SELECT samples.image, label, burst FROM task_samples CROSS JOIN samples ON number = sample
         CROSS JOIN embeddings ON embeddings.image = samples.image AND embeddings.space = {}
         WHERE task = ?1 AND label IS NOT NULL AND excluded = 0 ORDER BY samples.image",
        looked.space
    ))?;
    let rows = select.query_map([task], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Of `ids` those with a label in the task and an embedding, in their order.
fn labelled_of(
    connection: &Connection,
    task: &TaskId,
    Looked { space, dim, .. }: &Looked,
    ids: &[SampleId],
) -> Result<LabelledSamples, Fault> {
    let mut find = connection.prepare_cached(&format!(
        "SELECT label, burst, vector FROM samples CROSS JOIN task_samples ON sample = number
         CROSS JOIN embeddings ON embeddings.image = samples.image AND embeddings.space = {space}
         WHERE samples.image = ?2 AND task = ?1 AND label IS NOT NULL AND excluded = 0"
    ))?;
    let (mut found, mut values) = (LabelledSamples::default(), Vec::with_capacity(ids.len() * dim));
    for id in ids {
        let mut rows = find.query(params![task, id])?;
        if let Some(row) = rows.next()? {
            found.ids.push(*id);
            found.labels.push(row.get(0)?);
            found.groups.push(row.get(1)?);
            append_vector(row, 2, *dim, &mut values)?;
        }
    }
    found.embeddings = matrix(found.ids.len(), *dim, values)?;
    Ok(found)
}

/// A row of identity, burst, label, its time, a vector that may be missing, and whether it is excluded.
fn now(row: &Row<'_>, dim: usize) -> rusqlite::Result<CurrentLabel> {
    let embedding = if row.get_ref(4)? == ValueRef::Null {
        None
    } else {
        let mut embedding = Vec::with_capacity(dim);
        append_vector(row, 4, dim, &mut embedding)?;
        Some(embedding)
    };
    Ok(CurrentLabel {
        id: row.get(0)?,
        group: row.get(1)?,
        label: row.get(2)?,
        labelled_at: row.get(3)?,
        embedding,
        excluded: row.get(5)?,
    })
}

fn matrix(n: usize, dim: usize, values: Vec<f32>) -> rusqlite::Result<Array2<f32>> {
    Array2::from_shape_vec((n, dim), values).map_err(|error| damaged(4, error))
}

/// A limit as `SQLite` takes it.
fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
