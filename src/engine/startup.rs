//! Which settings and which backbone ([`BackboneState::choose`]) a start uses, decided before there is an engine.
//!
//! As pure as the engine: the caller reads the state, and commits the writes before anything is started, so that a
//! start that fails is counted.

mod backbone;

use serde_json::{Map, Value};

use super::remote::{BackboneState, ConfigPatch};
use super::write::Write;
use crate::words::Timestamp;
pub use backbone::{BackboneChoice, BackboneFacts, BackboneGone, BundledBackbone, ServedBackbone};

/// The part of the stored state that a start depends on.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StartupState {
    /// The remote configuration.
    pub twin: ConfigPatch,
    /// The installed backbone.
    pub backbone: BackboneState,
}

/// The settings of a start.
#[derive(Debug)]
pub struct StartDecision<C> {
    /// The configuration with the remote patch; `None` for the device's own.
    pub patched: Option<C>,
    /// What has to be committed before the start.
    pub writes: Vec<Write>,
    /// What to report of settings that were reverted by this start.
    pub notice: Option<String>,
}

impl StartupState {
    /// Counts this start of what is on trial, reverts what has used up its starts, and applies the patch in force.
    /// `apply` puts a patch over the device's own configuration, or says why it no longer fits.
    pub fn decide<C>(
        mut self,
        at: Timestamp,
        apply: impl Fn(&Map<String, Value>) -> Result<C, String>,
    ) -> StartDecision<C> {
        let was_reverted = self.twin.reverted().is_some();
        let mut writes = self.backbone.starting(at);
        writes.extend(self.twin.starting());
        let patched = self.apply_patch(&mut writes, apply);
        let notice = self.twin.reverted().filter(|_| !was_reverted).map(reverted_notice);
        StartDecision { patched, writes, notice }
    }

    /// The patch in force on the device's configuration. One that no longer fits, because a person changed the
    /// device's own settings, is dropped: on trial, the one before it is tried instead.
    fn apply_patch<C>(
        &mut self,
        writes: &mut Vec<Write>,
        apply: impl Fn(&Map<String, Value>) -> Result<C, String>,
    ) -> Option<C> {
        loop {
            let reason = match apply(self.twin.patch.as_ref()?) {
                Ok(patched) => return Some(patched),
                Err(reason) => format!("they no longer fit the device's own configuration: {reason}"),
            };
            // Nothing is on probation after a revert, so the second time the patch itself goes.
            let reverted = self.twin.revert(&reason);
            writes.extend(if reverted.is_empty() { self.twin.give_way(&reason) } else { reverted });
        }
    }

    /// Reverts everything that is on trial because the daemon cannot even start with it; no writes when nothing is.
    #[must_use]
    pub fn revert(mut self, reason: &str, at: Timestamp) -> Vec<Write> {
        let mut writes = self.backbone.revert(reason, at);
        writes.extend(self.twin.revert(reason));
        writes
    }
}

/// What is reported of settings that were reverted.
#[must_use]
pub fn reverted_notice(reason: &str) -> String {
    format!("the settings of config/desired were reverted: {reason}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engine::Probation;

    const AT: Timestamp = Timestamp(1);

    fn patch(top_k: u64) -> Map<String, Value> {
        Map::from_iter([("top_k".to_owned(), json!(top_k))])
    }

    /// A state with patch 2 on trial in place of patch 5.
    fn on_trial() -> StartupState {
        let trial = Some(Probation::new(Some(patch(5))));
        let twin = ConfigPatch { patch: Some(patch(2)), trial, ..ConfigPatch::default() };
        StartupState { twin, ..StartupState::default() }
    }

    /// The state after the writes of a decision.
    fn stored(writes: &[Write], before: StartupState) -> StartupState {
        let twin = writes.iter().rev().find_map(|write| match write {
            Write::ConfigPatchState(twin) => Some(twin.clone()),
            _ => None,
        });
        StartupState { twin: twin.unwrap_or(before.twin), ..before }
    }

    #[test]
    fn a_patch_on_trial_is_applied_and_its_start_counted_until_its_starts_are_used_up() {
        let (mut state, mut applied, mut notices) = (on_trial(), Vec::new(), 0);
        for _ in 0..5 {
            let decision = state.clone().decide(AT, |patch| Ok(patch["top_k"].clone()));
            state = stored(&decision.writes, state);
            notices += u32::from(decision.notice.is_some());
            applied.extend(decision.patched.and_then(|value| value.as_u64()));
        }
        assert_eq!(applied, [2, 2, 2, 5, 5]);
        assert_eq!(notices, 1, "that it was reverted is reported once");
    }

    #[test]
    fn a_patch_that_became_invalid_is_replaced_by_the_previous_one_and_then_by_the_devices_own_settings() {
        let only = |fits: u64| {
            move |patch: &Map<String, Value>| {
                if patch["top_k"] == fits { Ok(fits) } else { Err("top_k: too many".to_owned()) }
            }
        };
        let decision = on_trial().decide(AT, only(5));
        assert_eq!(decision.patched, Some(5));
        assert!(decision.notice.is_some_and(|notice| notice.contains("no longer fit") && notice.contains("top_k")));
        let decision = on_trial().decide(AT, only(9));
        assert_eq!(decision.patched, None);
        assert_eq!(stored(&decision.writes, on_trial()).twin.patch, None);
    }

    #[test]
    fn a_start_that_fails_reverts_what_is_on_trial_and_nothing_else() {
        let writes = on_trial().revert("it does not open", AT);
        let state = stored(&writes, on_trial());
        assert_eq!(state.twin.patch, Some(patch(5)));
        assert!(state.revert("it does not open", AT).is_empty());
    }
}
