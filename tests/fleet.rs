//! A hundred clients and three daemons on two bridged brokers, the daemons each in a network of its own: `make fleet`.
//!
//! What everybody shares is collected and merged by the program, over the first broker alone.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/sharing.rs"]
mod sharing;
#[path = "support/skip.rs"]
mod skip;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use camera::{Camera, Light, Part};
use daemon::Home;
use mosquitto::Mosquitto;
use serde_json::{Value, json};
use sharing::Sharing;

const CLIENTS: usize = 100;
const DAEMONS: usize = 3;
const EACH: u64 = 6;
/// The networks of the daemons meet here.
const BRIDGE: &str = "etfleet";
const GATEWAY: &str = "10.77.0.1";
/// Longer than anything here takes; reached only when something is wrong.
const PATIENCE: Duration = Duration::from_mins(2);

/// Networks that go when this does.
struct Networks;

impl Networks {
    /// `None` where this user may not make any.
    fn new() -> Option<Self> {
        drop(Self);
        let networks = Self;
        run(&format!("link add {BRIDGE} type bridge"))?;
        run(&format!("addr add {GATEWAY}/24 dev {BRIDGE}"))?;
        run(&format!("link set {BRIDGE} up"))?;
        for n in 0..DAEMONS {
            let (name, outside) = (namespace(n), format!("{BRIDGE}{n}"));
            run(&format!("netns add {name}"))?;
            run(&format!("link add {outside} type veth peer name eth0 netns {name}"))?;
            run(&format!("link set {outside} master {BRIDGE} up"))?;
            for words in
                [format!("addr add 10.77.0.{}/24 dev eth0", 10 + n), "link set eth0 up".into(), "link set lo up".into()]
            {
                run(&format!("-n {name} {words}"))?;
            }
        }
        Some(networks)
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        for n in 0..DAEMONS {
            run(&format!("netns del {}", namespace(n)));
        }
        run(&format!("link del {BRIDGE}"));
    }
}

fn namespace(n: usize) -> String {
    format!("{BRIDGE}-{n}")
}

/// `ip` with these words; `None` when it is refused or missing.
fn run(words: &str) -> Option<()> {
    let done = Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status().ok()?;
    done.success().then_some(())
}

/// A daemon in a network of its own; it ends with this.
struct Alone(Child);

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "makes networks: make fleet"]
fn a_hundred_clients_and_three_daemons_are_merged_over_two_bridged_brokers() {
    let Some(_networks) = Networks::new() else { return skip::skip("this user may not make networks (ip netns)") };
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (near, far) = (port(), port());
    let open = |port: u16| format!("allow_anonymous true\nlistener {port} {GATEWAY}\nmax_queued_messages 0\n");
    let Some(first) = Mosquitto::start_with(&open(near)) else { return };
    let bridge = format!("connection fleet\naddress 127.0.0.1:{}\ntopic # both 1\n", first.port);
    let second = Mosquitto::start_with(&format!("{}{bridge}", open(far))).unwrap();

    let homes: Vec<(Home, Alone)> = (0..DAEMONS).map(|n| daemon(n, if n == 0 { near } else { far })).collect();
    for (home, _) in &homes {
        wait(|| {
            let output = home.command(&["ctl", "status", "--json"]).output().unwrap();
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            status["broker"] == "connected" && status["labelled"] == 2 * EACH
        });
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let own = path("own.safetensors");
    assert!(homes[0].0.command(&["statistics", "--out", &own]).status().unwrap().success());
    let file = Arc::new(std::fs::read(&own).unwrap());
    let ready: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let client = Sharing { id: format!("played-{n:03}"), file: Arc::clone(&file), score: json!(null) };
            client.join(if n % 2 == 0 { first.port } else { second.port })
        })
        .collect();
    for ready in ready {
        ready.recv_timeout(PATIENCE).unwrap();
    }

    let began = Instant::now();
    let url = format!("mqtt://127.0.0.1:{}", first.port);
    let report = said(&["fleet", "collect", "--url", &url, "--out", &path("statistics"), "--json"]);
    let collected = began.elapsed();
    let lines = report["devices"].as_array().unwrap();
    let files: Vec<&str> = lines.iter().filter_map(|line| line["file"].as_str()).collect();
    assert_eq!(files.len(), CLIENTS + DAEMONS, "{report}");
    let head = path("head.safetensors");
    let began = Instant::now();
    let merged = said(&[&["fleet", "merge"][..], &files, &["--out", &head, "--head", "lda", "--json"]].concat());
    assert_eq!(merged["devices"].as_array().unwrap().len(), CLIENTS + DAEMONS);
    println!(
        "{} devices, {} bytes each: collected in {:.1} s, merged in {:.1} s",
        files.len(),
        file.len(),
        collected.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
}

/// A daemon with two labelled parts, in a network from which it reaches the broker on this port of the gateway.
fn daemon(n: usize, port: u16) -> (Home, Alone) {
    let program = env!("CARGO_BIN_EXE_edgetuned");
    let home = Home::new(program, port, "training: { schedule: null, min_new_labels: 1000000 }");
    home.configure(&format!(
        "device: {{ id: real-{n} }}\nmqtt: {{ url: 'mqtt://{GATEWAY}:{port}' }}\nfleet: {{ share: true, min_class_count: 5 }}\n"
    ));
    let parts = [Part::Nut, Part::Washer, Part::Gear];
    for index in 0..EACH {
        for part in [parts[n % 3], parts[(n + 1) % 3]] {
            let picture = Camera::new(11).with_size(160, 120).jpeg(part, 100 * n as u64 + index, &Light::DAY);
            home.put(&format!("{part}/{index}.jpg"), &picture);
        }
    }
    let log = std::fs::File::create(home.log()).unwrap();
    let child = Command::new("ip")
        .args(["netns", "exec", &namespace(n), program, "run", "--config"])
        .arg(home.config())
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    (home, Alone(child))
}

/// What a command of the program says as JSON.
fn said(words: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_edgetuned")).args(words).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Asks until it is so.
fn wait(is: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "it never is");
    }
}
