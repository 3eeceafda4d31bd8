//! The link to a real broker: what arrives, what comes again, and what is said when something is wrong.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/mosquitto.rs"]
mod mosquitto;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::engine::{Event, Inbound, OutboxMessage};
use edgetuned::mqtt::{self, BrokerUrl, Credentials, Handle, OutboxError, Retry, Settings, Tls};
use edgetuned::wire::{Base, Topic};
use edgetuned::words::Timestamp;
use mosquitto::{Mosquitto, free_port};
use rumqttc::{Client, Incoming, MqttOptions, QoS};

/// Longer than anything here takes; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(10);

/// The outbox of a test: removed from when delivered, as the store does.
#[derive(Clone, Default)]
struct Shelf(Arc<Mutex<Vec<OutboxMessage>>>);

impl Shelf {
    fn put(&self, seqs: impl IntoIterator<Item = u64>) {
        self.0.lock().unwrap().extend(seqs.into_iter().map(|seq| OutboxMessage {
            seq,
            topic: Topic::Prediction,
            payload: format!(r#"{{"seq":{seq},"replayed":false}}"#).into_bytes(),
            made_at: Timestamp(0),
        }));
    }

    fn remove(&self, seq: u64) {
        self.0.lock().unwrap().retain(|message| message.seq != seq);
    }

    fn after(&self, seq: u64, limit: usize) -> Vec<OutboxMessage> {
        self.0.lock().unwrap().iter().filter(|message| message.seq > seq).take(limit).cloned().collect()
    }
}

/// The link under test.
struct Device {
    link: Handle,
    events: Receiver<Event>,
    shelf: Shelf,
}

impl Device {
    fn start(settings: Settings) -> Self {
        Self::start_with(settings, Shelf::default(), 10_000)
    }

    fn start_with(settings: Settings, shelf: Shelf, event_queue: usize) -> Self {
        let (sender, events): (SyncSender<Event>, _) = sync_channel(event_queue);
        let outbox = shelf.clone();
        let link = mqtt::spawn(
            settings,
            Box::new(move |seq, limit| Ok::<_, OutboxError>(outbox.after(seq, limit))),
            move |event| drop(sender.send(event)),
        )
        .unwrap();
        Self { link, events, shelf }
    }

    /// The next event; the outbox forgets what was delivered.
    fn next(&self) -> Event {
        let event = self.events.recv_timeout(PATIENCE).expect("an event in time");
        if let Event::Delivered { seq } = event {
            self.shelf.remove(seq);
        }
        event
    }

    fn connected(&self) {
        while !matches!(self.next(), Event::Connected) {}
    }

    fn disconnected(&self) -> String {
        loop {
            if let Event::Disconnected { reason } = self.next() {
                return reason;
            }
        }
    }

    fn inbound(&self) -> Inbound {
        loop {
            if let Event::Inbound(inbound) = self.next() {
                return inbound;
            }
        }
    }

    /// What the broker had kept for us may come before the subscription is confirmed, or after.
    fn connected_and_inbound(&self) -> Inbound {
        let (mut connected, mut inbound) = (false, None);
        loop {
            match self.next() {
                Event::Connected => connected = true,
                Event::Inbound(message) => inbound = Some(message),
                _ => {}
            }
            if let (true, Some(message)) = (connected, &inbound) {
                return message.clone();
            }
        }
    }

    fn delivered(&self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            if let Event::Delivered { seq } = self.next() {
                seqs.push(seq);
            }
        }
        seqs
    }
}

fn settings(port: u16) -> Settings {
    Settings {
        broker: format!("mqtt://127.0.0.1:{port}").parse().unwrap(),
        base: Base::new("edgetuned", "line-3").unwrap(),
        credentials: None,
        tls: Tls::default(),
        max_packet_bytes: 64 * 1024,
        retry: Retry { min: Duration::from_millis(20), max: Duration::from_millis(100), seed: 1 },
        boot_seq: 0,
    }
}

/// Another client of the broker: somebody who looks and labels.
struct Peer {
    client: Client,
    messages: Receiver<(String, String, bool)>,
}

impl Peer {
    /// Connects and has its subscription to everything confirmed.
    fn join(port: u16) -> Self {
        static NUMBER: AtomicU16 = AtomicU16::new(0);
        let id = format!("peer-{port}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 1_000);
        let (sender, messages) = channel();
        let (ready, is_ready) = channel();
        client.subscribe("edgetuned/#", QoS::AtLeastOnce).unwrap();
        thread::spawn(move || {
            for packet in connection.iter().map_while(Result::ok) {
                match packet {
                    rumqttc::Event::Incoming(Incoming::SubAck(_)) => drop(ready.send(())),
                    rumqttc::Event::Incoming(Incoming::Publish(publish)) => {
                        let payload = String::from_utf8_lossy(&publish.payload).into_owned();
                        if sender.send((publish.topic, payload, publish.retain)).is_err() {
                            return;
                        }
                    }
                    _ => {}
                }
            }
        });
        is_ready.recv_timeout(PATIENCE).expect("the peer's subscription");
        Self { client, messages }
    }

    fn say(&self, topic: &str, payload: &str) {
        self.client.publish(format!("edgetuned/line-3/{topic}"), QoS::AtLeastOnce, false, payload).unwrap();
    }

    /// The next message on this topic; others are passed over.
    fn hear(&self, topic: &str) -> (String, bool) {
        let whole = format!("edgetuned/line-3/{topic}");
        loop {
            let (topic, payload, retained) = self.messages.recv_timeout(PATIENCE).expect("a message in time");
            if topic == whole {
                return (payload, retained);
            }
        }
    }

    /// The `seq`s of predictions until one with this `seq`.
    fn hear_up_to(&self, last: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            let (payload, _) = self.hear("prediction");
            let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
            seqs.push(payload["seq"].as_u64().unwrap());
        }
        seqs
    }
}

/// A wire between device and broker that can be cut.
struct Wire {
    port: u16,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Wire {
    fn to(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ends = Arc::new(Mutex::new(Vec::new()));
        thread::spawn({
            let ends = Arc::clone(&ends);
            move || {
                for device in listener.incoming().map_while(Result::ok) {
                    let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)) else { continue };
                    for (mut from, mut to) in [(&device, &broker), (&broker, &device)]
                        .map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                    {
                        thread::spawn(move || {
                            let _ = io::copy(&mut from, &mut to);
                            let _ = to.shutdown(Shutdown::Both);
                        });
                    }
                    ends.lock().unwrap().extend([device, broker]);
                }
            }
        });
        Self { port, ends }
    }

    fn cut(&self) {
        for end in self.ends.lock().unwrap().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}

/// Order in which each of `seqs` came for the first time.
fn first_arrivals(seqs: &[u64]) -> Vec<u64> {
    let mut seen = BTreeSet::new();
    seqs.iter().copied().filter(|seq| seen.insert(*seq)).collect()
}

#[test]
fn a_cut_link_lets_the_will_speak_and_comes_back_with_its_subscriptions() {
    let Some(broker) = Mosquitto::start() else { return };
    let wire = Wire::to(broker.port);
    let peer = Peer::join(broker.port);
    let device = Device::start(settings(wire.port));
    device.connected();
    device.link.publish(Topic::Status, b"online".to_vec());
    assert_eq!(peer.hear("status").0, "online");

    wire.cut();
    assert_eq!(peer.hear("status").0, "offline");
    let reason = device.disconnected();
    assert!(reason.contains("closed the link"), "{reason}");
    device.connected();
    peer.say("label", "[]");
    peer.say("request/train", "{}");
    assert_eq!(device.inbound().topic, "label");
    assert_eq!(device.inbound().topic, "request/train");
}

#[test]
fn what_was_not_acknowledged_comes_again_on_the_next_link_and_what_was_does_not() {
    let Some(broker) = Mosquitto::start() else { return };
    let wire = Wire::to(broker.port);
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
    let wire = Wire::to(broker.port);
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
            Event::Delivered { seq } => delivered.push(seq),
            Event::Disconnected { .. } => break,
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
            Event::Connected => break,
            Event::Disconnected { reason: again } => assert_ne!(again, reason, "the same reason is told once"),
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

#[test]
fn an_oversized_message_is_reported_and_does_not_come_again() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    let device = Device::start(Settings { max_packet_bytes: 4_096, ..settings(broker.port) });
    device.connected();
    peer.say("label", "before");
    peer.say("label", &"x".repeat(10_000));
    assert_eq!(device.inbound().payload, b"before");
    loop {
        match device.next() {
            Event::Fault { source, reason } => {
                assert_eq!(source, "mqtt");
                assert!(reason.contains("mqtt.max_packet_kb"), "{reason}");
                break;
            }
            Event::Connected => panic!("the fault comes before the next link"),
            _ => {}
        }
    }
    device.connected();
    peer.say("label", "after");
    assert_eq!(device.inbound().payload, b"after");
    // A message of our own that is too long does not stand in the way of the others.
    device.shelf.put([1, 2]);
    device.shelf.0.lock().unwrap()[0].payload = vec![b' '; 5_000];
    device.link.outbox_changed();
    assert!(matches!(device.next(), Event::Fault { reason, .. } if reason.contains("dropped")));
    assert_eq!(device.delivered(2), [1, 2]);
    assert_eq!(peer.hear_up_to(2), [2]);
}

#[test]
fn a_retained_oversized_message_is_reported_once_though_it_comes_on_every_link() {
    let Some(broker) = Mosquitto::start() else { return };
    let peer = Peer::join(broker.port);
    peer.client.publish("edgetuned/line-3/label", QoS::AtLeastOnce, true, "x".repeat(10_000)).unwrap();
    peer.hear("label");
    let device = Device::start(Settings { max_packet_bytes: 4_096, ..settings(broker.port) });
    let (mut faults, mut links) = (0, 0);
    while links < 3 {
        match device.next() {
            Event::Fault { .. } => faults += 1,
            Event::Disconnected { .. } => links += 1,
            _ => {}
        }
    }
    assert_eq!(faults, 1);
    peer.client.publish("edgetuned/line-3/label", QoS::AtLeastOnce, true, "").unwrap();
    peer.hear("label");
    // The remedy that the fault names works.
    let mut sent = 0;
    loop {
        match device.events.recv_timeout(Duration::from_millis(200)) {
            Ok(Event::Inbound(inbound)) if inbound.payload == b"after" => break,
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
fn a_wrong_password_is_told_in_words_and_a_right_one_is_taken_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["line", "right"]).status();
    if !made.is_ok_and(|status| status.success()) {
        println!("skipped: mosquitto_passwd is not installed");
        return;
    }
    let lines = "allow_anonymous false\npassword_file {folder}/users\n";
    let Some(broker) = Mosquitto::start_in(folder, free_port(), lines) else { return };
    let password_file = broker.folder().join("password");
    let credentials = Credentials { username: "line".into(), password_file: Some(password_file.clone()) };
    let device = Device::start(Settings { credentials: Some(credentials), ..settings(broker.port) });
    let reason = device.disconnected();
    assert!(reason.contains("cannot read the password") && reason.contains("mqtt.password_file"), "{reason}");
    fs::write(&password_file, "wrong\n").unwrap();
    let reason = device.disconnected();
    assert!(reason.contains(r#"refuses user "line""#), "{reason}");
    fs::write(&password_file, "right\n").unwrap();
    device.connected();
    let anonymous = Device::start(settings(broker.port));
    let reason = anonymous.disconnected();
    assert!(reason.contains("without a name"), "{reason}");
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

#[test]
fn tls_checks_the_broker_against_the_given_authority() {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1".split(' '))
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder.path())
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("skipped: openssl is not installed");
        return;
    }
    let lines = "allow_anonymous true\ncertfile {folder}/cert.pem\nkeyfile {folder}/key.pem\n";
    let Some(broker) = Mosquitto::start_in(folder, free_port(), lines) else { return };
    let with_ca = |ca_file: &str, scheme: &str| Settings {
        broker: format!("{scheme}://127.0.0.1:{}", broker.port).parse::<BrokerUrl>().unwrap(),
        tls: Tls { ca_file: Some(broker.folder().join(ca_file)), client: None },
        ..settings(broker.port)
    };
    let device = Device::start(with_ca("missing.pem", "mqtts"));
    let reason = device.disconnected();
    assert!(reason.contains("missing.pem") && reason.contains("mqtt.ca_file"), "{reason}");
    drop(device);

    fs::copy(broker.folder().join("cert.pem"), broker.folder().join("ca.pem")).unwrap();
    Device::start(with_ca("ca.pem", "mqtts")).connected();
    // The system's authorities have not signed this one.
    let device = Device::start(Settings { tls: Tls::default(), ..with_ca("ca.pem", "mqtts") });
    let reason = device.disconnected();
    assert!(reason.contains("TLS") || reason.contains("ca-certificates"), "{reason}");
    drop(device);
    let reason = Device::start(with_ca("ca.pem", "mqtt")).disconnected();
    assert!(reason.contains("with TLS for mqtts:// only"), "{reason}");
}
