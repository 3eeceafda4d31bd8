//! While nothing can be stored.

use super::*;
use crate::engine::context::{DEFERRED_MAX, PREDICTED_MAX};
use crate::wire::Level;
use crate::wire::{AlertId, Response};
use crate::words::Component;

/// An engine whose store takes nothing any more.
fn without_room() -> Engine {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    engine.step(at(0), Event::Broker(BrokerEvent::connected()));
    let effects = engine.step(at(1), Event::Store(StoreEvent::Unavailable { full: true, reason: "no room".into() }));
    assert!(said(&effects, &Topic::Alert(AlertId::DiskFull)).is_some_and(|alert| alert.contains("no room")));
    engine
}

fn arrives(engine: &mut Engine, name: &str) -> Step {
    let id = SampleId::of(name.as_bytes());
    let picture = EmbeddedImage {
        id,
        bytes: 1,
        embeddings: vec![(space(), vec![0.0])],
        group: id,
        views: views(None),
        decode: Duration::ZERO,
        embed: Duration::from_millis(1),
        thumbnail: None,
        picture: None,
    };
    let (path, stamp) = (PathBuf::from(format!("/in/{name}.jpg")), FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 });
    let outcome = IngestOutcome::Image(Box::new(picture));
    engine.step(at(10), Event::Ingest(Ingested { root: 0, path, stamp, outcome }))
}

fn label(name: &str, delivery: u64) -> Event {
    let payload = format!(r#"{{"image": "{}", "label": "nut"}}"#, SampleId::of(name.as_bytes())).into_bytes();
    Event::Broker(BrokerEvent::Message(Inbound { topic: "label".into(), payload, retained: false, delivery }))
}

fn said(effects: &Step, at: &Topic) -> Option<String> {
    effects.acts.iter().find_map(|effect| match effect {
        Act::Publish { topic, payload } if topic == at => Some(String::from_utf8_lossy(payload).into_owned()),
        _ => None,
    })
}

fn writes(effects: &Step) -> usize {
    effects.writes.len()
}

fn stores(effects: &Step) -> bool {
    effects.writes.iter().any(|effect| matches!(effect, Write::Sample(_)))
}

#[test]
fn without_space_an_image_is_predicted_once_and_stored_when_there_is_space_again() {
    let mut engine = without_room();
    let effects = arrives(&mut engine, "a");
    assert!(said(&effects, &Topic::Prediction).is_some_and(|prediction| prediction.contains("/in/a.jpg")));
    assert_eq!(writes(&effects), 0, "{effects:?}");
    assert_eq!(
        said(&arrives(&mut engine, "a"), &Topic::Prediction),
        None,
        "a listing finds it again, which is no news"
    );

    let effects = engine.step(at(20), Event::Store(StoreEvent::Recovered));
    assert_eq!(said(&effects, &Topic::Alert(AlertId::DiskFull)), Some(String::new()), "it is over");
    assert!(effects.acts.iter().any(|effect| matches!(effect, Act::Rescan)), "what was passed over is looked for");
    let again = arrives(&mut engine, "a");
    assert!(stores(&again));
    let spooled = |effects: &Step, at: &Topic| {
        effects.writes.iter().any(|effect| matches!(effect, Write::Outbox(message) if message.topic == *at))
    };
    assert!(!spooled(&again, &Topic::Prediction), "its prediction was said");
    let other = arrives(&mut engine, "b");
    assert!(stores(&other) && spooled(&other, &Topic::Prediction));
}

#[test]
fn without_space_listings_are_paused_and_predictions_continue_past_every_bound() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let holds = |effects: &Step, wanted| {
        effects.acts.iter().position(|effect| matches!(effect, Act::PauseScans(held) if *held == wanted))
    };
    let effects = engine.step(at(1), Event::Store(StoreEvent::Unavailable { full: true, reason: "no room".into() }));
    assert!(holds(&effects, true).is_some(), "they would find what was predicted again and again");
    for n in 0..=PREDICTED_MAX {
        let effects = arrives(&mut engine, &n.to_string());
        assert!(said(&effects, &Topic::Prediction).is_some(), "{n}");
    }
    assert_eq!(said(&arrives(&mut engine, &PREDICTED_MAX.to_string()), &Topic::Prediction), None);
    let effects = engine.step(at(20), Event::Store(StoreEvent::Recovered));
    let scan = effects.acts.iter().position(|effect| matches!(effect, Act::Rescan));
    assert!(holds(&effects, false).unwrap() < scan.unwrap(), "a listing that is held finds nothing");
}

#[test]
fn without_space_labels_wait_unacknowledged_and_count_afterwards() {
    let mut engine = without_room();
    assert!(engine.step(at(2), label("a", 1)).is_empty(), "neither acknowledged nor forgotten");
    let effects = engine.step(at(20), Event::Store(StoreEvent::Recovered));
    assert!(effects.writes.iter().any(|effect| matches!(effect, Write::PendingLabel(_))));
    assert!(effects.acts.iter().any(|effect| matches!(effect, Act::Ack(1))));
}

#[test]
fn a_flood_of_labels_during_an_outage_is_left_to_the_broker_past_a_bound() {
    let mut engine = without_room();
    for delivery in 0..2 * DEFERRED_MAX as u64 {
        engine.step(at(2), label(&delivery.to_string(), delivery));
    }
    let effects = engine.step(at(20), Event::Store(StoreEvent::Recovered));
    let acknowledged = effects.acts.iter().filter(|effect| matches!(effect, Act::Ack(_))).count();
    assert_eq!(acknowledged, DEFERRED_MAX);
}

#[test]
fn without_space_requests_that_change_something_are_refused_and_those_that_read_are_answered() {
    let mut engine = without_room();
    let mut ask = |name: &str| -> Response {
        let requested = SocketRequest { name: name.into(), payload: br#"{"transaction": "t"}"#.to_vec(), ticket: 7 };
        let effects = engine.step(at(3), Event::Socket(requested));
        assert_eq!(writes(&effects), 0, "{name}: {effects:?}");
        let answer = effects.acts.into_iter().find_map(|effect| match effect {
            Act::Answer { response, .. } => Some(*response),
            _ => None,
        });
        answer.expect("it is answered at once")
    };
    for name in ["train", "rollback", "reload"] {
        let answer = serde_json::to_string(&ask(name)).unwrap();
        assert!(answer.contains("busy") && answer.contains("nothing can be stored"), "{name}: {answer}");
    }
    let status = serde_json::to_string(&ask("status")).unwrap();
    assert!(status.contains("disk_full"), "{status}");
}

#[test]
fn an_answer_that_may_not_be_stored_is_not_given_again_meanwhile() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let ask = |engine: &mut Engine| -> String {
        let requested = SocketRequest { name: "train".into(), payload: br#"{"transaction": "t"}"#.to_vec(), ticket: 7 };
        let acts = engine.step(at(3), Event::Socket(requested)).acts;
        let answer = acts.into_iter().find_map(|act| match act {
            Act::Answer { response, .. } => Some(*response),
            _ => None,
        });
        serde_json::to_string(&answer.expect("it is answered at once")).unwrap()
    };
    let first = ask(&mut engine);
    assert!(!first.contains("busy"), "{first}");
    engine.step(at(4), Event::Store(StoreEvent::Unavailable { full: true, reason: "no room".into() }));
    let again = ask(&mut engine);
    assert!(again.contains("busy") && again.contains("nothing can be stored"), "{again}");
    engine.step(at(5), Event::Store(StoreEvent::Recovered));
    let data = |answer: &str| serde_json::from_str::<serde_json::Value>(answer).unwrap()["data"].clone();
    assert_eq!(data(&ask(&mut engine)), data(&first), "it is stored now");
}

#[test]
fn nothing_that_would_have_to_be_durable_is_begun_meanwhile() {
    let mut engine = without_room();
    for minute in 1..600 {
        let effects = engine.step(at(minute * 60_000), Event::Tick);
        assert_eq!(writes(&effects), 0, "{effects:?}");
    }
    let other = engine
        .step(at(600 * 60_000), Event::Store(StoreEvent::Unavailable { full: false, reason: "read-only".into() }));
    assert_eq!(said(&other, &Topic::Alert(AlertId::DiskFull)), Some(String::new()));
    assert!(said(&other, &Topic::Alert(AlertId::StoreUnwritable)).is_some_and(|alert| alert.contains("read-only")));
}

#[test]
fn an_event_is_in_the_journal_though_nothing_can_be_stored() {
    let mut engine = without_room();
    let fault = Event::ComponentError { source: Component::Watch, reason: "the folder is gone".into() };
    let effects = engine.step(at(2), fault);
    assert!(said(&effects, &Topic::Event).is_some(), "the broker has it");
    let logged = effects.acts.iter().find_map(|act| match act {
        Act::LogEvent(report) => Some(report.kind.clone()),
        _ => None,
    });
    assert!(logged.is_some_and(|event| event.level() == Level::Warning), "{effects:?}");
}

#[test]
fn waiting_messages_pass_to_the_engine_after_a_restart_and_are_dropped_with_their_connection() {
    for (is_cut_off, acknowledged) in [(false, vec![7]), (true, vec![])] {
        let mut engine = without_room();
        engine.step(at(2), label("a", 7));
        let carried = engine.carry();
        let carried = if is_cut_off { carried.cut_off() } else { carried };
        let mut next = Engine::after(carried, settings(PromotionPolicy::Gated), snapshot());
        let acks: Vec<_> = (next.start(at(3)).acts.into_iter())
            .filter_map(|act| if let Act::Ack(delivery) = act { Some(delivery) } else { None })
            .collect();
        assert_eq!(acks, acknowledged);
    }
}
