//! What follows when the stream of images is no longer what it was: alarm, then a request for labels where it changed,
//! then a training.
//!
//! Four streams are watched: embeddings ([`crate::eval::drift::Monitor`], at the rim, since it needs them), the
//! confidence of predictions, their novelty, and live errors (ADWIN each). The first that changes raises the alarm; it
//! stands until a head is promoted that learned from labels given since.

use serde::{Deserialize, Serialize};

use super::Engine;
use super::effect::{Effect, Write};
use super::event::{Drifted, Scored};
use crate::eval::drift::{Adwin, Cut};
use crate::wire::{AlertId, Happening, Severity, Warning};
use crate::words::{Now, Timestamp};

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
pub struct DriftMemory {
    /// What the alert says.
    pub warning: Warning,
    /// Labels given since.
    pub labels: u64,
}

impl Engine {
    /// A new image was predicted: its confidence and novelty go into their streams.
    pub(super) fn watch_streams(&mut self, now: Now, scored: &Scored) {
        let Some((_, confidence)) = scored.top.first() else { return };
        let cut = self.streams.confidence.push(f64::from(*confidence));
        if let Some(cut) = cut.filter(|cut| cut.after < cut.before) {
            self.stream_drifted(now, "confidence", cut);
        }
        let cut = scored.novelty_rank.and_then(|rank| self.streams.novelty.push(rank));
        if let Some(cut) = cut.filter(|cut| cut.after > cut.before) {
            self.stream_drifted(now, "novelty", cut);
        }
    }

    pub(super) fn embeddings_drifted(&mut self, now: Now, drifted: Drifted) {
        let reason = format!(
            "the images of late are not like those before (p {:.3}); label some of those on 'review', a training follows",
            drifted.p_value
        );
        self.drifted(now, "embedding", Some(drifted.p_value), None, reason, drifted.since);
    }

    pub(super) fn stream_drifted(&mut self, now: Now, kind: &str, cut: Cut) {
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
        self.drifted(now, kind, None, Some(cut.after - cut.before), reason, now.wall);
    }

    /// Raises the alarm, unless it stands already: `since` is when the images came that set it off.
    pub(super) fn drifted(
        &mut self,
        now: Now,
        kind: &str,
        p_value: Option<f64>,
        score: Option<f64>,
        reason: String,
        since: Timestamp,
    ) {
        if self.live.drift.is_some() {
            return;
        }
        let warning = Warning { severity: Severity::Warning, text: reason.clone(), since: now.wall };
        self.live.drift = Some(DriftMemory { warning, labels: 0 });
        self.write_live();
        self.announce(now, Happening::Drift { kind: kind.to_owned(), p_value, score, reason });
        self.publish_alert(now, AlertId::Drift);
        self.effects.push(Effect::Review { since: Some(since) });
    }

    /// A label came while the alarm stands: a few of them are worth a training.
    pub(super) fn label_after_drift(&mut self, now: Now) {
        let Some(drift) = &mut self.live.drift else { return };
        drift.labels += 1;
        let enough = drift.labels == LABELS.min(self.settings.schedule.min_new_labels);
        self.write_live();
        if enough && self.trainable().is_ok() {
            self.schedule.request("drift");
            self.write(Write::Training(self.schedule.memory().clone()));
            self.begin_training(now);
        }
    }

    /// A head serves that learned from what was labelled since the alarm: it is over, and what is normal is measured
    /// anew.
    pub(super) fn drift_answered(&mut self, now: Now) {
        self.streams = Streams::default();
        if self.live.drift.take_if(|drift| drift.labels > 0).is_some() {
            self.publish_alert(now, AlertId::Drift);
        }
    }
}
