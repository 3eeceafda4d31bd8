//! A backbone that came as an update: its file is in the store, whole and as its manifest says.

use super::Engine;
use crate::update::{Code, Manifest, Refusal};
use crate::wire::UpdateKind;
use crate::words::Now;

impl Engine {
    /// What follows when a backbone's file was found to be what its signed manifest says. This version cannot switch
    /// to it: it says so, and drops the file.
    pub(super) fn backbone_verified(&mut self, now: Now, manifest: &Manifest) {
        let reason = format!(
            "backbone {} is whole and as signed, but this version does not switch to it; install it as a file and name \
             its manifest in backbone.model",
            manifest.told()
        );
        self.fail_update(now, UpdateKind::Backbone, Refusal::new(Code::NotPossible, reason));
    }
}
