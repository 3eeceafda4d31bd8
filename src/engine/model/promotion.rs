//! The decision about a challenger that was compared with the champion.
//!
//! The gate ([`crate::eval::gate`]) has compared the two; here its verdict, or the policy that overrides it, becomes a
//! promotion.

use super::super::SwapPair;
use super::super::context::Cx;
use super::super::event::{CheckedHead, TrainingOutcome};
use super::super::fact::Fact;
use super::super::note::{Note, TrainingResult};
use super::super::settings::PromotionPolicy;
use super::super::snapshot::HeadInfo;
use super::super::step::Act;
use super::super::write::{HeadStatus, Write};
use super::Model;
use super::in_service::Why;
use super::live_accuracy::Measured;
use super::registry::{HeadOrigin, heads_max};
use crate::head::HeadRecord;
use crate::update::Manifest;
use crate::wire::{EventKind, TrainingPhase, UpdateKind};

impl Model {
    /// A training has its verdict. One that ends while everything is about to restart is carried out again afterwards,
    /// beside whatever serves by then.
    pub fn trained(&mut self, cx: &mut Cx<'_>, outcome: TrainingOutcome) {
        if cx.is_stopping() {
            return;
        }
        if self.saw_forgotten.training {
            return self.train_again(cx);
        }
        let is_outdated = self.is_outdated(cx, &outcome);
        let (mut status, mut reason) = self.decide(cx, &outcome);
        let shadows = status == HeadStatus::Champion && self.shadows(cx, &outcome);
        if shadows {
            let images = cx.task().shadow_images;
            status = HeadStatus::Kept;
            reason = format!("in shadow mode for the next {images} images before it may serve; {reason}");
        }

        let result = match status {
            HeadStatus::Champion => TrainingResult::Promoted,
            HeadStatus::Rejected => TrainingResult::Rejected,
            HeadStatus::Kept => TrainingResult::Kept,
        };
        cx.note(Note::Training { task: cx.task_id(), result });
        let record = &outcome.challenger;
        let head = record.head.clone();
        self.heads.add(HeadInfo::of(record, reason.clone()));
        let mut forgetting = outcome.changes.clone();
        self.live.best.compare_with(&mut forgetting);
        cx.report_training(&outcome, status == HeadStatus::Champion, &reason, &forgetting);
        let measured = Measured::of(outcome.challenger.figures.as_ref());
        cx.write(Write::Head { task: cx.task_id(), record: Box::new(outcome.challenger) });
        if status == HeadStatus::Champion {
            self.training_progress(cx, TrainingPhase::Promoting, 1.0);
            self.put_in_service(cx, &head, Why::Verdict(&measured), reason);
        } else {
            if shadows {
                self.begin_shadow(cx, head.clone(), measured);
            } else {
                cx.emit_event(EventKind::Rejected { head: head.clone(), reason: reason.clone() });
            }
            self.set_status(cx, head.version, status, reason);
        }
        self.prune(cx);
        self.fold_in_labels(cx);
        self.report_left_out(cx, outcome.left_out.as_ref());
        self.end_training(cx);
        if is_outdated {
            self.schedule.request_again("another head serves", &outcome.order);
            self.write_training(cx);
        }
        cx.post(Fact::HeadsChanged);
        cx.post(Fact::HeadJudged);
    }

    /// A head that came as an update was compared with the one in service, if that is still the same: it goes into
    /// service, or is refused.
    pub fn update_compared(&mut self, cx: &mut Cx<'_>, update: &str, found: CheckedHead) {
        // The same file was verified before, for a manifest that was replaced: the result for this one follows.
        if !self.heads.is_reserved(HeadOrigin::Update, found.record.head.version) {
            return;
        }
        let champion = self.heads.champion().map(|champion| champion.head.version);
        if found.against != champion || self.schedule.running().is_some() {
            return cx.post(Fact::UpdateHeadOutdated);
        }
        if !found.verdict.promote {
            return cx.post(Fact::UpdateHeadRefused { reason: found.verdict.reason });
        }
        let record = found.record;
        let (head, measured) = (record.head.clone(), Measured::of(record.figures.as_ref()));
        let reason = format!("update {update}: {}", found.verdict.reason);
        self.heads.add(HeadInfo::of(&record, reason.clone()));
        cx.write(Write::Head { task: cx.task_id(), record: Box::new(record) });
        self.put_in_service(cx, &head, Why::Verdict(&measured), reason);
        self.prune(cx);
        cx.post(Fact::HeadJudged);
        cx.post(Fact::UpdateHeadInstalled { head });
        cx.post(Fact::HeadsChanged);
    }

    /// The whole file of an update is to be verified: a head in it gets the next version.
    pub fn verify_update(&mut self, cx: &mut Cx<'_>, manifest: Box<Manifest>) {
        let version = self.heads.reserve_version(match manifest.contents.kind() {
            UpdateKind::Head => HeadOrigin::Update,
            UpdateKind::Backbone => HeadOrigin::Backbone,
        });
        cx.act(Act::VerifyUpdate { task: cx.task_id(), manifest, version });
    }

    /// Another backbone is to be prepared: its head gets the next version, above that of a preparation which gives way to
    /// it.
    pub fn prepare_backbone(&mut self) -> u64 {
        self.saw_forgotten.backbone = false;
        let version = self.heads.reserve_above(HeadOrigin::Backbone, self.preparing.unwrap_or(0));
        self.preparing = Some(version);
        version
    }

    /// Whether a head on another backbone is of a preparation that gave way to a later one, which reports, too.
    pub fn pair_gave_way(&self, pair: &SwapPair) -> bool {
        let version = pair.challenger.as_ref().map(|challenger| challenger.head.version);
        version.is_some_and(|version| self.preparing.is_some_and(|preparing| preparing != version))
    }

    /// Whether a head on another backbone was compared with one that no longer serves, or saw samples that were forgotten
    /// since.
    pub fn pair_is_outdated(&self, pair: &SwapPair) -> bool {
        let champion = self.heads.champion().map(|champion| champion.head.version);
        pair.against != champion || self.saw_forgotten.backbone
    }

    /// Another backbone has its verdict.
    pub fn backbone_judged(&mut self) {
        self.preparing = None;
        self.heads.release_version(HeadOrigin::Backbone);
    }

    /// The head of another backbone that takes over becomes champion, to serve from the start that follows.
    pub fn take_over(&mut self, cx: &mut Cx<'_>, challenger: HeadRecord, reason: &str) {
        let head = challenger.head.clone();
        self.heads.add(HeadInfo::of(&challenger, reason.to_owned()));
        cx.write(Write::Head { task: cx.task_id(), record: Box::new(challenger) });
        self.set_status(cx, head.version, HeadStatus::Champion, reason.to_owned());
        cx.emit_event(EventKind::Promoted { head, reason: reason.to_owned() });
    }

    fn prune(&mut self, cx: &mut Cx<'_>) {
        let shadow = self.live.shadow.as_ref().map(|shadow| shadow.head.version);
        let pruned = self.heads.prune(shadow, heads_max(cx.settings().quota_bytes));
        let Some(highest) = pruned.iter().max() else { return };
        self.schedule.head_deleted(*highest);
        self.write_training(cx);
        for version in pruned {
            cx.write(Write::DeleteHead { task: cx.task_id(), version });
        }
    }

    /// Whether another head serves than the challenger was compared with: a rollback or a promotion came meanwhile.
    fn is_outdated(&self, cx: &Cx<'_>, outcome: &TrainingOutcome) -> bool {
        let champion = self.heads.champion().map(|champion| champion.head.version);
        cx.task().promotion == PromotionPolicy::Gated && champion.is_some() && champion != outcome.against
    }

    /// Promotion is decided here: by the gate, unless the policy says otherwise.
    fn decide(&self, cx: &Cx<'_>, outcome: &TrainingOutcome) -> (HeadStatus, String) {
        let verdict = &outcome.verdict;
        if self.is_outdated(cx, outcome) {
            let reason = "another head serves than the one it was compared with; it is trained again";
            return (HeadStatus::Kept, reason.to_owned());
        }
        let twin = self.heads.rejected_twin(&outcome.challenger.head.id);
        match (cx.task().promotion, twin) {
            (PromotionPolicy::Gated, Some(twin)) => {
                let (version, reason) = (twin.head.version, &twin.reason);
                (HeadStatus::Rejected, format!("identical to head {version}: {reason}; label more images"))
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
}
