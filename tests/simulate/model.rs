//! The store as the simulation has it: a second interpretation of `Write`, a few maps that survive a crash.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use edgetuned::engine::{
    BackboneState, ConfigPatch, FileDisposition, FileStamp, HeadInfo, HeadStatus, LabelSource, LiveAccuracy,
    OutboxMessage, PendingLabel, RememberedReply, Snapshot, Spooled, StoredSample, TrainingState, Write,
};
use edgetuned::words::{Label, SampleId};

/// What is on the disk after the last commit.
#[derive(Debug, Clone, Default)]
pub struct Model {
    pub samples: BTreeMap<SampleId, Option<(Label, LabelSource)>>,
    /// Identities in the order of arrival.
    pub arrived: Vec<SampleId>,
    /// What was said at arrival, with the head's version, of samples that no label has answered.
    pub predicted: BTreeMap<SampleId, (Label, u64)>,
    pub files: BTreeMap<PathBuf, (FileStamp, FileDisposition)>,
    /// Files whose sample was evicted.
    pub evicted: BTreeMap<PathBuf, FileStamp>,
    pub awaited: BTreeMap<String, PendingLabel>,
    pub outbox: BTreeMap<u64, OutboxMessage>,
    pub ledger: Vec<RememberedReply>,
    pub heads: Vec<HeadInfo>,
    pub training: TrainingState,
    pub live: LiveAccuracy,
    pub twin: ConfigPatch,
    pub seq: u64,
}

impl Model {
    /// Applies one step's writes; a crash falls before or after, never between.
    pub fn commit(&mut self, writes: &[Write]) {
        for write in writes {
            self.apply(write);
        }
        let champions = self.heads.iter().filter(|head| head.status == HeadStatus::Champion).count();
        assert!(champions <= 1, "{champions} champions after one commit");
    }

    fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::Sample(sample) => {
                assert!(!self.samples.contains_key(&sample.id), "sample {} stored twice", sample.id);
                self.samples.insert(sample.id, None);
                self.arrived.push(sample.id);
                if let Some(predicted) = sample.predicted {
                    self.predicted.insert(sample.id, (predicted.label, predicted.head));
                }
            }
            Write::Embedding { id, .. } => assert!(self.samples.contains_key(&id), "embedding of an unknown sample"),
            Write::File { path, stamp, fate } => {
                self.evicted.remove(&path);
                self.files.insert(path, (stamp, fate));
            }
            Write::Label { id, label, source, .. } => {
                let slot = self.samples.get_mut(&id).expect("a label is written for a stored sample");
                *slot = label.map(|label| (label, source));
                self.predicted.remove(&id);
            }
            Write::PendingLabel(awaited) => {
                self.awaited.insert(awaited.prefix.clone(), awaited);
            }
            Write::DeletePendingLabel { prefix } => {
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
            Write::Head(record) => self.heads.push(HeadInfo {
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
            Write::HeadStatus { version, status, reason, at } => {
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
            Write::TrainingState(memory) => self.training = memory,
            Write::DeleteSample { id } => self.evict(id),
            Write::DeleteFile { .. } => unreachable!("nobody looks for files that are gone"),
            Write::Statistics { .. } | Write::UpdateState { .. } | Write::DeleteChunks(_) => {}
            Write::DeleteHead { version } => self.forget_head(version),
            Write::LiveState(memory) => self.live = *memory,
            Write::ConfigPatchState(memory) => self.twin = memory,
            Write::BackboneState(_) | Write::DeleteOtherSpaces => unreachable!("no backbone comes here"),
            Write::Chunk { .. } => panic!("a chunk is stored though no key is trusted"),
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
        let (gone, kept) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|(_, (_, fate))| *fate == FileDisposition::Sample(id));
        self.files = kept;
        let gone: BTreeMap<PathBuf, (FileStamp, FileDisposition)> = gone;
        self.evicted.extend(gone.into_iter().map(|(path, (stamp, _))| (path, stamp)));
    }

    /// Whether nothing is to be learned from reading this file again.
    pub fn is_known(&self, path: &Path, stamp: FileStamp) -> bool {
        let known = self.files.get(path).map(|(known, _)| known).or_else(|| self.evicted.get(path));
        known == Some(&stamp)
    }

    /// What the engine is started from.
    pub fn snapshot(&self) -> Snapshot {
        let spooled = |message: &OutboxMessage| Spooled {
            seq: message.seq,
            bytes: (message.payload.len() + message.topic.to_string().len()) as u64,
            made_at: message.made_at,
        };
        let stored = |id: &SampleId| StoredSample {
            id: *id,
            label: self.samples[id].clone(),
            predicted: self.predicted.get(id).cloned(),
        };
        Snapshot {
            samples: self.arrived.iter().map(stored).collect(),
            awaited: self.awaited.values().cloned().collect(),
            ledger: self.ledger.clone(),
            outbox: self.outbox.values().map(spooled).collect(),
            seq: self.seq,
            heads: self.heads.clone(),
            training: self.training.clone(),
            quarantined: self.files.values().filter(|(_, fate)| matches!(fate, FileDisposition::Quarantined(_))).count()
                as u64,
            twin: self.twin.clone(),
            backbone: BackboneState::default(),
            live: self.live.clone(),
            updates: BTreeMap::new(),
        }
    }
}
