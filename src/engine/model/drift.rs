//! What follows when the stream of images is no longer what it was: alarm, then a request for labels where it changed,
//! then a training.
//!
//! Four streams are watched: embeddings ([`crate::eval::drift::Monitor`], at the rim, since it needs them), the
//! confidence of predictions, their novelty, and live errors (ADWIN each). The first that changes raises the alarm; it
//! stands until a head is promoted that learned from labels given since.

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::event::{EmbeddingDrift, Scored};
use super::super::step::Act;
use super::Model;
use crate::eval::drift::{Adwin, Cut};
use crate::wire::{AlertId, Happening, Severity, Warning};
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
    /// What the alert says.
    pub warning: Warning,
    /// Labels given since.
    pub labels: u64,
}

impl Model {
    /// A new image was predicted: its confidence and novelty go into their streams.
    pub fn watch_streams(&mut self, cx: &mut Cx<'_>, scored: &Scored) {
        let Some((_, confidence)) = scored.top.first() else { return };
        let cut = self.streams.confidence.push(f64::from(*confidence));
        if let Some(cut) = cut.filter(|cut| cut.after < cut.before) {
            self.stream_drifted(cx, "confidence", cut);
        }
        let cut = scored.novelty_rank.and_then(|rank| self.streams.novelty.push(rank));
        if let Some(cut) = cut.filter(|cut| cut.after > cut.before) {
            self.stream_drifted(cx, "novelty", cut);
        }
    }

    pub fn embeddings_drifted(&mut self, cx: &mut Cx<'_>, drifted: EmbeddingDrift) {
        let reason = format!(
            "the images of late are not like those before (p {:.3}); label some of those on 'review', a training follows",
            drifted.p_value
        );
        self.drifted(cx, "embedding", Some(drifted.p_value), None, reason, drifted.since);
    }

    pub fn stream_drifted(&mut self, cx: &mut Cx<'_>, kind: &str, cut: Cut) {
        let what = match kind {
            "confidence" => "the mean probability of predictions",
            "novelty" => "the mean novelty of images",
            _ => "the share of wrong predictions",
        };
        let reason = format!(
            "{what} went from {:.2} to {:.2} ({} images before, {} since); label some of those on 'review', a training \
             follows",
            cut.before, cut.after, cut.n_before, cut.n_after
        );
        self.drifted(cx, kind, None, Some(cut.after - cut.before), reason, cx.now.wall);
    }

    /// Raises the alarm, unless it stands already: `since` is when the images came that set it off.
    pub(super) fn drifted(
        &mut self,
        cx: &mut Cx<'_>,
        kind: &str,
        p_value: Option<f64>,
        score: Option<f64>,
        reason: String,
        since: Timestamp,
    ) {
        if self.live.drift.is_some() {
            return;
        }
        let text = reason.clone();
        let warning = Warning { severity: Severity::Warning, text: text.clone(), since: cx.now.wall };
        self.live.drift = Some(DriftState { warning, labels: 0 });
        self.write_live(cx);
        cx.announce(Happening::Drift { kind: kind.to_owned(), p_value, score, reason });
        cx.raise(AlertId::Drift, Severity::Warning, text);
        cx.act(Act::Review { since: Some(since) });
    }

    /// A label came while the alarm stands: a few of them are worth a training.
    pub fn label_after_drift(&mut self, cx: &mut Cx<'_>) {
        let Some(drift) = &mut self.live.drift else { return };
        drift.labels += 1;
        let enough = drift.labels == LABELS.min(cx.settings().schedule.min_new_labels);
        self.write_live(cx);
        if enough && self.trainable().is_ok() {
            self.schedule.request("drift");
            self.write_training(cx);
            self.begin_training(cx);
        }
    }

    /// A head serves that learned from what was labelled since the alarm: it is over, and what is normal is measured
    /// anew.
    pub fn drift_answered(&mut self, cx: &mut Cx<'_>) {
        self.streams = Streams::default();
        if self.live.drift.take_if(|drift| drift.labels > 0).is_some() {
            cx.clear(AlertId::Drift);
        }
    }
}
