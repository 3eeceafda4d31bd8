//! A head goes live, or is taken out of service: the one place that decides what follows.
//!
//! | why | measured at | best recalls | drift | is reported |
//! | --- | --- | --- | --- | --- |
//! | a verdict: training, shadow phase, update | its figures | updated | answered | promoted |
//! | on request | nothing | stay | stays: it may have learned nothing new | promoted |
//! | a rollback | nothing | stay | stays | rolled back |
//!
//! In every case the shadow phase ends, live results are counted from zero, and the alert of a head that does not
//! serve is over. The champion of another backbone is put in service by the start that follows.

use super::super::context::Cx;
use super::super::fact::Fact;
use super::super::step::TaskAct;
use super::super::write::HeadStatus;
use super::Model;
use super::live_accuracy::Measured;
use super::registry::Rollback;
use crate::wire::command::{self, Spec as _};
use crate::wire::{Answer, ErrorCode, EventKind, Promoted, RolledBack, TaskAlert};
use crate::words::HeadRef;

/// Why a head comes into service.
#[derive(Clone, Copy)]
pub(super) enum Why<'a> {
    /// It was compared with the champion; what it was measured at.
    Verdict(&'a Measured),
    /// A request, whatever the gate's verdict.
    Request,
}

impl Model {
    /// A head takes the place of the one in service.
    pub(super) fn put_in_service(&mut self, cx: &mut Cx<'_>, head: &HeadRef, why: Why<'_>, reason: String) {
        self.end_shadow(cx, &format!("head {} was promoted", head.version));
        self.set_status(cx, head.version, HeadStatus::Champion, reason.clone());
        let record = match why {
            Why::Verdict(measured) => {
                self.live.best.update(head.version, &measured.classes);
                measured.record
            }
            Why::Request => None,
        };
        self.serve(cx, Some(head), record);
        cx.emit_event(EventKind::Promoted { head: head.clone(), reason });
        if let Why::Verdict(_) = why {
            self.drift_answered(cx);
        }
        self.write_live(cx);
    }

    /// The head before the one in service serves again.
    pub fn roll_back(&mut self, cx: &mut Cx<'_>, rollback: Rollback) {
        let Rollback { from, to, reason, writes } = rollback;
        for write in writes {
            cx.write(write);
        }
        cx.clear_for_task(TaskAlert::Model);
        self.end_shadow(cx, "rolled back meanwhile");
        self.went_back(cx, from, Some(to), reason);
    }

    /// The head in service does not serve: the one before it does again, or none.
    fn take_out_of_service(&mut self, cx: &mut Cx<'_>, why: &str) {
        if let Some(rollback) = self.heads.roll_back(cx.task_id(), cx.stamp(), why) {
            return self.roll_back(cx, rollback);
        }
        let Some(from) = self.heads.champion().map(|champion| champion.head.clone()) else { return };
        let reason = format!("head {} was taken out of service, and there is no earlier one: {why}", from.version);
        self.set_status(cx, from.version, HeadStatus::Rejected, reason.clone());
        self.went_back(cx, from, None, reason);
    }

    /// The head of an update failed its probation: it does not serve any more, if it still does.
    pub fn update_head_failed(&mut self, cx: &mut Cx<'_>, head: &HeadRef, why: &str) {
        if self.heads.champion().is_some_and(|champion| champion.head == *head) {
            self.take_out_of_service(cx, why);
        }
    }

    fn went_back(&mut self, cx: &mut Cx<'_>, from: HeadRef, to: Option<HeadRef>, reason: String) {
        self.serve(cx, to.as_ref(), None);
        cx.emit_event(EventKind::RolledBack { head: to, from: from.clone(), reason: reason.clone() });
        self.write_live(cx);
        cx.post(Fact::HeadsChanged);
        cx.post(Fact::HeadRolledBack { from, reason });
    }

    /// The previous head's live results do not count for this one.
    fn serve(&mut self, cx: &mut Cx<'_>, head: Option<&HeadRef>, record: Option<crate::eval::live::Record>) {
        let version = head.map(|head| head.version);
        self.live.serves(version, record);
        cx.task_act(TaskAct::Serve(version));
        self.is_to_judge = true;
    }

    /// A request puts a stored head in service.
    pub fn promote_on_request(&mut self, cx: &mut Cx<'_>, name: &str) -> Answer {
        let head = match self.heads.named(name) {
            Ok(chosen) => chosen.head.clone(),
            Err(reason) => return Answer::error(ErrorCode::NotPossible, reason),
        };
        let from = self.heads.champion().map(|champion| champion.head.clone());
        if from.as_ref() != Some(&head) {
            self.put_in_service(cx, &head, Why::Request, "promoted on request".to_owned());
            cx.post(Fact::HeadsChanged);
        }
        command::Promote::answer(&Promoted { head, from })
    }

    /// A request goes back to the previous head.
    pub fn roll_back_on_request(&mut self, cx: &mut Cx<'_>) -> Answer {
        let Some(rollback) = self.heads.roll_back(cx.task_id(), cx.stamp(), "on request") else {
            let reason = "no earlier head is kept for this backbone; see 'edgetuned heads list'";
            return Answer::error(ErrorCode::NotPossible, reason);
        };
        let answer =
            command::Rollback::answer(&RolledBack { head: Some(rollback.to.clone()), from: rollback.from.clone() });
        self.roll_back(cx, rollback);
        answer
    }

    /// The engine starts: the champion serves, the `stored` one at once, with the results that are its own, and what was
    /// in shadow goes on. One
    /// of another backbone cannot serve: it is kept, and a new one is trained as soon as there are labels with
    /// embeddings of the present backbone.
    pub fn start(&mut self, cx: &mut Cx<'_>, stored: Option<u64>) {
        let champion = self.heads.champion().map(|champion| champion.head.version);
        if let Some(version) = champion {
            // Another one took its place just now and serves when that is durable.
            if stored == champion {
                cx.task_act(TaskAct::Resume(version));
            }
        } else if let Some(incompatible) = self.heads.incompatible_champion() {
            let (version, backbone) = (incompatible.head.version, incompatible.backbone.clone());
            let reason = format!("head {version} reads embeddings of {backbone}; images are embedded again");
            self.set_status(cx, version, HeadStatus::Kept, reason.clone());
            let backbone = cx.settings().backbone.clone();
            cx.emit_event(EventKind::BackboneChanged { backbone, reason });
            self.schedule.labels_changed(self.counts.labelled as u64);
        }
        if self.live.champion != champion {
            self.live.serves(champion, None);
            // Or what is stored would be found when the former one serves again: its shadow may be deleted by then.
            self.write_live(cx);
        }
        if let Some(shadow) = &self.live.shadow {
            cx.task_act(TaskAct::Shadow(Some(shadow.head.version)));
        }
        // The label that showed it may have come when everything was about to restart.
        self.roll_back_when_fallen(cx);
    }

    /// Changes a head's status; making one champion leaves no other.
    pub fn set_status(&mut self, cx: &mut Cx<'_>, version: u64, status: HeadStatus, reason: String) {
        if status == HeadStatus::Champion {
            cx.clear_for_task(TaskAlert::Model);
        }
        let at = cx.stamp();
        cx.write(self.heads.set(cx.task_id(), version, status, reason, at));
    }
}
