//! `request/tune`: a training with a second phase now.

use super::{BadPayload, Effect, Empty, Spec, TrainAccepted};

/// Train now, the last layers of the backbone, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tune;

impl Spec for Tune {
    const NAME: &'static str = "tune";
    const ABOUT: &'static str =
        "Train now, in a second phase the last layers of the backbone, too; the result is published on train/result.";
    const EFFECT: Effect = Effect::Changes;
    type Arguments = Empty;
    type Data = TrainAccepted;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }
}
