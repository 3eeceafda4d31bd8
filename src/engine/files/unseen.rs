//! The search for samples that a task should see and does not yet: after a start the store is gone through in parts, each
//! when no file waits, and the files that are found are looked at and read like those of a listing, frames from the bytes that
//! are kept of them. What arrives goes ahead of them, and no more than one part of them waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::super::event::Unseen;
use super::super::step::Act;
use crate::words::{SampleId, TaskId};

/// Samples that are looked through at a time.
const PART: usize = 256;

/// How far the search is.
#[derive(Debug, Default)]
pub(super) struct UnseenSearch {
    stage: Stage,
    /// The number of the last sample that was looked through.
    after: u64,
    /// Whether everything is to be looked through again after the part that is being looked through.
    is_outdated: bool,
    /// Files of which the watcher has not said yet how they are.
    looked_for: BTreeSet<PathBuf>,
    /// Frames whose kept bytes are to be read.
    pictures: VecDeque<SampleId>,
    /// The one of them that is with the worker.
    reading: Option<SampleId>,
    /// Samples that cannot be read any more, by the task that does not see them.
    missing: BTreeMap<TaskId, u64>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is nothing to find.
    #[default]
    Off,
    /// The next part is to be looked through.
    Due,
    /// A part is being looked through.
    Asked,
    /// Everything was looked through.
    Over,
}

impl UnseenSearch {
    /// There may be something to find.
    pub fn begin(&mut self) {
        self.stage = Stage::Due;
    }

    /// What was found was lost: everything is looked through again.
    pub fn again(&mut self) {
        match self.stage {
            Stage::Off => {}
            Stage::Asked => self.is_outdated = true,
            Stage::Due | Stage::Over => {
                (self.stage, self.after) = (Stage::Due, 0);
                self.missing.clear();
            }
        }
    }

    /// The next act, when nothing else is to be read.
    pub fn advance(&mut self) -> Option<Act> {
        if self.reading.is_some() {
            return None;
        }
        if let Some(id) = self.pictures.pop_front() {
            self.reading = Some(id);
            return Some(Act::IngestPicture { id });
        }
        let is_due = self.stage == Stage::Due && self.looked_for.is_empty();
        is_due.then(|| {
            self.stage = Stage::Asked;
            Act::FindUnseen { after: self.after, limit: PART }
        })
    }

    /// A part was looked through; its files are to be looked at.
    pub fn found(&mut self, found: Unseen) -> Vec<Act> {
        let Unseen { files, pictures, next, missing } = found;
        self.pictures.extend(pictures);
        for (task, count) in missing {
            *self.missing.entry(task).or_default() += count;
        }
        self.stage = if next.is_some() { Stage::Due } else { Stage::Over };
        self.after = next.unwrap_or(self.after);
        if std::mem::take(&mut self.is_outdated) {
            self.again();
        }
        self.looked_for.extend(files.iter().map(|(_, path)| path.clone()));
        files.into_iter().map(|(root, path)| Act::Stat { root, path }).collect()
    }

    /// The watcher said how a file is.
    pub fn looked_at(&mut self, path: &Path) {
        self.looked_for.remove(path);
    }

    /// A kept frame was read.
    pub fn picture_read(&mut self, id: SampleId) {
        self.reading.take_if(|reading| *reading == id);
    }

    /// Samples that a task should see and that cannot be read any more, as far as they were found.
    pub fn missing(&self, task: &TaskId) -> u64 {
        self.missing.get(task).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str], next: Option<u64>, missing: u64) -> Unseen {
        let files = files.iter().map(|path| (0, PathBuf::from(path))).collect();
        Unseen { files, pictures: Vec::new(), next, missing: BTreeMap::from([(TaskId::default(), missing)]) }
    }

    fn asked(search: &mut UnseenSearch) -> Option<u64> {
        search.advance().map(|act| match act {
            Act::FindUnseen { after, limit: PART } => after,
            other => panic!("{other:?} is no search"),
        })
    }

    #[test]
    fn one_part_is_looked_through_after_another_when_its_files_were_looked_at() {
        let mut search = UnseenSearch::default();
        assert_eq!(asked(&mut search), None, "nobody said that there is something");
        search.begin();
        assert_eq!((asked(&mut search), asked(&mut search)), (Some(0), None));
        let looks = search.found(found(&["/srv/a.jpg", "/srv/b.jpg"], Some(7), 2));
        assert!(matches!(&looks[..], [Act::Stat { .. }, Act::Stat { .. }]));
        assert_eq!(asked(&mut search), None);
        search.looked_at(Path::new("/srv/a.jpg"));
        search.looked_at(Path::new("/srv/other.jpg"));
        assert_eq!(asked(&mut search), None);
        search.looked_at(Path::new("/srv/b.jpg"));
        assert_eq!(asked(&mut search), Some(7));
        assert!(search.found(found(&[], None, 3)).is_empty());
        assert_eq!((asked(&mut search), search.missing(&TaskId::default())), (None, 5));
    }

    #[test]
    fn what_was_lost_is_found_again_and_counted_once() {
        let mut search = UnseenSearch::default();
        search.again();
        assert_eq!(asked(&mut search), None, "there was nothing to find");
        search.begin();
        assert_eq!(asked(&mut search), Some(0));
        search.again();
        search.found(found(&[], Some(7), 2));
        assert_eq!((search.missing(&TaskId::default()), asked(&mut search)), (0, Some(0)));
        search.found(found(&[], None, 2));
        search.again();
        assert_eq!(asked(&mut search), Some(0));
        search.found(found(&[], None, 2));
        assert_eq!((search.missing(&TaskId::default()), asked(&mut search)), (2, None));
    }
}
