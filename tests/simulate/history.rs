//! The history of labels, as the store of the simulation has it: by it changes are undone.

use std::collections::BTreeSet;

use edgetuned::engine::{ChangedImage, LabelSource, StoredChange};
use edgetuned::words::{Label, SampleId, TaskId, Timestamp};

use super::model::Model;

/// A label that was given or taken away.
#[derive(Debug, Clone)]
pub struct Line {
    pub task: TaskId,
    pub id: SampleId,
    pub label: Option<Label>,
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
        let images = of_it.iter().filter(|line| done.insert((&line.task, line.id)));
        let images = images.map(|line| self.changed(line, number)).collect();
        Some(StoredChange { number, source, at, is_undone, images })
    }

    /// An image of a change: what was undone, and what undoing brought back, counts for nothing.
    fn changed(&self, of_it: &Line, number: u64) -> ChangedImage {
        let is_valid = |line: &&Line| !line.is_undone && line.source != LabelSource::Undo;
        let is_its = |line: &&Line| line.id == of_it.id && line.task == of_it.task;
        let mut latest = self.history.iter().rev().filter(is_its).filter(is_valid);
        let is_present = latest.clone().next().is_some_and(|line| line.change == Some(number));
        let before = latest.find(|line| line.change != Some(number)).and_then(|line| line.label.clone());
        ChangedImage { task: of_it.task.clone(), id: of_it.id, is_present, before }
    }
}
