//! Remote configuration: a patch that overrides the device's own configuration.
//!
//! Decides whether a patch is applied and what is reported; whether its keys are valid is decided by [`Configure`]. A
//! patch takes effect by a restart of everything but the link, so that there is one way in which settings come into
//! force; until the daemon has worked with it, it is on [`Probation`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::context::Cx;
use super::super::write::Write;
use super::Remote;
use super::{PROBATION, Probation, failed_by_starts};
use crate::wire::{Desired, EventKind, PatchAnswer, PatchState, RejectedKey, Reported, Topic};
use crate::words::Component;

/// What is remembered of patches over restarts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ConfigPatch {
    /// The highest version that was ever applied.
    pub applied_version: u64,
    /// The patch in force.
    pub patch: Option<Map<String, Value>>,
    /// What became of the last patch that was sent.
    pub answer: PatchAnswer,
    /// While the daemon has not worked with the patch in force: the one before it.
    pub trial: Option<Probation<Option<Map<String, Value>>>>,
}

impl ConfigPatch {
    /// A start with this memory: what has to be made durable before it is tried. Nothing when no patch is on trial.
    #[must_use]
    pub fn starting(&mut self) -> Vec<Write> {
        let Some(trial) = &mut self.trial else { return Vec::new() };
        if trial.count_start() {
            return vec![Write::ConfigPatchState(self.clone())];
        }
        self.revert(&failed_by_starts())
    }

    /// The patch did not work: the previous settings are restored. Nothing when none is on probation.
    #[must_use]
    pub fn revert(&mut self, reason: &str) -> Vec<Write> {
        let Some(trial) = self.trial.take() else { return Vec::new() };
        self.go_back(trial.before, reason);
        vec![Write::ConfigPatchState(self.clone())]
    }

    /// The patch in force no longer goes with the device's own configuration, which a person changed: it goes, on
    /// trial or not.
    #[must_use]
    pub fn give_way(&mut self, reason: &str) -> Vec<Write> {
        self.trial = None;
        self.go_back(None, reason);
        vec![Write::ConfigPatchState(self.clone())]
    }

    fn go_back(&mut self, before: Option<Map<String, Value>>, reason: &str) {
        self.patch = before;
        self.answer.applied.clear();
        self.answer.state = PatchState::Reverted;
        self.answer.rejected = vec![RejectedKey { key: String::new(), error: reason.to_owned() }];
    }

    /// Why the last patch was reverted, if it was.
    pub fn reverted(&self) -> Option<&str> {
        let first = self.answer.rejected.first();
        first.filter(|_| self.answer.state == PatchState::Reverted).map(|rejected| rejected.error.as_str())
    }
}

/// A way to ask whether the device's configuration with a patch over it is good: what it would be, or every key that is
/// not. The same patch always gets the same answer while a daemon runs.
#[derive(Clone)]
pub struct Configure(pub Arc<Judge>);

/// What [`Configure`] asks.
pub type Judge = dyn Fn(&Map<String, Value>) -> Result<GoodPatch, Vec<RejectedKey>> + Send + Sync;

/// A patch that goes with the device's own configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GoodPatch {
    /// The dotted keys that it sets.
    pub applied: Vec<String>,
    /// All settings with it, without secrets.
    pub effective: Value,
}

impl fmt::Debug for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configure")
    }
}

impl Remote {
    pub fn desired_message(&mut self, cx: &mut Cx<'_>, payload: &[u8]) {
        match Desired::parse(payload) {
            Ok(None) => self.return_to_file(cx),
            Ok(Some(desired)) => self.desire(cx, desired),
            Err(why) => cx.error_on_topic("config/desired", why.to_string()),
        }
    }

    /// The broker keeps the wish and sends it at every connection: what is known already changes nothing.
    fn desire(&mut self, cx: &mut Cx<'_>, Desired { version, patch }: Desired) {
        let is_answered = self.config.answer.version == Some(version);
        let same = self.config.patch.as_ref() == Some(&patch);
        let is_known = is_answered && (same || self.config.answer.state == PatchState::Reverted);
        if is_known {
            return self.publish_reported(cx);
        }
        match self.judge_patch(cx, version, &patch) {
            Ok(good) => self.apply_patch(cx, "config/desired", version, patch, good.applied),
            // Where a patch is in force, the memory keeps speaking of that one.
            Err(rejected) => {
                let answer =
                    PatchAnswer { version: Some(version), applied: Vec::new(), rejected, state: PatchState::Rejected };
                publish_answer(cx, answer);
            }
        }
    }

    /// What the settings would be with this patch.
    ///
    /// # Errors
    /// Every key because of which it is rejected.
    pub(super) fn judge_patch(
        &self,
        cx: &Cx<'_>,
        version: u64,
        patch: &Map<String, Value>,
    ) -> Result<GoodPatch, Vec<RejectedKey>> {
        let last = self.config.applied_version;
        if version > last {
            return (cx.settings().configure.0)(patch);
        }
        let error = format!("version {version} is not higher than {last}, the last one applied; send a higher one");
        Err(vec![RejectedKey { key: "version".to_owned(), error }])
    }

    /// Puts a good patch on trial, as `whence` has it.
    pub(super) fn apply_patch(
        &mut self,
        cx: &mut Cx<'_>,
        whence: &str,
        version: u64,
        patch: Map<String, Value>,
        applied: Vec<String>,
    ) {
        self.config.applied_version = version;
        let reason = format!("{whence} version {version}: {}", applied.join(", "));
        let answer = PatchAnswer { version: Some(version), applied, rejected: Vec::new(), state: PatchState::Trial };
        self.put_on_trial(cx, Some(patch), answer, reason);
    }

    fn return_to_file(&mut self, cx: &mut Cx<'_>) {
        if self.config.patch.is_some() {
            let answer = PatchAnswer { state: PatchState::Trial, ..PatchAnswer::default() };
            let reason = "config/desired is empty: the file's configuration applies again".to_owned();
            self.put_on_trial(cx, None, answer, reason);
        } else {
            self.publish_reported(cx);
        }
    }

    fn put_on_trial(
        &mut self,
        cx: &mut Cx<'_>,
        patch: Option<Map<String, Value>>,
        answer: PatchAnswer,
        reason: String,
    ) {
        let config = &mut self.config;
        // What was itself on trial is nothing to go back to.
        let before = match config.trial.take() {
            Some(trial) => trial.before,
            None => config.patch.take(),
        };
        config.patch = patch;
        config.answer = answer;
        config.trial = Some(Probation::new(before));
        cx.write(Write::ConfigPatchState(self.config.clone()));
        self.restart(cx, EventKind::ConfigChanged { reason });
    }

    /// Ends a trial that the daemon has lived through.
    pub fn confirm_patch(&mut self, cx: &mut Cx<'_>) {
        if cx.uptime() < PROBATION || self.config.trial.take().is_none() {
            return;
        }
        self.config.answer.state = PatchState::Confirmed;
        cx.write(Write::ConfigPatchState(self.config.clone()));
        self.publish_reported(cx);
    }

    /// The settings on probation do not work: the previous ones are restored.
    pub fn revert_patch(&mut self, cx: &mut Cx<'_>, reason: &str) {
        let writes = self.config.revert(reason);
        if writes.is_empty() {
            return;
        }
        for write in writes {
            cx.write(write);
        }
        let reason = format!("the settings of config/desired were reverted: {reason}");
        self.restart(cx, EventKind::ConfigChanged { reason });
    }

    /// Watching failed: other watched folders that are on probation are reverted.
    pub fn watch_failed(&mut self, cx: &mut Cx<'_>, reason: String) {
        if self.config.trial.is_some() && self.config.answer.applied.iter().any(|key| key == "watch") {
            self.revert_patch(cx, &reason);
        }
        cx.error(Component::Watch, reason);
    }

    /// Publishes what became of the last patch, and the settings in force.
    pub fn publish_reported(&mut self, cx: &mut Cx<'_>) {
        publish_answer(cx, self.config.answer.clone());
    }
}

fn publish_answer(cx: &mut Cx<'_>, answer: PatchAnswer) {
    let effective = cx.settings().configuration.clone();
    cx.publish(Topic::ConfigReported, |envelope| Reported { envelope, answer, effective });
}
