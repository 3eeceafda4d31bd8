//! What there is to choose from for a review, by the head in service.

use std::collections::BTreeSet;

use ndarray::Array2;

use super::{Candidate, Doubt};
use crate::eval::label_errors::{Suspect, label_errors};
use crate::head::HeadRecord;
use crate::train::Dataset;
use crate::words::{Label, SampleId};

/// A label that is probably wrong, with what a person needs to judge it.
#[derive(Debug, Clone, PartialEq)]
pub struct DoubtedLabel {
    /// What is doubted.
    pub doubt: Doubt,
    /// The label that was given.
    pub given: Label,
    /// The most similar labelled samples, nearest first.
    pub neighbours: Vec<Near>,
}

/// A labelled sample that is similar.
#[derive(Debug, Clone, PartialEq)]
pub struct Near {
    /// The sample.
    pub id: SampleId,
    /// Its label.
    pub label: Label,
    /// As in [`crate::eval::label_errors::Neighbour`].
    pub distance: f64,
}

/// The images `ids` without a label, oldest first, as `champion` sees them; row i of `embeddings` (n, d) belongs to
/// `ids[i]`, which is of the burst `groups[i]`. One that is more novel than `unknown_percentile` of known images is of no
/// known class, as in its prediction.
#[must_use]
pub fn candidates(
    ids: &[SampleId],
    groups: &[SampleId],
    embeddings: &Array2<f32>,
    champion: Option<&HeadRecord>,
    unknown_percentile: f64,
) -> Vec<Candidate> {
    let one = |(row, embedding): (usize, ndarray::ArrayView1<'_, f32>)| {
        let embedding = embedding.to_vec();
        let probabilities = champion.and_then(|champion| champion.frozen().probabilities(&embedding).ok());
        let readable = champion.filter(|_| probabilities.is_some());
        let novelty = readable.and_then(|champion| champion.calibration.novelty_of(&embedding, unknown_percentile));
        Candidate {
            id: ids[row],
            group: groups[row],
            probabilities,
            novelty: novelty.map_or(0.0, |found| found.score),
            unknown: novelty.is_some_and(|found| found.unknown == Some(true)),
            arrived: row as u64,
        }
    };
    embeddings.rows().into_iter().enumerate().map(one).collect()
}

/// The labels of `data` that the last training left out, then those that are flagged by models and neighbours that had
/// not seen them; of both the most suspicious first.
#[must_use]
pub fn doubted(data: &Dataset, champion: &HeadRecord, left_out: &BTreeSet<SampleId>) -> Vec<DoubtedLabel> {
    let label = |class: usize| data.classes().labels()[class].clone();
    let doubted = |suspect: Suspect| DoubtedLabel {
        doubt: Doubt {
            id: data.ids()[suspect.sample],
            group: data.groups()[suspect.sample],
            suggestion: label(suspect.suggested),
            probability: suspect.probability,
        },
        given: label(suspect.given),
        neighbours: suspect
            .neighbours
            .iter()
            .map(|near| Near { id: data.ids()[near.sample], label: label(near.label), distance: near.distance })
            .collect(),
    };
    let is_left_out = |suspect: &Suspect| left_out.contains(&data.ids()[suspect.sample]);
    let suspects = label_errors(data, &champion.dense, &champion.heldout);
    let (first, then): (Vec<Suspect>, Vec<Suspect>) = suspects.into_iter().partition(is_left_out);
    first.into_iter().chain(then.into_iter().filter(|suspect| suspect.flagged)).map(doubted).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, array};

    use super::*;
    use crate::head::{BackboneRef, Calibration, DenseHead, Novelty, NoveltyParts, Ranked};
    use crate::words::{ClassSet, Digest, EmbeddingSpace, Timestamp};

    /// A head of two classes that knows how novel 120 known images were, from 0 to 1.
    fn champion() -> HeadRecord {
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 3 };
        let classes: ClassSet = ["gear", "nut"].map(|name| Label::new(name).unwrap()).into_iter().collect();
        let weights = array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]];
        let dense = DenseHead::linear(space, classes, weights, Array1::zeros(2));
        let backbone = BackboneRef { name: "tiny".into(), sha256: Digest::of(b"m"), dim: 3 };
        let novelty = Novelty::new(NoveltyParts {
            means: array![[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
            centre: Array1::from_vec(vec![0.5, 0.5, 0.0]),
            references: array![[127, -127, 0], [-127, 127, 0]],
            location: [0.0, -1.0],
            scale: [1.0, 1.0],
            heldout: Ranked::new((0..120).map(|i| i as f32 / 120.0).collect()).unwrap(),
        });
        HeadRecord {
            calibration: Calibration { conformal: None, novelty: novelty.ok() },
            ..HeadRecord::new(dense, 1, Timestamp(0), backbone)
        }
    }

    #[test]
    fn an_image_is_unknown_to_the_review_at_the_rate_that_predictions_go_by() {
        let (ids, champion) = ([SampleId::of(b"image")], champion());
        let embeddings = array![[1.0, 0.4, 0.3]];
        let at = |percentile| candidates(&ids, &ids, &embeddings, Some(&champion), percentile)[0].clone();
        let score = at(99.0).novelty;
        assert!((0.2..0.9).contains(&score), "{score} is between two rates");
        assert!(!at(99.0).unknown);
        assert!(at(10.0).unknown);
        assert!(!candidates(&ids, &ids, &embeddings, None, 10.0)[0].unknown, "without a head nothing is known");
    }
}
