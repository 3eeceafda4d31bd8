//! Which new labels are evidence: a batch that was labelled at random, with names exchanged or by a broken program is not.
//!
//! A head learns from wrong labels too, and the gate, which measures by the same labels, cannot see it. So before a
//! challenger is judged, its new labels (those that the champion did not learn from) are held against two heads: the
//! champion, a model of the older labels, and the challenger's folds, models of all labels that had not seen the image.
//! Labels are disbelieved together, all new ones of a class and then all others, when
//!
//! - the champion contradicts more of them than it errs (a one-sided 1 % bound), and
//! - the folds do not learn what is beyond that: of these labels they get fewer than half right by the 2 % bound, where
//!   every share of older labels that the folds give up for them raises the half.
//!
//! So right labels that the champion could not know (a new class, another camera, its own mistakes put right) are
//! learned and cost the older ones little; random ones are not learned; names exchanged are learned at the expense of
//! the older labels of the same images. One exchange leaves nothing to learn it by: when most images that the champion
//! learned as one known class are relabelled as another. That is disbelieved as such.
//!
//! Whatever a person confirms is believed. Names that the champion does not know are not disbelieved here: the gate demands
//! that they are found. A burst counts once. Nothing here has state: every training decides anew.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::ArrayView1;

use super::gate::{Verdict, judge_left_out};
use super::proportion::lower_bound;
use crate::head::HeadRecord;
use crate::train::{Dataset, Fitted};
use crate::words::{Label, SampleId, Timestamp};

/// Chance of taking the champion's ordinary errors for contradictions.
const CONTRADICTED: f64 = 0.01;
/// Chance of taking labels of which half are learned for such as are not.
const UNLEARNED: f64 = 0.02;
/// Share of the contradictions beyond ordinary errors that honest labels teach.
const LEARNED: f64 = 0.5;
/// How much a share of older labels that is given up raises that.
const GIVEN_UP: f64 = 2.5;
/// Share of a class of which the images are relabelled as another, above which it is an exchange of names.
const RENAMED: f64 = 0.5;
/// Images below which it is none.
const MIN_RENAMED: usize = 5;
/// Share of contradictions above which the labels of a class are left out with those that are not contradicted: by a wrong
/// name a few images agree with the champion's errors.
const WHOLE_CLASS: f64 = 0.5;

/// How a label came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given {
    /// When it was given last.
    pub at: Timestamp,
    /// Whether it was given twice, as by a person who confirms it.
    pub is_confirmed: bool,
    /// Whether the last training left it out; such labels are judged apart from later ones.
    pub was_left_out: bool,
}

/// New labels that are no evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disbelief {
    /// By place in the data set, what the champion calls the image.
    pub samples: BTreeMap<usize, Label>,
    /// How many labels were new.
    pub of: usize,
    /// How many labels are left.
    left: usize,
    /// Samples of the data set that the champion learned from.
    known: usize,
}

impl Disbelief {
    /// `data` without them; `None` where there is none, or too little is left to train on.
    #[must_use]
    pub fn believed(&self, data: &Dataset) -> Option<Dataset> {
        let left_out: BTreeSet<usize> = self.samples.keys().copied().collect();
        if left_out.is_empty() { None } else { data.without(&left_out).ok() }
    }

    /// The verdict where fewer labels are left than the champion learned from: a challenger cannot be better for them.
    #[must_use]
    pub fn verdict(&self, challenger: u64, champion: &HeadRecord) -> Option<Verdict> {
        let is_poorer = !self.samples.is_empty() && self.left < self.known;
        is_poorer.then(|| judge_left_out(challenger, champion.head.version, self.samples.len(), self.left, self.known))
    }
}

/// The new labels of `data` that are no evidence; `given` (n,) says how each label came about, and `fitted` was trained on
/// all of `data`. None where the champion was never measured.
///
/// # Panics
/// When the lengths disagree.
#[must_use]
pub fn disbelieved(data: &Dataset, given: &[Given], champion: &HeadRecord, fitted: &Fitted) -> Disbelief {
    assert_eq!(data.n(), given.len(), "one origin a label");
    let Some(evidence) = Evidence::new(data, given, champion, fitted) else { return Disbelief::default() };
    let mut found: BTreeSet<usize> = evidence.exchanged();
    for was_left_out in [false, true] {
        let batch = evidence.new.iter().copied().filter(|&i| given[i].was_left_out == was_left_out);
        let batch: Vec<usize> = batch.filter(|i| !found.contains(i)).collect();
        found.extend(evidence.unlearned(&batch));
    }
    let predicted =
        |sample: usize| champion.dense.classes.labels()[evidence.predicted[sample].unwrap_or_default()].clone();
    Disbelief {
        of: evidence.new.len(),
        left: data.n() - found.len(),
        known: evidence.known.iter().filter(|known| **known).count(),
        samples: found.into_iter().map(|sample| (sample, predicted(sample))).collect(),
    }
}

/// What the champion and the challenger's folds make of each label.
struct Evidence<'a> {
    data: &'a Dataset,
    /// Whether the champion learned from the sample (n,).
    known: Vec<bool>,
    /// The champion's answer as one of its classes, by a model that had not seen the image (n,).
    predicted: Vec<Option<usize>>,
    /// The given label as one of the champion's classes (n,).
    label: Vec<Option<usize>>,
    /// The folds' answer as one of the classes of the data (n,).
    learned: Vec<Option<usize>>,
    /// New samples whose label both could know.
    new: Vec<usize>,
    /// Older ones, one of each burst.
    old: Vec<usize>,
    /// Share of the champion's answers that are wrong by the labels of its time.
    errors: f64,
    /// Share of those that the folds get right.
    mended: f64,
}

impl<'a> Evidence<'a> {
    fn new(data: &'a Dataset, given: &[Given], champion: &HeadRecord, fitted: &Fitted) -> Option<Self> {
        let measured = champion.figures.as_ref()?.accuracy;
        let rows: BTreeMap<SampleId, usize> = champion.heldout.ids.iter().copied().zip(0..).collect();
        let known: Vec<bool> = data.ids().iter().map(|id| rows.contains_key(id)).collect();
        let mut scores = vec![0.0; champion.dense.classes.len()];
        let mut predicted = |i: usize| {
            if let Some(&row) = rows.get(&data.ids()[i]) {
                return likeliest(&champion.heldout.logits.row(row));
            }
            champion.frozen().logits(&data.x().row(i).to_vec(), &mut scores).ok()?;
            likeliest(&ArrayView1::from(&scores))
        };
        let predicted: Vec<Option<usize>> = (0..data.n()).map(&mut predicted).collect();
        let of = |i: usize| champion.dense.classes.index_of(&data.classes().labels()[data.y()[i]]);
        let label: Vec<Option<usize>> = (0..data.n()).map(of).collect();
        let learned: Vec<Option<usize>> = fitted.heldout.logits.rows().into_iter().map(|row| likeliest(&row)).collect();
        let is_new = |i: usize| !given[i].is_confirmed && (!known[i] || given[i].at >= champion.created);
        let judged = (0..data.n()).filter(|&i| predicted[i].is_some() && label[i].is_some());
        let (new, old): (Vec<usize>, Vec<usize>) = judged.partition(|&i| is_new(i));
        let old: Vec<usize> = one_a_burst(data, &old).into_iter().filter(|&i| learned[i].is_some()).collect();
        let mut evidence = Self { data, known, predicted, label, learned, new, old, errors: 0.0, mended: 0.0 };
        let wrong: Vec<usize> = evidence.old.iter().copied().filter(|&i| evidence.is_contradicted(i)).collect();
        let mended = wrong.iter().filter(|&&i| evidence.is_learned(i)).count();
        // Half a case more of either kind, so that no share of a few is 0 or 1.
        let share = |part: usize, whole: usize| (part as f64 + 0.5) / (whole as f64 + 1.0);
        evidence.errors = share(wrong.len(), evidence.old.len()).max(1.0 - measured);
        evidence.mended = share(mended, wrong.len());
        Some(evidence)
    }

    fn is_contradicted(&self, sample: usize) -> bool {
        self.predicted[sample] != self.label[sample]
    }

    fn is_learned(&self, sample: usize) -> bool {
        self.learned[sample] == Some(self.data.y()[sample])
    }

    /// Images of one class that were relabelled as another, where that is most of the class.
    fn exchanged(&self) -> BTreeSet<usize> {
        let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
        for sample in (0..self.data.n()).filter(|&sample| self.known[sample]) {
            *sizes.entry(self.predicted[sample].unwrap_or(usize::MAX)).or_default() += 1;
        }
        let mut moved: BTreeMap<(Option<usize>, Option<usize>), Vec<usize>> = BTreeMap::new();
        for &sample in self.new.iter().filter(|&&sample| self.known[sample] && self.is_contradicted(sample)) {
            moved.entry((self.predicted[sample], self.label[sample])).or_default().push(sample);
        }
        let is_renamed = |predicted: Option<usize>, moved: usize| {
            let size = predicted.and_then(|predicted| sizes.get(&predicted)).copied().unwrap_or(0);
            moved >= MIN_RENAMED && moved as f64 > RENAMED * size as f64
        };
        let renamed = moved.into_iter().filter(|((predicted, _), samples)| is_renamed(*predicted, samples.len()));
        renamed.flat_map(|(_, samples)| samples).collect()
    }

    /// Those of a `batch` of new samples whose labels are contradicted and not learned: class by class, then all others.
    fn unlearned(&self, batch: &[usize]) -> BTreeSet<usize> {
        let mut classes: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for &sample in batch {
            classes.entry(self.data.y()[sample]).or_default().push(sample);
        }
        let (mut found, rest): (Vec<Vec<usize>>, Vec<Vec<usize>>) =
            classes.into_values().partition(|class| self.is_unlearned(class));
        let together: Vec<usize> = rest.iter().flatten().copied().collect();
        let all_are = self.is_unlearned(&together);
        for class in rest {
            if self.is_mostly_contradicted(&class) && (all_are || !found.is_empty()) {
                // Where one name is wrong, others that are contradicted as much are no better.
                found.push(class);
            } else if all_are {
                found.push(class.into_iter().filter(|&sample| self.is_contradicted(sample)).collect());
            }
        }
        found.into_iter().flatten().collect()
    }

    fn is_mostly_contradicted(&self, samples: &[usize]) -> bool {
        let contradicted = samples.iter().filter(|&&sample| self.is_contradicted(sample)).count();
        contradicted > 0 && contradicted as f64 >= WHOLE_CLASS * samples.len() as f64
    }

    fn is_unlearned(&self, samples: &[usize]) -> bool {
        let samples = one_a_burst(self.data, samples);
        let contradicted: Vec<usize> = samples.iter().copied().filter(|&sample| self.is_contradicted(sample)).collect();
        if lower_bound(contradicted.len() as u64, samples.len() as u64, CONTRADICTED) <= self.errors {
            return false;
        }
        let ordinary = self.errors * samples.len() as f64;
        let beyond = contradicted.len() as f64 - ordinary;
        let learned = contradicted.iter().filter(|&&sample| self.is_learned(sample)).count() as f64;
        let learned = (learned - self.mended * ordinary).clamp(0.0, beyond);
        let most = 1.0 - lower_bound((beyond - learned).floor() as u64, beyond.ceil() as u64, UNLEARNED);
        most < LEARNED + GIVEN_UP * self.given_up(&contradicted)
    }

    /// Share of older labels that the folds now call by the new names: of labels that the champion gets right, in the
    /// classes for which it takes the images of the `contradicted` ones.
    fn given_up(&self, contradicted: &[usize]) -> f64 {
        let mut names: BTreeMap<Option<usize>, BTreeSet<usize>> = BTreeMap::new();
        for &sample in contradicted {
            names.entry(self.predicted[sample]).or_default().insert(self.data.y()[sample]);
        }
        let affected = self.old.iter().filter(|&&sample| !self.is_contradicted(sample));
        let affected = affected.filter_map(|&sample| Some((sample, names.get(&self.label[sample])?)));
        let (mut lost, mut n) = (0.0, 0.0_f64);
        for (sample, names) in affected {
            n += 1.0;
            lost += f64::from(u8::from(self.learned[sample].is_some_and(|class| names.contains(&class))));
        }
        lost / n.max(1.0)
    }
}

/// The first of `samples` of each burst and class.
fn one_a_burst(data: &Dataset, samples: &[usize]) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    samples.iter().copied().filter(|&sample| seen.insert((data.groups()[sample], data.y()[sample]))).collect()
}

/// The class of the largest logit, the first of equals; `None` where none is finite.
fn likeliest(logits: &ArrayView1<'_, f32>) -> Option<usize> {
    let finite = (0..logits.len()).rev().filter(|&class| logits[class].is_finite());
    finite.max_by(|&a, &b| logits[a].total_cmp(&logits[b]))
}

#[cfg(test)]
mod tests;
