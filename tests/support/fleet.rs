//! Played devices on a real broker: they say that they are there, and do with an update what a test wants of them.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use edgetuned::words::Digest;
use rumqttc::{Client, Connection, Incoming, MqttOptions, QoS, SubscribeFilter};
use serde_json::{Value, json};

/// Longer than anything here takes; reached only when something is wrong.
const PATIENCE: Duration = Duration::from_mins(1);

/// Chunks that are asked for at a time.
const WINDOW: usize = 16;

/// What a device does with a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// Fetches the file and installs it.
    Installs,
    /// Says that it is worse.
    Refuses,
    /// Says that it downloads, and asks for nothing.
    Dawdles,
}

/// A played device.
#[derive(Debug, Clone)]
pub struct Device {
    pub nature: Nature,
    /// Version that is installed.
    pub installed: Option<u64>,
    /// How many manifests came.
    pub manifests: usize,
    /// Whether the last thing that came was a withdrawal.
    pub withdrawn: bool,
    /// The file that was fetched last.
    pub file: Vec<u8>,
    manifest: Option<(Digest, Value)>,
    chunks: BTreeMap<u64, Vec<u8>>,
}

/// All of them, over one connection.
pub struct Fleet {
    devices: Arc<Mutex<BTreeMap<String, Device>>>,
    /// A device got a withdrawal.
    withdrawals: Receiver<String>,
    client: Client,
}

impl Fleet {
    /// Devices at the broker on this port, each with its `info`, its `status` and the state of its update.
    pub fn new(port: u16, devices: &[(&str, Nature)]) -> Self {
        let mut options = MqttOptions::new(format!("fleet-{}-{port}", std::process::id()), "127.0.0.1", port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, connection) = Client::new(options, 10_000);
        let device = |nature| Device {
            nature,
            installed: None,
            manifests: 0,
            withdrawn: false,
            file: Vec::new(),
            manifest: None,
            chunks: BTreeMap::new(),
        };
        let devices = devices.iter().map(|(id, nature)| ((*id).to_owned(), device(*nature))).collect();
        let devices: Arc<Mutex<BTreeMap<String, Device>>> = Arc::new(Mutex::new(devices));
        let (withdrew, withdrawals) = channel();
        let (ready, is_ready) = channel();
        let mut player = Player { client: client.clone(), devices: Arc::clone(&devices), seq: 0 };
        thread::spawn(move || {
            player.play(connection, &ready, |id| drop(withdrew.send(id)));
        });
        is_ready.recv_timeout(PATIENCE).expect("the devices are there");
        Self { devices, withdrawals, client }
    }

    pub fn device(&self, id: &str) -> Device {
        self.devices.lock().unwrap()[id].clone()
    }

    /// From now on the device does this.
    pub fn set(&self, id: &str, nature: Nature) {
        self.devices.lock().unwrap().get_mut(id).unwrap().nature = nature;
    }

    /// Says something that the broker keeps.
    pub fn say(&self, id: &str, topic: &str, payload: &str) {
        let topic = format!("edgetuned/{id}/{topic}");
        self.client.try_publish(topic, QoS::AtLeastOnce, true, payload).unwrap();
    }

    /// Waits until the broker has all that was said: a withdrawal that is sent after it has come back.
    pub fn settle(&self, id: &str) {
        self.say(id, "update/head/desired", "");
        assert_eq!(self.withdrawn(), id);
    }

    /// Waits until a device got a withdrawal; which one.
    pub fn withdrawn(&self) -> String {
        self.withdrawals.recv_timeout(PATIENCE).expect("a withdrawal")
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.client.try_disconnect();
    }
}

struct Player {
    client: Client,
    devices: Arc<Mutex<BTreeMap<String, Device>>>,
    seq: u64,
}

impl Player {
    fn play(&mut self, mut connection: Connection, ready: &std::sync::mpsc::Sender<()>, withdrew: impl Fn(String)) {
        let mut unacknowledged = 0;
        for packet in connection.iter() {
            match packet {
                Ok(rumqttc::Event::Incoming(Incoming::ConnAck(_))) => {
                    let filters = ["desired", "chunk/+/+"].map(|below| format!("edgetuned/+/update/head/{below}"));
                    let filters = filters.map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
                    self.client.try_subscribe_many(filters).unwrap();
                }
                Ok(rumqttc::Event::Incoming(Incoming::SubAck(_))) => {
                    let ids: Vec<_> = self.devices.lock().unwrap().keys().cloned().collect();
                    unacknowledged = 3 * ids.len();
                    for id in ids {
                        self.say(&id, "info", "{}".into(), true);
                        self.say(&id, "status", "online".into(), true);
                        self.report(&id, "idle", None);
                    }
                }
                Ok(rumqttc::Event::Incoming(Incoming::PubAck(_))) if unacknowledged > 0 => {
                    unacknowledged -= 1;
                    if unacknowledged == 0 {
                        let _ = ready.send(());
                    }
                }
                Ok(rumqttc::Event::Incoming(Incoming::Publish(publish))) => {
                    let levels: Vec<&str> = publish.topic.split('/').collect();
                    match levels[..] {
                        [_, id, _, _, "desired"] if publish.payload.is_empty() => {
                            let mut devices = self.devices.lock().unwrap();
                            let Some(device) = devices.get_mut(id) else { continue };
                            (device.withdrawn, device.manifest) = (true, None);
                            withdrew(id.to_owned());
                        }
                        [_, id, _, _, "desired"] => self.manifest(id, &publish.payload),
                        [_, id, _, _, "chunk", _, n] => self.chunk(id, n.parse().unwrap(), publish.payload.to_vec()),
                        _ => {}
                    }
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    fn say(&self, id: &str, topic: &str, payload: String, retain: bool) {
        self.client.try_publish(format!("edgetuned/{id}/{topic}"), QoS::AtLeastOnce, retain, payload).unwrap();
    }

    fn envelope(&mut self) -> Value {
        self.seq += 1;
        json!({ "v": 1, "ts": "2026-03-01T08:00:00.000Z", "seq": self.seq, "boot": "k3v9" })
    }

    fn report(&mut self, id: &str, phase: &str, code: Option<&str>) {
        let mut state = self.envelope();
        let (installed, manifest) = {
            let device = &self.devices.lock().unwrap()[id];
            (device.installed.map(|version| version.to_string()), device.manifest.as_ref().map(|(digest, _)| *digest))
        };
        state["installed_version"] = json!(installed);
        state["latest_version"] = json!(installed);
        state["in_progress"] = json!(phase == "downloading");
        state["update_percentage"] = json!(null);
        state["phase"] = json!(phase);
        state["error"] = code.map_or(Value::Null, |code| json!({ "code": code, "message": "it is worse here" }));
        state["manifest"] = json!(manifest);
        self.say(id, "update/head/state", state.to_string(), true);
    }

    fn manifest(&mut self, id: &str, payload: &[u8]) {
        let nature = {
            let mut devices = self.devices.lock().unwrap();
            let Some(device) = devices.get_mut(id) else { return };
            device.manifests += 1;
            (device.withdrawn, device.chunks) = (false, BTreeMap::new());
            device.manifest = Some((Digest::of(payload), serde_json::from_slice(payload).unwrap()));
            device.nature
        };
        match nature {
            Nature::Refuses => self.report(id, "idle", Some("worse")),
            Nature::Dawdles => self.report(id, "downloading", None),
            Nature::Installs => {
                self.report(id, "downloading", None);
                self.ask(id);
            }
        }
    }

    fn ask(&mut self, id: &str) {
        let mut request = self.envelope();
        {
            let device = &self.devices.lock().unwrap()[id];
            let Some((_, manifest)) = &device.manifest else { return };
            let missing = (0..count(manifest)).filter(|n| !device.chunks.contains_key(n));
            request["sha256"] = manifest["sha256"].clone();
            request["chunks"] = json!(missing.take(WINDOW).collect::<Vec<_>>());
        }
        self.say(id, "update/head/request", request.to_string(), false);
    }

    fn chunk(&mut self, id: &str, n: u64, bytes: Vec<u8>) {
        let (whole, asks) = {
            let mut devices = self.devices.lock().unwrap();
            let Some(device) = devices.get_mut(id) else { return };
            let Some((_, manifest)) = device.manifest.clone() else { return };
            let is_new = device.chunks.insert(n, bytes).is_none();
            let whole = device.chunks.len() as u64 == count(&manifest);
            if whole && is_new {
                device.file = device.chunks.values().flatten().copied().collect();
                device.installed = manifest["version"].as_u64();
            }
            (whole && is_new, is_new && device.chunks.len().is_multiple_of(WINDOW))
        };
        if whole {
            self.report(id, "trial", None);
            self.report(id, "idle", None);
        } else if asks {
            self.ask(id);
        }
    }
}

fn count(manifest: &Value) -> u64 {
    manifest["size"].as_u64().unwrap().div_ceil(manifest["chunk_bytes"].as_u64().unwrap())
}
