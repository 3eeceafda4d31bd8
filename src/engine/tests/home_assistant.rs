//! When the device is announced to Home Assistant, and what is published about the head in service.

use super::*;
use crate::wire::{Info, Payload as _};

/// What is published for Home Assistant among `effects`.
fn announced(effects: &Step) -> Vec<&[u8]> {
    let published = effects.acts.iter().filter_map(|effect| match effect {
        Act::Publish { topic: Topic::Discovery, payload } => Some(payload.as_slice()),
        _ => None,
    });
    published.collect()
}

fn birth(engine: &mut Engine, payload: &[u8]) -> Step {
    let (topic, payload) = ("homeassistant/status".to_owned(), payload.to_vec());
    engine.step(at(0), Event::Broker(BrokerEvent::Message(Inbound { topic, payload, retained: false, delivery: 7 })))
}

#[test]
fn the_device_is_announced_at_every_connection_and_when_home_assistant_comes() {
    let mut engine = engine(PromotionPolicy::Gated, snapshot());
    let first = engine.step(at(0), Event::Broker(BrokerEvent::connected()));
    let document = announced(&first);
    assert_eq!(document.len(), 1);
    assert!(serde_json::from_slice::<serde_json::Value>(document[0]).unwrap()["cmps"]["label"].is_object());
    assert_eq!(announced(&birth(&mut engine, b"online")), document);
    for payload in [&b"offline"[..], b"", b"Online", b"online ", b"{}", b"\xff"] {
        let effects = birth(&mut engine, payload);
        assert!(
            effects.writes.is_empty() && matches!(effects.acts[..], [Act::Ack(7)]),
            "{}: {effects:?}",
            String::from_utf8_lossy(payload)
        );
    }
}

/// What is remembered of the broker, and the discovery topics that are cleared, among the writes of a step.
fn taken_away(step: &Step) -> (Option<BrokerRecord>, Vec<String>) {
    let record = step.writes.iter().rev().find_map(|write| match write {
        Write::BrokerRecord(record) => Some(record.clone()),
        _ => None,
    });
    let cleared = step.writes.iter().filter_map(|write| match write {
        Write::Outbox(OutboxMessage { topic: Topic::FormerDiscovery(topic), payload, .. }) if payload.is_empty() => {
            Some(topic.clone())
        }
        _ => None,
    });
    (record, cleared.collect())
}

#[test]
fn what_was_announced_is_taken_away_once_and_nothing_where_nothing_was() {
    let on = || settings(PromotionPolicy::Gated);
    let off = || Settings { home_assistant: false, ..on() };
    let renamed = || Settings { base: Base::new("edgetuned", "line-4").unwrap(), ..on() };
    let elsewhere = || Settings { base: on().base.with_discovery("ha").unwrap(), ..on() };
    let mut record = BrokerRecord::default();
    let former = "homeassistant/device/line-3/config";
    for (name, settings, cleared) in [
        ("never announced", off(), vec![]),
        ("announced", on(), vec![]),
        ("again", on(), vec![]),
        ("renamed", renamed(), vec![former]),
        ("named as before", on(), vec!["homeassistant/device/line-4/config"]),
        ("another prefix", elsewhere(), vec![former]),
        ("switched off", off(), vec!["ha/device/line-3/config"]),
        ("still off", off(), vec![]),
    ] {
        let is_on = settings.home_assistant;
        let mut engine = Engine::new(settings, Snapshot { broker: record.clone(), ..snapshot() });
        let (changed, found) = taken_away(&engine.start(at(0)));
        record = changed.unwrap_or(record);
        assert_eq!(found, cleared, "{name}");
        let connected = engine.step(at(0), Event::Broker(BrokerEvent::connected()));
        assert_eq!(announced(&connected).len(), usize::from(is_on), "{name}");
    }
}

#[test]
fn info_has_the_accuracy_of_the_head_in_service_after_a_rollback_too() {
    let mut snapshot = snapshot();
    snapshot.default_task().heads[0].accuracy = Some(0.75);
    snapshot.default_task().heads[1].accuracy = Some(0.9);
    let mut engine = engine(PromotionPolicy::Gated, snapshot);
    let accuracy = |effects: &Step| {
        let info = effects.acts.iter().find_map(|effect| match effect {
            Act::Publish { topic: Topic::Info, payload } => Info::decode(payload).ok(),
            _ => None,
        });
        info.expect("info is published").head.expect("a head serves").accuracy
    };
    assert_eq!(accuracy(&engine.step(at(0), Event::Broker(BrokerEvent::connected()))), Some(0.9));
    assert_eq!(accuracy(&request(&mut engine, "rollback")), Some(0.75));
}
