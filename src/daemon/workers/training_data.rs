//! The labels of the store as trainings and statistics take them.

use crate::store::{LabelledSamples, Reader, StoreError};
use crate::train::{self, Dataset, LabelRow, LabelRows, LabelStats};
use crate::words::{ClassSet, EmbeddingSpace, Label, SampleId, error_chain};

/// At most `max` labelled samples, balanced and diverse.
pub(crate) fn labelled(reader: &Reader, max: usize, seed: u64) -> Result<LabelledSamples, StoreError> {
    let all = reader.labelled_ids()?;
    if all.len() <= max {
        return reader.labelled();
    }
    let classes: ClassSet = all.iter().map(|(_, label, _)| label.clone()).collect();
    let y: Vec<usize> = all.iter().filter_map(|(_, label, _)| classes.index_of(label)).collect();
    let (ids, groups): (Vec<_>, Vec<_>) = all.iter().map(|(id, _, group)| (*id, *group)).unzip();
    let chosen: Vec<_> = train::subset(&y, &groups, &ids, max, seed).into_iter().map(|place| ids[place]).collect();
    reader.labelled_of(&chosen)
}

/// Samples of the store as what a training takes.
pub(crate) fn dataset(labelled: LabelledSamples, space: EmbeddingSpace) -> Result<Dataset, train::BadData> {
    let classes: ClassSet = labelled.labels.iter().cloned().collect();
    let y = labelled.labels.iter().filter_map(|label| classes.index_of(label)).collect();
    Dataset::new(space, labelled.embeddings, y, classes, labelled.groups, labelled.ids)
}

/// The statistics as they were last written; none yet where they are of another space or cannot be read.
pub(crate) fn statistics(reader: &Reader, space: EmbeddingSpace) -> Result<LabelStats, StoreError> {
    match reader.statistics()?.map(|file| LabelStats::from_bytes(&file)) {
        Some(Ok(statistics)) if *statistics.space() == space => return Ok(statistics),
        Some(Err(error)) => tracing::warn!(error = error_chain(&error), "the statistics are rebuilt from the labels"),
        _ => {}
    }
    Ok(LabelStats::new(space))
}

/// `data` with replay of the labels that are not in it, as far as `max` samples allow.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(crate) fn with_replay(reader: &Reader, data: Dataset, max: usize) -> Result<Dataset, StoreError> {
    let statistics = statistics(reader, data.space())?;
    train::with_replay(reader, data, statistics, max)
}

impl LabelRows for Reader {
    type Error = StoreError;

    fn labels(&self) -> Result<Vec<(SampleId, Label)>, StoreError> {
        Ok(self.labelled_ids()?.into_iter().map(|(id, label, _)| (id, label)).collect())
    }

    fn rows(&self, ids: &[SampleId]) -> Result<Vec<LabelRow>, StoreError> {
        let samples = self.labels_of(ids)?.into_iter();
        Ok(samples.map(|now| LabelRow { id: now.id, label: now.label, embedding: now.embedding }).collect())
    }
}

#[cfg(test)]
#[path = "training_data_tests.rs"]
mod tests;
