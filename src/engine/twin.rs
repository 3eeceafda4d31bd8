//! The configuration's twin: a patch from afar that stands over the device's own configuration.
//!
//! Decides whether a patch is taken and what is said of it; whether its keys are good is asked of [`Configure`]. A
//! patch takes effect by a restart of everything but the link, so that there is one way in which settings come into
//! force; until the daemon has worked with it, it is on [`Trial`].

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Engine;
use super::effect::{Effect, Service, Write};
use super::trial::{TRIAL, Trial, failed_by_starts};
use crate::wire::{Desired, Happening, PatchAnswer, PatchState, RejectedKey, Reported, Topic};
use crate::words::Now;

/// What is remembered of patches over restarts.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TwinMemory {
    /// The highest version that was ever applied.
    pub applied_version: u64,
    /// The patch in force.
    pub patch: Option<Map<String, Value>>,
    /// What became of the last patch that was sent.
    pub answer: PatchAnswer,
    /// While the daemon has not worked with the patch in force: the one before it.
    pub trial: Option<Trial<Option<Map<String, Value>>>>,
}

impl TwinMemory {
    /// A start with this memory: what has to be made durable before it is tried. Nothing when no patch is on trial.
    #[must_use]
    pub fn starting(&mut self) -> Vec<Write> {
        let Some(trial) = &mut self.trial else { return Vec::new() };
        if trial.begin() {
            return vec![Write::Twin(self.clone())];
        }
        self.revert(&failed_by_starts())
    }

    /// The patch did not work: what was before it holds again. Nothing when none is on trial.
    #[must_use]
    pub fn revert(&mut self, reason: &str) -> Vec<Write> {
        let Some(trial) = self.trial.take() else { return Vec::new() };
        self.go_back(trial.before, reason);
        vec![Write::Twin(self.clone())]
    }

    /// The patch in force no longer goes with the device's own configuration, which a person changed: it goes, on trial or
    /// not.
    #[must_use]
    pub fn give_way(&mut self, reason: &str) -> Vec<Write> {
        self.trial = None;
        self.go_back(None, reason);
        vec![Write::Twin(self.clone())]
    }

    fn go_back(&mut self, before: Option<Map<String, Value>>, reason: &str) {
        self.patch = before;
        self.answer.applied.clear();
        self.answer.state = PatchState::Reverted;
        self.answer.rejected = vec![RejectedKey { key: String::new(), error: reason.to_owned() }];
    }

    /// Why the last patch was taken back, if it was.
    pub fn reverted(&self) -> Option<&str> {
        let first = self.answer.rejected.first();
        first.filter(|_| self.answer.state == PatchState::Reverted).map(|rejected| rejected.error.as_str())
    }
}

/// A way to ask whether the device's configuration with a patch over it is good: the dotted keys that the patch sets,
/// or every key that is not. The same patch always gets the same answer while a daemon runs.
#[derive(Clone)]
pub struct Configure(pub Arc<Judge>);

/// What [`Configure`] asks.
pub type Judge = dyn Fn(&Map<String, Value>) -> Result<Vec<String>, Vec<RejectedKey>> + Send + Sync;

impl fmt::Debug for Configure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Configure")
    }
}

impl Engine {
    pub(super) fn desired_message(&mut self, now: Now, payload: &[u8]) {
        match Desired::parse(payload) {
            Ok(None) => self.return_to_file(now),
            Ok(Some(desired)) => self.desire(now, desired),
            Err(why) => self.error_on_topic(now, "config/desired", why.to_string()),
        }
    }

    /// The broker keeps the wish and sends it at every connection: what is known already changes nothing.
    fn desire(&mut self, now: Now, Desired { version, patch }: Desired) {
        let settled = self.twin.answer.version == Some(version);
        let same = self.twin.patch.as_ref() == Some(&patch);
        let is_known = settled && (same || self.twin.answer.state == PatchState::Reverted);
        if is_known {
            return self.publish_reported(now);
        }
        let last = self.twin.applied_version;
        let judged = if version > last {
            (self.settings.configure.0)(&patch)
        } else {
            let error = format!("version {version} does not exceed {last}, the last one applied; send a higher one");
            Err(vec![RejectedKey { key: "version".to_owned(), error }])
        };
        match judged {
            Ok(applied) => {
                self.twin.applied_version = version;
                let answer =
                    PatchAnswer { version: Some(version), applied, rejected: Vec::new(), state: PatchState::Trial };
                self.put_on_trial(now, Some(patch), answer);
            }
            // Where a patch is in force, the memory keeps speaking of that one.
            Err(rejected) => {
                let answer =
                    PatchAnswer { version: Some(version), applied: Vec::new(), rejected, state: PatchState::Rejected };
                self.publish_answer(now, answer);
            }
        }
    }

    fn return_to_file(&mut self, now: Now) {
        if self.twin.patch.is_some() {
            self.put_on_trial(now, None, PatchAnswer { state: PatchState::Trial, ..PatchAnswer::default() });
        } else {
            self.publish_reported(now);
        }
    }

    fn put_on_trial(&mut self, now: Now, patch: Option<Map<String, Value>>, answer: PatchAnswer) {
        let twin = &mut self.twin;
        // What was itself on trial is nothing to go back to.
        let before = match twin.trial.take() {
            Some(trial) => trial.before,
            None => twin.patch.take(),
        };
        twin.patch = patch;
        twin.answer = answer;
        twin.trial = Some(Trial::new(before));
        let reason = match twin.answer.version {
            Some(version) => format!("config/desired version {version}: {}", twin.answer.applied.join(", ")),
            None => "config/desired is empty: the file's configuration holds again".to_owned(),
        };
        self.write(Write::Twin(self.twin.clone()));
        self.restart(now, Happening::ConfigChanged { reason });
    }

    /// Ends a trial that the daemon has lived through.
    pub(super) fn confirm_patch(&mut self, now: Now) {
        if now.mono.saturating_sub(self.began) < TRIAL || self.twin.trial.take().is_none() {
            return;
        }
        self.twin.answer.state = PatchState::Confirmed;
        self.write(Write::Twin(self.twin.clone()));
        self.publish_reported(now);
    }

    /// This engine ends by will, which says nothing against what is on trial.
    pub(super) fn excuse_trials(&mut self) {
        if let Some(trial) = &mut self.twin.trial {
            trial.excuse();
            self.write(Write::Twin(self.twin.clone()));
        }
        if let Some(trial) = &mut self.backbone.trial {
            trial.excuse();
            self.write(Write::Backbone(self.backbone.clone()));
        }
        self.stop_updates();
    }

    /// The settings on trial do not work: those before hold again.
    pub(super) fn revert_patch(&mut self, now: Now, reason: &str) {
        let writes = self.twin.revert(reason);
        if writes.is_empty() {
            return;
        }
        self.effects.extend(writes.into_iter().map(Effect::Write));
        let reason = format!("the settings of config/desired were taken back: {reason}");
        self.restart(now, Happening::ConfigChanged { reason });
    }

    /// A fault of the watcher while other watched folders are on trial takes them back.
    pub(super) fn fault(&mut self, now: Now, source: &'static str, reason: String) {
        let folders_on_trial = self.twin.trial.is_some() && self.twin.answer.applied.iter().any(|key| key == "watch");
        if source == "watch" && folders_on_trial {
            self.revert_patch(now, &reason);
        }
        self.error(now, source, reason);
    }

    /// The configuration's files were read again and are good.
    pub(super) fn reloaded(&mut self, now: Now) {
        self.restart(now, Happening::ConfigChanged { reason: "the configuration was read again".to_owned() });
    }

    pub(super) fn publish_reported(&mut self, now: Now) {
        self.publish_answer(now, self.twin.answer.clone());
    }

    fn publish_answer(&mut self, now: Now, answer: PatchAnswer) {
        self.publish(now, Topic::ConfigReported, |engine, envelope| {
            let effective = engine.settings.configuration.clone();
            Reported { envelope, answer, effective }
        });
    }

    /// Everything but the link starts anew, with what is durable by then.
    pub(super) fn restart(&mut self, now: Now, why: Happening) {
        if !std::mem::replace(&mut self.stopping, true) {
            self.announce(now, why);
            self.excuse_trials();
            self.give_up_requests(now);
            self.tell(Service::Reloading);
            self.effects.push(Effect::Restart);
        }
    }
}
