//! From a verified file to an installed update, and back when it fails its probation.
//!
//! A head comes into service like a training's challenger. It is on probation until the daemon has run for a minute with
//! it: three starts without that, a file that cannot be served, and any later rollback (on request, or because audited
//! accuracy fell) take it back, and that version is not installed again. A backbone is prepared by
//! [`super::super::backbone_swap`]; what is remembered of it is here.

use std::collections::BTreeMap;

use super::super::super::context::Cx;
use super::super::super::fact::Fact;
use super::super::backbone_swap::{ModelSource, SwapOrder};
use super::super::{PROBATION, Probation, Remote, failed_by_starts};
use super::fetch::Stage;
use super::{FAILED_MAX, Refused};
use crate::update::{Code, Contents, Installed, Manifest, Refusal};
use crate::wire::{EventKind, Severity, TaskAlert, UpdateKind};
use crate::words::{Component, Digest, HeadRef, TaskId};

impl Remote {
    /// The head was compared with one that no longer serves: it has to be compared again.
    pub fn update_head_outdated(&mut self) {
        if let Some(fetch) = &mut self.updates.of(UpdateKind::Head).fetch {
            fetch.stage = Stage::Whole;
        }
    }

    /// The head is worse than the one in service.
    pub fn update_head_refused(&mut self, cx: &mut Cx<'_>, reason: String) {
        self.fail_update(cx, UpdateKind::Head, Refusal::new(Code::Worse, reason));
    }

    /// The head serves; it is on probation.
    pub fn update_head_installed(&mut self, cx: &mut Cx<'_>, head: HeadRef) {
        let progress = self.updates.of(UpdateKind::Head);
        let Some(fetch) = &progress.fetch else { return };
        let Manifest { name, version, sha256, .. } = fetch.manifest.clone();
        let memory = &mut progress.memory;
        memory.former = memory.installed.replace(Installed { name, version, sha256 });
        (memory.head, memory.trial, memory.refused) = (Some(head), Some(Probation::under_way(())), None);
        memory.task = cx.task_id();
        self.updates.trial_since = cx.now.mono;
        self.drop_update(cx, UpdateKind::Head);
        self.publish_update(cx, UpdateKind::Head);
    }

    /// The daemon starts: too often without a minute's service in between takes a head on trial back.
    pub fn count_start(&mut self, cx: &mut Cx<'_>, champions: &BTreeMap<TaskId, HeadRef>) {
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
        // Somebody may have put another one in service while the daemon did not run.
        let on_trial = memory.head.clone().filter(|head| champions.get(&memory.task) == Some(head));
        let Some(trial) = memory.trial.as_mut() else { return };
        let goes_on = trial.count_start();
        let task = memory.task.clone();
        memory.trial = memory.trial.take().filter(|_| on_trial.is_some());
        self.write_update(cx, UpdateKind::Head);
        if let Some(head) = on_trial.filter(|_| !goes_on) {
            cx.of(&task).post(Fact::UpdateHeadFailed { head, reason: failed_by_starts() });
        }
    }

    /// The daemon stops on purpose, which does not count against the head: the start that follows does not count.
    pub fn uncount_head_start(&mut self, cx: &mut Cx<'_>) {
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
        if let Some(trial) = &mut memory.trial {
            trial.uncount_start();
            self.write_update(cx, UpdateKind::Head);
        }
    }

    pub fn end_trial_when_due(&mut self, cx: &mut Cx<'_>) {
        if cx.now.mono.saturating_sub(self.updates.trial_since) < PROBATION {
            return;
        }
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
        if memory.trial.take().is_some() {
            self.write_update(cx, UpdateKind::Head);
            self.publish_update(cx, UpdateKind::Head);
        }
    }

    /// A head that was to serve cannot be read; `serves`: no other one took its place meanwhile.
    pub fn head_load_failed(&mut self, cx: &mut Cx<'_>, version: u64, serves: bool, reason: &str) {
        let memory = &self.updates.of(UpdateKind::Head).memory;
        let on_trial = memory.trial.as_ref().and(memory.head.clone());
        let on_trial = on_trial.filter(|head| head.version == version && memory.task == cx.task_id());
        if let Some(head) = on_trial {
            cx.post(Fact::UpdateHeadFailed { head, reason: reason.to_owned() });
        } else if serves {
            let text = format!("head {version} does not serve: {reason}; train, or roll back to one that is kept");
            cx.error(Component::Serve, text.clone());
            cx.raise_for_task(TaskAlert::Model, Severity::Error, text);
        }
    }

    /// A head went out of service by a rollback: if it came as an update, that version does not come again.
    pub fn update_rolled_back(&mut self, cx: &mut Cx<'_>, from: &HeadRef, reason: &str) {
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
        if memory.head.as_ref() != Some(from) || memory.task != cx.task_id() {
            return;
        }
        (memory.head, memory.trial) = (None, None);
        if self.take_back(cx, UpdateKind::Head, reason) {
            self.publish_update(cx, UpdateKind::Head);
        }
    }
}

impl Remote {
    /// The file is what its signed manifest says: it is prepared beside the present one, unless it is in use.
    pub fn backbone_verified(&mut self, cx: &mut Cx<'_>, manifest: &Manifest) {
        let Contents::Backbone { manifest: keys } = &manifest.contents else { return };
        if self.backbone.uses(manifest.sha256) {
            let reason = "its model file is in use, or is restored when the one in use fails its probation; sign \
                          another file";
            return self.fail_update(cx, UpdateKind::Backbone, Refusal::new(Code::NotPossible, reason));
        }
        let (files, name) = (manifest.sha256, manifest.name.clone());
        let (manifest, model) = (keys.clone(), ModelSource::Chunks);
        cx.post(Fact::BackboneVerified(Box::new(SwapOrder {
            files,
            name,
            manifest,
            model,
            versions: BTreeMap::new(),
        })));
        self.publish_update(cx, UpdateKind::Backbone);
    }

    /// It was compared with a head that no longer serves: it is compared with the one that does; its embeddings are kept.
    pub fn backbone_outdated(&mut self, cx: &mut Cx<'_>) {
        if self.backbone.switch.is_some() {
            return self.prepare_switch(cx);
        }
        let Some(fetch) = &self.updates.of(UpdateKind::Backbone).fetch else { return };
        let manifest = fetch.manifest.clone();
        self.backbone_verified(cx, &manifest);
    }

    /// Whether the backbone whose files are called so is the one that is being prepared.
    pub fn is_next(&mut self, files: Digest) -> bool {
        let fetch = self.updates.of(UpdateKind::Backbone).fetch.as_ref();
        let is_update = fetch.is_some_and(|fetch| fetch.stage == Stage::Verified && fetch.manifest.sha256 == files);
        is_update || self.switches_to(files)
    }

    /// The update of the backbone that is under way.
    pub fn backbone_update(&mut self) -> Option<String> {
        let Manifest { name, version, .. } = &self.updates.of(UpdateKind::Backbone).fetch.as_ref()?.manifest;
        Some(format!("{name} {version}"))
    }

    /// It takes over; it is on probation until [`Remote::backbone_held`].
    pub fn backbone_taken(&mut self, cx: &mut Cx<'_>) {
        let progress = self.updates.of(UpdateKind::Backbone);
        let Some(fetch) = &progress.fetch else { return };
        let Manifest { name, version, sha256, .. } = fetch.manifest.clone();
        let memory = &mut progress.memory;
        memory.former = memory.installed.replace(Installed { name, version, sha256 });
        memory.refused = None;
        self.drop_update(cx, UpdateKind::Backbone);
        self.publish_update(cx, UpdateKind::Backbone);
    }

    /// Its probation has ended.
    pub fn backbone_held(&mut self, cx: &mut Cx<'_>) {
        self.publish_update(cx, UpdateKind::Backbone);
    }

    /// Whether the backbone of an update is on probation.
    pub fn backbone_update_is_on_trial(&self) -> bool {
        self.backbone.trial.is_some() && self.backbone.installed.as_ref().is_none_or(|it| it.asked.is_none())
    }

    /// It was reverted: that version is not installed again.
    pub fn backbone_did_not_hold(&mut self, cx: &mut Cx<'_>, reason: &str) {
        self.take_back(cx, UpdateKind::Backbone, reason);
    }

    /// Takes back the installed update of this kind, if there is one, and does not install that version again.
    fn take_back(&mut self, cx: &mut Cx<'_>, kind: UpdateKind, reason: &str) -> bool {
        let memory = &mut self.updates.of(kind).memory;
        let former = memory.former.take();
        let Some(Installed { name, version, .. }) = std::mem::replace(&mut memory.installed, former) else {
            return false;
        };
        memory.failed.push(version);
        let excess = memory.failed.len().saturating_sub(FAILED_MAX);
        memory.failed.drain(..excess);
        memory.refused = Some(Refused { manifest: None, refusal: Refusal::new(Code::DidNotHold, reason) });
        self.write_update(cx, kind);
        let (code, reason) = (Code::DidNotHold.as_str().to_owned(), reason.to_owned());
        let (name, version) = (Some(name), Some(version));
        cx.emit_event(EventKind::UpdateFailed { kind, name, version, code, reason });
        true
    }
}
