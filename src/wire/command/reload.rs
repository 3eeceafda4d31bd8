//! `request/reload`: the configuration, read again.

use super::{BadPayload, Effect, Empty, Spec};

/// Read the configuration again, and apply it if it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reload;

impl Spec for Reload {
    const NAME: &'static str = "reload";
    const ABOUT: &'static str = "Read the configuration again, and apply it if it is valid.";
    const EFFECT: Effect = Effect::Changes;
    type Arguments = Empty;
    type Data = Empty;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }

    fn needs_task(&self) -> bool {
        false
    }
}
