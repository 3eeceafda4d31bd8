//! The store as the simulation has it: a second interpretation of `Write`, a few maps that survive a crash.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use edgetuned::engine::{
    BackboneState, BrokerRecord, ClassFolders, ConfigPatch, DoubtedTimes, FileDisposition, FileStamp, OutboxMessage,
    RememberedReply, Snapshot, Spooled, StoredPicture, StoredUpdate, UpdateRecord, Worth, Write,
};
use edgetuned::wire::UpdateKind;
use edgetuned::words::{EmbeddingSpace, Origin, SampleId, SourceId, TaskId};

use super::history::Line;
use super::known::Known;

/// What is on the disk after the last commit.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Every sample, whichever task looks at it.
    pub samples: BTreeSet<SampleId>,
    /// Identities in the order of arrival.
    pub arrived: Vec<SampleId>,
    /// Frames whose bytes are kept, in the order of arrival.
    pub pictures: Vec<StoredPicture>,
    /// The sources of frames.
    pub sources: BTreeMap<SampleId, SourceId>,
    /// What each task knows, by its name.
    pub tasks: BTreeMap<TaskId, Known>,
    /// Every label that was ever given and every exclusion, oldest first.
    pub history: Vec<Line>,
    /// Samples of tasks that were out of the configuration when a change of theirs was undone: they stay as they were.
    pub undone_while_out: BTreeSet<(TaskId, SampleId)>,
    pub files: BTreeMap<PathBuf, (FileStamp, FileDisposition)>,
    pub class_folders: Option<ClassFolders>,
    /// Files whose sample was evicted.
    pub evicted: BTreeMap<PathBuf, FileStamp>,
    /// The number of the latest change of labels.
    pub changes: u64,
    pub outbox: BTreeMap<u64, OutboxMessage>,
    pub ledger: Vec<RememberedReply>,
    pub config_patch: ConfigPatch,
    pub doubted: DoubtedTimes,
    pub broker: BrokerRecord,
    pub seq: u64,
    /// Through which embeddings each task of the configuration looks; none where nobody counts them.
    pub spaces: BTreeMap<TaskId, EmbeddingSpace>,
    /// Which samples have an embedding in which space.
    pub embeddings: HashSet<(SampleId, EmbeddingSpace)>,
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
        self.tasks.values().for_each(Known::check);
        self.check_exclusions();
    }

    /// What a task knows.
    ///
    /// # Panics
    /// Where the device has no such task.
    pub fn of(&self, task: &TaskId) -> &Known {
        self.tasks.get(task).unwrap_or_else(|| panic!("the device has no task {task}"))
    }

    /// What the only task knows where none has a name.
    pub fn plain(&self) -> &Known {
        self.of(&TaskId::default())
    }

    /// Whether a sample has the embedding through which a task would look at it.
    pub fn has_embedding(&self, task: &TaskId, id: &SampleId) -> bool {
        self.spaces.get(task).is_some_and(|space| self.embeddings.contains(&(*id, *space)))
    }

    /// Whether a task sees a sample as it looks at samples now.
    pub fn sees(&self, task: &TaskId, id: &SampleId) -> bool {
        self.of(task).samples.contains_key(id) && self.has_embedding(task, id)
    }

    fn embedded(&mut self, id: SampleId, space: EmbeddingSpace) {
        if !self.spaces.is_empty() {
            assert!(
                self.spaces.values().any(|in_use| *in_use == space),
                "{space:?} is written, which no task looks through"
            );
            self.embeddings.insert((id, space));
        }
    }

    /// A task looks through this space.
    fn looks(&mut self, task: &TaskId, space: EmbeddingSpace) -> &mut Known {
        let in_use = self.spaces.get(task);
        assert!(in_use.is_none_or(|in_use| *in_use == space), "{task} looks through {space:?}, and not {in_use:?}");
        self.known(task)
    }

    fn known(&mut self, task: &TaskId) -> &mut Known {
        self.tasks.get_mut(task).unwrap_or_else(|| panic!("something of task {task} is written, which is not there"))
    }

    #[allow(clippy::too_many_lines, reason = "a few lines for each kind of change")]
    pub fn apply(&mut self, write: &Write) {
        match write.clone() {
            Write::Sample(sample) => {
                assert!(self.samples.insert(sample.id), "sample {} stored twice", sample.id);
                self.arrived.push(sample.id);
                if let Origin::Source(source) = sample.origin {
                    self.sources.insert(sample.id, source.clone());
                    let kept = |bytes: Vec<u8>| StoredPicture { id: sample.id, source, bytes: bytes.len() as u64 };
                    self.pictures.extend(sample.picture.map(kept));
                }
                for (space, _) in sample.embeddings {
                    self.embedded(sample.id, space);
                }
                for look in sample.looks {
                    let known = self.looks(&look.task, look.space);
                    known.samples.insert(sample.id, None);
                    let predicted = look.predicted.map(|predicted| (sample.id, (predicted.label, predicted.head)));
                    known.predicted.extend(predicted);
                }
            }
            // Nobody looks at them here.
            Write::Thumbnail { .. } | Write::Keep(_) => {}
            Write::DeletePicture { id } => self.pictures.retain(|picture| picture.id != id),
            Write::Embedding { id, space, .. } => {
                assert!(self.samples.contains(&id), "embedding of an unknown sample");
                self.embedded(id, space);
            }
            Write::File { path, stamp, fate } => {
                self.evicted.remove(&path);
                self.files.insert(path, (stamp, fate));
            }
            Write::Label { task, id, label, source, at, change } => {
                self.changes = self.changes.max(change.unwrap_or(0));
                self.history.push(Line {
                    task: task.clone(),
                    id,
                    label: label.clone(),
                    excluded: None,
                    source,
                    at,
                    change,
                    is_undone: false,
                });
                self.known(&task).set_label(id, label, source, at);
            }
            Write::Excluded { task, id, excluded, source, at, change } => {
                self.changes = self.changes.max(change.unwrap_or(0));
                let known = self.known(&task);
                assert!(known.samples.contains_key(&id), "an unknown sample is excluded");
                let is_new = if excluded { known.excluded.insert(id) } else { known.excluded.remove(&id) };
                assert!(is_new, "{id} is excluded twice in {task}, or taken back twice");
                let excluded = Some(excluded);
                self.history.push(Line { task, id, label: None, excluded, source, at, change, is_undone: false });
            }
            Write::Folder { task, id, class, in_doubt } => {
                let known = self.known(&task);
                assert!(known.samples.contains_key(&id), "the folder of an unknown sample");
                known.folders.insert(id, (class, in_doubt));
            }
            Write::ClassFolders(folders) => self.class_folders = Some(folders),
            Write::ChangeUndone { change } => {
                assert!(change <= self.changes, "nobody made change {change}");
                for line in self.history.iter_mut().filter(|line| line.change == Some(change)) {
                    line.is_undone = true;
                    if !self.spaces.is_empty() && !self.spaces.contains_key(&line.task) {
                        self.undone_while_out.insert((line.task.clone(), line.id));
                    }
                }
            }
            Write::PendingLabel(awaited) => {
                self.changes = self.changes.max(awaited.change.unwrap_or(0));
                self.known(&awaited.task).awaited.insert(awaited.prefix.clone(), awaited);
            }
            Write::DeletePendingLabel { task, prefix } => {
                self.known(&task).awaited.remove(&prefix);
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
            Write::Head { task, record } => self.known(&task).store_head(&record),
            Write::HeadStatus { task, version, status, reason, at } => {
                self.known(&task).set_status(version, status, &reason, at);
            }
            Write::TrainingState { task, state } => self.known(&task).training = state,
            Write::DeleteSample { id } => self.evict(id),
            Write::DeleteFile { path } => {
                self.evicted.remove(&path);
                self.files.remove(&path);
            }
            Write::Statistics { task, file } => {
                let space = self.spaces.get(&task).copied();
                self.known(&task).statistics.extend(space.map(|space| (space, file)));
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
                for (task, known) in &mut self.tasks {
                    known.statistics.retain(|space, _| self.spaces.get(task) == Some(space));
                }
            }
            Write::DeleteHead { task, version } => self.known(&task).forget_head(version),
            Write::LiveState { task, state } => self.known(&task).live = *state,
            Write::StateRecord { task, record } => self.known(&task).state = *record,
            Write::Look { task, id, space } => {
                if self.samples.contains(&id) {
                    self.looks(&task, space).samples.entry(id).or_default();
                }
            }
            Write::PurgeTask { task } => {
                self.tasks.remove(&task);
                self.history.retain(|line| line.task != task);
            }
            Write::ConfigPatchState(memory) => self.config_patch = memory,
            Write::BrokerRecord(memory) => self.broker = memory,
            Write::DoubtedTimes(memory) => self.doubted = memory,
            Write::BackboneState(memory) => self.backbone = *memory,
            Write::DeleteOtherSpaces => {
                self.embeddings.retain(|(_, space)| self.spaces.values().any(|in_use| in_use == space));
            }
        }
    }

    fn evict(&mut self, id: SampleId) {
        self.samples.remove(&id);
        self.arrived.retain(|arrived| *arrived != id);
        self.pictures.retain(|picture| picture.id != id);
        self.sources.remove(&id);
        self.history.retain(|line| line.id != id);
        self.tasks.values_mut().for_each(|known| known.let_go(&id));
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
        let looks = |task: &TaskId, id: &SampleId| self.of(task).samples.contains_key(id);
        let lacks = |id: &SampleId| self.spaces.keys().any(|task| looks(task, id) && !self.has_embedding(task, id));
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
        Snapshot {
            samples: self.arrived.clone(),
            pictures: self.pictures.clone(),
            tasks: self.tasks.iter().map(|(task, known)| (task.clone(), known.stored(&self.arrived))).collect(),
            awaited: self.tasks.values().flat_map(|known| known.awaited.values()).cloned().collect(),
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
        }
    }

    fn update(&self, kind: UpdateKind) -> Option<StoredUpdate> {
        let memory = self.updates.get(&kind)?.clone();
        let chunks = self.chunks.get(&kind).into_iter().flat_map(BTreeMap::keys).copied().collect();
        Some(StoredUpdate { memory, chunks })
    }
}
