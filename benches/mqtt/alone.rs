//! Outbox and link without the daemon around them, and a client that keeps nothing.

use std::error::Error;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use edgetuned::engine::{BrokerEvent, Event, OutboxMessage, Write};
use edgetuned::head::BackboneRef;
use edgetuned::mqtt::{self, Lane, OutboxError, Retry, Settings, Timeouts, Tls};
use edgetuned::source::Slots;
use edgetuned::store::{OpenOptions, Precision, Reader, SpacesInUse, Store};
use edgetuned::wire::{Base, Topic};
use edgetuned::words::{Digest, EmbeddingSpace, Timestamp};
use rumqttc::{Client, Incoming, MqttOptions, QoS};

use crate::mosquitto::Mosquitto;
use crate::own_cpu_seconds;

const MESSAGES: u64 = 20_000;

/// As long as a prediction with three classes.
const PAYLOAD_BYTES: usize = 560;

pub fn measure() -> Result<(), Box<dyn Error>> {
    println!("{MESSAGES} messages of {PAYLOAD_BYTES} bytes, quality of service 1, at most 20 unacknowledged");
    for batch in [1, 16] {
        let (per_second, cpu_us) = durable(batch)?;
        println!(
            "  outbox and link, {batch} new in a commit: {per_second:.0} messages/s, {cpu_us:.0} us of processor each"
        );
    }
    let (per_second, cpu_us) = plain()?;
    println!("  rumqttc alone, nothing kept: {per_second:.0} messages/s, {cpu_us:.0} us each");
    Ok(())
}

/// The store's outbox beside its writer.
struct Outbox(Reader);

impl mqtt::Outbox for Outbox {
    fn after(&mut self, lane: Lane, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, OutboxError> {
        Ok(match lane {
            Lane::Answers => self.0.answers_after(seq, limit)?,
            Lane::Reports => self.0.reports_after(seq, limit)?,
        })
    }

    fn newest(&mut self) -> Result<u64, OutboxError> {
        Ok(self.0.outbox_newest()?)
    }
}

/// The daemon's loop with nothing but messages in it: new ones and acknowledgements share a commit.
fn durable(batch: u64) -> Result<(f64, f64), Box<dyn Error>> {
    let broker = Mosquitto::start().ok_or("mosquitto")?;
    let folder = tempfile::tempdir()?;
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: 1 };
    let backbone = BackboneRef { name: "none".into(), sha256: Digest::of(b"b"), dim: 1 };
    let options = OpenOptions { spaces: SpacesInUse::whole(space), backbone: &backbone, precision: Precision::F16 };
    let mut store = Store::open(folder.path(), &options)?;
    let (sender, events) = channel();
    let settings = Settings {
        broker: format!("mqtt://127.0.0.1:{}", broker.port).parse()?,
        base: Base::new("edgetuned", "line-3")?,
        client_id: "edgetuned-line-3".into(),
        home_assistant: false,
        frames: Vec::new(),
        credentials: None,
        tls: Tls::default(),
        max_packet_bytes: 1 << 20,
        retry: Retry::default(),
        timeouts: Timeouts::default(),
        boot_seq: 0,
    };
    let link = mqtt::spawn(
        settings,
        Box::new(Outbox(store.reader()?)),
        move |event| drop(sender.send(event)),
        Arc::new(Slots::new(|| true)),
    )?;
    while !matches!(events.recv()?, Event::Broker(BrokerEvent::Connected { .. })) {}

    let (started, before) = (Instant::now(), own_cpu_seconds()?);
    let (mut made, mut delivered) = (0, 0);
    while delivered < MESSAGES {
        let mut writes = Vec::new();
        // A few hundred wait at most, as behind a camera that is a little faster than the broker.
        if made < MESSAGES && made - delivered < 256 {
            writes.extend((made + 1..=made + batch).map(|seq| Write::Outbox(message(seq))));
            made += batch;
        }
        let wait = if writes.is_empty() { Duration::from_secs(10) } else { Duration::ZERO };
        match events.recv_timeout(wait) {
            Ok(first) => {
                for event in std::iter::once(first).chain(events.try_iter().take(255)) {
                    if let Event::Broker(BrokerEvent::Delivered { seq }) = event {
                        delivered += 1;
                        writes.push(Write::DeleteMessage { seq });
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) if wait.is_zero() => {}
            Err(error) => return Err(error.into()),
        }
        store.commit(&writes)?;
        link.outbox_changed();
    }
    let figures = figures(delivered, started, before)?;
    link.stop(Duration::from_secs(1));
    link.join().map_err(|_| "the link panicked")?;
    Ok(figures)
}

fn message(seq: u64) -> OutboxMessage {
    OutboxMessage { seq, topic: Topic::Prediction, payload: vec![b'x'; PAYLOAD_BYTES], made_at: Timestamp(0) }
}

/// The same messages from the client library that the link is built on.
fn plain() -> Result<(f64, f64), Box<dyn Error>> {
    let broker = Mosquitto::start().ok_or("mosquitto")?;
    let mut options = MqttOptions::new("plain", "127.0.0.1", broker.port);
    options.set_inflight(20);
    let (client, mut connection) = Client::new(options, 100);
    let (started, before) = (Instant::now(), own_cpu_seconds()?);
    let publisher = std::thread::spawn(move || {
        (0..MESSAGES)
            .try_for_each(|_| {
                client.publish("edgetuned/line-3/prediction", QoS::AtLeastOnce, false, vec![b'x'; PAYLOAD_BYTES])
            })
            .map(|()| client)
    });
    let acknowledged = |event: &rumqttc::Event| matches!(event, rumqttc::Event::Incoming(Incoming::PubAck(_)));
    let mut count = 0;
    for event in connection.iter() {
        count += u64::from(acknowledged(&event?));
        if count == MESSAGES {
            break;
        }
    }
    let figures = figures(count, started, before)?;
    publisher.join().map_err(|_| "the publisher panicked")??;
    Ok(figures)
}

fn figures(messages: u64, started: Instant, cpu_before: f64) -> Result<(f64, f64), Box<dyn Error>> {
    let (time, count) = (started.elapsed().as_secs_f64(), messages as f64);
    Ok((count / time, (own_cpu_seconds()? - cpu_before) * 1e6 / count))
}
