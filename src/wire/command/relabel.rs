//! `request/relabel`: another name for a class.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, LabelsTaken, Spec};
use crate::words::Label;

/// Give every image with one label another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Relabel {
    /// The label that images have.
    pub from: Label,
    /// The label that they get.
    pub to: Label,
}

impl Spec for Relabel {
    const NAME: &'static str = "relabel";
    const ABOUT: &'static str = "Give every image with one label another one.";
    const EFFECT: Effect = Effect::Changes;
    const SHAPE: &'static str = "{from, to}";
    type Arguments = Self;
    type Data = LabelsTaken;

    fn check(arguments: Self) -> Result<Self, BadPayload> {
        Ok(arguments)
    }
}
