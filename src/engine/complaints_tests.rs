use super::super::tests::{at, engine, settings};
use super::super::{Event, Inbound, PromotionPolicy, Snapshot};
use super::*;
use crate::wire::Topic;

fn complaint(topic: &str) -> Complaint {
    Complaint::of_topic(topic, "broken".into())
}

fn reason(happening: &Happening) -> &str {
    match happening {
        Happening::Error { reason, .. } => reason,
        other => panic!("{other:?} is no error"),
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn a_burst_is_said_one_by_one_and_then_one_a_second_with_the_number_of_the_others() {
    let mut complaints = Complaints::default();
    let said = (0..1_000).filter_map(|_| complaints.take(secs(5), complaint("label"))).count();
    assert_eq!(said, BURST);
    let next = complaints.take(secs(6), complaint("label")).expect("a second later there is room for one");
    assert_eq!(reason(&next), "broken (980 more errors like it were left out)");
    assert_eq!(complaints.take(secs(6), complaint("label")), None);
}

#[test]
fn when_a_flood_ends_what_was_left_out_is_told_without_another_error() {
    let mut complaints = Complaints::default();
    for _ in 0..BURST + 3 {
        complaints.take(secs(0), complaint("request/x"));
    }
    assert_eq!(complaints.due(Duration::from_millis(900)), []);
    let due = complaints.due(secs(1));
    assert_eq!(due.iter().map(reason).collect::<Vec<_>>(), ["broken (2 more errors like it were left out)"]);
    assert_eq!(complaints.due(secs(60)), [], "each is told of once");
}

#[test]
fn a_flood_on_one_topic_does_not_silence_another() {
    let mut complaints = Complaints::default();
    for n in 0..1_000 {
        complaints.take(secs(0), complaint(&format!("request/made-up-{n}")));
    }
    assert!(complaints.take(secs(0), complaint("label")).is_some());
    let fault = Complaint::of_source("watch", "unreadable".into());
    assert!(complaints.take(secs(0), fault).is_some());
    for n in 0..1_000 {
        complaints.take(secs(0), complaint(&format!("never/heard/of/{n}")));
        complaints.take(secs(0), complaint(&format!("{n}")));
    }
    assert_eq!(complaints.buckets.len(), 4, "names that senders make up take no memory");
}

#[test]
fn after_a_quiet_time_there_is_a_whole_burst_again_and_no_more() {
    let mut complaints = Complaints::default();
    let said =
        |complaints: &mut Complaints, now| (0..100).filter_map(|_| complaints.take(now, complaint("label"))).count();
    assert_eq!(said(&mut complaints, secs(0)), 20);
    assert_eq!(said(&mut complaints, secs(5)), 5);
    assert_eq!(said(&mut complaints, secs(100_000)), 20);
    assert_eq!(said(&mut complaints, Duration::from_millis(100_000_500)), 0);
}

/// Reasons of the errors among what the outbox got.
fn errors(effects: &[Effect]) -> Vec<String> {
    let payloads = effects.iter().filter_map(|effect| match effect {
        Effect::Write(Write::Outbox(message)) if message.topic == Topic::Event => Some(&message.payload),
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
        let effects = engine.step(at(n / 10), Event::Inbound(inbound));
        let acknowledged = effects.iter().any(|effect| matches!(effect, Effect::Ack(delivery) if *delivery == n));
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
        let effects = engine.step(at(0), Event::Inbound(inbound));
        effects.iter().any(|effect| {
            matches!(effect, Effect::Write(Write::Outbox(message)) if message.topic == Topic::Response("train".into()))
        })
    });
    assert_eq!(answers.count(), 500);
}

#[test]
fn what_the_outbox_dropped_is_told_once_the_broker_is_there_and_once_a_minute() {
    let tight = super::super::Settings { spool_bytes_max: 600, ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(tight, Snapshot::default());
    engine.start(at(0));
    let mut said = Vec::new();
    for n in 0..10 {
        said.extend(errors(&engine.step(at(n), Event::Fault { source: "watch", reason: "x".repeat(150) })));
    }
    said.extend(errors(&engine.step(at(100), Event::Tick)));
    assert!(said.iter().all(|reason| reason.contains("xxx")), "nobody would hear it: {said:?}");
    engine.step(at(200), Event::Connected);
    let said = errors(&engine.step(at(300), Event::Tick));
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("dropped") && said[0].contains("mqtt.spool_mb"), "{said:?}");
    assert_eq!(errors(&engine.step(at(50_000), Event::Tick)), Vec::<String>::new());
}

#[test]
fn a_clean_end_tells_what_the_outbox_dropped_while_nobody_listened() {
    let tight = super::super::Settings { spool_bytes_max: 1, ..settings(PromotionPolicy::Gated) };
    let mut engine = Engine::new(tight, Snapshot::default());
    engine.start(at(0));
    engine.step(at(0), Event::Fault { source: "watch", reason: "gone".into() });
    let said = errors(&engine.step(at(1), Event::Stop));
    assert!(said.iter().any(|reason| reason.contains("dropped 1 messages")), "{said:?}");
}

#[test]
fn what_nobody_signed_does_not_drown_what_somebody_did() {
    let failed = |reason: &str| Happening::UpdateFailed {
        kind: crate::wire::UpdateKind::Head,
        name: None,
        version: None,
        code: "bad_signature".into(),
        reason: reason.into(),
    };
    let mut engine = engine(PromotionPolicy::Gated, Snapshot::default());
    let said = |engine: &Engine| {
        let spooled = engine.effects.iter().filter(|effect| matches!(effect, Effect::Write(Write::Outbox(_))));
        spooled.count()
    };
    let now = at(0);
    (0..1_000).for_each(|number| engine.update_failed(now, false, failed(&number.to_string())));
    assert_eq!(said(&engine), BURST);
    engine.update_failed(now, true, failed("signed"));
    assert_eq!((said(&engine), engine.reports.errors_total), (BURST + 1, 1_001));
}
