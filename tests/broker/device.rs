//! The link under test, with an outbox in memory.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use edgetuned::engine::{BrokerEvent, Event, Inbound, OutboxMessage};
use edgetuned::mqtt::{self, Handle, Lane, Outbox, OutboxError, Retry, Settings, Timeouts, Tls};
use edgetuned::source::Slots;
use edgetuned::wire::{Base, Topic};
use edgetuned::words::Timestamp;

/// Longer than anything here takes; reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The outbox of a test: removed from when delivered, as the store does.
#[derive(Clone, Default)]
pub struct Shelf(pub Arc<Mutex<Vec<OutboxMessage>>>);

impl Shelf {
    pub fn put(&self, seqs: impl IntoIterator<Item = u64>) {
        self.0.lock().unwrap().extend(seqs.into_iter().map(|seq| OutboxMessage {
            seq,
            topic: Topic::Prediction,
            payload: format!(r#"{{"seq":{seq},"replayed":false}}"#).into_bytes(),
            made_at: Timestamp(0),
        }));
    }

    pub fn remove(&self, seq: u64) {
        self.0.lock().unwrap().retain(|message| message.seq != seq);
    }

    /// Puts an answer to a request.
    pub fn answer(&self, seq: u64) {
        let message = OutboxMessage {
            seq,
            topic: Topic::Response("status".into()),
            payload: format!(r#"{{"seq":{seq}}}"#).into_bytes(),
            made_at: Timestamp(0),
        };
        self.0.lock().unwrap().push(message);
    }
}

impl Outbox for Shelf {
    fn after(&mut self, lane: Lane, seq: u64, limit: usize) -> Result<Vec<OutboxMessage>, OutboxError> {
        let lane_of = |topic: &Topic| if matches!(topic, Topic::Response(_)) { Lane::Answers } else { Lane::Reports };
        let messages = self.0.lock().unwrap();
        let fit = messages.iter().filter(|message| message.seq > seq && lane_of(&message.topic) == lane);
        Ok(fit.take(limit).cloned().collect())
    }

    fn newest(&mut self) -> Result<u64, OutboxError> {
        Ok(self.0.lock().unwrap().last().map_or(0, |message| message.seq))
    }
}

/// The link under test.
pub struct Device {
    pub link: Handle,
    pub events: Receiver<Event>,
    pub shelf: Shelf,
    pub slots: Arc<Slots>,
}

impl Device {
    pub fn start(settings: Settings) -> Self {
        Self::start_with(settings, Shelf::default(), 10_000)
    }

    pub fn start_with(settings: Settings, shelf: Shelf, event_queue: usize) -> Self {
        let (sender, events): (SyncSender<Event>, _) = sync_channel(event_queue);
        let outbox = shelf.clone();
        let slots = Arc::new(Slots::new(|| true));
        slots.keep(&settings.frames.iter().map(|(source, _)| source.clone()).collect::<Vec<_>>());
        let frames = Arc::clone(&slots);
        let link = mqtt::spawn(settings, Box::new(outbox), move |event| drop(sender.send(event)), frames).unwrap();
        Self { link, events, shelf, slots }
    }

    /// The next event; the outbox forgets what was delivered.
    pub fn next(&self) -> Event {
        let event = self.events.recv_timeout(PATIENCE).expect("an event in time");
        if let Event::Broker(BrokerEvent::Delivered { seq }) = event {
            self.shelf.remove(seq);
        }
        event
    }

    pub fn connected(&self) {
        while !matches!(self.next(), Event::Broker(BrokerEvent::Connected { .. })) {}
    }

    pub fn disconnected(&self) -> String {
        self.next_disconnected().0
    }

    /// Why the broker does not let the device in.
    pub fn barred(&self) -> String {
        let (reason, barred) = self.next_disconnected();
        assert!(barred, "{reason}");
        reason
    }

    fn next_disconnected(&self) -> (String, bool) {
        loop {
            if let Event::Broker(BrokerEvent::Disconnected { reason, barred, .. }) = self.next() {
                return (reason, barred);
            }
        }
    }

    pub fn inbound(&self) -> Inbound {
        loop {
            if let Event::Broker(BrokerEvent::Message(inbound)) = self.next() {
                return inbound;
            }
        }
    }

    /// What the broker had kept for us may come before the subscription is confirmed, or after.
    pub fn connected_and_inbound(&self) -> Inbound {
        let (mut connected, mut inbound) = (false, None);
        loop {
            match self.next() {
                Event::Broker(BrokerEvent::Connected { .. }) => connected = true,
                Event::Broker(BrokerEvent::Message(message)) => inbound = Some(message),
                _ => {}
            }
            if let (true, Some(message)) = (connected, &inbound) {
                return message.clone();
            }
        }
    }

    pub fn delivered(&self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            if let Event::Broker(BrokerEvent::Delivered { seq }) = self.next() {
                seqs.push(seq);
            }
        }
        seqs
    }
}

pub fn settings(port: u16) -> Settings {
    Settings {
        broker: format!("mqtt://127.0.0.1:{port}").parse().unwrap(),
        base: Base::new("edgetuned", "line-3").unwrap(),
        client_id: "edgetuned-line-3".into(),
        home_assistant: true,
        frames: Vec::new(),
        credentials: None,
        tls: Tls::default(),
        max_packet_bytes: 64 * 1024,
        retry: Retry { min: Duration::from_millis(20), max: Duration::from_millis(100), seed: 1 },
        timeouts: Timeouts::default(),
        boot_seq: 0,
    }
}
