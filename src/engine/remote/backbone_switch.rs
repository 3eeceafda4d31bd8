//! A person asks for another backbone (`request/switch`): it is prepared, judged and put in service as one that came as an
//! update is ([`super::backbone_swap`]); its model comes from a file of this device instead of signed chunks.
//!
//! A switch is durable before anything is done for it, so it goes on after a restart, a crash included, until it is
//! accepted, refused, or cancelled by another value of `backbone.model`. It and an update of the backbone exclude each
//! other, and neither begins while a backbone is on probation.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::write::Write;
use super::Remote;
use super::backbone_swap::{ModelSource, SwapOrder};
use crate::head::BackboneRef;
use crate::update::{Code, Refusal};
use crate::wire::command::{Spec as _, Switch};
use crate::wire::{Answer, ErrorCode, EventKind, SwitchPhase, SwitchReport, Switching, UpdateKind};
use crate::words::{Digest, EmbeddingSpace, Timestamp};

/// A backbone of this device that was looked up for a switch.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundBackbone {
    /// What was asked for.
    pub asked: String,
    /// The backbone.
    pub backbone: BackboneRef,
    /// Its embeddings.
    pub space: EmbeddingSpace,
    /// The file of its model, absolute.
    pub model: PathBuf,
    /// Bytes of that.
    pub bytes: u64,
    /// The keys of its manifest but for name, file and digest.
    pub manifest: serde_json::Value,
}

/// A switch that is under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackboneSwitch {
    /// What was asked for.
    pub asked: String,
    /// The backbone.
    pub backbone: BackboneRef,
    /// Its embeddings.
    pub space: EmbeddingSpace,
    /// The file of its model, absolute.
    pub model: PathBuf,
    /// The keys of its manifest but for name, file and digest.
    pub manifest: serde_json::Value,
    /// The value of `backbone.model` when it was asked for.
    pub over: String,
    /// When that was.
    pub since: Timestamp,
}

/// How a switch ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchEnd {
    /// What was asked for.
    pub asked: String,
    /// The name of this backbone in reports.
    pub name: String,
    /// Its embeddings.
    pub space: EmbeddingSpace,
    /// How it ended; `installed` from its acceptance on.
    pub phase: SwitchPhase,
    /// Why, in words and numbers.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

impl BackboneSwitch {
    /// What its files in the state folder are called: several manifests can share one model, at different sizes for
    /// instance, but none their embeddings.
    #[must_use]
    pub fn files(&self) -> Digest {
        let EmbeddingSpace { backbone, preprocessing, dim } = self.space;
        Digest::of(format!("{backbone} {preprocessing} {dim}").as_bytes())
    }

    fn ended(self, phase: SwitchPhase, reason: &str, at: Timestamp) -> SwitchEnd {
        let Self { asked, backbone: BackboneRef { name, .. }, space, .. } = self;
        SwitchEnd { asked, name, space, phase, reason: reason.to_owned(), at }
    }
}

impl Remote {
    /// Begins a switch to a backbone that was found.
    pub fn switch_to(&mut self, cx: &mut Cx<'_>, found: FoundBackbone) -> Answer {
        let backbone = found.backbone.clone();
        if found.space == cx.settings().space_on_cpu {
            self.cancel_switch(cx, "the backbone in service was asked for");
            return Switch::answer(&Switching { backbone, begun: false });
        }
        match &self.backbone.switch {
            Some(switch) if switch.space == found.space => {}
            Some(switch) => return not_possible(&self.under_way(switch)),
            None => {
                if let Err(reason) = self.may_switch(cx, &found) {
                    return not_possible(&reason);
                }
                self.begin_switch(cx, found);
            }
        }
        Switch::answer(&Switching { backbone, begun: true })
    }

    /// Whether nothing is in the way of a switch.
    fn may_switch(&mut self, cx: &Cx<'_>, found: &FoundBackbone) -> Result<(), String> {
        if self.backbone.trial.is_some() {
            return Err(
                "the backbone in service is on probation until it has served for a minute; ask again then".into()
            );
        }
        if let Some(update) = self.backbone_update() {
            return Err(format!(
                "the update {update} of the backbone is under way; wait until update/backbone/state is idle, or cancel it \
                 by an empty message on update/backbone/desired"
            ));
        }
        // Unlike that of an update, its model is there once.
        let room = cx.settings().updates.bytes_max.saturating_mul(2);
        if found.bytes > room {
            let (bytes, model) = (found.bytes, found.model.display());
            return Err(format!(
                "{model} has {bytes} bytes, the state folder has room for a model of {room}; raise store.quota_mb"
            ));
        }
        Ok(())
    }

    fn begin_switch(&mut self, cx: &mut Cx<'_>, found: FoundBackbone) {
        let FoundBackbone { asked, backbone, space, model, manifest, bytes: _ } = found;
        let (over, since) = (cx.settings().backbone_model.clone(), cx.now.wall);
        self.backbone.switch = Some(BackboneSwitch { asked, backbone, space, model, manifest, over, since });
        self.backbone.switched = None;
        cx.write(Write::BackboneState(Box::new(self.backbone.clone())));
        self.prepare_switch(cx);
    }

    /// Has the backbone of the switch prepared beside the one in service, or goes on with that.
    pub fn prepare_switch(&mut self, cx: &mut Cx<'_>) {
        let Some(switch) = &self.backbone.switch else { return };
        let BackboneSwitch { backbone, space, model, manifest, .. } = switch.clone();
        let model = ModelSource::File { path: model, sha256: backbone.sha256, space };
        let (files, name) = (switch.files(), backbone.name);
        cx.post(Fact::BackboneVerified(Box::new(SwapOrder {
            files,
            name,
            manifest,
            model,
            versions: BTreeMap::new(),
        })));
    }

    /// At startup: goes on with the switch, unless its time has passed.
    pub fn resume_switch(&mut self, cx: &mut Cx<'_>) {
        let Some(switch) = &self.backbone.switch else { return };
        let (is_changed, serves) =
            (switch.over != cx.settings().backbone_model, switch.space == cx.settings().space_on_cpu);
        if is_changed || serves {
            self.cancel_switch(cx, if serves { "it serves by now" } else { "backbone.model was changed meanwhile" });
        } else {
            self.prepare_switch(cx);
        }
    }

    /// Whether the files of the switch that is under way are called so.
    pub(super) fn switches_to(&self, files: Digest) -> bool {
        self.backbone.switch.as_ref().is_some_and(|switch| switch.files() == files)
    }

    /// What keeps an update of the backbone out: a switch that is under way.
    pub(super) fn refused_by_switch(&self) -> Result<(), Refusal> {
        let switch = self.backbone.switch.as_ref();
        switch.map_or(Ok(()), |switch| Err(Refusal::new(Code::Switching, self.under_way(switch))))
    }

    fn under_way(&self, switch: &BackboneSwitch) -> String {
        let asked = &switch.asked;
        let done = self
            .swap_progress
            .map_or(String::new(), |(embedded, of)| format!(" ({embedded} of {of} images are embedded)"));
        format!(
            "a switch to the backbone {asked} is under way{done}; send it again when 'edgetuned ctl status' shows its end"
        )
    }

    /// The backbone that is accepted is the one of the switch: what was asked for.
    pub(super) fn switch_accepted(&mut self, cx: &Cx<'_>, files: Digest, reason: &str) -> Option<String> {
        if !self.switches_to(files) {
            return None;
        }
        let end = self.backbone.switch.take()?.ended(SwitchPhase::Installed, reason, cx.now.wall);
        let asked = end.asked.clone();
        self.backbone.switched = Some(end);
        Some(asked)
    }

    /// The backbone of the switch is not taken, or cannot be.
    pub(super) fn switch_failed(&mut self, cx: &mut Cx<'_>, code: Code, reason: String) {
        let phase = if code == Code::Worse { SwitchPhase::Refused } else { SwitchPhase::Failed };
        let Some(asked) = self.end_switch(cx, phase, &reason) else { return };
        report(cx, asked, code, reason);
    }

    /// The backbone of the last switch did not hold; the former one serves again.
    pub(super) fn switch_reverted(&mut self, cx: &mut Cx<'_>, reason: &str) {
        let Some(end) = &mut self.backbone.switched else { return };
        (end.phase, end.reason, end.at) = (SwitchPhase::Reverted, reason.to_owned(), cx.now.wall);
        let asked = end.asked.clone();
        report(cx, asked, Code::DidNotHold, reason.to_owned());
    }

    fn cancel_switch(&mut self, cx: &mut Cx<'_>, reason: &str) {
        self.end_switch(cx, SwitchPhase::Cancelled, reason);
    }

    /// Ends the switch and removes its files; what was asked for.
    fn end_switch(&mut self, cx: &mut Cx<'_>, phase: SwitchPhase, reason: &str) -> Option<String> {
        let switch = self.backbone.switch.take()?;
        let (files, asked) = (switch.files(), switch.asked.clone());
        self.backbone.switched = Some(switch.ended(phase, reason, cx.now.wall));
        self.swap_progress = None;
        cx.write(Write::BackboneState(Box::new(self.backbone.clone())));
        self.delete_backbone(cx, files);
        Some(asked)
    }

    /// The switch that is under way, or the last one, for people.
    pub fn switch_report(&self, cx: &Cx<'_>) -> Option<SwitchReport> {
        if let Some(BackboneSwitch { asked, backbone, since, .. }) = &self.backbone.switch {
            let (embedded, of) = self.swap_progress.unzip();
            let (backbone, name, phase) = (asked.clone(), backbone.name.clone(), SwitchPhase::Preparing);
            return Some(SwitchReport { backbone, name, phase, embedded, of, reason: None, since: *since });
        }
        let SwitchEnd { asked: backbone, name, space, phase, reason, at: since } = self.backbone.switched.clone()?;
        let phase = match phase {
            SwitchPhase::Installed if self.backbone.trial.is_some() => {
                if space == cx.settings().space_on_cpu {
                    SwitchPhase::Trial
                } else {
                    SwitchPhase::Starting
                }
            }
            phase => phase,
        };
        Some(SwitchReport { backbone, name, phase, embedded: None, of: None, reason: Some(reason), since })
    }
}

fn not_possible(reason: &str) -> Answer {
    Answer::error(ErrorCode::NotPossible, reason)
}

/// Reports a switch that came to nothing, as an update that did.
fn report(cx: &mut Cx<'_>, asked: String, code: Code, reason: String) {
    let (kind, code) = (UpdateKind::Backbone, code.as_str().to_owned());
    cx.emit_event(EventKind::UpdateFailed { kind, name: Some(asked), version: None, code, reason });
}
