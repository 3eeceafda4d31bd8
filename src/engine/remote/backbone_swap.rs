//! Replacing the backbone: the new one is prepared beside the current one, compared with it, and put in service by a
//! restart of everything but the link, and on [`Probation`] until the daemon has worked with it.
//!
//! What it costs (embedding every stored image again) is paid before the switch, while the old pair serves; the gate
//! ([`crate::eval::gate`]) judges the new pair on the same images. When it fails its probation, the previous backbone
//! and its head come back in one commit.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::startup::ServedBackbone;
use super::super::step::Act;
use super::super::write::{HeadStatus, Write};
use super::Remote;
use super::backbone_switch::{BackboneSwitch, SwitchEnd};
use super::{PROBATION, Probation, failed_by_starts};
use crate::eval::gate::Verdict;
use crate::head::{BackboneRef, HeadRecord};
use crate::update::{Code, Refusal};
use crate::wire::{EventKind, UpdateKind};
use crate::words::{Digest, EmbeddingSpace, TaskId, Timestamp};

/// What is remembered of backbones.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BackboneState {
    /// The one that took over on this device; `None` for the configuration's own.
    pub installed: Option<InstalledBackbone>,
    /// While the daemon has not worked with it: what was before.
    pub trial: Option<Probation<PreviousBackbone>>,
    /// Why the last one was rolled back, until that was reported.
    pub reverted: Option<RevertedBackbone>,
    /// What served when the daemon last worked; stores of older versions do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<ServedBackbone>,
    /// The switch that is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<BackboneSwitch>,
    /// How the last switch ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switched: Option<SwitchEnd>,
}

/// A backbone that took over on this device: a signed update, or one that a person switched to. Its files are in the
/// state folder, so that it depends on nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledBackbone {
    /// What its files are called: the SHA-256 of the model of an update, [`BackboneSwitch::files`] of the others.
    #[serde(rename = "sha256")]
    pub files: Digest,
    /// Its manifest in the state folder.
    pub manifest: PathBuf,
    /// The value of `backbone.model` when it came: where a person changes it later, the new value wins.
    pub over: String,
    /// What a person asked for; `None` where it came as an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// What is restored when a backbone fails its probation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PreviousBackbone {
    /// The one before.
    pub installed: Option<InstalledBackbone>,
    /// Version of the head of the default task that served with it.
    pub champion: Option<u64>,
    /// Those of other tasks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub champions: BTreeMap<TaskId, u64>,
}

impl PreviousBackbone {
    fn new(installed: Option<InstalledBackbone>, mut champions: BTreeMap<TaskId, u64>) -> Self {
        let champion = champions.remove(&TaskId::default());
        Self { installed, champion, champions }
    }

    fn champions(self) -> impl Iterator<Item = (TaskId, u64)> {
        self.champion.map(|version| (TaskId::default(), version)).into_iter().chain(self.champions)
    }
}

/// A backbone that had to go again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertedBackbone {
    /// What its files are called.
    #[serde(rename = "sha256")]
    pub files: Digest,
    /// Why.
    pub reason: String,
    /// What a person asked for; `None` where it came as an update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
}

/// A backbone to ready.
#[derive(Debug, Clone, PartialEq)]
pub struct SwapOrder {
    /// What its files are called.
    pub files: Digest,
    /// The name that the backbone gets.
    pub name: String,
    /// The keys of its manifest but for name, file and digest.
    pub manifest: serde_json::Value,
    /// Where its model is.
    pub model: ModelSource,
    /// The versions that its heads get, by task.
    pub versions: BTreeMap<TaskId, u64>,
}

/// Where the model of a backbone is that is prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// In the chunks of the store, whole and as signed.
    Chunks,
    /// In a file, of which a copy is made.
    File {
        /// Its path.
        path: PathBuf,
        /// What its bytes must hash to.
        sha256: Digest,
        /// The embeddings that come out of it, with its manifest.
        space: EmbeddingSpace,
    },
}

/// A backbone that is ready, with a head for each task on its embeddings.
#[derive(Debug, Clone)]
pub struct SwapResult {
    /// What its files are called.
    pub files: Digest,
    /// It.
    pub backbone: BackboneRef,
    /// Its manifest in the state folder.
    pub manifest: PathBuf,
    /// Its heads; each has its verdict.
    pub pairs: Vec<SwapPair>,
    /// Stored images that it has embedded.
    pub embedded: u64,
    /// Stored images of which no file can be read any more.
    pub missing: u64,
}

/// A backbone with the head of one task, compared with what serves.
#[derive(Debug, Clone)]
pub struct SwapPair {
    /// The task.
    pub task: TaskId,
    /// The head; `None` with too few labels for one.
    pub challenger: Option<HeadRecord>,
    /// The gate's verdict on the pair.
    pub verdict: Verdict,
    /// Version of the champion that the pair was compared with; `None` where none served.
    pub against: Option<u64>,
}

impl SwapResult {
    /// Whether it takes over: where it is worse for one task, it does not.
    pub(in crate::engine) fn is_accepted(&self) -> bool {
        self.pairs.iter().all(|pair| pair.verdict.promote)
    }

    /// Why, as text: of several tasks, those that decided.
    fn reason(&self) -> String {
        if let [only] = &self.pairs[..] {
            return only.verdict.reason.clone();
        }
        let decided = self.pairs.iter().filter(|pair| pair.verdict.promote == self.is_accepted());
        decided.map(|pair| format!("{}: {}", pair.task, pair.verdict.reason)).collect::<Vec<_>>().join("; ")
    }

    fn images(&self) -> String {
        format!("{} images embedded again, {} have no file any more", self.embedded, self.missing)
    }
}

impl BackboneState {
    /// The effective `backbone.model`, given the configuration.
    pub fn model(&self, configured: &str) -> Option<&InstalledBackbone> {
        self.installed.as_ref().filter(|installed| installed.over == configured)
    }

    /// Whether the files that are called so are those of the backbone in force, or of the one that is restored when that
    /// one fails its probation.
    pub(super) fn uses(&self, files: Digest) -> bool {
        let before = self.trial.as_ref().and_then(|trial| trial.before.installed.as_ref());
        self.installed.iter().chain(before).any(|installed| installed.files == files)
    }

    /// Whether the files in the state folder that are called so are needed: for the backbone in force, the one before it,
    /// or a switch that is under way. Those of an update are made anew from its chunks.
    #[must_use]
    pub fn keeps(&self, files: Digest) -> bool {
        self.uses(files) || self.switch.as_ref().is_some_and(|switch| switch.files() == files)
    }

    /// A start with this memory: what has to be made durable before it is tried. Nothing when none is on trial.
    #[must_use]
    pub fn starting(&mut self, at: Timestamp) -> Vec<Write> {
        let Some(trial) = &mut self.trial else { return Vec::new() };
        if trial.count_start() {
            return vec![Write::BackboneState(Box::new(self.clone()))];
        }
        self.revert(&failed_by_starts(), at)
    }

    /// The backbone did not work: the previous one and its head are restored. Nothing when none is on probation.
    #[must_use]
    pub fn revert(&mut self, reason: &str, at: Timestamp) -> Vec<Write> {
        let Some(Probation { before, .. }) = self.trial.take() else { return Vec::new() };
        let former = std::mem::replace(&mut self.installed, before.installed.clone());
        if let Some(InstalledBackbone { files, asked, .. }) = former {
            self.reverted = Some(RevertedBackbone { files, reason: reason.to_owned(), asked });
        }
        let champions = before.champions().map(|(task, version)| {
            let reason = format!("back in service: the new backbone was rolled back: {reason}");
            Write::HeadStatus { task, version, status: HeadStatus::Champion, reason, at }
        });
        champions.chain([Write::BackboneState(Box::new(self.clone()))]).collect()
    }
}

impl Remote {
    /// The next backbone is ready, and the gate has judged it with its head.
    pub fn swap_ready(&mut self, cx: &mut Cx<'_>, result: SwapResult) {
        if !self.is_next(result.files) || cx.is_stopping() {
            return;
        }
        cx.post(Fact::BackboneCompared(Box::new(result)));
    }

    /// The gate keeps it out.
    pub fn backbone_refused(&mut self, cx: &mut Cx<'_>, result: &SwapResult) {
        let reason = format!("{}; {}", result.reason(), result.images());
        self.swap_failed(cx, result.files, Code::Worse, reason);
    }

    /// The heads that come back if the backbone on trial has to go again.
    pub fn former_champions(&self) -> impl Iterator<Item = (TaskId, u64)> {
        self.backbone.trial.iter().flat_map(|trial| trial.before.clone().champions())
    }

    /// Its heads are champions in the place of the `former` ones: it takes over by a restart.
    pub fn backbone_accepted(&mut self, cx: &mut Cx<'_>, result: SwapResult, former: BTreeMap<TaskId, u64>) {
        let reason = format!("{}; {}", result.reason(), result.images());
        let SwapResult { files, backbone, manifest, .. } = result;
        let former = PreviousBackbone::new(self.backbone.installed.take(), former);
        let over = cx.settings().backbone_model.clone();
        let asked = self.switch_accepted(cx, files, &reason);
        let is_update = asked.is_none();
        self.backbone.installed = Some(InstalledBackbone { files, manifest, over, asked });
        self.backbone.trial = Some(Probation::new(former));
        self.backbone.reverted = None;
        cx.write(Write::BackboneState(Box::new(self.backbone.clone())));
        self.swap_progress = None;
        if is_update {
            self.backbone_taken(cx);
        }
        self.restart(cx, EventKind::BackboneChanged { backbone, reason });
    }

    /// The next backbone is not taken; its files go, its embeddings stay until another backbone takes over.
    pub fn swap_failed(&mut self, cx: &mut Cx<'_>, files: Digest, code: Code, reason: String) {
        if !self.is_next(files) {
            return;
        }
        self.swap_progress = None;
        if self.switches_to(files) {
            return self.switch_failed(cx, code, reason);
        }
        self.delete_backbone(cx, files);
        self.fail_update(cx, UpdateKind::Backbone, Refusal::new(code, reason));
    }

    /// At startup: reports a backbone that was rolled back.
    pub fn report_reverted(&mut self, cx: &mut Cx<'_>) {
        let Some(RevertedBackbone { files, reason, asked }) = self.backbone.reverted.take() else { return };
        if asked.is_some() {
            self.switch_reverted(cx, &reason);
        }
        cx.write(Write::BackboneState(Box::new(self.backbone.clone())));
        self.delete_backbone(cx, files);
        if asked.is_none() {
            self.backbone_did_not_hold(cx, &reason);
        }
    }

    /// The next backbone gets on.
    pub fn swap_progress(&mut self, cx: &mut Cx<'_>, embedded: u64, of: u64) {
        let percent = |(embedded, of): (u64, u64)| 100 * embedded / of.max(1);
        let said = self.swap_progress.replace((embedded, of)).map(percent);
        if said != Some(percent((embedded, of))) && self.backbone.switch.is_none() {
            self.publish_update(cx, UpdateKind::Backbone);
        }
    }

    /// Ends a trial that the daemon has lived through; what was before is not gone back to from then on.
    pub fn confirm_backbone(&mut self, cx: &mut Cx<'_>) {
        if cx.uptime() < PROBATION {
            return;
        }
        let Some(trial) = self.backbone.trial.take() else { return };
        if let Some(former) = trial.before.installed {
            self.delete_backbone(cx, former.files);
        }
        self.backbone.served = Some(cx.settings().served());
        cx.write(Write::BackboneState(Box::new(self.backbone.clone())));
        cx.write(Write::DeleteOtherSpaces);
        self.backbone_held(cx);
    }

    /// Removes the files of a backbone that is neither in force nor comes back.
    pub(super) fn delete_backbone(&self, cx: &mut Cx<'_>, files: Digest) {
        if !self.backbone.uses(files) {
            cx.act(Act::DeleteBackbone(files));
        }
    }
}
