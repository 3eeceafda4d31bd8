//! The history of labels and exclusions, as the store of the simulation has it: by it changes are undone.

use std::collections::BTreeSet;

use edgetuned::engine::{Before, ChangedImage, LabelSource, StoredChange};
use edgetuned::words::{Label, SampleId, TaskId, Timestamp};

use super::model::Model;

/// A label that was given or taken away, or an image that was excluded or taken back.
#[derive(Debug, Clone)]
pub struct Line {
    pub task: TaskId,
    pub id: SampleId,
    pub label: Option<Label>,
    /// Whether it was excluded; `None` where the line is about its label.
    pub excluded: Option<bool>,
    pub source: LabelSource,
    pub at: Timestamp,
    pub change: Option<u64>,
    pub is_undone: bool,
}

impl Model {
    /// The change with this number, or the latest one up to `newest` that is not undone.
    pub fn change(&self, asked: Option<u64>, newest: u64) -> Option<StoredChange> {
        let awaited = self.tasks.values().flat_map(|known| known.awaited.values());
        let of_awaited = awaited.clone().filter_map(|awaited| awaited.change);
        let of_lines = self.history.iter().filter(|line| !line.is_undone).filter_map(|line| line.change);
        let number = asked.or_else(|| of_lines.chain(of_awaited).filter(|change| *change <= newest).max())?;
        let of_it: Vec<&Line> = self.history.iter().filter(|line| line.change == Some(number)).collect();
        let waits = awaited.filter(|awaited| awaited.is_of(number)).map(|awaited| (awaited.source, awaited.at, false));
        let lines = of_it.iter().map(|line| (line.source, line.at, line.is_undone));
        let (source, at, is_undone) = lines.chain(waits).min_by_key(|(_, at, is_undone)| (*is_undone, *at))?;
        let mut done = BTreeSet::new();
        let images = of_it.iter().filter(|line| done.insert((&line.task, line.id, line.excluded.is_some())));
        let images = images.map(|line| self.changed(line, number)).collect();
        Some(StoredChange { number, source, at, is_undone, images })
    }

    /// An image of a change: what was undone, and what undoing brought back, counts for nothing.
    fn changed(&self, of_it: &Line, number: u64) -> ChangedImage {
        let mut latest = self.valid_lines(of_it);
        let is_present = latest.clone().next().is_some_and(|line| line.change == Some(number));
        let before = latest.find(|line| line.change != Some(number));
        let before = match of_it.excluded {
            None => Before::Label(before.and_then(|line| line.label.clone())),
            Some(_) => Before::Excluded(before.and_then(|line| line.excluded).unwrap_or(false)),
        };
        ChangedImage { task: of_it.task.clone(), id: of_it.id, is_present, before }
    }

    /// Those about the same as this one that hold, the latest first.
    fn valid_lines<'a>(&'a self, of: &'a Line) -> impl Iterator<Item = &'a Line> + Clone + 'a {
        let is_its =
            |line: &&Line| line.id == of.id && line.task == of.task && line.excluded.is_some() == of.excluded.is_some();
        let is_valid = |line: &&Line| !line.is_undone && line.source != LabelSource::Undo;
        self.history.iter().rev().filter(is_its).filter(is_valid)
    }

    /// Who is excluded is so by the latest act that is not undone.
    pub fn check_exclusions(&self) {
        for line in self.history.iter().filter(|line| line.excluded.is_some()) {
            let said = self.valid_lines(line).next().and_then(|line| line.excluded).unwrap_or(false);
            if self.undone_while_out.contains(&(line.task.clone(), line.id)) {
                continue;
            }
            let known = self.of(&line.task).excluded.contains(&line.id);
            assert_eq!(known, said, "whether {} is excluded in {} is as it was said last", line.id, line.task);
        }
    }

    /// What a change did to the label of an image: the label before and the one that it gave.
    pub fn step_of(&self, task: &TaskId, id: &SampleId, change: u64) -> Option<(Option<&Label>, Option<&Label>)> {
        let of_it: Vec<&Line> = (self.history.iter())
            .filter(|line| line.task == *task && line.id == *id && line.excluded.is_none())
            .collect();
        let place = of_it.iter().position(|line| line.change == Some(change))?;
        let before = place.checked_sub(1).and_then(|before| of_it[before].label.as_ref());
        Some((before, of_it[place].label.as_ref()))
    }
}
