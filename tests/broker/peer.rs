//! Somebody else at the broker.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rumqttc::{Client, Incoming, MqttOptions, QoS};

use crate::device::PATIENCE;

/// Another client of the broker: somebody who looks and labels.
pub struct Peer {
    pub client: Client,
    pub messages: Receiver<(String, String, bool)>,
}

impl Peer {
    /// Connects and has its subscription to everything confirmed.
    pub fn join(port: u16) -> Self {
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

    pub fn say(&self, topic: &str, payload: &str) {
        self.client.publish(format!("edgetuned/line-3/{topic}"), QoS::AtLeastOnce, false, payload).unwrap();
    }

    /// The next message on this topic; others are passed over.
    pub fn hear(&self, topic: &str) -> (String, bool) {
        let whole = format!("edgetuned/line-3/{topic}");
        loop {
            let (topic, payload, retained) = self.messages.recv_timeout(PATIENCE).expect("a message in time");
            if topic == whole {
                return (payload, retained);
            }
        }
    }

    /// The `seq`s of predictions until one with this `seq`.
    pub fn hear_up_to(&self, last: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.last() != Some(&last) {
            let (payload, _) = self.hear("prediction");
            let payload: serde_json::Value = serde_json::from_str(&payload).unwrap();
            seqs.push(payload["seq"].as_u64().unwrap());
        }
        seqs
    }
}
