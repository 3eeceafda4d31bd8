//! The folds of all samples of a task. That of one sample depends on the labels of all, so they are worked out together, and
//! kept until a label changes.

use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Reader, Revision, StoreError};
use crate::train::folds_of;
use crate::words::{Label, SampleId, TaskId};

/// In which fold a training holds out each sample that has a label and is not excluded.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Folds(Vec<(SampleId, u8)>);

impl Folds {
    /// Reads all labels of the task.
    pub fn of(reader: &Reader, task: &TaskId, seed: u64) -> Result<Self, StoreError> {
        let folded = reader.folded(task)?;
        let (mut ids, mut groups, mut labels) = (Vec::new(), Vec::new(), Vec::<Label>::new());
        for (id, group, label) in folded {
            ids.push(id);
            groups.push(group);
            labels.push(label);
        }
        let folds = folds_of(&labels, &groups, seed).into_iter().map(|fold| fold as u8);
        let mut folds: Vec<(SampleId, u8)> = ids.into_iter().zip(folds).collect();
        folds.sort_unstable();
        Ok(Self(folds))
    }

    /// That of a sample; `None` where it is in none.
    pub fn get(&self, id: &SampleId) -> Option<usize> {
        let place = self.0.binary_search_by_key(id, |(id, _)| *id).ok()?;
        Some(usize::from(self.0[place].1))
    }
}

/// The folds of the task that was asked about last.
#[derive(Debug)]
pub(crate) struct KeptFolds {
    labels: Revision,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    task: TaskId,
    /// Of the labels.
    revision: u64,
    folds: Arc<Folds>,
}

impl KeptFolds {
    /// `labels` counts the changes of labels.
    pub fn new(labels: Revision) -> Self {
        Self { labels, kept: Mutex::default() }
    }

    /// Those that are kept, where no label has changed, or what `read` finds.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn of<E>(&self, task: &TaskId, read: impl Fn() -> Result<Folds, E>) -> Result<Arc<Folds>, E> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Kept { revision, folds, .. }) = kept.as_ref().filter(|kept| kept.task == *task)
            && *revision == self.labels.now()
        {
            return Ok(Arc::clone(folds));
        }
        let (folds, revision) = self.labels.of(read)?;
        let folds = Arc::new(folds);
        *kept = revision.map(|revision| Kept { task: task.clone(), revision, folds: Arc::clone(&folds) });
        Ok(folds)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::{LabelSource, Look, NewSample, Write};
    use crate::head::BackboneRef;
    use crate::store::{OpenOptions, Precision, SpacesInUse, Store};
    use crate::words::{Digest, EmbeddingSpace, Origin, Timestamp};

    fn id(n: u64) -> SampleId {
        SampleId::of(&n.to_le_bytes())
    }

    fn sample(n: u64, space: EmbeddingSpace) -> Write {
        Write::Sample(Box::new(NewSample {
            id: id(n),
            origin: Origin::Source("porch".parse().unwrap()),
            bytes: 1,
            arrived_at: Timestamp(0),
            embeddings: vec![(space, vec![n as f32])],
            group: id(n),
            looks: vec![Look { task: TaskId::default(), space, predicted: None }],
            thumbnail: None,
            picture: None,
        }))
    }

    fn label(n: u64) -> Write {
        let (task, label) = (TaskId::default(), Label::new(["nut", "gear"][n as usize % 2]).ok());
        Write::Label { task, id: id(n), label, source: LabelSource::Mqtt, at: Timestamp(1), change: None }
    }

    #[test]
    fn all_labels_are_read_once_and_again_only_when_one_has_changed() {
        let (folder, digest) = (tempfile::tempdir().unwrap(), Digest::of(b"backbone"));
        let space = EmbeddingSpace { backbone: digest, preprocessing: digest, dim: 1 };
        let backbone = BackboneRef { name: "played".into(), sha256: digest, dim: 1 };
        let options = OpenOptions { spaces: SpacesInUse::whole(space), backbone: &backbone, precision: Precision::F32 };
        let mut store = Store::open(folder.path(), &options).unwrap();
        store.commit(&(0..20).flat_map(|n| [sample(n, space), label(n)]).collect::<Vec<_>>()).unwrap();
        let (reader, kept, read) = (store.reader().unwrap(), KeptFolds::new(store.label_revision()), Cell::new(0));
        let task = TaskId::default();
        let folds = |store: &Store| {
            let found = kept.of(&task, || {
                read.set(read.get() + 1);
                Folds::of(&reader, &task, 7)
            });
            let alone = Folds::of(&store.reader().unwrap(), &task, 7).unwrap();
            assert_eq!(*found.unwrap(), alone, "they are those of now");
            read.get()
        };
        assert_eq!([folds(&store), folds(&store)], [1, 1]);
        store.commit(&[sample(20, space), Write::SeqReserved(9)]).unwrap();
        assert_eq!(folds(&store), 1, "a new image has no label");
        store.commit(&[label(20)]).unwrap();
        assert_eq!([folds(&store), folds(&store)], [2, 2]);
        store.commit(&[Write::DeleteSample { id: id(3) }]).unwrap();
        assert_eq!(folds(&store), 3);
        let excluded = Write::Excluded {
            task: task.clone(),
            id: id(4),
            excluded: true,
            source: LabelSource::Mqtt,
            at: Timestamp(2),
            change: None,
        };
        store.commit(&[excluded]).unwrap();
        assert_eq!(folds(&store), 4);
        assert_eq!(Folds::of(&reader, &task, 7).unwrap().get(&id(4)), None);
    }
}
