//! `request/relabel`: another name for a class, or none.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, LabelsTaken, Spec};
use crate::words::Label;

/// Give every image with one label another one, or take it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(extend("required" = ["from", "to"])))]
pub struct Relabel {
    /// The label that images have.
    pub from: Label,
    /// The label that they get; null takes theirs away. A request without this field is refused rather than read as null.
    #[serde(deserialize_with = "Option::deserialize")]
    pub to: Option<Label>,
    /// Whether they are only counted.
    #[serde(default)]
    pub dry_run: bool,
}

impl Spec for Relabel {
    const NAME: &'static str = "relabel";
    const ABOUT: &'static str = "Give every image with one label another one, or take it away.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{from, to, dry_run}";
    const NOT_TEXT: &'static [&'static str] = &["dry_run"];
    type Arguments = Self;
    type Data = LabelsTaken;

    fn check(arguments: Self) -> Result<Self, BadPayload> {
        Ok(arguments)
    }

    fn effect(&self) -> Effect {
        if self.dry_run { Effect::Reads } else { Self::EFFECT }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;
    use super::*;

    #[test]
    fn a_class_gets_a_name_or_none_and_never_by_a_field_that_was_forgotten() {
        let nut = Label::new("nut").unwrap();
        let relabel = |to, dry_run| Ok(Relabel { from: nut.clone(), to, dry_run });
        assert_eq!(read(r#"{"from":"nut","to":"cog"}"#), relabel(Label::new("cog").ok(), false));
        assert_eq!(read(r#"{"from":"nut","to":null,"dry_run":true}"#), relabel(None, true));
        assert!(read::<Relabel>(r#"{"from":"nut"}"#).unwrap_err().contains("missing field `to`"));
        assert_eq!(read::<Relabel>(r#"{"from":"nut","to":null,"dry_run":true}"#).unwrap().effect(), Effect::Reads);
    }
}
