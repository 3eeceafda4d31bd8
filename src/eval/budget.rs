//! Eviction: which samples go when the store is over its quota.
//!
//! First near-duplicates, then images without a label, then the largest class's most redundant samples. What has to
//! stay is listed at [`evict`]; when that leaves too few to evict, the rest is reported as `short`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};

use crate::words::{Label, SampleId, TaskId, draw};

/// Samples of a class that always stay.
pub const MIN_CLASS: usize = 20;

/// A sample in the cache.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// Its identity.
    pub id: SampleId,
    /// Its burst.
    pub group: SampleId,
    /// Its class in each task that has a label for it, in the order of the tasks' names.
    pub labels: Vec<(TaskId, Label)>,
    /// Its place in the order of arrival.
    pub arrived: u64,
    /// Whether it is one of the audits.
    pub audit: bool,
}

/// Why a sample goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Another of its burst with the same labels, or none either, stays.
    NearDuplicate,
    /// No task has a label for it, and the draw fell on it.
    Unlabelled,
    /// Its rarest class is the largest such, and another sample of it is close.
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

/// The embeddings (m, d) of m samples, as a task looks at them.
pub type Rows<'a> = dyn FnMut(&TaskId, &[SampleId]) -> Array2<f32> + 'a;

/// Chooses `count` of `samples` to evict.
///
/// 1. Near-duplicates: of a group's samples with the same labels in all tasks (or with none) all but the first to arrive;
///    the longest bursts first, their latest images first.
/// 2. Images that no task has a label for, those with the largest draw by identity first, so that what stays is a uniform
///    sample of all that ever came (a reservoir, without its memory). The draw knows no task, so it is one of what each
///    task looks at, too.
/// 3. Of the largest class, again and again, one of the two closest samples: the one whose next neighbour is closer.
///
/// Tasks share what is stored, and a sample that one of them hardly needs may be one of the few of another. So each sample
/// counts for its rarest class alone, of all tasks: step 3 takes only samples for which the largest class is that one.
/// Classes of all tasks are then levelled from above like those of one, and however many labels a task has, they cost
/// another none of its smaller classes.
///
/// No class of any task falls below 20 samples, and audits with a label never go: the live figures rest on them.
/// `embeddings` is called for at most 1,000 samples at a time and only when step 3 is reached.
pub fn evict(samples: &[Kept], count: usize, embeddings: &mut Rows<'_>) -> Evicted {
    let mut going = Going::new(samples, count);
    for place in near_duplicates(samples) {
        going.take(place, Why::NearDuplicate);
    }
    let mut unlabelled: Vec<usize> = (0..samples.len()).filter(|&place| samples[place].labels.is_empty()).collect();
    unlabelled.sort_by_key(|&place| (Reverse(draw(&samples[place].id, "reservoir")), samples[place].id));
    for place in unlabelled {
        going.take(place, Why::Unlabelled);
    }
    let mut windows: BTreeMap<usize, Window> = BTreeMap::new();
    while let Some(class) = going.largest() {
        match windows.entry(class).or_default().next(&going, class, embeddings) {
            Some(place) => going.take(place, Why::Redundant),
            None => going.open[class] = false,
        }
    }
    Evicted { short: count - going.list.len(), gone: going.list }
}

/// What has been chosen so far. Classes are numbered, those of all tasks one after another, by their names.
struct Going<'a> {
    samples: &'a [Kept],
    count: usize,
    /// (n,)
    gone: Vec<bool>,
    list: Vec<(SampleId, Why)>,
    /// The task and the places of the samples of each class.
    classes: Vec<(&'a TaskId, Vec<usize>)>,
    /// (n,) the classes of each sample.
    of: Vec<Vec<usize>>,
    /// Samples of each class that are left.
    left: Vec<usize>,
    /// Whether step 3 may still take from a class.
    open: Vec<bool>,
}

impl<'a> Going<'a> {
    fn new(samples: &'a [Kept], count: usize) -> Self {
        let mut places: BTreeMap<(&TaskId, &Label), Vec<usize>> = BTreeMap::new();
        for (place, sample) in samples.iter().enumerate() {
            for (task, label) in &sample.labels {
                places.entry((task, label)).or_default().push(place);
            }
        }
        let classes: Vec<_> = places.into_iter().map(|((task, _), places)| (task, places)).collect();
        let mut of = vec![Vec::new(); samples.len()];
        for (class, (_, places)) in classes.iter().enumerate() {
            for &place in places {
                of[place].push(class);
            }
        }
        let left: Vec<usize> = classes.iter().map(|(_, places)| places.len()).collect();
        let open = vec![true; classes.len()];
        Self { samples, count, gone: vec![false; samples.len()], list: Vec::new(), classes, of, left, open }
    }

    /// Lets the sample go, unless enough have gone, it has, or it has to stay.
    fn take(&mut self, place: usize, why: Why) {
        let (sample, classes) = (&self.samples[place], &self.of[place]);
        if self.list.len() == self.count || self.gone[place] || !may_go(sample) {
            return;
        }
        if classes.iter().any(|&class| self.left[class] <= MIN_CLASS) {
            return;
        }
        for &class in classes {
            self.left[class] -= 1;
            // It may be the rarest class of other samples now.
            self.open[class] = true;
        }
        self.gone[place] = true;
        self.list.push((sample.id, why));
    }

    /// The class to take from next; `None` when enough have gone or none may give.
    fn largest(&mut self) -> Option<usize> {
        while self.list.len() < self.count {
            let open = (0..self.left.len()).filter(|&class| self.open[class] && self.left[class] > MIN_CLASS);
            let class = open.max_by_key(|&class| (self.left[class], Reverse(class)))?;
            if self.classes[class].1.iter().any(|&place| self.is_free(place, class)) {
                return Some(class);
            }
            self.open[class] = false;
        }
        None
    }

    /// Whether step 3 may take the sample from this class of it.
    fn is_free(&self, place: usize, class: usize) -> bool {
        !self.gone[place] && may_go(&self.samples[place]) && self.is_rarest(place, class)
    }

    fn is_rarest(&self, place: usize, class: usize) -> bool {
        self.of[place].iter().all(|&other| self.left[class] <= self.left[other])
    }
}

fn may_go(sample: &Kept) -> bool {
    !sample.audit || sample.labels.is_empty()
}

/// A burst, and the labels that some of its samples have.
type Alike<'a> = (SampleId, &'a [(TaskId, Label)]);

/// All but the first of each burst with the same labels, the latest of the longest first.
fn near_duplicates(samples: &[Kept]) -> Vec<usize> {
    let mut bursts: BTreeMap<Alike<'_>, Vec<usize>> = BTreeMap::new();
    for (place, sample) in samples.iter().enumerate() {
        bursts.entry((sample.group, &sample.labels)).or_default().push(place);
    }
    let mut ranked = Vec::new();
    for mut burst in bursts.into_values() {
        burst.sort_by_key(|&place| (samples[place].arrived, samples[place].id));
        ranked.extend(burst.into_iter().enumerate().skip(1));
    }
    ranked.sort_by_key(|&(rank, place)| Reverse((rank, samples[place].arrived, samples[place].id)));
    ranked.into_iter().map(|(_, place)| place).collect()
}

/// Samples of a class that are compared at a time: 4 MB of distances, and work that a large cache does not square.
const WINDOW: usize = 1_000;

/// One class's closest pairs, found once and followed as samples go.
#[derive(Default)]
struct Window {
    /// Places of the samples compared.
    places: Vec<usize>,
    /// Cosine similarity (m, m); minus infinity to itself and to what has gone.
    cosines: Array2<f32>,
    /// The two largest of each row (m,); `None` of those that have gone.
    tops: Vec<Option<[f32; 2]>>,
    /// Whether a sample of this window went.
    fruitful: bool,
}

impl Window {
    /// The place of the next sample of `class` to go: of the two closest, the sample with the closer next neighbour.
    /// `None` when no sample of it may go.
    fn next(&mut self, going: &Going<'_>, class: usize, embeddings: &mut Rows<'_>) -> Option<usize> {
        // From another class of theirs.
        for row in 0..self.places.len() {
            if self.tops[row].is_some() && going.gone[self.places[row]] {
                self.remove(row);
            }
        }
        if let Some(row) = self.closest(going, class) {
            return Some(self.remove(row));
        }
        if !self.fruitful && !self.places.is_empty() {
            return None;
        }
        *self = Self::compare(going, class, embeddings);
        self.closest(going, class).map(|row| self.remove(row))
    }

    /// Compares up to 1,000 samples that are left of `class`, drawn anew for each number that is left, those first that
    /// may go.
    fn compare(going: &Going<'_>, class: usize, embeddings: &mut Rows<'_>) -> Self {
        let (samples, (task, places)) = (going.samples, &going.classes[class]);
        let mut places: Vec<usize> = places.iter().copied().filter(|&place| !going.gone[place]).collect();
        if places.len() > WINDOW {
            let purpose = format!("redundant {}", places.len());
            let drawn = |place: usize| (draw(&samples[place].id, &purpose), samples[place].id);
            places.sort_by_cached_key(|&place| (!going.is_rarest(place, class), drawn(place)));
            places.truncate(WINDOW);
        }
        places.sort_by_key(|&place| samples[place].id);
        let ids: Vec<SampleId> = places.iter().map(|&place| samples[place].id).collect();
        let mut units = embeddings(task, &ids);
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

    /// The row of the sample to go next.
    fn closest(&self, going: &Going<'_>, class: usize) -> Option<usize> {
        let near = |row: usize| self.tops[row].filter(|top| top[0] > f32::NEG_INFINITY).map(|top| (row, top));
        let free = (0..self.places.len()).filter(|&row| going.is_free(self.places[row], class)).filter_map(near);
        let closest = free.max_by(|(a, top), (b, other)| {
            let by_near = top[0].total_cmp(&other[0]).then(top[1].total_cmp(&other[1]));
            // Of twins the later one goes.
            let (a, b) = (&going.samples[self.places[*a]], &going.samples[self.places[*b]]);
            by_near.then(a.arrived.cmp(&b.arrived)).then(a.id.cmp(&b.id))
        });
        closest.map(|(row, _)| row)
    }

    /// Takes one sample out of the window; its place.
    fn remove(&mut self, row: usize) -> usize {
        self.fruitful = true;
        self.tops[row] = None;
        for other in 0..self.places.len() {
            let cosine = std::mem::replace(&mut self.cosines[[other, row]], f32::NEG_INFINITY);
            if self.tops[other].is_some_and(|top| cosine >= top[1]) {
                self.tops[other] = Some(two_largest(&self.cosines.row(other)));
            }
        }
        self.places[row]
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
#[path = "budget_tests.rs"]
mod tests;
