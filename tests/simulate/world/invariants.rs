//! What has to hold after every change. Changes are checked write by write, so that a failure shows the first wrong one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use edgetuned::engine::{EvictionCandidate, HeadInfo, HeadStatus, OutboxMessage, PromotionPolicy, UpdateRecord, Write};
use edgetuned::eval::budget::Why;
use edgetuned::update::Code;
use edgetuned::wire::{Command, Request, Topic, UpdateKind};
use edgetuned::words::{Digest, HeadId, Label, SampleId};
use serde_json::Value;

use super::World;
use super::bounds::Bounds;
use super::forgetting::Forgetting;
use super::live::Live;

/// What the workers found and the world has seen so far.
#[derive(Debug, Default)]
pub struct Observed {
    /// With which head each challenger was compared, and whether it may serve.
    judged: BTreeMap<HeadId, (Option<u64>, bool)>,
    /// The same of backbones.
    pub(super) pairs: BTreeMap<Digest, (Option<u64>, bool)>,
    /// Whose bytes are what was signed.
    pub(super) verified: BTreeSet<Digest>,
    /// Every version ever given, and to which head.
    versions: BTreeMap<u64, HeadId>,
    /// Heads that somebody asked for in the events since the last commit.
    asked_for: BTreeSet<String>,
    /// The head that served when the commit began or came into service since, and whether it was put out of it.
    champion: (Option<u64>, bool),
    /// Whether somebody asked for a rollback in the events since the last commit.
    pub(super) asked_back: bool,
    /// Results of the head in service; `None` where another backbone came and went.
    pub(super) live: Option<Live>,
    /// When each message went into the outbox, since the life began.
    pub spooled_at: BTreeMap<u64, Duration>,
    /// Versions of updates that were installed and did not hold.
    rolled_back: BTreeSet<(UpdateKind, u64)>,
    /// Set while a backbone that did not hold gives way.
    pub(super) reverts: bool,
    /// Samples that could go, with their label then.
    offered: BTreeMap<SampleId, (Option<Label>, Why)>,
    /// How often each image was stored, and reported by way of the outbox.
    pub stored: BTreeMap<SampleId, u64>,
    pub reported: BTreeMap<SampleId, u64>,
    /// Pictures that were reported past the outbox, ever, and by this engine without having been stored since.
    pub direct: BTreeMap<SampleId, u64>,
    predicted_unstored: BTreeSet<SampleId>,
    pub evicted: BTreeSet<SampleId>,
    /// Samples whose label went with them, and that were not labelled since.
    unlabelled: BTreeSet<SampleId>,
    /// Messages of the outbox that were dropped before they were delivered.
    pub dropped: u64,
    /// Events that say that something was set aside for the broker.
    pub set_aside_reports: u64,
    pub forgetting: Forgetting,
    pub bounds: Bounds,
    /// Images that were ever named in a label.
    named: BTreeSet<SampleId>,
}

impl Observed {
    pub(super) fn judged(&mut self, head: &HeadId, against: Option<u64>, promote: bool) {
        self.judged.insert(head.clone(), (against, promote));
    }

    pub(super) fn offered(&mut self, found: &[EvictionCandidate]) {
        self.offered.extend(
            found.iter().map(|sample| (sample.id, (sample.labels.first().map(|(_, label)| label.clone()), sample.why))),
        );
    }

    /// Somebody gives a label; what an eviction took before does not count any more.
    pub fn labelled_again(&mut self, id: &SampleId) {
        self.unlabelled.remove(id);
        self.named.insert(*id);
    }

    /// Whether a sample was there and was evicted or forgotten.
    pub fn was_let_go(&self, id: &SampleId) -> bool {
        self.evicted.contains(id) || self.forgetting.ever.contains(id)
    }

    /// Whether the last label of an image went with its sample, or with its class.
    pub fn lost_its_label(&self, id: &SampleId) -> bool {
        self.unlabelled.contains(id)
    }

    /// Another engine begins and does not know what the former one reported.
    pub(super) fn engine_begins(&mut self, now: Duration) {
        self.predicted_unstored.clear();
        self.forgetting.engine_begins();
        self.bounds.engine_begins(now);
    }
}

impl World {
    /// A request is handed to the engine: what somebody asks for may happen without a comparison.
    pub(super) fn observe_request(&mut self, name: &str, payload: &[u8]) {
        match Request::parse(name, payload).map(|request| request.command) {
            Ok(Command::Promote(promote)) => _ = self.observed.asked_for.insert(promote.head),
            Ok(Command::Rollback(_)) => self.observed.asked_back = true,
            Ok(Command::Forget(forget)) => self.observed.forgetting.asked(forget),
            _ => {}
        }
    }

    pub(super) fn commit_begins(&mut self) {
        self.observed.champion = (self.model.champion().map(|head| head.head.version), false);
    }

    /// Looks at a change before it is made.
    pub(super) fn check_write(&mut self, write: &Write) {
        let is_forgotten = self.check_forgotten(write);
        match write {
            Write::Head { record, .. } => {
                let before = self.observed.versions.insert(record.head.version, record.head.id.clone());
                assert!(before.is_none(), "version {} is given again, after {before:?}", record.head.version);
            }
            Write::HeadStatus { version, status: HeadStatus::Champion, reason, .. } => {
                self.check_service(*version, reason);
            }
            Write::HeadStatus { version, .. } => {
                self.observed.champion.1 |= self.observed.champion.0 == Some(*version);
            }
            Write::DeleteSample { id } => {
                if !is_forgotten {
                    self.check_eviction(id);
                }
                self.observed.unlabelled.insert(*id);
                self.observed.predicted_unstored.remove(id);
            }
            Write::DeletePendingLabel { prefix, .. } => self.note_withdrawn(prefix),
            Write::Sample(sample) => {
                *self.observed.stored.entry(sample.id).or_default() += 1;
            }
            Write::Outbox(message) => {
                self.observed.spooled_at.insert(message.seq, self.clock.elapsed);
                self.check_report(&message.topic, &message.payload);
            }
            Write::DeleteMessage { seq } => self.check_dropped(*seq),
            Write::Label { id, label: Some(label), .. } => self.count_audit(id, label),
            Write::DeleteFile { path } => {
                assert!(!self.disk.contains_key(path), "{} is there and is forgotten", path.display());
            }
            Write::UpdateState { kind, memory } => {
                if let Some(desired) = &memory.desired {
                    assert!(self.vendor.signed.contains(desired), "a {kind} is followed that nobody signed");
                }
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
                self.observed.live = None;
                let is_asked = memory.installed.as_ref().is_some_and(|installed| installed.asked.is_some());
                let is_new = memory.trial.is_some() && self.model.backbone.trial.is_none();
                self.counts.switches += u64::from(is_asked && is_new);
                if let Some(installed) = &memory.installed {
                    let sha256 = installed.files;
                    assert!(self.observed.verified.contains(&sha256), "a backbone is in force unverified");
                    assert!(self.staged.contains(&sha256), "a backbone is in force without its files");
                    assert!(self.observed.pairs[&sha256].1, "a backbone is in force that the gate refused");
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
    fn check_service(&mut self, version: u64, reason: &str) {
        let (champion, is_out) = self.observed.champion;
        let may_roll_back = self.may_roll_back(champion);
        let Some(head) = self.model.heads.iter().find(|head| head.head.version == version) else {
            panic!("head {version} comes into service but is not stored")
        };
        self.observed.champion = (Some(version), false);
        self.observed.live =
            (head.space == self.settings.space && champion != Some(version)).then(|| Live::of(version));
        let is_asked_for =
            self.observed.asked_for.iter().any(|name| {
                *name == version.to_string() || (name.len() >= 4 && head.head.id.0.starts_with(name.as_str()))
            });
        let goes_back = is_out && self.model.previous(head.space) == Some(version);
        let has_reason = !goes_back || is_asked_for || self.observed.reverts || may_roll_back;
        assert!(has_reason, "head {champion:?} is rolled back without a reason");
        if champion == Some(version) || is_asked_for || goes_back || self.observed.reverts {
            return;
        }
        let by_policy = self.settings.tasks[0].promotion == PromotionPolicy::Always;
        let Some((against, promote)) = self.observed.judged.get(&head.head.id) else {
            panic!("head {version} serves and was never compared with any: {reason}")
        };
        assert!(*promote || by_policy, "head {version} serves against its verdict: {reason}");
        let is_judged = *against == champion || is_out || by_policy;
        assert!(
            is_judged,
            "head {version} takes the place of {champion:?} and was compared with {against:?}: {reason}"
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
        let label = self.model.samples[id].as_ref().map(|(label, _)| label.clone());
        let Some((offered, why)) = self.observed.offered.get(id) else {
            panic!("sample {id} goes but was not offered")
        };
        assert_eq!(*offered, label, "sample {id} goes though its label changed");
        if *why == Why::Redundant {
            let file = self.model.statistics.get(&self.settings.space.backbone).cloned().unwrap_or_default();
            let learned: BTreeMap<SampleId, Label> = serde_json::from_slice(&file).unwrap_or_default();
            assert_eq!(learned.get(id), label.as_ref(), "the label of {id} goes with it");
        }
        self.observed.evicted.insert(*id);
        self.counts.evictions += 1;
    }

    /// A label waits no longer; it may have gone with its class.
    fn note_withdrawn(&mut self, prefix: &str) {
        let Some(awaited) = self.model.awaited.get(prefix) else { return };
        if self.observed.forgetting.was_class(&awaited.label) {
            let of_it = self.observed.named.iter().filter(|id| id.to_string().starts_with(prefix));
            self.observed.unlabelled.extend(of_it);
        }
    }

    /// A message goes into the outbox.
    fn check_report(&mut self, topic: &Topic, payload: &[u8]) {
        match topic {
            Topic::Prediction => {
                let id = image_of(payload);
                *self.observed.reported.entry(id).or_default() += 1;
                let is_second = self.observed.predicted_unstored.contains(&id);
                assert!(!is_second, "image {id} is reported a second time, now that it can be stored");
            }
            Topic::Response(name) if name == "promote" || name == "rollback" => {
                let json: Value = serde_json::from_slice(payload).unwrap_or_default();
                if let Some(version) = json["data"]["head"]["version"].as_u64() {
                    let champion = self.observed.champion.0;
                    assert_eq!(champion, Some(version), "{name} is answered with {version}, but another serves");
                }
            }
            Topic::Response(name) if name == "train" => self.check_trainable(payload),
            Topic::Response(name) if name == "switch" => {
                let json: Value = serde_json::from_slice(payload).unwrap_or_default();
                let is_stored = self.model.backbone.switch.is_some();
                assert!(is_stored || json["data"]["begun"] != true, "a switch is accepted that is not stored");
            }
            Topic::Event => self.note_event(payload),
            _ => {}
        }
    }

    fn note_event(&mut self, payload: &[u8]) {
        let json: Value = serde_json::from_slice(payload).unwrap_or_default();
        let is_about_it = json["reason"].as_str().is_some_and(|reason| reason.contains("set aside"));
        self.observed.set_aside_reports += u64::from(is_about_it);
        self.observed.bounds.count_event(self.now.mono, &json);
    }

    /// A training is accepted where there are labels of two classes, and refused where there are not.
    fn check_trainable(&self, payload: &[u8]) {
        let json: Value = serde_json::from_slice(payload).unwrap_or_default();
        let labels: BTreeSet<&Label> = self.model.samples.values().flatten().map(|(label, _)| label).collect();
        // A transaction that is asked about again has the answer of its time.
        let (is_accepted, is_refused) = (json["status"] == "ok", json["error"]["code"] == "not_possible");
        if json["transaction"].is_string() || !(is_accepted || is_refused) {
            return;
        }
        assert_eq!(is_accepted, labels.len() > 1, "a training is answered with {json}, and the labels are {labels:?}");
    }

    /// A message goes past the outbox.
    pub(super) fn check_publish(&mut self, topic: &Topic, payload: &[u8]) {
        if *topic == Topic::Event {
            self.note_event(payload);
        }
        if *topic == Topic::Prediction {
            let id = image_of(payload);
            *self.observed.direct.entry(id).or_default() += 1;
            let is_first = self.observed.predicted_unstored.insert(id);
            assert!(is_first, "image {id} is reported twice while nothing can be stored");
        }
    }

    /// Looks at what a commit left.
    pub(super) fn check_commit(&mut self) {
        self.model.check();
        self.check_statistics();
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
            self.observed.asked_back = false;
        }
        let is_in_service =
            |head: &&HeadInfo| head.space == self.settings.space && !self.damaged.contains(&head.head.version);
        let champion = self.model.champion();
        let is_stored = self.storage.waits_since().is_none();
        if is_stored && (champion.is_none_or(|head| is_in_service(&head))) {
            let serving = self.serving.as_ref().map(|head| head.version);
            assert_eq!(serving, champion.map(|head| head.head.version), "what serves is not what is stored as such");
        }
    }
}

fn image_of(payload: &[u8]) -> SampleId {
    let json: Value = serde_json::from_slice(payload).expect("a prediction is JSON");
    serde_json::from_value(json["image"].clone()).expect("it names its image")
}
