//! Frames of sources beside the device's own messages.

use edgetuned::engine::{BrokerEvent, Event, SourceCounts, SourceNews};
use edgetuned::mqtt::Settings;
use edgetuned::words::{SourceId, TopicFilter};
use rumqttc::QoS;

use crate::device::{Device, settings};
use crate::mosquitto::Mosquitto;
use crate::peer::Peer;
use crate::proxy::Proxy;

/// Two cameras, named as Frigate and Home Assistant name their topics.
fn with_frames(port: u16) -> Settings {
    let source = |id: &str, filter: &str| (SourceId::new(id).unwrap(), TopicFilter::new(filter).unwrap());
    let frames = vec![source("cars", "frigate/+/car/snapshot"), source("hall", "homeassistant/camera/hall/image")];
    Settings { frames, ..settings(port) }
}

fn jpeg(n: u32, bytes: usize) -> Vec<u8> {
    [&[0xff, 0xd8, 0xff, 0xe0], &n.to_le_bytes()[..], &vec![7; bytes]].concat()
}

fn publish(peer: &Peer, topic: &str, retain: bool, payload: impl Into<Vec<u8>>) {
    peer.client.publish(topic, QoS::AtLeastOnce, retain, payload.into()).unwrap();
}

/// Frames of a flood.
const FRAMES: u32 = 1_000;

/// Waits until a label that was given after everything else has arrived: the frames before it have, too.
fn settle(device: &Device, peer: &Peer) {
    peer.say("label", "behind the frames");
    let inbound = device.inbound();
    assert_eq!(inbound.payload, b"behind the frames");
    device.link.ack(inbound.delivery);
}

/// What came of each source since the last call.
fn counts(device: &Device) -> Vec<(String, SourceCounts)> {
    device
        .slots
        .news()
        .sources
        .into_iter()
        .map(|SourceNews { source, counts, .. }| (source.to_string(), counts))
        .collect()
}

#[test]
fn frames_come_to_their_source_by_topic_raw_or_as_base64_and_nothing_else_does() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let device = Device::start(with_frames(broker.port));
    device.connected();
    publish(&peer, "frigate/drive/car/snapshot", false, jpeg(1, 30_000));
    publish(&peer, "frigate/yard/car/snapshot", false, jpeg(2, 30_000));
    publish(&peer, "frigate/drive/person/snapshot", false, jpeg(3, 10));
    publish(&peer, "homeassistant/camera/hall/image", false, "/9j/4AAQSkZJRg==");
    settle(&device, &peer);
    let of = |frames, skipped| SourceCounts { frames, skipped, ..SourceCounts::default() };
    assert_eq!(counts(&device), [("cars".into(), of(2, 1)), ("hall".into(), of(1, 0))]);
    let [cars, hall] = ["cars", "hall"].map(|id| device.slots.take(&SourceId::new(id).unwrap()).unwrap());
    assert_eq!((cars.bytes, cars.stale), (jpeg(2, 30_000), false), "the newest one");
    assert_eq!(hall.bytes, b"\xff\xd8\xff\xe0\0\x10JFIF");
}

#[test]
fn a_frame_that_the_broker_kept_is_stale_and_too_long_or_odd_ones_are_failures() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    publish(&peer, "homeassistant/camera/hall/image", true, jpeg(1, 100));
    settle_peer(&peer);
    let device = Device::start(with_frames(broker.port));
    device.connected();
    let hall = SourceId::new("hall").unwrap();
    settle(&device, &peer);
    assert!(device.slots.take(&hall).unwrap().stale);
    publish(&peer, "homeassistant/camera/hall/image", true, jpeg(2, 100));
    publish(&peer, "frigate/drive/car/snapshot", false, jpeg(3, 200_000));
    publish(&peer, "frigate/drive/car/snapshot", false, "no signal");
    settle(&device, &peer);
    assert!(!device.slots.take(&hall).unwrap().stale, "it came while we listened");
    let news = device.slots.news().sources;
    assert_eq!(news[0].counts, SourceCounts { failed: 2, ..SourceCounts::default() });
    assert!(news[0].failure.as_ref().unwrap().contains("not a JPEG"), "{news:?}");
    // A link that breaks brings it again: the same picture is no news.
    publish(&peer, "homeassistant/camera/hall/image", true, Vec::new());
    settle(&device, &peer);
    assert_eq!(device.slots.take(&hall), None, "an empty message takes the picture away and is none");
}

/// Waits until the broker has all that the peer said.
fn settle_peer(peer: &Peer) {
    peer.say("other", "x");
    peer.hear("other");
}

#[test]
fn the_same_retained_frame_on_the_next_connection_is_the_one_before() {
    let Some(broker) = Mosquitto::start() else { return };
    let wire = Proxy::to(broker.port);
    let peer = Peer::join(broker.port);
    publish(&peer, "homeassistant/camera/hall/image", true, jpeg(1, 100));
    settle_peer(&peer);
    let device = Device::start(with_frames(wire.port));
    device.connected();
    settle(&device, &peer);
    assert_eq!(counts(&device)[0].1.frames, 1);
    wire.cut();
    device.connected();
    settle(&device, &peer);
    assert_eq!(counts(&device)[0].1, SourceCounts { frozen: 1, ..SourceCounts::default() });
}

#[test]
fn a_flood_of_frames_does_not_hold_up_labels_or_what_is_sent() {
    let Some(broker) = Mosquitto::start() else { return };
    let (peer, camera) = (Peer::join(broker.port), Peer::join(broker.port));
    let device = Device::start(with_frames(broker.port));
    device.connected();
    for n in 0..FRAMES {
        publish(&camera, "frigate/drive/car/snapshot", false, jpeg(n, 30_000));
        if n % 100 == 0 {
            peer.say("label", &n.to_string());
            let inbound = device.inbound();
            assert_eq!(inbound.payload, n.to_string().into_bytes());
            device.link.ack(inbound.delivery);
            device.shelf.put([u64::from(n) + 1]);
            device.link.outbox_changed();
            assert_eq!(device.delivered(1), [u64::from(n) + 1]);
        }
    }
    settle(&device, &camera);
    let (source, counts) = counts(&device).remove(0);
    assert_eq!((source.as_str(), counts.failed, counts.frozen), ("cars", 0, 0));
    assert!(counts.frames > 0 && counts.skipped == counts.frames - 1, "{counts:?}");
    // The broker may drop what comes too fast; what comes afterwards arrives.
    publish(&camera, "frigate/drive/car/snapshot", false, jpeg(FRAMES, 30_000));
    settle(&device, &camera);
    assert_eq!(device.slots.take(&SourceId::new("cars").unwrap()).unwrap().bytes, jpeg(FRAMES, 30_000));
    // Nothing of it became an event.
    assert!(!device.events.try_iter().any(|event| matches!(event, Event::Broker(BrokerEvent::Message(_)))));
}
