//! What the online worker reads from the store for a decision: the reference of drift and the images to review of a task,
//! the samples that can be evicted. The choices are `eval`'s.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Axis};

use crate::engine::{EvictionCandidate, Review};
use crate::eval::budget::{self, Kept};
use crate::eval::drift::{Monitor, Reference};
use crate::eval::next_class::{Advice, next_class};
use crate::eval::review::{self, Doubt, DoubtedLabel, Pool, Reason};
use crate::head::HeadRecord;
use crate::shared::training_data;
use crate::store::{EvictableSample, LabelledSamples, Reader, StoreError, UnlabelledSamples};
use crate::train::LabelStats;
use crate::wire::{MAX_REVIEW_ITEMS, ReviewAdvice, ReviewItem, ReviewNeighbour, ReviewReason};
use crate::words::{ClassSet, Label, Origin, SampleId, TaskId, Timestamp, is_audit};

/// Images without a label that are considered for the review list, the latest first.
const CANDIDATES: usize = 1_000;
/// Labelled samples that are considered for it.
const LABELLED: usize = 2_000;
/// A drift monitor with the training data of a task's `champion` as its reference, grouped by the classes that models of other
/// folds predicted; `None` with too little data.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(crate) fn monitor(
    reader: &Reader,
    task: &TaskId,
    champion: &HeadRecord,
    seed: u64,
) -> Result<Option<Monitor>, StoreError> {
    let held = &champion.heldout;
    let heldout: BTreeMap<SampleId, usize> = held
        .ids
        .iter()
        .zip(held.logits.rows())
        .filter(|(_, row)| row.iter().any(|logit| logit.is_finite()))
        .map(|(id, row)| (*id, (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)))
        .collect();
    let ids: Vec<SampleId> = heldout.keys().copied().collect();
    let LabelledSamples { ids, groups, embeddings, .. } = reader.labelled_of(task, &ids)?;
    let predicted: Vec<usize> = ids.iter().map(|id| heldout[id]).collect();
    let reference = Reference { z: &embeddings, groups: &groups, predicted: &predicted };
    Ok(Monitor::new(&reference, seed).inspect_err(|why| tracing::debug!(%why)).ok())
}

/// The images worth a label of a task now; those more novel than `unknown_percentile` of known images count as of no class.
///
/// # Errors
/// [`StoreError`] when the store cannot be read.
pub(crate) fn review(
    reader: &Reader,
    task: &TaskId,
    champion: Option<&HeadRecord>,
    since: Option<Timestamp>,
    unknown_percentile: f64,
    seed: u64,
) -> Result<Review, StoreError> {
    let labelled = training_data::labelled(reader, task, LABELLED, seed)?;
    let unlabelled = reader.unlabelled(task, CANDIDATES, since)?;
    let none = ClassSet::default();
    let classes = champion.map_or(&none, |champion| &champion.dense.classes);
    let UnlabelledSamples { ids, groups, embeddings, .. } = &unlabelled;
    let candidates = review::candidates(ids, groups, embeddings, champion, unknown_percentile);
    let left_out = reader.disbelieved(task)?;
    let doubted = champion.map_or_else(Vec::new, |champion| doubted(&labelled, champion, &left_out));
    let doubts: Vec<Doubt> = doubted.iter().map(|label| label.doubt.clone()).collect();
    let pool = Pool {
        candidates: &candidates,
        embeddings: &unlabelled.embeddings,
        labelled: &labelled.embeddings,
        labelled_groups: &labelled.groups,
        classes,
        doubts: &doubts,
    };
    let origins: BTreeMap<SampleId, &Origin> = unlabelled.ids.iter().copied().zip(&unlabelled.origins).collect();
    let mut items = Vec::new();
    for ask in review::choose(&pool, MAX_REVIEW_ITEMS, seed) {
        let doubted = doubted.iter().find(|label| ask.reason == Reason::Suspicious && label.doubt.id == ask.id);
        let origin = match origins.get(&ask.id) {
            Some(origin) => Some((*origin).clone()),
            None => reader.origin(&ask.id)?,
        };
        // One that was evicted meanwhile needs no label.
        let Some((path, source)) = origin.as_ref().map(Origin::names) else { continue };
        items.push(ReviewItem {
            image: ask.id,
            path,
            source,
            reason: published(ask.reason),
            suggestion: ask.suggestion,
            probability: ask.probability.map(|probability| probability as f32),
            label: doubted.map(|label| label.given.clone()),
            neighbours: doubted.map_or_else(Vec::new, neighbours),
        });
    }
    let mut counts: BTreeMap<Label, u64> = BTreeMap::new();
    for (_, label, _) in reader.labelled_ids(task)? {
        *counts.entry(label).or_default() += 1;
    }
    let figures = champion.and_then(|champion| champion.figures.as_ref());
    let advice = figures.and_then(|figures| next_class(&figures.per_class, &counts.into_iter().collect::<Vec<_>>()));
    let advice = advice.map(|Advice { class, labels, gain }| ReviewAdvice { class, labels, gain });
    Ok(Review { items, advice })
}

/// A reason as it is published.
fn published(reason: Reason) -> ReviewReason {
    match reason {
        Reason::Novel => ReviewReason::Novel,
        Reason::Uncertain => ReviewReason::Uncertain,
        Reason::Diverse => ReviewReason::Diverse,
        Reason::Audit => ReviewReason::Audit,
        Reason::Suspicious => ReviewReason::Suspicious,
    }
}

/// Labels that the last training left out, and those that are flagged; of both the most suspicious first.
fn doubted(labelled: &LabelledSamples, champion: &HeadRecord, left_out: &BTreeSet<SampleId>) -> Vec<DoubtedLabel> {
    let data = training_data::dataset(labelled.clone(), champion.frozen().space);
    data.map_or_else(|_| Vec::new(), |data| review::doubted(&data, champion, left_out))
}

fn neighbours(label: &DoubtedLabel) -> Vec<ReviewNeighbour> {
    let shown =
        |near: &review::Near| ReviewNeighbour { image: near.id, label: near.label.clone(), distance: near.distance };
    label.neighbours.iter().map(shown).collect()
}

/// This many samples that can be evicted, or fewer where no more can. Those with a label that the statistics of its task do
/// not contain yet stay, and those with a label of a task that has none: it is not in the configuration now.
pub(crate) fn evictable(
    reader: &Reader,
    count: usize,
    statistics: &BTreeMap<&TaskId, &LabelStats>,
) -> Result<Vec<EvictionCandidate>, StoreError> {
    let kept: Vec<Kept> = reader
        .evictable()?
        .into_iter()
        .filter(|EvictableSample { id, labels, .. }| {
            let class = |task| statistics.get(task).and_then(|statistics| statistics.class_of(id));
            labels.iter().all(|(task, label)| class(task) == Some(label))
        })
        .map(|EvictableSample { id, group, labels, number }| Kept {
            id,
            group,
            labels,
            arrived: number,
            audit: is_audit(&id),
        })
        .collect();
    let mut failed = None;
    let mut embeddings = |task: &TaskId, ids: &[SampleId]| match rows(reader, task, ids) {
        Ok(rows) => rows,
        Err(error) => {
            failed = Some(error);
            Array2::zeros((ids.len(), 1))
        }
    };
    let evicted = budget::evict(&kept, count, &mut embeddings);
    if let Some(error) = failed {
        return Err(error);
    }
    let mut labels: BTreeMap<SampleId, Vec<(TaskId, Label)>> =
        kept.into_iter().map(|kept| (kept.id, kept.labels)).collect();
    let going = |(id, why)| EvictionCandidate { id, labels: labels.remove(&id).unwrap_or_default(), why };
    Ok(evicted.gone.into_iter().map(going).collect())
}

/// Embeddings (m, d) of samples with a label of the task, in the order of `ids`; zeros where there is none.
fn rows(reader: &Reader, task: &TaskId, ids: &[SampleId]) -> Result<Array2<f32>, StoreError> {
    let found = reader.labelled_of(task, ids)?;
    let place: BTreeMap<SampleId, usize> = found.ids.iter().copied().zip(0..).collect();
    let mut rows = Array2::zeros((ids.len(), found.embeddings.ncols().max(1)));
    for (mut row, id) in rows.axis_iter_mut(Axis(0)).zip(ids) {
        if let Some(&place) = place.get(id) {
            row.assign(&found.embeddings.row(place));
        }
    }
    Ok(rows)
}
