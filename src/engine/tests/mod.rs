//! Single decisions of the engine; whole lives are in `tests/simulate`.

mod adaptation;
mod alerts;
mod backbone_swap;
mod changing_tasks;
mod class_folders;
mod config_patch;
mod excluding;
mod forgetting;
mod frames;
mod home_assistant;
mod importing;
mod kept_reports;
mod left_out;
mod requests;
mod sleeping;
mod sources;
mod storage_outage;
mod task_states;
mod tasks;
mod undoing;
mod unseen;
mod updates;

use std::path::PathBuf;
use std::time::Duration;

use ndarray::{Array1, Array2};

use super::*;
use crate::eval::HeldOutAnswers;
use crate::eval::gate::{Verdict, VerdictCode};
use crate::head::{BackboneRef, DenseHead, HeadRecord, TrainingFacts};
use crate::wire::{Base, HealthFigures, ProviderUse, Raised, RejectedKey, Topic};
use crate::words::{Digest, EmbeddingSpace, HeadId, HeadRef, Label, SampleId, TaskId, Timestamp};

fn space() -> EmbeddingSpace {
    EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 1 }
}

fn backbone() -> BackboneRef {
    BackboneRef { name: "played".into(), sha256: Digest::of(b"b"), dim: 1 }
}

pub(super) fn settings(promotion: PromotionPolicy) -> Settings {
    Settings {
        boot: "boot".into(),
        backbone: backbone(),
        provider: ProviderUse::on_cpu(3),
        backbone_model: "played".into(),
        space: space(),
        space_on_cpu: space(),
        onnxruntime: "none".into(),
        roots: vec![Root { path: "/in".into(), settle: Duration::from_millis(500) }],
        sources: Vec::new(),
        tasks: vec![task(TaskId::default(), promotion)],
        names_tasks: false,
        quota_bytes: 1 << 20,
        sample_bytes: 1 << 10,
        broker: Some("broker".into()),
        spool_bytes_max: 1 << 20,
        spool_age_max: Duration::from_hours(24),
        base: Base::new("edgetuned", "line-3").unwrap(),
        device_name: "Line 3".into(),
        home_assistant: true,
        share: None,
        updates: UpdateSettings::default(),
        configuration: serde_json::Value::Null,
        configure: configure(),
        settable: vec!["a".into()],
        schema: serde_json::json!({ "type": "object" }),
        opening: None,
    }
}

/// A task that looks at whole images and takes its labels from folders.
fn task(id: TaskId, promotion: PromotionPolicy) -> TaskSettings {
    TaskSettings {
        id,
        space: space(),
        label_levels: vec![Some(1)],
        schedule: ScheduleSettings {
            cron: None,
            zone: jiff::tz::TimeZone::UTC,
            min_new_labels: 2,
            cooldown: Duration::from_mins(10),
            tunes: false,
        },
        tune: TuneWhen::Manual,
        promotion,
        shadow_images: 0,
        state: None,
    }
}

/// Takes every patch but those with the key `bad`.
fn configure() -> Configure {
    Configure(std::sync::Arc::new(|patch| {
        if patch.contains_key("bad") {
            return Err(vec![RejectedKey { key: "bad".into(), error: "it is bad".into() }]);
        }
        Ok(GoodPatch { applied: patch.keys().cloned().collect(), effective: patch.clone().into() })
    }))
}

pub(super) fn engine(promotion: PromotionPolicy, snapshot: Snapshot) -> Engine {
    Engine::new(settings(promotion), snapshot)
}

impl Engine {
    pub(super) fn health(&mut self) -> HealthFigures {
        let overview = overview(&self.files, &self.sources, &self.labels, &self.models);
        Cx::new(at(0), &mut self.messages, &mut self.context).health(&overview)
    }

    pub(super) fn raised(&mut self) -> Vec<Raised> {
        self.cx(at(0)).raised()
    }
}

pub(super) fn at(mono_ms: u64) -> Now {
    let mono = Duration::from_millis(mono_ms);
    Now { wall: Timestamp(1_772_323_200_000).plus(mono), mono }
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// Two labelled samples, and heads 1 (kept after serving) and 2 (champion).
pub(super) fn snapshot() -> Snapshot {
    let head = |version, status, promoted_ms| HeadInfo {
        head: HeadRef { id: HeadId(format!("head-{version}")), version },
        created: Timestamp(0),
        space: space(),
        backbone: "played".into(),
        classes: vec![label("bolt"), label("nut")],
        accuracy: None,
        status,
        reason: "better".into(),
        promoted_at: Some(Timestamp(promoted_ms)),
    };
    let samples = ["bolt", "nut"].map(|class| StoredSample {
        label: Some((label(class), LabelSource::Folder)),
        ..StoredSample::new(SampleId::of(class.as_bytes()))
    });
    let stored = StoredTask {
        samples: samples.clone().into(),
        heads: vec![head(1, HeadStatus::Kept, 10), head(2, HeadStatus::Champion, 20)],
        ..StoredTask::default()
    };
    Snapshot {
        samples: samples.iter().map(|sample| sample.id).collect(),
        tasks: [(TaskId::default(), stored)].into(),
        ..Snapshot::default()
    }
}

/// The same with other memories of the task.
fn with(change: impl FnOnce(&mut StoredTask)) -> Snapshot {
    let mut snapshot = snapshot();
    change(snapshot.default_task());
    snapshot
}

/// What the only task sees of an image.
fn views(prediction: Option<Scored>) -> Vec<View> {
    vec![View { task: TaskId::default(), space: space(), is_new: false, prediction }]
}

/// A device whose challengers run in shadow mode first.
fn shadowing_settings() -> Settings {
    let mut settings = settings(PromotionPolicy::Gated);
    settings.tasks[0].shadow_images = 30;
    settings
}

fn outcome(order: TrainingOrder, id: &str, version: u64) -> Event {
    let classes = [label("bolt"), label("nut")].into_iter().collect();
    let dense = DenseHead::linear(space(), classes, Array2::zeros((2, 1)), Array1::zeros(2));
    let challenger = HeadRecord {
        head: HeadRef { id: HeadId(id.into()), version },
        training: TrainingFacts { converged: true, n_train: 2, fit_seconds: 0.1, ..TrainingFacts::default() },
        ..HeadRecord::new(dense, version, Timestamp(0), backbone())
    };
    let verdict =
        Verdict { promote: true, provisional: false, code: VerdictCode::Better, reason: "better".into(), change: None };
    Event::Trainer(
        TaskId::default(),
        TrainerEvent::Finished(Box::new(TrainingOutcome {
            order,
            challenger,
            champion: None,
            against: Some(2),
            verdict,
            changes: vec![],
            suspicious_labels: 0,
            left_out: None,
            answers: HeldOutAnswers::default(),
            second: None,
        })),
    )
}

/// The same, compared with the head of version `against`.
fn outcome_against(against: u64, order: TrainingOrder, id: &str, version: u64) -> Event {
    let Event::Trainer(task, TrainerEvent::Finished(mut outcome)) = outcome(order, id, version) else {
        unreachable!("a training's outcome")
    };
    outcome.against = Some(against);
    Event::Trainer(task, TrainerEvent::Finished(outcome))
}

fn request(engine: &mut Engine, name: &str) -> Step {
    let inbound = Inbound { topic: format!("request/{name}"), payload: vec![], retained: false, delivery: 1 };
    engine.step(at(0), Event::Broker(BrokerEvent::Message(inbound)))
}

fn ordered(effects: &Step) -> Option<TrainingOrder> {
    effects.acts.iter().find_map(|effect| {
        if let Act::Task(_, TaskAct::Train { order, .. }) = effect { Some(order.clone()) } else { None }
    })
}

#[test]
fn a_start_puts_the_stored_champion_in_service_whether_or_not_the_store_takes_changes() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    let acts = engine.start(at(0)).acts;
    assert!(acts.iter().any(|act| matches!(act, Act::Task(_, TaskAct::Resume(2)))), "{acts:?}");
    assert!(!acts.iter().any(|act| matches!(act, Act::Task(_, TaskAct::Serve(_)))), "that would wait for the store");
}

fn serves(effects: &Step) -> Option<u64> {
    effects
        .acts
        .iter()
        .find_map(|effect| if let Act::Task(_, TaskAct::Serve(version)) = effect { *version } else { None })
}

/// Rolls back to head 1, trains the same head 2 again as head 3, and says which head serves then.
fn served_after_the_same_head_again(promotion: PromotionPolicy) -> Option<u64> {
    let mut engine = engine(promotion, snapshot());
    assert_eq!(serves(&request(&mut engine, "rollback")), Some(1));
    let order = ordered(&request(&mut engine, "train")).expect("a request trains at once");
    serves(&engine.step(at(0), outcome_against(1, order, "head-2", 3)))
}

#[test]
fn a_head_that_was_rolled_back_does_not_come_back_by_training_on_the_same_labels() {
    assert_eq!(served_after_the_same_head_again(PromotionPolicy::Gated), None);
    assert_eq!(served_after_the_same_head_again(PromotionPolicy::Always), Some(3), "unless every head is promoted");
}

#[test]
fn a_second_rollback_goes_further_back_or_is_refused() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    request(&mut engine, "rollback");
    let effects = request(&mut engine, "rollback");
    assert_eq!(serves(&effects), None, "head 1 is the first");
    let said = effects.writes.iter().any(|effect| {
        matches!(effect, Write::Outbox(message)
            if message.topic == Topic::Response("rollback".into()) && String::from_utf8_lossy(&message.payload).contains("not_possible"))
    });
    assert!(said, "{effects:?}");
}

#[test]
fn the_schedule_waits_for_a_backlog_of_files_but_not_for_ever() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let path = PathBuf::from("/in/slow.jpg");
    let stamp = Some(FileStamp { size: 1, mtime_ns: i64::MAX, ctime_ns: 0 });
    engine
        .step(at(0), Event::Watch(WatchEvent::FileSeen(Sighting { root: 0, path, stamp, closed: false, open: false })));
    for (class, image) in [("nut", "bolt"), ("bolt", "nut")] {
        let payload = format!(r#"{{"image": "{}", "label": "{class}"}}"#, SampleId::of(image.as_bytes())).into_bytes();
        engine.step(
            at(1),
            Event::Broker(BrokerEvent::Message(Inbound {
                topic: "label".into(),
                payload,
                retained: false,
                delivery: 2,
            })),
        );
    }
    assert_eq!(ordered(&engine.step(at(100), Event::Tick)), None);
    assert_eq!(ordered(&engine.step(at(20_000), Event::Tick)), None);
    assert!(ordered(&engine.step(at(30_200), Event::Tick)).is_some());
}

#[test]
fn a_challenger_is_trained_again_when_another_head_serves_than_the_one_it_was_compared_with() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    engine.start(at(0));
    let order = ordered(&request(&mut engine, "train")).expect("a training begins");
    request(&mut engine, "rollback");
    let effects = engine.step(at(1), outcome(order, "head-3", 3));
    assert_eq!(serves(&effects), None, "it was compared with head 2, and head 1 serves");
    let again = ordered(&engine.step(at(2), Event::Tick)).expect("the next training begins");
    assert_eq!(serves(&engine.step(at(3), outcome_against(1, again, "head-3", 4))), Some(4));
}
