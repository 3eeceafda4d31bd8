//! Brokers that refuse, stall, or send what no broker should: it is told in words, and the next link is tried.

use std::time::Duration;

use edgetuned::engine::{BrokerEvent, Event};
use edgetuned::mqtt::{Settings, Timeouts};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::device::{Device, Shelf, settings};
use crate::scripted::Scripted;

/// Settings that give a silent broker up soon.
fn hasty(port: u16) -> Settings {
    let timeouts = Timeouts {
        connect: Duration::from_secs(1),
        stalled: Duration::from_millis(300),
        keep_alive: Duration::from_secs(1),
    };
    Settings { timeouts, ..settings(port) }
}

#[test]
fn every_refusal_of_a_broker_is_told_in_its_own_words() {
    let broker = Scripted::new(|number, guest| match number {
        0..5 => guest.answer(u8::try_from(number + 1).unwrap()),
        _ => guest.welcome(&[]).and_then(|()| guest.serve()),
    });
    let device = Device::start(settings(broker.port));
    // The last two are one reason, and each is told once.
    for words in ["does not speak MQTT 3.1.1", "client id", "not available", "without a name"] {
        let reason = device.disconnected();
        assert!(reason.contains(words), "{words}: {reason}");
    }
    device.connected();
}

#[test]
fn an_answer_that_is_no_mqtt_is_told_and_costs_no_session() {
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        &[0x20, 2, 0, 9],
        &[0x20, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[0x90, 3, 0, 1, 0],
    ];
    let broker = Scripted::new(move |number, guest| match answers.get(number) {
        Some(answer) => guest.say(answer).and_then(|()| guest.ignore()),
        None => guest.welcome(&[]).and_then(|()| guest.serve()),
    });
    let device = Device::start(hasty(broker.port));
    loop {
        match device.next() {
            Event::Broker(BrokerEvent::Connected { .. }) => break,
            Event::Broker(BrokerEvent::Disconnected { reason, .. }) => {
                assert!(reason.contains("127.0.0.1"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
    for link in 0..=answers.len() {
        assert!(!broker.next_is_clean(), "link {link} asks the broker to forget what waits for the device");
    }
}

#[test]
fn a_refused_subscription_is_reported_and_the_others_count() {
    let broker = Scripted::new(|_, guest| {
        guest.welcome(&[1])?;
        guest.say(b"\x32\x1e\x00\x17edgetuned/line-3/label\x21\x00\x01[]")?;
        guest.serve()
    });
    let device = Device::start(settings(broker.port));
    loop {
        match device.next() {
            Event::Broker(BrokerEvent::Connected { refused, downgraded }) => {
                assert_eq!((refused, downgraded), (vec!["edgetuned/line-3/request/+".to_owned()], vec![]));
                break;
            }
            Event::Broker(BrokerEvent::Message(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_broker_that_never_answers_connect_is_given_up_and_tried_again() {
    let broker = Scripted::new(|number, guest| match number {
        0 => guest.ignore(),
        _ => guest.welcome(&[]).and_then(|()| guest.serve()),
    });
    let device = Device::start(hasty(broker.port));
    let reason = device.disconnected();
    assert!(reason.contains("acknowledged nothing") || reason.contains("does not answer"), "{reason}");
    device.connected();
}

#[test]
fn a_broker_that_never_confirms_the_subscription_is_given_up_and_tried_again() {
    let broker = Scripted::new(|number, guest| match number {
        0 => guest.answer(0).and_then(|()| guest.ignore()),
        _ => guest.welcome(&[]).and_then(|()| guest.serve()),
    });
    let device = Device::start(hasty(broker.port));
    let reason = device.disconnected();
    assert!(reason.contains("acknowledged nothing"), "{reason}");
    device.connected();
}

#[test]
fn a_wedged_link_is_replaced_and_what_it_had_in_flight_goes_again() {
    let broker = Scripted::new(|number, guest| {
        guest.welcome(&[])?;
        if number == 0 { guest.ignore() } else { guest.serve() }
    });
    let shelf = Shelf::default();
    shelf.put(1..=30);
    let device = Device::start_with(hasty(broker.port), shelf, 1_000);
    device.connected();
    let reason = device.disconnected();
    assert!(reason.contains("acknowledged nothing"), "{reason}");
    assert_eq!(device.delivered(30), (1..=30).collect::<Vec<_>>());
}

#[test]
fn a_broker_that_answers_no_ping_is_given_up() {
    let broker = Scripted::new(|number, guest| {
        guest.welcome(&[])?;
        if number == 0 { guest.ignore() } else { guest.serve() }
    });
    let device = Device::start(hasty(broker.port));
    device.connected();
    let reason = device.disconnected();
    assert!(reason.contains("pings"), "{reason}");
    device.connected();
}

#[test]
fn a_packet_that_cannot_be_read_costs_the_session_once_and_is_told() {
    let broker = Scripted::new(|number, guest| {
        guest.welcome(&[])?;
        // A message with quality of service 3.
        if number == 0 { guest.say(&[0x36, 5, 0, 1, b'x', 0, 1]).and_then(|()| guest.ignore()) } else { guest.serve() }
    });
    let device = Device::start(settings(broker.port));
    let reason = loop {
        if let Event::ComponentError { reason, .. } = device.next() {
            break reason;
        }
    };
    assert!(reason.contains("cannot be received"), "{reason}");
    device.connected();
    let clean = [broker.next_is_clean(), broker.next_is_clean(), broker.next_is_clean()];
    assert_eq!(clean, [false, true, false]);
}

#[test]
fn acknowledgements_of_nothing_change_nothing() {
    let broker = Scripted::new(|number, guest| {
        guest.welcome(&[])?;
        if number == 0 {
            for id in [0_u16, 1, 7, 500, u16::MAX] {
                guest.say(&[&[0x40, 2], id.to_be_bytes().as_slice()].concat())?;
            }
            guest.say(&[0x90, 3, 0, 9, 0x80])?;
            guest.say(&[0xd0, 0])?;
        }
        guest.serve()
    });
    let shelf = Shelf::default();
    shelf.put(1..=100);
    let device = Device::start_with(settings(broker.port), shelf, 1_000);
    let mut delivered: Vec<u64> = Vec::new();
    while delivered.last() != Some(&100) {
        delivered.extend(device.delivered(1));
    }
    assert_eq!(delivered, (1..=100).collect::<Vec<_>>(), "each is reported once and in order");
}

#[test]
fn whatever_bytes_a_broker_sends_the_next_link_works() {
    const SEED: u64 = 20;
    const RUDE: usize = 60;
    let broker = Scripted::new(|number, guest| {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED + number as u64);
        let mut bytes = vec![0; rng.random_range(1..200)];
        rng.fill(bytes.as_mut_slice());
        match number {
            RUDE.. => guest.welcome(&[]).and_then(|()| guest.serve()),
            n if n % 3 == 0 => guest.say(&bytes),
            n if n % 3 == 1 => guest.answer(0).and_then(|()| guest.say(&bytes)),
            _ => guest.welcome(&[]).and_then(|()| guest.say(&bytes)),
        }
    });
    let shelf = Shelf::default();
    shelf.put(1..=50);
    let mut impatient = hasty(broker.port);
    impatient.retry.max = Duration::from_millis(30);
    let device = Device::start_with(impatient, shelf, 10_000);
    let mut delivered = 0;
    while delivered < 50 {
        delivered += usize::from(matches!(device.next(), Event::Broker(BrokerEvent::Delivered { .. })));
    }
    device.link.stop(Duration::from_secs(1));
    device.link.join().unwrap_or_else(|_| panic!("seed {SEED}: the link panicked"));
}
