//! A life of the state folder from one seed: every kind of thing that the daemon makes durable, as it does it.
//!
//! An act is some files, then one commit, then the word that it is done. What the folder holds at each such word is
//! kept, to be compared with what is left after a power cut.

use std::io;
use std::path::{Path, PathBuf};

use edgetuned::engine::{
    BackboneState, ConfigPatch, FileDisposition, FileStamp, HeadStatus, InstalledBackbone, LabelSource, Look,
    NewSample, OutboxMessage, PendingLabel, Predicted, PreviousBackbone, Probation, RememberedReply, TrainingOrder,
    TrainingState, UpdateRecord, Write,
};
use edgetuned::head::{BackboneRef, DenseHead, HeadRecord};
use edgetuned::store::{OpenOptions, Precision, SpacesInUse, Store, StoreError, files};
use edgetuned::wire::{Topic, UpdateKind};
use edgetuned::words::{ClassSet, Digest, EmbeddingSpace, Label, Origin, SampleId, TaskId, Timestamp};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIM: usize = 96;
/// Of bytes: the redo log may have 1 MiB, so that a life does not fill it.
const QUOTA: u64 = 32 << 20;

/// Why an act was not done.
#[derive(Debug)]
pub enum Failed {
    Store(StoreError),
    File(io::Error),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::File(error)
    }
}

/// What is done at once and acknowledged as one.
pub enum Act {
    /// These files, in this order, and then one commit.
    Durable { files: Vec<(PathBuf, Vec<u8>)>, writes: Vec<Write> },
    /// The store is closed and opened again.
    Restart,
}

impl Act {
    /// The files that it writes.
    pub fn files(&self) -> &[(PathBuf, Vec<u8>)] {
        if let Self::Durable { files, .. } = self { files } else { &[] }
    }
}

/// A life that goes on.
pub struct Life {
    folder: PathBuf,
    store: Option<Store>,
    /// Whether the store has a redo log, as the daemon's has.
    redo: bool,
    dice: ChaCha8Rng,
    /// Of the backbone in force.
    backbone: Digest,
    /// Of the backbone that the store was opened for: another one is in force, and not in use before a restart.
    in_use: Digest,
    images: Vec<SampleId>,
    heads: Vec<u64>,
    outbox: Vec<u64>,
    seq: u64,
    chunks: u32,
    patch: u64,
    next: u64,
}

/// The space of the backbone with this digest.
pub fn space(backbone: Digest) -> EmbeddingSpace {
    EmbeddingSpace { backbone, preprocessing: Digest::of(b"crop"), dim: DIM }
}

/// The backbone that every life begins with.
pub fn first_backbone() -> Digest {
    Digest::of(b"first")
}

/// Opens the store in `folder` for the embeddings of this backbone.
pub fn open(folder: &Path, backbone: Digest) -> Result<Store, StoreError> {
    let (space, reference) = (space(backbone), reference(backbone));
    Store::open(
        folder,
        &OpenOptions { spaces: SpacesInUse::whole(space), backbone: &reference, precision: Precision::F16 },
    )
}

fn reference(backbone: Digest) -> BackboneRef {
    BackboneRef { name: "played".into(), sha256: backbone, dim: DIM }
}

fn label(n: usize) -> Label {
    Label::new(["bolt", "gear", "nut"][n % 3]).expect("a label")
}

impl Life {
    /// Begins, or goes on, in this folder.
    pub fn begin(folder: &Path, seed: u64, redo: bool) -> Result<Self, StoreError> {
        let store = open(folder, first_backbone())?;
        let snapshot = store.snapshot()?;
        let installed = snapshot.backbone.installed.as_ref();
        let backbone = installed.map_or_else(first_backbone, |installed| installed.files);
        let mut life = Self {
            folder: folder.to_owned(),
            store: Some(store),
            redo,
            dice: ChaCha8Rng::seed_from_u64(seed),
            backbone,
            in_use: backbone,
            images: snapshot.samples.clone(),
            heads: snapshot.tasks[&TaskId::default()].heads.iter().map(|head| head.head.version).collect(),
            outbox: snapshot.outbox.iter().map(|message| message.seq).collect(),
            seq: snapshot.outbox.last().map_or(snapshot.seq, |message| message.seq.max(snapshot.seq)),
            chunks: snapshot.updates[&UpdateKind::Head].chunks.last().map_or(0, |n| n + 1),
            patch: snapshot.twin.applied_version,
            next: seed << 32,
        };
        life.restart()?;
        Ok(life)
    }

    fn restart(&mut self) -> Result<(), StoreError> {
        self.store = None;
        let mut store = open(&self.folder, self.backbone)?;
        if self.redo {
            store.keep_within(QUOTA)?;
        }
        self.store = Some(store);
        self.in_use = self.backbone;
        Ok(())
    }

    /// The backbone that the store was opened for.
    pub fn in_force(&self) -> Digest {
        self.in_use
    }

    /// Does what was drawn; it can be tried again where it failed.
    pub fn carry_out(&mut self, act: &Act) -> Result<(), Failed> {
        match act {
            Act::Restart => Ok(self.restart()?),
            Act::Durable { files, writes } => {
                files.iter().try_for_each(|(path, bytes)| write_file(path, bytes))?;
                Ok(self.store.as_mut().expect("it is open").commit(writes)?)
            }
        }
    }

    /// The next act, drawn by seed.
    pub fn draw(&mut self) -> Act {
        self.next += 1;
        let mut files = Vec::new();
        let writes = match self.dice.random_range(0..100) {
            0..=24 => self.image(),
            25..=36 => self.labels(),
            37..=44 => self.request(),
            45..=52 => self.delivered(),
            53..=59 => self.training(),
            60..=64 => self.rollback(),
            65..=82 => self.chunk(),
            83..=85 => self.update_taken(),
            86..=89 => self.patched(),
            90..=92 => self.evicted(),
            93..=94 => vec![Write::Statistics { task: TaskId::default(), file: self.bytes(9_000) }],
            95 => {
                let model = self.bytes(60_000);
                self.succession(model, &mut files)
            }
            96..=97 => {
                // Sometimes a file of the same name, with other bytes.
                let name = format!("exports/{}.onnx", self.dice.random_range(0..3));
                files.push((self.folder.join(name), self.bytes(30_000)));
                Vec::new()
            }
            _ => return Act::Restart,
        };
        Act::Durable { files, writes }
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; self.dice.random_range(1..=most)];
        self.dice.fill_bytes(&mut bytes);
        bytes
    }

    fn at(&self) -> Timestamp {
        Timestamp(self.next as i64)
    }

    fn message(&mut self, topic: Topic) -> Write {
        self.seq += 1;
        self.outbox.push(self.seq);
        Write::Outbox(OutboxMessage { seq: self.seq, topic, payload: self.bytes(400), made_at: self.at() })
    }

    fn image(&mut self) -> Vec<Write> {
        let (id, at) = (SampleId::of(&self.next.to_le_bytes()), self.at());
        let path = PathBuf::from(format!("/srv/camera/{}.jpg", self.next));
        let predicted = Predicted { label: label(self.next as usize), probability: 0.75, head: 1 };
        let embedding = (0..DIM).map(|_| f32::from(self.dice.random_range(-2048_i16..2048))).collect();
        self.images.push(id);
        let sample = NewSample {
            id,
            origin: Origin::File(path.clone()),
            bytes: 1000,
            arrived_at: at,
            embeddings: vec![(space(self.in_use), embedding)],
            group: id,
            looks: vec![Look { task: TaskId::default(), space: space(self.in_use), predicted: Some(predicted) }],
            thumbnail: None,
            picture: None,
        };
        let file = Write::File {
            path,
            stamp: FileStamp { size: 1000, mtime_ns: at.0, ctime_ns: 0 },
            fate: FileDisposition::Sample(id),
        };
        vec![Write::Sample(Box::new(sample)), file, self.message(Topic::Event)]
    }

    fn labels(&mut self) -> Vec<Write> {
        let (source, at) = (LabelSource::Mqtt, self.at());
        if self.images.is_empty() || self.dice.random_bool(0.2) {
            let prefix = SampleId::of(&self.next.to_be_bytes()).to_string()[..16].to_owned();
            return vec![Write::PendingLabel(PendingLabel {
                task: TaskId::default(),
                prefix,
                label: label(0),
                source,
                at,
                change: None,
                former: None,
            })];
        }
        let count = self.dice.random_range(1..=4);
        let one = |dice: &mut ChaCha8Rng, images: &[SampleId]| Write::Label {
            task: TaskId::default(),
            id: images[dice.random_range(0..images.len())],
            label: dice.random_bool(0.9).then(|| label(dice.random_range(0..3))),
            source,
            at,
            change: None,
        };
        (0..count).map(|_| one(&mut self.dice, &self.images)).collect()
    }

    fn request(&mut self) -> Vec<Write> {
        let (transaction, at) = (self.next.to_string(), self.at());
        let order = TrainingOrder { id: self.next, reason: "request".into(), tune: false };
        let training = TrainingState { running: Some(order), next_id: self.next, ..TrainingState::default() };
        let entry = RememberedReply { transaction, name: "train".into(), answer: self.bytes(200), at };
        vec![
            Write::Reply(entry),
            Write::TrainingState { task: TaskId::default(), state: training },
            self.message(Topic::Response("train".into())),
        ]
    }

    fn delivered(&mut self) -> Vec<Write> {
        let count = self.dice.random_range(0..=self.outbox.len());
        let reserved = Write::SeqReserved(self.seq);
        self.outbox.drain(..count).map(|seq| Write::DeleteMessage { seq }).chain([reserved]).collect()
    }

    fn head(&mut self, backbone: Digest) -> (u64, HeadRecord) {
        let version = self.heads.last().map_or(1, |version| version + 1);
        let mut weight = || f32::from(self.dice.random_range(-99_i8..99));
        let weights = ndarray::Array2::from_shape_simple_fn((3, DIM), &mut weight);
        let bias = ndarray::Array1::zeros(3);
        let classes: ClassSet = (0..3).map(label).collect();
        let dense = DenseHead::linear(space(backbone), classes, weights, bias);
        self.heads.push(version);
        (version, HeadRecord::new(dense, version, self.at(), reference(backbone)))
    }

    /// A head that is stored and promoted.
    fn promoted(&mut self, backbone: Digest) -> Vec<Write> {
        let (version, record) = self.head(backbone);
        let champion = self.status(version, HeadStatus::Champion);
        vec![Write::Head { task: TaskId::default(), record: Box::new(record) }, champion, self.message(Topic::Event)]
    }

    fn status(&self, version: u64, status: HeadStatus) -> Write {
        Write::HeadStatus {
            task: TaskId::default(),
            version,
            status,
            reason: format!("at {}", self.next),
            at: self.at(),
        }
    }

    fn training(&mut self) -> Vec<Write> {
        let state = TrainingState { last: Some(self.at()), ..TrainingState::default() };
        let ended = Write::TrainingState { task: TaskId::default(), state };
        let mut writes = if self.dice.random_bool(0.7) {
            self.promoted(self.backbone)
        } else {
            let (version, record) = self.head(self.backbone);
            vec![
                Write::Head { task: TaskId::default(), record: Box::new(record) },
                self.status(version, HeadStatus::Rejected),
            ]
        };
        writes.extend([ended, self.message(Topic::TrainResult)]);
        writes
    }

    /// An earlier head of the same backbone serves again, and what came before it is forgotten.
    fn rollback(&mut self) -> Vec<Write> {
        let reader = self.store.as_ref().expect("it is open").reader().expect("it can be read");
        let mut kept = reader.heads(&TaskId::default()).expect("it can be read");
        kept.retain(|head| head.space == space(self.backbone));
        let Some(chosen) = (!kept.is_empty()).then(|| kept.swap_remove(self.dice.random_range(0..kept.len()))) else {
            return self.training();
        };
        let version = chosen.head.version;
        let old: Vec<u64> = self.heads.iter().copied().filter(|other| other + 6 < version).collect();
        self.heads.retain(|head| !old.contains(head));
        let forget = old.into_iter().map(|version| Write::DeleteHead { task: TaskId::default(), version });
        [self.status(version, HeadStatus::Champion), self.message(Topic::Event)].into_iter().chain(forget).collect()
    }

    fn chunk(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        if self.chunks == 0 {
            let desired = Some(format!("manifest {}", self.next));
            let memory = Box::new(UpdateRecord { desired, ..UpdateRecord::default() });
            writes.push(Write::UpdateState { kind: UpdateKind::Head, memory });
        }
        writes.push(Write::Chunk { kind: UpdateKind::Head, n: self.chunks, bytes: self.bytes(60_000) });
        self.chunks += 1;
        writes
    }

    /// The chunks became a head, on trial.
    fn update_taken(&mut self) -> Vec<Write> {
        self.chunks = 0;
        let mut writes = self.promoted(self.backbone);
        let memory = Box::new(UpdateRecord { trial: Some(Probation::new(())), ..UpdateRecord::default() });
        let kind = UpdateKind::Head;
        writes.extend([Write::UpdateState { kind, memory }, Write::DeleteChunks(kind)]);
        writes
    }

    fn patched(&mut self) -> Vec<Write> {
        self.patch += 1;
        let patch = serde_json::json!({ "prediction": { "top_k": self.next % 9 + 1 } }).as_object().cloned();
        let trial = self.dice.random_bool(0.5).then(|| Probation::new(None));
        let memory = ConfigPatch { applied_version: self.patch, patch, trial, ..ConfigPatch::default() };
        vec![Write::ConfigPatchState(memory), self.message(Topic::Event)]
    }

    fn evicted(&mut self) -> Vec<Write> {
        let count = self.images.len().min(3);
        self.images.drain(..count).map(|id| Write::DeleteSample { id }).collect()
    }

    /// Another backbone takes over: its files first, then head and memory in one commit.
    fn succession(&mut self, model: Vec<u8>, files: &mut Vec<(PathBuf, Vec<u8>)>) -> Vec<Write> {
        let sha256 = Digest::of(&model);
        let place = |ending| self.folder.join("backbones").join(format!("{sha256}.{ending}"));
        let manifest = place("yaml");
        files.push((place("onnx"), model));
        files.push((manifest.clone(), format!("file: {sha256}.onnx").into_bytes()));
        let mut writes = self.promoted(sha256);
        let installed = InstalledBackbone { files: sha256, manifest, over: "default".into(), asked: None };
        let trial = Some(Probation::new(PreviousBackbone::default()));
        let state = BackboneState { installed: Some(installed), trial, ..BackboneState::default() };
        writes.push(Write::BackboneState(Box::new(state)));
        self.backbone = sha256;
        writes
    }
}

/// As the daemon writes models and exports.
fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    files::create_folder(path.parent().expect("it is in a folder"))?;
    files::write(path, bytes)
}
