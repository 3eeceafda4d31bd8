//! What has to hold after every change. Changes are checked write by write, so that a failure shows the first wrong one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgetuned::engine::{EvictionCandidate, HeadInfo, HeadStatus, OutboxMessage, PromotionPolicy, UpdateRecord, Write};
use edgetuned::eval::budget::Why;
use edgetuned::update::Code;
use edgetuned::wire::{Command, Request, UpdateKind};
use edgetuned::words::{Digest, HeadId, Label, SampleId, TaskId};

use super::super::known::Known;
use super::World;
use super::bounds::Bounds;
use super::forgetting::Forgetting;
use super::frames::Frames;
use super::live::Live;
use super::tasks::Tasks;
use super::tunings::Tunings;

/// What the workers found and the world has seen so far.
#[derive(Debug, Default)]
pub struct Observed {
    /// With which head each challenger was compared, and whether it may serve.
    judged: BTreeMap<(TaskId, HeadId), (Option<u64>, bool)>,
    /// Whether each backbone may take over.
    pub(super) pairs: BTreeMap<Digest, bool>,
    /// Whose bytes are what was signed.
    pub(super) verified: BTreeSet<Digest>,
    /// Every version ever given, and to which head.
    versions: BTreeMap<(TaskId, u64), HeadId>,
    /// Heads that somebody asked for in the events since the last commit.
    asked_for: BTreeSet<(TaskId, String)>,
    /// The head that served when the commit began or came into service since, and whether it was put out of it.
    pub(super) champion: BTreeMap<TaskId, (Option<u64>, bool)>,
    /// Whether somebody asked for a rollback in the events since the last commit.
    pub(super) asked_back: BTreeSet<TaskId>,
    /// Results of the heads in service, where they are known.
    pub(super) live: BTreeMap<TaskId, Live>,
    /// The heads whose predictions were scored since the commit began.
    pub(super) scored: BTreeSet<(TaskId, u64)>,
    /// When each message went into the outbox, since the life began.
    pub spooled_at: BTreeMap<u64, Duration>,
    /// Versions of updates that were installed and did not hold.
    rolled_back: BTreeSet<(UpdateKind, u64)>,
    /// Set while a commit is made of changes that had to wait.
    pub(super) late: bool,
    /// Set while a backbone that did not hold gives way.
    pub(super) reverts: bool,
    /// Samples that could go, with their label then.
    offered: BTreeMap<SampleId, (Vec<(TaskId, Label)>, Why)>,
    /// How often each image was stored for a task, and reported by way of the outbox.
    pub stored: BTreeMap<(TaskId, SampleId), u64>,
    pub reported: BTreeMap<(TaskId, SampleId), u64>,
    /// Pictures that were reported past the outbox, ever, and by this engine without having been stored since.
    pub direct: BTreeMap<(TaskId, SampleId), u64>,
    pub(super) predicted_unstored: BTreeSet<(TaskId, SampleId)>,
    pub evicted: BTreeSet<SampleId>,
    /// Samples whose label went with them, and that were not labelled since.
    unlabelled: BTreeSet<(TaskId, SampleId)>,
    /// Trainings that ended with their task.
    pub(super) purged_trainings: BTreeSet<u64>,
    /// Messages of the outbox that were dropped before they were delivered.
    pub dropped: u64,
    /// Events that say that something was set aside for the broker.
    pub set_aside_reports: u64,
    pub forgetting: Forgetting,
    pub bounds: Bounds,
    pub tasks: Tasks,
    pub frames: Frames,
    pub tunings: Tunings,
    /// Images that were ever named in a label.
    named: BTreeSet<SampleId>,
    /// Images that were excluded or taken back, and of which what learns at once was not told yet.
    pub(super) untold: BTreeSet<(TaskId, SampleId)>,
}

impl Observed {
    pub(super) fn judged(&mut self, task: &TaskId, head: &HeadId, against: Option<u64>, promote: bool) {
        self.judged.insert((task.clone(), head.clone()), (against, promote));
    }

    pub(super) fn offered(&mut self, found: &[EvictionCandidate]) {
        self.offered.extend(found.iter().map(|sample| (sample.id, (sample.labels.clone(), sample.why))));
    }

    /// Somebody gives a label; what an eviction took before does not count any more.
    pub fn labelled_again(&mut self, task: &TaskId, id: &SampleId, label: Option<&Label>) {
        self.unlabelled.remove(&(task.clone(), *id));
        self.tasks.said(task, id, label);
        self.named.insert(*id);
    }

    /// Whether a sample was there and was evicted or forgotten.
    pub fn was_let_go(&self, id: &SampleId) -> bool {
        self.evicted.contains(id) || self.forgetting.ever.contains(id)
    }

    /// Whether the last label of an image went with its sample, or with its class.
    pub fn lost_its_label(&self, task: &TaskId, id: &SampleId) -> bool {
        self.unlabelled.contains(&(task.clone(), *id))
    }

    /// Whether a sample may go, for want of room.
    pub(super) fn is_offered(&self, id: &SampleId) -> bool {
        self.offered.contains_key(id)
    }

    /// A task looks at another part of pictures: the head that served reads what it saw before.
    pub(super) fn looks_elsewhere(&mut self, task: &TaskId) {
        self.live.remove(task);
    }

    /// All that a task knew is gone, trainings that it was to make included.
    pub(super) fn purged(&mut self, task: &TaskId, known: &Known) {
        self.purged_trainings.extend(known.orders().map(|order| order.id));
        self.versions.retain(|(of, _), _| of != task);
        self.live.remove(task);
        self.unlabelled.extend(self.named.iter().map(|id| (task.clone(), *id)));
    }

    /// Another engine begins and does not know what the former one reported.
    pub(super) fn engine_begins(&mut self, now: Duration, elapsed: Duration) {
        self.predicted_unstored.clear();
        self.untold.clear();
        self.forgetting.engine_begins();
        self.bounds.engine_begins(now);
        self.tasks.engine_begins();
        self.frames.engine_begins(elapsed);
    }
}

impl World {
    /// A request is handed to the engine: what somebody asks for may happen without a comparison.
    pub(super) fn observe_request(&mut self, name: &str, payload: &[u8]) {
        let Ok(request) = Request::parse(name, payload) else { return };
        match request.command {
            Command::Forget(forget) => return self.observed.forgetting.asked(forget),
            Command::Purge(purge) => return self.observed.tasks.purge_is_asked(&purge.task),
            _ => {}
        }
        // One that is of no task asks for nothing.
        let Some(task) = self.task_meant(request.task.as_ref()) else { return };
        match request.command {
            Command::Promote(promote) => _ = self.observed.asked_for.insert((task, promote.head)),
            Command::Rollback(_) => _ = self.observed.asked_back.insert(task),
            _ => {}
        }
    }

    pub(super) fn commit_begins(&mut self) {
        let champion = |known: &Known| (known.champion().map(|head| head.head.version), false);
        self.observed.champion = self.model.tasks.iter().map(|(task, known)| (task.clone(), champion(known))).collect();
        self.observed.scored.clear();
        self.observed.tasks.commit_begins();
    }

    /// Looks at a change before it is made.
    #[allow(clippy::too_many_lines, reason = "a few lines for each kind of change")]
    pub(super) fn check_write(&mut self, write: &Write) {
        let is_forgotten = self.check_forgotten(write);
        self.check_removed(write);
        self.check_task(write);
        self.check_picture(write);
        match write {
            Write::Head { task, record } => {
                let head = &record.head;
                let before = self.observed.versions.insert((task.clone(), head.version), head.id.clone());
                assert!(before.is_none(), "version {} of {task} is given again, after {before:?}", head.version);
                let is_its_own = self.observed.judged.contains_key(&(task.clone(), head.id.clone()));
                assert!(is_its_own, "head {head} is stored for {task}, which it was not trained for");
                let has_tail = self.observed.tunings.is_tailed(&head.id);
                assert_eq!(record.tail().is_some(), has_tail, "head {head} of {task} and its tail");
            }
            Write::HeadStatus { task, version, status: HeadStatus::Champion, reason, .. } => {
                self.check_service(task, *version, reason);
            }
            Write::HeadStatus { task, version, .. } => {
                let champion = self.observed.champion.entry(task.clone()).or_default();
                champion.1 |= champion.0 == Some(*version);
            }
            Write::DeleteSample { id } => {
                if !is_forgotten {
                    self.check_eviction(id);
                }
                for task in self.model.tasks.keys() {
                    self.observed.unlabelled.insert((task.clone(), *id));
                    self.observed.predicted_unstored.remove(&(task.clone(), *id));
                }
            }
            Write::DeletePendingLabel { task, prefix } => self.note_withdrawn(task, prefix),
            Write::Sample(sample) => {
                for look in &sample.looks {
                    *self.observed.stored.entry((look.task.clone(), sample.id)).or_default() += 1;
                }
            }
            Write::Outbox(message) => {
                self.observed.spooled_at.insert(message.seq, self.clock.elapsed);
                self.check_report(&message.topic, &message.payload);
            }
            Write::DeleteMessage { seq } => self.check_dropped(*seq),
            Write::Label { task, id, label: Some(label), .. } => self.count_audit(task, id, label),
            Write::Excluded { task, id, .. } => {
                self.counts.exclusions += 1;
                self.observed.untold.insert((task.clone(), *id));
            }
            Write::DeleteFile { path } => {
                // It may come back while the change waits; then it is seen again.
                let is_gone = self.observed.late || !self.disk.contains_key(path);
                assert!(is_gone, "{} is there and is forgotten", path.display());
            }
            Write::UpdateState { kind, memory } => {
                if let Some(desired) = &memory.desired {
                    assert!(self.vendor.signed.contains(desired), "a {kind} is followed that nobody signed");
                }
                self.check_update(*kind, memory);
                self.note_rolled_back(*kind, memory);
                if let Some(installed) = &memory.installed {
                    let returns = self.observed.rolled_back.contains(&(*kind, installed.version));
                    assert!(!returns, "version {} of a {kind} returns, which did not hold", installed.version);
                    assert!(self.observed.verified.contains(&installed.sha256), "a {kind} is installed unverified");
                }
            }
            Write::Chunk { kind, .. } => {
                let desired = self.model.updates.get(kind).and_then(|memory| memory.desired.as_ref());
                assert!(desired.is_some(), "a chunk of a {kind} is stored that nobody desired");
            }
            Write::BackboneState(memory) => {
                self.observed.live.clear();
                let is_asked = memory.installed.as_ref().is_some_and(|installed| installed.asked.is_some());
                let is_new = memory.trial.is_some() && self.model.backbone.trial.is_none();
                self.counts.switches += u64::from(is_asked && is_new);
                if let Some(installed) = &memory.installed {
                    let sha256 = installed.files;
                    assert!(self.observed.verified.contains(&sha256), "a backbone is in force unverified");
                    assert!(self.staged.contains(&sha256), "a backbone is in force without its files");
                    assert!(self.observed.pairs[&sha256], "a backbone is in force that the gate refused");
                }
            }
            Write::ConfigPatchState(memory) => {
                assert!(memory.patch.as_ref().is_none_or(|patch| !patch.contains_key("bad")), "bad settings hold");
            }
            _ => {}
        }
    }

    /// No head serves that was not compared with the one whose place it takes, but for one that somebody asked for and
    /// one that goes back into service.
    fn check_service(&mut self, task: &TaskId, version: u64, reason: &str) {
        let (champion, is_out) = self.observed.champion.get(task).copied().unwrap_or_default();
        let may_roll_back = self.may_roll_back(task, champion);
        let known = self.model.of(task);
        let Some(head) = known.heads.iter().find(|head| head.head.version == version) else {
            panic!("head {version} of {task} comes into service but is not stored")
        };
        self.observed.champion.insert(task.clone(), (Some(version), false));
        // Of several labels that come together the first may bring a head into service, and the others then score it,
        // though all are written before it serves: only the engine knows how many.
        let is_scored = self.observed.scored.contains(&(task.clone(), version));
        if self.model.spaces.get(task) == Some(&head.space) && champion != Some(version) && !is_scored {
            self.observed.live.insert(task.clone(), Live::of(version));
        } else {
            self.observed.live.remove(task);
        }
        let is_asked_for = self.observed.asked_for.iter().any(|(of, name)| {
            let is_it = *name == version.to_string() || (name.len() >= 4 && head.head.id.0.starts_with(name.as_str()));
            of == task && is_it
        });
        let goes_back = is_out && known.previous(head.space) == Some(version);
        let left = known.heads.iter().find(|head| Some(head.head.version) == champion);
        let leaves_tail = left.is_some_and(|head| self.observed.tunings.is_tailed(&head.head.id));
        self.counts.tuned_back += u64::from(goes_back && leaves_tail);
        let has_reason = !goes_back || is_asked_for || self.observed.reverts || may_roll_back;
        assert!(has_reason, "head {champion:?} of {task} is rolled back without a reason");
        if champion == Some(version) || is_asked_for || goes_back || self.observed.reverts {
            return;
        }
        let by_policy = self.promotion(task) == PromotionPolicy::Always;
        let Some((against, promote)) = self.observed.judged.get(&(task.clone(), head.head.id.clone())) else {
            panic!("head {version} of {task} serves and was never compared with any: {reason}")
        };
        assert!(*promote || by_policy, "head {version} of {task} serves against its verdict: {reason}");
        let is_judged = *against == champion || is_out || by_policy;
        assert!(
            is_judged,
            "head {version} of {task} takes the place of {champion:?} and was compared with {against:?}: {reason}"
        );
    }

    /// Notes a version that was installed and did not hold.
    fn note_rolled_back(&mut self, kind: UpdateKind, memory: &UpdateRecord) {
        let before = self.model.updates.get(&kind).and_then(|memory| memory.installed.as_ref());
        let Some(before) = before.filter(|before| Some(*before) != memory.installed.as_ref()) else { return };
        if memory.refused.as_ref().is_some_and(|refused| refused.refusal.code == Code::DidNotHold) {
            self.observed.rolled_back.insert((kind, before.version));
        }
    }

    /// No message goes that was not received, but for want of room or because it is old.
    fn check_dropped(&mut self, seq: u64) {
        let Some(dropped) = self.model.outbox.get(&seq).filter(|_| !self.received.contains_key(&seq)).cloned() else {
            return;
        };
        self.observed.dropped += 1;
        let bytes = |message: &OutboxMessage| message.payload.len() + message.topic.to_string().len();
        let kept: usize = self.model.outbox.values().map(bytes).sum();
        let age = self.clock.elapsed.saturating_sub(self.observed.spooled_at[&seq]);
        let is_old = age > self.settings.spool_age_max || self.clock.was_set_unseen;
        let may_go = is_old || kept as u64 > self.settings.spool_bytes_max;
        assert!(may_go, "message {seq} is dropped after {age:?} with {kept} bytes in the outbox");
        if !is_old {
            self.check_worth(&dropped);
        }
    }

    /// Nothing goes that was not offered with the label that it has, nor a label that the statistics do not hold.
    fn check_eviction(&mut self, id: &SampleId) {
        let labels = self.labels_of(id);
        let Some((offered, why)) = self.observed.offered.get(id) else {
            panic!("sample {id} goes but was not offered")
        };
        assert_eq!(*offered, labels, "sample {id} goes though its labels changed");
        if *why == Why::Redundant {
            for (task, label) in &labels {
                let statistics = &self.model.of(task).statistics;
                let file = statistics.get(&self.task(task).space).cloned().unwrap_or_default();
                let learned: BTreeMap<SampleId, Label> = serde_json::from_slice(&file).unwrap_or_default();
                assert_eq!(learned.get(id), Some(label), "the label of {id} in {task} goes with it");
            }
        }
        self.observed.evicted.insert(*id);
        self.counts.evictions += 1;
    }

    /// A label waits no longer; it may have gone with its class.
    fn note_withdrawn(&mut self, task: &TaskId, prefix: &str) {
        let Some(awaited) = self.model.of(task).awaited.get(prefix) else { return };
        if self.observed.forgetting.was_class(&awaited.label) {
            let of_it = self.observed.named.iter().filter(|id| id.to_string().starts_with(prefix));
            self.observed.unlabelled.extend(of_it.map(|id| (task.clone(), *id)));
        }
    }

    /// Looks at what a commit left.
    pub(super) fn check_commit(&mut self) {
        self.model.check();
        self.check_statistics();
        self.check_pictures();
        self.check_tunings();
        for kind in UpdateKind::ALL {
            let is_over = self.model.updates.get(&kind).is_none_or(|memory| memory.desired.is_none());
            let chunks = self.model.chunks.get(&kind).map_or(0, BTreeMap::len);
            assert!(!is_over || chunks == 0, "{chunks} chunks of a {kind} are left that nobody desired");
        }
    }

    /// Looks at a batch that was carried out: what serves is what the store says serves.
    pub(super) fn check_batch(&mut self) {
        self.check_asked_about();
        if self.storage.waits_since().is_none() && self.feedback.is_empty() {
            self.observed.asked_for.clear();
            self.observed.asked_back.clear();
        }
        if self.storage.waits_since().is_some() {
            return;
        }
        // What goes is learned no more anyway.
        let stays = |id: &SampleId| self.model.samples.contains(id) && !self.is_leaving(id);
        let untold: Vec<_> = self.observed.untold.iter().filter(|(_, id)| stays(id)).collect();
        assert!(untold.is_empty(), "what learns at once is not told of exclusions: {untold:?}");
        self.observed.untold.clear();
        self.check_frames();
        for task in self.settings.tasks.iter().map(|task| &task.id) {
            let known = self.model.of(task);
            let is_damaged = |version: u64| self.damaged.contains(&(task.clone(), version));
            let is_in_service = |head: &HeadInfo| head.space == self.task(task).space && !is_damaged(head.head.version);
            let champion = known.champion();
            if champion.is_none_or(is_in_service) {
                let serving = self.serving.get(task).map(|head| head.version);
                let stored = champion.map(|head| head.head.version);
                assert_eq!(serving, stored, "what serves in {task} is not what is stored as such");
            }
        }
        self.check_states();
    }
}
