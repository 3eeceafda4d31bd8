//! A device whose store survives, and files to update it with.

use serde_json::{Value, json};

use super::super::*;
use crate::eval::gate::{Verdict, VerdictCode};
use crate::update::{Refusal, Signer, TrustedKeys, sign};
use crate::wire::UpdateKind;
use crate::words::TaskId;

pub const KIND: UpdateKind = UpdateKind::Head;
/// Forty chunks and a bit.
const SIZE: usize = 40 * 1024 + 7;

pub fn signer() -> Signer {
    Signer::from_seed(&[3; 32])
}

pub fn file(fill: u8) -> Vec<u8> {
    vec![fill; SIZE]
}

/// A code that says so.
pub fn code(promote: bool) -> VerdictCode {
    if promote { VerdictCode::Better } else { VerdictCode::Worse }
}

/// The manifest of a head in `file`, with `changes`.
pub fn manifest(file: &[u8], version: u64, changes: &Value) -> Vec<u8> {
    let mut members = json!({
        "v": 1, "kind": "head", "name": "parts", "version": version, "size": file.len(), "sha256": Digest::of(file),
        "chunk_bytes": 1024, "created": at(0).wall, "expires": at(3_600_000).wall, "backbone": backbone(), "space": space(),
    });
    let Some(object) = members.as_object_mut() else { unreachable!("the literal above is an object") };
    object.extend(changes.as_object().cloned().unwrap_or_default());
    sign(object.clone(), &signer()).unwrap().into_bytes()
}

/// A device whose store survives.
pub struct Machine {
    pub engine: Engine,
    pub stored: Snapshot,
    pub settings: Settings,
    pub now_ms: u64,
    /// What the last step published.
    pub said: Vec<(String, Value)>,
    pub effects: Step,
    /// The version that was ordered last for the head of an update.
    pub version: u64,
}

impl Machine {
    pub fn new() -> Self {
        let updates = UpdateSettings {
            keys: TrustedKeys(vec![signer().public()]),
            device: "line-3".into(),
            chunk_bytes_max: 65_536,
            bytes_max: u64::MAX,
        };
        let settings = Settings { updates, ..settings(PromotionPolicy::Gated) };
        let engine = Engine::new(settings.clone(), snapshot());
        let mut machine = Self {
            engine,
            stored: snapshot(),
            settings,
            now_ms: 0,
            said: vec![],
            effects: Step::default(),
            version: 0,
        };
        machine.boot();
        machine
    }

    /// Starts with what is stored and connects.
    pub fn boot(&mut self) {
        self.engine = Engine::new(self.settings.clone(), self.stored.clone());
        let effects = self.engine.start(at(self.now_ms));
        self.keep(effects);
        let (said, mut effects) = (std::mem::take(&mut self.said), std::mem::take(&mut self.effects));
        self.step(Event::Broker(BrokerEvent::connected()));
        self.said.splice(0..0, said);
        effects.append(std::mem::take(&mut self.effects));
        self.effects = effects;
    }

    pub fn step(&mut self, event: Event) {
        let effects = self.engine.step(at(self.now_ms), event);
        self.keep(effects);
    }

    pub fn later(&mut self, ms: u64) {
        self.now_ms += ms;
        self.step(Event::Tick);
    }

    pub fn send(&mut self, topic: &str, payload: Vec<u8>) {
        self.step(Event::Broker(BrokerEvent::Message(Inbound {
            topic: topic.into(),
            payload,
            retained: true,
            delivery: 1,
        })));
    }

    pub fn ask(&mut self, name: &str) {
        let effects = request(&mut self.engine, name);
        self.keep(effects);
    }

    pub fn desire(&mut self, payload: &[u8]) {
        self.send("update/head/desired", payload.to_vec());
    }

    pub fn chunk(&mut self, file: &[u8], n: usize) {
        let end = file.len().min((n + 1) * 1024);
        self.send(&format!("update/head/chunk/{}/{n}", Digest::of(file)), file[n * 1024..end].to_vec());
    }

    /// Commits, and remembers what was published.
    pub fn keep(&mut self, effects: Step) {
        self.said.clear();
        for write in &effects.writes {
            self.commit(write);
        }
        for act in &effects.acts {
            match act {
                Act::Publish { topic, payload } => self.hear(&topic.to_string(), payload),
                Act::VerifyUpdate { version, .. } => self.version = *version,
                Act::PrepareBackbone(order) => self.version = order.versions[&TaskId::default()],
                _ => {}
            }
        }
        self.effects = effects;
    }

    pub fn hear(&mut self, topic: &str, payload: &[u8]) {
        self.said.push((topic.to_owned(), serde_json::from_slice(payload).unwrap_or_default()));
    }

    pub fn commit(&mut self, write: &Write) {
        match write {
            Write::Outbox(message) => self.hear(&message.topic.to_string(), &message.payload),
            Write::SeqReserved(seq) => self.stored.seq = *seq,
            Write::UpdateState { kind, memory } => {
                self.stored.updates.entry(*kind).or_default().memory = (**memory).clone();
            }
            Write::Chunk { kind, n, .. } => self.stored.updates.entry(*kind).or_default().chunks.push(*n),
            Write::DeleteChunks(kind) => self.stored.updates.entry(*kind).or_default().chunks.clear(),
            Write::Head { record, .. } => self.stored.default_task().heads.push(HeadInfo::of(record, String::new())),
            Write::HeadStatus { version, status, reason, at, .. } => {
                let stored = &mut self.stored.default_task().heads;
                let mut heads = Registry::new(std::mem::take(stored), space());
                heads.set(TaskId::default(), *version, *status, reason.clone(), *at);
                *stored = heads.all().to_vec();
            }
            Write::BackboneState(memory) => self.stored.backbone = (**memory).clone(),
            Write::LiveState { state, .. } => self.stored.default_task().live = (**state).clone(),
            _ => {}
        }
    }

    /// The chunks that were asked for last within the last step.
    pub fn asked(&self) -> Vec<u64> {
        let request = self.said.iter().rev().find(|(topic, _)| topic == "update/head/request");
        request.map_or(vec![], |(_, json)| {
            json["chunks"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect()
        })
    }

    pub fn state(&self) -> Value {
        let state = self.said.iter().rev().find(|(topic, _)| topic == "update/head/state");
        state.map(|(_, json)| json.clone()).expect("the last step said where the update is")
    }

    pub fn events(&self, event_type: &str) -> Vec<Value> {
        let events = self.said.iter().filter(|(topic, json)| topic == "event" && json["event_type"] == event_type);
        events.map(|(_, json)| json.clone()).collect()
    }

    pub fn stored_chunks(&self) -> usize {
        self.stored.updates.get(&KIND).map_or(0, |stored| stored.chunks.len())
    }

    pub fn champion(&self) -> u64 {
        self.stored.tasks[&TaskId::default()]
            .heads
            .iter()
            .find(|head| head.status == HeadStatus::Champion)
            .map_or(0, |head| head.head.version)
    }

    pub fn is_checking(&self) -> bool {
        self.effects.acts.iter().any(|effect| matches!(effect, Act::VerifyUpdate { .. }))
    }

    /// Follows the manifest until its file is whole and looked at.
    pub fn fetch(&mut self, file: &[u8], payload: &[u8]) {
        self.desire(payload);
        let mut asked = self.asked();
        while !asked.is_empty() {
            for n in asked {
                self.chunk(file, n as usize);
            }
            asked = self.asked();
        }
        self.later(100);
        assert!(self.is_checking(), "{:?}", self.said);
    }

    /// The worker found a head, and `promote` for it.
    pub fn finds(&mut self, file: &[u8], promote: bool) {
        let outcome = Ok(Checked::Head(Box::new(CheckedHead {
            record: pushed(file, self.version),
            verdict: Verdict {
                promote,
                provisional: false,
                code: code(promote),
                reason: "as the test says".into(),
                change: None,
            },
            against: Some(self.champion()).filter(|version| *version > 0),
        })));
        self.checked(file, outcome);
    }

    pub fn checked(&mut self, file: &[u8], outcome: Result<Checked, Refusal>) {
        let checked = UpdateChecked { kind: KIND, task: TaskId::default(), sha256: Digest::of(file), outcome };
        self.step(Event::Updater(Box::new(checked)));
    }

    pub fn install(&mut self, file: &[u8], version: u64) {
        self.fetch(file, &manifest(file, version, &json!({})));
        self.finds(file, true);
        assert_eq!(self.state()["installed_version"], version.to_string());
    }
}

/// A head as a worker made it of a file, in the version that was ordered.
pub fn pushed(file: &[u8], version: u64) -> HeadRecord {
    let Event::Trainer(_, TrainerEvent::Finished(outcome)) =
        outcome(TrainingOrder { id: 0, reason: String::new(), tune: false }, "", version)
    else {
        unreachable!("a training's outcome")
    };
    let mut record = outcome.challenger;
    record.head.id = HeadId(Digest::of(file).short());
    record
}
