//! Samples that a task should see and does not: the task is new, its region moved, or it looks through another part at the
//! pictures of their folder or source. Their files, or the kept bytes of frames, are read again like new ones, and only gain a
//! look and an embedding by that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::daemon::view_plan::{PlannedView, ViewPlan};
use crate::engine::Unseen;
use crate::store::{Reader, SeenSample, StoreError};
use crate::words::{EmbeddingSpace, Origin, TaskId};

/// The watched folders, and who looks at their pictures.
#[derive(Debug, Clone)]
pub(crate) struct RootViews {
    /// In the order of the configuration; none contains another.
    pub roots: Vec<PathBuf>,
    pub plan: ViewPlan,
}

impl RootViews {
    /// What of the next `limit` samples after the number `after` is unseen.
    ///
    /// # Errors
    /// [`StoreError`] when the store cannot be read.
    pub fn find_unseen(&self, reader: &Reader, after: u64, limit: usize) -> Result<Unseen, StoreError> {
        let samples = reader.seen_samples(after, limit)?;
        let next = samples.last().filter(|_| samples.len() == limit).map(|last| last.number);
        let mut found = Unseen { next, ..Unseen::default() };
        let mut files = BTreeSet::new();
        for sample in &samples {
            let paths = reader.files_of(&sample.id)?;
            let places: Vec<(usize, PathBuf)> =
                paths.into_iter().filter_map(|path| Some((self.root_of(&path)?, path))).collect();
            if !places.is_empty() {
                files.extend(self.to_read(sample, &places).into_iter().cloned());
                continue;
            }
            let mut blind = self.blind(sample).peekable();
            if blind.peek().is_some() && reader.has_picture(&sample.id)? {
                found.pictures.push(sample.id);
                continue;
            }
            for task in blind {
                *found.missing.entry(task.clone()).or_default() += 1;
            }
        }
        found.files = files.into_iter().collect();
        Ok(found)
    }

    /// The watched folder that a file lies in.
    fn root_of(&self, path: &Path) -> Option<usize> {
        self.roots.iter().position(|root| path.starts_with(root))
    }

    /// Of the files of a sample those by which tasks that do not see it come to see it: one for each. A task that looks
    /// at two copies in different folders through different parts sees it through one of them.
    fn to_read<'a>(&self, sample: &SeenSample, places: &'a [(usize, PathBuf)]) -> Vec<&'a (usize, PathBuf)> {
        let mut ways: BTreeMap<&TaskId, (bool, &'a (usize, PathBuf))> = BTreeMap::new();
        for place in places {
            for PlannedView { task, space, .. } in self.plan.of_root(place.0) {
                let (is_seen, _) = ways.entry(task).or_insert((false, place));
                *is_seen |= seen(sample, task) == Some(*space);
            }
        }
        ways.into_values().filter(|(is_seen, _)| !is_seen).map(|(_, place)| place).collect()
    }

    /// The tasks that looked, or would have looked, at a sample without a file, and do not see it.
    fn blind<'a>(&'a self, sample: &'a SeenSample) -> impl Iterator<Item = &'a TaskId> {
        let views = match &sample.origin {
            Origin::File(path) => self.root_of(path).map_or(&[][..], |root| self.plan.of_root(root)),
            Origin::Source(source) => self.plan.of_source(source),
        };
        views.iter().filter(|view| seen(sample, &view.task) != Some(view.space)).map(|view| &view.task)
    }
}

/// The space in which a task sees a sample now.
fn seen(sample: &SeenSample, task: &TaskId) -> Option<EmbeddingSpace> {
    sample.seen.iter().find(|(seeing, _)| seeing == task).map(|(_, space)| *space)
}

#[cfg(test)]
#[path = "unseen_tests.rs"]
mod tests;
