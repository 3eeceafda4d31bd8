//! A backbone that came as an update: from a whole file to a memory of what is installed. How it takes over is
//! [`super::super::backbone_swap`]'s matter.

use super::super::super::context::Cx;
use super::super::super::fact::Fact;
use super::super::Remote;
use super::super::backbone_swap::SwapOrder;
use super::fetch::Stage;
use super::{FAILED_MAX, Refused};
use crate::update::{Code, Contents, Installed, Manifest, Refusal};
use crate::wire::{EventKind, UpdateKind};
use crate::words::Digest;

const KIND: UpdateKind = UpdateKind::Backbone;

impl Remote {
    /// The file is what its signed manifest says: it is prepared beside the present one, unless it is in use.
    pub fn backbone_verified(&mut self, cx: &mut Cx<'_>, manifest: &Manifest) {
        let Contents::Backbone { manifest: keys } = &manifest.contents else { return };
        if self.backbone.uses(manifest.sha256) {
            let reason = "its model file is in use, or is restored when the one in use fails its probation; sign \
                          another file";
            return self.fail_update(cx, KIND, Refusal::new(Code::NotPossible, reason));
        }
        let (sha256, name) = (manifest.sha256, manifest.name.clone());
        cx.post(Fact::BackboneVerified(Box::new(SwapOrder { sha256, name, manifest: keys.clone(), version: 0 })));
        self.publish_update(cx, KIND);
    }

    /// It was compared with a head that no longer serves: it is compared with the one that does; its embeddings are kept.
    pub fn backbone_outdated(&mut self, cx: &mut Cx<'_>) {
        let Some(fetch) = &self.updates.of(KIND).fetch else { return };
        let manifest = fetch.manifest.clone();
        self.backbone_verified(cx, &manifest);
    }

    /// Whether the backbone with this model is the one that is being readied.
    pub fn is_next(&mut self, sha256: Digest) -> bool {
        let fetch = self.updates.of(KIND).fetch.as_ref();
        fetch.is_some_and(|fetch| fetch.stage == Stage::Verified && fetch.manifest.sha256 == sha256)
    }

    /// It takes over; it is on trial until [`Remote::backbone_held`].
    pub fn backbone_taken(&mut self, cx: &mut Cx<'_>) {
        let progress = self.updates.of(KIND);
        let Some(fetch) = &progress.fetch else { return };
        let Manifest { name, version, sha256, .. } = fetch.manifest.clone();
        let memory = &mut progress.memory;
        memory.former = memory.installed.replace(Installed { name, version, sha256 });
        memory.refused = None;
        self.swap_progress = None;
        self.drop_update(cx, KIND);
        self.publish_update(cx, KIND);
    }

    /// It has proved itself.
    pub fn backbone_held(&mut self, cx: &mut Cx<'_>) {
        self.publish_update(cx, KIND);
    }

    /// It had to go again: that version does not come back.
    pub fn backbone_did_not_hold(&mut self, cx: &mut Cx<'_>, reason: &str) {
        let memory = &mut self.updates.of(KIND).memory;
        let former = memory.former.take();
        let Some(Installed { name, version, .. }) = std::mem::replace(&mut memory.installed, former) else { return };
        memory.failed.push(version);
        let excess = memory.failed.len().saturating_sub(FAILED_MAX);
        memory.failed.drain(..excess);
        memory.refused = Some(Refused { manifest: None, refusal: Refusal::new(Code::DidNotHold, reason) });
        self.write_update(cx, KIND);
        let (code, reason) = (Code::DidNotHold.as_str().to_owned(), reason.to_owned());
        let (name, version) = (Some(name), Some(version));
        cx.emit_event(EventKind::UpdateFailed { kind: KIND, name, version, code, reason });
    }
}
