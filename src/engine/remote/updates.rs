//! Signed updates: which manifest is followed, which chunks are requested, and what happens to the complete file.
//!
//! One update a kind. It is fetched in chunks that are committed one by one, so it continues after any
//! crash; once complete, a worker compares it with its manifest
//! ([`Act::VerifyUpdate`](crate::engine::Act::VerifyUpdate)); then `install` puts a head in service, on
//! probation, or has a backbone prepared. A refusal is reported once for each manifest, though the broker retains the
//! manifest and sends it at every connection.
//!
//! Invariants: chunks are stored for the one manifest under way and for no other, within its size, and none is left
//! when it is over; without trusted keys nothing is stored but the refusal.

mod fetch;
mod install;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::event::{Checked, UpdateChecked};
use super::super::fact::Fact;
use super::super::write::Write;
use super::Probation;
use super::Remote;
use crate::update::{Accepted, Contents, Device, Installed, Manifest, Refusal, TrustedKeys, accept, in_time};
use crate::wire::{EventKind, Topic, UpdateError, UpdateKind, UpdatePhase, UpdateState};
use crate::words::{Digest, HeadRef, TaskId};
use fetch::{Fetch, Stage};

/// Versions that were rolled back and are remembered.
const FAILED_MAX: usize = 32;

/// What updates depend on and that does not change while the daemon runs.
#[derive(Debug, Clone, Default)]
pub struct UpdateSettings {
    /// Trusted keys; none: no updates.
    pub keys: TrustedKeys,
    /// Id of this device.
    pub device: String,
    /// Bytes of a chunk that fit into a packet.
    pub chunk_bytes_max: u64,
    /// Bytes of a file that the store's quota leaves room for.
    pub bytes_max: u64,
}

/// What a payload was found to be: a manifest and what follows from it, or why it is refused, with what of it can be
/// trusted.
type Looked = Result<(Manifest, Accepted), (Option<Box<Manifest>>, Refusal)>;

/// What is remembered of updates of one kind over restarts, as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateRecord {
    /// The manifest that is followed, as it came.
    pub desired: Option<String>,
    /// The update that was installed last and held.
    pub installed: Option<Installed>,
    /// The one before it.
    pub former: Option<Installed>,
    /// The head that the installed update became.
    pub head: Option<HeadRef>,
    /// The task that it answers.
    #[serde(skip_serializing_if = "TaskId::is_default")]
    pub task: TaskId,
    /// While it has not proved itself: starts of the daemon since it came.
    pub trial: Option<Probation<()>>,
    /// Versions that were rolled back, the latest last.
    pub failed: Vec<u64>,
    /// What was refused last.
    pub refused: Option<Refused>,
    /// The manifest whose update failed; it is not checked again.
    pub given_up: Option<Digest>,
}

/// A refusal that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Of the manifest's bytes; `None` when an installed update was rolled back.
    pub manifest: Option<Digest>,
    /// Why.
    pub refusal: Refusal,
}

/// The stored state of one kind.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StoredUpdate {
    /// What is remembered.
    pub memory: UpdateRecord,
    /// Numbers of the chunks that are there.
    pub chunks: Vec<u32>,
}

/// One kind's updates.
#[derive(Debug, Default)]
struct Progress {
    memory: UpdateRecord,
    /// Chunks of the manifest in memory, until the start has looked at it.
    stored: Vec<u32>,
    fetch: Option<Fetch>,
    /// The manifest that was checked last.
    seen: Option<Digest>,
}

/// All updates.
#[derive(Debug)]
pub(super) struct Updates {
    kinds: BTreeMap<UpdateKind, Progress>,
    /// When an unrequested chunk was reported last, and how many came since.
    stray: (Option<Duration>, u64),
    /// Since when the head on trial serves.
    trial_since: Duration,
}

impl Updates {
    pub fn new(mut stored: BTreeMap<UpdateKind, StoredUpdate>) -> Self {
        let mut restored = |kind| {
            let StoredUpdate { memory, chunks } = stored.remove(&kind).unwrap_or_default();
            (kind, Progress { memory, stored: chunks, ..Progress::default() })
        };
        let kinds = UpdateKind::ALL.into_iter().map(&mut restored).collect();
        Self { kinds, stray: (None, 0), trial_since: Duration::ZERO }
    }

    /// The manifests that were checked last.
    pub fn seen(&self) -> BTreeMap<UpdateKind, Digest> {
        self.kinds.iter().filter_map(|(kind, progress)| Some((*kind, progress.seen?))).collect()
    }

    /// Another engine of this process checked these.
    pub fn saw(&mut self, seen: &BTreeMap<UpdateKind, Digest>) {
        for (kind, digest) in seen {
            self.of(*kind).seen = Some(*digest);
        }
    }

    fn of(&mut self, kind: UpdateKind) -> &mut Progress {
        self.kinds.entry(kind).or_default()
    }

    /// Whether a head is being compared with the one in service, which must not change meanwhile.
    pub fn is_judging(&self) -> bool {
        let head = self.kinds.get(&UpdateKind::Head).and_then(|progress| progress.fetch.as_ref());
        head.is_some_and(|fetch| fetch.stage == Stage::Checking)
    }
}

impl Remote {
    /// At a start: goes on with what was under way, if its signature still counts, and counts the start for a head on
    /// trial.
    pub fn start_updates(&mut self, cx: &mut Cx<'_>, champions: &BTreeMap<TaskId, HeadRef>) {
        self.updates.trial_since = cx.now.mono;
        for kind in UpdateKind::ALL {
            let progress = self.updates.of(kind);
            let stored = std::mem::take(&mut progress.stored);
            let Some(desired) = progress.memory.desired.clone() else { continue };
            let digest = Digest::of(desired.as_bytes());
            match self.looked_at(cx, kind, desired.as_bytes()) {
                Ok((manifest, Accepted::Begin)) => {
                    let mut fetch = Fetch::new(manifest, digest);
                    for n in stored {
                        fetch.chunks.add(n);
                    }
                    fetch.stage = if fetch.chunks.is_complete() { Stage::Whole } else { Stage::Chunks };
                    self.updates.of(kind).fetch = Some(fetch);
                }
                Ok((_, Accepted::Nothing)) => self.drop_update(cx, kind),
                Err((manifest, refusal)) => {
                    self.drop_update(cx, kind);
                    self.refuse_update(cx, kind, manifest.as_deref(), digest, refusal);
                }
            }
        }
        self.count_start(cx, champions);
    }

    /// `update/<kind>/desired`: a manifest to follow, or an empty payload to cancel the one in progress.
    pub fn update_desired(&mut self, cx: &mut Cx<'_>, kind: UpdateKind, payload: &[u8]) {
        if payload.trim_ascii().is_empty() {
            let progress = self.updates.of(kind);
            (progress.seen, progress.memory.refused, progress.memory.given_up) = (None, None, None);
            self.drop_update(cx, kind);
            return self.publish_update(cx, kind);
        }
        let digest = Digest::of(payload);
        let progress = self.updates.of(kind);
        progress.seen = Some(digest);
        let under_way = progress.fetch.as_ref().is_some_and(|fetch| fetch.digest == digest);
        if under_way || progress.memory.given_up == Some(digest) {
            return self.publish_update(cx, kind);
        }
        match self.looked_at(cx, kind, payload) {
            Ok((manifest, Accepted::Begin)) => match self.refused_by_switch() {
                Err(refusal) if kind == UpdateKind::Backbone => {
                    self.refuse_update(cx, kind, Some(&manifest), digest, refusal);
                }
                _ => self.begin_update(cx, kind, manifest, payload, digest),
            },
            Ok((_, Accepted::Nothing)) => {
                let progress = self.updates.of(kind);
                if progress.memory.refused.take().is_some() || progress.fetch.is_some() {
                    self.drop_update(cx, kind);
                }
                self.publish_update(cx, kind);
            }
            Err((manifest, refusal)) => self.refuse_update(cx, kind, manifest.as_deref(), digest, refusal),
        }
    }

    /// Whether `payload` is a manifest for this device.
    fn looked_at(&mut self, cx: &mut Cx<'_>, kind: UpdateKind, payload: &[u8]) -> Looked {
        let settings = &cx.settings().updates;
        let manifest = Manifest::open(payload, &settings.keys).map_err(|refusal| (None, refusal))?;
        let memory = &self.updates.of(kind).memory;
        let tasks: Vec<_> = cx.settings().tasks.iter().map(|task| (task.id.clone(), task.space)).collect();
        let device = Device {
            id: &settings.device,
            tasks: &tasks,
            chunk_bytes_max: settings.chunk_bytes_max,
            bytes_max: settings.bytes_max,
            installed: memory.installed.as_ref(),
            failed: &memory.failed,
        };
        match accept(&manifest, kind, &device, cx.now.wall) {
            Ok(accepted) => Ok((manifest, accepted)),
            Err(refusal) => Err((Some(Box::new(manifest)), refusal)),
        }
    }

    /// The worker has held a whole file against its manifest.
    pub fn update_checked(&mut self, cx: &mut Cx<'_>, checked: UpdateChecked) {
        if cx.is_stopping() {
            // The next engine has it verified again.
            return;
        }
        let UpdateChecked { kind, task, sha256, outcome } = checked;
        let progress = self.updates.of(kind);
        let Some(fetch) = &mut progress.fetch else { return };
        if fetch.stage != Stage::Checking || fetch.manifest.sha256 != sha256 {
            return;
        }
        // Reports from here on are about this manifest, whatever else arrived meanwhile.
        progress.seen = Some(fetch.digest);
        let manifest = fetch.manifest.clone();
        if kind == UpdateKind::Head && task_of(cx, &manifest) != task {
            // The same file was signed for another task meanwhile: it is compared with that one's head.
            fetch.stage = Stage::Whole;
            return;
        }
        let found = in_time(&manifest, cx.now.wall).and(outcome);
        match found {
            Ok(Checked::Head(found)) => {
                cx.of(&task).post(Fact::UpdateHeadCompared { update: manifest.to_string(), found });
            }
            Ok(Checked::Backbone) => {
                fetch.stage = Stage::Verified;
                self.backbone_verified(cx, &manifest);
            }
            Err(refusal) => self.fail_update(cx, kind, refusal),
        }
    }

    /// The update in progress failed; its manifest is not followed again.
    pub fn fail_update(&mut self, cx: &mut Cx<'_>, kind: UpdateKind, refusal: Refusal) {
        let Some(fetch) = self.updates.of(kind).fetch.take() else { return };
        self.updates.of(kind).memory.given_up = Some(fetch.digest);
        self.drop_update(cx, kind);
        self.refuse_update(cx, kind, Some(&fetch.manifest), fetch.digest, refusal);
    }

    /// Drops the update in progress, with all its chunks.
    fn drop_update(&mut self, cx: &mut Cx<'_>, kind: UpdateKind) {
        let progress = self.updates.of(kind);
        progress.fetch = None;
        if progress.memory.desired.take().is_some() {
            cx.write(Write::DeleteChunks(kind));
        }
        self.write_update(cx, kind);
    }

    /// Records and reports a refusal, unless it was reported for this manifest before.
    fn refuse_update(
        &mut self,
        cx: &mut Cx<'_>,
        kind: UpdateKind,
        manifest: Option<&Manifest>,
        digest: Digest,
        refusal: Refusal,
    ) {
        let memory = &mut self.updates.of(kind).memory;
        let told = |refused: &Refused| refused.manifest == Some(digest) && refused.refusal.code == refusal.code;
        if !memory.refused.as_ref().is_some_and(told) {
            let Refusal { code, reason } = refusal.clone();
            memory.refused = Some(Refused { manifest: Some(digest), refusal });
            self.write_update(cx, kind);
            let (name, version) = (manifest.map(|m| m.name.clone()), manifest.map(|m| m.version));
            let code = code.as_str().to_owned();
            cx.update_failed(manifest.is_some(), EventKind::UpdateFailed { kind, name, version, code, reason });
        }
        self.publish_update(cx, kind);
    }

    fn write_update(&mut self, cx: &mut Cx<'_>, kind: UpdateKind) {
        let memory = Box::new(self.updates.of(kind).memory.clone());
        cx.write(Write::UpdateState { kind, memory });
    }

    /// Publishes the state of this kind's update.
    pub fn publish_update(&mut self, cx: &mut Cx<'_>, kind: UpdateKind) {
        let is_backbone_on_trial = self.backbone_update_is_on_trial();
        let progress = self.updates.of(kind);
        let (memory, fetch) = (&progress.memory, progress.fetch.as_ref());
        let version = |version: u64| version.to_string();
        let installed = memory.installed.as_ref().map(|installed| version(installed.version));
        let error = memory.refused.as_ref().map(|refused| UpdateError {
            code: refused.refusal.code.as_str().to_owned(),
            message: refused.refusal.reason.clone(),
        });
        let latest = fetch.map(|fetch| version(fetch.manifest.version)).or_else(|| installed.clone());
        let embedded = self.swap_progress.map_or(0, |(embedded, of)| (100 * embedded / of.max(1)) as u8);
        let percentage = fetch.map(|fetch| match fetch.stage {
            Stage::Verified => embedded,
            _ => fetch.chunks.percent(),
        });
        let on_trial = match kind {
            UpdateKind::Head => memory.trial.is_some(),
            UpdateKind::Backbone => is_backbone_on_trial,
        };
        let phase = match fetch.map(|fetch| fetch.stage) {
            Some(Stage::Chunks) => UpdatePhase::Downloading,
            Some(Stage::Whole | Stage::Checking) => UpdatePhase::Verifying,
            Some(Stage::Verified) => UpdatePhase::Verified,
            None if on_trial => UpdatePhase::Trial,
            None => UpdatePhase::Idle,
        };
        let manifest = progress.seen;
        cx.publish(Topic::UpdateState(kind), |envelope| UpdateState {
            envelope,
            installed_version: installed,
            latest_version: latest,
            in_progress: percentage.is_some(),
            update_percentage: percentage,
            phase,
            error,
            manifest,
        });
    }

    /// The link stands: says where all of them are, and asks for what is missing.
    pub fn updates_connected(&mut self, cx: &mut Cx<'_>) {
        for kind in UpdateKind::ALL {
            self.publish_update(cx, kind);
            self.ask_on_connection(cx, kind);
        }
    }

    /// Publishes how the updates are.
    pub fn publish_updates(&mut self, cx: &mut Cx<'_>) {
        for kind in UpdateKind::ALL {
            self.publish_update(cx, kind);
        }
    }

    /// Asks again where nothing came, has whole files looked at, and ends trials.
    pub fn updates_tick(&mut self, cx: &mut Cx<'_>) {
        for kind in UpdateKind::ALL {
            self.ask_again_when_due(cx, kind);
            let training = self.training_runs;
            let Some(fetch) = &mut self.updates.of(kind).fetch else { continue };
            // The version of the next head and the champion are a training's to change until it has ended.
            if fetch.stage == Stage::Whole && (kind == UpdateKind::Backbone || !training) && !cx.is_stopping() {
                fetch.stage = Stage::Checking;
                let manifest = Box::new(fetch.manifest.clone());
                let task = task_of(cx, &manifest);
                cx.of(&task).post(Fact::UpdateWhole(manifest));
            }
        }
        self.end_trial_when_due(cx);
    }
}

/// The task that an accepted update is for.
fn task_of(cx: &Cx<'_>, manifest: &Manifest) -> TaskId {
    let asked = match &manifest.contents {
        Contents::Head { task, .. } => task.as_ref(),
        Contents::Backbone { .. } => None,
    };
    cx.settings().task_meant(asked).unwrap_or_else(|_| cx.settings().first_task())
}
