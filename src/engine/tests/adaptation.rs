//! What the engine makes of live results, shadows, drift, review lists and quotas.

use super::*;
use crate::eval::budget::Why;
use crate::wire::{AlertId, ReviewItem, ReviewReason, Warning};

/// An engine with heads 1 and 2, started, with the broker there.
fn started(settings: Settings) -> Engine {
    let mut engine = Engine::new(settings, snapshot());
    engine.start(at(0));
    engine.step(at(0), Event::Broker(BrokerEvent::connected()));
    engine
}

fn scored(said: &str, shadow: Option<(u64, &str)>) -> Scored {
    Scored {
        head: HeadRef { id: HeadId("head-2".into()), version: 2 },
        top: vec![(label(said), 0.9)],
        set: None,
        novelty: Some(1.5),
        novelty_rank: Some(0.5),
        unknown: Some(false),
        instant: false,
        shadow: shadow.map(|(version, said)| Shadowed { version, label: label(said) }),
    }
}

/// Image `number`, predicted as `said` by head 2.
fn arrives(engine: &mut Engine, number: u32, scored: Scored) -> Step {
    let id = image(number);
    let picture = EmbeddedImage {
        id,
        bytes: 1,
        embeddings: vec![(space(), vec![0.0])],
        group: id,
        views: views(Some(scored)),
        decode: Duration::ZERO,
        embed: Duration::from_millis(1),
        thumbnail: None,
        picture: None,
    };
    let path = PathBuf::from(format!("/in/{number}.jpg"));
    let stamp = FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 };
    let outcome = IngestOutcome::Image(Box::new(picture));
    engine.step(at(u64::from(number)), Event::Ingest(Ingested { root: 0, path, stamp, outcome }))
}

fn image(number: u32) -> SampleId {
    SampleId::of(&number.to_le_bytes())
}

fn gets(engine: &mut Engine, id: SampleId, class: &str, ms: u64) -> Step {
    let payload = format!(r#"{{"image": "{id}", "label": "{class}"}}"#).into_bytes();
    engine.step(
        at(ms),
        Event::Broker(BrokerEvent::Message(Inbound { topic: "label".into(), payload, retained: false, delivery: 9 })),
    )
}

/// Events of this type among `effects`, as JSON.
fn events(effects: &Step, event_type: &str) -> Vec<serde_json::Value> {
    let payloads = effects.writes.iter().filter_map(|effect| match effect {
        Write::Outbox(message) if message.topic == Topic::Event => Some(&message.payload),
        _ => None,
    });
    let parsed = payloads.filter_map(|payload| serde_json::from_slice::<serde_json::Value>(payload).ok());
    parsed.filter(|event| event["event_type"] == event_type).collect()
}

fn published(effects: &Step, topic: &Topic) -> Option<Vec<u8>> {
    effects.acts.iter().rev().find_map(|effect| match effect {
        Act::Publish { topic: at, payload } if at == topic => Some(payload.clone()),
        _ => None,
    })
}

#[test]
fn a_label_scores_the_prediction_that_it_answers_once_and_only_for_the_head_in_service() {
    let mut engine = started(settings(PromotionPolicy::Gated));
    for (number, said, truth) in [(1, "nut", "nut"), (2, "nut", "bolt"), (3, "bolt", "bolt")] {
        arrives(&mut engine, number, scored(said, None));
        gets(&mut engine, image(number), truth, 10);
        gets(&mut engine, image(number), "nut", 11);
    }
    let former = Scored { head: HeadRef { id: HeadId("head-1".into()), version: 1 }, ..scored("nut", None) };
    arrives(&mut engine, 4, former);
    gets(&mut engine, image(4), "nut", 12);
    let figures = engine.models.first().live_figures().prequential;
    assert_eq!((figures.right, figures.n), (2, 3));
    let health = published(&engine.step(at(60_000), Event::Tick), &Topic::Health).expect("it is due");
    let health: serde_json::Value = serde_json::from_slice(&health).unwrap();
    assert_eq!((&health["live"]["prequential"]["right"], &health["live"]["prequential"]["n"]), (&2.into(), &3.into()));
}

#[test]
fn health_says_nothing_of_live_accuracy_before_there_is_any() {
    let mut engine = started(settings(PromotionPolicy::Gated));
    let health = published(&engine.step(at(60_000), Event::Tick), &Topic::Health).expect("it is due");
    let health: serde_json::Value = serde_json::from_slice(&health).unwrap();
    assert_eq!(health.get("live"), None, "{health}");
}

#[test]
fn a_label_is_learned_at_once_and_settled_by_the_verdict_of_a_training_that_saw_it() {
    let mut engine = started(settings(PromotionPolicy::Gated));
    arrives(&mut engine, 1, scored("nut", None));
    let effects = gets(&mut engine, image(1), "bolt", 10);
    assert!(
        effects
            .acts
            .iter()
            .any(|effect| matches!(effect, Act::Task(_, TaskAct::UpdateOnline(ids)) if *ids == [image(1)])),
        "{effects:?}"
    );
    let order = ordered(&request(&mut engine, "train")).expect("a request trains at once");
    let effects = engine.step(at(500), outcome(order, "head-3", 3));
    let settled = effects
        .acts
        .iter()
        .find_map(|effect| if let Act::Task(_, TaskAct::FoldInLabels(at)) = effect { Some(*at) } else { None });
    // The request came with a clock behind the label's; order counts.
    assert_eq!(settled, Some(at(11).wall), "labels up to the begin of the training, not to its end");
}

#[test]
fn a_head_whose_audited_accuracy_falls_is_rolled_back() {
    let record = Some(crate::eval::live::Record { accuracy: 0.95, low: 0.9 });
    let live = LiveAccuracy { champion: Some(2), record, ..LiveAccuracy::default() };
    let mut engine = engine(PromotionPolicy::Gated, with(|task| task.live = live));
    engine.start(at(0));
    let audits: Vec<u32> = (0..5000).filter(|number| crate::words::is_audit(&image(*number))).collect();
    let mut rolled_back = None;
    for (count, number) in audits.into_iter().enumerate() {
        arrives(&mut engine, number, scored("nut", None));
        let effects = gets(&mut engine, image(number), if count % 2 == 0 { "nut" } else { "bolt" }, 10);
        if serves(&effects) == Some(1) {
            rolled_back = Some((count + 1, events(&effects, "rolled_back")));
            break;
        }
    }
    let (count, said) = rolled_back.expect("half of the audited images wrong is not 95 % right");
    assert!((10..100).contains(&count), "{count} audits");
    assert!(said[0]["reason"].as_str().unwrap().contains("audit"), "{said:?}");
    assert_eq!(engine.models.first().live_figures().audit.n, 0, "the results were the former head's");
}

#[test]
fn a_head_that_fell_while_everything_was_about_to_restart_gives_way_at_the_start() {
    let record = Some(crate::eval::live::Record { accuracy: 0.95, low: 0.9 });
    let mut live = LiveAccuracy { champion: Some(2), record, ..LiveAccuracy::default() };
    (0..15).for_each(|n| live.tally.add(n < 2, true));
    let mut engine = engine(PromotionPolicy::Gated, with(|task| task.live = live));
    assert_eq!(serves(&engine.start(at(0))), Some(1), "the one before it");
}

fn shadowing() -> (Engine, Step) {
    let mut engine = started(shadowing_settings());
    let order = ordered(&request(&mut engine, "train")).expect("a request trains at once");
    let effects = engine.step(at(1), outcome(order, "head-3", 3));
    (engine, effects)
}

#[test]
fn a_challenger_runs_in_shadow_mode_before_it_serves() {
    let (mut engine, effects) = shadowing();
    assert_eq!(serves(&effects), None);
    assert!(effects.acts.iter().any(|effect| matches!(effect, Act::Task(_, TaskAct::Shadow(Some(3))))));
    for number in 0..29 {
        assert_eq!(serves(&arrives(&mut engine, number, scored("nut", Some((3, "nut"))))), None);
    }
    let effects = arrives(&mut engine, 29, scored("nut", Some((3, "nut"))));
    assert_eq!(serves(&effects), Some(3));
    let said = events(&effects, "promoted");
    assert!(said[0]["reason"].as_str().unwrap().contains("agree on 100.0 % of 30 live images"), "{said:?}");
}

#[test]
fn a_challenger_that_is_worse_in_shadow_mode_is_rejected() {
    let (mut engine, _) = shadowing();
    let mut last = Step::default();
    for number in 0..30 {
        last = arrives(&mut engine, number, scored("nut", Some((3, "bolt"))));
        gets(&mut engine, image(number), "nut", 10);
    }
    assert_eq!(serves(&last), None);
    let said = events(&last, "rejected");
    assert!(said[0]["reason"].as_str().unwrap().contains("of 29 labelled disagreements it was right on 0"), "{said:?}");
    assert_eq!(engine.models.first().champion().map(|head| head.head.version), Some(2));
}

#[test]
fn shadow_mode_continues_after_a_restart() {
    let (mut engine, _) = shadowing();
    let mut written = None;
    for number in 0..10 {
        let step = arrives(&mut engine, number, scored("nut", Some((3, "nut"))));
        let live = |write: &Write| if let Write::LiveState { state, .. } = write { Some(state.clone()) } else { None };
        written = step.writes.iter().rev().find_map(live);
    }
    let live: LiveAccuracy = serde_json::from_str(&serde_json::to_string(&written).unwrap()).unwrap();
    let kept = HeadInfo {
        head: HeadRef { id: HeadId("head-3".into()), version: 3 },
        ..snapshot().default_task().heads[0].clone()
    };
    let snapshot = with(|task| {
        task.heads.push(kept);
        task.live = live;
    });
    let mut again = Engine::new(shadowing_settings(), snapshot);
    assert!(again.start(at(0)).acts.iter().any(|effect| matches!(effect, Act::Task(_, TaskAct::Shadow(Some(3))))));
    let served = (100..120).filter_map(|number| serves(&arrives(&mut again, number, scored("nut", Some((3, "nut"))))));
    assert_eq!(served.collect::<Vec<_>>(), [3]);
}

#[test]
fn drift_raises_an_alert_requests_labels_trains_and_ends_with_a_new_head() {
    let mut engine = started(settings(PromotionPolicy::Gated));
    let since = at(0).wall;
    let drifted =
        || Event::Adapter(AdapterEvent::EmbeddingDrift(TaskId::default(), EmbeddingDrift { p_value: 0.004, since }));
    let effects = engine.step(at(1), drifted());
    assert_eq!(events(&effects, "drift")[0]["kind"], "embedding");
    let alert: Warning = serde_json::from_slice(&published(&effects, &Topic::Alert(AlertId::Drift)).unwrap()).unwrap();
    assert!(alert.text.contains("p = 0.004"), "{alert:?}");
    assert!(
        effects
            .acts
            .iter()
            .any(|effect| matches!(effect, Act::Task(_, TaskAct::Review { since: Some(from) }) if *from == since))
    );
    assert_eq!(events(&engine.step(at(2), drifted()), "drift").len(), 0, "one alarm is enough");

    let mut order = None;
    for number in 0..2 {
        arrives(&mut engine, number, scored("nut", None));
        order = ordered(&gets(&mut engine, image(number), "bolt", 10));
    }
    let order = order.expect("two labels are as many as the schedule asks for");
    assert_eq!(order.reason, "drift");
    let effects = engine.step(at(20), outcome(order, "head-3", 3));
    assert_eq!(published(&effects, &Topic::Alert(AlertId::Drift)), Some(vec![]), "cleared");
    assert!(engine.models.first().drift_alert().is_none());
}

#[test]
fn labelled_images_leave_the_review_list() {
    let mut engine = started(settings(PromotionPolicy::Gated));
    for number in 0..3 {
        arrives(&mut engine, number, scored("nut", None));
    }
    let item = |number| ReviewItem {
        image: image(number),
        path: Some(String::new()),
        reason: ReviewReason::Uncertain,
        suggestion: None,
        probability: None,
        label: None,
        neighbours: vec![],
        source: None,
    };
    gets(&mut engine, image(2), "nut", 5);
    let review = Review { items: vec![item(0), item(1), item(2), item(99)], advice: None };
    let listed = |effects: &Step| {
        let list: serde_json::Value = serde_json::from_slice(&published(effects, &Topic::Review).unwrap()).unwrap();
        list["items"].as_array().unwrap().len()
    };
    assert_eq!(
        listed(&engine.step(at(6), Event::Adapter(AdapterEvent::ReviewListReady(TaskId::default(), review)))),
        2,
        "one has a label by now, one is gone"
    );
    assert_eq!(listed(&gets(&mut engine, image(0), "nut", 7)), 1);
}

#[test]
fn a_store_over_its_quota_evicts_samples_and_reports_it() {
    // Two samples are there at the start; messages wait too, in a spool that is bounded far below a sample's size.
    let tight = Settings { quota_bytes: 4 << 20, sample_bytes: 1 << 20, ..settings(PromotionPolicy::Gated) };
    let mut engine = started(Settings { spool_bytes_max: 1 << 10, ..tight });
    let vitals = || Event::SystemMetrics(SystemMetrics::default());
    let asked = |effects: &Step| {
        effects.acts.iter().find_map(|act| if let Act::Evict { count } = act { Some(*count) } else { None })
    };
    assert_eq!(asked(&arrives(&mut engine, 0, scored("nut", None))), None, "three samples of four");
    let over = arrives(&mut engine, 1, scored("nut", None));
    assert_eq!(asked(&over), Some(1), "the unsent messages are too much, and 5 % of the quota are room");
    assert_eq!(asked(&arrives(&mut engine, 2, scored("nut", None))), None, "one search at a time");
    gets(&mut engine, image(1), "bolt", 6);
    gets(&mut engine, image(2), "nut", 6);
    let of = |number, label: Option<&str>, why| EvictionCandidate {
        id: image(number),
        labels: label.map(|label| (TaskId::default(), Label::new(label).unwrap())).into_iter().collect(),
        why,
    };
    let found = vec![
        of(0, None, Why::Unlabelled),
        of(1, None, Why::Unlabelled),
        of(2, Some("bolt"), Why::NearDuplicate),
        of(9, None, Why::Unlabelled),
    ];
    let effects = engine.step(at(7), Event::Adapter(AdapterEvent::EvictionCandidates(found)));
    let gone: Vec<SampleId> = (effects.writes)
        .iter()
        .filter_map(|e| if let Write::DeleteSample { id } = e { Some(*id) } else { None })
        .collect();
    assert_eq!(gone, [image(0)], "one was labelled meanwhile, one is called otherwise, one is unknown");
    assert_eq!(events(&effects, "evicted")[0]["count"], 1);
    assert_eq!(engine.health().evicted, 1);
    let effects = engine.step(at(8), Event::Adapter(AdapterEvent::EvictionCandidates(vec![])));
    assert!(events(&effects, "error")[0]["reason"].as_str().unwrap().contains("store.quota_mb"));
    let looks = |effects: &Step| effects.acts.iter().any(|effect| matches!(effect, Act::Evict { .. }));
    assert!(!looks(&engine.step(at(9), vitals())), "nothing changed");
    engine.step(at(10), Event::Adapter(AdapterEvent::StatsCheckpoint(TaskId::default(), vec![1])));
    assert!(looks(&engine.step(at(11), vitals())), "a verdict has seen labels that had to wait for it");
    assert!(
        events(&engine.step(at(12), Event::Adapter(AdapterEvent::EvictionCandidates(vec![]))), "error").is_empty(),
        "it was said already"
    );
    assert!(!looks(&engine.step(at(13), vitals())));
    assert!(looks(&arrives(&mut engine, 3, scored("nut", None))), "another sample came");
    arrives(&mut engine, 4, scored("nut", None));
    engine.step(at(15), Event::Adapter(AdapterEvent::EvictionCandidates(vec![])));
    assert!(looks(&engine.step(at(16), vitals())), "one came during the search, and was not looked at");
}

#[test]
fn what_is_remembered_of_a_head_is_forgotten_when_another_one_serves_at_the_start() {
    let head = HeadRef { id: HeadId("head-3".into()), version: 3 };
    let shadow = serde_json::json!({
        "head": head, "measured": Measured::default(), "seen": 0, "agreed": 0, "won": 0, "lost": 0
    });
    let shadow: Shadow = serde_json::from_value(shadow).unwrap();
    let live = LiveAccuracy { champion: Some(1), shadow: Some(shadow), ..LiveAccuracy::default() };
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), with(|stored| stored.live = live));
    let step = engine.start(at(0));
    let stored = step.writes.iter().find_map(|write| match write {
        Write::LiveState { state, .. } => Some((state.champion, state.shadow.is_some())),
        _ => None,
    });
    assert_eq!(stored, Some((Some(2), false)), "or its shadow goes on when it serves again, deleted or not");
}

#[test]
fn many_samples_go_in_parts_so_that_no_commit_takes_long() {
    let samples: Vec<SampleId> = (0..1_200_u64).map(|n| SampleId::of(&n.to_le_bytes())).collect();
    let known = Snapshot { samples: samples.clone(), ..Snapshot::default() };
    let tight = Settings { quota_bytes: 1 << 20, sample_bytes: 1 << 10, ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(tight, known);
    engine.start(at(0));
    let candidate = |id: &SampleId| EvictionCandidate { id: *id, labels: Vec::new(), why: Why::Unlabelled };
    let found: Vec<_> = samples[..1_100].iter().map(candidate).collect();
    let gone = |step: &Step| step.writes.iter().filter(|write| matches!(write, Write::DeleteSample { .. })).count();
    let first = engine.step(at(1), Event::Adapter(AdapterEvent::EvictionCandidates(found)));
    assert_eq!((gone(&first), engine.sleeps_until()), (500, None), "ticks go on");
    assert!(events(&first, "evicted").is_empty(), "it is said once, of all");
    let over = engine.step(at(2), Event::SystemMetrics(SystemMetrics::default()));
    assert!(!over.acts.iter().any(|act| matches!(act, Act::Evict { .. })), "what was found goes first");
    assert_eq!(gone(&engine.step(at(3), Event::Tick)), 500);
    let last = engine.step(at(4), Event::Tick);
    assert_eq!((gone(&last), &events(&last, "evicted")[0]["count"]), (100, &1_100.into()));
    assert_eq!(gone(&engine.step(at(5), Event::Tick)), 0);
}
