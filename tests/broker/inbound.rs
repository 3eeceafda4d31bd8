//! What comes in: delivered again, too long, faster than it is read.

use std::time::Duration;

use edgetuned::engine::{BrokerEvent, Event, Inbound};
use edgetuned::mqtt::Settings;
use edgetuned::wire::Topic;
use rumqttc::QoS;

use crate::device::{Device, Shelf, settings};
use crate::mosquitto::Mosquitto;
use crate::peer::Peer;
use crate::proxy::Proxy;

#[test]
fn what_was_not_acknowledged_comes_again_on_the_next_link_and_what_was_does_not() {
    let Some(broker) = Mosquitto::start() else { return };
    let wire = Proxy::to(broker.port);
    let peer = Peer::join(broker.port);
    let device = Device::start(settings(wire.port));
    device.connected();
    for payload in ["first", "second", "third"] {
        peer.say("label", payload);
    }
    let [first, second, third] = [device.inbound(), device.inbound(), device.inbound()];
    device.link.ack(first.delivery);
    device.link.ack(third.delivery);
    // Answered after the acknowledgements, so that the broker has them when the link is cut.
    device.link.publish(Topic::Info, b"{}".to_vec());
    peer.hear("info");

    wire.cut();
    assert_eq!(device.connected_and_inbound().payload, b"second");
    // A ticket of the former link is void: the message is still not acknowledged.
    device.link.ack(second.delivery);
    device.link.publish(Topic::Info, b"{}".to_vec());
    peer.hear("info");
    wire.cut();
    let again = device.connected_and_inbound();
    assert_eq!(again.payload, b"second");
    device.link.ack(again.delivery);
    peer.say("label", "fourth");
    assert_eq!(device.inbound().payload, b"fourth");
}

#[test]
fn messages_sent_while_the_device_is_away_are_there_when_it_comes_back() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let device = Device::start(settings(broker.port));
    device.connected();
    device.link.stop(Duration::from_secs(1));
    device.link.join().unwrap();
    peer.say("label", "meanwhile");
    // The peer hears itself, so the broker has it.
    peer.hear("label");
    let device = Device::start(settings(broker.port));
    let inbound = device.inbound();
    assert_eq!((inbound.payload.as_slice(), inbound.retained), (b"meanwhile".as_slice(), false));
}

#[test]
fn an_oversized_message_is_reported_and_does_not_come_again() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let device = Device::start(Settings { max_packet_bytes: 4_096, ..settings(broker.port) });
    device.connected();
    peer.say("label", "before");
    peer.say("label", &"x".repeat(10_000));
    peer.say("label", "after");
    let Inbound { payload, delivery, .. } = device.inbound();
    assert_eq!(payload, b"before");
    device.link.ack(delivery);
    match device.next() {
        Event::Broker(BrokerEvent::Oversized { topic, bytes, retained, delivery }) => {
            assert_eq!((topic.as_str(), retained), ("label", false));
            assert!((10_000..10_100).contains(&bytes), "{bytes}");
            device.link.ack(delivery);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(device.inbound().payload, b"after", "what came beside it arrives, over the same connection");
    // A message of our own that is too long does not stand in the way of the others.
    device.shelf.put([1, 2]);
    device.shelf.0.lock().unwrap()[0].payload = vec![b' '; 5_000];
    device.link.outbox_changed();
    assert!(matches!(device.next(), Event::ComponentError { reason, .. } if reason.contains("dropped")));
    assert_eq!(device.delivered(2), [1, 2]);
    assert_eq!(peer.hear_up_to(2), [2]);
}

#[test]
fn a_retained_oversized_message_costs_no_connection_and_what_follows_arrives() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    peer.client.publish("edgetuned/line-3/label", QoS::AtLeastOnce, true, "x".repeat(10_000)).unwrap();
    peer.hear("label");
    let device = Device::start(Settings { max_packet_bytes: 4_096, ..settings(broker.port) });
    loop {
        match device.next() {
            Event::Broker(BrokerEvent::Oversized { retained, delivery, .. }) => {
                assert!(retained, "the broker keeps it");
                device.link.ack(delivery);
                break;
            }
            Event::Broker(BrokerEvent::Disconnected { reason, .. }) => panic!("{reason}"),
            _ => {}
        }
    }
    peer.client.publish("edgetuned/line-3/label", QoS::AtLeastOnce, true, "").unwrap();
    peer.hear("label");
    // The remedy that the fault names works.
    let mut sent = 0;
    loop {
        match device.events.recv_timeout(Duration::from_millis(200)) {
            Ok(Event::Broker(BrokerEvent::Message(inbound))) if inbound.payload == b"after" => break,
            Ok(_) => {}
            Err(_) => {
                sent += 1;
                assert!(sent < 50, "the device listens again");
                peer.say("label", "after");
            }
        }
    }
}

#[test]
fn a_slow_reader_of_events_loses_nothing() {
    let Some(broker) = Mosquitto::start_with("allow_anonymous true\nmax_inflight_messages 0\n") else { return };
    let peer = Peer::join(broker.port);
    let device = Device::start_with(settings(broker.port), Shelf::default(), 1);
    device.connected();
    for number in 0..300 {
        peer.say("label", &number.to_string());
    }
    for number in 0..300 {
        let inbound = device.inbound();
        assert_eq!(inbound.payload, number.to_string().into_bytes());
        device.link.ack(inbound.delivery);
    }
}
