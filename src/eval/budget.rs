//! Eviction: which samples go when the store is over its quota.
//!
//! First near-duplicates, then images without a label, then the largest class's most redundant samples. What has to
//! stay is listed at [`evict`]; when that leaves too few to evict, the rest is reported as `short`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::words::{Label, SampleId, draw};

mod redundant;

use redundant::Class;

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
/// asked for rows (m, d) of the samples named, at most 1,000 at a time and only when step 3 is reached.
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

#[cfg(test)]
mod tests;
