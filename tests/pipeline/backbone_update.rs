//! Another backbone over MQTT: fetched over a bad link, compared with the one in service, and switched to.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use edgetuned::words::Digest;
use rumqttc::QoS;
use serde_json::{Value, json};

use super::camera::Part;
use super::daemon::{Daemon, Home, Listener, signal};
use super::mosquitto::Mosquitto;
use super::onnx;
use super::proxy::Proxy;
use super::{ENDING, picture};

/// Bytes of a chunk.
const CHUNK: usize = 64 << 10;
/// The link is cut after so many of them.
const CHUNKS_A_LINK: usize = 20;

const PARTS: [Part; 3] = [Part::Nut, Part::Spring, Part::Washer];

/// Somebody who signs and sends, a wire that fails, and a device.
struct Stage {
    // Killed last.
    _broker: Mosquitto,
    wire: Proxy,
    home: Home,
    daemon: Daemon,
    ears: Listener,
    restarts: u32,
}

impl Stage {
    /// A device with a head on three classes, and keys.
    fn set() -> Option<Self> {
        let broker = Mosquitto::start_with("allow_anonymous true\npersistence true\npersistence_location {folder}/\n")?;
        let wire = Proxy::to(broker.port);
        let home = Home::new(
            env!("CARGO_BIN_EXE_edgetuned"),
            wire.port,
            "backbone: { model: photo }\ntraining: { schedule: null, min_new_labels: 36, cooldown: 0s }",
        );
        let key = home.state().with_file_name("key");
        edgetuned(&["update", "keygen", "--out", text(&key)]);
        home.configure(&format!("updates: {{ trusted_keys: [{}.pub] }}", key.display()));
        let mut ears = Listener::new(broker.port);
        let daemon = home.start();
        ears.wait("status", "online", |status| status == "online");
        for index in 0..12 {
            for part in PARTS {
                home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
            }
        }
        ears.wait("train/result", "promoted", |result| result["promoted"] == true);
        Some(Self { _broker: broker, wire, home, daemon, ears, restarts: 0 })
    }

    /// Signs the model at `file` as this version of a backbone like the bundled one.
    fn sign(&self, file: &Path, name: &str, version: u64) -> Value {
        let (key, out) = (self.home.state().with_file_name("key"), file.with_extension("json"));
        let yaml = file.with_extension("yaml");
        let model = fs::read(file).unwrap();
        let bundled = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/models/photo.yaml")).unwrap();
        let mut lines: Vec<String> = bundled
            .lines()
            .filter(|line| !["file:", "sha256:"].iter().any(|key| line.starts_with(key)))
            .map(str::to_owned)
            .collect();
        lines.push(format!("file: {}", file.file_name().unwrap().to_str().unwrap()));
        lines.push(format!("sha256: {}", Digest::of(&model)));
        fs::write(&yaml, lines.join("\n")).unwrap();
        edgetuned(&[
            "update",
            "sign",
            "--kind",
            "backbone",
            "--file",
            text(file),
            "--backbone-manifest",
            text(&yaml),
            "--name",
            name,
            "--version",
            &version.to_string(),
            "--key",
            text(&key),
            "--chunk-kb",
            "64",
            "--out",
            text(&out),
        ]);
        serde_json::from_slice(&fs::read(out).unwrap()).unwrap()
    }

    /// Chunks that the device has on its disk.
    fn stored(&self) -> BTreeSet<usize> {
        let database = rusqlite::Connection::open(self.home.state().join("edgetuned.db")).unwrap();
        let mut select = database.prepare("SELECT n FROM chunks WHERE kind = 'backbone'").unwrap();
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// First as a person does it, then as a power cut does.
    fn restart(&mut self) {
        self.restarts += 1;
        if self.restarts == 1 {
            self.daemon.stop(ENDING);
        } else {
            signal("KILL", self.daemon.id());
            self.daemon.gone();
        }
        self.daemon = self.home.start();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn edgetuned(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_edgetuned")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The bundled model with weights that nothing reads, `bytes` long.
fn ballasted(bytes: usize) -> Vec<u8> {
    let mut model = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/models/edgetuned-photo.onnx")).unwrap();
    let values = (bytes - model.len()) / 4;
    model.extend(onnx::more_weights("ballast", values as i64));
    model
}

/// Publishes the manifest and every chunk that is asked for, over a wire that is cut after every [`CHUNKS_A_LINK`]
/// chunks, and restarts the device twice in between. Returns the device's last word.
fn send(stage: &mut Stage, manifest: &Value, model: &[u8]) -> Value {
    let sha256 = manifest["sha256"].as_str().unwrap().to_owned();
    let version = manifest["version"].to_string();
    stage.ears.send_raw("update/backbone/desired", manifest.to_string().into_bytes(), QoS::AtLeastOnce, true);
    let (mut sent, mut links, mut seq) = (0, 0, 0);
    // What the device had on its disk when the link was cut last.
    let mut had = BTreeSet::new();
    loop {
        let said = stage.ears.wait_for("a request for chunks, or the end", |message| {
            let ended = || !message.json["error"].is_null() || message.json["installed_version"] == version.as_str();
            match message.topic.as_str() {
                "update/backbone/request" => message.json["seq"].as_u64() > Some(seq),
                "update/backbone/state" => links > 0 && message.json["in_progress"] == false && ended(),
                _ => false,
            }
        });
        if said.topic == "update/backbone/state" {
            return said.json;
        }
        seq = said.json["seq"].as_u64().unwrap();
        let asked: Vec<usize> = serde_json::from_value(said.json["chunks"].clone()).unwrap();
        let again: Vec<_> = asked.iter().filter(|n| had.contains(*n)).collect();
        assert!(again.is_empty(), "it asks again for {again:?}, which are on its disk");
        for n in asked {
            let bytes = model[n * CHUNK..((n + 1) * CHUNK).min(model.len())].to_vec();
            stage.ears.send_raw(&format!("update/backbone/chunk/{sha256}/{n}"), bytes, QoS::AtLeastOnce, false);
            sent += 1;
            if sent % CHUNKS_A_LINK == 0 {
                links += 1;
                had = stage.stored();
                stage.wire.cut();
                if links == 4 || links == 8 {
                    stage.restart();
                }
                break;
            }
        }
    }
}

#[test]
fn a_backbone_of_14_mb_comes_over_a_link_that_drops_every_20_chunks_and_takes_over() {
    let Some(mut stage) = Stage::set() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (model, file) = (ballasted(14 << 20), folder.path().join("net.onnx"));
    fs::write(&file, &model).unwrap();
    let manifest = stage.sign(&file, "ballasted", 1);
    let before = stage.ears.wait("info", "there", |_| true).json["backbone"]["sha256"].clone();
    let said = send(&mut stage, &manifest, &model);
    assert_eq!((&said["installed_version"], &said["error"]), (&json!("1"), &Value::Null), "{said}");
    let chunks = model.len().div_ceil(CHUNK);
    println!("{} bytes in {chunks} chunks; restarts {}", model.len(), stage.restarts);
    assert!(stage.stored().is_empty(), "no chunk is left");

    // The new pair serves: the same pictures are what they were, by the other backbone.
    let info = stage.ears.wait("info", "of the new backbone", |info| info["backbone"]["name"] == "ballasted").json;
    assert_ne!(info["backbone"]["sha256"], before);
    let sent = Digest::of(manifest.to_string().as_bytes()).to_string();
    let knows = |state: &Value| state["seq"].as_u64() > info["seq"].as_u64() && state["manifest"] == sent.as_str();
    stage.ears.wait("update/backbone/state", "of the new engine, by which the sender knows its own", knows);
    stage.ears.wait("event", "about the change", |event| event["event_type"] == "backbone_changed");
    let path = stage.home.put("after.jpg", &picture(Part::Spring, 500));
    let prediction = stage.ears.prediction(&path);
    assert_eq!(prediction["backbone"], "ballasted", "{prediction}");
    assert!(prediction["label"].is_string() && prediction["head"] == info["head"]["id"], "{prediction}");
    assert!(stage.ears.heard("status").iter().all(|message| message.json != "stopped" || stage.restarts > 0));

    // Still on trial, and it does not open any more: the pair before it serves again by itself.
    signal("KILL", stage.daemon.id());
    stage.daemon.gone();
    fs::remove_file(stage.home.state().join(format!("backbones/{}.onnx", manifest["sha256"].as_str().unwrap())))
        .unwrap();
    stage.ears.forget();
    stage.daemon = stage.home.start();
    let info = stage.ears.wait("info", "of the former backbone", |info| info["backbone"]["sha256"] == before).json;
    assert_eq!(info["head"]["version"], 1, "{info}");
    let reported = |event: &Value| event["event_type"] == "update_failed" && event["code"] == "did_not_hold";
    stage.ears.wait("event", "that it did not hold", reported);
    // The broker still has its manifest.
    let refused = |state: &Value| state["error"]["code"] == "failed_before" && state["installed_version"].is_null();
    stage.ears.wait("update/backbone/state", "that it does not come back", refused);
    let path = stage.home.put("again.jpg", &picture(Part::Spring, 501));
    assert_ne!(stage.ears.prediction(&path)["backbone"], "ballasted");
    stage.daemon.stop(ENDING);
}

#[test]
fn a_worse_or_unreadable_backbone_is_refused_and_leaves_no_file() {
    let Some(mut stage) = Stage::set() else { return };
    let before = stage.ears.wait("info", "with a head", |info| !info["head"].is_null()).json;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("broken.onnx");
    fs::write(&file, [b"no model at all ".repeat(6_000), b"!".to_vec()].concat()).unwrap();
    let manifest = stage.sign(&file, "broken", 1);
    let said = send_plainly(&mut stage, &manifest, &fs::read(&file).unwrap());
    assert_eq!(said["error"]["code"], "bad_content", "{said}");
    let left = |stage: &Stage| fs::read_dir(stage.home.state().join("backbones")).map_or(0, Iterator::count);
    assert_eq!((stage.stored().len(), left(&stage)), (0, 0), "nothing of it is left");
    let path = stage.home.put("after.jpg", &picture(Part::Nut, 500));
    let prediction = stage.ears.prediction(&path);
    let pair = (&prediction["backbone"], &prediction["head"]);
    assert_eq!(pair, (&before["backbone"]["name"], &before["head"]["id"]), "the old pair serves");
}

/// The same over a good link.
fn send_plainly(stage: &mut Stage, manifest: &Value, model: &[u8]) -> Value {
    let sha256 = manifest["sha256"].as_str().unwrap().to_owned();
    stage.ears.send_raw("update/backbone/desired", manifest.to_string().into_bytes(), QoS::AtLeastOnce, true);
    let asked = stage.ears.wait("update/backbone/request", "for chunks", |_| true).json["chunks"].clone();
    for n in serde_json::from_value::<Vec<usize>>(asked).unwrap() {
        let bytes = model[n * CHUNK..((n + 1) * CHUNK).min(model.len())].to_vec();
        stage.ears.send_raw(&format!("update/backbone/chunk/{sha256}/{n}"), bytes, QoS::AtLeastOnce, false);
    }
    stage.ears.wait("update/backbone/state", "the end", |state| !state["error"].is_null()).json
}
