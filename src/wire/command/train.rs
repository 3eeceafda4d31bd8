//! `request/train`: a training now.

use serde::{Deserialize, Serialize};

use super::{BadPayload, Effect, Empty, Spec};

/// Train now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Train;

impl Spec for Train {
    const NAME: &'static str = "train";
    const ABOUT: &'static str = "Train now; the result is published on train/result.";
    const EFFECT: Effect = Effect::Changes;
    const BUTTON: Option<&'static str> = Some("Train");
    type Arguments = Empty;
    type Data = TrainAccepted;

    fn check(_: Empty) -> Result<Self, BadPayload> {
        Ok(Self)
    }
}

/// Data of `response/train`: the training is accepted; its result is published on `train/result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TrainAccepted {
    /// Number of the training.
    pub training: u64,
}
