//! What has to hold of samples that are forgotten on request: nothing learns from them, no list names them, and their
//! files are not taken in again as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use edgetuned::engine::{FileDisposition, FileStamp, Write};
use edgetuned::wire::ReviewList;
use edgetuned::wire::command::Forget;
use edgetuned::words::{HeadId, Label, SampleId, TaskId};

use super::World;

/// What was asked to be forgotten, and what was.
#[derive(Debug, Default)]
pub struct Forgetting {
    images: BTreeSet<String>,
    classes: BTreeSet<Label>,
    /// Samples whose statistics this engine was told to be without.
    leaving: BTreeSet<SampleId>,
    /// Samples that were ever forgotten.
    pub ever: BTreeSet<SampleId>,
    /// Those that did not come again.
    pub gone: BTreeSet<SampleId>,
    /// Files as they were when their sample was forgotten, while the store knows no more of them.
    files: BTreeMap<PathBuf, (SampleId, FileStamp)>,
    /// What each challenger that is not stored learned from, and whether some of it was forgotten since.
    challengers: BTreeMap<HeadId, (BTreeSet<SampleId>, bool)>,
    /// Whether statistics were stored or samples forgotten in this commit.
    is_news: bool,
    /// Whether a review list was published in this batch.
    pub(super) is_reviewed: bool,
}

impl Forgetting {
    /// Somebody asks.
    pub(super) fn asked(&mut self, forget: Forget) {
        match forget {
            Forget::Images(images) => self.images.extend(images.iter().map(|image| image.as_str().to_owned())),
            Forget::Class(class) => _ = self.classes.insert(class),
        }
    }

    /// Nothing is being forgotten that nobody asked for.
    pub(super) fn check_asked(&self, ids: &[SampleId]) {
        let is_named = |id: &SampleId| self.images.iter().any(|prefix| id.to_string().starts_with(prefix));
        assert!(ids.iter().all(|id| !self.classes.is_empty() || is_named(id)), "{ids:?} go, and nobody asked for it");
    }

    /// The statistics are found without these samples.
    pub(super) fn leave(&mut self, ids: &[SampleId]) {
        self.leaving.extend(ids);
    }

    /// They are not forgotten after all: a later deletion of one is an eviction.
    pub(super) fn stay(&mut self, ids: &[SampleId]) {
        self.leaving.retain(|id| !ids.contains(id));
    }

    /// Another engine begins: a batch that a crash cut short left lists at the broker that the next connection renews.
    pub(super) fn engine_begins(&mut self) {
        self.leaving.clear();
        self.is_reviewed = false;
    }

    /// Whether a class was ever asked to be forgotten.
    pub(super) fn was_class(&self, label: &Label) -> bool {
        self.classes.contains(label)
    }
}

impl World {
    /// A worker begins to fit: it learns from what is labelled now, and from what the statistics hold.
    pub(super) fn learns(&mut self, task: &TaskId, challenger: &HeadId) {
        let known = self.model.of(task);
        let labelled = known.samples.keys().filter(|id| known.learnable(id).is_some()).copied();
        let statistics = known.statistics.values().flat_map(|file| in_statistics(file));
        let statistics = statistics.filter(|id| !known.excluded.contains(id));
        let learned = labelled.chain(statistics).collect();
        self.observed.forgetting.challengers.insert(challenger.clone(), (learned, false));
    }

    /// Looks at a change before it is made; whether it deletes a sample that is forgotten.
    pub(super) fn check_forgotten(&mut self, write: &Write) -> bool {
        let forgetting = &mut self.observed.forgetting;
        match write {
            Write::DeleteSample { id } if forgetting.leaving.remove(id) => {
                self.note_forgotten(*id);
                return true;
            }
            Write::Sample(sample) => _ = forgetting.gone.remove(&sample.id),
            Write::File { path, stamp, fate } => {
                let Some((id, was)) = forgetting.files.remove(path) else { return false };
                let is_the_same = was == *stamp && *fate == FileDisposition::Sample(id);
                let comes_again = is_the_same && forgetting.gone.contains(&id);
                assert!(!comes_again, "{} is taken in again, and its sample was forgotten", path.display());
            }
            Write::DeleteFile { path } => _ = forgetting.files.remove(path),
            Write::Statistics { .. } => forgetting.is_news = true,
            Write::Head { record, .. } => {
                let (_, is_outdated) = forgetting.challengers.remove(&record.head.id).unwrap_or_default();
                assert!(!is_outdated, "head {} learned from a sample that was forgotten", record.head);
            }
            _ => {}
        }
        false
    }

    fn note_forgotten(&mut self, id: SampleId) {
        let forgetting = &mut self.observed.forgetting;
        let of_it = self.model.files.iter().filter(|(_, (_, fate))| *fate == FileDisposition::Sample(id));
        forgetting.files.extend(of_it.map(|(path, (stamp, _))| (path.clone(), (id, *stamp))));
        for (learned, is_outdated) in forgetting.challengers.values_mut() {
            *is_outdated |= learned.contains(&id);
        }
        forgetting.is_news = true;
        forgetting.ever.insert(id);
        forgetting.gone.insert(id);
        self.counts.forgotten += 1;
    }

    /// Looks at what a commit left: statistics hold nothing that was forgotten.
    pub(super) fn check_statistics(&mut self) {
        if std::mem::take(&mut self.observed.forgetting.is_news) {
            let gone = &self.observed.forgetting.gone;
            let statistics = self.model.tasks.values().flat_map(|known| known.statistics.values());
            let held = statistics.flat_map(|file| in_statistics(file)).find(|id| gone.contains(id));
            assert_eq!(held, None, "the statistics hold a sample that was forgotten");
        }
    }

    /// Looks at a batch that was carried out: nobody is asked about what was forgotten.
    pub(super) fn check_asked_about(&mut self) {
        if !std::mem::take(&mut self.observed.forgetting.is_reviewed) {
            return;
        }
        // What the broker has of a task that is out of the configuration stays as it was.
        let is_there =
            |topic: &str| self.names_tasks() && self.tasks().iter().any(|task| topic.contains(task.as_str()));
        let is_review = |topic: &str| topic == "review" || (topic.ends_with("review") && is_there(topic));
        let lists = self.broker.retained.iter().filter(|(topic, _)| is_review(topic));
        for (topic, payload) in lists {
            let list: ReviewList = serde_json::from_slice(payload).expect("the list is as documented");
            let asked = list.body.items.iter().find(|item| self.observed.forgetting.gone.contains(&item.image));
            assert!(asked.is_none(), "{topic} asks about {asked:?}, which was forgotten");
        }
    }
}

/// Whose labels a file of statistics holds.
fn in_statistics(file: &[u8]) -> Vec<SampleId> {
    let learned: BTreeMap<SampleId, Label> = serde_json::from_slice(file).unwrap_or_default();
    learned.into_keys().collect()
}
