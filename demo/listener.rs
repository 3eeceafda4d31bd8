//! Someone on the broker who hears everything that the device says and can answer.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};
use serde_json::Value;

use crate::Outcome;

/// Where the daemon of the demo speaks.
pub const BASE: &str = "edgetuned/demo";

/// What was heard.
#[derive(Debug)]
pub enum Heard {
    /// A message: the topic below the base, and its JSON (`status` is plain text and comes as a string).
    Message(String, Value),
    /// Ctrl-C.
    Interrupted,
    /// The link to the broker broke.
    Lost(String),
}

/// A subscriber of everything below the base.
pub struct Listener {
    client: Client,
    heard: Receiver<Heard>,
}

impl Listener {
    /// Subscribes, so that nothing said from now on is missed.
    pub fn connect(broker: SocketAddr) -> Outcome<Self> {
        let mut options = MqttOptions::new("demo-listener", broker.ip().to_string(), broker.port());
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, connection) = Client::new(options, 64);
        client.subscribe(format!("{BASE}/#"), QoS::AtLeastOnce)?;
        let (tell, heard) = mpsc::channel();
        let (ready, subscribed) = mpsc::channel();
        let interrupts = tell.clone();
        thread::Builder::new().name("listener".into()).spawn(move || listen(connection, &tell, &ready))?;
        thread::Builder::new().name("signals".into()).spawn(move || await_interrupt(&interrupts))?;
        subscribed
            .recv_timeout(Duration::from_secs(5))
            .map_err(|_| format!("the broker on {broker} does not answer a subscription within 5 s; run it again"))?;
        Ok(Self { client, heard })
    }

    /// The next thing heard; `None` when nothing was said for this long.
    pub fn next(&self, patience: Duration) -> Outcome<Option<Heard>> {
        match self.heard.recv_timeout(patience) {
            Ok(heard) => Ok(Some(heard)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the listener ended; run it again".into()),
        }
    }

    /// Publishes below the base.
    pub fn publish(&self, topic: &str, payload: &Value) -> Outcome<()> {
        Ok(self.client.publish(format!("{BASE}/{topic}"), QoS::AtLeastOnce, false, payload.to_string())?)
    }
}

/// Passes on what comes, until the link breaks.
fn listen(mut connection: Connection, tell: &Sender<Heard>, ready: &Sender<()>) {
    for event in connection.iter() {
        let heard = match event {
            Ok(Event::Incoming(Packet::Publish(publish))) => {
                let topic = publish.topic.strip_prefix(BASE).unwrap_or(&publish.topic).trim_start_matches('/');
                let text = String::from_utf8_lossy(&publish.payload);
                Heard::Message(topic.to_owned(), serde_json::from_str(&text).unwrap_or_else(|_| text.into()))
            }
            Ok(Event::Incoming(Packet::SubAck(_))) => {
                // Nobody waits for a second one.
                let _ = ready.send(());
                continue;
            }
            Ok(_) => continue,
            Err(error) => Heard::Lost(error.to_string()),
        };
        let lost = matches!(heard, Heard::Lost(_));
        if tell.send(heard).is_err() || lost {
            return;
        }
    }
}

/// Turns Ctrl-C into something heard, so that the daemon is stopped and the folder removed before the demo ends.
fn await_interrupt(tell: &Sender<Heard>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
        // A send fails only when the demo is over anyway.
        let _ = tell.send(Heard::Interrupted);
    }
}
