//! What follows when the stream of images has changed: alarm, then a request for labels where it changed,
//! then a training.
//!
//! Four streams are monitored: embeddings ([`crate::eval::drift::Monitor`], in the shell, which has them), the
//! confidence of predictions, their novelty, and live errors (ADWIN each). The first that changes raises the alarm; it
//! stays up until a head is promoted that learned from labels given since.

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::event::{EmbeddingDrift, Scored};
use super::super::fact::Fact;
use super::super::step::TaskAct;
use super::Model;
use crate::eval::drift::{Adwin, Cut, Direction};
use crate::wire::{EventKind, Severity, TaskAlert, Warning};
use crate::words::Timestamp;

/// Labels since the alarm that make a training worth while, where `training.min_new_labels` asks for more.
const LABELS: u64 = 10;

/// Streams of single numbers, watched since the last change of head or start.
#[derive(Debug, Default)]
pub(super) struct Streams {
    confidence: Adwin,
    novelty: Adwin,
}

/// A drift that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DriftState {
    /// The alert's text.
    pub warning: Warning,
    /// Labels given since.
    pub labels: u64,
}

/// How the stream of images differs from what it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shift {
    /// The latest embeddings are not distributed like those before.
    Embedding {
        /// Of the test that found it, 0..1.
        p_value: f64,
        /// Arrival of the first image that the test looked at.
        since: Timestamp,
    },
    /// The mean probability of the best class fell.
    Confidence(Cut),
    /// The mean novelty rank rose.
    Novelty(Cut),
    /// The share of wrong predictions rose.
    Errors(Cut),
    /// Audited accuracy fell below what was measured at promotion, and no earlier head is kept.
    Accuracy {
        /// By how much, in words and numbers.
        why: String,
    },
}

impl Shift {
    /// The `kind` of the event.
    fn kind(&self) -> &'static str {
        match self {
            Self::Embedding { .. } => "embedding",
            Self::Confidence(_) => "confidence",
            Self::Novelty(_) => "novelty",
            Self::Errors(_) | Self::Accuracy { .. } => "error",
        }
    }

    fn p_value(&self) -> Option<f64> {
        if let Self::Embedding { p_value, .. } = self { Some(*p_value) } else { None }
    }

    /// Mean after the change minus mean before it.
    fn score(&self) -> Option<f64> {
        match self {
            Self::Confidence(cut) | Self::Novelty(cut) | Self::Errors(cut) => Some(cut.after - cut.before),
            Self::Embedding { .. } | Self::Accuracy { .. } => None,
        }
    }

    /// In words and numbers, with what to do.
    fn reason(&self) -> String {
        let (what, cut) = match self {
            Self::Embedding { p_value, .. } => {
                return format!(
                    "recent images differ from the training data (p = {p_value:.3}); label some images listed on \
                     'review', retraining starts automatically"
                );
            }
            Self::Accuracy { why } => {
                return format!(
                    "{why}; no earlier head is kept: label recent images, retraining follows automatically"
                );
            }
            Self::Confidence(cut) => ("the mean probability of predictions", cut),
            Self::Novelty(cut) => ("the mean novelty of images", cut),
            Self::Errors(cut) => ("the share of wrong predictions", cut),
        };
        format!(
            "{what} changed from {:.2} to {:.2} ({} images before, {} since); label some images listed on 'review', \
             retraining starts automatically",
            cut.before, cut.after, cut.n_before, cut.n_after
        )
    }
}

impl Model {
    /// A new image was predicted: its confidence and novelty go into their streams.
    pub fn watch_streams(&mut self, cx: &mut Cx<'_>, scored: &Scored) {
        let Some((_, confidence)) = scored.top.first() else { return };
        let cut = self.streams.confidence.push(f64::from(*confidence));
        if let Some(cut) = cut.filter(|cut| cut.after < cut.before) {
            self.drifted(cx, &Shift::Confidence(cut));
        }
        let cut = scored.novelty_rank.and_then(|rank| self.streams.novelty.push(rank));
        if let Some(cut) = cut.filter(|cut| cut.after > cut.before) {
            self.drifted(cx, &Shift::Novelty(cut));
        }
    }

    /// How near each stream of single numbers is to the alarm; 1 raises it. One without enough images says nothing.
    pub fn nearness_to_alarm(&self) -> Vec<(&'static str, f64)> {
        let Streams { confidence, novelty } = &self.streams;
        let streams = [
            ("confidence", confidence.nearness(Direction::Falls)),
            ("novelty", novelty.nearness(Direction::Rises)),
            ("error", self.live.errors.nearness(Direction::Rises)),
        ];
        streams.into_iter().filter_map(|(kind, nearness)| Some((kind, nearness?))).collect()
    }

    /// The latest embeddings are not distributed like those before.
    pub fn embeddings_drifted(&mut self, cx: &mut Cx<'_>, drifted: EmbeddingDrift) {
        let EmbeddingDrift { p_value, since } = drifted;
        self.drifted(cx, &Shift::Embedding { p_value, since });
    }

    /// Raises the alarm, unless it is up already, and asks for labels of the images since then.
    pub(super) fn drifted(&mut self, cx: &mut Cx<'_>, shift: &Shift) {
        if self.live.drift.is_some() {
            return;
        }
        let reason = shift.reason();
        let text = reason.clone();
        let warning = Warning { severity: Severity::Warning, text: text.clone(), since: cx.now.wall };
        self.live.drift = Some(DriftState { warning, labels: 0 });
        self.write_live(cx);
        let (kind, p_value, score) = (shift.kind().to_owned(), shift.p_value(), shift.score());
        cx.emit_event(EventKind::Drift { kind, p_value, score, reason });
        cx.raise_for_task(TaskAlert::Drift, Severity::Warning, text);
        let since = if let Shift::Embedding { since, .. } = shift { *since } else { cx.now.wall };
        cx.task_act(TaskAct::Review { since: Some(since) });
    }

    /// A label came while the alarm is up: a few of them are worth a training.
    pub fn label_after_drift(&mut self, cx: &mut Cx<'_>) {
        let Some(drift) = &mut self.live.drift else { return };
        drift.labels += 1;
        let enough = drift.labels == LABELS.min(cx.task().schedule.min_new_labels);
        self.write_live(cx);
        if enough && self.trainable().is_ok() {
            self.schedule.request("drift");
            self.write_training(cx);
            cx.post(Fact::TrainingDue);
        }
    }

    /// A head serves that learned from what was labelled since the alarm: it is over, and what is normal is measured
    /// anew.
    pub fn drift_answered(&mut self, cx: &mut Cx<'_>) {
        self.streams = Streams::default();
        if self.live.drift.take_if(|drift| drift.labels > 0).is_some() {
            cx.clear_for_task(TaskAlert::Drift);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shift_has_its_kind_and_at_most_one_figure() {
        let cut = Cut { before: 0.75, after: 0.25, n_before: 40, n_after: 10 };
        for (shift, kind, p_value, score) in [
            (Shift::Embedding { p_value: 0.003, since: Timestamp(7) }, "embedding", Some(0.003), None),
            (Shift::Confidence(cut), "confidence", None, Some(-0.5)),
            (Shift::Novelty(cut), "novelty", None, Some(-0.5)),
            (Shift::Errors(cut), "error", None, Some(-0.5)),
            (Shift::Accuracy { why: "it fell".into() }, "error", None, None),
        ] {
            assert_eq!((shift.kind(), shift.p_value(), shift.score()), (kind, p_value, score));
            assert!(shift.reason().contains("label"), "{}", shift.reason());
        }
        assert!(
            Shift::Errors(cut)
                .reason()
                .starts_with("the share of wrong predictions changed from 0.75 to 0.25 (40 images")
        );
    }
}
