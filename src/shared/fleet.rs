//! What a device gives to its fleet: sums of its labelled images, and what a head is worth on them.

use super::training_data::{self, TaskRows};
use crate::fleet::{self, NothingShared, Projection, Score, Source, Statistics};
use crate::head::{BackboneRef, BadHeadFile, HeadRecord, SpaceMismatch};
use crate::store::{LabelledSamples, Reader, StoreError};
use crate::train;
use crate::words::TaskId;

/// The labelled images of a task, as its trainings take them.
pub struct Labelled<'a> {
    /// The store, with the spaces in use.
    pub reader: &'a Reader,
    /// Which task.
    pub task: &'a TaskId,
    /// `training.max_samples`.
    pub max_samples: usize,
    /// `training.seed`.
    pub seed: u64,
}

/// Why nothing is given.
#[derive(Debug, thiserror::Error)]
pub enum CannotShare {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too few images.
    #[error(transparent)]
    Nothing(#[from] NothingShared),
    /// The task looks at nothing.
    #[error("the task {task} looks at no picture; check watch, sources and tasks in the configuration")]
    NoSpace {
        /// The task.
        task: TaskId,
    },
    /// Not shorter.
    #[error("embeddings have {dim} values, so they cannot be shortened to {values}; ask for fewer, or for all")]
    NotShorter {
        /// What they have.
        dim: usize,
        /// What was asked.
        values: usize,
    },
    /// The head does not parse.
    #[error(transparent)]
    Head(#[from] BadHeadFile),
    /// The head reads other embeddings.
    #[error(transparent)]
    Space(#[from] SpaceMismatch),
    /// The head has layers of its own.
    #[error("the head has a second phase, and no embedding that it reads is stored; send one without")]
    Tuned,
}

impl Labelled<'_> {
    /// The sums of classes with `min` images at least, of embeddings of `backbone` shortened to so many `values`.
    ///
    /// Labels that the last training did not believe are left out, as trainings leave them out.
    ///
    /// # Errors
    /// [`CannotShare`]
    pub fn statistics(
        &self,
        backbone: BackboneRef,
        min: u64,
        values: Option<usize>,
    ) -> Result<Statistics, CannotShare> {
        let Self { reader, task, .. } = *self;
        let Some((region, space)) = reader.spaces().first(task).cloned() else {
            return Err(CannotShare::NoSpace { task: task.clone() });
        };
        if let Some(values) = values.filter(|values| *values >= space.dim) {
            return Err(CannotShare::NotShorter { dim: space.dim, values });
        }
        // One projection for all devices.
        let projection = values.map(|values| Projection { values, seed: 0 });
        let source = Source { task: task.clone(), backbone, space, region, projection };
        let labelled = self.labelled()?;
        let written = training_data::statistics(reader, task, space)?;
        let past = train::past(&TaskRows { reader, task }, &labelled.ids, &labelled.embeddings, written)?;
        let LabelledSamples { labels, embeddings, .. } = training_data::believed(reader, task, &labelled)?;
        Ok(Statistics::gather(source, embeddings.view(), &labels, past.as_ref(), min)?)
    }

    /// What the head in the file `bytes` is worth on the labels that the last training believed.
    ///
    /// # Errors
    /// [`CannotShare`]
    pub fn score(&self, bytes: &[u8]) -> Result<Score, CannotShare> {
        let Self { reader, task, .. } = *self;
        let record = HeadRecord::from_bytes(bytes)?;
        if record.tail().is_some() {
            return Err(CannotShare::Tuned);
        }
        let Some((_, space)) = reader.spaces().first(task) else {
            return Err(CannotShare::NoSpace { task: task.clone() });
        };
        record.dense.reads(space)?;
        let LabelledSamples { labels, embeddings, .. } = training_data::believed(reader, task, &self.labelled()?)?;
        Ok(fleet::score(&record.dense, embeddings.view(), &labels))
    }

    fn labelled(&self) -> Result<LabelledSamples, StoreError> {
        training_data::labelled(self.reader, self.task, self.max_samples, self.seed)
    }
}
