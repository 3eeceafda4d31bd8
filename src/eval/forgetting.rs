//! Forgetting: recall by class, compared with the champion's and with the best recall on record.
//!
//! The gate compares with the champion alone, so many small losses could pass one by one. The record of the best
//! recall of each class makes their sum visible. It refuses nothing; it reports what was forgotten.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::figures::{Tally, score_rows};
use super::gate::PairedPredictions;
use super::proportion::clopper_pearson;
use crate::head::ClassFigures;
use crate::words::Label;

/// Held-out samples of a class below which its recall sets no record.
const MIN_SUPPORT: u64 = 20;

/// The best recall that a class ever had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Share of its held-out samples that were predicted as it, 0..=1.
    pub recall: f64,
    /// How many those were.
    pub support: u64,
    /// Version of the head.
    pub version: u64,
}

/// The best recall of each class, by any head that served.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Records(BTreeMap<Label, Best>);

impl Records {
    /// Takes over what the head `version`, which now serves, does better on `classes` than any before; the latest of
    /// equals, as it was measured on more labels.
    ///
    /// Only recall on 20 held-out samples or more counts: of a few samples all are right soon by luck.
    pub fn update(&mut self, version: u64, classes: &[ClassFigures]) {
        for class in classes.iter().filter(|class| class.support >= MIN_SUPPORT && class.recall.is_finite()) {
            let found = Best { recall: class.recall, support: class.support, version };
            let best = self.0.entry(class.class.clone()).or_insert(found);
            if found.recall >= best.recall {
                *best = found;
            }
        }
    }

    /// The best of `class`, where there is a record.
    #[must_use]
    pub fn best(&self, class: &Label) -> Option<Best> {
        self.0.get(class).copied()
    }

    /// Writes into each of `changes` how far it is below the best on record.
    pub fn compare_with(&self, changes: &mut [Change]) {
        for change in changes {
            let best = self.best(&change.class);
            let right = (change.recall * change.support as f64).round() as u64;
            change.best = best;
            change.under_best = best.map(|best| change.recall - best.recall);
            change.forgotten =
                best.is_some_and(|best| is_below(change.recall, clopper_pearson(right, change.support)[1], &best));
        }
    }

    /// Drops classes that are none of `known` any more.
    pub fn keep(&mut self, known: &[Label]) {
        self.0.retain(|class, _| known.contains(class));
    }
}

/// One class, before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The class.
    pub class: Label,
    /// Samples of it that both heads were evaluated on.
    pub support: u64,
    /// The challenger's recall on them.
    pub recall: f64,
    /// Its recall minus the previous head's on the same samples.
    pub change: f64,
    /// The best on record, measured on what was held out then.
    pub best: Option<Best>,
    /// Recall minus the best on record.
    pub under_best: Option<f64>,
    /// Whether the 95 % interval of `under_best` is below zero (as Newcombe 1998, method 10, from the
    /// Clopper-Pearson intervals of both): a loss beyond luck. The best of many heads is a little lucky itself, so this is a reason to look, not
    /// to refuse.
    pub forgotten: bool,
}

/// How each class that has samples in `predictions` changes with the challenger; not compared with a record yet.
#[must_use]
pub fn changes(predictions: &PairedPredictions<'_>) -> Vec<Change> {
    let once = vec![1; predictions.y.len()];
    let tally = |p| Tally::count(&score_rows(p, predictions.y), &once, predictions.classes.len());
    let (old, new) = (tally(predictions.old), tally(predictions.new));
    let present = (0..predictions.classes.len()).filter(|&class| new.support(class) > 0);
    present
        .map(|class| {
            let (right, support) = (new.confusion[class][class], new.support(class));
            let recall = right as f64 / support as f64;
            Change {
                class: predictions.classes[class].clone(),
                support,
                recall,
                change: (right as f64 - old.confusion[class][class] as f64) / support as f64,
                best: None,
                under_best: None,
                forgotten: false,
            }
        })
        .collect()
}

/// Whether `recall`, with the upper bound `high`, is significantly below the best.
fn is_below(recall: f64, high: f64, best: &Best) -> bool {
    let low = clopper_pearson((best.recall * best.support as f64).round() as u64, best.support)[0];
    recall - best.recall + (high - recall).hypot(best.recall - low) < 0.0
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::words::SampleId;

    fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    fn measured(name: &str, recall: f64, support: u64) -> ClassFigures {
        ClassFigures { class: label(name), precision: 1.0, recall, f1: 1.0, support }
    }

    /// Of 40 samples each of gear and nut, `old` and `new` are right of each.
    fn changes_of(old: [usize; 2], new: [usize; 2], records: &Records) -> Vec<Change> {
        let (classes, y) = ([label("gear"), label("nut")], (0..80).map(|i| i / 40).collect::<Vec<usize>>());
        let groups: Vec<SampleId> = (0..80_u8).map(|i| SampleId::of(&[i])).collect();
        let score = |right: [usize; 2]| {
            Array2::from_shape_fn((80, 2), |(i, j)| {
                let is_right = i % 40 < right[i / 40];
                f32::from(u8::from(is_right == (j == i / 40)))
            })
        };
        let (old, new) = (score(old), score(new));
        let mut changes =
            changes(&PairedPredictions { classes: &classes, y: &y, groups: &groups, old: &old, new: &new });
        records.compare_with(&mut changes);
        changes
    }

    #[test]
    fn changes_are_counted_on_the_same_samples_and_compared_with_the_record() {
        let mut records = Records::default();
        records.update(3, &[measured("gear", 0.95, 40), measured("nut", 0.9, 40)]);
        let [gear, nut] = &changes_of([36, 36], [38, 28], &records)[..] else { panic!("two classes") };
        assert!((gear.change - 0.05).abs() < 1e-12 && gear.under_best == Some(0.0) && !gear.forgotten, "{gear:?}");
        assert!((nut.change + 0.2).abs() < 1e-12 && nut.forgotten, "{nut:?}");
        assert_eq!(nut.best, Some(Best { recall: 0.9, support: 40, version: 3 }));
    }

    #[test]
    fn small_steps_down_are_seen_as_the_sum_that_they_are() {
        let mut records = Records::default();
        let mut seen = Vec::new();
        for (version, right) in (1..).zip([39, 37, 35, 33, 31]) {
            seen.push(changes_of([right.min(38) + 1, 40], [right, 40], &records)[0].forgotten);
            records.update(version, &[measured("gear", right as f64 / 40.0, 40)]);
        }
        assert_eq!(seen, [false, false, false, true, true]);
        assert_eq!(records.best(&label("gear")).map(|best| best.version), Some(1));
    }

    #[test]
    fn a_record_needs_twenty_samples_and_falls_to_the_latest_of_equals() {
        let mut records = Records::default();
        records.update(1, &[measured("gear", 1.0, 19), measured("nut", 0.8, 20)]);
        records.update(2, &[measured("gear", 0.7, 25), measured("nut", 0.8, 30)]);
        records.update(3, &[measured("gear", 1.0, 19), measured("nut", 0.79, 90)]);
        assert_eq!(records.best(&label("gear")), Some(Best { recall: 0.7, support: 25, version: 2 }));
        assert_eq!(records.best(&label("nut")), Some(Best { recall: 0.8, support: 30, version: 2 }));
        records.keep(&[label("nut")]);
        assert_eq!(records.best(&label("gear")), None);
    }

    #[test]
    fn records_survive_their_own_text() {
        let mut records = Records::default();
        records.update(7, &[measured("gear", 0.9, 20)]);
        let text = serde_json::to_string(&records).unwrap();
        assert_eq!(text, r#"{"gear":{"recall":0.9,"support":20,"version":7}}"#);
        assert_eq!(serde_json::from_str::<Records>(&text).unwrap(), records);
        assert!(changes_of([40, 40], [40, 40], &Records::default()).iter().all(|change| change.best.is_none()));
    }
}
