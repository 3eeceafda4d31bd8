//! The labels that a task has in the store as trainings and statistics take them.

use crate::store::{LabelledSamples, Reader, StoreError};
use crate::train::{self, Dataset, LabelRow, LabelRows, LabelStats};
use crate::words::{ClassSet, EmbeddingSpace, Label, SampleId, TaskId, error_chain};

/// At most `max` labelled samples, balanced and diverse; fewer of many classes ([`train::sample_limit`]).
pub(crate) fn labelled(reader: &Reader, task: &TaskId, max: usize, seed: u64) -> Result<LabelledSamples, StoreError> {
    let all = reader.labelled_ids(task)?;
    let classes: ClassSet = all.iter().map(|(_, label, _)| label.clone()).collect();
    let max = train::sample_limit(max, classes.len());
    if all.len() <= max {
        return reader.labelled(task);
    }
    let y: Vec<usize> = all.iter().filter_map(|(_, label, _)| classes.index_of(label)).collect();
    let (ids, groups): (Vec<_>, Vec<_>) = all.iter().map(|(id, _, group)| (*id, *group)).unzip();
    let chosen: Vec<_> = train::subset(&y, &groups, &ids, max, seed).into_iter().map(|place| ids[place]).collect();
    reader.labelled_of(task, &chosen)
}

/// Samples of the store as what a training takes.
pub(crate) fn dataset(labelled: LabelledSamples, space: EmbeddingSpace) -> Result<Dataset, train::BadData> {
    let classes: ClassSet = labelled.labels.iter().cloned().collect();
    let y = labelled.labels.iter().filter_map(|label| classes.index_of(label)).collect();
    Dataset::new(space, labelled.embeddings, y, classes, labelled.groups, labelled.ids)
}

/// Those that the last training of the task believed, or has not seen.
pub(crate) fn believed(
    reader: &Reader,
    task: &TaskId,
    labelled: &LabelledSamples,
) -> Result<LabelledSamples, StoreError> {
    let disbelieved = reader.disbelieved(task)?;
    Ok(labelled.only(|id| !disbelieved.contains(id)))
}

/// The statistics of a task as they were last written; none yet where they are of another space or cannot be read.
pub(crate) fn statistics(reader: &Reader, task: &TaskId, space: EmbeddingSpace) -> Result<LabelStats, StoreError> {
    match reader.statistics(task)?.map(|file| LabelStats::from_bytes(&file)) {
        Some(Ok(statistics)) if *statistics.space() == space => return Ok(statistics),
        Some(Err(error)) => {
            tracing::warn!(%task, error = error_chain(&error), "the statistics are rebuilt from the labels");
        }
        _ => {}
    }
    Ok(LabelStats::new(space))
}

/// `data` with replay of the labels of the task that are not in it, as far as `max` samples allow, or as its classes do.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(crate) fn with_replay(reader: &Reader, task: &TaskId, data: Dataset, max: usize) -> Result<Dataset, StoreError> {
    let statistics = statistics(reader, task, data.space())?;
    let max = train::sample_limit(max, data.classes().len());
    train::with_replay(&TaskRows { reader, task }, data, statistics, max)
}

/// The labels of a task.
pub(crate) struct TaskRows<'a> {
    pub reader: &'a Reader,
    pub task: &'a TaskId,
}

impl LabelRows for TaskRows<'_> {
    type Error = StoreError;

    fn labels(&self) -> Result<Vec<(SampleId, Label)>, StoreError> {
        Ok(self.reader.labelled_ids(self.task)?.into_iter().map(|(id, label, _)| (id, label)).collect())
    }

    fn rows(&self, ids: &[SampleId]) -> Result<Vec<LabelRow>, StoreError> {
        let samples = self.reader.labels_of(self.task, ids)?.into_iter();
        Ok(samples.map(|now| LabelRow { id: now.id, label: now.label, embedding: now.embedding }).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::path::PathBuf;

    use super::*;
    use crate::engine::{LabelSource, Look, NewSample, Write};
    use crate::head::BackboneRef;
    use crate::store::{OpenOptions, Precision, SpacesInUse, Store};
    use crate::train::{Settings, fit};
    use crate::words::{Digest, Origin, Timestamp};

    fn id(n: u8) -> SampleId {
        SampleId::of(&[n])
    }

    fn embedding(n: u8) -> Vec<f32> {
        vec![1.0, f32::from(n % 2), f32::from(n) / 16.0, 0.25]
    }

    fn space() -> EmbeddingSpace {
        EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 4 }
    }

    fn label(n: u8) -> Label {
        Label::new(if n.is_multiple_of(2) { "gear" } else { "nut" }).unwrap()
    }

    fn labelled_as(n: u8, label: Option<Label>, at: i64) -> Write {
        Write::Label {
            task: TaskId::default(),
            id: id(n),
            label,
            source: LabelSource::Mqtt,
            at: Timestamp(at),
            change: None,
        }
    }

    fn sample(n: u8) -> [Write; 2] {
        let sample = NewSample {
            id: id(n),
            origin: Origin::File(PathBuf::from(format!("/srv/{n}.jpg"))),
            bytes: 1,
            arrived_at: Timestamp(0),
            embeddings: vec![(space(), embedding(n))],
            group: id(n),
            looks: vec![Look { task: TaskId::default(), space: space(), predicted: None }],
            thumbnail: None,
            picture: None,
        };
        [Write::Sample(Box::new(sample)), labelled_as(n, Some(label(n)), 1)]
    }

    /// A store of sixteen labelled samples whose statistics were written.
    fn store(folder: &std::path::Path) -> Store {
        let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"b"), dim: 4 };
        let options =
            OpenOptions { spaces: SpacesInUse::whole(space()), backbone: &backbone, precision: Precision::F32 };
        let mut store = Store::open(folder, &options).unwrap();
        store.commit(&(0..16).flat_map(sample).collect::<Vec<_>>()).unwrap();
        let mut statistics = LabelStats::new(space());
        (0..16).for_each(|n| statistics.set(id(n), Some(&label(n)), &embedding(n)));
        store.commit(&[Write::Statistics { task: TaskId::default(), file: statistics.to_bytes() }]).unwrap();
        store
    }

    /// How many samples a training of `max` learned from without having them.
    fn replayed(store: &Store, max: usize) -> Option<f64> {
        let reader = store.reader().unwrap();
        let task = TaskId::default();
        let data = dataset(labelled(&reader, &task, max.min(1_000), 0).unwrap(), space()).unwrap();
        let data = with_replay(&reader, &task, data, max).unwrap();
        let fitted = fit(&data, &Settings::default(), &mut |_| ControlFlow::Continue(())).unwrap();
        fitted.facts.hyper.get("replayed").copied()
    }

    #[test]
    fn a_training_remembers_what_was_dropped_and_nothing_that_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(folder.path());
        assert_eq!(replayed(&store, 1_000), None);
        store.commit(&[0, 1, 2, 3, 4].map(|n| Write::DeleteSample { id: id(n) })).unwrap();
        assert_eq!(replayed(&store, 1_000), Some(5.0));
        // A label that changed or went since the statistics were written is no memory.
        store.commit(&[labelled_as(5, None, 2), labelled_as(6, Some(label(7)), 3)]).unwrap();
        assert_eq!(replayed(&store, 1_000), Some(5.0));
    }

    #[test]
    fn a_training_learns_from_no_excluded_image_and_takes_it_for_no_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(folder.path());
        let excluded = [0, 1, 2];
        let (task, source, at) = (TaskId::default(), LabelSource::Mqtt, Timestamp(2));
        let exclude = |n| Write::Excluded { task: task.clone(), id: id(n), excluded: true, source, at, change: None };
        store.commit(&excluded.map(exclude)).unwrap();
        let reader = store.reader().unwrap();
        for max in [1_000, 8] {
            let taken = labelled(&reader, &task, max, 0).unwrap();
            assert_eq!(taken.ids.len(), max.min(13));
            assert!(excluded.iter().all(|n| !taken.ids.contains(&id(*n))), "{:?}", taken.ids);
        }
        assert_eq!(replayed(&store, 1_000), None, "the statistics hold them, and they are stored");
    }

    #[test]
    fn a_bounded_training_has_no_room_for_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(folder.path());
        store.commit(&[0, 1, 2, 3, 4].map(|n| Write::DeleteSample { id: id(n) })).unwrap();
        assert_eq!(replayed(&store, 13), Some(2.0));
        assert_eq!(replayed(&store, 10), None);
    }
}
