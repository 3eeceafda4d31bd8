//! A head that came as an update: into service by the way of a training's challenger, and out of it again when it does
//! not hold.
//!
//! It is on trial until the daemon has run for a minute with it. Three starts without that, a file that cannot be
//! served, and any rollback later on (asked for, or because audited accuracy fell) take it back; that version is not
//! installed again.

use super::super::effect::{Effect, HeadStatus, Write};
use super::super::event::CheckedHead;
use super::super::live::Measured;
use super::super::snapshot::HeadInfo;
use super::super::trial::{TRIAL, Trial, failed_by_starts};
use super::fetch::Stage;
use super::{Engine, FAILED_MAX, Refused};
use crate::update::{Code, Installed, Manifest, Refusal};
use crate::wire::{AlertId, Happening, Severity, UpdateKind};
use crate::words::{HeadRef, Now};

impl Engine {
    /// The file is a head that can answer here, and was held against the one in service.
    pub(super) fn head_checked(&mut self, now: Now, manifest: &Manifest, found: CheckedHead) {
        let kind = UpdateKind::Head;
        let champion = self.heads.champion().map(|champion| champion.head.version);
        if found.against != champion || self.schedule.running().is_some() {
            // Another head serves by now: it has to be held against that one.
            if let Some(fetch) = &mut self.updates.of(kind).fetch {
                fetch.stage = Stage::Whole;
            }
            return;
        }
        if !found.verdict.promote {
            return self.fail_update(now, kind, Refusal::new(Code::Worse, found.verdict.reason));
        }
        let reason = format!("update {}: {}", manifest, found.verdict.reason);
        let head = self.promote_update(now, found, reason);
        let memory = &mut self.updates.of(kind).memory;
        let Manifest { name, version, sha256, .. } = manifest.clone();
        memory.former = memory.installed.replace(Installed { name, version, sha256 });
        (memory.head, memory.trial, memory.refused) = (Some(head), Some(Trial::under_way(())), None);
        self.updates.trial_since = now.mono;
        self.drop_update(kind);
        self.publish_update(now, kind);
        self.publish_info(now);
    }

    /// Stores it under the next version and puts it in service.
    fn promote_update(&mut self, now: Now, found: CheckedHead, reason: String) -> HeadRef {
        let mut record = found.record;
        record.head.version = self.heads.next_version();
        let (head, measured) = (record.head.clone(), Measured::of(record.figures.as_ref()));
        self.heads.add(HeadInfo::of(&record, reason.clone()));
        self.write(Write::Head(Box::new(record)));
        self.promote(now, head.clone(), &measured, reason);
        for version in self.heads.prune(None) {
            self.write(Write::HeadForget { version });
        }
        self.ask(now, None);
        head
    }

    /// The daemon starts: too often without a minute's service in between takes a head on trial back.
    pub(super) fn count_start(&mut self, now: Now) {
        let champion = self.heads.champion().map(|champion| champion.head.clone());
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
        // Somebody may have put another one in service while the daemon did not run.
        let on_trial = memory.head == champion;
        let Some(trial) = memory.trial.as_mut() else { return };
        let goes_on = trial.begin();
        memory.trial = memory.trial.take().filter(|_| on_trial);
        self.write_update(UpdateKind::Head);
        if on_trial && !goes_on {
            self.take_head_back(now, &failed_by_starts());
        }
    }

    /// The daemon ends by will, which says nothing against the head: the start that follows does not count.
    pub(in crate::engine) fn stop_updates(&mut self) {
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
        if let Some(trial) = &mut memory.trial {
            trial.excuse();
            self.write_update(UpdateKind::Head);
        }
    }

    pub(super) fn end_trial_when_due(&mut self, now: Now) {
        if now.mono.saturating_sub(self.updates.trial_since) < TRIAL {
            return;
        }
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
        if memory.trial.take().is_some() {
            self.write_update(UpdateKind::Head);
            self.publish_update(now, UpdateKind::Head);
        }
    }

    /// A head that was to serve cannot be read.
    pub(in crate::engine) fn serving_failed(&mut self, now: Now, version: u64, reason: &str) {
        let memory = &self.updates.of(UpdateKind::Head).memory;
        let on_trial = memory.trial.is_some() && memory.head.as_ref().is_some_and(|head| head.version == version);
        if on_trial {
            self.take_head_back(now, reason);
        } else {
            let text = format!("head {version} does not serve: {reason}; train, or roll back to one that is kept");
            self.error(now, "serve", text.clone());
            self.raise(now, AlertId::Model, Severity::Error, text);
        }
    }

    /// The head before the one in service serves again, or none.
    fn take_head_back(&mut self, now: Now, why: &str) {
        if let Some(rollback) = self.heads.roll_back(self.clock.stamp(now.wall), why) {
            return self.rolled_back(now, rollback);
        }
        let Some(from) = self.heads.champion().map(|champion| champion.head.clone()) else { return };
        let reason = format!("head {} is taken out of service, and none was before it: {why}", from.version);
        self.set_status(now, from.version, HeadStatus::Rejected, reason.clone());
        self.live.serves(None, None);
        self.write_live();
        self.effects.push(Effect::Serve(None));
        self.announce(now, Happening::RolledBack { head: None, from: from.clone(), reason: reason.clone() });
        self.update_rolled_back(now, &from, &reason);
        self.publish_info(now);
    }

    /// A head went out of service by a rollback: if it came as an update, that version does not come again.
    pub(in crate::engine) fn update_rolled_back(&mut self, now: Now, from: &HeadRef, reason: &str) {
        let memory = &mut self.updates.of(UpdateKind::Head).memory;
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
        self.write_update(UpdateKind::Head);
        let (code, reason) = (Code::DidNotHold.as_str().to_owned(), reason.to_owned());
        let (kind, name, version) = (UpdateKind::Head, Some(name), Some(version));
        self.announce(now, Happening::UpdateFailed { kind, name, version, code, reason });
        self.publish_update(now, UpdateKind::Head);
    }
}
