//! A backbone that came as an update: from a whole file to a memory of what is installed. How it takes over is
//! [`super::super::succession`]'s matter.

use super::super::Engine;
use super::super::effect::Effect;
use super::super::succession::SuccessionOrder;
use super::fetch::Stage;
use super::{FAILED_MAX, Refused};
use crate::update::{Code, Contents, Installed, Manifest, Refusal};
use crate::wire::{Happening, UpdateKind};
use crate::words::{Digest, Now};

const KIND: UpdateKind = UpdateKind::Backbone;

impl Engine {
    /// The file is what its signed manifest says: it is readied beside the present one.
    pub(super) fn backbone_verified(&mut self, now: Now, manifest: &Manifest) {
        let Contents::Backbone { manifest: keys } = &manifest.contents else { return };
        let order = SuccessionOrder { sha256: manifest.sha256, name: manifest.name.clone(), manifest: keys.clone() };
        self.effects.push(Effect::Succeed(Box::new(order)));
        self.publish_update(now, KIND);
    }

    /// Whether the backbone with this model is the one that is being readied.
    pub(in crate::engine) fn is_next(&mut self, sha256: Digest) -> bool {
        let fetch = self.updates.of(KIND).fetch.as_ref();
        fetch.is_some_and(|fetch| fetch.stage == Stage::Verified && fetch.manifest.sha256 == sha256)
    }

    /// It takes over; it is on trial until [`Engine::backbone_held`].
    pub(in crate::engine) fn backbone_taken(&mut self, now: Now) {
        let progress = self.updates.of(KIND);
        let Some(fetch) = &progress.fetch else { return };
        let Manifest { name, version, sha256, .. } = fetch.manifest.clone();
        let memory = &mut progress.memory;
        memory.former = memory.installed.replace(Installed { name, version, sha256 });
        memory.refused = None;
        self.succeeding = None;
        self.drop_update(KIND);
        self.publish_update(now, KIND);
    }

    /// It has proved itself.
    pub(in crate::engine) fn backbone_held(&mut self, now: Now) {
        self.publish_update(now, KIND);
    }

    /// It had to go again: that version does not come back.
    pub(in crate::engine) fn backbone_did_not_hold(&mut self, now: Now, reason: &str) {
        let memory = &mut self.updates.of(KIND).memory;
        let former = memory.former.take();
        let Some(Installed { name, version, .. }) = std::mem::replace(&mut memory.installed, former) else { return };
        memory.failed.push(version);
        let excess = memory.failed.len().saturating_sub(FAILED_MAX);
        memory.failed.drain(..excess);
        memory.refused = Some(Refused { manifest: None, refusal: Refusal::new(Code::DidNotHold, reason) });
        self.write_update(KIND);
        let (code, reason) = (Code::DidNotHold.as_str().to_owned(), reason.to_owned());
        let (name, version) = (Some(name), Some(version));
        self.announce(now, Happening::UpdateFailed { kind: KIND, name, version, code, reason });
    }
}
