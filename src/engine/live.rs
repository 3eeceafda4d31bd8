//! How right the head in service is on live images, and what follows when it no longer is.
//!
//! A label that comes for an image predicted before scores that prediction, once, for the head that made it and while
//! that head serves. Two figures come of it ([`crate::wire::LiveFigures`]): one of all such images, one of the
//! images that their digest makes an audit sample. When the second falls significantly under what the head was
//! measured at, the head before it serves again, by itself.

use serde::{Deserialize, Serialize};

use super::Engine;
use super::drift::DriftMemory;
use super::effect::{Effect, Write};
use super::heads::Rollback;
use super::shadow::Shadow;
use crate::eval::drift::Adwin;
use crate::eval::forgetting::Records;
use crate::eval::live::{Record, Score, Tally, fell};
use crate::head::{ClassFigures, Figures};
use crate::wire::{AlertId, Happening, LiveFigure, LiveFigures};
use crate::words::{Label, Now, SampleId, is_audit};

/// Kept over restarts, as JSON.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveMemory {
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
    pub drift: Option<DriftMemory>,
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

impl LiveMemory {
    /// Another head serves: what the former one did does not count for it.
    pub(super) fn serves(&mut self, champion: Option<u64>, record: Option<Record>) {
        self.champion = champion;
        self.record = record;
        self.tally = Tally::default();
        self.errors = Adwin::default();
        self.shadow = None;
    }

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

impl Engine {
    /// A label came for an image: it scores what was said of it.
    pub(super) fn answered(&mut self, now: Now, id: SampleId, label: &Label) {
        let Some((said, head)) = self.catalogue.take_predicted(&id) else { return };
        self.score_shadow(&id, label);
        if self.live.champion != Some(head) {
            return;
        }
        let right = said == *label;
        self.live.tally.add(right, is_audit(&id));
        let cut = self.live.errors.push(f64::from(u8::from(!right)));
        self.write_live();
        if let Some(cut) = cut.filter(|cut| cut.after > cut.before) {
            self.stream_drifted(now, "error", cut);
        }
        self.roll_back_when_fallen(now);
    }

    fn roll_back_when_fallen(&mut self, now: Now) {
        let Some(record) = &self.live.record else { return };
        let Some(why) = fell(record, self.live.tally.audit) else { return };
        if let Some(rollback) = self.heads.roll_back(self.clock.stamp(now.wall), &why) {
            self.rolled_back(now, rollback);
        } else if self.live.drift.is_none() {
            let reason = format!("{why}; no earlier head is kept: label images of late, and a training follows");
            self.drifted(now, "error", None, None, reason, now.wall);
        }
    }

    /// An earlier head serves again.
    pub(super) fn rolled_back(&mut self, now: Now, rollback: Rollback) {
        let Rollback { from, to, reason, writes } = rollback;
        self.effects.extend(writes.map(Effect::Write));
        self.clear(now, AlertId::Model);
        self.end_shadow(now, "rolled back meanwhile");
        self.live.serves(Some(to.version), None);
        self.write_live();
        self.effects.push(Effect::Serve(Some(to.version)));
        self.announce(now, Happening::RolledBack { head: Some(to), from: from.clone(), reason: reason.clone() });
        self.update_rolled_back(now, &from, &reason);
        self.publish_info(now);
    }

    pub(super) fn write_live(&mut self) {
        self.write(Write::Live(Box::new(self.live.clone())));
    }
}
