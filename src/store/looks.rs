//! Which tasks see which samples: through the embeddings of the present backbone and of the parts of pictures that they
//! look at now.

use rusqlite::{Connection, params};

use super::columns::origin;
use super::error::{Fault, StoreError};
use super::reader::Reader;
use super::redo::About;
use super::spaces::{looked, space_number};
use crate::words::{EmbeddingSpace, Origin, SampleId, TaskId};

/// A sample and the tasks that see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenSample {
    /// Rises with the order of arrival.
    pub number: u64,
    /// The sample.
    pub id: SampleId,
    /// Where one of its files is, or was last, or whose frame it is.
    pub origin: Origin,
    /// The tasks that have an embedding of it now, and in which space, in the order of their names.
    pub seen: Vec<(TaskId, EmbeddingSpace)>,
}

#[allow(clippy::missing_errors_doc, reason = "one sentence at the type says it for all")]
impl Reader {
    /// Whether a task is known to look at a sample through what is now this space, embedded or not.
    pub fn is_looked_at(&self, task: &TaskId, id: &SampleId, space: &EmbeddingSpace) -> Result<bool, StoreError> {
        self.read_about_for(About::Samples(&[*id]), task, |connection, looked| {
            let Some(number) = space_number(connection, space)? else { return Ok(false) };
            let mut find = connection.prepare_cached(&format!(
                "SELECT 1 FROM samples CROSS JOIN task_samples ON sample = number
                 WHERE samples.image = ?1 AND task = ?2 AND {} = ?3",
                looked.space
            ))?;
            Ok(find.exists(params![id, task, number])?)
        })
    }

    /// The next `limit` samples whose numbers are above `after`, in the order of arrival, with the tasks that see them.
    pub fn seen_samples(&self, after: u64, limit: usize) -> Result<Vec<SeenSample>, StoreError> {
        self.read(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT number, image, path, source FROM samples WHERE number > ?1 ORDER BY number LIMIT ?2",
            )?;
            let rows = select.query_map(params![after, limit], |row| {
                Ok(SeenSample { number: row.get(0)?, id: row.get(1)?, origin: origin(row, 2)?, seen: Vec::new() })
            })?;
            let mut samples = rows.collect::<Result<Vec<_>, _>>()?;
            if let (Some(first), Some(last)) = (samples.first(), samples.last()) {
                let (first, last) = (first.number, last.number);
                for task in self.spaces().tasks() {
                    for (number, space) in self.seen_between(connection, task, first, last)? {
                        if let Ok(place) = samples.binary_search_by_key(&number, |sample| sample.number) {
                            samples[place].seen.push((task.clone(), space));
                        }
                    }
                }
            }
            Ok(samples)
        })
    }

    /// The numbers of the samples from `first` to `last` that a task sees now, and in which spaces.
    fn seen_between(
        &self,
        connection: &Connection,
        task: &TaskId,
        first: u64,
        last: u64,
    ) -> Result<Vec<(u64, EmbeddingSpace)>, Fault> {
        let mut spaces = Vec::new();
        for (_, space) in self.spaces().of(task) {
            spaces.push((space_number(connection, space)?, *space));
        }
        let now = looked(connection, self.spaces(), task)?.space;
        let mut select = connection.prepare_cached(&format!(
            "SELECT sample, {now} FROM task_samples CROSS JOIN samples ON number = sample
             WHERE sample BETWEEN ?2 AND ?3 AND task = ?1
             AND EXISTS (SELECT 1 FROM embeddings WHERE embeddings.image = samples.image AND embeddings.space = {now})
             ORDER BY sample"
        ))?;
        let rows =
            select.query_map(params![task, first, last], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))?;
        let mut seen = Vec::new();
        for row in rows {
            let (number, space) = row?;
            let space = spaces.iter().find(|(known, _)| *known == space).map(|(_, space)| *space);
            seen.extend(space.map(|space| (number, space)));
        }
        Ok(seen)
    }
}
