//! The same comparison for a head that was trained elsewhere.

use std::collections::BTreeSet;

use super::{Challenger, Comparison, Logits, own_rows};
use crate::eval::gate::{Rules, judge_pushed, unmeasured};
use crate::head::HeadRecord;
use crate::train::Dataset;
use crate::words::{ClassSet, SampleId};

/// Compares a head that was trained elsewhere with the champion, on the labels of this device; without data it is not
/// measured.
///
/// It predicts samples that it was not trained on, nor on one of their group, as far as its record names them. The
/// champion is scored as in [`super::compare`].
#[must_use]
pub fn compare_pushed(
    data: Option<&Dataset>,
    pushed: &HeadRecord,
    champion: Option<&HeadRecord>,
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
    let logits = Logits::for_unseen(data, pushed);
    let challenger = Challenger { version, logits, knows, classes: &classes, temperature: pushed.dense.temperature };
    let champion = champion.filter(|champion| champion.dense.space == data.space());
    challenger.compare(data, champion, &own_rows(data), rules, judge_pushed)
}

impl<'a> Logits<'a> {
    /// Predictions of a head for samples that its record does not name, nor any of their group.
    fn for_unseen(data: &Dataset, head: &'a HeadRecord) -> Self {
        let trained: BTreeSet<SampleId> = head.heldout.ids.iter().copied().collect();
        let pairs = data.ids().iter().zip(data.groups());
        let seen: BTreeSet<SampleId> = pairs.filter(|(id, _)| trained.contains(id)).map(|(_, group)| *group).collect();
        let mut scores = vec![0.0; head.dense.classes.len()];
        let mut predict = |i: usize| {
            let fair = !seen.contains(&data.groups()[i]);
            let row = fair.then(|| data.x().row(i).to_vec())?;
            head.dense.logits(&row, &mut scores).ok().map(|()| scores.clone())
        };
        Self { classes: &head.dense.classes, rows: (0..data.n()).map(&mut predict).collect() }
    }
}
