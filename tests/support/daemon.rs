//! The built program as a daemon with folders of its own, and somebody who listens at its broker.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rumqttc::{Client, Incoming, MqttOptions, NetworkOptions, QoS, SubscribeFilter};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes; reached only when something is wrong.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Topics of the device under test begin with this.
pub const BASE: &str = "edgetuned/line-3";

/// The folders of one daemon: what it watches, what it remembers, and its configuration.
pub struct Home {
    folder: TempDir,
    program: PathBuf,
}

impl Home {
    /// A home for `program` with the broker on this port; `more` are lines of the configuration (`training: …`).
    pub fn new(program: &str, port: u16, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Self { folder, program: program.into() };
        fs::create_dir(home.camera()).expect("a folder to watch");
        let (camera, state) = (home.camera(), home.state());
        let text = format!(
            "device: {{ id: line-3 }}\nwatch: [{{ path: {}, settle: 100ms }}]\nstore: {{ path: {} }}\n\
             mqtt: {{ url: 'mqtt://127.0.0.1:{port}' }}\n{more}\n",
            camera.display(),
            state.display()
        );
        fs::write(home.folder.path().join("config.yaml"), text).expect("a configuration file");
        home
    }

    /// The watched folder.
    pub fn camera(&self) -> PathBuf {
        self.folder.path().join("camera")
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// What the daemons of this home wrote to standard error.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Adds to the configuration; it counts from the next start.
    pub fn configure(&self, more: &str) {
        let folder = self.folder.path().join("conf.d");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("more.yaml"), more).expect("a configuration file");
    }

    /// Writes a file below the watched folder, making folders where needed; its path.
    pub fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.camera().join(name);
        fs::create_dir_all(path.parent().expect("it is in a folder")).expect("a folder");
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// Puts a file into the folder `models` in which the programs of this home look for bundled backbones first; its path.
    pub fn bundle(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let folder = self.folder.path().join("models");
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(name);
        fs::write(&path, bytes).expect("a file");
        path
    }

    /// Runs a command of the program with this home's configuration where its daemon runs.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(self.config()).args(words).current_dir(self.working_folder());
        command.stdin(Stdio::null());
        command
    }

    /// The repository, unless this home has bundled backbones of its own.
    fn working_folder(&self) -> &Path {
        let own = self.folder.path();
        if own.join("models").exists() { own } else { Path::new(env!("CARGO_MANIFEST_DIR")) }
    }

    /// Starts the daemon.
    pub fn start(&self) -> Daemon {
        self.start_with(&[])
    }

    /// Starts the daemon with these variables in its environment.
    pub fn start_with(&self, variables: &[(&str, &Path)]) -> Daemon {
        let log = File::options().create(true).append(true).open(self.log()).expect("a log file");
        let child = Command::new(&self.program)
            .args(["run", "--config"])
            .arg(self.config())
            .envs(variables.iter().copied())
            .current_dir(self.working_folder())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        Daemon { child, log: self.log() }
    }
}

/// A running daemon; it is killed when dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its state can be asked for").is_none()
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Waits until it is gone; how it ended.
    pub fn gone(&mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Asks it to end and waits; fails when it takes longer than `within` or ends with anything but 0.
    pub fn stop(&mut self, within: Duration) {
        signal("TERM", self.id());
        let started = Instant::now();
        match self.ended(within) {
            Some(status) => assert!(status.success(), "ended with {status}; its log:\n{}", self.said()),
            None => panic!("still there {:?} after SIGTERM; its log:\n{}", started.elapsed(), self.said()),
        }
    }

    /// Its memory that is resident now, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches("kB").trim().parse().expect("a number")
    }

    /// Seconds of processor time that it used so far.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("it runs");
        // Its name may have spaces; the numbers follow the last bracket, user and system time as the 12th and 13th.
        let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let ticks: u64 = numbers.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        // Of a hundredth of a second on every Linux.
        ticks as f64 / 100.0
    }

    /// How often its threads have given the processor away of their own accord, each time to be woken again.
    pub fn wake_ups(&self) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.id())).expect("it runs");
        let counts = threads.filter_map(|thread| {
            let status = fs::read_to_string(thread.ok()?.path().join("status")).ok()?;
            status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<u64>().ok())
        });
        counts.sum()
    }

    fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait().expect("its state can be asked for") {
                return Some(status);
            }
            // The standard library has no wait with a limit.
            thread::park_timeout(Duration::from_millis(5));
        }
        None
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.said());
        }
    }
}

/// Sends a signal by its name.
pub fn signal(name: &str, process: u32) {
    let sent = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status().expect("kill runs");
    assert!(sent.success(), "kill -{name} {process} {sent}");
}

/// One message as it came.
#[derive(Debug, Clone)]
pub struct Message {
    /// Below the base; whole where it is not below it.
    pub topic: String,
    /// The payload; a string when it is no JSON.
    pub json: Value,
    /// Whether the broker had kept it.
    pub retained: bool,
    /// When it came.
    pub at: Instant,
}

/// Hears everything that the device says, and talks to it.
pub struct Listener {
    client: Client,
    inbox: Receiver<Message>,
    heard: Vec<Message>,
    subscribed: Receiver<()>,
}

impl Listener {
    /// Connects to the broker on this port and returns when the subscription stands.
    pub fn new(port: u16) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // A broker cuts off whoever has the name of a newcomer.
        let name = format!("listener-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        // A broker that starts again still has what came meanwhile, where it keeps anything.
        // What the device refuses as too long must not stop somebody who only listens.
        options.set_clean_session(false).set_max_packet_size(16 << 20, 1 << 20).set_inflight(1_000);
        let (client, mut connection) = Client::new(options, 10_000);
        // What it acknowledges must not keep what it asks from going out.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        connection.eventloop.set_network_options(network);
        let (outbox, inbox) = channel();
        let (subscribed, ready) = channel();
        let subscriber = client.clone();
        thread::spawn(move || {
            for packet in connection.iter() {
                match packet {
                    Ok(rumqttc::Event::Incoming(Incoming::ConnAck(_))) => {
                        let filters = ["homeassistant/#".to_owned(), format!("{BASE}/#")];
                        let filters = filters.map(|filter| SubscribeFilter::new(filter, QoS::AtLeastOnce));
                        let _ = subscriber.try_subscribe_many(filters);
                    }
                    Ok(rumqttc::Event::Incoming(Incoming::SubAck(_))) => drop(subscribed.send(())),
                    Ok(rumqttc::Event::Incoming(Incoming::Publish(publish))) => {
                        // What is for everybody stays whole.
                        let topic = publish.topic.strip_prefix(BASE).unwrap_or(&publish.topic);
                        let text = || Value::String(String::from_utf8_lossy(&publish.payload).into_owned());
                        let json = serde_json::from_slice(&publish.payload).unwrap_or_else(|_| text());
                        let topic = topic.trim_start_matches('/').to_owned();
                        let message = Message { topic, json, retained: publish.retain, at: Instant::now() };
                        if outbox.send(message).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    // The broker is away; the next turn connects again.
                    Err(_) => thread::park_timeout(Duration::from_millis(20)),
                }
            }
        });
        ready.recv_timeout(PATIENCE).expect("the subscription stands");
        Self { client, inbox, heard: Vec::new(), subscribed: ready }
    }

    /// Does `restart` to the broker and returns when the subscription stands again.
    pub fn over(&self, restart: impl FnOnce()) {
        self.subscribed.try_iter().for_each(drop);
        restart();
        self.subscribed.recv_timeout(PATIENCE).expect("the subscription stands again");
    }

    /// Sends JSON to a topic below the base.
    pub fn send(&self, topic: &str, payload: &Value) {
        self.send_raw(topic, payload.to_string().into_bytes(), QoS::AtLeastOnce, false);
    }

    /// Sends bytes.
    pub fn send_raw(&self, topic: &str, payload: Vec<u8>, qos: QoS, retain: bool) {
        self.client.publish(format!("{BASE}/{topic}"), qos, retain, payload).expect("the client takes it");
    }

    /// Publishes as somebody else's camera does, on a topic that is not below the base.
    pub fn publish(&self, topic: &str, payload: Vec<u8>, retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, payload).expect("the client takes it");
    }

    /// Says, as Home Assistant does, that it is there or not.
    pub fn speak_as_home_assistant(&self, word: &str) {
        self.client.publish("homeassistant/status", QoS::AtLeastOnce, false, word).expect("the client takes it");
    }

    /// All that was heard on `topic` since the last [`Listener::forget`].
    pub fn heard(&mut self, topic: &str) -> Vec<Message> {
        self.heard.extend(self.inbox.try_iter());
        self.heard.iter().filter(|message| message.topic == topic).cloned().collect()
    }

    /// The same, and forgets all that was heard, on whatever topic.
    pub fn take(&mut self, topic: &str) -> Vec<Message> {
        self.heard.extend(self.inbox.try_iter());
        let heard = std::mem::take(&mut self.heard);
        heard.into_iter().filter(|message| message.topic == topic).collect()
    }

    /// All that was heard, on whatever topic, and forgets it.
    pub fn news(&mut self) -> Vec<Message> {
        self.heard.extend(self.inbox.try_iter());
        std::mem::take(&mut self.heard)
    }

    /// Looks no longer at what came until now.
    pub fn forget(&mut self) {
        self.inbox.try_iter().for_each(drop);
        self.heard.clear();
    }

    /// Listens until `until`, whatever comes.
    pub fn listen(&mut self, until: Instant) {
        while let Ok(message) = self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.heard.push(message);
        }
    }

    /// The first message on `topic`, heard since the last [`Listener::forget`] or still to come, for which `is` holds.
    pub fn wait(&mut self, topic: &str, what: &str, mut is: impl FnMut(&Value) -> bool) -> Message {
        let what = format!("{what}, on {topic}");
        self.wait_for(&what, |message| message.topic == topic && is(&message.json))
    }

    /// The same on whatever topic.
    pub fn wait_for(&mut self, what: &str, mut is: impl FnMut(&Message) -> bool) -> Message {
        let until = Instant::now() + PATIENCE;
        let mut looked = 0;
        loop {
            while let Some(message) = self.heard.get(looked) {
                looked += 1;
                if is(message) {
                    return message.clone();
                }
            }
            match self.inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) => self.heard.push(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    let said: Vec<_> = self.heard.iter().map(|m| format!("{} {}", m.topic, m.json)).collect();
                    panic!("no message that is {what}; there were\n{}", said.join("\n"));
                }
            }
        }
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, name: &str, transaction: &str) -> Value {
        self.send(&format!("request/{name}"), &serde_json::json!({ "transaction": transaction }));
        self.answer(name, transaction)
    }

    /// The answer to a transaction.
    pub fn answer(&mut self, name: &str, transaction: &str) -> Value {
        self.wait(&format!("response/{name}"), transaction, |json| json["transaction"] == transaction).json
    }

    /// The prediction of the file at `path`.
    pub fn prediction(&mut self, path: &Path) -> Value {
        let path = path.to_str().expect("our paths are text");
        self.wait("prediction", path, |json| json["path"] == path).json
    }
}
