//! How right the head in service is on live images, and what follows when it no longer is.
//!
//! A label that comes for an image predicted before scores that prediction, once, for the head that made it and while
//! that head serves. Two figures come of it ([`crate::wire::LiveFigures`]): one of all such images, one of the
//! images that their digest makes an audit sample. When the second falls significantly under what the head was
//! measured at, the head before it serves again, by itself.

use serde::{Deserialize, Serialize};

use super::super::context::Cx;
use super::super::write::Write;
use super::Model;
use super::drift::{DriftState, Shift};
use super::shadow::Shadow;
use crate::eval::drift::Adwin;
use crate::eval::forgetting::Records;
use crate::eval::live::{Record, Score, Tally, fell};
use crate::head::{ClassFigures, Figures};
use crate::wire::{LiveFigure, LiveFigures};
use crate::words::{Label, SampleId, is_audit};

/// Kept over restarts, as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveAccuracy {
    /// Version of the head that the results are of.
    pub champion: Option<u64>,
    /// What that head was measured at when it was promoted.
    pub record: Option<Record>,
    /// Its results on images that were predicted before their label came.
    pub tally: Tally,
    /// The stream of errors on labelled images.
    pub errors: Adwin,
    /// The head that answers unseen.
    pub shadow: Option<Shadow>,
    /// The best recall that each class ever had.
    pub best: Records,
    /// The drift that was found and not yet answered by a training.
    pub drift: Option<DriftState>,
    /// Samples ever dropped to keep the store within its quota.
    pub evicted: u64,
}

/// What a head was measured at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Measured {
    /// On all classes; `None` with too little held out.
    pub record: Option<Record>,
    /// Class by class.
    pub classes: Vec<ClassFigures>,
}

impl Measured {
    pub(super) fn of(figures: Option<&Figures>) -> Self {
        Self {
            record: figures.map(|f| Record { accuracy: f.accuracy, low: f.accuracy_interval[0] }),
            classes: figures.map_or_else(Vec::new, |figures| figures.per_class.clone()),
        }
    }
}

impl LiveAccuracy {
    /// Another head serves: the previous one's results do not count for it.
    pub fn serves(&mut self, champion: Option<u64>, record: Option<Record>) {
        self.champion = champion;
        self.record = record;
        self.tally = Tally::default();
        self.errors = Adwin::default();
        self.shadow = None;
    }

    /// Both figures.
    pub(super) fn figures(&self) -> LiveFigures {
        let figure = |score: Score| LiveFigure {
            n: score.n,
            right: score.right,
            accuracy: score.accuracy(),
            accuracy_interval: score.interval(),
        };
        LiveFigures { prequential: figure(self.tally.all), audit: figure(self.tally.audit) }
    }
}

impl Model {
    /// A label came for an image: it scores the image's prediction.
    pub fn answered(&mut self, cx: &mut Cx<'_>, id: SampleId, label: &Label, predicted: Option<(Label, u64)>) {
        let Some((said, head)) = predicted else { return };
        self.score_shadow(&id, label);
        if self.live.champion != Some(head) {
            return;
        }
        let right = said == *label;
        self.live.tally.add(right, is_audit(&id));
        let cut = self.live.errors.push(f64::from(u8::from(!right)));
        self.write_live(cx);
        if let Some(cut) = cut.filter(|cut| cut.after > cut.before) {
            self.drifted(cx, &Shift::Errors(cut));
        }
        self.roll_back_when_fallen(cx);
    }

    /// A head gives way when too few of its audited predictions were right.
    pub(super) fn roll_back_when_fallen(&mut self, cx: &mut Cx<'_>) {
        // A head that is about to come into service is not rolled back.
        let Some(record) = self.live.record.as_ref().filter(|_| !cx.is_stopping()) else { return };
        let Some(why) = fell(record, self.live.tally.audit) else { return };
        if let Some(rollback) = self.heads.roll_back(cx.task_id(), cx.stamp(), &why) {
            self.roll_back(cx, rollback);
        } else if self.live.drift.is_none() {
            self.drifted(cx, &Shift::Accuracy { why });
        }
    }

    /// Makes the state durable.
    pub fn write_live(&self, cx: &mut Cx<'_>) {
        cx.write(Write::LiveState { task: cx.task_id(), state: Box::new(self.live.clone()) });
    }
}
