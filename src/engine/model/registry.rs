//! The heads that are kept: which one serves, and which one a rollback goes back to.

use std::collections::BTreeMap;

use super::super::snapshot::HeadInfo;
use super::super::write::{HeadStatus, Write};
use crate::words::{EmbeddingSpace, HeadId, HeadRef, TaskId, Timestamp};

/// Heads that are kept, where the quota has room for them.
pub(in crate::engine) const HEADS_MAX: usize = 32;
/// Heads that are kept whatever the quota is.
const HEADS_MIN: usize = 4;
/// One head is kept for so many bytes of the quota: a head with its held-out answers has some 150 KB.
const QUOTA_PER_HEAD: u64 = 2 << 20;

/// How many heads are kept under this quota.
pub(super) fn heads_max(quota_bytes: u64) -> usize {
    usize::try_from(quota_bytes / QUOTA_PER_HEAD).unwrap_or(HEADS_MAX).clamp(HEADS_MIN, HEADS_MAX)
}

/// All stored heads, oldest first, as one embedding space sees them.
#[derive(Debug)]
pub struct Registry {
    stored: Vec<HeadInfo>,
    space: EmbeddingSpace,
    reserved: BTreeMap<HeadOrigin, u64>,
    /// The highest version of a head that was deleted.
    deleted: u64,
    /// The head that comes back if the backbone on trial has to go again.
    former: Option<u64>,
}

/// Where a head that is being made comes from; one at a time of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum HeadOrigin {
    /// A training of this device.
    Training,
    /// A signed update.
    Update,
    /// A training on the embeddings of another backbone.
    Backbone,
}

/// A rollback that was decided.
#[derive(Debug)]
pub struct Rollback {
    /// The head taken out of service.
    pub from: HeadRef,
    /// The head back in service.
    pub to: HeadRef,
    /// In words.
    pub reason: String,
    /// What makes it durable.
    pub writes: [Write; 2],
}

impl Registry {
    /// The stored `heads`, of which those of `space` can serve.
    #[must_use]
    pub fn new(heads: Vec<HeadInfo>, space: EmbeddingSpace) -> Self {
        Self { stored: heads, space, reserved: BTreeMap::new(), deleted: 0, former: None }
    }

    /// No version up to this one is given any more: heads that had them were deleted.
    pub(super) fn deleted_up_to(mut self, version: u64) -> Self {
        self.deleted = version;
        self
    }

    /// The head of this version comes back if the backbone on trial has to go again.
    pub(super) fn may_come_back(&mut self, version: u64) {
        self.former = Some(version);
    }

    /// The head in service: the champion, if it reads the embeddings of the present backbone.
    #[must_use]
    pub fn champion(&self) -> Option<&HeadInfo> {
        self.stored.iter().find(|head| head.status == HeadStatus::Champion && head.space == self.space)
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn all(&self) -> &[HeadInfo] {
        &self.stored
    }

    /// The head of this version, or the latest one whose id begins with these 4 or more characters.
    ///
    /// # Errors
    /// In words, when there is none, several different ones, or one for another backbone.
    pub(super) fn named(&self, name: &str) -> Result<&HeadInfo, String> {
        let by_version = self.stored.iter().find(|head| head.head.version.to_string() == name);
        let by_id = |head: &&HeadInfo| name.len() >= 4 && head.head.id.0.starts_with(name);
        let found = by_version.or_else(|| self.stored.iter().rev().find(by_id));
        let Some(found) = found else {
            return Err(format!("there is no head {name}; 'edgetuned heads list' shows what there is"));
        };
        if by_version.is_none() && self.stored.iter().filter(by_id).any(|other| other.head.id != found.head.id) {
            return Err(format!("{name} is the start of more than one head's id; give more of it, or a version"));
        }
        if found.space != self.space {
            return Err(format!("{} reads embeddings of {}, which is not in service", found.head, found.backbone));
        }
        Ok(found)
    }

    /// A champion of another backbone, which cannot serve.
    pub(super) fn incompatible_champion(&self) -> Option<&HeadInfo> {
        self.stored.iter().find(|head| head.status == HeadStatus::Champion && head.space != self.space)
    }

    /// A rejected head with the same weights: a training on the same labels makes it again.
    pub(super) fn rejected_twin(&self, id: &HeadId) -> Option<&HeadInfo> {
        self.stored.iter().find(|head| head.status == HeadStatus::Rejected && head.head.id == *id)
    }

    /// Takes out the heads beyond `heads_max` and returns their versions: rejected ones first, then those that never
    /// served, then the ones that served longest ago; never the champion, nor the one that a rollback goes back to, nor
    /// the last one that served with another backbone, which may come back, nor the one that does if a trial fails.
    pub(super) fn prune(&mut self, shadow: Option<u64>, heads_max: usize) -> Vec<u64> {
        let back = self.previous().map(|head| head.head.version);
        let others = self.stored.iter().filter(|head| head.space != self.space && head.promoted_at.is_some());
        let other_backbone = others.max_by_key(|head| head.promoted_at).map(|head| head.head.version);
        let mut pruned = Vec::new();
        while self.stored.len() > heads_max {
            let spare = |head: &&HeadInfo| {
                let version = Some(head.head.version);
                head.status != HeadStatus::Champion && ![back, shadow, other_backbone, self.former].contains(&version)
            };
            let rank = |head: &&HeadInfo| (head.status != HeadStatus::Rejected, head.promoted_at, head.head.version);
            let Some(oldest) = self.stored.iter().filter(spare).min_by_key(rank) else { break };
            let version = oldest.head.version;
            self.stored.retain(|head| head.head.version != version);
            self.deleted = self.deleted.max(version);
            pruned.push(version);
        }
        pruned
    }

    /// Gives a version to the head that is being made, above all that there are, were, and are given. All versions come
    /// from here, before the head is made, so that every message about it names the version under which it is stored.
    pub(super) fn reserve_version(&mut self, origin: HeadOrigin) -> u64 {
        self.reserve_above(origin, 0)
    }

    /// The same, above another version, from which it is to be told.
    pub(super) fn reserve_above(&mut self, origin: HeadOrigin, other: u64) -> u64 {
        self.release_version(origin);
        let stored = self.stored.iter().map(|head| head.head.version);
        let version = stored.chain(self.reserved.values().copied()).fold(self.deleted.max(other), u64::max) + 1;
        self.reserved.insert(origin, version);
        version
    }

    /// Whether the head that is being made there has this version.
    pub(super) fn is_reserved(&self, origin: HeadOrigin, version: u64) -> bool {
        self.reserved.get(&origin) == Some(&version)
    }

    /// No head is being made there any more: where none was stored, the version may be given again.
    pub(super) fn release_version(&mut self, origin: HeadOrigin) {
        self.reserved.remove(&origin);
    }

    /// Adds a head that was just trained.
    pub(super) fn add(&mut self, head: HeadInfo) {
        self.stored.push(head);
    }

    /// The head that served before the present one and was not rejected since.
    fn previous(&self) -> Option<&HeadInfo> {
        self.stored
            .iter()
            .filter(|head| head.status == HeadStatus::Kept && head.space == self.space)
            .filter(|head| head.promoted_at.is_some())
            .max_by_key(|head| (head.promoted_at, head.head.version))
    }

    /// Sets a head's status and returns what makes it durable; making one champion keeps the present one for a
    /// rollback.
    pub fn set(&mut self, task: TaskId, version: u64, status: HeadStatus, reason: String, at: Timestamp) -> Write {
        for head in &mut self.stored {
            if head.head.version == version {
                head.status = status;
                head.reason.clone_from(&reason);
                if status == HeadStatus::Champion {
                    head.promoted_at = Some(at);
                }
            } else if status == HeadStatus::Champion && head.status == HeadStatus::Champion {
                head.status = HeadStatus::Kept;
            }
        }
        Write::HeadStatus { task, version, status, reason, at }
    }

    /// Goes back to the head before the present one; the present one is rejected, so that a second rollback goes
    /// further back. `why` becomes part of the reason. `None` when there is no champion or no earlier head.
    pub fn roll_back(&mut self, task: TaskId, at: Timestamp, why: &str) -> Option<Rollback> {
        let (from, to) = (self.champion()?.head.clone(), self.previous()?.clone());
        let reason = format!("rolled back from head {} to head {}: {why}", from.version, to.head.version);
        let writes = [
            self.set(task.clone(), from.version, HeadStatus::Rejected, reason.clone(), at),
            self.set(task, to.head.version, HeadStatus::Champion, to.reason, at),
        ];
        Some(Rollback { from, to: to.head, reason, writes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::snapshot;

    fn heads() -> Registry {
        let stored = snapshot().default_task().heads.clone();
        let space = stored[0].space;
        Registry::new(stored, space)
    }

    #[test]
    fn no_two_heads_that_are_made_at_a_time_get_the_same_version() {
        let mut heads = heads();
        let versions = [HeadOrigin::Backbone, HeadOrigin::Training, HeadOrigin::Update];
        assert_eq!(versions.map(|origin| heads.reserve_version(origin)), [3, 4, 5]);
    }

    #[test]
    fn a_small_quota_keeps_fewer_heads() {
        assert_eq!([0, 8, 20, 512].map(|mib| heads_max(mib << 20)), [4, 4, 10, 32]);
        assert_eq!(heads_max(u64::MAX), 32);
    }

    #[test]
    fn the_head_that_served_with_another_backbone_last_is_not_pruned() {
        let mut heads = heads();
        let template = heads.all()[0].clone();
        let other = EmbeddingSpace { dim: template.space.dim + 1, ..template.space };
        for version in 3..9 {
            let head = HeadRef { version, ..template.head.clone() };
            let (space, promoted_at) =
                (if version < 6 { other } else { template.space }, Some(Timestamp(version as i64)));
            heads.add(HeadInfo { head, space, promoted_at, status: HeadStatus::Kept, ..template.clone() });
        }
        let mut on_trial = Registry::new(heads.all().to_vec(), template.space);
        let pruned = heads.prune(None, 4);
        assert!(pruned.contains(&4) && !pruned.contains(&5), "{pruned:?}: its backbone may come back");
        // Another head served with that backbone since, when it was tried before.
        on_trial.may_come_back(4);
        let pruned = on_trial.prune(None, 4);
        assert!(pruned.contains(&3) && !pruned.contains(&4), "{pruned:?}: it comes back with its backbone");
    }

    #[test]
    fn the_version_of_a_deleted_head_is_not_given_again() {
        let (mut heads, newest) = (heads(), HEADS_MAX as u64 + 1);
        let template = heads.all()[0].clone();
        for version in 3..=newest {
            let head = HeadRef { version, ..template.head.clone() };
            let status = if version == newest { HeadStatus::Rejected } else { HeadStatus::Kept };
            heads.add(HeadInfo { head, status, ..template.clone() });
        }
        assert_eq!(heads.prune(None, HEADS_MAX), [newest]);
        assert_eq!(heads.reserve_version(HeadOrigin::Training), newest + 1);
        let mut restarted = Registry::new(heads.all().to_vec(), template.space).deleted_up_to(newest);
        assert_eq!(restarted.reserve_version(HeadOrigin::Training), newest + 1);
    }

    #[test]
    fn a_version_for_which_no_head_was_stored_is_given_again() {
        let mut heads = heads();
        assert_eq!(heads.reserve_version(HeadOrigin::Training), 3);
        assert_eq!(heads.reserve_version(HeadOrigin::Training), 3, "one at a time");
        assert_eq!(heads.reserve_above(HeadOrigin::Training, 3), 4, "told from the one before");
        heads.release_version(HeadOrigin::Training);
        assert_eq!(heads.reserve_version(HeadOrigin::Update), 3);
    }
}
