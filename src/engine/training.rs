//! What becomes of a training: when it begins, and what happens to the challenger.
//!
//! The gate ([`crate::eval::gate`]) has compared challenger and champion; here its verdict, or the policy that
//! stands above it, becomes a promotion.

use std::time::Duration;

use super::Engine;
use super::effect::{Effect, HeadStatus, Write};
use super::event::TrainingOutcome;
use super::live::Measured;
use super::settings::PromotionPolicy;
use super::snapshot::HeadInfo;
use crate::wire::{AlertId, Answer, ErrorCode, Happening, Promoted, TrainingPhase};
use crate::words::{HeadRef, Now};

/// How long the schedule waits for files on their way; a camera that never pauses is not waited for longer.
const BACKLOG_PATIENCE: Duration = Duration::from_secs(30);

impl Engine {
    /// Whether the labels at hand can make a head; if not, why.
    pub(super) fn trainable(&self) -> Result<(), String> {
        let counts = self.catalogue.counts();
        match counts.len() {
            0 => Err("no image is labelled; label some in at least two classes".into()),
            1 => {
                let only = counts.keys().next().expect("there is one");
                Err(format!(
                    "all {} labelled images are {only}; label some of another class",
                    self.catalogue.labelled()
                ))
            }
            _ => Ok(()),
        }
    }

    /// The schedule orders nothing that cannot be fitted, and lets a backlog of files settle first: a folder of
    /// labelled images copied in at once makes one training on all of them, not one on the first ten.
    pub(super) fn schedule_allows(&mut self, now: Now) -> bool {
        if self.settling.len() == 0 {
            self.backlog_since = None;
        } else if self.backlog_since.is_none() {
            self.backlog_since = Some(now.mono);
        }
        let patient = self.backlog_since.is_some_and(|since| now.mono.saturating_sub(since) < BACKLOG_PATIENCE);
        !patient && self.trainable().is_ok()
    }

    pub(super) fn begin_training(&mut self, now: Now) {
        if self.stopping || self.updates.is_judging() {
            return;
        }
        if let Some(order) = self.schedule.begin(self.clock.stamp(now.wall)) {
            self.write(Write::Training(self.schedule.memory().clone()));
            self.effects.push(Effect::Train(order));
            self.training_progress(now, TrainingPhase::Collecting, 0.0);
        }
    }

    pub(super) fn trained(&mut self, now: Now, outcome: TrainingOutcome) {
        let (mut status, mut reason) = self.decide(&outcome);
        let shadows = status == HeadStatus::Champion && self.shadows(&outcome);
        if shadows {
            let images = self.settings.shadow_images;
            status = HeadStatus::Kept;
            reason = format!("in shadow: it answers unseen on the next {images} images before it may serve; {reason}");
        }

        let record = &outcome.challenger;
        let head = record.head.clone();
        self.heads.add(HeadInfo::of(record, reason.clone()));
        let mut forgetting = outcome.changes.clone();
        self.live.best.compare_with(&mut forgetting);
        self.report_training(now, &outcome, status == HeadStatus::Champion, &reason, forgetting);
        let measured = Measured::of(outcome.challenger.figures.as_ref());
        self.write(Write::Head(Box::new(outcome.challenger)));
        if status == HeadStatus::Champion {
            self.training_progress(now, TrainingPhase::Promoting, 1.0);
            self.promote(now, head, &measured, reason);
        } else {
            if shadows {
                self.begin_shadow(now, head.clone(), measured);
            } else {
                self.announce(now, Happening::Rejected { head: head.clone(), reason: reason.clone() });
            }
            self.set_status(now, head.version, status, reason);
        }
        let shadow = self.live.shadow.as_ref().map(|shadow| shadow.head.version);
        for version in self.heads.prune(shadow) {
            self.write(Write::HeadForget { version });
        }
        self.settle_labels();
        self.end_training(now);
        self.publish_info(now);
        self.ask(now, None);
    }

    /// A head takes the place of the one in service.
    pub(super) fn promote(&mut self, now: Now, head: HeadRef, measured: &Measured, reason: String) {
        self.end_shadow(now, &format!("head {} was promoted", head.version));
        self.set_status(now, head.version, HeadStatus::Champion, reason.clone());
        self.live.best.update(head.version, &measured.classes);
        self.live.serves(Some(head.version), measured.record);
        self.effects.push(Effect::Serve(Some(head.version)));
        self.announce(now, Happening::Promoted { head, reason });
        self.drift_answered(now);
        self.write_live();
    }

    /// Somebody puts a stored head in service, whatever the gate said of it. It may have learned nothing new, so a drift
    /// that was found stays found.
    pub(super) fn promote_on_request(&mut self, now: Now, name: &str) -> Answer {
        let head = match self.heads.named(name) {
            Ok(chosen) => chosen.head.clone(),
            Err(reason) => return Answer::error(ErrorCode::NotPossible, reason),
        };
        let from = self.heads.champion().map(|champion| champion.head.clone());
        if from.as_ref() != Some(&head) {
            let reason = "promoted on request".to_owned();
            self.end_shadow(now, &format!("head {} was promoted", head.version));
            self.set_status(now, head.version, HeadStatus::Champion, reason.clone());
            self.live.serves(Some(head.version), None);
            self.write_live();
            self.effects.push(Effect::Serve(Some(head.version)));
            self.announce(now, Happening::Promoted { head: head.clone(), reason });
            self.publish_info(now);
        }
        Answer::ok(&Promoted { head, from })
    }

    /// There is a verdict: labels that the training saw no longer correct by themselves.
    fn settle_labels(&mut self) {
        if let Some(began) = self.schedule.settle() {
            self.effects.push(Effect::Settle(began));
        }
    }

    /// At a start: the results at hand are those of the head that serves, and what was in shadow goes on.
    pub(super) fn resume_live(&mut self) {
        let champion = self.heads.champion().map(|champion| champion.head.version);
        if self.live.champion != champion {
            self.live.serves(champion, None);
        }
        if let Some(shadow) = &self.live.shadow {
            self.effects.push(Effect::Shadow(Some(shadow.head.version)));
        }
    }

    /// Promotion is decided here: by the gate, unless the policy says otherwise.
    fn decide(&self, outcome: &TrainingOutcome) -> (HeadStatus, String) {
        let verdict = &outcome.verdict;
        let twin = self.heads.rejected_twin(&outcome.challenger.head.id);
        match (self.settings.promotion, twin) {
            (PromotionPolicy::Gated, Some(twin)) => {
                let (version, reason) = (twin.head.version, &twin.reason);
                (HeadStatus::Rejected, format!("the same head as head {version}: {reason}; label more images"))
            }
            (PromotionPolicy::Gated, None) if verdict.promote => (HeadStatus::Champion, verdict.reason.clone()),
            (PromotionPolicy::Gated, None) => (HeadStatus::Rejected, verdict.reason.clone()),
            (PromotionPolicy::Always, _) => {
                (HeadStatus::Champion, format!("promotion.policy is always; the gate: {}", verdict.reason))
            }
            (PromotionPolicy::Manual, _) => {
                let version = outcome.challenger.head.version;
                let act = format!("promotion.policy is manual: 'edgetuned ctl promote {version}' puts it in service");
                (HeadStatus::Kept, format!("{act}; the gate: {}", verdict.reason))
            }
        }
    }

    pub(super) fn training_failed(&mut self, now: Now, reason: &str) {
        let id = self.schedule.running().map_or(0, |order| order.id);
        self.error(now, "train", format!("training {id} failed: {reason}"));
        self.end_training(now);
    }

    fn end_training(&mut self, now: Now) {
        self.schedule.ended(now);
        self.write(Write::Training(self.schedule.memory().clone()));
        self.training_progress(now, TrainingPhase::Idle, 0.0);
    }

    /// A champion of another backbone cannot serve: it is kept, and a new one is trained as soon as there are labels
    /// with embeddings of the present backbone.
    pub(super) fn backbone_changed(&mut self, now: Now, stranded: &HeadInfo) {
        let reason = format!(
            "head {} reads embeddings of {}; images are embedded again",
            stranded.head.version, stranded.backbone
        );
        self.set_status(now, stranded.head.version, HeadStatus::Kept, reason.clone());
        self.announce(now, Happening::BackboneChanged { backbone: self.settings.backbone.clone(), reason });
        self.schedule.labels_changed(self.catalogue.labelled() as u64);
    }

    pub(super) fn set_status(&mut self, now: Now, version: u64, status: HeadStatus, reason: String) {
        if status == HeadStatus::Champion {
            self.clear(now, AlertId::Model);
        }
        let at = self.clock.stamp(now.wall);
        let write = self.heads.set(version, status, reason, at);
        self.write(write);
    }
}
