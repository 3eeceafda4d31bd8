//! Lists of all samples, and reports of the past, read beside the engine.
//!
//! Each answer is of one state of the store, and says by its revision which. The last index and the last map are kept: a
//! page asks for both when it is opened, and again after every change.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ndarray::{Array2, ArrayView1};

use crate::eval::{HeldOutAnswers, PROJECTION_SAMPLES, Projection};
use crate::ports::{ImageName, NoView, SampleViews};
use crate::store::{IndexRow, Reader, Revision, StoreError};
use crate::train::folds_of;
use crate::wire::views::{
    Confusion, ConfusionCell, Index, IndexColumns, IndexEntry, MAX_CELL_IMAGES, Map, Neighbour, Place, Trained,
};
use crate::wire::{Unsettled, settle};
use crate::words::{Label, SampleId, TaskId, error_chain};

/// What the store has of the tasks of one engine.
pub(super) struct StoredViews {
    /// For what takes no longer than a list of samples.
    lists: Mutex<Reader>,
    /// For what goes through all embeddings.
    vectors: Mutex<Reader>,
    revision: Revision,
    /// Tells revisions of this engine from those of others.
    engine: String,
    /// The tasks, with the seed of their folds.
    seeds: Vec<(TaskId, u64)>,
    unsettled: AtomicU64,
    index: Mutex<Option<(TaskId, Arc<Index>)>>,
    map: Mutex<Option<(TaskId, Arc<Map>)>>,
}

impl StoredViews {
    /// Of the tasks with the seeds of their folds, as `engine` sees them, which is called like no other one. Both readers are
    /// of the store whose `revision` it is.
    pub fn new(readers: [Reader; 2], revision: Revision, engine: String, seeds: Vec<(TaskId, u64)>) -> Self {
        let [lists, vectors] = readers.map(Mutex::new);
        let (index, map) = (Mutex::default(), Mutex::default());
        Self { lists, vectors, revision, engine, seeds, unsettled: AtomicU64::default(), index, map }
    }

    /// The name of a count; of none that it is the name of nothing else.
    fn named(&self, count: Option<u64>) -> String {
        match count {
            Some(count) => format!("{}-{count}", self.engine),
            None => format!("{}-unsettled-{}", self.engine, self.unsettled.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn seed(&self, task: &TaskId) -> u64 {
        self.seeds.iter().find(|(of, _)| of == task).map_or(0, |(_, seed)| *seed)
    }
}

/// The value behind a lock, whatever became of who held it: nothing here is left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: &StoreError) -> NoView {
    NoView::Failed(error_chain(error))
}

/// The sample that is named.
pub(super) fn resolve(reader: &Reader, image: &ImageName) -> Result<Option<SampleId>, StoreError> {
    match image {
        ImageName::Whole(id) => Ok(Some(*id)),
        ImageName::Start(start) => reader.sample_beginning(&start.0),
    }
}

impl SampleViews for StoredViews {
    fn task(&self, named: Option<&str>) -> Result<TaskId, NoView> {
        let tasks: Vec<TaskId> = self.seeds.iter().map(|(task, _)| task.clone()).collect();
        let named =
            named.map(TaskId::new).transpose().map_err(|bad| NoView::NotFound(format!("no such task: {bad}")))?;
        settle(named.as_ref(), &tasks).cloned().map_err(|unsettled| match unsettled {
            Unsettled::NotFound { .. } => NoView::NotFound(unsettled.to_string()),
            Unsettled::Several { .. } => NoView::BadRequest(unsettled.to_string()),
        })
    }

    fn revision(&self) -> String {
        self.named(Some(self.revision.now()))
    }

    fn index(&self, task: &TaskId) -> Result<Arc<Index>, NoView> {
        let current = self.revision();
        if let Some((of, kept)) = &*lock(&self.index)
            && (of, &kept.revision) == (task, &current)
        {
            return Ok(Arc::clone(kept));
        }
        let reader = lock(&self.lists);
        let read = || {
            let mut listed = Listed::default();
            reader.each_index_row(task, |row| listed.push(&row)).map(|()| listed)
        };
        let (listed, count) = self.revision.of(read).map_err(|error| failed(&error))?;
        let index = Arc::new(listed.into_index(self.named(count), self.seed(task)));
        *lock(&self.index) = Some((task.clone(), Arc::clone(&index)));
        Ok(index)
    }

    fn map(&self, task: &TaskId) -> Result<Arc<Map>, NoView> {
        let current = self.revision();
        if let Some((of, kept)) = &*lock(&self.map)
            && (of, &kept.revision) == (task, &current)
        {
            return Ok(Arc::clone(kept));
        }
        let reader = lock(&self.vectors);
        let (placed, count) = self.revision.of(|| placed(&reader, task)).map_err(|error| failed(&error))?;
        let Placed { share, images, places } = placed;
        let map = Arc::new(Map { revision: self.named(count), share, images: images.into(), places });
        *lock(&self.map) = Some((task.clone(), Arc::clone(&map)));
        Ok(map)
    }

    fn neighbours(&self, task: &TaskId, image: &ImageName, number: usize) -> Result<Vec<Neighbour>, NoView> {
        let reader = lock(&self.vectors);
        nearest(&reader, task, image, number).map_err(|error| failed(&error))?.ok_or_else(|| {
            let why = "the task has no embedding of this image; name a sample that it looks at by 64 or 16 digits of its \
                       SHA-256";
            NoView::NotFound(why.into())
        })
    }

    fn trainings(&self, task: &TaskId, limit: usize) -> Result<Vec<Vec<u8>>, NoView> {
        lock(&self.lists).trainings(task, limit).map_err(|error| failed(&error))
    }

    fn events(&self, limit: usize) -> Result<Vec<Vec<u8>>, NoView> {
        lock(&self.lists).events(limit).map_err(|error| failed(&error))
    }

    fn confusion(&self, task: &TaskId, training: Option<u64>) -> Result<Confusion, NoView> {
        let found = lock(&self.lists).answered_training(task, training).map_err(|error| failed(&error))?;
        let kept = found.ok_or_else(|| {
            NoView::NotFound("no held-out answers of such a training are kept; 'trainings' lists those that are".into())
        })?;
        let report: Result<Trained, _> = serde_json::from_slice(&kept.report);
        let (Ok(Trained { head, classes }), Some(answers)) = (report, HeldOutAnswers::from_bytes(&kept.answers)) else {
            let why =
                format!("the report of training {} is damaged; the next training makes another one", kept.training);
            return Err(NoView::Failed(why));
        };
        let cells = answers.cells(MAX_CELL_IMAGES).into_iter();
        let cells = cells.map(|((truth, predicted), images)| ConfusionCell { truth, predicted, images }).collect();
        Ok(Confusion { training: kept.training, head, matrix: answers.table(classes.len()), classes, cells })
    }
}

/// Samples on their way into an index.
#[derive(Default)]
struct Listed {
    rows: Vec<(SampleId, IndexEntry)>,
    /// The row in which a burst is seen first.
    bursts: HashMap<SampleId, usize>,
    groups: Vec<SampleId>,
    /// The classes by name, each with its number in the order of appearance.
    classes: HashMap<String, usize>,
}

impl Listed {
    fn push(&mut self, row: &IndexRow<'_>) {
        let place = self.rows.len();
        let burst = *self.bursts.entry(row.group).or_insert(place);
        let entry = IndexEntry {
            image: row.id.short(),
            label: row.label.map(|label| self.class(label)),
            predicted: row.predicted.map(|(class, probability)| (self.class(class), probability)),
            burst,
            arrived_ms: row.arrived_at.0,
            fold: None,
            excluded: row.excluded,
        };
        self.rows.push((row.id, entry));
        self.groups.push(row.group);
    }

    fn class(&mut self, name: &str) -> usize {
        let next = self.classes.len();
        match self.classes.get(name) {
            Some(class) => *class,
            None => *self.classes.entry(name.to_owned()).or_insert(next),
        }
    }

    fn into_index(self, revision: String, seed: u64) -> Index {
        let Self { rows, groups, classes, .. } = self;
        let mut sorted: Vec<(Label, usize)> =
            classes.iter().filter_map(|(name, class)| Some((Label::new(name).ok()?, *class))).collect();
        sorted.sort_unstable();
        // Where each class is in order.
        let mut places = vec![usize::MAX; classes.len()];
        sorted.iter().enumerate().for_each(|(place, (_, class))| places[*class] = place);
        let classes: Vec<Label> = sorted.into_iter().map(|(label, _)| label).collect();
        let mut columns = IndexColumns::default();
        let mut folds = folds(&rows, &groups, &classes, &places, seed).into_iter();
        for (_, entry) in rows {
            columns.push(IndexEntry {
                label: entry.label.map(|class| places[class]),
                predicted: entry.predicted.map(|(class, probability)| (places[class], probability)),
                fold: if entry.label.is_some() && !entry.excluded { folds.next() } else { None },
                ..entry
            });
        }
        Index { revision, classes, columns }
    }
}

/// The folds of the samples that have a label and are not excluded from training, in their order.
fn folds(
    rows: &[(SampleId, IndexEntry)],
    groups: &[SampleId],
    classes: &[Label],
    places: &[usize],
    seed: u64,
) -> Vec<usize> {
    let learned = rows.iter().zip(groups).filter(|((_, entry), _)| !entry.excluded);
    let labelled = learned.filter_map(|((_, entry), group)| Some((entry.label?, *group)));
    let (labels, groups): (Vec<Label>, Vec<SampleId>) =
        labelled.filter_map(|(class, group)| Some((classes.get(places[class])?.clone(), group))).unzip();
    folds_of(&labels, &groups, seed)
}

/// The samples of a task on their plane.
struct Placed {
    share: [f64; 2],
    images: Vec<SampleId>,
    places: Vec<Option<Place>>,
}

fn placed(reader: &Reader, task: &TaskId) -> Result<Placed, StoreError> {
    let mut ids = Vec::new();
    reader.each_index_row(task, |row| ids.push(row.id))?;
    let plane = Projection::fit(&chosen(reader, task, &ids)?);
    let (mut images, mut found) = (Vec::with_capacity(ids.len()), Vec::with_capacity(ids.len()));
    reader.each_embedding(task, |id, embedding| {
        images.push(id);
        // Where all are the same, they are in one place.
        found.push(embedding.map(|embedding| plane.as_ref().map_or([0.0; 2], |plane| plane.place(embedding))));
    })?;
    let farthest = found.iter().flatten().flatten().fold(0.0_f32, |farthest, value| farthest.max(value.abs()));
    let scale = if farthest > 0.0 { 1.0 / farthest } else { 0.0 };
    let places = found.iter().map(|place| place.map(|[x, y]| Place { x: x * scale, y: y * scale })).collect();
    Ok(Placed { share: plane.map_or([0.0; 2], |plane| plane.share), images, places })
}

/// The embeddings (n, dim) that the plane is fitted on, evenly chosen of all.
fn chosen(reader: &Reader, task: &TaskId, ids: &[SampleId]) -> Result<Array2<f32>, StoreError> {
    let n = ids.len().min(PROJECTION_SAMPLES);
    let (mut values, mut rows, mut dim) = (Vec::new(), 0, 0);
    for place in 0..n {
        if let Some(embedding) = reader.embedding_for(task, &ids[place * ids.len() / n])? {
            (rows, dim) = (rows + 1, embedding.len());
            values.extend(embedding);
        }
    }
    Ok(Array2::from_shape_vec((rows, dim), values).expect("embeddings of a task have one width"))
}

/// The labelled samples that are most like an image, nearest first; `None` where the task has no embedding of it.
fn nearest(
    reader: &Reader,
    task: &TaskId,
    image: &ImageName,
    number: usize,
) -> Result<Option<Vec<Neighbour>>, StoreError> {
    let Some(id) = resolve(reader, image)? else { return Ok(None) };
    let Some(this) = reader.embedding_for(task, &id)? else { return Ok(None) };
    let length = norm(&this);
    // The largest number that is kept, last.
    let mut found: Vec<(f64, SampleId, String)> = Vec::with_capacity(number + 1);
    reader.each_labelled(task, |other, label, embedding| {
        let lengths = length * norm(embedding);
        let cosine = if lengths > 0.0 { dot(&this, embedding) / lengths } else { 0.0 };
        let distance = (1.0 - cosine).clamp(0.0, 2.0);
        if other != id && (found.len() < number || found.last().is_some_and(|(last, ..)| distance < *last)) {
            let place = found.partition_point(|(before, ..)| *before <= distance);
            found.insert(place, (distance, other, label.to_owned()));
            found.truncate(number);
        }
    })?;
    let neighbour = |(distance, image, label): (f64, SampleId, String)| {
        Label::new(&label).ok().map(|label| Neighbour { image, label, distance })
    };
    Ok(Some(found.into_iter().filter_map(neighbour).collect()))
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    f64::from(ArrayView1::from(a).dot(&ArrayView1::from(b)))
}

fn norm(vector: &[f32]) -> f64 {
    dot(vector, vector).sqrt()
}

#[cfg(test)]
#[path = "views_tests.rs"]
mod tests;
