//! Keeping the store within its quota: when samples have to go, and what is said of it.
//!
//! What counts is what is kept: samples at their usual size, and unsent messages. The file's own size says little, since
//! pages that samples left behind in part are neither free nor full; new samples fill them again.
//!
//! Which ones go is worked out at the rim by [`crate::eval::budget::evict`], whose reasons these are; here it is decided when,
//! and nothing goes that changed in the meantime.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Engine;
use super::effect::{Effect, Write};
use super::event::Evictable;
use crate::eval::budget::Why;
use crate::wire::Happening;
use crate::words::Now;

/// What is freed at a time, as a share of the quota, so that it is not done for every image.
const SLACK: f64 = 0.05;

/// Whether samples are being looked for, and whether there were none.
#[derive(Debug, Default)]
pub(super) struct Budget {
    running: bool,
    /// How things stood when nothing could go: samples, labelled ones, and verdicts. Until that changes nobody looks again.
    exhausted: Option<(usize, usize, u64)>,
    /// Verdicts after which more labels are in the statistics, and their samples may go.
    verdicts: u64,
    /// Whether somebody was told that nothing may go.
    told: bool,
}

impl Engine {
    /// Over the quota, samples are looked for that can go.
    pub(super) fn keep_within_quota(&mut self) {
        let samples = self.catalogue.len() as u64 * self.settings.sample_bytes;
        let (used, quota) = (samples + self.spool.bytes(), self.settings.quota_bytes);
        if used <= quota {
            (self.budget.exhausted, self.budget.told) = (None, false);
            return;
        }
        if self.budget.running || self.budget.exhausted == Some(self.holdings()) || self.stopping {
            return;
        }
        let excess = (used - quota) as f64 + SLACK * quota as f64;
        let count = (excess / self.settings.sample_bytes as f64).ceil() as usize;
        self.budget.running = true;
        self.effects.push(Effect::Evict { count });
    }

    /// A file that was dropped or put aside is remembered, so that no listing takes it in again, for as long as it is there.
    /// While a watched folder is lost all its files seem to be gone, so nobody looks.
    pub(super) fn look_for_gone_files(&mut self) {
        if self.watching.is_well() && !self.stopping {
            self.effects.push(Effect::LookForGone);
        }
    }

    /// Forgets them, unless a folder was lost meanwhile.
    pub(super) fn forget_files(&mut self, gone: Vec<(PathBuf, bool)>) {
        if !self.watching.is_well() || self.outage.lasts() {
            return;
        }
        for (path, was_put_aside) in gone {
            self.reports.quarantined = self.reports.quarantined.saturating_sub(u64::from(was_put_aside));
            self.write(Write::ForgetFile { path });
        }
    }

    fn holdings(&self) -> (usize, usize, u64) {
        (self.catalogue.len(), self.catalogue.labelled(), self.budget.verdicts)
    }

    /// The statistics hold the labels that a verdict saw: what had to wait for that may go.
    pub(super) fn statistics_settled(&mut self, file: Vec<u8>) {
        self.write(Write::Statistics { file });
        self.budget.verdicts += 1;
    }

    /// Drops what was found and still is as it was.
    pub(super) fn evict(&mut self, now: Now, found: Vec<Evictable>) {
        self.budget.running = false;
        let mut counts: BTreeMap<Why, u64> = BTreeMap::new();
        for Evictable { id, label, why } in found {
            if self.catalogue.label(&id) != label.as_ref() || !self.catalogue.remove(&id) {
                continue;
            }
            self.write(Write::Evict { id });
            self.no_longer_asked(now, &id);
            *counts.entry(why).or_default() += 1;
        }
        let count: u64 = counts.values().sum();
        if count == 0 {
            self.budget.exhausted = Some(self.holdings());
            if std::mem::replace(&mut self.budget.told, true) {
                return;
            }
            let reason = "the store is over its quota and nothing in it may go: raise store.quota_mb, or remove labels";
            return self.error(now, "store", reason.to_owned());
        }
        self.budget.told = false;
        self.live.evicted += count;
        self.write_live();
        let why = counts.iter().map(|(why, count)| format!("{count} {why}")).collect::<Vec<_>>().join(", ");
        self.announce(now, Happening::Evicted { count, why });
    }
}
