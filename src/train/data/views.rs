//! Views of labelled images: how an embedding moves when its image is cropped, for trainings on few labels.
//!
//! Only the movements are used, and no label: a head is penalised for answering a crop otherwise than its image
//! (`fast/features`). The samples, their folds and what figures rest on are the same with views as without.

use ndarray::{Array2, Axis};

use super::{BadData, Dataset};

/// The most samples whose views a training uses: with more labels they add little to what they cost.
pub const VIEWED_MAX: usize = 500;

/// Views of some of the samples.
#[derive(Debug, Clone)]
pub(crate) struct Views {
    /// Embedding of a view minus that of its sample (m, d).
    movements: Array2<f32>,
    /// The place of each one's sample (m,).
    of: Vec<usize>,
}

impl Views {
    pub fn none(dim: usize) -> Self {
        Self { movements: Array2::zeros((0, dim)), of: vec![] }
    }

    /// Of embeddings `x` (m, d) of views of the samples of `data` at the places `of` (m,).
    pub fn new(data: &Dataset, mut x: Array2<f32>, of: Vec<usize>) -> Result<Self, BadData> {
        let shape = |what, expected, found| Err(BadData::Shape { what, expected, found });
        if x.ncols() != data.space().dim {
            return shape("the width of the views", data.space().dim, x.ncols());
        }
        if x.nrows() != of.len() {
            return shape("the number of views", x.nrows(), of.len());
        }
        if let Some(&found) = of.iter().find(|&&place| place >= data.n()) {
            return shape("the place of a view's sample", data.n() - 1, found);
        }
        if let Some(((row, place), value)) = x.indexed_iter().find(|(_, value)| !value.is_finite()) {
            return Err(BadData::NotFinite { sample: data.ids()[of[row]], place, value: value.to_string() });
        }
        for (mut view, &sample) in x.rows_mut().into_iter().zip(&of) {
            view -= &data.x().row(sample);
        }
        Ok(Self { movements: x, of })
    }

    /// Those of the samples at `places`, which rise, by their places among these.
    pub fn only(&self, places: &[usize]) -> Self {
        let kept = self.of.iter().enumerate().filter_map(|(row, of)| Some((row, places.binary_search(of).ok()?)));
        let (rows, of): (Vec<usize>, Vec<usize>) = kept.unzip();
        Self { movements: self.movements.select(Axis(0), &rows), of }
    }

    /// (m, d)
    pub fn movements(&self) -> &Array2<f32> {
        &self.movements
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::ControlFlow;

    use ndarray::array;
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::train::{Fitted, L2, Settings, fit};
    use crate::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId};

    fn data() -> Dataset {
        let ids: Vec<_> = (0..4_u8).map(|n| SampleId::of(&[n])).collect();
        let classes: ClassSet = ["gear", "nut"].map(|name| Label::new(name).unwrap()).into_iter().collect();
        let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 2 };
        let x = array![[0.0_f32, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]];
        Dataset::new(space, x, vec![0, 1, 0, 1], classes, ids.clone(), ids).unwrap()
    }

    #[test]
    fn views_follow_their_samples_when_others_are_left_out() {
        let data = data().seen_as(array![[3.0, 1.0], [1.0, 2.0], [2.0, 3.0]], vec![3, 1, 2]).unwrap();
        assert_eq!(data.views().movements(), array![[0.0_f32, 1.0], [0.0, 2.0], [0.0, 3.0]]);
        let rest = data.without(&BTreeSet::from([1])).unwrap();
        assert_eq!(rest.views().movements(), array![[0.0_f32, 1.0], [0.0, 3.0]]);
        assert_eq!(rest.views().of, [2, 1]);
    }

    /// Twenty samples of two classes that differ in the first value, and views that move along the second.
    fn shaken(seed: u64) -> Dataset {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let ids: Vec<_> = (0..20_u8).map(|n| SampleId::of(&[n])).collect();
        let y: Vec<usize> = (0..20).map(|n| n % 2).collect();
        let mut x = Array2::from_shape_simple_fn((20, 60), || rng.random::<f32>());
        (0..20).for_each(|n| x[[n, 0]] += y[n] as f32);
        let mut views = x.clone();
        (0..20).for_each(|n| views[[n, 1]] += rng.random::<f32>() - 0.5);
        let data = data();
        let space = EmbeddingSpace { dim: 60, ..data.space() };
        let data = Dataset::new(space, x, y, data.classes().clone(), ids.clone(), ids).unwrap();
        data.seen_as(views, (0..20).collect()).unwrap()
    }

    #[test]
    fn a_head_that_saw_views_answers_them_more_like_their_images_and_is_measured_on_the_same_samples() {
        for seed in 0..8 {
            let seen = shaken(seed);
            let unseen = Dataset { views: Views::none(60), ..seen.clone() };
            let settings = Settings { l2: L2::Fixed(0.1), seed, ..Settings::default() };
            let fitted = |data: &Dataset| fit(data, &settings, &mut |_| ControlFlow::Continue(())).unwrap();
            let ([with, without], views) = ([&seen, &unseen].map(fitted), seen.views().movements());
            let share = |fitted: &Fitted| {
                let weights = &fitted.dense.weights;
                let moved = views.dot(&weights.t()).mapv(|v| v * v).sum();
                moved / weights.mapv(|w| w * w).sum()
            };
            assert!(share(&with) < 0.5 * share(&without), "seed {seed}: {} {}", share(&with), share(&without));
            assert_eq!((with.facts.hyper.get("views"), without.facts.hyper.get("views")), (Some(&20.0), None));
            assert_eq!((&with.heldout.ids, with.facts.n_train), (&without.heldout.ids, 20), "seed {seed}");
        }
    }

    #[test]
    fn views_of_another_width_of_no_sample_or_without_a_value_are_refused() {
        let refused = |x: Array2<f32>, of: &[usize]| data().seen_as(x, of.to_vec()).unwrap_err();
        let shape = |what, expected, found| BadData::Shape { what, expected, found };
        assert_eq!(refused(Array2::zeros((1, 3)), &[0]), shape("the width of the views", 2, 3));
        assert_eq!(refused(Array2::zeros((1, 2)), &[]), shape("the number of views", 1, 0));
        assert_eq!(refused(Array2::zeros((1, 2)), &[4]), shape("the place of a view's sample", 3, 4));
        let not_a_number = refused(array![[0.0, f32::NAN]], &[1]);
        assert!(matches!(not_a_number, BadData::NotFinite { sample, place: 1, .. } if sample == SampleId::of(&[1])));
    }
}
