//! A fair comparison of a challenger with the champion, on labels that both may have been trained on.
//!
//! The challenger is scored by its out-of-fold logits. So is the champion on samples that it was trained on; on
//! samples that arrived later it predicts. Samples that arrived later in a group that the champion was trained on are
//! left out: it has seen their near-duplicates. All predictions are compared with the current labels.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array2, ArrayView1};

use super::figures::{Scored, figures, score_rows};
use super::forgetting::{Change, changes};
use super::gate::{
    MIN_SAMPLES, PairedComparison, PairedPredictions, Rules, Verdict, judge, judge_first, judge_pushed,
    judge_second_phase, unmeasured,
};
use super::held_out_answers::{HeldOutAnswer, HeldOutAnswers};
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
    /// The verdict of the gate.
    pub verdict: Verdict,
    /// The change of each class that both know; empty without a champion.
    pub changes: Vec<Change>,
}

/// Compares `fitted`, trained on `data` and to be head `version`, with the champion.
///
/// A champion of another embedding space cannot serve these images; the challenger is then judged as a first head. One with
/// a second phase is scored only on samples that it was trained on: what its tail makes of others is not at hand.
#[must_use]
pub fn compare(
    data: &Dataset,
    fitted: &Fitted,
    version: u64,
    champion: Option<&HeadRecord>,
    rules: &Rules,
) -> Comparison {
    let champion = champion.filter(|champion| champion.frozen().space == data.space());
    compare_across(data, fitted, version, champion, &rows_for(champion, data), rules)
}

/// The same with a champion that reads embeddings of another backbone, or of its own tail: `embedding` gives those of a
/// sample, where there are any. So two pairs of backbone and head are compared, on the same images.
#[must_use]
pub fn compare_across(
    data: &Dataset,
    fitted: &Fitted,
    version: u64,
    champion: Option<&HeadRecord>,
    embedding: &dyn Fn(&SampleId) -> Option<Vec<f32>>,
    rules: &Rules,
) -> Comparison {
    let logits = Logits::for_challenger(data, fitted);
    let classes = data.sampled_classes();
    let challenger =
        Challenger { version, logits, knows: data.classes(), classes: &classes, temperature: fitted.dense.temperature };
    challenger.compare(data, champion, embedding, rules, judge)
}

/// Compares a second phase of training with the `first`, both fitted on `data`, on the answers of the folds of each.
#[must_use]
pub fn compare_phases(data: &Dataset, second: &Fitted, version: u64, first: &HeadRecord, rules: &Rules) -> Comparison {
    let logits = Logits::for_challenger(data, second);
    let classes = data.sampled_classes();
    let challenger =
        Challenger { version, logits, knows: data.classes(), classes: &classes, temperature: second.dense.temperature };
    challenger.compare(data, Some(first), &rows_for(Some(first), data), rules, judge_second_phase)
}

/// What the models of the folds answered on the samples that `fitted` was measured on.
#[must_use]
pub fn held_out_answers(data: &Dataset, fitted: &Fitted) -> HeldOutAnswers {
    let logits = Logits::for_challenger(data, fitted);
    let samples: Vec<usize> = (0..data.n()).filter(|&i| logits.knows(i, truth(data, i))).collect();
    let y: Vec<usize> = samples.iter().map(|&i| data.y()[i]).collect();
    let scored = score_rows(&logits.on(&samples, logits.classes, fitted.dense.temperature), &y);
    let answer = |(&i, scored): (&usize, &Scored)| HeldOutAnswer {
        image: data.ids()[i].short(),
        truth: scored.truth as u16,
        predicted: scored.predicted as u16,
    };
    samples.iter().zip(&scored).map(answer).collect()
}

/// The embeddings of a data set by their samples, for a head that reads them; none for any other.
fn rows_for(head: Option<&HeadRecord>, data: &Dataset) -> impl Fn(&SampleId) -> Option<Vec<f32>> {
    let reads = head.is_some_and(|head| head.dense.space == data.space());
    let rows: BTreeMap<SampleId, usize> = data.ids().iter().copied().zip(0..).filter(|_| reads).collect();
    move |id| rows.get(id).map(|&row| data.x().row(row).to_vec())
}

/// The head that may replace the champion, and its predictions.
struct Challenger<'a> {
    version: u64,
    logits: Logits<'a>,
    /// All its classes.
    knows: &'a ClassSet,
    /// Those of them that have samples.
    classes: &'a ClassSet,
    temperature: f32,
}

impl Challenger<'_> {
    fn compare(
        &self,
        data: &Dataset,
        champion: Option<&HeadRecord>,
        embedding: &dyn Fn(&SampleId) -> Option<Vec<f32>>,
        rules: &Rules,
        judge: fn(&PairedComparison<'_>, &Rules) -> Verdict,
    ) -> Comparison {
        let Self { version, ref logits, knows, classes, temperature } = *self;
        let (probabilities, y, groups) = logits.all(data, temperature);
        let on = EvaluatedOn::HeldOut;
        let measured = figures(&probabilities, &y, &groups, logits.classes, on, rules.seed);
        let Some(champion) = champion else {
            let verdict = judge_first(version, &y, &groups, &probabilities, rules);
            return Comparison { challenger: measured, champion: None, verdict, changes: Vec::new() };
        };
        let old_classes = &champion.dense.classes;
        let only = |here: &ClassSet, there: &ClassSet| -> Vec<Label> {
            here.labels().iter().filter(|label| there.index_of(label).is_none()).cloned().collect()
        };
        let (gained, lost) = (only(classes, old_classes), only(old_classes, knows));
        let common: ClassSet =
            old_classes.labels().iter().filter(|label| classes.index_of(label).is_some()).cloned().collect();
        let champion_logits = Logits::for_champion(data, champion, embedding);
        let samples: Vec<usize> = (0..data.n())
            .filter(|&i| {
                let truth = truth(data, i);
                common.index_of(truth).is_some() && logits.knows(i, truth) && champion_logits.knows(i, truth)
            })
            .collect();
        let y: Vec<usize> = samples.iter().filter_map(|&i| common.index_of(truth(data, i))).collect();
        let groups: Vec<SampleId> = samples.iter().map(|&i| data.groups()[i]).collect();
        let new = logits.on(&samples, &common, temperature);
        let old = champion_logits.on(&samples, &common, champion.dense.temperature);
        let shared = PairedPredictions { classes: common.labels(), y: &y, groups: &groups, old: &old, new: &new };
        let all_classes = (!gained.is_empty())
            .then(|| AllClasses::score(data, self, &champion_logits, &gained, champion.dense.temperature));
        let paired = PairedComparison {
            champion: champion.head.version,
            challenger: version,
            champion_measured: champion.figures.as_ref().is_some_and(|figures| figures.n >= MIN_SAMPLES),
            gained: &gained,
            lost: &lost,
            shared,
            all: all_classes.as_ref().map_or(shared, |all| all.predictions(classes)),
        };
        let verdict = judge(&paired, rules);
        let champion = figures(&old, &y, &groups, &common, on, rules.seed);
        Comparison { challenger: measured, champion, verdict, changes: changes(&shared) }
    }
}

/// The label of sample `i`.
fn truth(data: &Dataset, i: usize) -> &Label {
    &data.classes().labels()[data.y()[i]]
}

/// Both heads on every class of the challenger, samples of classes that the champion does not know included.
struct AllClasses {
    y: Vec<usize>,
    groups: Vec<SampleId>,
    old: Array2<f32>,
    new: Array2<f32>,
}

impl AllClasses {
    fn score(
        data: &Dataset,
        challenger: &Challenger<'_>,
        champion: &Logits<'_>,
        gained: &[Label],
        old_temperature: f32,
    ) -> Self {
        let Challenger { ref logits, classes, temperature, .. } = *challenger;
        let samples: Vec<usize> = (0..data.n())
            .filter(|&i| logits.knows(i, truth(data, i)))
            .filter(|&i| gained.contains(truth(data, i)) || champion.knows(i, truth(data, i)))
            .collect();
        let known: ClassSet = classes.labels().iter().filter(|label| !gained.contains(label)).cloned().collect();
        let known_only = champion.on(&samples, &known, old_temperature);
        let mut old = Array2::zeros((samples.len(), classes.len()));
        for (column, label) in known.labels().iter().enumerate() {
            let place = classes.index_of(label).expect("one of these classes");
            for (row, &i) in samples.iter().enumerate() {
                // Where the champion has no logits the true class is new to it; whatever it predicts is wrong.
                let has_logits = champion.rows[i].is_some();
                old[[row, place]] =
                    if has_logits { known_only[[row, column]] } else { f32::from(u8::from(column == 0)) };
            }
        }
        Self {
            y: samples.iter().filter_map(|&i| classes.index_of(truth(data, i))).collect(),
            groups: samples.iter().map(|&i| data.groups()[i]).collect(),
            new: logits.on(&samples, classes, temperature),
            old,
        }
    }

    fn predictions<'a>(&'a self, classes: &'a ClassSet) -> PairedPredictions<'a> {
        let Self { y, groups, old, new } = self;
        PairedPredictions { classes: classes.labels(), y, groups, old, new }
    }
}

/// One head's logits of the samples of a data set, where it had not seen them.
struct Logits<'a> {
    classes: &'a ClassSet,
    /// (n,), each (k,)
    rows: Vec<Option<Vec<f32>>>,
}

impl<'a> Logits<'a> {
    fn for_challenger(data: &'a Dataset, fitted: &Fitted) -> Self {
        let logits = stored(&fitted.heldout);
        Self {
            classes: data.classes(),
            rows: data.ids().iter().map(|id| logits.get(id).map(|row| row.to_vec())).collect(),
        }
    }

    fn for_champion(
        data: &Dataset,
        champion: &'a HeadRecord,
        embedding: &dyn Fn(&SampleId) -> Option<Vec<f32>>,
    ) -> Self {
        let logits = stored(&champion.heldout);
        let seen: BTreeSet<SampleId> =
            data.ids().iter().zip(data.groups()).filter(|(id, _)| logits.contains_key(id)).map(|(_, g)| *g).collect();
        let mut scores = vec![0.0; champion.dense.classes.len()];
        let mut predict = |i: usize| match logits.get(&data.ids()[i]) {
            Some(row) => Some(row.to_vec()),
            None if seen.contains(&data.groups()[i]) => None,
            None => {
                let embedding = embedding(&data.ids()[i])?;
                champion.dense.logits(&embedding, &mut scores).ok().map(|()| scores.clone())
            }
        };
        Self { classes: &champion.dense.classes, rows: (0..data.n()).map(&mut predict).collect() }
    }

    /// Whether sample `i` has logits of a model that knew the class `truth`.
    fn knows(&self, i: usize, truth: &Label) -> bool {
        let Some(class) = self.classes.index_of(truth) else { return false };
        self.rows[i].as_ref().is_some_and(|row| row[class] > f32::NEG_INFINITY)
    }

    /// Probabilities over `classes`, a subset of the head's own, for `samples` that it knows.
    fn on(&self, samples: &[usize], classes: &ClassSet, temperature: f32) -> Array2<f32> {
        let columns: Vec<usize> = classes.labels().iter().filter_map(|label| self.classes.index_of(label)).collect();
        let mut out = Array2::from_shape_fn((samples.len(), columns.len()), |(row, column)| {
            self.rows[samples[row]].as_ref().map_or(f32::NEG_INFINITY, |logits| logits[columns[column]])
        });
        softmax_rows(&mut out, temperature);
        out
    }

    /// Probabilities, classes and groups of all samples that can be scored.
    fn all(&self, data: &Dataset, temperature: f32) -> (Array2<f32>, Vec<usize>, Vec<SampleId>) {
        let samples: Vec<usize> = (0..data.n()).filter(|&i| self.knows(i, truth(data, i))).collect();
        let probabilities = self.on(&samples, self.classes, temperature);
        let y = samples.iter().filter_map(|&i| self.classes.index_of(truth(data, i))).collect();
        (probabilities, y, samples.iter().map(|&i| data.groups()[i]).collect())
    }
}

fn stored(heldout: &HeldOut) -> BTreeMap<SampleId, ArrayView1<'_, f32>> {
    heldout.ids.iter().copied().zip(heldout.logits.rows()).collect()
}

/// Compares a head that was trained elsewhere with the champion, on the labels of this device; without data it is not
/// measured.
///
/// It predicts samples that it was not trained on, nor on one of their group, as far as its record names them. The
/// champion is scored as in [`compare`]. `by_tail` gives what the tail of a head makes of a sample, where that is known.
#[must_use]
pub fn compare_pushed(
    data: Option<&Dataset>,
    pushed: &HeadRecord,
    champion: Option<&HeadRecord>,
    by_tail: &dyn Fn(&HeadRecord, &SampleId) -> Option<Vec<f32>>,
    rules: &Rules,
) -> Comparison {
    let version = pushed.head.version;
    let Some(data) = data else {
        let verdict = unmeasured(version, "no two classes are labelled here");
        return Comparison { challenger: None, champion: None, verdict, changes: Vec::new() };
    };
    let knows = &pushed.dense.classes;
    let classes: ClassSet =
        data.classes().labels().iter().filter(|label| knows.index_of(label).is_some()).cloned().collect();
    let logits = Logits::for_unseen(data, pushed, &rows_or(by_tail, Some(pushed), data));
    let challenger = Challenger { version, logits, knows, classes: &classes, temperature: pushed.dense.temperature };
    let champion = champion.filter(|champion| champion.frozen().space == data.space());
    challenger.compare(data, champion, &rows_or(by_tail, champion, data), rules, judge_pushed)
}

/// The embeddings that a head reads of samples: those of `data`, or what its tail makes of them.
fn rows_or<'a>(
    by_tail: &'a dyn Fn(&HeadRecord, &SampleId) -> Option<Vec<f32>>,
    head: Option<&'a HeadRecord>,
    data: &Dataset,
) -> impl Fn(&SampleId) -> Option<Vec<f32>> {
    let (tailed, own) = (head.filter(|head| head.tuning.is_some()), rows_for(head, data));
    move |id| tailed.map_or_else(|| own(id), |head| by_tail(head, id))
}

impl<'a> Logits<'a> {
    /// Predictions of a head for samples that its record does not name, nor any of their group.
    fn for_unseen(data: &Dataset, head: &'a HeadRecord, embedding: &dyn Fn(&SampleId) -> Option<Vec<f32>>) -> Self {
        let trained: BTreeSet<SampleId> = head.heldout.ids.iter().copied().collect();
        let pairs = data.ids().iter().zip(data.groups());
        let seen: BTreeSet<SampleId> = pairs.filter(|(id, _)| trained.contains(id)).map(|(_, group)| *group).collect();
        let mut scores = vec![0.0; head.dense.classes.len()];
        let mut predict = |i: usize| {
            let fair = !seen.contains(&data.groups()[i]);
            let row = if fair { embedding(&data.ids()[i])? } else { return None };
            head.dense.logits(&row, &mut scores).ok().map(|()| scores.clone())
        };
        Self { classes: &head.dense.classes, rows: (0..data.n()).map(&mut predict).collect() }
    }
}

#[cfg(test)]
mod tests;
