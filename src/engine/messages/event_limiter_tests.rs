use super::*;
use crate::engine::tests::{at, engine, settings};
use crate::engine::{
    Act, BrokerEvent, Engine, Event, Inbound, ProcessEvent, PromotionPolicy, Settings, Snapshot, Spooled, Step, Worth,
};
use crate::wire::Topic;
use crate::words::Component;

fn report(topic: &str) -> Report {
    Report::of_topic(topic, "broken".into())
}

fn reason((_, kind): &(Option<TaskId>, EventKind)) -> &str {
    match kind {
        EventKind::Error { reason, .. } => reason,
        other => panic!("{other:?} is no error"),
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_burst_is_reported_one_by_one_and_then_one_a_second_with_the_number_of_the_others() {
    let mut limiter = EventLimiter::default();
    let said = (0..1_000).filter_map(|_| limiter.take(secs(5), report("label"))).count();
    assert_eq!(said, BURST);
    let next = limiter.take(secs(6), report("label")).expect("a second later there is room for one");
    assert_eq!(reason(&next), "broken (980 more errors like this were not reported)");
    assert_eq!(limiter.take(secs(6), report("label")), None);
}

#[test]
fn after_a_flood_the_omitted_errors_are_reported_without_another_error() {
    let mut limiter = EventLimiter::default();
    for _ in 0..BURST + 3 {
        limiter.take(secs(0), report("request/x"));
    }
    assert_eq!(limiter.due(Duration::from_millis(900)), []);
    let due = limiter.due(secs(1));
    assert_eq!(due.iter().map(reason).collect::<Vec<_>>(), ["broken (2 more errors like this were not reported)"]);
    assert_eq!(limiter.due(secs(60)), [], "each is told of once");
}

#[test]
fn a_flood_on_one_topic_does_not_silence_another() {
    let mut limiter = EventLimiter::default();
    for n in 0..1_000 {
        limiter.take(secs(0), report(&format!("request/made-up-{n}")));
    }
    assert!(limiter.take(secs(0), report("label")).is_some());
    let fault = Report::of_source(Component::Watch, "unreadable".into());
    assert!(limiter.take(secs(0), fault).is_some());
    for n in 0..1_000 {
        limiter.take(secs(0), report(&format!("never/heard/of/{n}")));
        limiter.take(secs(0), report(&format!("{n}")));
    }
    assert_eq!(limiter.buckets.len(), 4, "names that senders make up take no memory");
}

#[test]
fn after_a_quiet_time_there_is_a_whole_burst_again_and_no_more() {
    let mut limiter = EventLimiter::default();
    let said = |limiter: &mut EventLimiter, now| (0..100).filter_map(|_| limiter.take(now, report("label"))).count();
    assert_eq!(said(&mut limiter, secs(0)), 20);
    assert_eq!(said(&mut limiter, secs(5)), 5);
    assert_eq!(said(&mut limiter, secs(100_000)), 20);
    assert_eq!(said(&mut limiter, Duration::from_millis(100_000_500)), 0);
}

/// Reasons of the errors among what the outbox got.
fn errors(effects: &Step) -> Vec<String> {
    let payloads = effects.writes.iter().filter_map(|effect| match effect {
        Write::Outbox(message) if message.topic == Topic::Event => Some(&message.payload),
        _ => None,
    });
    let events = payloads.map(|payload| serde_json::from_slice::<serde_json::Value>(payload).unwrap());
    events.filter(|event| event["event_type"] == "error").map(|event| event["reason"].to_string()).collect()
}

#[test]
fn a_flood_of_broken_labels_leaves_the_outbox_almost_empty_and_is_counted_whole() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    engine.start(at(0));
    let mut said = Vec::new();
    for n in 0..10_000 {
        let inbound = Inbound { topic: "label".into(), payload: b"{".to_vec(), retained: false, delivery: n };
        let effects = engine.step(at(n / 10), Event::Broker(BrokerEvent::Message(inbound)));
        let acknowledged = effects.acts.iter().any(|effect| matches!(effect, Act::Ack(delivery) if *delivery == n));
        assert!(acknowledged, "each is acknowledged, or it would come again");
        said.extend(errors(&effects));
    }
    assert_eq!(said.len(), 20, "within a second");
    assert_eq!(errors(&engine.step(at(1_100), Event::Tick)).len(), 1);
    assert_eq!(engine.health().errors_total, 10_000);
}

#[test]
fn requests_are_answered_each_however_many_are_broken() {
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let answers = (0..500).filter(|_| {
        let payload = br#"{"transaction": 7}"#.to_vec();
        let inbound = Inbound { topic: "request/train".into(), payload, retained: false, delivery: 1 };
        let effects = engine.step(at(0), Event::Broker(BrokerEvent::Message(inbound)));
        effects
            .writes
            .iter()
            .any(|effect| matches!(effect, Write::Outbox(message) if message.topic == Topic::Response("train".into())))
    });
    assert_eq!(answers.count(), 500);
}

#[test]
fn dropped_messages_are_reported_when_the_broker_is_connected_and_once_a_minute() {
    let tight = Settings { spool_bytes_max: 600, ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(tight, Snapshot::default());
    engine.start(at(0));
    let mut said = Vec::new();
    for n in 0..10 {
        said.extend(errors(
            &engine.step(at(n), Event::ComponentError { source: Component::Watch, reason: "x".repeat(150) }),
        ));
    }
    said.extend(errors(&engine.step(at(100), Event::Tick)));
    assert!(said.iter().all(|reason| reason.contains("xxx")), "nobody would hear it: {said:?}");
    engine.step(at(200), Event::Broker(BrokerEvent::connected()));
    let said = errors(&engine.step(at(300), Event::Tick));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("dropped") && said[0].contains("mqtt.spool_mb"), "{said:?}");
    assert_eq!(errors(&engine.step(at(50_000), Event::Tick)), Vec::<String>::new());
}

#[test]
fn the_oldest_go_first_though_one_was_set_aside_and_what_is_said_of_that_takes_room() {
    let held = |item: serde_json::Value| serde_json::json!({"item": item, "since": "2026-01-01T00:00:00Z", "tries": 0});
    let topic = held(serde_json::json!({"topic": {"topic": "review", "bytes": 0}}));
    let message = held(serde_json::json!({"message": {"seq": 1, "topic": "event", "bytes": 20}}));
    let broker = serde_json::json!({"identity": "broker", "held": [topic, message]});
    let waiting = |seq| Spooled { seq, worth: Worth::Event, bytes: 20, made_at: at(0).wall };
    let snapshot = Snapshot {
        outbox: (1..=200).map(waiting).collect(),
        broker: serde_json::from_value(broker).unwrap(),
        seq: 200,
        ..Snapshot::default()
    };
    let full = Settings { spool_bytes_max: 200 * 20, ..settings(PromotionPolicy::Gated) };
    let effects = Engine::new(full, snapshot).start(at(0));
    let gone = |write: &Write| if let Write::DeleteMessage { seq } = write { Some(*seq) } else { None };
    let dropped: Vec<u64> = effects.writes.iter().filter_map(gone).collect();
    assert!(errors(&effects).iter().any(|reason| reason.contains("review")), "{:?}", errors(&effects));
    assert!(dropped.len() > 2 && dropped.is_sorted(), "{dropped:?}");
}

#[test]
fn a_clean_shutdown_reports_what_the_outbox_dropped_without_a_connection() {
    let tight = Settings { spool_bytes_max: 1, ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(tight, Snapshot::default());
    engine.start(at(0));
    engine.step(at(0), Event::ComponentError { source: Component::Watch, reason: "gone".into() });
    let said = errors(&engine.step(at(1), Event::Process(ProcessEvent::StopRequested)));
    assert!(said.iter().any(|reason| reason.contains("dropped 1 messages")), "{said:?}");
}

#[test]
fn unsigned_manifests_do_not_suppress_reports_of_signed_ones() {
    let failed = |reason: &str| EventKind::UpdateFailed {
        kind: crate::wire::UpdateKind::Head,
        name: None,
        version: None,
        code: "bad_signature".into(),
        reason: reason.into(),
    };
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let said = |engine: &mut Engine| {
        let step = engine.finish(at(0));
        step.writes.iter().filter(|write| matches!(write, Write::Outbox(_))).count()
    };
    (0..1_000).for_each(|number| engine.cx(at(0)).update_failed(false, failed(&number.to_string())));
    assert_eq!(said(&mut engine), BURST);
    engine.cx(at(0)).update_failed(true, failed("signed"));
    assert_eq!((said(&mut engine), engine.health().errors_total), (1, 1_001));
}

#[test]
fn every_kind_of_event_is_bounded_in_outbox_and_journal_and_says_how_many_were_left_out() {
    let path = |n: usize| format!("/in/{n}.jpg");
    let head = |n: usize| crate::words::HeadRef { id: crate::words::HeadId(n.to_string()), version: 1 };
    let kinds: [fn(usize, String, crate::words::HeadRef) -> EventKind; 5] = [
        |n, path, _| EventKind::Quarantined { path, reason: n.to_string() },
        |n, _, _| EventKind::Evicted { count: 1, why: n.to_string() },
        |n, _, head| EventKind::Promoted { head, reason: n.to_string() },
        |n, _, head| EventKind::Rejected { head, reason: n.to_string() },
        |n, _, _| EventKind::ConfigChanged { reason: n.to_string() },
    ];
    for kind in kinds {
        let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
        engine.start(at(0));
        for n in 0..1_000 {
            engine.cx(at(0)).emit_event(kind(n, path(n), head(n)));
        }
        let step = engine.step(at(1_000), Event::Tick);
        let told = |act: &&Act| matches!(act, Act::LogEvent(report) if report.kind.event_type() != "started");
        let events = step.writes.iter().filter(|write| matches!(write, Write::Outbox(_))).count();
        assert_eq!((events, step.acts.iter().filter(told).count()), (BURST + 1, BURST + 1));
        let text = format!("{step:?}");
        assert!(
            text.contains("999 (979 more events like this were not reported)"),
            "{}",
            kind(0, path(0), head(0)).event_type()
        );
    }
}
