//! `request/switch`: another backbone, prepared beside the one in service.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Spec};
use crate::head::BackboneRef;
use crate::words::{Timestamp, is_manifest_path};

/// Embed the stored images by another backbone, and put it in service if it is no worse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// A bundled backbone's name, or a manifest's path.
    pub backbone: String,
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// A bundled backbone's name; at the socket also the absolute path of a manifest.
    #[cfg_attr(test, schemars(length(min = 1)))]
    backbone: String,
}

impl Switch {
    /// Whether it names a manifest's path.
    #[must_use]
    pub fn is_path(&self) -> bool {
        is_manifest_path(&self.backbone)
    }
}

impl Spec for Switch {
    const NAME: &'static str = "switch";
    const ABOUT: &'static str = "Prepare another backbone, and put it in service if it is no worse.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{backbone}";
    type Arguments = Arguments;
    type Data = Switching;

    fn check(Arguments { backbone }: Arguments) -> Result<Self, BadPayload> {
        if backbone.trim().is_empty() {
            let found = "'backbone' is empty, expected a bundled backbone's name".to_owned();
            return Err(BadPayload::Json { what: Self::SHAPE, found });
        }
        Ok(Self { backbone })
    }

    fn needs_task(&self) -> bool {
        false
    }
}

/// Data of `response/switch`: it is accepted; `request/status` shows how it gets on and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Switching {
    /// The backbone.
    pub backbone: BackboneRef,
    /// Whether it is being prepared; false where it serves already, which also ends a switch to another one.
    pub begun: bool,
}

/// A switch that is under way, or the last one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SwitchReport {
    /// What was asked for.
    pub backbone: String,
    /// The name of this backbone in reports.
    pub name: String,
    /// Where it is.
    pub phase: SwitchPhase,
    /// Stored images that it has embedded; null when it is not being prepared, or this run has not counted them yet.
    pub embedded: Option<u64>,
    /// Of how many stored images.
    pub of: Option<u64>,
    /// Why it ended so, in words and numbers; null while it is being prepared.
    pub reason: Option<String>,
    /// Since when it is in this phase; for `starting` and `trial`, since it was accepted.
    pub since: Timestamp,
}

/// Where a switch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SwitchPhase {
    /// The stored images are embedded again, a head is trained, and the two pairs are compared.
    Preparing,
    /// The new pair was accepted, and everything restarts with it.
    Starting,
    /// It serves, on probation.
    Trial,
    /// It serves.
    Installed,
    /// The comparison keeps it out.
    Refused,
    /// It cannot be prepared.
    Failed,
    /// It was put in service and did not work; the former backbone and its head serve again.
    Reverted,
    /// Somebody changed `backbone.model`, or asked for the backbone in service, before it was ready.
    Cancelled,
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn a_backbone_is_named_by_a_word_or_a_path() {
        let switch = |arguments: &str| read::<Switch>(arguments);
        assert!(!switch(r#"{"backbone":"default"}"#).unwrap().is_path());
        assert!(switch(r#"{"backbone":"/srv/mine.yaml"}"#).unwrap().is_path());
        for (arguments, reason) in [("{}", "missing field `backbone`"), (r#"{"backbone":" "}"#, "is empty")] {
            assert!(switch(arguments).unwrap_err().contains(reason), "{arguments}");
        }
    }
}
