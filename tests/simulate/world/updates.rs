//! Who publishes signed updates, and the workers that verify them and prepare a backbone beside the present one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use edgetuned::engine::{
    BackboneSwitch, Checked, CheckedHead, Event, FoundBackbone, ModelSource, SwapEvent, SwapOrder, SwapPair,
    SwapResult, UpdateChecked, UpdateRecord,
};
use edgetuned::head::BackboneRef;
use edgetuned::update::{Code, Contents, Manifest, Refusal, Signer, sign};
use edgetuned::wire::UpdateKind;
use edgetuned::words::{Digest, EmbeddingSpace, SampleId, TaskId};
use rand::RngExt;
use serde_json::{Value, json};

use super::World;
use super::workers::{Work, verdict};

/// Bytes of a chunk.
const CHUNK: usize = 1024;
/// Parts in which the stored images are embedded again.
const PARTS: usize = 3;

/// Whose signatures count on the device.
pub fn signer() -> Signer {
    Signer::from_seed(&[3; 32])
}

/// Who publishes updates.
#[derive(Debug, Default)]
pub struct Vendor {
    releases: BTreeMap<Digest, Release>,
    /// The highest version of each kind so far, and the file that it brought.
    latest: BTreeMap<UpdateKind, (u64, Digest)>,
    /// What was signed with the right key.
    pub(super) signed: BTreeSet<String>,
    /// Backbones that are on the device, by name.
    bundled: BTreeMap<String, Digest>,
    /// The models of those that were asked for, by what their files in the state folder are called.
    asked: BTreeMap<Digest, Digest>,
    /// For which task the file of each head was compared last.
    compared: BTreeMap<Digest, TaskId>,
}

/// A file that was published.
#[derive(Debug, Clone)]
struct Release {
    bytes: Vec<u8>,
    /// How a backbone does on this device.
    behaviour: Behaviour,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Good,
    /// No backbone comes out of it.
    Unreadable,
    /// The daemon does not start with it.
    Fatal,
    /// The daemon crashes with it every few seconds.
    Unstable,
}

/// A backbone that a worker prepares.
#[derive(Debug)]
pub(super) struct Preparation {
    order: SwapOrder,
    part: usize,
}

impl World {
    /// A new version of a head or a backbone, or what looks like one.
    pub fn publish_update(&mut self, kind: UpdateKind) {
        let (version, former) =
            self.vendor.latest.get(&kind).map_or((0, None), |(version, file)| (*version, Some(*file)));
        let same = former.filter(|_| self.rng.random_bool(0.15));
        let sha256 = same.unwrap_or_else(|| self.release());
        let is_newer = same.is_some() || self.rng.random_bool(0.9);
        let version = if is_newer { version + 1 } else { version.max(1) };
        self.vendor.latest.insert(kind, (version, sha256));
        let is_forged = self.rng.random_bool(0.1);
        let payload = self.manifest(kind, version, sha256, is_forged);
        if !is_forged {
            self.vendor.signed.insert(payload.clone());
        }
        let topic = if self.rng.random_bool(0.97) { kind } else { UpdateKind::Head };
        self.publish_retained(&format!("update/{topic}/desired"), payload.into_bytes());
    }

    /// Another file, of which nobody knows yet how it does on the device.
    fn release(&mut self) -> Digest {
        let length = self.rng.random_range(1..3 * CHUNK);
        let bytes: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
        let behaviour = match self.rng.random_range(0..10) {
            0 => Behaviour::Unreadable,
            1 => Behaviour::Fatal,
            2 => Behaviour::Unstable,
            _ => Behaviour::Good,
        };
        let sha256 = Digest::of(&bytes);
        self.vendor.releases.insert(sha256, Release { bytes, behaviour });
        sha256
    }

    /// Somebody asks for another backbone of the device, for the one in service, for one that is not there, or for the
    /// same again.
    pub fn ask_for_backbone(&mut self) {
        let count = self.vendor.bundled.len();
        let name = match self.rng.random_range(0..10) {
            0 => "gone".to_owned(),
            1 => self.settings.backbone.name.clone(),
            2..=5 if count > 0 => format!("bundled-{}", self.rng.random_range(0..count)),
            _ => {
                let (name, sha256) = (format!("bundled-{count}"), self.release());
                self.vendor.bundled.insert(name.clone(), sha256);
                name
            }
        };
        let payload = json!({ "backbone": name }).to_string();
        if self.rng.random_bool(0.5) {
            self.publish("request/switch", payload);
        } else {
            self.ask("switch", payload);
        }
    }

    /// The backbone of that name, as the worker that answers finds it.
    pub(super) fn found_backbone(&mut self, asked: &str) -> Result<Box<FoundBackbone>, String> {
        let sha256 = match self.vendor.bundled.get(asked) {
            Some(sha256) => *sha256,
            None if asked == self.settings.backbone.name => self.settings.backbone.sha256,
            None => return Err(format!("there is no bundled backbone {asked}")),
        };
        let (backbone, space) = (BackboneRef { name: asked.to_owned(), sha256, dim: 1 }, space_of(sha256));
        let (model, manifest) = (PathBuf::from("/models/net.onnx"), json!({ "embedding": { "dim": 1 } }));
        let switch = BackboneSwitch {
            asked: asked.to_owned(),
            backbone: backbone.clone(),
            space,
            model: model.clone(),
            manifest: manifest.clone(),
            over: String::new(),
            since: self.now.wall,
        };
        self.vendor.asked.insert(switch.files(), sha256);
        self.observed.verified.insert(switch.files());
        Ok(Box::new(FoundBackbone { asked: asked.to_owned(), backbone, space, model, bytes: 1_000, manifest }))
    }

    /// The model of the files that are called so in the state folder.
    pub(super) fn model_of(&self, files: Digest) -> Digest {
        self.vendor.asked.get(&files).copied().unwrap_or(files)
    }

    fn manifest(&mut self, kind: UpdateKind, version: u64, sha256: Digest, is_forged: bool) -> String {
        let lasts = if self.rng.random_bool(0.1) { 10 } else { 3_600 };
        let fits = self.rng.random_bool(0.9);
        let mut members = json!({
            "v": 1, "kind": kind, "name": "parts", "version": version, "sha256": sha256,
            "size": self.vendor.releases[&sha256].bytes.len(), "chunk_bytes": CHUNK, "created": self.now.wall,
            "expires": self.now.wall.plus(Duration::from_secs(lasts)),
        });
        let contents = match kind {
            UpdateKind::Head => {
                let task = self.task_to_name();
                let meant = self.task_meant(task.as_ref()).map_or(self.settings.space, |task| self.task(&task).space);
                let space = if fits { meant } else { space_of(Digest::of(b"another")) };
                let mut contents = json!({ "backbone": self.settings.backbone, "space": space });
                if let (Some(task), Value::Object(contents)) = (task, &mut contents) {
                    contents.insert("task".into(), json!(task));
                }
                contents
            }
            UpdateKind::Backbone => json!({ "manifest": { "embedding": { "dim": 1 } } }),
        };
        let (Value::Object(members), Value::Object(contents)) = (&mut members, contents) else {
            unreachable!("the literals above are objects")
        };
        members.extend(contents);
        let key = if is_forged { Signer::from_seed(&[4; 32]) } else { signer() };
        sign(std::mem::take(members), &key).expect("the manifest is as it has to be")
    }

    /// The file of the head that is being compared is signed for another task, or for the same once more.
    fn sign_head_again(&mut self) {
        let is_under_way = self.model.updates.get(&UpdateKind::Head).is_some_and(|memory| memory.desired.is_some());
        let latest = self.vendor.latest.get(&UpdateKind::Head).copied();
        let Some((version, sha256)) = latest.filter(|_| is_under_way && self.settings.names_tasks) else { return };
        let payload = self.manifest(UpdateKind::Head, version + 1, sha256, false);
        self.vendor.latest.insert(UpdateKind::Head, (version + 1, sha256));
        self.vendor.signed.insert(payload.clone());
        self.publish_retained(&format!("update/{}/desired", UpdateKind::Head), payload.into_bytes());
    }

    /// Looks at what is stored of an update: a head serves in the task that its manifest was signed for.
    pub(super) fn check_update(&self, kind: UpdateKind, memory: &UpdateRecord) {
        let before = self.model.updates.get(&kind).cloned().unwrap_or_default();
        let is_new = kind == UpdateKind::Head && memory.trial.is_some() && memory.installed != before.installed;
        let Some(manifest) = before.desired.filter(|_| is_new) else { return };
        let manifest: Value = serde_json::from_str(&manifest).expect("it was signed");
        let signed_for = manifest["task"].as_str().map(|task| task.parse().expect("the name of a task"));
        let meant = self.task_meant(signed_for.as_ref());
        assert_eq!(Some(&memory.task), meant.as_ref(), "a head is installed that was signed for {signed_for:?}");
    }

    /// No update of this kind is desired any more.
    pub fn withdraw_update(&mut self, kind: UpdateKind) {
        self.publish_retained(&format!("update/{kind}/desired"), Vec::new());
    }

    /// The device asks for chunks: most of them come, and most are as they were.
    pub(super) fn send_chunks(&mut self, kind: UpdateKind, request: &[u8]) {
        let request: Value = serde_json::from_slice(request).expect("a request for chunks is JSON");
        let sha256: Digest = serde_json::from_value(request["sha256"].clone()).expect("it names the file");
        let bytes = self.vendor.releases[&sha256].bytes.clone();
        for n in request["chunks"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
            if self.chance(self.chances.lost_chunk) {
                continue;
            }
            let start = n as usize * CHUNK;
            let mut chunk = bytes[start..bytes.len().min(start + CHUNK)].to_vec();
            if self.chance(self.chances.lost_chunk / 4.0) {
                chunk[0] ^= 1;
            }
            self.publish_bytes(&format!("update/{kind}/chunk/{sha256}/{n}"), chunk, false);
        }
    }

    /// Compares the chunks with the manifest, and a head with the one that serves when that is read.
    pub(super) fn verify(&mut self, task: &TaskId, manifest: &Manifest, version: u64) {
        let (kind, sha256) = (manifest.contents.kind(), manifest.sha256);
        let whole = self.model.chunks.get(&kind).map(|chunks| chunks.values().flatten().copied().collect::<Vec<u8>>());
        let is_whole = whole.is_some_and(|bytes| Digest::of(&bytes) == sha256);
        let outcome = match &manifest.contents {
            _ if !is_whole => Err(Refusal::new(Code::Sha256, "other bytes")),
            Contents::Backbone { .. } => Ok(Checked::Backbone),
            Contents::Head { .. } if self.chance(0.1) => Err(Refusal::new(Code::BadContent, "it answers NaN")),
            Contents::Head { backbone, space, .. } => {
                if self.settings.names_tasks && self.chance(self.chances.signed_again) {
                    self.sign_head_again();
                }
                let before = self.vendor.compared.insert(sha256, task.clone());
                self.counts.compared_again += u64::from(before.is_some_and(|before| before != *task));
                let against = self.champion_in(task, *space);
                let record = self.head_record(version, *space, backbone.clone());
                let record = self.perhaps_tailed(record);
                let promote = against.is_none() || self.chance(self.chances.better);
                self.observed.judged(task, &record.head.id, against, promote);
                Ok(Checked::Head(Box::new(CheckedHead { record, verdict: verdict(promote, false), against })))
            }
        };
        if outcome.is_ok() {
            self.observed.verified.insert(sha256);
        }
        self.later(3_000, Event::Updater(Box::new(UpdateChecked { kind, task: task.clone(), sha256, outcome })));
    }

    /// A backbone is to be prepared; one that was being prepared is of no interest any more.
    pub(super) fn begin_preparation(&mut self, order: SwapOrder) {
        self.work.retain(|(_, work)| !matches!(work, Work::Prepare(_)));
        self.work_within(500, Work::Prepare(Preparation { order, part: 0 }));
    }

    /// Writes its files, embeds the stored images in parts, and compares the pair with the one that serves by then.
    pub(super) fn prepare(&mut self, mut preparation: Preparation) {
        let files = preparation.order.files;
        let model = self.model_of(files);
        if preparation.part == 0 && !self.stage(&preparation.order) {
            let reason = "no backbone comes out of it".to_owned();
            return self.later(500, Event::Swap(SwapEvent::Failed { files, reason }));
        }
        if preparation.part == PARTS {
            return self.compare_pair(preparation.order);
        }
        preparation.part += 1;
        // Those that are still to be embedded, and some that cannot be read any more.
        let ids: Vec<SampleId> = self.model.arrived.clone();
        let there = self.finished();
        for task in self.tasks() {
            let space = self.space_of_task(&task, space_of(model));
            let part = ids.iter().take(ids.len() * preparation.part / PARTS);
            let looked_at = part.filter(|id| there.contains(id) && self.model.of(&task).samples.contains_key(id));
            let made: Vec<_> = looked_at.map(|id| (*id, space)).collect();
            self.model.embeddings.extend(made);
        }
        let embedded = ids.len() * preparation.part / PARTS;
        self.later(100, Event::Swap(SwapEvent::Progress { embedded: embedded as u64, of: ids.len() as u64 }));
        self.work_within(3_000, Work::Prepare(preparation));
    }

    /// Puts the model and its manifest beside those that are there.
    fn stage(&mut self, order: &SwapOrder) -> bool {
        let files = order.files;
        let is_file = matches!(order.model, ModelSource::File { .. });
        let chunks = self.model.chunks.get(&UpdateKind::Backbone);
        let is_whole =
            chunks.is_some_and(|chunks| Digest::of(&chunks.values().flatten().copied().collect::<Vec<u8>>()) == files);
        if !is_whole && !is_file && !self.staged.contains(&files) {
            return false;
        }
        self.staged.insert(files);
        self.vendor.releases[&self.model_of(files)].behaviour != Behaviour::Unreadable
    }

    fn compare_pair(&mut self, order: SwapOrder) {
        let SwapOrder { files, name, versions, .. } = order;
        let model = self.model_of(files);
        let backbone = BackboneRef { name, sha256: model, dim: 1 };
        let pairs: Vec<SwapPair> =
            versions.into_iter().map(|(task, version)| self.pair(task, version, model, &backbone)).collect();
        self.observed.pairs.insert(files, pairs.iter().all(|pair| pair.verdict.promote));
        let (embedded, missing) =
            (self.model.embeddings.iter().filter(|(_, of)| of.backbone == model).count() as u64, 0);
        let succession = SwapResult {
            files,
            backbone,
            manifest: format!("/state/backbones/{files}.yaml").into(),
            pairs,
            embedded,
            missing,
        };
        self.later(5_000, Event::Swap(SwapEvent::Ready(Box::new(succession))));
    }

    /// A head of a task on another backbone, and what the gate says of both.
    fn pair(&mut self, task: TaskId, version: u64, model: Digest, backbone: &BackboneRef) -> SwapPair {
        let against = self.champion_in(&task, self.task(&task).space);
        let space = self.space_of_task(&task, space_of(model));
        let classes: BTreeSet<_> = (self.model.of(&task).samples.iter())
            .filter(|(id, _)| self.model.embeddings.contains(&(**id, space)))
            .filter_map(|(_, labelled)| labelled.as_ref().map(|(label, _)| label))
            .collect();
        let has_head = classes.len() > 1;
        let promote = against.is_none() || (has_head && self.chance(self.chances.better));
        let challenger = has_head.then(|| self.head_record(version, space, backbone.clone()));
        if let Some(challenger) = &challenger {
            self.observed.judged(&task, &challenger.head.id, against, promote);
            self.learns(&task, &challenger.head.id);
        }
        SwapPair { task, challenger, verdict: verdict(promote, false), against }
    }

    /// The files of a backbone are removed; never those that the daemon runs with or may go back to.
    pub(super) fn delete_backbone(&mut self, files: Digest) {
        let memory = &self.model.backbone;
        let before = memory.trial.as_ref().and_then(|trial| trial.before.installed.as_ref());
        for in_use in memory.installed.iter().chain(before) {
            assert_ne!(in_use.files, files, "the files of a backbone in use are removed");
        }
        self.staged.remove(&files);
        self.work.retain(|(_, work)| !matches!(work, Work::Prepare(it) if it.order.files == files));
    }

    /// Whether the daemon comes up with the backbone in force, which has to be there.
    pub(super) fn backbone_opens(&self) -> bool {
        let Some(installed) = self.model.backbone.model(&self.settings.backbone_model) else { return true };
        assert!(self.staged.contains(&installed.files), "the backbone in force has no files");
        self.vendor.releases[&self.model_of(installed.files)].behaviour != Behaviour::Fatal
    }

    /// Whether what is in probation makes the daemon crash.
    pub(super) fn is_unstable(&self) -> bool {
        let installed = self.model.backbone.trial.as_ref().and(self.model.backbone.installed.as_ref());
        installed.is_some_and(|installed| {
            self.vendor.releases[&self.model_of(installed.files)].behaviour == Behaviour::Unstable
        })
    }
}

/// The embeddings that the backbone with this model makes.
pub fn space_of(backbone: Digest) -> EmbeddingSpace {
    EmbeddingSpace { backbone, preprocessing: Digest::of(b"played"), dim: 1 }
}
