//! Played devices that share statistics: each answers for a file of its own, and says what heads are worth.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use edgetuned::wire::command::StatisticsPart;
use edgetuned::words::Digest;
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS, SubscribeFilter};
use serde_json::{Value, json};

/// A device that gives `file`, and `score` for whatever head it is asked to measure.
pub struct Sharing {
    pub id: String,
    pub file: Arc<Vec<u8>>,
    pub score: Value,
}

impl Sharing {
    /// Joins the broker on this port and answers until that ends; something comes when the broker knows the device.
    pub fn join(self, port: u16) -> Receiver<()> {
        let (ready, is_ready) = channel();
        thread::spawn(move || {
            let mut options = MqttOptions::new(self.id.clone(), "127.0.0.1", port);
            options.set_max_packet_size(1 << 20, 1 << 20);
            let (client, mut connection) = Client::new(options, 64);
            let sha256 = Digest::of(&self.file);
            let mut seq = 0_u64;
            for packet in connection.iter() {
                match packet {
                    Ok(Event::Incoming(Incoming::ConnAck(_))) => {
                        let topics = ["statistics", "score"].map(|name| self.topic(&format!("request/{name}")));
                        let filters = topics.map(|topic| SubscribeFilter::new(topic, QoS::AtLeastOnce));
                        client.try_subscribe_many(filters).unwrap();
                    }
                    Ok(Event::Incoming(Incoming::SubAck(_))) => {
                        client.try_publish(self.topic("info"), QoS::AtLeastOnce, true, b"{}".to_vec()).unwrap();
                    }
                    Ok(Event::Incoming(Incoming::PubAck(_))) => drop(ready.send(())),
                    Ok(Event::Incoming(Incoming::Publish(request))) => {
                        let asked: Value = serde_json::from_slice(&request.payload).unwrap();
                        let (_, name) = request.topic.rsplit_once('/').unwrap();
                        let number = |name: &str| asked[name].as_u64().unwrap_or(0);
                        let part = || StatisticsPart::of(&self.file, sha256, number("offset"), number("length") as u32);
                        let data = if name == "score" { self.score.clone() } else { json!(part()) };
                        seq += 1;
                        let answer = json!({
                            "v": 1, "ts": "2026-03-01T08:02:13.000Z", "seq": seq, "boot": "played",
                            "transaction": asked["transaction"], "status": "ok", "data": data,
                        });
                        let topic = self.topic(&format!("response/{name}"));
                        client.try_publish(topic, QoS::AtLeastOnce, false, answer.to_string()).unwrap();
                    }
                    Err(_) => return,
                    _ => {}
                }
            }
        });
        is_ready
    }

    fn topic(&self, below: &str) -> String {
        format!("edgetuned/{}/{below}", self.id)
    }
}
