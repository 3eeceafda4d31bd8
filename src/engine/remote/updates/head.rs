//! A head that came as an update: into service by the way of a training's challenger, and out of it again when it does
//! not hold.
//!
//! It is on trial until the daemon has run for a minute with it. Three starts without that, a file that cannot be
//! served, and any rollback later on (asked for, or because audited accuracy fell) take it back; that version is not
//! installed again.

use super::super::super::context::Cx;
use super::super::super::fact::Fact;
use super::super::Remote;
use super::super::probation::{PROBATION, Probation, failed_by_starts};
use super::fetch::Stage;
use super::{FAILED_MAX, Refused};
use crate::update::{Code, Installed, Manifest, Refusal};
use crate::wire::{AlertId, EventKind, Severity, UpdateKind};
use crate::words::{Component, HeadRef};

const KIND: UpdateKind = UpdateKind::Head;

impl Remote {
    /// The head was compared with one that no longer serves: it has to be compared again.
    pub fn update_head_outdated(&mut self) {
        if let Some(fetch) = &mut self.updates.of(KIND).fetch {
            fetch.stage = Stage::Whole;
        }
    }

    /// The head is worse than the one in service.
    pub fn update_head_refused(&mut self, cx: &mut Cx<'_>, reason: String) {
        self.fail_update(cx, KIND, Refusal::new(Code::Worse, reason));
    }

    /// The head serves; it is on probation.
    pub fn update_head_installed(&mut self, cx: &mut Cx<'_>, head: HeadRef) {
        let progress = self.updates.of(KIND);
        let Some(fetch) = &progress.fetch else { return };
        let Manifest { name, version, sha256, .. } = fetch.manifest.clone();
        let memory = &mut progress.memory;
        memory.former = memory.installed.replace(Installed { name, version, sha256 });
        (memory.head, memory.trial, memory.refused) = (Some(head), Some(Probation::under_way(())), None);
        self.updates.trial_since = cx.now.mono;
        self.drop_update(cx, KIND);
        self.publish_update(cx, KIND);
    }

    /// The daemon starts: too often without a minute's service in between takes a head on trial back.
    pub fn count_start(&mut self, cx: &mut Cx<'_>, champion: Option<&HeadRef>) {
        let memory = &mut self.updates.of(KIND).memory;
        // Somebody may have put another one in service while the daemon did not run.
        let on_trial = memory.head.as_ref() == champion;
        let Some(trial) = memory.trial.as_mut() else { return };
        let goes_on = trial.count_start();
        memory.trial = memory.trial.take().filter(|_| on_trial);
        self.write_update(cx, KIND);
        if on_trial && !goes_on {
            cx.post(Fact::UpdateHeadFailed { reason: failed_by_starts() });
        }
    }

    /// The daemon ends by will, which says nothing against the head: the start that follows does not count.
    pub fn uncount_head_start(&mut self, cx: &mut Cx<'_>) {
        let memory = &mut self.updates.of(KIND).memory;
        if let Some(trial) = &mut memory.trial {
            trial.uncount_start();
            self.write_update(cx, KIND);
        }
    }

    pub fn end_trial_when_due(&mut self, cx: &mut Cx<'_>) {
        if cx.now.mono.saturating_sub(self.updates.trial_since) < PROBATION {
            return;
        }
        let memory = &mut self.updates.of(KIND).memory;
        if memory.trial.take().is_some() {
            self.write_update(cx, KIND);
            self.publish_update(cx, KIND);
        }
    }

    /// A head that was to serve cannot be read.
    pub fn head_load_failed(&mut self, cx: &mut Cx<'_>, version: u64, reason: &str) {
        let memory = &self.updates.of(KIND).memory;
        let on_trial = memory.trial.is_some() && memory.head.as_ref().is_some_and(|head| head.version == version);
        if on_trial {
            cx.post(Fact::UpdateHeadFailed { reason: reason.to_owned() });
        } else {
            let text = format!("head {version} does not serve: {reason}; train, or roll back to one that is kept");
            cx.error(Component::Serve, text.clone());
            cx.raise(AlertId::Model, Severity::Error, text);
        }
    }

    /// A head went out of service by a rollback: if it came as an update, that version does not come again.
    pub fn update_rolled_back(&mut self, cx: &mut Cx<'_>, from: &HeadRef, reason: &str) {
        let memory = &mut self.updates.of(KIND).memory;
        if memory.head.as_ref() != Some(from) {
            return;
        }
        (memory.head, memory.trial) = (None, None);
        let Some(Installed { name, version, .. }) = std::mem::replace(&mut memory.installed, memory.former.take())
        else {
            return;
        };
        memory.failed.push(version);
        let excess = memory.failed.len().saturating_sub(FAILED_MAX);
        memory.failed.drain(..excess);
        let refusal = Refusal::new(Code::DidNotHold, reason);
        memory.refused = Some(Refused { manifest: None, refusal });
        self.write_update(cx, KIND);
        let (code, reason) = (Code::DidNotHold.as_str().to_owned(), reason.to_owned());
        let (kind, name, version) = (KIND, Some(name), Some(version));
        cx.emit_event(EventKind::UpdateFailed { kind, name, version, code, reason });
        self.publish_update(cx, KIND);
    }
}
