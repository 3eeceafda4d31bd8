//! Which sample of a class is missed least.

use ndarray::{Array2, ArrayView1};

use super::{Kept, may_go};
use crate::words::{Label, SampleId, draw};

/// Samples of a class that are compared at a time: 4 MB of distances, and work that a large cache does not square.
const WINDOW: usize = 1_000;

/// One class's closest pairs, found once and followed as samples go.
#[derive(Default)]
pub(super) struct Class {
    /// Places of the samples compared.
    places: Vec<usize>,
    /// Cosine similarity (m, m); minus infinity to itself and to what has gone.
    cosines: Array2<f32>,
    /// The two largest of each row (m,); `None` of those that have gone.
    tops: Vec<Option<[f32; 2]>>,
    /// Whether anything came of this window.
    fruitful: bool,
}

impl Class {
    /// The place of the next sample of `label` to go: of the two closest, the one that has another neighbour closer.
    /// `None` when no sample of it may go.
    pub(super) fn next(
        &mut self,
        samples: &[Kept],
        label: &Label,
        gone: &[bool],
        embeddings: &mut dyn FnMut(&[SampleId]) -> Array2<f32>,
    ) -> Option<usize> {
        if let Some(place) = self.closest(samples) {
            self.fruitful = true;
            return Some(place);
        }
        if !self.fruitful && !self.places.is_empty() {
            return None;
        }
        *self = Self::window(samples, label, gone, embeddings);
        self.closest(samples).inspect(|_| self.fruitful = true)
    }

    /// Compares up to 1,000 samples that are left of `label`, drawn anew for each number that is left.
    fn window(
        samples: &[Kept],
        label: &Label,
        gone: &[bool],
        embeddings: &mut dyn FnMut(&[SampleId]) -> Array2<f32>,
    ) -> Self {
        let mut places: Vec<usize> =
            (0..samples.len()).filter(|&place| !gone[place] && samples[place].label.as_ref() == Some(label)).collect();
        if places.len() > WINDOW {
            let purpose = format!("redundant {}", places.len());
            places.sort_by_key(|&place| (draw(&samples[place].id, &purpose), samples[place].id));
            places.truncate(WINDOW);
        }
        places.sort_by_key(|&place| samples[place].id);
        let mut units = embeddings(&places.iter().map(|&place| samples[place].id).collect::<Vec<_>>());
        assert_eq!(units.nrows(), places.len(), "one embedding a sample");
        for mut row in units.rows_mut() {
            let norm = row.iter().map(|z| f64::from(*z).powi(2)).sum::<f64>().sqrt();
            row.mapv_inplace(|z| (f64::from(z) / norm.max(f64::MIN_POSITIVE)) as f32);
        }
        let mut cosines = units.dot(&units.t());
        cosines.diag_mut().fill(f32::NEG_INFINITY);
        // What is no number is near nothing.
        cosines.mapv_inplace(|cosine| if cosine.is_nan() { -1.0 } else { cosine });
        let tops = cosines.rows().into_iter().map(|row| Some(two_largest(&row))).collect();
        Self { places, cosines, tops, fruitful: false }
    }

    /// Takes one sample out of the window.
    fn closest(&mut self, samples: &[Kept]) -> Option<usize> {
        let near = |row: usize| self.tops[row].filter(|top| top[0] > f32::NEG_INFINITY).map(|top| (row, top));
        let free = (0..self.places.len()).filter(|&row| may_go(&samples[self.places[row]])).filter_map(near);
        let (row, _) = free.max_by(|(a, top), (b, other)| {
            let by_near = top[0].total_cmp(&other[0]).then(top[1].total_cmp(&other[1]));
            // Of twins the later one goes.
            let (a, b) = (&samples[self.places[*a]], &samples[self.places[*b]]);
            by_near.then(a.arrived.cmp(&b.arrived)).then(a.id.cmp(&b.id))
        })?;
        self.tops[row] = None;
        for other in 0..self.places.len() {
            let cosine = std::mem::replace(&mut self.cosines[[other, row]], f32::NEG_INFINITY);
            if self.tops[other].is_some_and(|top| cosine >= top[1]) {
                self.tops[other] = Some(two_largest(&self.cosines.row(other)));
            }
        }
        Some(self.places[row])
    }
}

fn two_largest(row: &ArrayView1<'_, f32>) -> [f32; 2] {
    row.iter().fold(
        [f32::NEG_INFINITY; 2],
        |[first, second], &value| {
            if value > first { [value, first] } else { [first, second.max(value)] }
        },
    )
}
