//! `request/burst`: a closer look at a camera, for a while.

use serde::Deserialize;

use super::{BadPayload, Effect, Empty, Spec};
use crate::words::SourceId;

/// Ask a camera for its picture more often for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Burst {
    /// Which one.
    pub source: SourceId,
}

/// The arguments as they are sent.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Arguments {
    /// A source of the configuration with `http` and `burst`.
    source: SourceId,
}

impl Spec for Burst {
    const NAME: &'static str = "burst";
    const ABOUT: &'static str = "Ask a camera for its picture more often for a while.";
    const EFFECT: Effect = Effect::Works;
    const SHAPE: &'static str = "{source}";
    type Arguments = Arguments;
    type Data = Empty;

    fn check(Arguments { source }: Arguments) -> Result<Self, BadPayload> {
        Ok(Self { source })
    }

    fn needs_task(&self) -> bool {
        false
    }
}
