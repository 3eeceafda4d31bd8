//! What the daemon and the commands both do: settings from the configuration, the backbone that serves its store, files
//! that both read, and samples as lists show them, with the fold in which training holds each out.

pub mod backbone;
pub mod files;
pub mod fleet;
pub(crate) mod folds;
pub mod settings;
pub(crate) mod training_data;
pub mod tuning;
pub mod views;

use std::sync::Arc;

use crate::store::{ListedSample, Reader, SampleFilter, StoreError, StoredOfTask};
use crate::wire::SampleEntry;
use crate::wire::command::Purged;
use crate::words::TaskId;
use folds::Folds;

/// Every sample of a task, in the order of arrival; `seed` is the task's `training.seed`.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn samples(reader: &Reader, task: &TaskId, seed: u64) -> Result<Vec<SampleEntry>, StoreError> {
    with_folds(reader.samples(task)?, || Folds::of(reader, task, seed).map(Arc::new))
}

/// The samples of a task that match `choice`; `None` when the sample to start after is not stored. The folds of all are asked
/// for where one of these is in a fold.
pub(crate) fn samples_of(
    reader: &Reader,
    task: &TaskId,
    choice: &SampleFilter<'_>,
    folds: impl FnOnce() -> Result<Arc<Folds>, StoreError>,
) -> Result<Option<Vec<SampleEntry>>, StoreError> {
    let rows = reader.samples_of(task, choice)?;
    rows.map(|rows| with_folds(rows, folds)).transpose()
}

/// What goes when a task ends that is none of the `configured` ones, or else why nothing does.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub fn to_purge(reader: &Reader, task: &TaskId, configured: &[TaskId]) -> Result<Result<Purged, String>, StoreError> {
    if configured.contains(task) {
        return Ok(Err(Purged::still_there(task)));
    }
    let mut removed = reader.stored_tasks()?;
    removed.retain(|task| !configured.contains(task));
    if !removed.contains(task) {
        return Ok(Err(Purged::nothing_of(task, &removed)));
    }
    let StoredOfTask { samples, labels, awaited, heads } = reader.stored_of(task)?;
    Ok(Ok(Purged { task: task.clone(), samples, labels, awaited, heads }))
}

fn with_folds(
    rows: Vec<ListedSample>,
    folds: impl FnOnce() -> Result<Arc<Folds>, StoreError>,
) -> Result<Vec<SampleEntry>, StoreError> {
    let folds = if rows.iter().any(|row| row.label.is_some()) { folds()? } else { Arc::default() };
    let entry = |row: ListedSample| {
        let fold = folds.get(&row.id).filter(|_| row.label.is_some());
        let (predicted, probability) =
            row.predicted.map(|prediction| (prediction.label, prediction.probability)).unzip();
        let (label, given) = row.label.map(|(label, source, at)| (label, (source, at))).unzip();
        let (label_source, labelled_at) = given.unzip();
        let (path, source) = row.origin.names();
        SampleEntry {
            image: row.id,
            path,
            source,
            label,
            label_source,
            labelled_at,
            arrived_at: row.arrived_at,
            predicted,
            probability,
            group: row.group,
            fold,
            excluded: row.excluded,
        }
    };
    Ok(rows.into_iter().map(entry).collect())
}
