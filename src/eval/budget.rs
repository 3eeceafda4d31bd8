//! Eviction: which samples go when the store is over its quota.
//!
//! First near-duplicates, then images without a label, then the largest class's most redundant samples. What has to
//! stay is listed at [`evict`]; when that leaves too few to evict, the rest is reported as `short`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use crate::words::{Label, SampleId, draw};

/// Samples of a class that always stay.
pub const MIN_CLASS: usize = 20;

/// A sample in the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its identity.
    pub id: SampleId,
    /// Its burst.
    pub group: SampleId,
    /// Its class, where it has one.
    pub label: Option<Label>,
    /// Its place in the order of arrival.
    pub arrived: u64,
    /// Whether it is one of the audits.
    pub audit: bool,
}

/// Why a sample goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Another of its burst with the same label, or none either, stays.
    NearDuplicate,
    /// Nobody has labelled it, and the draw fell on it.
    Unlabelled,
    /// Its class is the largest, and another sample of it is close.
    Redundant,
}

impl fmt::Display for Why {
    /// As counted things: `40 near-duplicates`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NearDuplicate => "near-duplicates",
            Self::Unlabelled => "unlabelled",
            Self::Redundant => "redundant",
        })
    }
}

/// What goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evicted {
    /// In the order in which they should go.
    pub gone: Vec<(SampleId, Why)>,
    /// How many more should have gone than could.
    pub short: usize,
}

/// Chooses `count` of `samples` to evict.
///
/// 1. Near-duplicates: of a group's samples with one label (or with none) all but the first to arrive; the longest
///    bursts first, their latest images first.
/// 2. Images without a label, those with the largest draw by identity first, so that what stays is a uniform sample
///    of all that ever came (a reservoir, without its memory).
/// 3. Of the largest class, again and again, one of the two closest samples: the one whose next neighbour is closer.
///
/// A class never falls below 20 samples, and labelled audits never go: the live figure rests on them. `embeddings` is
/// called for rows (m, d) of the samples named, at most 1,000 at a time and only when step 3 is reached.
pub fn evict(samples: &[Kept], count: usize, embeddings: &mut dyn FnMut(&[SampleId]) -> Array2<f32>) -> Evicted {
    let mut going = Going::new(samples, count);
    for place in near_duplicates(samples) {
        going.take(place, Why::NearDuplicate);
    }
    let mut unlabelled: Vec<usize> = (0..samples.len()).filter(|&place| samples[place].label.is_none()).collect();
    unlabelled.sort_by_key(|&place| (std::cmp::Reverse(draw(&samples[place].id, "reservoir")), samples[place].id));
    for place in unlabelled {
        going.take(place, Why::Unlabelled);
    }
    let mut classes: BTreeMap<&Label, Class> = BTreeMap::new();
    while let Some(label) = going.largest() {
        let class = classes.entry(label).or_default();
        match class.next(samples, label, &going.gone, embeddings) {
            Some(place) => going.take(place, Why::Redundant),
            None => going.exhausted(label),
        }
    }
    Evicted { short: count - going.list.len(), gone: going.list }
}

/// What has been chosen so far.
struct Going<'a> {
    samples: &'a [Kept],
    count: usize,
    /// (n,)
    gone: Vec<bool>,
    list: Vec<(SampleId, Why)>,
    /// Samples of each class that are left.
    left: BTreeMap<&'a Label, usize>,
    /// Classes that step 3 may still take from.
    open: BTreeSet<&'a Label>,
}

impl<'a> Going<'a> {
    fn new(samples: &'a [Kept], count: usize) -> Self {
        let mut left: BTreeMap<&Label, usize> = BTreeMap::new();
        for label in samples.iter().filter_map(|sample| sample.label.as_ref()) {
            *left.entry(label).or_default() += 1;
        }
        let open = left.keys().copied().collect();
        Self { samples, count, gone: vec![false; samples.len()], list: Vec::new(), left, open }
    }

    /// Lets the sample go, unless enough have gone, it has, or it has to stay.
    fn take(&mut self, place: usize, why: Why) {
        let sample = &self.samples[place];
        if self.list.len() == self.count || self.gone[place] || !may_go(sample) {
            return;
        }
        if let Some(label) = &sample.label {
            let left = self.left.entry(label).or_default();
            if *left <= MIN_CLASS {
                return;
            }
            *left -= 1;
        }
        self.gone[place] = true;
        self.list.push((sample.id, why));
    }

    /// The class to take from next; `None` when enough have gone or none may give.
    fn largest(&self) -> Option<&'a Label> {
        if self.list.len() == self.count {
            return None;
        }
        let open = self.left.iter().filter(|(label, left)| **left > MIN_CLASS && self.open.contains(*label));
        open.max_by_key(|(label, left)| (**left, std::cmp::Reverse(**label))).map(|(label, _)| *label)
    }

    /// Nothing more is to be had of a class.
    fn exhausted(&mut self, label: &Label) {
        self.open.remove(label);
    }
}

fn may_go(sample: &Kept) -> bool {
    !(sample.audit && sample.label.is_some())
}

/// All but the first of each burst with one label, the latest of the longest first.
fn near_duplicates(samples: &[Kept]) -> Vec<usize> {
    let mut bursts: BTreeMap<(SampleId, Option<&Label>), Vec<usize>> = BTreeMap::new();
    for (place, sample) in samples.iter().enumerate() {
        bursts.entry((sample.group, sample.label.as_ref())).or_default().push(place);
    }
    let mut ranked = Vec::new();
    for mut burst in bursts.into_values() {
        burst.sort_by_key(|&place| (samples[place].arrived, samples[place].id));
        ranked.extend(burst.into_iter().enumerate().skip(1));
    }
    ranked.sort_by_key(|&(rank, place)| std::cmp::Reverse((rank, samples[place].arrived, samples[place].id)));
    ranked.into_iter().map(|(_, place)| place).collect()
}

/// Samples of a class that are compared at a time: 4 MB of distances, and work that a large cache does not square.
const WINDOW: usize = 1_000;

/// One class's closest pairs, found once and followed as samples go.
#[derive(Default)]
struct Class {
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
    /// The place of the next sample of `label` to go: of the two closest, the sample with the closer next neighbour.
    /// `None` when no sample of it may go.
    fn next(
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

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Up to 300 samples of up to 4 classes of very different sizes and of none, in bursts.
    fn cache(seed: u64) -> Vec<Kept> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let n = rng.random_range(1..300);
        let names = ["bolt", "gear", "nut", "washer"].map(|name| Label::new(name).unwrap());
        let mut samples: Vec<Kept> = (0..n)
            .map(|i: u64| {
                let id = SampleId::of(format!("{seed} {i}").as_bytes());
                let group = if rng.random_bool(0.3) { SampleId::of(&[rng.random_range(0..9)]) } else { id };
                let class = rng.random_range(0..5_usize) * rng.random_range(0..5) / 4;
                Kept { id, group, label: names.get(class).cloned(), arrived: i, audit: rng.random_bool(0.1) }
            })
            .collect();
        samples.sort_by_key(|sample| sample.id);
        samples
    }

    /// Embeddings that depend on the identity alone.
    fn embed(ids: &[SampleId]) -> Array2<f32> {
        Array2::from_shape_fn((ids.len(), 4), |(i, j)| f32::from(ids[i].0.0[j]) - 100.0)
    }

    fn size(samples: &[Kept], label: Option<&Label>) -> usize {
        samples.iter().filter(|sample| sample.label.as_ref() == label).count()
    }

    #[test]
    fn exactly_as_many_go_as_asked_for_unless_what_is_left_has_to_stay() {
        for seed in 0..300 {
            let (samples, count) = (cache(seed), (seed as usize * 7) % 320);
            let Evicted { gone, short } = evict(&samples, count, &mut embed);
            assert_eq!(gone.len() + short, count, "seed {seed}");
            let gone: BTreeMap<SampleId, Why> = gone.into_iter().collect();
            assert_eq!(gone.len() + short, count, "seed {seed}: none goes twice");
            let left: Vec<Kept> = samples.iter().filter(|sample| !gone.contains_key(&sample.id)).cloned().collect();
            for sample in &samples {
                let Some(label) = &sample.label else { continue };
                assert!(!sample.audit || !gone.contains_key(&sample.id), "seed {seed}: a labelled audit");
                let (before, after) = (size(&samples, Some(label)), size(&left, Some(label)));
                assert!(after >= MIN_CLASS.min(before), "seed {seed}: {after} of {before} '{label}'");
            }
            if short > 0 {
                let mut more = left.iter().filter(|sample| may_go(sample));
                let may =
                    |sample: &Kept| sample.label.as_ref().is_none_or(|label| size(&left, Some(label)) > MIN_CLASS);
                assert!(!more.any(may), "seed {seed}: something could have gone");
            }
        }
    }

    #[test]
    fn near_duplicates_go_before_images_without_a_label_and_those_before_redundant_ones() {
        for seed in 0..100 {
            let samples = cache(seed);
            let Evicted { gone, .. } = evict(&samples, samples.len(), &mut embed);
            assert!(gone.is_sorted_by_key(|(_, why)| *why), "seed {seed}");
            for (id, _) in gone.iter().filter(|(_, why)| *why == Why::NearDuplicate) {
                let sample = samples.iter().find(|sample| sample.id == *id).unwrap();
                let like = |other: &&Kept| other.group == sample.group && other.label == sample.label;
                assert!(samples.iter().filter(like).any(|other| other.arrived < sample.arrived), "seed {seed}");
            }
        }
    }

    #[test]
    fn the_order_of_samples_does_not_matter() {
        for seed in 0..100 {
            let samples = cache(seed);
            let backward: Vec<Kept> = samples.iter().rev().cloned().collect();
            assert_eq!(evict(&samples, 90, &mut embed), evict(&backward, 90, &mut embed), "seed {seed}");
        }
    }

    #[test]
    fn what_stays_without_a_label_does_not_depend_on_when_it_came_or_when_the_rest_went() {
        let image = |i: u64| {
            let id = SampleId::of(&i.to_le_bytes());
            Kept { id, group: id, label: None, arrived: i, audit: false }
        };
        let all: Vec<Kept> = (0..2_000).map(image).collect();
        let keep = |samples: Vec<Kept>, most: usize| -> Vec<Kept> {
            let gone = evict(&samples, samples.len().saturating_sub(most), &mut embed).gone;
            samples.into_iter().filter(|sample| !gone.iter().any(|(id, _)| *id == sample.id)).collect()
        };
        let at_once = keep(all.clone(), 200);
        let mut bit_by_bit = Vec::new();
        for batch in all.chunks(50) {
            bit_by_bit.extend_from_slice(batch);
            bit_by_bit = keep(bit_by_bit, 200);
        }
        assert_eq!(at_once, bit_by_bit);
        // A uniform sample: 100 of the first half expected, standard deviation 6.7.
        let early = at_once.iter().filter(|sample| sample.arrived < 1_000).count();
        assert!((75..125).contains(&early), "{early}");
    }

    #[test]
    fn of_the_largest_class_one_of_the_closest_two_goes_and_only_its_embeddings_are_read() {
        let sample = |i: u64, name: &str| {
            let id = SampleId::of(&i.to_le_bytes());
            Kept { id, group: id, label: Some(Label::new(name).unwrap()), arrived: i, audit: i == 4 }
        };
        let samples: Vec<Kept> = (0..22).map(|i| sample(i, "gear")).chain((22..45).map(|i| sample(i, "nut"))).collect();
        // Nuts are on a circle one step apart; 30 is between 31 and 29, closer to 31.
        let place = |id: &SampleId| samples.iter().find(|sample| sample.id == *id).unwrap().arrived;
        let mut embedded = Vec::new();
        let mut read = |ids: &[SampleId]| {
            embedded.extend(ids.iter().map(place));
            Array2::from_shape_fn((ids.len(), 2), |(i, j)| {
                let at = if place(&ids[i]) == 30 { 30.8 } else { place(&ids[i]) as f32 };
                let angle = at / 10.0;
                if j == 0 { angle.cos() } else { angle.sin() }
            })
        };
        let Evicted { gone, short } = evict(&samples, 1, &mut read);
        assert_eq!((gone.len(), short, gone[0].1), (1, 0, Why::Redundant));
        assert!(matches!(place(&gone[0].0), 30 | 31), "{}", place(&gone[0].0));
        assert!(embedded.iter().all(|arrived| *arrived >= 22), "{embedded:?}");
        let Evicted { gone, short } = evict(&samples, 9, &mut embed);
        assert_eq!((gone.len(), short), (5, 4));
    }

    #[test]
    fn a_class_larger_than_the_window_is_thinned_to_the_end() {
        let sample = |i: u64| {
            let id = SampleId::of(&i.to_le_bytes());
            Kept { id, group: id, label: Some(Label::new("gear").unwrap()), arrived: i, audit: false }
        };
        let samples: Vec<Kept> = (0..1_300).map(sample).collect();
        let mut most = 0;
        let mut read = |ids: &[SampleId]| {
            most = most.max(ids.len());
            embed(ids)
        };
        let Evicted { gone, short } = evict(&samples, 2_000, &mut read);
        assert_eq!((gone.len(), short, most), (1_280, 720, 1_000));
    }
}
