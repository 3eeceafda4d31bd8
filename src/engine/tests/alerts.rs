//! What needs a person.

use super::*;
use crate::wire::{AlertId, Severity, Warning};
use crate::words::Keyword as _;

/// What is said of an alert.
#[derive(Debug, PartialEq)]
enum Said {
    Nothing,
    Over,
    Up(Warning),
}

impl Said {
    fn up(self) -> Warning {
        match self {
            Self::Up(warning) => warning,
            other => panic!("not up: {other:?}"),
        }
    }
}

fn said(effects: &Step, id: AlertId) -> Said {
    let payload = effects.acts.iter().rev().find_map(|effect| match effect {
        Act::Publish { topic, payload } if *topic == Topic::Alert(id) => Some(payload),
        _ => None,
    });
    match payload {
        None => Said::Nothing,
        Some(payload) if payload.is_empty() => Said::Over,
        Some(payload) => Said::Up(serde_json::from_slice(payload).unwrap()),
    }
}

#[test]
fn a_broker_that_does_not_let_the_device_in_is_an_alert_until_it_does() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let refused = |reason: &str| Event::Broker(BrokerEvent::Disconnected { reason: reason.into(), barred: true });
    let away = Event::Broker(BrokerEvent::Disconnected { reason: "away".into(), barred: false });
    assert_eq!(said(&engine.step(at(1), away), AlertId::BrokerCredentials), Said::Nothing, "it comes back by itself");

    let warning = said(&engine.step(at(2), refused("no")), AlertId::BrokerCredentials).up();
    assert_eq!((warning.text.as_str(), warning.severity, warning.since), ("no", Severity::Error, at(2).wall));
    assert_eq!(
        said(&engine.step(at(3), refused("no")), AlertId::BrokerCredentials),
        Said::Nothing,
        "it says so already"
    );
    let warning = said(&engine.step(at(4), refused("never")), AlertId::BrokerCredentials).up();
    assert_eq!((warning.text.as_str(), warning.since), ("never", at(2).wall), "it is the same trouble in other words");
    assert_eq!(engine.raised().into_iter().map(|raised| raised.id).collect::<Vec<_>>(), [AlertId::BrokerCredentials]);

    let effects = engine.step(at(5), Event::Broker(BrokerEvent::Connected));
    assert_eq!(said(&effects, AlertId::BrokerCredentials), Said::Over, "it is over");
    assert!(engine.raised().is_empty());
}

#[test]
fn every_connection_clears_what_the_broker_remembers_of_alerts_that_are_over() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let effects = engine.step(at(1), Event::Broker(BrokerEvent::Connected));
    for &id in AlertId::ALL {
        assert_eq!(said(&effects, id), Said::Over, "{id}");
    }
}

#[test]
fn a_head_that_cannot_serve_is_an_alert_until_another_one_does() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let effects = engine.step(at(1), Event::HeadLoadFailed { version: 2, reason: "it is damaged".into() });
    let warning = said(&effects, AlertId::Model).up();
    assert!(warning.text.contains("head 2") && warning.text.contains("damaged"), "{warning:?}");
    let payload = b"{}".to_vec();
    let rollback = Event::Socket(SocketRequest { name: "rollback".into(), payload, ticket: 1 });
    assert_eq!(said(&engine.step(at(2), rollback), AlertId::Model), Said::Over, "head 1 serves");
}
