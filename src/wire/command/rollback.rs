//! `request/rollback`: the previous head in service again.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Empty, Spec};
use crate::words::HeadRef;

/// Put the previous head back in service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollback;

impl Spec for Rollback {
    const NAME: &'static str = "rollback";
    const ABOUT: &'static str = "Put the previous head back in service.";
    const EFFECT: Effect = Effect::Changes;
    type Arguments = Empty;
    type Data = RolledBack;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }
}

/// Data of `response/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RolledBack {
    /// The head in service now; null when none is.
    pub head: Option<HeadRef>,
    /// The head that was taken out of service.
    pub from: HeadRef,
}
