//! The review list: which images are most worth a label, and in what order.
//!
//! Up to twenty images, each with its reason: *audit* (drawn by chance, for the live figure), *suspicious* (its label
//! is probably wrong), *novel* (none of the classes), and of the rest *diverse* while labels are few or *uncertain*
//! after that. Audits are on the list for no other reason, or the live accuracy would rest on hard images. No two are
//! of one burst. Nothing is labelled here.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::Array2;

use crate::words::{ClassSet, Label, SampleId, draw, is_audit};
pub use pool::{DoubtedLabel, Near, candidates, doubted};

mod diverse;
mod pool;

/// Images without a label that are looked at; of more, this many are drawn.
const CANDIDATES: usize = 2_000;
/// Labels a class below which the margin of a head means less than the spread of the images.
const FEW: usize = 10;

/// Why an image is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It looks like none of the classes.
    Novel,
    /// The head wavers between two classes.
    Uncertain,
    /// It represents many images of which none has a label.
    Diverse,
    /// It was drawn by chance, for the live figure.
    Audit,
    /// Its label is probably wrong.
    Suspicious,
}

/// An image without a label.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its identity.
    pub id: SampleId,
    /// Its burst.
    pub group: SampleId,
    /// The head's probabilities (k,); `None` while there is no head.
    pub probabilities: Option<Vec<f32>>,
    /// How unusual it is, higher is more; any scale.
    pub novelty: f64,
    /// Whether it counts as none of the classes.
    pub unknown: bool,
    /// Its place in the order of arrival.
    pub arrived: u64,
}

/// A labelled image whose label is doubted.
#[derive(Debug, Clone, PartialEq)]
pub struct Doubt {
    /// Its identity.
    pub id: SampleId,
    /// Its burst.
    pub group: SampleId,
    /// What it probably is.
    pub suggestion: Label,
    /// How probably.
    pub probability: f64,
}

/// What there is to choose from.
#[derive(Debug, Clone, Copy)]
pub struct Pool<'a> {
    /// (m,)
    pub candidates: &'a [Candidate],
    /// Their embeddings (m, d).
    pub embeddings: &'a Array2<f32>,
    /// Embeddings of the labelled samples (l, d).
    pub labelled: &'a Array2<f32>,
    /// Their bursts (l,).
    pub labelled_groups: &'a [SampleId],
    /// Classes of the probabilities.
    pub classes: &'a ClassSet,
    /// Flagged labels, most suspicious first.
    pub doubts: &'a [Doubt],
}

/// One image to label.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// The image.
    pub id: SampleId,
    /// Why.
    pub reason: Reason,
    /// What it probably is; `None` of novel images and while there is no head.
    pub suggestion: Option<Label>,
    /// How probably.
    pub probability: Option<f64>,
}

/// At most `most` images to label, in the order to work through; the same for the same pool and seed.
///
/// Of twenty places audits get two (a tenth), doubted labels and novel images four at most (a fifth each); all others
/// go to diverse or uncertain images, and what those leave to novel ones, doubts and audits, in this order. Audits
/// come latest first: the live figure is of today. Reasons are mixed in proportion, so whoever stops half-way has done
/// half of each.
///
/// Images of a burst that has a label already teach little; only an audit may be one.
///
/// # Panics
/// When the lengths in `pool` disagree.
#[must_use]
pub fn choose(pool: &Pool<'_>, most: usize, seed: u64) -> Vec<Ask> {
    assert_eq!(pool.candidates.len(), pool.embeddings.nrows(), "one embedding a candidate");
    assert_eq!(pool.labelled.nrows(), pool.labelled_groups.len(), "one burst a labelled sample");
    let mut list = List { taken: BTreeSet::new(), asks: BTreeMap::new(), left: most };
    let (audits, doubts, novel) = (pool.audits(), pool.doubted(), pool.novel());
    list.take(&audits, most.div_ceil(10));
    list.take(&doubts, most / 5);
    list.take(&novel, most / 5);
    let rest = pool.rest(&list.taken);
    list.take(&pool.informative(&rest, list.left, seed), most);
    for more in [&novel, &doubts, &audits] {
        list.take(more, most);
    }
    list.mixed()
}

/// An image that could be on the list, and its burst.
struct Choice {
    ask: Ask,
    group: SampleId,
}

/// What has been chosen so far.
struct List {
    /// Bursts that are on the list.
    taken: BTreeSet<SampleId>,
    asks: BTreeMap<Reason, Vec<Ask>>,
    left: usize,
}

impl List {
    /// Takes the first `most` of `choices` whose bursts are new, as far as there is room.
    fn take(&mut self, choices: &[Choice], most: usize) {
        let mut taken = 0;
        for choice in choices {
            if taken == most.min(self.left) {
                break;
            }
            if self.taken.insert(choice.group) {
                self.asks.entry(choice.ask.reason).or_default().push(choice.ask.clone());
                taken += 1;
            }
        }
        self.left -= taken;
    }

    /// Each reason's images spread evenly over the whole list.
    fn mixed(self) -> Vec<Ask> {
        let mut placed: Vec<(f64, Ask)> = Vec::new();
        for asks in self.asks.into_values() {
            let n = asks.len() as f64;
            placed.extend(asks.into_iter().enumerate().map(|(i, ask)| ((i as f64 + 0.5) / n, ask)));
        }
        // Stable: of equal places the order of the reasons decides.
        placed.sort_by(|a, b| a.0.total_cmp(&b.0));
        placed.into_iter().map(|(_, ask)| ask).collect()
    }
}

impl Pool<'_> {
    fn choice(&self, place: usize, reason: Reason) -> Choice {
        let Candidate { id, group, probabilities, .. } = &self.candidates[place];
        let likeliest = probabilities.as_ref().filter(|_| reason != Reason::Novel).and_then(|p| {
            let (class, p) = p.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))?;
            Some((self.classes.labels().get(class)?.clone(), f64::from(*p)))
        });
        let (suggestion, probability) = likeliest.unzip();
        Choice { ask: Ask { id: *id, reason, suggestion, probability }, group: *group }
    }

    fn audits(&self) -> Vec<Choice> {
        let mut audits: Vec<usize> = self.places(|candidate| is_audit(&candidate.id));
        audits.sort_by_key(|&place| {
            (std::cmp::Reverse(self.candidates[place].arrived), draw(&self.candidates[place].id, "review"))
        });
        audits.into_iter().map(|place| self.choice(place, Reason::Audit)).collect()
    }

    fn doubted(&self) -> Vec<Choice> {
        let choice = |doubt: &Doubt| {
            let (suggestion, probability) = (Some(doubt.suggestion.clone()), Some(doubt.probability));
            let ask = Ask { id: doubt.id, reason: Reason::Suspicious, suggestion, probability };
            Choice { ask, group: doubt.group }
        };
        self.doubts.iter().map(choice).collect()
    }

    fn novel(&self) -> Vec<Choice> {
        let labelled: BTreeSet<SampleId> = self.labelled_groups.iter().copied().collect();
        let is_new = |c: &Candidate| c.unknown && !is_audit(&c.id) && !labelled.contains(&c.group);
        let mut novel = self.places(is_new);
        novel.sort_by(|&a, &b| {
            let (a, b) = (&self.candidates[a], &self.candidates[b]);
            b.novelty.total_cmp(&a.novelty).then(a.id.cmp(&b.id))
        });
        novel.into_iter().map(|place| self.choice(place, Reason::Novel)).collect()
    }

    /// Diverse images while labels are few, else uncertain ones, `most` at most, of the candidates `rest`.
    fn informative(&self, rest: &[usize], most: usize, seed: u64) -> Vec<Choice> {
        let few = self.labelled.nrows() < FEW * self.classes.len().max(2);
        let (places, reason) = if few || rest.iter().any(|&place| self.candidates[place].probabilities.is_none()) {
            (diverse::typical(self, rest, most, seed), Reason::Diverse)
        } else {
            (wavering(self, rest, most), Reason::Uncertain)
        };
        places.into_iter().map(|place| self.choice(place, reason)).collect()
    }

    /// The first to arrive of each burst that is neither labelled nor `taken` nor an audit's or a novelty; 2,000 at
    /// most, drawn.
    fn rest(&self, taken: &BTreeSet<SampleId>) -> Vec<usize> {
        let mut seen: BTreeSet<SampleId> = self.labelled_groups.iter().chain(taken).copied().collect();
        let mut rest = self.places(|candidate| !candidate.unknown && !is_audit(&candidate.id));
        rest.sort_by_key(|&place| (self.candidates[place].arrived, self.candidates[place].id));
        rest.retain(|&place| seen.insert(self.candidates[place].group));
        rest.sort_by_key(|&place| draw(&self.candidates[place].id, "review"));
        rest.truncate(CANDIDATES);
        rest
    }

    fn places(&self, keep: impl Fn(&Candidate) -> bool) -> Vec<usize> {
        (0..self.candidates.len()).filter(|&place| keep(&self.candidates[place])).collect()
    }
}

/// Rows `places` of `embeddings`, each of length 1 (0 where it was 0).
fn units(embeddings: &Array2<f32>, places: &[usize]) -> Array2<f32> {
    let mut units = embeddings.select(ndarray::Axis(0), places);
    for mut row in units.rows_mut() {
        let norm = row.iter().map(|z| f64::from(*z).powi(2)).sum::<f64>().sqrt();
        row.mapv_inplace(|z| (f64::from(z) / norm.max(f64::MIN_POSITIVE)) as f32);
    }
    units
}

/// Images on the shortlist for each that is wanted.
const SHORTLIST: usize = 5;

/// At most `most` of the candidates at `places`, which all have probabilities.
///
/// The five times as many with the smallest margin between their two likeliest classes are thinned by k-center greedy
/// (Sener & Savarese 2018, arXiv 1708.00489): each next one is the farthest from all that are labelled or chosen.
fn wavering(pool: &Pool<'_>, places: &[usize], most: usize) -> Vec<usize> {
    let margin = |place: usize| {
        let p = pool.candidates[place].probabilities.as_deref().unwrap_or_default();
        let [first, second] = p
            .iter()
            .fold([0.0_f32; 2], |[first, second], &p| if p > first { [p, first] } else { [first, second.max(p)] });
        first - second
    };
    let mut short: Vec<(f32, usize)> = places.iter().map(|&place| (margin(place), place)).collect();
    let id = |place: usize| pool.candidates[place].id;
    short.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| id(a.1).cmp(&id(b.1))));
    short.truncate(SHORTLIST * most);
    let short: Vec<usize> = short.into_iter().map(|(_, place)| place).collect();
    let all: Vec<usize> = (0..pool.labelled.nrows()).collect();
    let order = spread(&units(pool.embeddings, &short), &units(pool.labelled, &all), most);
    order.into_iter().map(|row| short[row]).collect()
}

/// Rows of `x` (n, d), each of length 1, in the order of k-center greedy from `known` (l, d); the first row of equals.
fn spread(x: &Array2<f32>, known: &Array2<f32>, most: usize) -> Vec<usize> {
    // The largest cosine to what is covered; the smaller, the farther.
    let mut covered = vec![f32::NEG_INFINITY; x.nrows()];
    for block in known.axis_chunks_iter(ndarray::Axis(0), 256) {
        for cosines in block.dot(&x.t()).rows() {
            covered.iter_mut().zip(cosines).for_each(|(top, cosine)| *top = top.max(*cosine));
        }
    }
    let mut chosen = Vec::new();
    while chosen.len() < most.min(x.nrows()) {
        let free = (0..x.nrows()).filter(|row| !chosen.contains(row));
        let Some(next) = free.min_by(|&a, &b| covered[a].total_cmp(&covered[b])) else { break };
        for (top, cosine) in covered.iter_mut().zip(x.dot(&x.row(next))) {
            *top = top.max(cosine);
        }
        chosen.push(next);
    }
    chosen
}

#[cfg(test)]
mod tests;
