//! Bringing label statistics up to date with the labels of today, whatever they are stored in.
//!
//! Nothing here knows the store: callers hand in a [`LabelRows`].

use std::collections::BTreeSet;

use ndarray::Array2;

use super::label_stats::LabelStats;
use crate::train::Dataset;
use crate::words::{Label, SampleId};

/// Samples read at a time.
const CHUNK: usize = 256;

/// Samples with their present labels, wherever they are stored.
pub trait LabelRows {
    /// Why they cannot be read.
    type Error;

    /// Every sample with a label and an embedding, in the order of identities.
    ///
    /// # Errors
    /// As the type says.
    fn labels(&self) -> Result<Vec<(SampleId, Label)>, Self::Error>;

    /// These samples as they are now; those that are no longer stored are left out.
    ///
    /// # Errors
    /// As the type says.
    fn rows(&self, ids: &[SampleId]) -> Result<Vec<LabelRow>, Self::Error>;
}

/// A stored sample as it is labelled now.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelRow {
    /// The sample.
    pub id: SampleId,
    /// Its label, if it has one.
    pub label: Option<Label>,
    /// (d,); `None` when it has not been embedded in the present space.
    pub embedding: Option<Vec<f32>>,
}

/// `statistics` with every label of `stored` except of those that are `waiting`; `None` when they hold them already. What
/// they hold of samples that are no longer stored stays.
///
/// # Errors
/// Those of `stored`.
pub fn catch_up<R: LabelRows>(
    stored: &R,
    statistics: &LabelStats,
    waiting: &BTreeSet<SampleId>,
) -> Result<Option<LabelStats>, R::Error> {
    let labels = stored.labels()?;
    let labelled: BTreeSet<SampleId> = labels.iter().map(|(id, _)| *id).collect();
    let due = labels.iter().filter(|(id, _)| !waiting.contains(id));
    let differ = due.filter(|(id, label)| statistics.class_of(id) != Some(label)).map(|(id, _)| *id);
    let unlabelled = statistics.contributors().map(|(id, _)| *id).filter(|id| !labelled.contains(id));
    let changed: Vec<SampleId> = differ.chain(unlabelled).collect();
    let mut statistics = statistics.clone();
    let mut any = false;
    for ids in changed.chunks(CHUNK) {
        let rows = stored.rows(ids)?;
        any |= !rows.is_empty();
        let new = |row: &LabelRow| {
            let embedding = row.embedding.clone()?;
            Some((row.id, row.label.clone()?, embedding)).filter(|_| statistics.class_of(&row.id).is_none())
        };
        let added: Vec<_> = rows.iter().filter_map(new).collect();
        statistics.add_all(added.iter().map(|(id, label, z)| (*id, label, z.as_slice())));
        for row in rows {
            if let Some(z) = &row.embedding {
                statistics.set(row.id, row.label.as_ref(), z);
            }
        }
    }
    Ok(any.then_some(statistics))
}

/// `data` with replay of all labels that are not in it: of samples that were evicted, and of those that are too many for a
/// training of `max` samples. `statistics` are those last written, of whatever age.
///
/// # Errors
/// Those of `stored`.
///
/// # Panics
/// When `statistics` are of another embedding space than `data`.
pub fn with_replay<R: LabelRows>(
    stored: &R,
    data: Dataset,
    statistics: LabelStats,
    max: usize,
) -> Result<Dataset, R::Error> {
    let Some(past) = past(stored, data.ids(), data.x(), statistics)? else { return Ok(data) };
    let room = max.saturating_sub(data.n());
    Ok(data.remembering(past, room))
}

/// The statistics of all labels but those of the samples `ids` (n,), whose embeddings are `x` (n, d); `None` where there are no
/// others. `statistics` are those last written, of whatever age.
///
/// # Errors
/// Those of `stored`.
///
/// # Panics
/// When `statistics` are of embeddings of another width than `x`.
pub fn past<R: LabelRows>(
    stored: &R,
    ids: &[SampleId],
    x: &Array2<f32>,
    statistics: LabelStats,
) -> Result<Option<LabelStats>, R::Error> {
    let inside: BTreeSet<&SampleId> = ids.iter().collect();
    if statistics.contributors().all(|(id, _)| inside.contains(id)) {
        return Ok(None);
    }
    let mut statistics = catch_up(stored, &statistics, &BTreeSet::new())?.unwrap_or(statistics);
    let rows = x.rows().into_iter().map(|row| row.to_slice().expect("embeddings lie row by row"));
    let inside: Vec<(SampleId, &[f32])> = ids.iter().copied().zip(rows).collect();
    // A part at a time: their copies at unit length need not all be there at once.
    for part in inside.chunks(CHUNK) {
        statistics.remove_all(part.iter().copied());
    }
    Ok(Some(statistics))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::words::{Digest, EmbeddingSpace};

    struct Rows(Vec<LabelRow>);

    impl LabelRows for Rows {
        type Error = Infallible;

        fn labels(&self) -> Result<Vec<(SampleId, Label)>, Infallible> {
            Ok(self.0.iter().filter_map(|row| Some((row.id, row.label.clone()?))).collect())
        }

        fn rows(&self, ids: &[SampleId]) -> Result<Vec<LabelRow>, Infallible> {
            Ok(self.0.iter().filter(|row| ids.contains(&row.id)).cloned().collect())
        }
    }

    fn id(n: u8) -> SampleId {
        SampleId::of(&[n])
    }

    fn row(n: u8, label: Option<&str>) -> LabelRow {
        let label = label.map(|label| Label::new(label).unwrap());
        LabelRow { id: id(n), label, embedding: Some(vec![1.0, f32::from(n)]) }
    }

    #[test]
    fn labels_that_are_new_changed_or_removed_are_caught_up_with_and_those_of_evicted_samples_stay() {
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 };
        let (gear, nut) = (Label::new("gear").unwrap(), Label::new("nut").unwrap());
        let mut statistics = LabelStats::new(space);
        for n in 0..4 {
            statistics.set(id(n), Some(&gear), &[1.0, f32::from(n)]);
        }
        // 0 is evicted, 1 unchanged, 2 changed, 3 no longer labelled, 4 new, 5 still waits.
        let stored = [(1, Some("gear")), (2, Some("nut")), (3, None), (4, Some("nut")), (5, Some("nut"))];
        let stored = Rows(stored.map(|(n, label)| row(n, label)).to_vec());
        let waiting = BTreeSet::from([id(5)]);
        let Ok(caught_up) = catch_up(&stored, &statistics, &waiting);
        let caught_up = caught_up.unwrap();
        let classes: Vec<_> = (0..6).map(|n| caught_up.class_of(&id(n))).collect();
        assert_eq!(classes, [Some(&gear), Some(&gear), Some(&nut), None, Some(&nut), None]);
        let Ok(again) = catch_up(&stored, &caught_up, &waiting);
        assert_eq!(again, None, "nothing is left to catch up with");
    }
}
