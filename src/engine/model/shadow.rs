//! Shadow mode: a challenger that passed the gate runs unseen beside the champion for a number of live images.
//!
//! It ends in a promotion unless the labels that came meanwhile show it to be worse: of the images that both called
//! differently and that got a label, it has to be right on so many that a coin could have done it (one-sided exact
//! sign test, 5 %). Without such labels its having passed the gate decides.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::event::{Scored, TrainingOutcome};
use super::super::fact::Fact;
use super::super::step::TaskAct;
use super::super::write::HeadStatus;
use super::Model;
use super::in_service::Why;
use super::live_accuracy::Measured;
use crate::eval::sign_test;
use crate::wire::EventKind;
use crate::words::{HeadRef, Label, SampleId};

/// A challenger is rejected when a coin would do as badly less often than this.
const SIGNIFICANCE: f64 = 0.05;

/// A head in shadow, and how it does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// The head.
    pub head: HeadRef,
    /// What it was measured at.
    pub measured: Measured,
    /// Images that both classified.
    pub seen: u64,
    /// Of these, the ones that they called alike.
    pub agreed: u64,
    /// Labelled disagreements that it was right on and the champion wrong.
    pub won: u64,
    /// The opposite.
    pub lost: u64,
    /// What both called the images that they disagree on, champion first, until a label comes; forgotten at a restart.
    #[serde(skip)]
    differing: BTreeMap<SampleId, (Label, Label)>,
}

impl Shadow {
    fn new(head: HeadRef, measured: Measured) -> Self {
        Self { head, measured, seen: 0, agreed: 0, won: 0, lost: 0, differing: BTreeMap::new() }
    }

    fn summary(&self) -> String {
        let agreement = 100.0 * self.agreed as f64 / (self.seen as f64).max(1.0);
        let labelled = self.won + self.lost;
        let right = self.won;
        format!(
            "they agree on {agreement:.1} % of {} live images; of {labelled} labelled disagreements it was right on \
             {right}",
            self.seen
        )
    }
}

impl Model {
    /// Whether a challenger that may serve has to answer unseen first.
    pub fn shadows(&self, cx: &Cx<'_>, outcome: &TrainingOutcome) -> bool {
        cx.task().shadow_images > 0 && self.heads.champion().is_some() && !outcome.verdict.provisional
    }

    /// Begins; a challenger in shadow already gives way.
    pub fn begin_shadow(&mut self, cx: &mut Cx<'_>, head: HeadRef, measured: Measured) {
        self.end_shadow(cx, &format!("head {} replaces it in shadow mode", head.version));
        cx.task_act(TaskAct::Shadow(Some(head.version)));
        self.live.shadow = Some(Shadow::new(head, measured));
        self.write_live(cx);
    }

    /// Both classified a new image.
    pub fn shadowed(&mut self, cx: &mut Cx<'_>, id: SampleId, scored: &Scored) {
        // After a restart another head may serve.
        if cx.is_stopping() {
            return;
        }
        let (Some(shadow), Some(said)) = (&mut self.live.shadow, &scored.shadow) else { return };
        let Some((champions, _)) = scored.top.first().filter(|_| said.version == shadow.head.version) else { return };
        shadow.seen += 1;
        if *champions == said.label {
            shadow.agreed += 1;
        } else {
            shadow.differing.insert(id, (champions.clone(), said.label.clone()));
        }
        if shadow.seen < cx.task().shadow_images {
            return self.write_live(cx);
        }
        self.conclude_shadow(cx);
    }

    /// A label came for an image that both may have called differently.
    pub fn score_shadow(&mut self, id: &SampleId, label: &Label) {
        let Some(shadow) = &mut self.live.shadow else { return };
        let Some((champions, shadows)) = shadow.differing.remove(id) else { return };
        shadow.won += u64::from(shadows == *label);
        shadow.lost += u64::from(champions == *label);
    }

    fn conclude_shadow(&mut self, cx: &mut Cx<'_>) {
        let Some(shadow) = self.live.shadow.take() else { return };
        let champion = self.heads.champion().map_or(0, |champion| champion.head.version);
        let (head, summary) = (shadow.head.clone(), shadow.summary());
        cx.task_act(TaskAct::Shadow(None));
        if sign_test(shadow.won, shadow.lost) < SIGNIFICANCE {
            let reason =
                format!("kept head {champion}: head {} was shown to be worse in shadow mode: {summary}", head.version);
            self.set_status(cx, head.version, HeadStatus::Rejected, reason.clone());
            self.write_live(cx);
            cx.emit_event(EventKind::Rejected { head, reason });
        } else {
            let reason = format!("promoted head {} after shadow mode beside head {champion}: {summary}", head.version);
            self.put_in_service(cx, &head, Why::Verdict(&shadow.measured), reason);
        }
        cx.post(Fact::HeadsChanged);
    }

    /// Ends it without a verdict; the head in shadow is kept.
    pub fn end_shadow(&mut self, cx: &mut Cx<'_>, why: &str) {
        let Some(shadow) = self.live.shadow.take() else { return };
        let reason = format!("in shadow until {} of {} images: {why}", shadow.seen, cx.task().shadow_images);
        self.set_status(cx, shadow.head.version, HeadStatus::Kept, reason);
        cx.task_act(TaskAct::Shadow(None));
    }
}
