//! Replacing the backbone: the new one is prepared beside the current one, compared with it, and put in service by a
//! restart of everything but the link, and on [`Probation`] until the daemon has worked with it.
//!
//! What it costs (embedding every stored image again) is paid before the switch, while the old pair serves; the gate
//! ([`crate::eval::gate`]) judges the new pair on the same images. When it fails its probation, the previous backbone
//! and its head come back in one commit.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::step::Act;
use super::super::write::{HeadStatus, Write};
use super::Remote;
use super::{PROBATION, Probation, failed_by_starts};
use crate::eval::gate::Verdict;
use crate::head::{BackboneRef, HeadRecord};
use crate::update::{Code, Refusal};
use crate::wire::{EventKind, UpdateKind};
use crate::words::{Digest, Timestamp};

/// What is remembered of backbones that came as updates.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct BackboneState {
    /// The one in force; `None` for the configuration's own.
    pub installed: Option<InstalledBackbone>,
    /// While the daemon has not worked with it: what was before.
    pub trial: Option<Probation<PreviousBackbone>>,
    /// Why the last one was rolled back, until that was reported.
    pub reverted: Option<RevertedBackbone>,
}

/// A backbone that came as an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledBackbone {
    /// SHA-256 of its model file.
    pub sha256: Digest,
    /// Its manifest in the state folder.
    pub manifest: PathBuf,
    /// The value of `backbone.model` when it came: where a person changes it later, the new value wins.
    pub over: String,
}

/// What is restored when a backbone fails its probation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PreviousBackbone {
    /// The one before.
    pub installed: Option<InstalledBackbone>,
    /// Version of the head that served with it.
    pub champion: Option<u64>,
}

/// A backbone that had to go again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevertedBackbone {
    /// SHA-256 of its model file.
    pub sha256: Digest,
    /// Why.
    pub reason: String,
}

/// A backbone to ready: its file is whole and as signed, in the chunks of the store.
#[derive(Debug, Clone, PartialEq)]
pub struct SwapOrder {
    /// SHA-256 of the model file.
    pub sha256: Digest,
    /// Name of the update; the backbone gets it.
    pub name: String,
    /// The keys of its manifest, as they were signed.
    pub manifest: serde_json::Value,
    /// The version that its head gets.
    pub version: u64,
}

/// A backbone that is ready, with a head on its embeddings.
#[derive(Debug, Clone)]
pub struct SwapResult {
    /// SHA-256 of the model file.
    pub sha256: Digest,
    /// It.
    pub backbone: BackboneRef,
    /// Its manifest in the state folder.
    pub manifest: PathBuf,
    /// The head; `None` with too few labels for one.
    pub challenger: Option<HeadRecord>,
    /// The gate's verdict on the pair.
    pub verdict: Verdict,
    /// Version of the champion that the pair was compared with; `None` where none served.
    pub against: Option<u64>,
    /// Stored images that it has embedded.
    pub embedded: u64,
    /// Stored images of which no file can be read any more.
    pub missing: u64,
}

impl SwapResult {
    fn images(&self) -> String {
        format!("{} images embedded again, {} have no file any more", self.embedded, self.missing)
    }
}

impl BackboneState {
    /// The effective `backbone.model`, given the configuration.
    pub fn model(&self, configured: &str) -> Option<&InstalledBackbone> {
        self.installed.as_ref().filter(|installed| installed.over == configured)
    }

    /// Whether the model with this SHA-256 is in force, or is restored when the one in force fails its probation.
    pub(super) fn uses(&self, sha256: Digest) -> bool {
        let before = self.trial.as_ref().and_then(|trial| trial.before.installed.as_ref());
        self.installed.iter().chain(before).any(|installed| installed.sha256 == sha256)
    }

    /// A start with this memory: what has to be made durable before it is tried. Nothing when none is on trial.
    #[must_use]
    pub fn starting(&mut self, at: Timestamp) -> Vec<Write> {
        let Some(trial) = &mut self.trial else { return Vec::new() };
        if trial.count_start() {
            return vec![Write::BackboneState(self.clone())];
        }
        self.revert(&failed_by_starts(), at)
    }

    /// The backbone did not work: the previous one and its head are restored. Nothing when none is on probation.
    #[must_use]
    pub fn revert(&mut self, reason: &str, at: Timestamp) -> Vec<Write> {
        let Some(Probation { before, .. }) = self.trial.take() else { return Vec::new() };
        if let Some(InstalledBackbone { sha256, .. }) = std::mem::replace(&mut self.installed, before.installed) {
            self.reverted = Some(RevertedBackbone { sha256, reason: reason.to_owned() });
        }
        let champion = before.champion.map(|version| {
            let reason = format!("back in service: the new backbone was rolled back: {reason}");
            Write::HeadStatus { version, status: HeadStatus::Champion, reason, at }
        });
        champion.into_iter().chain([Write::BackboneState(self.clone())]).collect()
    }
}

impl Remote {
    /// The next backbone is ready, and the gate has judged it with its head.
    pub fn swap_ready(&mut self, cx: &mut Cx<'_>, result: SwapResult) {
        if !self.is_next(result.sha256) || cx.is_stopping() {
            return;
        }
        cx.post(Fact::BackboneCompared(Box::new(result)));
    }

    /// The gate keeps it out.
    pub fn backbone_refused(&mut self, cx: &mut Cx<'_>, result: &SwapResult) {
        let reason = format!("{}; {}", result.verdict.reason, result.images());
        self.swap_failed(cx, result.sha256, Code::Worse, reason);
    }

    /// Its head is champion in the place of `former`: it takes over by a restart.
    pub fn backbone_accepted(&mut self, cx: &mut Cx<'_>, result: SwapResult, former: Option<u64>) {
        let images = result.images();
        let SwapResult { sha256, backbone, manifest, verdict, .. } = result;
        let former = PreviousBackbone { installed: self.backbone.installed.take(), champion: former };
        let over = cx.settings().backbone_model.clone();
        self.backbone.installed = Some(InstalledBackbone { sha256, manifest, over });
        self.backbone.trial = Some(Probation::new(former));
        self.backbone.reverted = None;
        cx.write(Write::BackboneState(self.backbone.clone()));
        self.backbone_taken(cx);
        self.restart(cx, EventKind::BackboneChanged { backbone, reason: format!("{}; {images}", verdict.reason) });
    }

    /// The next backbone is not taken; nothing of it stays.
    pub fn swap_failed(&mut self, cx: &mut Cx<'_>, sha256: Digest, code: Code, reason: String) {
        if self.is_next(sha256) {
            cx.act(Act::DeleteBackbone(sha256));
            self.fail_update(cx, UpdateKind::Backbone, Refusal::new(code, reason));
        }
    }

    /// At startup: reports a backbone that was rolled back.
    pub fn report_reverted(&mut self, cx: &mut Cx<'_>) {
        let Some(RevertedBackbone { sha256, reason }) = self.backbone.reverted.take() else { return };
        cx.write(Write::BackboneState(self.backbone.clone()));
        cx.act(Act::DeleteBackbone(sha256));
        self.backbone_did_not_hold(cx, &reason);
    }

    /// The next backbone gets on.
    pub fn swap_progress(&mut self, cx: &mut Cx<'_>, embedded: u64, of: u64) {
        let percent = |(embedded, of): (u64, u64)| 100 * embedded / of.max(1);
        let said = self.swap_progress.replace((embedded, of)).map(percent);
        if said != Some(percent((embedded, of))) {
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
            cx.act(Act::DeleteBackbone(former.sha256));
        }
        cx.write(Write::BackboneState(self.backbone.clone()));
        cx.write(Write::DeleteOtherSpaces);
        self.backbone_held(cx);
    }
}
