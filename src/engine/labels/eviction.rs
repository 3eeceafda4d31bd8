//! Keeping the store within its quota: when samples are evicted, and what is reported about it.
//!
//! The quota is that of the state folder. Samples count at the size that they take when many were dropped between them;
//! unsent messages, and what else is in the folder by measurement, count beside them: heads, statistics, backbones, the
//! log, names of files. The size of the database's file says little, since pages that dropped samples left behind in
//! part are neither free nor full. A quarter of the quota is left to samples whatever else there is. The bytes of frames may
//! take half of it, and go where no sample may.
//!
//! Which ones are evicted is computed in the shell by [`crate::eval::budget::evict`], whose reasons these are; here it
//! is decided when, and nothing is evicted that changed in the meantime.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::context::Cx;
use super::super::event::EvictionCandidate;
use super::super::fact::Fact;
use super::super::step::Act;
use super::super::write::Write;
use super::{Labels, UnderWay};
use crate::eval::budget::Why;
use crate::wire::EventKind;
use crate::words::{Component, Label, SampleId, TaskId};

/// One part in so many of the quota is freed at a time, so that it is not done for every image.
const SLACK_ONE_OF: u64 = 20;

/// Samples that are deleted in one commit; what was found beyond them goes with the next ticks, so that no image waits for long.
const AT_ONCE: usize = 500;

fn slack(quota: u64) -> u64 {
    quota.div_ceil(SLACK_ONE_OF)
}

/// Samples, their labels in all tasks, and verdicts.
type Holdings = (usize, usize, u64);

/// Whether samples are being looked for, and whether there were none.
#[derive(Debug, Default)]
pub(super) struct Eviction {
    /// The holdings when samples began to be looked for.
    running: Option<Holdings>,
    /// What was found and is still to go, and how many went.
    going: VecDeque<EvictionCandidate>,
    gone: BTreeMap<Why, u64>,
    /// The holdings of which nothing could be evicted. Until they change no search is made.
    exhausted: Option<Holdings>,
    /// Verdicts after which more labels are in the statistics, and their samples may go.
    verdicts: u64,
    /// Whether it was reported that nothing can be evicted.
    reported: bool,
}

impl Labels {
    /// Over the quota, samples are looked for that can go.
    pub fn keep_within_quota(&mut self, cx: &mut Cx<'_>) {
        let (sample_bytes, quota) = (cx.settings().sample_bytes, cx.settings().quota_bytes);
        let pictures = self.under_way.pictures.bytes();
        if pictures > quota / 2 {
            self.let_pictures_go(cx, pictures - quota / 2 + slack(quota));
        }
        let (samples, pictures) = (self.known.len() as u64 * sample_bytes, self.under_way.pictures.bytes());
        let used = samples + pictures + cx.messages.outbox_bytes() + cx.messages.store_beside_bytes();
        if used <= quota || samples + pictures <= quota / 4 {
            (self.eviction.exhausted, self.eviction.reported) = (None, false);
            return;
        }
        if self.eviction.running.is_some() || self.eviction.exhausted == Some(self.holdings()) || cx.is_stopping() {
            return;
        }
        // Each takes its picture along.
        let each = sample_bytes + pictures / self.known.len().max(1) as u64;
        let count = (used - quota + slack(quota)).div_ceil(each) as usize;
        self.eviction.running = Some(self.holdings());
        cx.act(Act::Evict { count });
    }

    /// Lets go of so many bytes of pictures, or of all of them; how many it were.
    fn let_pictures_go(&mut self, cx: &mut Cx<'_>, bytes: u64) -> u64 {
        let UnderWay { pictures, labelled, .. } = &mut self.under_way;
        pictures.make_room(cx, bytes, |id| labelled.contains_key(id))
    }

    fn holdings(&self) -> Holdings {
        let labels = self.sheets.values().map(|sheet| sheet.index.labelled()).sum();
        (self.known.len(), labels, self.eviction.verdicts)
    }

    /// The statistics hold the labels that a verdict saw: what had to wait for that may go.
    pub fn statistics_stored(&mut self, cx: &mut Cx<'_>, task: TaskId, file: Vec<u8>) {
        cx.write(Write::Statistics { task, file });
        self.eviction.verdicts += 1;
    }

    /// Deletes a sample; false where it is not known. Its files are forgotten with [`Labels::forget_files`].
    pub(super) fn delete_sample(&mut self, cx: &mut Cx<'_>, id: SampleId) -> bool {
        let is_known = self.known.remove(&id);
        if is_known {
            cx.write(Write::DeleteSample { id });
            self.under_way.labelled.remove(&id);
            self.under_way.pictures.remove(&id);
            for sheet in self.sheets.values_mut() {
                sheet.index.remove(&id);
                sheet.doubts.forget(&id);
            }
        }
        is_known
    }

    /// Forgets the files of samples that were deleted.
    pub(super) fn forget_files(&mut self) {
        // Not those of samples that a task does not look at yet.
        self.sheets.values_mut().for_each(|sheet| sheet.index.forget_files(&self.known));
    }

    /// These images need no label any more, in no task.
    pub(super) fn no_longer_asked(&mut self, cx: &mut Cx<'_>, ids: &BTreeSet<SampleId>) {
        for (task, sheet) in &mut self.sheets {
            sheet.no_longer_asked(&mut cx.of(task), ids);
        }
    }

    /// The labels of a sample that its tasks learn from, in the order of the tasks' names.
    fn labels_of(&self, id: &SampleId) -> Vec<(TaskId, Label)> {
        let label = |(task, sheet): (&TaskId, &super::Sheet)| {
            let label = sheet.index.label(id).filter(|_| !sheet.index.is_excluded(id))?;
            Some((task.clone(), label.clone()))
        };
        self.sheets.iter().filter_map(label).collect()
    }

    /// Drops what was found and still is as it was.
    pub fn evict(&mut self, cx: &mut Cx<'_>, found: Vec<EvictionCandidate>) {
        self.eviction.going = found.into();
        self.evict_some(cx);
    }

    /// Whether something that was found is still to go.
    pub fn are_going(&self) -> bool {
        !self.eviction.going.is_empty()
    }

    /// Drops the next of what was found.
    pub fn evict_some(&mut self, cx: &mut Cx<'_>) {
        let next = AT_ONCE.min(self.eviction.going.len());
        for EvictionCandidate { id, labels, why } in self.eviction.going.drain(..next).collect::<Vec<_>>() {
            let is_as_it_was = self.labels_of(&id) == labels && !self.under_way.leaving.contains(&id);
            if !is_as_it_was || !self.delete_sample(cx, id) {
                continue;
            }
            self.no_longer_asked(cx, &[id].into());
            *self.eviction.gone.entry(why).or_default() += 1;
        }
        if !self.are_going() {
            self.evicted(cx);
        }
    }

    /// All that was found has gone.
    fn evicted(&mut self, cx: &mut Cx<'_>) {
        let searched = self.eviction.running.take().unwrap_or_else(|| self.holdings());
        let counts = std::mem::take(&mut self.eviction.gone);
        let count: u64 = counts.values().sum();
        if count == 0 {
            let quota = cx.settings().quota_bytes;
            if self.let_pictures_go(cx, slack(quota)) > 0 {
                return;
            }
            // What came during the search was not looked at.
            self.eviction.exhausted = Some(searched);
            if std::mem::replace(&mut self.eviction.reported, true) {
                return;
            }
            let reason = "the store is over its quota and nothing in it may be evicted: raise store.quota_mb, or \
                          remove labels";
            return cx.error(Component::Store, reason.to_owned());
        }
        self.eviction.reported = false;
        self.forget_files();
        cx.post(Fact::SamplesEvicted { count });
        let why = counts.iter().map(|(why, count)| format!("{count} {why}")).collect::<Vec<_>>().join(", ");
        cx.emit_event(EventKind::Evicted { count, why });
    }
}
