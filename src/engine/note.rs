//! What happened, for those who count it: no decision hangs on a note, and none is kept.

use std::time::Duration;

use super::event::{EmbeddedImage, Scored};
use crate::words::{Label, TaskId, keywords};

/// Something that was decided or found in a step, and that the shell counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Note {
    /// An image was looked at, or could not be.
    Image(ImageResult),
    /// A new image was predicted in a task.
    Prediction {
        /// The task.
        task: TaskId,
        /// The best class.
        class: Label,
        /// How sure that is.
        certainty: Certainty,
    },
    /// The prediction of a new image is in the writes of this step.
    Arrived {
        /// From the last change of its file until that was taken to be complete; `None` for a frame.
        settled: Option<Duration>,
        /// Since when it could be read, by the monotonic clock.
        ready_at: Duration,
    },
    /// A training ended.
    Training {
        /// Of this task.
        task: TaskId,
        /// How.
        result: TrainingResult,
    },
    /// Something went wrong, in this part of the daemon, or [`Note::MESSAGES`].
    Error {
        /// The part's name.
        source: &'static str,
    },
    /// Messages left the outbox that were never delivered.
    Dropped {
        /// How many.
        messages: u64,
    },
}

impl Note {
    /// The source of errors in what others sent.
    pub const MESSAGES: &'static str = "messages";
}

keywords! {
    /// What became of an image.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum ImageResult {
        /// It is new, and a head predicted it.
        Predicted = "predicted",
        /// It is new, and no head was in service for it.
        Unpredicted = "unpredicted",
        /// It was known before.
        Duplicate = "duplicate",
        /// Its file will never be an image, and was put aside.
        Quarantined = "quarantined",
        /// It could not be read now.
        Failed = "failed",
    }
}

impl ImageResult {
    /// What became of an image that was not known before.
    #[must_use]
    pub fn of_new(image: &EmbeddedImage) -> Self {
        if image.views.iter().any(|view| view.prediction.is_some()) { Self::Predicted } else { Self::Unpredicted }
    }
}

keywords! {
    /// How sure a prediction is.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum Certainty {
        /// One class is left, or it is not known how many are.
        Sure = "sure",
        /// Several classes cannot be excluded, or none fits.
        Ambiguous = "ambiguous",
        /// The image is like nothing known.
        Unknown = "unknown",
    }
}

impl Certainty {
    /// How sure a head's opinion is.
    #[must_use]
    pub fn of(scored: &Scored) -> Self {
        match (&scored.set, scored.unknown) {
            (_, Some(true)) => Self::Unknown,
            (Some(set), _) if set.len() != 1 => Self::Ambiguous,
            _ => Self::Sure,
        }
    }
}

keywords! {
    /// How a training ended.
    #[derive(PartialOrd, Ord, Hash)]
    pub enum TrainingResult {
        /// Its head went into service.
        Promoted = "promoted",
        /// Its head is kept: in shadow mode, or for a person to decide.
        Kept = "kept",
        /// Its head was refused.
        Rejected = "rejected",
        /// There is no head.
        Failed = "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{HeadId, HeadRef};

    fn scored(set: Option<&[&str]>, unknown: Option<bool>) -> Scored {
        let set = set.map(|set| set.iter().map(|class| Label::new(class).unwrap()).collect());
        let head = HeadRef { id: HeadId("0123456789ab".into()), version: 1 };
        Scored { head, top: vec![], set, novelty: None, novelty_rank: None, unknown, instant: false, shadow: None }
    }

    #[test]
    fn a_prediction_is_sure_unless_something_says_otherwise() {
        for (set, unknown, certainty) in [
            (None, None, Certainty::Sure),
            (Some(&["nut"][..]), Some(false), Certainty::Sure),
            (Some(&["nut", "bolt"]), Some(false), Certainty::Ambiguous),
            (Some(&[]), None, Certainty::Ambiguous),
            (Some(&["nut"]), Some(true), Certainty::Unknown),
            (Some(&["nut", "bolt"]), Some(true), Certainty::Unknown),
        ] {
            assert_eq!(Certainty::of(&scored(set, unknown)), certainty, "{set:?} {unknown:?}");
        }
    }
}
