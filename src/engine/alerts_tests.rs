use super::super::tests::{at, settings, snapshot};
use super::super::{Effect, Engine, Event, PromotionPolicy};
use crate::wire::{AlertId, Severity, Topic, Warning};

/// What is said of this alert: nothing, that it is over, or a warning.
fn said(effects: &[Effect], id: AlertId) -> Option<Option<Warning>> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Publish { topic, payload } if *topic == Topic::Alert(id) => Some(serde_json::from_slice(payload).ok()),
        _ => None,
    })
}

#[test]
fn a_broker_that_does_not_let_the_device_in_is_an_alert_until_it_does() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let refused = |reason: &str| Event::Disconnected { reason: reason.into(), barred: true };
    let away = Event::Disconnected { reason: "away".into(), barred: false };
    assert_eq!(said(&engine.step(at(1), away), AlertId::BrokerCredentials), None, "it comes back by itself");

    let warning = said(&engine.step(at(2), refused("no")), AlertId::BrokerCredentials).unwrap().unwrap();
    assert_eq!((warning.text.as_str(), warning.severity, warning.since), ("no", Severity::Error, at(2).wall));
    assert_eq!(said(&engine.step(at(3), refused("no")), AlertId::BrokerCredentials), None, "it says so already");
    let warning = said(&engine.step(at(4), refused("never")), AlertId::BrokerCredentials).unwrap().unwrap();
    assert_eq!((warning.text.as_str(), warning.since), ("never", at(2).wall), "it is the same trouble in other words");
    assert_eq!(engine.raised().into_iter().map(|raised| raised.id).collect::<Vec<_>>(), [AlertId::BrokerCredentials]);

    let effects = engine.step(at(5), Event::Connected);
    assert_eq!(said(&effects, AlertId::BrokerCredentials), Some(None), "it is over");
    assert!(engine.raised().is_empty());
}

#[test]
fn every_connection_clears_what_the_broker_remembers_of_alerts_that_are_over() {
    let mut engine = Engine::new(settings(PromotionPolicy::Gated), snapshot());
    engine.start(at(0));
    let effects = engine.step(at(1), Event::Connected);
    for id in AlertId::ALL {
        assert_eq!(said(&effects, id), Some(None), "{id}");
    }
}
