//! The broker of the demo, on the loopback address and a free port; and a listener on it that receives everything that
//! the device publishes and can answer.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Connection, Event, MqttOptions, Packet, QoS};
use rumqttd::{Broker, Config, ConnectionSettings, RouterConfig, ServerSettings};
use serde_json::Value;

use crate::Outcome;

/// Starts the broker; it runs until the process ends.
pub fn start() -> Outcome<SocketAddr> {
    let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
    let connections = ConnectionSettings {
        connection_timeout_ms: 5_000,
        max_payload_size: 1 << 20,
        max_inflight_count: 200,
        auth: None,
        external_auth: None,
        dynamic_filters: true,
    };
    let server =
        ServerSettings { name: "demo".into(), listen: address, tls: None, next_connection_delay_ms: 1, connections };
    let router = RouterConfig {
        max_connections: 16,
        max_outgoing_packet_count: 200,
        max_segment_size: 4 << 20,
        max_segment_count: 4,
        ..RouterConfig::default()
    };
    let config = Config { router, v4: Some(HashMap::from([("demo".into(), server)])), ..Config::default() };
    thread::Builder::new().name("broker".into()).spawn(move || {
        if let Err(error) = Broker::new(config).start() {
            eprintln!("the broker ended: {error}");
        }
    })?;
    let deadline = Instant::now() + Duration::from_secs(5);
    while TcpStream::connect(address).is_err() {
        if Instant::now() > deadline {
            return Err(
                format!("the broker does not listen on {address} after 5 s; is the port taken? run it again").into()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(address)
}

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
    /// Subscribes, so that no message from now on is missed.
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

    /// The next message or end; `None` when there was none for this long.
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
