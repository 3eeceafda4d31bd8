//! Connections: how they come, go, and end.

use std::time::{Duration, Instant};

use edgetuned::engine::{BrokerEvent, Event};
use edgetuned::wire::Topic;

use crate::device::{Device, PATIENCE, Shelf, settings};
use crate::mosquitto::{Mosquitto, free_port};
use crate::peer::Peer;
use crate::proxy::Proxy;

#[test]
fn a_cut_link_lets_the_will_speak_and_comes_back_with_its_subscriptions() {
    let Some(broker) = Mosquitto::start() else { return };
    let wire = Proxy::to(broker.port);
    let peer = Peer::join(broker.port);
    let device = Device::start(settings(wire.port));
    device.connected();
    device.link.publish(Topic::Status, b"online".to_vec());
    assert_eq!(peer.hear("status").0, "online");

    wire.cut();
    assert_eq!(peer.hear("status").0, "offline");
    let reason = device.disconnected();
    assert!(reason.contains("closed the connection"), "{reason}");
    device.connected();
    peer.say("label", "[]");
    peer.say("request/train", "{}");
    assert_eq!(device.inbound().topic, "label");
    assert_eq!(device.inbound().topic, "request/train");
}

#[test]
fn a_clean_end_sends_what_waits_and_leaves_stopped_behind() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let shelf = Shelf::default();
    let device = Device::start_with(settings(broker.port), shelf.clone(), 10_000);
    device.connected();
    device.link.publish(Topic::Status, b"online".to_vec());
    assert_eq!(peer.hear("status").0, "online");
    assert_eq!(Peer::join(broker.port).hear("status"), ("online".to_owned(), true));

    shelf.put(1..=100);
    device.link.outbox_changed();
    device.link.stop(PATIENCE);
    let begun = Instant::now();
    device.link.join().unwrap();
    assert!(begun.elapsed() < PATIENCE / 2, "the end comes when everything is sent, not at the deadline");
    assert_eq!(peer.hear_up_to(100), (1..=100).collect::<Vec<_>>());
    assert_eq!(peer.hear("status").0, "stopped");
    // The will does not speak after a clean end.
    assert_eq!(Peer::join(broker.port).hear("status"), ("stopped".to_owned(), true));
}

#[test]
fn a_broker_that_is_away_is_told_once_and_found_when_it_comes() {
    let port = free_port();
    let device = Device::start(settings(port));
    let reason = device.disconnected();
    assert!(reason.contains("nothing listens") && reason.contains("mqtt.url"), "{reason}");
    let Some(_broker) = Mosquitto::start_in(tempfile::tempdir().unwrap(), port, "allow_anonymous true\n") else {
        return;
    };
    loop {
        match device.next() {
            Event::Broker(BrokerEvent::Connected { .. }) => break,
            Event::Broker(BrokerEvent::Disconnected { reason: again, barred, .. }) => {
                assert_ne!(again, reason, "the same reason is told once");
                assert!(!barred, "a broker that is away comes back by itself: {again}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_end_does_not_wait_for_a_broker_that_is_away() {
    let device = Device::start(settings(free_port()));
    device.disconnected();
    device.link.stop(Duration::from_mins(1));
    let begun = Instant::now();
    device.link.join().unwrap();
    assert!(begun.elapsed() < PATIENCE);
}
