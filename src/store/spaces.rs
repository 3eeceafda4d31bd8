//! The embedding spaces that tasks look through now, and which of them takes the place of one that was in use before.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::columns::damaged;
use super::error::Fault;
use crate::words::{EmbeddingSpace, Region, TaskId};

/// The spaces in use: for each task those that it looks through, each with its part of the picture.
///
/// Embeddings of other spaces in the file are left alone. When another backbone makes the embeddings, what a task looks at
/// through a region is found in the space that has this region now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpacesInUse(BTreeMap<TaskId, Vec<(Region, EmbeddingSpace)>>);

impl SpacesInUse {
    /// The default task alone, which looks at whole pictures.
    #[must_use]
    pub fn whole(space: EmbeddingSpace) -> Self {
        Self::default().with(TaskId::default(), vec![(Region::WHOLE, space)])
    }

    /// These and a task with its spaces, which have one width; its statistics are kept in the first.
    #[must_use]
    pub fn with(mut self, task: TaskId, spaces: Vec<(Region, EmbeddingSpace)>) -> Self {
        self.0.insert(task, spaces);
        self
    }

    /// The tasks.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskId> {
        self.0.keys()
    }

    /// The spaces of a task; none of one that is not in use.
    #[must_use]
    pub fn of(&self, task: &TaskId) -> &[(Region, EmbeddingSpace)] {
        self.0.get(task).map_or(&[], Vec::as_slice)
    }

    /// The space that a task's heads read and its statistics are of, with its part of the picture.
    #[must_use]
    pub fn first(&self, task: &TaskId) -> Option<&(Region, EmbeddingSpace)> {
        self.of(task).first()
    }

    /// Where the same parts of pictures are embedded by another backbone, which embeds whole ones in `whole`.
    #[must_use]
    pub fn of_backbone(&self, whole: EmbeddingSpace) -> Self {
        let of = |parts: &[(Region, EmbeddingSpace)]| {
            parts.iter().map(|(region, _)| (region.clone(), whole.within(region))).collect()
        };
        Self(self.0.iter().map(|(task, parts)| (task.clone(), of(parts))).collect())
    }

    /// Each space once.
    #[must_use]
    pub fn all(&self) -> Vec<(Region, EmbeddingSpace)> {
        let mut seen = Vec::new();
        for (region, space) in self.0.values().flatten() {
            if !seen.iter().any(|(_, known)| known == space) {
                seen.push((region.clone(), *space));
            }
        }
        seen
    }
}

/// A task's spaces as a query needs them.
#[derive(Debug)]
pub(super) struct Looked {
    /// The number of the space in which a row of `task_samples` has its embedding now, as an expression; NULL where it
    /// has none.
    pub(super) space: String,
    /// The number of the space of the statistics, 0 where the file does not know it.
    pub(super) first: i64,
    /// Width of the embeddings.
    pub(super) dim: usize,
}

/// The present spaces of a task; 0 and NULL are the numbers of no space.
pub(super) fn looked(connection: &Connection, in_use: &SpacesInUse, task: &TaskId) -> Result<Looked, Fault> {
    let spaces = in_use.of(task);
    let numbers = spaces
        .iter()
        .map(|(region, space)| Ok((region, space_number(connection, space)?.unwrap_or(0))))
        .collect::<Result<Vec<_>, Fault>>()?;
    let space = match &numbers[..] {
        [] => "NULL".to_owned(),
        // Whatever it was looked at through before: the task has this one alone.
        [(_, only)] => format!("iif(task_samples.space IS NULL, NULL, {only})"),
        several => {
            let now: BTreeMap<&Region, i64> = several.iter().copied().collect();
            let cases: String = regions(connection)?
                .iter()
                .filter_map(|(number, region)| Some(format!(" WHEN {number} THEN {}", now.get(region)?)))
                .collect();
            if cases.is_empty() { "NULL".to_owned() } else { format!("CASE task_samples.space{cases} END") }
        }
    };
    let dim = spaces.first().map_or(0, |(_, space)| space.dim);
    Ok(Looked { space, first: numbers.first().map_or(0, |(_, number)| *number), dim })
}

/// Every space of the file with its part of the picture.
fn regions(connection: &Connection) -> Result<Vec<(i64, Region)>, Fault> {
    let mut select = connection.prepare_cached("SELECT number, region FROM spaces")?;
    let rows = select.query_map([], |row| {
        let region = match row.get_ref(1)?.as_str_or_null()? {
            None => Region::WHOLE,
            Some(text) => serde_json::from_str(text).map_err(|error| damaged(1, error))?,
        };
        Ok((row.get(0)?, region))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The number of a space, which is added if it is new, with its part of the picture where that is known.
pub(super) fn add_space(
    transaction: &Transaction<'_>,
    space: &EmbeddingSpace,
    name: &str,
    region: Option<&Region>,
) -> Result<i64, Fault> {
    let number = if let Some(number) = space_number(transaction, space)? {
        number
    } else {
        transaction
            .prepare_cached("INSERT INTO spaces (backbone, preprocessing, dim, name) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![space.backbone, space.preprocessing, space.dim, name])?;
        transaction.last_insert_rowid()
    };
    if let Some(region) = region {
        let text = (!region.is_whole()).then(|| serde_json::to_string(region).expect("numbers are JSON"));
        transaction
            .prepare_cached("UPDATE spaces SET region = ?2 WHERE number = ?1 AND region IS NOT ?2")?
            .execute(params![number, text])?;
    }
    Ok(number)
}

/// The number of a space in the file.
pub(super) fn space_number(connection: &Connection, space: &EmbeddingSpace) -> Result<Option<i64>, Fault> {
    let mut find = connection
        .prepare_cached("SELECT number FROM spaces WHERE backbone = ?1 AND preprocessing = ?2 AND dim = ?3")?;
    let number = find.query_row(params![space.backbone, space.preprocessing, space.dim], |row| row.get(0));
    Ok(number.optional()?)
}

/// The numbers of the spaces in use, as a list for `IN`.
pub(super) fn listed(numbers: impl Iterator<Item = i64>) -> String {
    let numbers: BTreeSet<String> = numbers.map(|number| number.to_string()).collect();
    numbers.into_iter().collect::<Vec<_>>().join(", ")
}
