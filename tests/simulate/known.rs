//! What the store of the simulation has of one task.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use edgetuned::engine::{
    HeadInfo, HeadStatus, LabelSource, LiveAccuracy, PendingLabel, StateRecord, StoredSample, StoredTask,
    TrainingOrder, TrainingState,
};
use edgetuned::head::HeadRecord;
use edgetuned::words::{EmbeddingSpace, Label, SampleId, Timestamp};

/// All that is one task's, and no other's.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    /// The samples that it looks at, with their labels.
    pub samples: BTreeMap<SampleId, Option<(Label, LabelSource)>>,
    /// What was said at arrival, with the head's version, of samples that no label has answered.
    pub predicted: BTreeMap<SampleId, (Label, u64)>,
    /// The class by folder of each sample as it was last judged, and whether it is to be judged anew.
    pub folders: BTreeMap<SampleId, (Option<Label>, bool)>,
    /// Who took the label of a sample away.
    pub removed_by: BTreeMap<SampleId, LabelSource>,
    pub labelled_at: BTreeMap<SampleId, Timestamp>,
    /// Samples that it does not learn from.
    pub excluded: BTreeSet<SampleId>,
    pub awaited: BTreeMap<String, PendingLabel>,
    pub heads: Vec<HeadInfo>,
    pub training: TrainingState,
    pub live: LiveAccuracy,
    pub state: StateRecord,
    /// By what the task looked through.
    pub statistics: HashMap<EmbeddingSpace, Vec<u8>>,
}

impl Known {
    /// The training that runs and the one that is to follow.
    pub fn orders(&self) -> impl Iterator<Item = &TrainingOrder> {
        self.training.running.iter().chain(&self.training.due)
    }

    /// The head in service.
    pub fn champion(&self) -> Option<&HeadInfo> {
        self.heads.iter().find(|head| head.status == HeadStatus::Champion)
    }

    /// The version of the head that a rollback goes back to.
    pub fn previous(&self, space: EmbeddingSpace) -> Option<u64> {
        let kept = self.heads.iter().filter(|head| head.status == HeadStatus::Kept && head.space == space);
        let served = kept.filter(|head| head.promoted_at.is_some());
        served.max_by_key(|head| (head.promoted_at, head.head.version)).map(|head| head.head.version)
    }

    /// The label of a sample that it looks at.
    pub fn label(&self, id: &SampleId) -> Option<&Label> {
        self.samples.get(id)?.as_ref().map(|(label, _)| label)
    }

    /// The label of a sample that it learns from.
    pub fn learnable(&self, id: &SampleId) -> Option<&Label> {
        self.label(id).filter(|_| !self.excluded.contains(id))
    }

    /// The classes that it could learn.
    pub fn classes(&self) -> BTreeSet<&Label> {
        self.samples.keys().filter_map(|id| self.learnable(id)).collect()
    }

    /// What holds after every commit.
    pub(super) fn check(&self) {
        let champions = self.heads.iter().filter(|head| head.status == HeadStatus::Champion).count();
        assert!(champions <= 1, "{champions} champions after one commit");
    }

    pub(super) fn set_label(&mut self, id: SampleId, label: Option<Label>, source: LabelSource, at: Timestamp) {
        let slot = self.samples.get_mut(&id).expect("a label is written for a stored sample");
        self.labelled_at.insert(id, at);
        if label.is_none() {
            self.removed_by.insert(id, source);
        } else {
            self.removed_by.remove(&id);
        }
        *slot = label.map(|label| (label, source));
        self.predicted.remove(&id);
    }

    pub(super) fn store_head(&mut self, record: &HeadRecord) {
        self.heads.push(HeadInfo {
            head: record.head.clone(),
            created: record.created,
            space: record.frozen().space,
            backbone: record.backbone.name.clone(),
            classes: record.dense.classes.labels().to_vec(),
            accuracy: record.figures.as_ref().map(|figures| figures.accuracy),
            status: HeadStatus::Kept,
            reason: String::new(),
            promoted_at: None,
        });
    }

    pub(super) fn set_status(&mut self, version: u64, status: HeadStatus, reason: &str, at: Timestamp) {
        for head in &mut self.heads {
            if head.head.version == version {
                head.status = status;
                reason.clone_into(&mut head.reason);
                if status == HeadStatus::Champion {
                    head.promoted_at = Some(at);
                }
            } else if status == HeadStatus::Champion && head.status == HeadStatus::Champion {
                head.status = HeadStatus::Kept;
            }
        }
    }

    pub(super) fn forget_head(&mut self, version: u64) {
        let is_champion = |head: &HeadInfo| head.head.version == version && head.status == HeadStatus::Champion;
        assert!(!self.heads.iter().any(is_champion), "head {version} is forgotten but is the champion");
        self.heads.retain(|head| head.head.version != version);
    }

    pub(super) fn let_go(&mut self, id: &SampleId) {
        self.samples.remove(id);
        self.predicted.remove(id);
        self.labelled_at.remove(id);
        self.folders.remove(id);
        self.removed_by.remove(id);
        self.excluded.remove(id);
    }

    /// What the engine is started from, of samples in the order of arrival.
    pub(super) fn stored(&self, arrived: &[SampleId]) -> StoredTask {
        let stored = |id: &SampleId| {
            Some(StoredSample {
                id: *id,
                label: self.samples.get(id)?.clone(),
                removed_by: self.removed_by.get(id).copied(),
                spoken_at: self.labelled_at.get(id).copied(),
                excluded: self.excluded.contains(id),
                folder: self.folders.get(id).and_then(|(class, _)| class.clone()),
                in_doubt: self.folders.get(id).is_some_and(|(_, in_doubt)| *in_doubt),
                predicted: self.predicted.get(id).cloned(),
            })
        };
        StoredTask {
            samples: arrived.iter().filter_map(stored).collect(),
            heads: self.heads.clone(),
            training: self.training.clone(),
            live: self.live.clone(),
            state: as_stored(&self.state),
        }
    }
}

/// A state as the store gives it back: times of another process have no monotonic half.
fn as_stored(state: &StateRecord) -> StateRecord {
    let json = serde_json::to_value(state).expect("a state is JSON");
    serde_json::from_value(json).expect("it is read as it was written")
}
