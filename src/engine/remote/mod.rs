//! What is sent to the device and can break it: settings, heads and backbones; each on probation until it has proved
//! itself.
//!
//! On probation, each start is counted before it is tried. After [`STARTS_MAX`] starts none of which worked for
//! [`PROBATION`], the previous one is restored. A start that was cut short by a power cut counts like one that crashed:
//! they cannot be told apart, and three in a row within a minute are rare.

mod backbone_swap;
mod backbone_switch;
mod config_patch;
mod config_request;
mod updates;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use updates::Updates;

use super::context::Cx;
use super::fact::Fact;
use super::snapshot::Snapshot;
use super::step::{Next, Systemd};
use super::write::Write;
use crate::wire::{EventKind, UpdateKind};
use crate::words::{Digest, HeadRef, TaskId};
pub use backbone_swap::{
    BackboneState, InstalledBackbone, ModelSource, PreviousBackbone, RevertedBackbone, SwapOrder, SwapPair, SwapResult,
};
pub use backbone_switch::{BackboneSwitch, FoundBackbone, SwitchEnd};
pub use config_patch::{ConfigPatch, Configure, GoodPatch, Judge};
pub use updates::{Refused, StoredUpdate, UpdateRecord, UpdateSettings};

/// The machine of what comes from elsewhere.
#[derive(Debug)]
pub(super) struct Remote {
    config: ConfigPatch,
    updates: Updates,
    backbone: BackboneState,
    /// Images that the next backbone has embedded, and of how many, while one is prepared.
    swap_progress: Option<(u64, u64)>,
    /// Whether a training runs, as the model's machine posted.
    training_runs: bool,
    /// Whether a head is compared with the champion, as the model's machine knows it.
    posted_comparing: bool,
}

impl Remote {
    pub fn new(snapshot: &mut Snapshot) -> Self {
        Self {
            config: std::mem::take(&mut snapshot.twin),
            updates: Updates::new(std::mem::take(&mut snapshot.updates)),
            backbone: std::mem::take(&mut snapshot.backbone),
            swap_progress: None,
            training_runs: snapshot.tasks.values().any(|task| task.training.running.is_some()),
            posted_comparing: false,
        }
    }

    /// The manifests that were checked last, for the next engine of this process.
    pub fn seen_manifests(&self) -> BTreeMap<UpdateKind, Digest> {
        self.updates.seen()
    }

    /// An earlier engine of this process checked these.
    pub fn saw_manifests(&mut self, seen: &BTreeMap<UpdateKind, Digest>) {
        self.updates.saw(seen);
    }

    /// The engine starts, with these heads in service: goes on with what was under way, and counts the start for what is
    /// on probation.
    pub fn start(&mut self, cx: &mut Cx<'_>, champions: &BTreeMap<TaskId, HeadRef>) {
        self.report_reverted(cx);
        self.resume_switch(cx);
        self.start_updates(cx, champions);
    }

    /// Time passed, and the store takes writes.
    pub fn tick(&mut self, cx: &mut Cx<'_>) {
        self.updates_tick(cx);
    }

    /// Ends probations that the daemon has lived through.
    pub fn confirm(&mut self, cx: &mut Cx<'_>) {
        // What was accepted just now is tried by the start that follows, not by what ran until now.
        if cx.is_stopping() {
            return;
        }
        self.confirm_patch(cx);
        self.confirm_backbone(cx);
    }

    /// A training runs, or none does.
    pub fn training_runs(&mut self, runs: bool) {
        self.training_runs = runs;
    }

    /// Posts whether a head is compared with the champion, where that changed.
    pub fn post_comparing(&mut self, cx: &mut Cx<'_>) {
        let is_comparing = self.updates.is_judging();
        if std::mem::replace(&mut self.posted_comparing, is_comparing) != is_comparing {
            cx.post(Fact::ComparingHead(is_comparing));
        }
    }

    /// This engine ends on purpose, which says nothing against what is on probation: the start does not count.
    pub fn uncount_starts(&mut self, cx: &mut Cx<'_>) {
        if let Some(probation) = &mut self.config.trial {
            probation.uncount_start();
            cx.write(Write::ConfigPatchState(self.config.clone()));
        }
        if let Some(probation) = &mut self.backbone.trial {
            probation.uncount_start();
            cx.write(Write::BackboneState(Box::new(self.backbone.clone())));
        }
        self.uncount_head_start(cx);
    }

    /// The configuration's files were read again and are good.
    pub fn config_ready(&mut self, cx: &mut Cx<'_>) {
        self.restart(cx, EventKind::ConfigChanged { reason: "the configuration was read again".to_owned() });
    }

    /// Everything but the broker's connection restarts, with the durable state.
    fn restart(&mut self, cx: &mut Cx<'_>, why: EventKind) {
        if cx.end(Next::Restart) {
            cx.emit_event(why);
            self.uncount_starts(cx);
            cx.give_up_requests();
            cx.notify(Systemd::Reloading);
        }
    }
}

/// How long the daemon has to work with what is new.
pub const PROBATION: Duration = crate::update::PROBATION;

/// Starts that are tried.
pub const STARTS_MAX: u32 = 3;

/// Something new that is on trial, and what was before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probation<T> {
    /// Starts so far.
    pub starts: u32,
    /// What is restored when it fails.
    pub before: T,
}

impl<T> Probation<T> {
    /// A trial of what the next start will try first.
    pub fn new(before: T) -> Self {
        Self { starts: 0, before }
    }

    /// A trial of what is tried already, in this run of the daemon.
    pub fn under_way(before: T) -> Self {
        Self { starts: 1, before }
    }

    /// Counts a start; false when it has been tried often enough.
    #[must_use]
    pub fn count_start(&mut self) -> bool {
        self.starts += 1;
        self.starts <= STARTS_MAX
    }

    /// The daemon stops on purpose, which does not count against what is new: the start that follows does not count.
    pub fn uncount_start(&mut self) {
        self.starts = self.starts.saturating_sub(1);
    }
}

/// The report of a probation that failed by its starts.
pub fn failed_by_starts() -> String {
    format!("the daemon started {STARTS_MAX} times with it and never ran for {} s", PROBATION.as_secs())
}
