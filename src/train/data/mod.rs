//! What a head is trained on: embeddings with classes and groups, checked once; groups of near-duplicates, the split
//! into folds, the subset of a bounded training, replay of evicted samples, a head of others to build on.

pub(crate) mod groups;
pub(crate) mod prior;
pub(crate) mod replay;
pub(crate) mod scene;
pub(crate) mod split;
pub(crate) mod subset;

use std::collections::BTreeSet;

use ndarray::{Array2, ArrayView1, Axis, concatenate};

use super::LabelStats;
use crate::head::DenseHead;
use crate::words::{ClassSet, EmbeddingSpace, Label, SampleId};

/// Labelled embeddings of one space. At least two classes, each with a sample or known to the head that is built on; every
/// value finite; ids distinct.
#[derive(Debug, Clone)]
pub struct Dataset {
    space: EmbeddingSpace,
    x: Array2<f32>,
    /// Widths, one behind another.
    parts: Vec<usize>,
    y: Vec<usize>,
    classes: ClassSet,
    groups: Vec<SampleId>,
    ids: Vec<SampleId>,
    past: Option<Past>,
    prior: Option<DenseHead>,
}

/// What single precision loses on the way through a network with another order of its sums.
const ROUNDING: f32 = 1e-6;

/// Evicted samples, of which only statistics are left.
#[derive(Debug, Clone)]
pub(crate) struct Past {
    /// Their statistics.
    pub statistics: LabelStats,
    /// At most this many draws replace them.
    pub max: usize,
}

/// Why samples cannot be trained on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadData {
    /// Lists of different lengths, an embedding of another width, or a class index out of range.
    #[error("cannot train: {what} is {found}, expected {expected}; read the embeddings again from one backbone")]
    Shape {
        /// Which part.
        what: &'static str,
        /// What should be there.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// Embeddings without values.
    #[error("cannot train: the backbone gives embeddings of no values; check its manifest's embedding.dim")]
    NoWidth,
    /// A value that is not a number.
    #[error(
        "cannot train: the embedding of image {sample} has {value} at position {place}; remove the image or embed it \
         again"
    )]
    NotFinite {
        /// The sample.
        sample: SampleId,
        /// Index within the embedding.
        place: usize,
        /// The value.
        value: String,
    },
    /// Fewer than two classes.
    #[error("cannot train: {}; label images of at least two classes", .class.as_ref().map_or_else(
        || "no image that is embedded has a label".to_owned(), |class| format!("class '{class}' is the only class")))]
    OneClass {
        /// The only class; `None` without any.
        class: Option<Label>,
    },
    /// A class without samples.
    #[error("cannot train: class '{class}' has no image; add images of it or remove the class")]
    EmptyClass {
        /// The class.
        class: Label,
    },
    /// One sample twice.
    #[error("cannot train: image {sample} is listed twice; list every image once")]
    Twice {
        /// The sample.
        sample: SampleId,
    },
}

impl Dataset {
    /// Checks and takes embeddings `x` (n, d) of `space`, each with its index in `classes`, its group and its id.
    ///
    /// # Errors
    /// [`BadData`] naming the first thing that is wrong.
    pub fn new(
        space: EmbeddingSpace,
        x: Array2<f32>,
        y: Vec<usize>,
        classes: ClassSet,
        groups: Vec<SampleId>,
        ids: Vec<SampleId>,
    ) -> Result<Self, BadData> {
        let shape = |what, expected, found| {
            if expected == found { Ok(()) } else { Err(BadData::Shape { what, expected, found }) }
        };
        shape("the width of the embeddings", space.dim, x.ncols())?;
        if space.dim == 0 {
            return Err(BadData::NoWidth);
        }
        shape("the number of labels", x.nrows(), y.len())?;
        shape("the number of groups", x.nrows(), groups.len())?;
        shape("the number of ids", x.nrows(), ids.len())?;
        if let Some(&found) = y.iter().find(|&&class| class >= classes.len()) {
            return Err(BadData::Shape { what: "a class index", expected: classes.len().saturating_sub(1), found });
        }
        if classes.len() < 2 {
            return Err(BadData::OneClass { class: classes.labels().first().cloned() });
        }
        if let Some(empty) = (0..classes.len()).find(|class| !y.contains(class)) {
            return Err(BadData::EmptyClass { class: classes.labels()[empty].clone() });
        }
        let mut seen = BTreeSet::new();
        if let Some(&sample) = ids.iter().find(|id| !seen.insert(**id)) {
            return Err(BadData::Twice { sample });
        }
        if let Some(((row, place), value)) = x.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(BadData::NotFinite { sample: ids[row], place, value: value.to_string() });
        }
        Ok(Self { space, x, parts: vec![space.dim], y, classes, groups, ids, past: None, prior: None })
    }

    /// Says that the values of an embedding are in parts of these widths, one behind another, whose sizes have nothing to
    /// do with each other: each is scaled on its own. Without it all are one part.
    ///
    /// # Panics
    /// When the widths are not the embedding's together.
    #[must_use]
    pub fn in_parts(self, parts: &[usize]) -> Self {
        assert_eq!(parts.iter().sum::<usize>(), self.space.dim, "parts of one embedding");
        Self { parts: parts.to_vec(), ..self }
    }

    /// Lets a training learn from the `statistics` of other samples too, by `max` draws from them at most
    /// (`train::replay`); figures rest on the samples alone, as before.
    ///
    /// # Panics
    /// When the statistics are of another space, or hold one of the samples.
    #[must_use]
    pub fn remembering(self, statistics: LabelStats, max: usize) -> Self {
        assert_eq!(*statistics.space(), self.space, "statistics of the same space");
        assert!(self.ids.iter().all(|id| statistics.class_of(id).is_none()), "statistics of other samples");
        Self { past: Some(Past { statistics, max }), ..self }
    }

    /// Lets a training build on the linear `head` of others, whose classes become those of the data, too (`data/prior`).
    ///
    /// # Panics
    /// When the head has a hidden layer or reads another space.
    #[must_use]
    pub fn building_on(self, head: DenseHead) -> Self {
        assert!(head.hidden.is_none() && head.space == self.space, "a linear head of the same space");
        let classes: ClassSet = self.classes.labels().iter().chain(head.classes.labels()).cloned().collect();
        let place = |class: &usize| classes.index_of(&self.classes.labels()[*class]).expect("it is among all");
        Self { y: self.y.iter().map(place).collect(), classes, prior: Some(head), ..self }
    }

    /// The same without the samples at the places `left_out`, and without classes that have no other; what was evicted is
    /// learned from as before.
    ///
    /// # Errors
    /// [`BadData::OneClass`] when fewer than two classes are left.
    pub fn without(&self, left_out: &BTreeSet<usize>) -> Result<Self, BadData> {
        let places: Vec<usize> = (0..self.n()).filter(|place| !left_out.contains(place)).collect();
        let name = |place: usize| &self.classes.labels()[self.y[place]];
        let classes: ClassSet = places.iter().map(|&place| name(place).clone()).collect();
        let y = places.iter().filter_map(|&place| classes.index_of(name(place))).collect();
        let of = |all: &[SampleId]| places.iter().map(|&place| all[place]).collect();
        let rest = Self::new(self.space, self.x.select(Axis(0), &places), y, classes, of(&self.groups), of(&self.ids))?;
        let rest = Self { past: self.past.clone(), parts: self.parts.clone(), ..rest };
        Ok(match &self.prior {
            Some(head) => rest.building_on(head.clone()),
            None => rest,
        })
    }

    pub(crate) fn past(&self) -> Option<&Past> {
        self.past.as_ref()
    }

    /// The samples and behind them `x` (m, d) of classes `y` (m,), each a group of its own.
    pub(crate) fn followed_by(&self, x: &Array2<f32>, y: &[usize]) -> Self {
        let made: Vec<SampleId> =
            (0..y.len()).map(|i| SampleId::of(&[b"replayed".as_slice(), &i.to_le_bytes()].concat())).collect();
        Self {
            space: self.space,
            x: concatenate![Axis(0), self.x, *x],
            parts: self.parts.clone(),
            y: [&self.y, y].concat(),
            classes: self.classes.clone(),
            groups: [&self.groups[..], &made].concat(),
            ids: [&self.ids[..], &made].concat(),
            past: None,
            prior: self.prior.clone(),
        }
    }

    pub(crate) fn prior(&self) -> Option<&DenseHead> {
        self.prior.as_ref()
    }

    /// Where the embeddings can be compared.
    #[must_use]
    pub fn space(&self) -> EmbeddingSpace {
        self.space
    }

    /// The embeddings (n, d), as the backbone gave them.
    #[must_use]
    pub fn x(&self) -> &Array2<f32> {
        &self.x
    }

    /// Widths of the parts of an embedding, d together.
    #[must_use]
    pub fn parts(&self) -> &[usize] {
        &self.parts
    }

    /// Class index of each sample (n,).
    #[must_use]
    pub fn y(&self) -> &[usize] {
        &self.y
    }

    /// The classes.
    #[must_use]
    pub fn classes(&self) -> &ClassSet {
        &self.classes
    }

    /// Those of the classes that have a sample: all, unless others' classes came with a head to build on.
    #[must_use]
    pub fn sampled_classes(&self) -> ClassSet {
        let sampled: BTreeSet<usize> = self.y.iter().copied().collect();
        sampled.into_iter().map(|class| self.classes.labels()[class].clone()).collect()
    }

    /// The group (burst) of each sample (n,).
    #[must_use]
    pub fn groups(&self) -> &[SampleId] {
        &self.groups
    }

    /// Identity of each sample (n,).
    #[must_use]
    pub fn ids(&self) -> &[SampleId] {
        &self.ids
    }

    /// Whether some value differs between two embeddings by more than rounding: by more than [`ROUNDING`] of the
    /// largest value there is.
    pub(crate) fn has_spread(&self) -> bool {
        let largest = self.x.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let first = self.x.row(0);
        let differs =
            |row: ArrayView1<'_, f32>| row.iter().zip(&first).any(|(a, b)| (a - b).abs() > ROUNDING * largest);
        self.x.rows().into_iter().any(differs)
    }

    /// How many samples there are.
    #[must_use]
    pub fn n(&self) -> usize {
        self.y.len()
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::words::Digest;

    fn dataset(x: Array2<f32>, y: &[usize], names: &[&str]) -> Result<Dataset, BadData> {
        let ids: Vec<_> = (0..y.len()).map(|i| SampleId::of(&[i as u8])).collect();
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 };
        let classes = names.iter().filter_map(|name| Label::new(name).ok()).collect();
        Dataset::new(space, x, y.to_vec(), classes, ids.clone(), ids)
    }

    #[test]
    fn an_embedding_that_is_no_number_is_refused_by_name() {
        let bad = dataset(array![[0.0, 1.0], [2.0, f32::NAN]], &[0, 1], &["a", "b"]).unwrap_err();
        assert_eq!(bad, BadData::NotFinite { sample: SampleId::of(&[1]), place: 1, value: "NaN".into() });
    }

    #[test]
    fn one_class_an_empty_class_and_shapes_that_disagree_have_errors_of_their_own() {
        let x = array![[0.0, 1.0], [2.0, 3.0]];
        let message = |result: Result<Dataset, BadData>| result.unwrap_err().to_string();
        assert!(message(dataset(x.clone(), &[0, 0], &["nut"])).contains("'nut' is the only class"));
        let nothing = dataset(Array2::zeros((0, 2)), &[], &[]);
        assert!(message(nothing).contains("no image that is embedded has a label"));
        assert!(message(dataset(x.clone(), &[0, 0], &["gear", "nut"])).contains("'nut' has no image"));
        assert!(message(dataset(x.clone(), &[0, 2], &["gear", "nut"])).contains("class index"));
        assert!(message(dataset(x, &[0, 1, 1], &["gear", "nut"])).contains("number of labels"));
        assert!(message(dataset(array![[0.0], [1.0]], &[0, 1], &["gear", "nut"])).contains("width"));
    }

    #[test]
    fn a_sample_listed_twice_is_refused() {
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 1 };
        let classes = ["a", "b"].iter().filter_map(|name| Label::new(name).ok()).collect();
        let ids = vec![SampleId::of(b"same"); 2];
        let twice = Dataset::new(space, array![[0.0], [1.0]], vec![0, 1], classes, ids.clone(), ids);
        assert_eq!(twice.unwrap_err(), BadData::Twice { sample: SampleId::of(b"same") });
    }
}
