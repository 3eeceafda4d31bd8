//! The verdict of the gate, with its code for programs and its reason for people.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The verdict of the gate on a challenger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whether the challenger may serve.
    pub promote: bool,
    /// Promoted although too little was held out to measure it.
    pub provisional: bool,
    /// Why, for programs.
    pub code: VerdictCode,
    /// In words and numbers, for a person.
    pub reason: String,
    /// Change in balanced accuracy and its one-sided 5 % lower bound, when measured.
    pub change: Option<[f64; 2]>,
}

pub(super) fn verdict(code: VerdictCode, reason: String, change: Option<[f64; 2]>) -> Verdict {
    Verdict { promote: code.promotes(), provisional: false, code, reason, change }
}

/// What a verdict rests on. On the wire and in files it is [`VerdictCode::as_str`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictCode {
    /// Surely better than the champion.
    Better,
    /// Not shown to be worse, and it learned from newer labels.
    NotWorse,
    /// No champion serves, and it is better than guessing.
    First,
    /// Balanced accuracy falls, or may fall by more than the margin.
    Worse,
    /// It does not know a class that the champion knows.
    ClassLost,
    /// A class significantly loses more recall than it may.
    ClassRecallLoss,
    /// Log-loss significantly grows.
    LogLoss,
    /// A second phase that is not shown to be better than the first.
    NotBetter,
    /// Too few images could be held out to measure anything.
    TooFewHeldout,
    /// Not significantly better than guessing.
    Chance,
    /// Too few labelled images to make a head at all.
    NoLabels,
    /// New labels were left out, and fewer are left than the champion learned from.
    LabelsLeftOut,
}

impl VerdictCode {
    /// Whether a challenger with this code may serve. One that could not be measured may not by its code; where it
    /// serves nevertheless the verdict is provisional.
    #[must_use]
    pub fn promotes(self) -> bool {
        match self {
            Self::Better | Self::NotWorse | Self::First => true,
            Self::Worse
            | Self::ClassLost
            | Self::ClassRecallLoss
            | Self::LogLoss
            | Self::NotBetter
            | Self::TooFewHeldout
            | Self::Chance
            | Self::NoLabels
            | Self::LabelsLeftOut => false,
        }
    }

    /// The word in `train/result` and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::NotWorse => "not_worse",
            Self::First => "first",
            Self::Worse => "worse",
            Self::ClassLost => "class_lost",
            Self::ClassRecallLoss => "class_recall_loss",
            Self::LogLoss => "log_loss",
            Self::NotBetter => "not_better",
            Self::TooFewHeldout => "too_few_heldout",
            Self::Chance => "chance",
            Self::NoLabels => "no_labels",
            Self::LabelsLeftOut => "labels_left_out",
        }
    }
}

impl fmt::Display for VerdictCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
