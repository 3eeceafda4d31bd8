//! What the background worker works out from the store: the reference of drift, whom to ask, what can go.
//!
//! Reading is all that is done here; the choices are `eval`'s.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, Axis};

use crate::engine::{Evictable, Review};
use crate::eval::advice::advice;
use crate::eval::budget::{self, Kept};
use crate::eval::drift::{Monitor, Reference};
use crate::eval::review::{self, Candidate, Doubt, Pool, Reason};
use crate::eval::suspicious::{Suspect, suspicious};
use crate::head::HeadRecord;
use crate::store::{KeptSample, Labelled, LabelledNow, Reader, StoreError, Unlabelled};
use crate::train::{self, Dataset, Statistics};
use crate::wire::{MAX_REVIEW_ITEMS, ReviewItem, ReviewNeighbour};
use crate::words::{ClassSet, EmbeddingSpace, Label, SampleId, Timestamp, is_audit, told};

/// Images without a label that are looked at for the review list, the latest first.
const CANDIDATES: usize = 1_000;
/// Labelled samples that are looked at for it.
const LABELLED: usize = 2_000;
/// Samples read at a time.
pub(crate) const CHUNK: usize = 256;

/// A monitor that compares with what `champion` learned from, by what models that had not seen it said of it; `None`
/// when that is too little.
pub(crate) fn monitor(reader: &Reader, champion: &HeadRecord, seed: u64) -> Result<Option<Monitor>, StoreError> {
    let held = &champion.heldout;
    let said: BTreeMap<SampleId, usize> = held
        .ids
        .iter()
        .zip(held.logits.rows())
        .filter(|(_, row)| row.iter().any(|logit| logit.is_finite()))
        .map(|(id, row)| (*id, (0..row.len()).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap_or(0)))
        .collect();
    let ids: Vec<SampleId> = said.keys().copied().collect();
    let Labelled { ids, groups, embeddings, .. } = reader.labelled_of(&ids)?;
    let predicted: Vec<usize> = ids.iter().map(|id| said[id]).collect();
    let reference = Reference { z: &embeddings, groups: &groups, predicted: &predicted };
    Ok(Monitor::new(&reference, seed).inspect_err(|why| tracing::debug!(%why)).ok())
}

/// The images worth a label now.
pub(crate) fn review(
    reader: &Reader,
    champion: Option<&HeadRecord>,
    since: Option<Timestamp>,
    seed: u64,
) -> Result<Review, StoreError> {
    let labelled = labelled(reader, LABELLED, seed)?;
    let unlabelled = reader.unlabelled(CANDIDATES, since)?;
    let none = ClassSet::default();
    let classes = champion.map_or(&none, |champion| &champion.dense.classes);
    let candidates = candidates(&unlabelled, champion);
    let doubted = champion.map_or_else(Vec::new, |champion| doubted(&labelled, champion));
    let doubts: Vec<Doubt> = doubted.iter().map(|(doubt, ..)| doubt.clone()).collect();
    let pool = Pool {
        candidates: &candidates,
        embeddings: &unlabelled.embeddings,
        labelled: &labelled.embeddings,
        labelled_groups: &labelled.groups,
        classes,
        doubts: &doubts,
    };
    let paths: BTreeMap<SampleId, &String> = unlabelled.ids.iter().copied().zip(&unlabelled.paths).collect();
    let mut items = Vec::new();
    for ask in review::choose(&pool, MAX_REVIEW_ITEMS, seed) {
        let doubt = doubted.iter().find(|(doubt, ..)| ask.reason == Reason::Suspicious && doubt.id == ask.id);
        let path = match paths.get(&ask.id) {
            Some(path) => (*path).clone(),
            None => reader.path(&ask.id)?.unwrap_or_default().to_string_lossy().into_owned(),
        };
        items.push(ReviewItem {
            image: ask.id,
            path,
            reason: ask.reason,
            suggestion: ask.suggestion,
            probability: ask.probability.map(|probability| probability as f32),
            label: doubt.map(|(_, label, _)| label.clone()),
            neighbours: doubt.map_or_else(Vec::new, |(.., neighbours)| neighbours.clone()),
        });
    }
    let mut counts: BTreeMap<Label, u64> = BTreeMap::new();
    for (_, label, _) in reader.labelled_ids()? {
        *counts.entry(label).or_default() += 1;
    }
    let figures = champion.and_then(|champion| champion.figures.as_ref());
    let advice = figures.and_then(|figures| advice(&figures.per_class, &counts.into_iter().collect::<Vec<_>>()));
    Ok(Review { items, advice })
}

/// At most `max` labelled samples, balanced and diverse.
pub(crate) fn labelled(reader: &Reader, max: usize, seed: u64) -> Result<Labelled, StoreError> {
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

/// What the head in service makes of each image without a label.
fn candidates(unlabelled: &Unlabelled, champion: Option<&HeadRecord>) -> Vec<Candidate> {
    let one = |(place, embedding): (usize, ndarray::ArrayView1<'_, f32>)| {
        let embedding = embedding.to_vec();
        let probabilities = champion.and_then(|champion| champion.dense.probabilities(&embedding).ok());
        // The rates of the settings are for predictions; here the usual ones order the list.
        let doubt = champion.zip(probabilities.as_ref());
        let doubt = doubt.map(|(champion, p)| champion.calibration.doubt(p, &embedding, 0.1, 99.0)).unwrap_or_default();
        Candidate {
            id: unlabelled.ids[place],
            group: unlabelled.groups[place],
            probabilities,
            novelty: doubt.novelty.unwrap_or(0.0),
            unknown: doubt.unknown == Some(true),
            arrived: place as u64,
        }
    };
    unlabelled.embeddings.rows().into_iter().enumerate().map(one).collect()
}

/// Labels that are flagged, most suspicious first, with the label and the images most like it.
fn doubted(labelled: &Labelled, champion: &HeadRecord) -> Vec<(Doubt, Label, Vec<ReviewNeighbour>)> {
    let Ok(data) = dataset(labelled.clone(), champion.dense.space) else { return Vec::new() };
    let label = |class: usize| data.classes().labels()[class].clone();
    let told = |suspect: Suspect| {
        let neighbours = suspect.neighbours.iter().map(|neighbour| ReviewNeighbour {
            image: data.ids()[neighbour.sample],
            label: label(neighbour.label),
            distance: neighbour.distance,
        });
        let doubt = Doubt {
            id: data.ids()[suspect.sample],
            group: data.groups()[suspect.sample],
            suggestion: label(suspect.suggested),
            probability: suspect.probability,
        };
        (doubt, label(suspect.given), neighbours.collect())
    };
    let suspects = suspicious(&data, &champion.dense, &champion.heldout);
    suspects.into_iter().filter(|suspect| suspect.flagged).map(told).collect()
}

/// Samples of the store as what a training takes.
pub(crate) fn dataset(labelled: Labelled, space: EmbeddingSpace) -> Result<Dataset, train::BadData> {
    let classes: ClassSet = labelled.labels.iter().cloned().collect();
    let y = labelled.labels.iter().filter_map(|label| classes.index_of(label)).collect();
    Dataset::new(space, labelled.embeddings, y, classes, labelled.groups, labelled.ids)
}

/// The statistics as they were last written; none yet where they are of another space or cannot be read.
pub(crate) fn statistics(reader: &Reader, space: EmbeddingSpace) -> Result<Statistics, StoreError> {
    match reader.statistics()?.map(|file| Statistics::from_bytes(&file)) {
        Some(Ok(statistics)) if *statistics.space() == space => return Ok(statistics),
        Some(Err(error)) => tracing::warn!(error = told(&error), "the statistics are made anew from the labels"),
        _ => {}
    }
    Ok(Statistics::new(space))
}

/// `statistics` with every label of the store except of those that are `waiting`; `None` when they hold them already.
/// What they hold of samples that were dropped from the store stays.
pub(crate) fn caught_up(
    reader: &Reader,
    statistics: &Statistics,
    waiting: &BTreeSet<SampleId>,
) -> Result<Option<Statistics>, StoreError> {
    let labelled = reader.labelled_ids()?;
    let known: BTreeSet<SampleId> = labelled.iter().map(|(id, ..)| *id).collect();
    let settled = labelled.iter().filter(|(id, ..)| !waiting.contains(id));
    let differ = settled.filter(|(id, label, _)| statistics.class_of(id) != Some(label)).map(|(id, ..)| *id);
    let unlabelled = statistics.contributors().map(|(id, _)| *id).filter(|id| !known.contains(id));
    let changed: Vec<SampleId> = differ.chain(unlabelled).collect();
    let mut statistics = statistics.clone();
    let mut any = false;
    for ids in changed.chunks(CHUNK) {
        let samples = reader.labels_of(ids)?;
        any |= !samples.is_empty();
        let new = |sample: &LabelledNow| {
            let embedding = sample.embedding.clone()?;
            Some((sample.id, sample.label.clone()?, embedding)).filter(|_| statistics.class_of(&sample.id).is_none())
        };
        let added: Vec<_> = samples.iter().filter_map(new).collect();
        statistics.add_all(added.iter().map(|(id, label, z)| (*id, label, z.as_slice())));
        for sample in samples {
            if let Some(z) = &sample.embedding {
                statistics.set(sample.id, sample.label.as_ref(), z);
            }
        }
    }
    Ok(any.then_some(statistics))
}

/// `data` with what is known of all labels that are not in it: of samples that were dropped, and of those that are too
/// many for a training of `max` samples.
pub(crate) fn remembering(reader: &Reader, data: Dataset, max: usize) -> Result<Dataset, StoreError> {
    let statistics = statistics(reader, data.space())?;
    let inside: BTreeSet<&SampleId> = data.ids().iter().collect();
    if statistics.contributors().all(|(id, _)| inside.contains(id)) {
        return Ok(data);
    }
    let mut statistics = caught_up(reader, &statistics, &BTreeSet::new())?.unwrap_or(statistics);
    let rows = data.x().rows().into_iter().map(|row| row.to_slice().expect("embeddings lie row by row"));
    let inside: Vec<(SampleId, &[f32])> = data.ids().iter().copied().zip(rows).collect();
    // A part at a time: their copies at unit length need not all be there at once.
    for part in inside.chunks(CHUNK) {
        statistics.remove_all(part.iter().copied());
    }
    let room = max.saturating_sub(data.n());
    Ok(data.remembering(statistics, room))
}

/// So many samples that can go, or fewer where no more can. Those with a label that `statistics` do not hold yet stay.
pub(crate) fn evictable(reader: &Reader, count: usize, statistics: &Statistics) -> Result<Vec<Evictable>, StoreError> {
    let held = |sample: &KeptSample| sample.label.is_none() || statistics.class_of(&sample.id) == sample.label.as_ref();
    let kept = reader.kept()?.into_iter().filter(held).map(|sample| Kept {
        id: sample.id,
        group: sample.group,
        label: sample.label,
        arrived: sample.number,
        audit: is_audit(&sample.id),
    });
    let kept: Vec<Kept> = kept.collect();
    let mut failed = None;
    let mut embeddings = |ids: &[SampleId]| match rows(reader, ids) {
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
    let mut labels: BTreeMap<SampleId, Option<Label>> = kept.into_iter().map(|kept| (kept.id, kept.label)).collect();
    let going = |(id, why)| Evictable { id, label: labels.remove(&id).flatten(), why };
    Ok(evicted.gone.into_iter().map(going).collect())
}

/// Embeddings (m, d) of labelled samples, in the order of `ids`; zeros where there is none.
fn rows(reader: &Reader, ids: &[SampleId]) -> Result<Array2<f32>, StoreError> {
    let found = reader.labelled_of(ids)?;
    let place: BTreeMap<SampleId, usize> = found.ids.iter().copied().zip(0..).collect();
    let mut rows = Array2::zeros((ids.len(), found.embeddings.ncols().max(1)));
    for (mut row, id) in rows.axis_iter_mut(Axis(0)).zip(ids) {
        if let Some(&place) = place.get(id) {
            row.assign(&found.embeddings.row(place));
        }
    }
    Ok(rows)
}

#[cfg(test)]
#[path = "training_data_tests.rs"]
mod tests;
