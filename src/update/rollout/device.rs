//! One device of a rollout: what it reported last, and what that means.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

use serde::Serialize;

use super::super::{Code, PROBATION};
use super::{Plan, Target};
use crate::wire::{Envelope, UpdateError, UpdatePhase, UpdateState};

/// How it ended for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It serves, and its probation is over.
    Installed,
    /// It serves, and its probation was not over when the rollout was stopped.
    OnProbation,
    /// The device refused it.
    Refused,
    /// It was installed, and the former one serves again.
    RolledBack,
    /// The device reported nothing for too long.
    TimedOut,
    /// It was sent, and taken back before it was installed, because the rollout was stopped.
    Withdrawn,
    /// Its stage had not begun.
    NotSent,
}

impl Outcome {
    /// As people read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Installed => "installed",
            Self::OnProbation => "on probation",
            Self::Refused => "refused",
            Self::RolledBack => "rolled back",
            Self::TimedOut => "timed out",
            Self::Withdrawn => "withdrawn",
            Self::NotSent => "not sent",
        }
    }

    /// Whether it counts as a refusal.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Refused | Self::RolledBack)
    }
}

/// How far it is with a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum At {
    /// Its stage has not begun.
    #[default]
    Waiting,
    /// The manifest was sent; when something was heard of it last.
    Sent { heard: Duration },
    /// Installed, on probation; when something was heard of it last.
    Trial { heard: Duration },
    /// Installed for good; whether it was so before the rollout came to it.
    Installed { before: bool },
    /// Refused, or rolled back after it had served.
    Refused { error: UpdateError, served: bool },
    /// Nothing was heard for too long; whether it was on probation.
    Silent { on_trial: bool },
    /// Taken back.
    Withdrawn,
}

/// A device.
#[derive(Debug, Default)]
pub(super) struct Device {
    /// Whether its `info` is there.
    pub found: bool,
    /// By its `status`.
    pub online: Option<bool>,
    /// Its stage, once that has begun.
    pub stage: Option<usize>,
    pub at: At,
    /// Chunks that it asked for and did not get, the next one first.
    pub wanted: VecDeque<u32>,
    /// The latest report.
    state: Option<UpdateState>,
    /// The number and start of its latest message of each kind.
    seen: [Option<Envelope>; 2],
}

impl Device {
    /// Takes in a report; whether it changed how far it is, or came before its stage.
    pub fn take(&mut self, update: &Target, now: Duration, state: UpdateState, retained: bool) -> bool {
        if !is_newer(&mut self.seen[0], &state.envelope) {
            return false;
        }
        let next = if self.at == At::Waiting { None } else { self.judge(update, now, &state, retained) };
        self.state = Some(state);
        let Some(next) = next else { return self.at == At::Waiting };
        match (&self.at, &next) {
            // What was said first says more: whether it had it before, and why it went.
            (At::Installed { .. }, At::Installed { .. }) | (At::Refused { served: true, .. }, At::Refused { .. }) => {
                false
            }
            (former, _) => {
                let is_change = mem::discriminant(former) != mem::discriminant(&next);
                self.at = next;
                is_change
            }
        }
    }

    /// What a report means for a device whose stage has begun; `None` when it says nothing about this update.
    fn judge(&self, update: &Target, now: Duration, state: &UpdateState, retained: bool) -> Option<At> {
        let served = matches!(self.at, At::Trial { .. } | At::Installed { .. } | At::Silent { on_trial: true });
        let is_ours = state.manifest == Some(update.manifest);
        let installed: Option<u64> = state.installed_version.as_deref().and_then(|version| version.parse().ok());
        let is_installed = installed == Some(update.version);
        match &state.error {
            // A failure that the broker had kept is of an earlier time: the device looks again.
            Some(error) if is_ours && !retained => {
                return Some(At::Refused { error: error.clone(), served });
            }
            _ if is_installed && state.phase == UpdatePhase::Trial => return Some(At::Trial { heard: now }),
            _ if is_installed => return Some(At::Installed { before: false }),
            // Another update has taken its place.
            _ if served && installed > Some(update.version) => return Some(At::Installed { before: false }),
            error if served => {
                let code = Code::DidNotHold.as_str().to_owned();
                let message = "it was rolled back; the device's events say why".to_owned();
                let error = error.clone().unwrap_or(UpdateError { code, message });
                return Some(At::Refused { error, served });
            }
            _ => {}
        }
        (is_ours && state.error.is_none()).then_some(At::Sent { heard: now })
    }

    /// Its stage begins; whether it needs the manifest.
    pub fn begin(&mut self, update: &Target, now: Duration) -> bool {
        let version = update.version.to_string();
        let installed = self.state.as_ref().filter(|state| state.installed_version.as_deref() == Some(&*version));
        self.at = match installed {
            Some(state) if state.phase == UpdatePhase::Trial => At::Trial { heard: now },
            Some(_) => At::Installed { before: true },
            None => At::Sent { heard: now },
        };
        installed.is_none()
    }

    /// Whether a request of this envelope is later than those before it.
    pub fn is_newer(&mut self, envelope: &Envelope) -> bool {
        is_newer(&mut self.seen[1], envelope)
    }

    /// It asked for chunks of the file.
    pub fn requested(&mut self, now: Duration) {
        if matches!(self.at, At::Sent { .. } | At::Silent { on_trial: false }) {
            self.at = At::Sent { heard: now };
        }
    }

    pub fn is_under_way(&self) -> bool {
        matches!(self.at, At::Sent { .. })
    }

    pub fn has_answered(&self) -> bool {
        !matches!(self.at, At::Waiting | At::Sent { .. } | At::Trial { .. })
    }

    pub fn has_refused(&self) -> bool {
        matches!(self.at, At::Refused { .. })
    }

    /// When it is waited for no longer. A device says nothing while its update is on probation, until that ends.
    pub fn due(&self, silence: Duration) -> Option<Duration> {
        match self.at {
            At::Sent { heard } => Some(heard + silence),
            At::Trial { heard } => Some(heard + PROBATION + silence),
            _ => None,
        }
    }

    /// Whether it is waited for no longer from now on.
    pub fn give_up_when_due(&mut self, now: Duration, silence: Duration) -> bool {
        let is_due = self.due(silence).is_some_and(|due| now >= due);
        if is_due {
            self.at = At::Silent { on_trial: matches!(self.at, At::Trial { .. }) };
        }
        is_due
    }

    /// The rollout is stopped: what was not installed is not waited for.
    pub fn stop(&mut self) {
        if self.is_under_way() {
            self.at = At::Withdrawn;
        }
    }

    /// Whether it has a manifest of a rollout that was stopped, and may still install it.
    pub fn is_to_withdraw(&self) -> bool {
        matches!(self.at, At::Withdrawn | At::Silent { on_trial: false })
    }

    /// What became of it: the outcome, the device's code, and a reason for people.
    pub fn ending(&self, plan: &Plan) -> (Outcome, Option<String>, String) {
        let is_offline = if self.online == Some(false) { "; it is offline" } else { "" };
        let plain = |outcome, reason: &str| (outcome, None, reason.to_owned());
        match &self.at {
            At::Installed { before: true } => plain(Outcome::Installed, "it had this version already"),
            At::Installed { before: false } => plain(Outcome::Installed, ""),
            At::Trial { .. } => plain(Outcome::OnProbation, "its probation of a minute is not over"),
            At::Refused { error, served } => {
                let outcome = if *served || error.code == Code::DidNotHold.as_str() {
                    Outcome::RolledBack
                } else {
                    Outcome::Refused
                };
                (outcome, Some(error.code.clone()), error.message.clone())
            }
            At::Silent { on_trial } => {
                let installed = if *on_trial { "installed and not confirmed: " } else { "" };
                let seconds = plan.silence.as_secs();
                let reason = format!("{installed}it has reported nothing for {seconds} s{is_offline}");
                (Outcome::TimedOut, None, reason)
            }
            At::Sent { .. } | At::Withdrawn => {
                plain(Outcome::Withdrawn, "it had not answered when the rollout was stopped")
            }
            At::Waiting => plain(Outcome::NotSent, "its stage had not begun when the rollout was stopped"),
        }
    }
}

/// Whether a message is later than the latest one, which it then is. Numbers rise over restarts; only a device whose state
/// folder was emptied begins anew, with another start and a later time.
fn is_newer(seen: &mut Option<Envelope>, envelope: &Envelope) -> bool {
    let is_newer = seen
        .as_ref()
        .is_none_or(|seen| envelope.seq > seen.seq || (envelope.boot != seen.boot && envelope.ts > seen.ts));
    if is_newer {
        *seen = Some(envelope.clone());
    }
    is_newer
}
