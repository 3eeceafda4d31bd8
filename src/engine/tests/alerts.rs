//! Alerts.

use super::*;
use crate::wire::{AlertId, ProviderReport, RefusedProvider, Severity, Warning};

/// What is published about an alert.
#[derive(Debug, PartialEq)]
enum Published {
    Nothing,
    Over,
    Up(Warning),
}

impl Published {
    fn up(self) -> Warning {
        match self {
            Self::Up(warning) => warning,
            other => panic!("not up: {other:?}"),
        }
    }
}

fn published(effects: &Step, id: AlertId) -> Published {
    let alert = Topic::Alert(id);
    let payload = effects.acts.iter().rev().find_map(|effect| match effect {
        Act::Publish { topic, payload } if *topic == alert => Some(payload),
        _ => None,
    });
    match payload {
        None => Published::Nothing,
        Some(payload) if payload.is_empty() => Published::Over,
        Some(payload) => Published::Up(serde_json::from_slice(payload).unwrap()),
    }
}

#[test]
fn a_broker_that_rejects_the_credentials_is_an_alert_until_it_accepts_them() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let refused = |reason: &str| Event::Broker(BrokerEvent::disconnected(reason, true));
    let away = Event::Broker(BrokerEvent::disconnected("away", false));
    assert_eq!(
        published(&engine.step(at(1), away), AlertId::BrokerCredentials),
        Published::Nothing,
        "it comes back by itself"
    );

    let warning = published(&engine.step(at(2), refused("no")), AlertId::BrokerCredentials).up();
    assert_eq!((warning.text.as_str(), warning.severity, warning.since), ("no", Severity::Error, at(2).wall));
    assert_eq!(
        published(&engine.step(at(3), refused("no")), AlertId::BrokerCredentials),
        Published::Nothing,
        "it says so already"
    );
    let warning = published(&engine.step(at(4), refused("never")), AlertId::BrokerCredentials).up();
    assert_eq!((warning.text.as_str(), warning.since), ("never", at(2).wall), "it is the same trouble in other words");
    assert_eq!(engine.raised().into_iter().map(|raised| raised.id).collect::<Vec<_>>(), [AlertId::BrokerCredentials]);

    let effects = engine.step(at(5), Event::Broker(BrokerEvent::connected()));
    assert_eq!(published(&effects, AlertId::BrokerCredentials), Published::Over, "it is over");
    assert!(engine.raised().is_empty());
}

#[test]
fn every_connection_clears_what_the_broker_remembers_of_alerts_that_are_over() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let effects = engine.step(at(1), Event::Broker(BrokerEvent::connected()));
    for id in AlertId::PLAIN {
        assert_eq!(published(&effects, id.clone()), Published::Over, "{id}");
    }
}

#[test]
fn a_head_that_cannot_serve_is_an_alert_until_another_one_does() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let failed = |version| Event::HeadLoadFailed { task: TaskId::default(), version, reason: "it is damaged".into() };
    let effects = engine.step(at(1), failed(1));
    assert!(effects.is_empty(), "head 1 was replaced before it served: {effects:?}");
    let effects = engine.step(at(1), failed(2));
    let warning = published(&effects, AlertId::Model).up();
    assert!(warning.text.contains("head 2") && warning.text.contains("damaged"), "{warning:?}");
    let payload = b"{}".to_vec();
    let rollback = Event::Socket(SocketRequest { name: "rollback".into(), payload, ticket: 1 });
    assert_eq!(published(&engine.step(at(2), rollback), AlertId::Model), Published::Over, "head 1 serves");
}

#[test]
fn a_fall_back_to_another_provider_is_an_alert_from_the_start_on_and_in_info() {
    let mut settings = settings(PromotionPolicy::Gated);
    settings.provider.report.asked = vec!["openvino".into(), "cpu".into()];
    settings.provider.refused = vec![RefusedProvider { name: "openvino".into(), why: "no such device".into() }];
    let mut engine = Engine::new(settings, snapshot());
    let effects = engine.start(at(0));
    let warning = published(&effects, AlertId::Provider).up();
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.text.contains("on cpu instead of openvino: openvino: no such device"), "{warning:?}");
    let effects = engine.step(at(1), Event::Broker(BrokerEvent::connected()));
    assert_eq!(published(&effects, AlertId::Provider), Published::Up(warning));
    let info = effects.acts.iter().find_map(|act| match act {
        Act::Publish { topic: Topic::Info, payload } => {
            Some(serde_json::from_slice::<serde_json::Value>(payload).unwrap())
        }
        _ => None,
    });
    let provider = &info.unwrap()["backbone"]["provider"];
    assert_eq!((&provider["running"], &provider["nodes"]["cpu"]), (&"cpu".into(), &3.into()));
}

#[test]
fn a_backbone_is_known_by_its_embeddings_on_the_cpu_whatever_computes_it() {
    let mut settings = settings(PromotionPolicy::Gated);
    settings.space = EmbeddingSpace { backbone: Digest::of(b"on npu"), ..settings.space };
    settings.provider.report = ProviderReport { running: "npu".into(), cosine: 0.99, ..settings.provider.report };
    let served = settings.served();
    assert_eq!((served.space, served.provider.as_deref()), (settings.space_on_cpu, Some("npu")));
    settings.provider.report.cosine = 0.99995;
    assert_eq!(settings.served().provider, None, "of the CPU's space");
}

/// What is remembered of a broker that takes nothing on one topic, and nothing retained.
fn refusing() -> BrokerRecord {
    let item = serde_json::json!({"topic": {"topic": "review", "bytes": 0}});
    let held = serde_json::json!({"item": item, "since": "2026-01-01T00:00:00Z", "tries": 3});
    serde_json::from_value(serde_json::json!({"identity": "broker", "held": [held], "unretained": true})).unwrap()
}

#[test]
fn a_reload_tries_again_what_the_broker_did_not_take_though_the_link_stays() {
    let snapshot = || Snapshot { broker: refusing(), ..snapshot() };
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let refused = vec!["edgetuned/played/label".to_owned()];
    engine.step(at(0), Event::Broker(BrokerEvent::Connected { refused, downgraded: vec![] }));
    let mut next = Engine::after(engine.carry(), settings(PromotionPolicy::Gated), snapshot());
    let started = next.start(at(1));
    let terms = |step: &Step| {
        step.acts
            .iter()
            .rev()
            .find_map(|act| if let Act::AdaptToBroker(terms) = act { Some(*terms.clone()) } else { None })
    };
    assert!(!terms(&started).unwrap().unretained, "the flag is tried again");
    let warning = published(&started, AlertId::MqttRefused).up();
    assert!(warning.text.contains("the subscription to edgetuned/played/label"), "{warning:?}");
    let terms = terms(&next.step(at(2), Event::Tick)).unwrap();
    assert_eq!((terms.held.len(), terms.last.len()), (0, 1), "set aside no longer, but the last to go");
}
