//! `request/promote`: a stored head in service.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BadPayload, Effect, Spec};
use crate::words::HeadRef;

/// Put this head in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promote {
    /// Its version, or its id or the first 4 or more characters of that.
    pub head: String,
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// Its version, or its id or the first 4 or more characters of that.
    #[cfg_attr(test, schemars(schema_with = "id_or_version"))]
    head: Value,
}

#[cfg(test)]
fn id_or_version(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["string", "integer"], "minimum": 0 })
}

impl Spec for Promote {
    const NAME: &'static str = "promote";
    const ABOUT: &'static str = "Put a stored head in service.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{head}";
    type Arguments = Arguments;
    type Data = Promoted;

    fn check(Arguments { head }: Arguments) -> Result<Self, BadPayload> {
        match head {
            Value::String(head) => Ok(Self { head }),
            Value::Number(version) if version.is_u64() => Ok(Self { head: version.to_string() }),
            other => {
                let found = format!("'head' is {other}, expected a head's id or version");
                Err(BadPayload::Json { what: Self::SHAPE, found: found.chars().take(200).collect() })
            }
        }
    }
}

/// Data of `response/promote`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Promoted {
    /// The head in service now.
    pub head: HeadRef,
    /// The head that was in service before, the same where it served already; null when none did.
    pub from: Option<HeadRef>,
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn a_head_is_named_by_text_or_number() {
        for head in [r#""7""#, "7"] {
            assert_eq!(read(&format!(r#"{{"head":{head}}}"#)), Ok(Promote { head: "7".into() }));
        }
        for (arguments, reason) in [("{}", "missing field `head`"), (r#"{"head":1.5}"#, "id or version")] {
            assert!(read::<Promote>(arguments).unwrap_err().contains(reason), "{arguments}");
        }
    }
}
