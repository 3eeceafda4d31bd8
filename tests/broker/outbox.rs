//! What waits in the outbox: order, copies, pace.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use edgetuned::engine::{BrokerEvent, Event};
use edgetuned::mqtt::{REPLAY_PER_SECOND, Settings};
use edgetuned::wire::Topic;

use crate::device::{Device, Shelf, settings};
use crate::mosquitto::Mosquitto;
use crate::peer::Peer;
use crate::proxy::Proxy;

/// Order in which each of `seqs` came for the first time.
fn first_arrivals(seqs: &[u64]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    seqs.iter().copied().filter(|seq| seen.insert(*seq)).collect()
}

#[test]
fn the_outbox_arrives_in_order_and_once_when_nothing_breaks() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let shelf = Shelf::default();
    shelf.put(1..=200);
    let device = Device::start_with(Settings { boot_seq: 3, ..settings(broker.port) }, shelf, 10_000);
    device.connected();
    assert_eq!(peer.hear("prediction").0, r#"{"replayed":true,"seq":1}"#);
    assert_eq!(device.delivered(200), (1..=200).collect::<Vec<_>>());
    device.shelf.put(201..=300);
    device.link.outbox_changed();
    assert_eq!(device.delivered(100), (201..=300).collect::<Vec<_>>());
    assert_eq!(peer.hear_up_to(300), (2..=300).collect::<Vec<_>>());
}

#[test]
fn messages_of_this_start_are_not_marked_as_replayed() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let shelf = Shelf::default();
    shelf.put(3..=4);
    let _device = Device::start_with(Settings { boot_seq: 3, ..settings(broker.port) }, shelf, 10_000);
    assert_eq!(peer.hear("prediction").0, r#"{"replayed":true,"seq":3}"#);
    assert_eq!(peer.hear("prediction").0, r#"{"seq":4,"replayed":false}"#);
}

#[test]
fn the_outbox_arrives_at_least_once_and_in_order_over_cut_links() {
    let Some(broker) = Mosquitto::start() else { return };
    let wire = Proxy::to(broker.port);
    let peer = Peer::join(broker.port);
    let shelf = Shelf::default();
    shelf.put(1..=600);
    let device = Device::start_with(settings(wire.port), shelf, 10_000);
    let mut delivered = Vec::new();
    for _ in 0..4 {
        delivered.extend(device.delivered(60));
        wire.cut();
    }
    while delivered.last() != Some(&600) {
        delivered.extend(device.delivered(1));
    }
    let expected: Vec<_> = (1..=600).collect();
    assert_eq!(delivered, expected, "each is reported once and in order");
    assert_eq!(first_arrivals(&peer.hear_up_to(600)), expected);
}

#[test]
fn a_broker_that_is_killed_and_forgets_everything_gets_all_that_it_did_not_acknowledge() {
    let Some(mut broker) = Mosquitto::start() else { return };
    let shelf = Shelf::default();
    shelf.put(1..=400);
    let device = Device::start_with(settings(broker.port), shelf.clone(), 1);
    let mut delivered = device.delivered(100);
    broker.kill();
    loop {
        match device.next() {
            Event::Broker(BrokerEvent::Delivered { seq }) => delivered.push(seq),
            Event::Broker(BrokerEvent::Disconnected { .. }) => break,
            _ => {}
        }
    }
    shelf.put(401..=402);
    broker.restart();
    let peer = Peer::join(broker.port);
    device.link.publish(Topic::Info, b"{}".to_vec());
    let after = device.delivered(402 - delivered.len());
    delivered.extend(&after);
    assert_eq!(delivered, (1..=402).collect::<Vec<_>>());
    assert!(!after.is_empty());
    assert_eq!(peer.hear_up_to(402).last(), Some(&402));
}

#[test]
fn a_lost_acknowledgement_means_a_second_copy_with_the_same_seq_and_nothing_else() {
    let Some(broker) = Mosquitto::start() else { return };
    let proxy = Proxy::to(broker.port);
    let peer = Peer::join(broker.port);
    proxy.lose_acknowledgements(10);
    let shelf = Shelf::default();
    shelf.put(1..=40);
    let device = Device::start_with(settings(proxy.port), shelf, 10_000);
    let expected: Vec<_> = (1..=40).collect();
    assert_eq!(device.delivered(40), expected, "each leaves the outbox once");
    let heard = peer.hear_up_to(40);
    assert_eq!(first_arrivals(&heard), expected);
    let twice = heard.len() - expected.len();
    assert!((10..=20).contains(&twice), "what was in flight came again, and nothing else: {heard:?}");
}

#[test]
fn a_backlog_goes_at_its_pace_and_an_answer_does_not_wait_for_it() {
    const BACKLOG: u64 = 1_500;
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let shelf = Shelf::default();
    shelf.put(1..=BACKLOG);
    let device = Device::start_with(settings(broker.port), shelf.clone(), 10_000);
    device.connected();
    let begun = Instant::now();
    let first = device.delivered(20);
    shelf.answer(BACKLOG + 1);
    shelf.put(BACKLOG + 2..=BACKLOG + 400);
    device.link.outbox_changed();
    let mut delivered = first;
    while !delivered.contains(&(BACKLOG + 1)) {
        delivered.extend(device.delivered(1));
    }
    assert!(delivered.len() < 300, "the answer waited for {} messages", delivered.len());
    delivered.extend(device.delivered(BACKLOG as usize + 1 - delivered.len()));
    let backlog = begun.elapsed();
    let expected = Duration::from_secs_f64((BACKLOG - 40) as f64 / REPLAY_PER_SECOND as f64);
    assert!(backlog >= expected, "{BACKLOG} messages of a backlog took {backlog:?} only");
    // What is newer than the link is not held up.
    let begun = Instant::now();
    delivered.extend(device.delivered(399));
    assert!(begun.elapsed() < Duration::from_millis(700), "{:?} for 399 new messages", begun.elapsed());
    delivered.retain(|seq| *seq != BACKLOG + 1);
    assert!(delivered.is_sorted(), "in order but for the answer");
    assert_eq!(peer.hear("response/status").0, format!(r#"{{"seq":{}}}"#, BACKLOG + 1));
}
