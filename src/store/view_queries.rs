//! Queries for who looks at all samples of a task at once. Rows are handed over one by one: a store may have very many.

use rusqlite::{OptionalExtension, params};

use super::columns::damaged;
use super::error::StoreError;
use super::reader::{Reader, append_vector};
use super::redo::About;
use crate::words::{SampleId, TaskId, Timestamp};

/// A sample as the list of all of them has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexRow<'a> {
    /// The sample.
    pub id: SampleId,
    /// Its label.
    pub label: Option<&'a str>,
    /// The class that was predicted on arrival, and its probability.
    pub predicted: Option<(&'a str, f32)>,
    /// When it was first seen.
    pub arrived_at: Timestamp,
    /// The first image of its burst.
    pub group: SampleId,
    /// Whether it is left out of trainings and lists.
    pub excluded: bool,
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Hands over every sample that a task looks at, in the order of arrival.
    pub fn each_index_row(&self, task: &TaskId, mut each: impl FnMut(IndexRow<'_>)) -> Result<(), StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT image, label, predicted, probability, arrived_at, burst, excluded
                 FROM task_samples CROSS JOIN samples ON number = sample WHERE task = ?1 ORDER BY sample",
            )?;
            let mut rows = select.query([task])?;
            while let Some(row) = rows.next()? {
                let text = |column| row.get_ref(column)?.as_str_or_null().map_err(|error| damaged(column, error));
                let predicted = text(2)?.map(|class| Ok::<_, rusqlite::Error>((class, row.get(3)?))).transpose()?;
                let (id, arrived_at, group, excluded) = (row.get(0)?, row.get(4)?, row.get(5)?, row.get(6)?);
                each(IndexRow { id, label: text(1)?, predicted, arrived_at, group, excluded });
            }
            Ok(())
        })
    }

    /// Hands over every sample that a task looks at, in the order of arrival, with its embedding (dim,) where it has one.
    pub fn each_embedding(
        &self,
        task: &TaskId,
        mut each: impl FnMut(SampleId, Option<&[f32]>),
    ) -> Result<(), StoreError> {
        self.read_for(task, |connection, looked| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT samples.image, vector FROM task_samples CROSS JOIN samples ON number = sample
                 LEFT JOIN embeddings ON embeddings.image = samples.image AND embeddings.space = {}
                 WHERE task = ?1 ORDER BY sample",
                looked.space
            ))?;
            let (mut rows, mut vector) = (select.query([task])?, Vec::new());
            while let Some(row) = rows.next()? {
                vector.clear();
                let is_there = row.get_ref(1)?.as_blob_or_null().map_err(|error| damaged(1, error))?.is_some();
                if is_there {
                    append_vector(row, 1, looked.dim, &mut vector)?;
                }
                each(row.get(0)?, is_there.then_some(&vector));
            }
            Ok(())
        })
    }

    /// Hands over every sample that is labelled in a task, in the order of arrival, with its label and its embedding (dim,);
    /// those without an embedding are left out, and those that are excluded.
    pub fn each_labelled(&self, task: &TaskId, mut each: impl FnMut(SampleId, &str, &[f32])) -> Result<(), StoreError> {
        self.read_for(task, |connection, looked| {
            let mut select = connection.prepare_cached(&format!(
                "SELECT samples.image, label, vector FROM task_samples CROSS JOIN samples ON number = sample
                 CROSS JOIN embeddings ON embeddings.image = samples.image AND embeddings.space = {}
                 WHERE task = ?1 AND label IS NOT NULL AND NOT excluded ORDER BY sample",
                looked.space
            ))?;
            let (mut rows, mut vector) = (select.query([task])?, Vec::new());
            while let Some(row) = rows.next()? {
                vector.clear();
                append_vector(row, 2, looked.dim, &mut vector)?;
                each(row.get(0)?, row.get_ref(1)?.as_str().map_err(|error| damaged(1, error))?, &vector);
            }
            Ok(())
        })
    }

    /// The sample whose identity begins with these bytes; `None` where there is none, or more than one.
    pub fn sample_beginning(&self, start: &[u8]) -> Result<Option<SampleId>, StoreError> {
        // Whatever begins with these bytes is not behind them with nothing but ones.
        let mut last = [0xff; 32];
        let Some(begin) = last.get_mut(..start.len()) else { return Ok(None) };
        begin.copy_from_slice(start);
        self.read(|connection| {
            let sql = "SELECT image FROM samples WHERE image BETWEEN ?1 AND ?2 LIMIT 2";
            let mut find = connection.prepare_cached(sql)?;
            let found: Vec<SampleId> =
                find.query_map(params![start, last.as_slice()], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(if let [only] = found[..] { Some(only) } else { None })
        })
    }

    /// The embedding (dim,) through which a task looks at a sample now; `None` where it has none, or does not look at it.
    pub fn embedding_for(&self, task: &TaskId, id: &SampleId) -> Result<Option<Vec<f32>>, StoreError> {
        self.read_about_for(About::Samples(&[*id]), task, |connection, looked| {
            let mut find = connection.prepare_cached(&format!(
                "SELECT vector FROM samples CROSS JOIN task_samples ON sample = number
                 CROSS JOIN embeddings ON embeddings.image = samples.image AND embeddings.space = {}
                 WHERE samples.image = ?2 AND task = ?1",
                looked.space
            ))?;
            let found = find.query_row(params![task, id], |row| {
                let mut vector = Vec::with_capacity(looked.dim);
                append_vector(row, 0, looked.dim, &mut vector)?;
                Ok(vector)
            });
            Ok(found.optional()?)
        })
    }
}
