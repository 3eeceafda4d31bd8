//! A fair comparison of a challenger with the champion, on labels that both may have been trained on.
//!
//! The challenger is scored by its out-of-fold logits. So is the champion on samples that it was trained on; on
//! samples that arrived later its own weights are asked. Samples that arrived later in a group that the champion
//! knows are left out: it has seen their near-duplicates. All are held against the labels of today.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView1};

use super::figures::figures;
use super::forgetting::{Change, changes};
use super::gate::{Contest, MIN_SAMPLES, Round, Rules, Verdict, judge, judge_first};
use crate::head::{EvaluatedOn, Figures, HeadRecord, HeldOut, softmax_rows};
use crate::train::{Dataset, Fitted};
use crate::words::{ClassSet, Label, SampleId};

/// Challenger and champion side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The challenger on everything held out; `None` when nothing could be.
    pub challenger: Option<Figures>,
    /// The champion on the samples and classes that both were compared on; `None` without any, or without champion.
    pub champion: Option<Figures>,
    /// What the gate says.
    pub verdict: Verdict,
    /// How each class that both know fares; empty without a champion.
    pub changes: Vec<Change>,
}

/// Compares `fitted`, trained on `data` and to be head `version`, with the champion.
///
/// A champion of another embedding space cannot serve these images; the challenger is then judged as a first head.
#[must_use]
pub fn compare(
    data: &Dataset,
    fitted: &Fitted,
    version: u64,
    champion: Option<&HeadRecord>,
    rules: &Rules,
) -> Comparison {
    let champion = champion.filter(|champion| champion.dense.space == data.space());
    let rows: BTreeMap<SampleId, usize> = data.ids().iter().copied().zip(0..).collect();
    let embedding = |id: &SampleId| rows.get(id).map(|&row| data.x().row(row).to_vec());
    compare_across(data, fitted, version, champion, &embedding, rules)
}

/// The same with a champion that reads embeddings of another backbone: `embedding` gives those of a sample, where there
/// are any. So two pairs of backbone and head are compared, on the same images.
#[must_use]
pub fn compare_across(
    data: &Dataset,
    fitted: &Fitted,
    version: u64,
    champion: Option<&HeadRecord>,
    embedding: &dyn Fn(&SampleId) -> Option<Vec<f32>>,
    rules: &Rules,
) -> Comparison {
    let own = Answers::of_challenger(data, fitted);
    let (probabilities, y, groups) = own.all(data, fitted.dense.temperature);
    let on = EvaluatedOn::HeldOut;
    let challenger = figures(&probabilities, &y, &groups, data.classes(), on, rules.seed);
    let Some(champion) = champion else {
        let verdict = judge_first(version, &y, &groups, &probabilities, rules);
        return Comparison { challenger, champion: None, verdict, changes: Vec::new() };
    };
    let old_classes = &champion.dense.classes;
    let only = |here: &ClassSet, there: &ClassSet| -> Vec<Label> {
        here.labels().iter().filter(|label| there.index_of(label).is_none()).cloned().collect()
    };
    let (gained, lost) = (only(data.classes(), old_classes), only(old_classes, data.classes()));
    let common: ClassSet =
        old_classes.labels().iter().filter(|label| data.classes().index_of(label).is_some()).cloned().collect();
    let asked = Answers::of_champion(data, champion, embedding);
    let samples: Vec<usize> = (0..data.n())
        .filter(|&i| {
            let truth = &data.classes().labels()[data.y()[i]];
            common.index_of(truth).is_some() && own.knows(i, truth) && asked.knows(i, truth)
        })
        .collect();
    let y: Vec<usize> =
        samples.iter().filter_map(|&i| common.index_of(&data.classes().labels()[data.y()[i]])).collect();
    let groups: Vec<SampleId> = samples.iter().map(|&i| data.groups()[i]).collect();
    let new = own.on(&samples, &common, fitted.dense.temperature);
    let old = asked.on(&samples, &common, champion.dense.temperature);
    let shared = Round { classes: common.labels(), y: &y, groups: &groups, old: &old, new: &new };
    let wide = (!gained.is_empty())
        .then(|| Wide::of(data, &own, &asked, &gained, fitted.dense.temperature, champion.dense.temperature));
    let contest = Contest {
        champion: champion.head.version,
        challenger: version,
        champion_measured: champion.figures.as_ref().is_some_and(|figures| figures.n >= MIN_SAMPLES),
        gained: &gained,
        lost: &lost,
        shared,
        all: wide.as_ref().map_or(shared, |wide| wide.round(data)),
    };
    let verdict = judge(&contest, rules);
    let champion = figures(&old, &y, &groups, &common, on, rules.seed);
    Comparison { challenger, champion, verdict, changes: changes(&shared) }
}

/// Both heads on every class of the challenger, samples of classes that the champion does not know included.
struct Wide {
    y: Vec<usize>,
    groups: Vec<SampleId>,
    old: Array2<f32>,
    new: Array2<f32>,
}

impl Wide {
    fn of(
        data: &Dataset,
        challenger: &Answers<'_>,
        champion: &Answers<'_>,
        gained: &[Label],
        temperature: f32,
        old_temperature: f32,
    ) -> Self {
        let truth = |i: usize| &data.classes().labels()[data.y()[i]];
        let samples: Vec<usize> = (0..data.n())
            .filter(|&i| challenger.knows(i, truth(i)))
            .filter(|&i| gained.contains(truth(i)) || champion.knows(i, truth(i)))
            .collect();
        let known: ClassSet = data.classes().labels().iter().filter(|label| !gained.contains(label)).cloned().collect();
        let narrow = champion.on(&samples, &known, old_temperature);
        let mut old = Array2::zeros((samples.len(), data.classes().len()));
        for (column, label) in known.labels().iter().enumerate() {
            let place = data.classes().index_of(label).expect("a class of the data set");
            for (row, &i) in samples.iter().enumerate() {
                // Where the champion cannot be asked the truth is new to it; whatever it says is wrong.
                let asked = champion.logits[i].is_some();
                old[[row, place]] = if asked { narrow[[row, column]] } else { f32::from(u8::from(column == 0)) };
            }
        }
        Self {
            y: samples.iter().map(|&i| data.y()[i]).collect(),
            groups: samples.iter().map(|&i| data.groups()[i]).collect(),
            new: challenger.on(&samples, data.classes(), temperature),
            old,
        }
    }

    fn round<'a>(&'a self, data: &'a Dataset) -> Round<'a> {
        let Self { y, groups, old, new } = self;
        Round { classes: data.classes().labels(), y, groups, old, new }
    }
}

/// One head's logits of the samples of a data set, where it can be asked fairly.
struct Answers<'a> {
    classes: &'a ClassSet,
    /// (n,), each (k,)
    logits: Vec<Option<Vec<f32>>>,
}

impl<'a> Answers<'a> {
    fn of_challenger(data: &'a Dataset, fitted: &Fitted) -> Self {
        let logits = stored(&fitted.heldout);
        Self {
            classes: data.classes(),
            logits: data.ids().iter().map(|id| logits.get(id).map(|row| row.to_vec())).collect(),
        }
    }

    fn of_champion(
        data: &Dataset,
        champion: &'a HeadRecord,
        embedding: &dyn Fn(&SampleId) -> Option<Vec<f32>>,
    ) -> Self {
        let logits = stored(&champion.heldout);
        let seen: BTreeSet<SampleId> =
            data.ids().iter().zip(data.groups()).filter(|(id, _)| logits.contains_key(id)).map(|(_, g)| *g).collect();
        let mut scores = vec![0.0; champion.dense.classes.len()];
        let mut ask = |i: usize| match logits.get(&data.ids()[i]) {
            Some(row) => Some(row.to_vec()),
            None if seen.contains(&data.groups()[i]) => None,
            None => {
                let embedding = embedding(&data.ids()[i])?;
                champion.dense.logits(&embedding, &mut scores).ok().map(|()| scores.clone())
            }
        };
        Self { classes: &champion.dense.classes, logits: (0..data.n()).map(&mut ask).collect() }
    }

    /// Whether there is an answer for sample `i` by a model that knew the class `truth`.
    fn knows(&self, i: usize, truth: &Label) -> bool {
        let Some(class) = self.classes.index_of(truth) else { return false };
        self.logits[i].as_ref().is_some_and(|row| row[class] > f32::NEG_INFINITY)
    }

    /// Probabilities over `classes`, a subset of the head's own, for `samples` that it knows.
    fn on(&self, samples: &[usize], classes: &ClassSet, temperature: f32) -> Array2<f32> {
        let columns: Vec<usize> = classes.labels().iter().filter_map(|label| self.classes.index_of(label)).collect();
        let mut out = Array2::from_shape_fn((samples.len(), columns.len()), |(row, column)| {
            self.logits[samples[row]].as_ref().map_or(f32::NEG_INFINITY, |logits| logits[columns[column]])
        });
        softmax_rows(&mut out, temperature);
        out
    }

    /// Probabilities, classes and groups of all samples that can be scored.
    fn all(&self, data: &Dataset, temperature: f32) -> (Array2<f32>, Vec<usize>, Vec<SampleId>) {
        let known = |i: &usize| self.knows(*i, &data.classes().labels()[data.y()[*i]]);
        let samples: Vec<usize> = (0..data.n()).filter(known).collect();
        let probabilities = self.on(&samples, self.classes, temperature);
        let y = samples.iter().map(|&i| data.y()[i]).collect();
        (probabilities, y, samples.iter().map(|&i| data.groups()[i]).collect())
    }
}

fn stored(heldout: &HeldOut) -> BTreeMap<SampleId, ArrayView1<'_, f32>> {
    heldout.ids.iter().copied().zip(heldout.logits.rows()).collect()
}

#[cfg(test)]
mod tests;
