//! `request/rescan`: a new listing of the watched folders.

use super::{BadPayload, Effect, Empty, Spec};

/// List the watched folders again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescan;

impl Spec for Rescan {
    const NAME: &'static str = "rescan";
    const ABOUT: &'static str = "List the watched folders again.";
    // Images that it finds while nothing can be stored are stored afterwards.
    const EFFECT: Effect = Effect::Works;
    const BUTTON: Option<&'static str> = Some("Rescan");
    type Arguments = Empty;
    type Data = Empty;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }

    fn needs_task(&self) -> bool {
        false
    }
}
