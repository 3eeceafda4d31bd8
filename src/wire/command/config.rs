//! `request/config`: the settings in force, and a patch over them, which means the same as on the topic `config/desired`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{BadPayload, Effect, Spec};
use crate::wire::{PatchAnswer, RejectedKey};

/// Read the settings, or change them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Config {
    /// What is in force.
    Read,
    /// A patch over the device's own configuration.
    Change {
        /// Its version, above the last one that was applied; the next one where there is none.
        version: Option<u64>,
        /// Settings under their keys, nested as in the configuration file; it replaces the previous patch.
        patch: Map<String, Value>,
        /// Whether it is only judged.
        dry_run: bool,
    },
}

/// The arguments as they are sent; none of them reads.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("anyOf" = [
    { "required": ["patch"], "properties": { "patch": { "type": "object" } } },
    { "properties": { "patch": { "type": "null" }, "version": { "type": "null" }, "dry_run": { "const": false } } },
])))]
pub struct Arguments {
    /// Must be above the last one that was applied; the next one when left out.
    #[serde(default)]
    version: Option<u64>,
    /// Settings under their keys, nested as in the configuration file; it replaces the previous patch.
    #[serde(default)]
    patch: Option<Map<String, Value>>,
    /// Whether the patch is only judged.
    #[serde(default)]
    dry_run: bool,
}

impl Spec for Config {
    const NAME: &'static str = "config";
    const ABOUT: &'static str = "Show the settings in force, or change them as config/desired does.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{version, patch, dry_run}";
    const NOT_TEXT: &'static [&'static str] = &["version", "dry_run"];
    type Arguments = Arguments;
    type Data = ConfigData;

    fn check(arguments: Arguments) -> Result<Self, BadPayload> {
        match arguments {
            Arguments { version, patch: Some(patch), dry_run } => Ok(Self::Change { version, patch, dry_run }),
            Arguments { version: None, patch: None, dry_run: false } => Ok(Self::Read),
            Arguments { .. } => {
                Err(BadPayload::Json { what: Self::SHAPE, found: "no 'patch' beside the others".to_owned() })
            }
        }
    }

    fn needs_task(&self) -> bool {
        false
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Read | Self::Change { dry_run: true, .. } => Effect::Reads,
            Self::Change { .. } => Self::EFFECT,
        }
    }
}

/// Data of `response/config`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum ConfigData {
    /// What is in force.
    Read(Box<ConfigReport>),
    /// What a patch does.
    Change(ConfigChanges),
}

/// The settings in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigReport {
    /// What became of the last patch, as on `config/reported`.
    #[serde(flatten)]
    pub answer: PatchAnswer,
    /// All settings, without secrets.
    pub effective: Value,
    /// Dotted keys and sections that a patch may set.
    pub settable: Vec<String>,
    /// The JSON Schema of a configuration file.
    pub schema: Value,
}

/// What a patch does, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigChanges {
    /// Its version.
    pub version: u64,
    /// Dotted keys that it sets; empty when it is rejected.
    pub applied: Vec<String>,
    /// Keys because of which it would be rejected; empty unless it was only judged.
    pub rejected: Vec<RejectedKey>,
    /// Settings that are others than before.
    pub changes: Vec<ConfigChange>,
}

/// A setting that changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigChange {
    /// Dotted.
    pub key: String,
    /// In force now; null where there is none.
    pub before: Value,
    /// In force with the patch.
    pub after: Value,
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn without_a_patch_it_reads_and_only_a_patch_that_counts_changes() {
        let effect = |arguments| read::<Config>(arguments).map(|config| config.effect());
        assert_eq!((read("{}"), effect("{}")), (Ok(Config::Read), Ok(Effect::Reads)));
        assert_eq!(effect(r#"{"patch":{},"dry_run":true}"#), Ok(Effect::Reads));
        assert_eq!(effect(r#"{"patch":{},"version":3}"#), Ok(Effect::Changes));
        for arguments in [r#"{"dry_run":true}"#, r#"{"version":3}"#] {
            assert!(read::<Config>(arguments).unwrap_err().contains("no 'patch'"), "{arguments}");
        }
        assert!(read::<Config>(r#"{"patch":"{}"}"#).is_err(), "as the query of a GET would have it");
    }
}
