//! The store as the simulation has it: a second interpretation of `Write`, a few maps that survive a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use edgetuned::engine::{
    BackboneState, BrokerRecord, ClassFolders, ConfigPatch, DoubtedTimes, FileDisposition, FileStamp, HeadInfo,
    HeadStatus, LabelSource, LiveAccuracy, OutboxMessage, PendingLabel, RememberedReply, Snapshot, Spooled,
    StateRecord, StoredSample, StoredTask, StoredUpdate, TrainingState, UpdateRecord, Worth, Write,
};
use edgetuned::wire::UpdateKind;
use edgetuned::words::{Digest, EmbeddingSpace, Label, SampleId, Timestamp};

/// What is on the disk after the last commit.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub samples: BTreeMap<SampleId, Option<(Label, LabelSource)>>,
    /// Identities in the order of arrival.
    pub arrived: Vec<SampleId>,
    /// What was said at arrival, with the head's version, of samples that no label has answered.
    pub predicted: BTreeMap<SampleId, (Label, u64)>,
    pub files: BTreeMap<PathBuf, (FileStamp, FileDisposition)>,
    /// The class by folder of each sample as it was last judged, and whether it is to be judged anew.
    pub folders: BTreeMap<SampleId, (Option<Label>, bool)>,
    /// Who took the label of a sample away.
    pub removed_by: BTreeMap<SampleId, LabelSource>,
    pub class_folders: Option<ClassFolders>,
    /// Files whose sample was evicted.
    pub evicted: BTreeMap<PathBuf, FileStamp>,
    pub awaited: BTreeMap<String, PendingLabel>,
    /// The number of the latest change of labels.
    pub changes: u64,
    pub outbox: BTreeMap<u64, OutboxMessage>,
    pub ledger: Vec<RememberedReply>,
    pub heads: Vec<HeadInfo>,
    pub training: TrainingState,
    pub live: LiveAccuracy,
    pub state: StateRecord,
    pub config_patch: ConfigPatch,
    pub doubted: DoubtedTimes,
    pub broker: BrokerRecord,
    pub seq: u64,
    /// The backbone whose embeddings are written; `None` where nobody counts them.
    pub backbone_in_use: Option<Digest>,
    /// Which samples have an embedding of which backbone.
    pub embeddings: BTreeSet<(SampleId, Digest)>,
    pub labelled_at: BTreeMap<SampleId, Timestamp>,
    /// By backbone.
    pub statistics: BTreeMap<Digest, Vec<u8>>,
    pub backbone: BackboneState,
    pub updates: BTreeMap<UpdateKind, UpdateRecord>,
    pub chunks: BTreeMap<UpdateKind, BTreeMap<u32, Vec<u8>>>,
}

impl Model {
    /// Applies one step's writes; a crash falls before or after, never between.
    pub fn commit(&mut self, writes: &[Write]) {
        for write in writes {
            self.apply(write);
        }
        self.check();
    }

    /// What holds after every commit.
    pub fn check(&self) {
        let champions = self.heads.iter().filter(|head| head.status == HeadStatus::Champion).count();
        assert!(champions <= 1, "{champions} champions after one commit");
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

    /// Whether a sample has an embedding of the backbone in use.
    pub fn has_embedding(&self, id: &SampleId) -> bool {
        self.backbone_in_use.is_some_and(|backbone| self.embeddings.contains(&(*id, backbone)))
    }

    fn embedded(&mut self, id: SampleId) {
        self.embeddings.extend(self.backbone_in_use.map(|backbone| (id, backbone)));
    }

    #[allow(clippy::too_many_lines, reason = "a few lines for each kind of change")]
    pub fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::Sample(sample) => {
                assert!(!self.samples.contains_key(&sample.id), "sample {} stored twice", sample.id);
                self.samples.insert(sample.id, None);
                self.arrived.push(sample.id);
                self.embedded(sample.id);
                if let Some(predicted) = sample.looks.into_iter().find_map(|look| look.predicted) {
                    self.predicted.insert(sample.id, (predicted.label, predicted.head));
                }
            }
            Write::Embedding { id, .. } => {
                assert!(self.samples.contains_key(&id), "embedding of an unknown sample");
                self.embedded(id);
            }
            Write::File { path, stamp, fate } => {
                self.evicted.remove(&path);
                self.files.insert(path, (stamp, fate));
            }
            Write::Label { id, label, source, at, change, .. } => {
                self.changes = self.changes.max(change.unwrap_or(0));
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
            Write::Folder { id, class, in_doubt, .. } => {
                assert!(self.samples.contains_key(&id), "the folder of an unknown sample");
                self.folders.insert(id, (class, in_doubt));
            }
            Write::ClassFolders(folders) => self.class_folders = Some(folders),
            Write::ChangeUndone { change } => assert!(change <= self.changes, "nobody made change {change}"),
            Write::PendingLabel(awaited) => {
                self.changes = self.changes.max(awaited.change.unwrap_or(0));
                self.awaited.insert(awaited.prefix.clone(), awaited);
            }
            Write::DeletePendingLabel { prefix, .. } => {
                self.awaited.remove(&prefix);
            }
            Write::Outbox(message) => {
                assert!(message.seq <= self.seq, "seq {} was used before it was reserved", message.seq);
                assert!(self.outbox.insert(message.seq, message).is_none(), "a seq was used twice");
            }
            Write::DeleteMessage { seq } => {
                self.outbox.remove(&seq);
            }
            Write::SeqReserved(seq) => self.seq = self.seq.max(seq),
            Write::Reply(entry) => self.ledger.push(entry),
            Write::DeleteReply { transaction } => self.ledger.retain(|entry| entry.transaction != transaction),
            Write::Head { record, .. } => self.heads.push(HeadInfo {
                head: record.head.clone(),
                created: record.created,
                space: record.dense.space,
                backbone: record.backbone.name.clone(),
                classes: record.dense.classes.labels().to_vec(),
                accuracy: record.figures.as_ref().map(|figures| figures.accuracy),
                status: HeadStatus::Kept,
                reason: String::new(),
                promoted_at: None,
            }),
            Write::HeadStatus { version, status, reason, at, .. } => {
                for head in &mut self.heads {
                    if head.head.version == version {
                        head.status = status;
                        head.reason.clone_from(&reason);
                        if status == HeadStatus::Champion {
                            head.promoted_at = Some(at);
                        }
                    } else if status == HeadStatus::Champion && head.status == HeadStatus::Champion {
                        head.status = HeadStatus::Kept;
                    }
                }
            }
            Write::TrainingState { state, .. } => self.training = state,
            Write::DeleteSample { id } => self.evict(id),
            Write::DeleteFile { path } => {
                self.evicted.remove(&path);
                self.files.remove(&path);
            }
            Write::Statistics { file, .. } => {
                self.statistics.extend(self.backbone_in_use.map(|backbone| (backbone, file)));
            }
            Write::UpdateState { kind, memory } => {
                self.updates.insert(kind, *memory);
            }
            Write::Chunk { kind, n, bytes } => {
                self.chunks.entry(kind).or_default().entry(n).or_insert(bytes);
            }
            Write::DeleteChunks(kind) => {
                self.chunks.remove(&kind);
            }
            Write::DeleteOtherStatistics => {
                let in_use = self.backbone_in_use;
                self.statistics.retain(|backbone, _| Some(*backbone) == in_use);
            }
            Write::DeleteHead { version, .. } => self.forget_head(version),
            Write::LiveState { state, .. } => self.live = *state,
            Write::StateRecord { record, .. } => self.state = *record,
            Write::Look { .. } | Write::PurgeTask { .. } => panic!("there is one task: {write:?}"),
            Write::ConfigPatchState(memory) => self.config_patch = memory,
            Write::BrokerRecord(memory) => self.broker = memory,
            Write::DoubtedTimes(memory) => self.doubted = memory,
            Write::BackboneState(memory) => self.backbone = *memory,
            Write::DeleteOtherSpaces => {
                let in_use = self.backbone_in_use;
                self.embeddings.retain(|(_, backbone)| Some(*backbone) == in_use);
            }
        }
    }

    fn forget_head(&mut self, version: u64) {
        let is_champion = |head: &HeadInfo| head.head.version == version && head.status == HeadStatus::Champion;
        assert!(!self.heads.iter().any(is_champion), "head {version} is forgotten but is the champion");
        self.heads.retain(|head| head.head.version != version);
    }

    fn evict(&mut self, id: SampleId) {
        self.samples.remove(&id);
        self.arrived.retain(|arrived| *arrived != id);
        self.predicted.remove(&id);
        self.labelled_at.remove(&id);
        self.folders.remove(&id);
        self.removed_by.remove(&id);
        self.embeddings.retain(|(sample, _)| *sample != id);
        let (gone, kept) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|(_, (_, fate))| *fate == FileDisposition::Sample(id));
        self.files = kept;
        let gone: BTreeMap<PathBuf, (FileStamp, FileDisposition)> = gone;
        self.evicted.extend(gone.into_iter().map(|(path, (stamp, _))| (path, stamp)));
    }

    /// Whether nothing is to be learned from reading this file again.
    pub fn is_known(&self, path: &Path, stamp: FileStamp) -> bool {
        let lacks = |id: &SampleId| self.backbone_in_use.is_some() && !self.has_embedding(id);
        match self.files.get(path) {
            Some((known, FileDisposition::Sample(id))) => *known == stamp && !lacks(id),
            Some((known, FileDisposition::Quarantined(_))) => *known == stamp,
            None => self.evicted.get(path) == Some(&stamp),
        }
    }

    /// What the engine is started from.
    pub fn snapshot(&self) -> Snapshot {
        let spooled = |message: &OutboxMessage| Spooled {
            seq: message.seq,
            worth: Worth::of(&message.topic),
            bytes: (message.payload.len() + message.topic.to_string().len()) as u64,
            made_at: message.made_at,
        };
        let stored = |id: &SampleId| StoredSample {
            id: *id,
            label: self.samples[id].clone(),
            removed_by: self.removed_by.get(id).copied(),
            folder: self.folders.get(id).and_then(|(class, _)| class.clone()),
            in_doubt: self.folders.get(id).is_some_and(|(_, in_doubt)| *in_doubt),
            predicted: self.predicted.get(id).cloned(),
        };
        let task = StoredTask {
            samples: self.arrived.iter().map(stored).collect(),
            heads: self.heads.clone(),
            training: self.training.clone(),
            live: self.live.clone(),
            state: self.state.clone(),
        };
        Snapshot {
            awaited: self.awaited.values().cloned().collect(),
            changes: self.changes,
            ledger: self.ledger.clone(),
            outbox: self.outbox.values().map(spooled).collect(),
            seq: self.seq,
            files: self.files.iter().map(|(path, (_, fate))| (path.clone(), fate.clone())).collect(),
            class_folders: self.class_folders.clone(),
            twin: self.config_patch.clone(),
            backbone: self.backbone.clone(),
            doubted: self.doubted.clone(),
            broker: self.broker.clone(),
            updates: UpdateKind::ALL.into_iter().filter_map(|kind| Some((kind, self.update(kind)?))).collect(),
            ..Snapshot::from(task)
        }
    }

    fn update(&self, kind: UpdateKind) -> Option<StoredUpdate> {
        let memory = self.updates.get(&kind)?.clone();
        let chunks = self.chunks.get(&kind).into_iter().flat_map(BTreeMap::keys).copied().collect();
        Some(StoredUpdate { memory, chunks })
    }
}
