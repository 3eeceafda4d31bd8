//! Signed heads on their way: made, signed and sent by the built program, fetched and installed by a running daemon.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use edgetuned::backbone::Manifest;
use edgetuned::head::{HeadRecord, Tail};
use edgetuned::store::{Reader, SpacesInUse};
use edgetuned::update::{Signer, sign};
use edgetuned::wire::UpdateKind;
use edgetuned::words::Digest;
use rumqttc::QoS;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::camera::Part;
use crate::tuning::tuned;
use crate::{QUIET, Stage, picture};

/// Where heads are made and signed: a folder with two keys, of which the device trusts the first.
pub struct Workshop(TempDir);

impl Workshop {
    pub fn new() -> Self {
        let workshop = Self(tempfile::tempdir().unwrap());
        for key in ["signing.key", "other.key"] {
            let (code, made) = workshop.run(&["update", "keygen", "--out", key]);
            assert_eq!((code, made["key_id"].as_str().map(str::len)), (0, Some(12)), "{made}");
        }
        workshop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the program here with `--json`: its exit code and its document.
    pub fn run(&self, arguments: &[&str]) -> (i32, Value) {
        let output = Command::new(env!("CARGO_BIN_EXE_edgetuned"))
            .args(arguments)
            .arg("--json")
            .current_dir(self.0.path())
            .env("XDG_CACHE_HOME", self.path("cache"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
        (output.status.code().unwrap(), document)
    }

    /// A stage whose device trusts `signing.key`.
    fn stage(&self) -> Option<Stage> {
        self.stage_with("")
    }

    /// The same with `more` in the configuration.
    fn stage_with(&self, more: &str) -> Option<Stage> {
        let key = self.path("signing.key.pub");
        Stage::set(&format!("{QUIET}\nupdates: {{ trusted_keys: [{}] }}\n{more}", key.display()))
    }

    /// Trains a head on pictures of a nut and a spring, beginning with number `first`.
    pub fn train(&self, out: &str, first: u64, backbone: &str) {
        for part in [Part::Nut, Part::Spring] {
            let folder = self.path(&format!("{out}-pictures/{part}"));
            fs::create_dir_all(&folder).unwrap();
            for index in first..first + 8 {
                fs::write(folder.join(format!("{index}.jpg")), picture(part, index)).unwrap();
            }
        }
        let (code, report) = self.run(&["train", &format!("{out}-pictures"), "--out", out, "--backbone", backbone]);
        assert_eq!(code, 0, "{report}");
    }

    /// Signs `file` as version `version`; the manifest's name.
    pub fn sign(&self, file: &str, version: u64, key: &str) -> String {
        self.sign_in_chunks(file, version, key, 1)
    }

    /// The same for chunks of so many KB.
    fn sign_in_chunks(&self, file: &str, version: u64, key: &str, chunk_kb: u32) -> String {
        let (manifest, version) = (format!("{file}-{version}.json"), version.to_string());
        let (code, signed) = self.run(&[
            "update",
            "sign",
            "--kind",
            "head",
            "--file",
            file,
            "--name",
            "parts",
            "--version",
            &version,
            "--key",
            key,
            "--chunk-kb",
            &chunk_kb.to_string(),
            "--device",
            "line-*",
            "--out",
            &manifest,
        ]);
        assert_eq!(code, 0, "{signed}");
        manifest
    }

    /// Signs what `name` says anew, with `changes`, as the holder of the trusted key.
    fn sign_changed(&self, name: &str, as_name: &str, changes: &Value) -> String {
        let mut members: Map<String, Value> = serde_json::from_slice(&fs::read(self.path(name)).unwrap()).unwrap();
        members.extend(changes.as_object().unwrap().clone());
        let key = Signer::from_pem(&fs::read_to_string(self.path("signing.key")).unwrap()).unwrap();
        fs::write(self.path(as_name), sign(members, &key).unwrap()).unwrap();
        as_name.to_owned()
    }

    fn publish(&self, stage: &Stage, manifest: &str, file: &str) -> (i32, Value) {
        let url = format!("mqtt://127.0.0.1:{}", stage.broker.port);
        let timeout = ["--timeout", "60s"];
        let arguments = ["update", "publish", manifest, "--file", file, "--device", "line-3", "--url", &url];
        self.run(&[&arguments[..], &timeout].concat())
    }
}

/// Chunks that the device's store holds.
fn chunks(home: &Path) -> usize {
    let reader = Reader::open(home, SpacesInUse::default()).unwrap();
    let mut count = 0;
    for kind in UpdateKind::ALL {
        reader
            .chunks(kind, |_, _| {
                count += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
    }
    count
}

/// The id of the head in service.
fn head(stage: &mut Stage, transaction: &str) -> Value {
    stage.ears.ask("status", transaction)["data"]["head"]["id"].clone()
}

#[test]
fn a_signed_head_is_installed_and_everything_that_is_not_right_is_refused() {
    let workshop = Workshop::new();
    let Some(mut stage) = workshop.stage() else { return };
    workshop.train("parts.safetensors", 0, "default");
    let good = workshop.sign("parts.safetensors", 5, "signing.key");
    let verify = ["update", "verify", &good, "--key", "signing.key.pub", "--file", "parts.safetensors"];
    let (code, verified) = workshop.run(&verify);
    assert_eq!((code, &verified["version"], &verified["file_checked"]), (0, &json!(5), &json!(true)), "{verified}");
    assert_eq!(workshop.run(&["update", "verify", &good, "--key", "other.key.pub"]).0, 1);

    let (code, sent) = workshop.publish(&stage, &good, "parts.safetensors");
    assert_eq!((code, &sent["installed"], &sent["error"]), (0, &json!(true), &Value::Null), "{sent}");
    assert!(sent["chunks_sent"].as_u64().unwrap() > 3, "{sent}");
    let promoted = stage.ears.wait("event", "promoted", |event| event["event_type"] == "promoted").json;
    assert!(promoted["reason"].as_str().unwrap().contains("update \"parts\" 5, signed by key"), "{promoted}");
    let serves = head(&mut stage, "serves");
    assert_eq!((&promoted["head"]["id"], chunks(&stage.home.state())), (&serves, 0));
    let path = stage.home.put("new.jpg", &picture(Part::Nut, 50));
    let prediction = stage.ears.prediction(&path);
    assert_eq!((&prediction["head"], &prediction["label"]), (&serves, &json!("nut")));

    let (code, again) = workshop.publish(&stage, &good, "parts.safetensors");
    assert_eq!((code, &again["chunks_sent"]), (0, &json!(0)), "what is installed is not fetched again: {again}");

    workshop.train("tiny.safetensors", 0, "tiny-test");
    let next = workshop.sign("parts.safetensors", 6, "signing.key");
    let tiny = workshop.sign("tiny.safetensors", 7, "signing.key");
    let ours = serde_json::from_slice::<Value>(&fs::read(workshop.path(&next)).unwrap()).unwrap()["space"].clone();
    let past = json!({ "created": "2026-01-01T00:00:00Z", "expires": "2026-01-02T00:00:00Z" });
    for (manifest, file, code) in [
        (workshop.sign("parts.safetensors", 8, "other.key"), "parts.safetensors", "bad_signature"),
        (workshop.sign("parts.safetensors", 4, "signing.key"), "parts.safetensors", "not_newer"),
        (workshop.sign_changed(&next, "old.json", &past), "parts.safetensors", "expired"),
        (
            workshop.sign_changed(&next, "target.json", &json!({ "devices": ["line-4"] })),
            "parts.safetensors",
            "wrong_device",
        ),
        (tiny.clone(), "tiny.safetensors", "wrong_backbone"),
        // The manifest says our backbone, the file another one.
        (workshop.sign_changed(&tiny, "mixed.json", &json!({ "space": ours })), "tiny.safetensors", "wrong_backbone"),
    ] {
        stage.ears.forget();
        let (exit, sent) = workshop.publish(&stage, &manifest, file);
        assert_eq!((exit, &sent["error"]["code"]), (1, &json!(code)), "{manifest}: {sent}");
        let reported = stage.ears.wait("event", code, |event| event["event_type"] == "update_failed").json;
        assert_eq!(reported["code"], code, "{reported}");
        assert_eq!((chunks(&stage.home.state()), head(&mut stage, code)), (0, serves.clone()), "{code}");
        stage.ears.forget();
        let inbound = fs::read(workshop.path(&manifest)).unwrap();
        stage.ears.send_raw("update/head/desired", inbound, QoS::AtLeastOnce, true);
        stage.ears.wait("update/head/state", code, |state| state["error"]["code"] == code);
        assert_eq!(stage.ears.heard("event").len(), 0, "{code} is reported once");
    }
}

/// Something that makes a tail another one.
type Change = fn(&mut Tail);

#[test]
fn a_signed_head_serves_with_its_own_last_layers_and_is_refused_where_they_do_not_fit() {
    let workshop = Workshop::new();
    let Some(mut stage) = workshop.stage_with("backbone: { model: photo }") else { return };
    workshop.train("parts.safetensors", 0, "photo");
    let plain = HeadRecord::from_bytes(&fs::read(workshop.path("parts.safetensors")).unwrap()).unwrap();
    let manifest = Manifest::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("models/photo.yaml")).unwrap();
    // Its last layers take a nut for a spring, its first phase does not.
    let good = tuned(plain, &manifest);
    fs::write(workshop.path("tuned.safetensors"), good.to_bytes()).unwrap();
    let signed = workshop.sign_in_chunks("tuned.safetensors", 1, "signing.key", 64);
    let (code, sent) = workshop.publish(&stage, &signed, "tuned.safetensors");
    assert_eq!((code, &sent["installed"], &sent["error"]), (0, &json!(true), &Value::Null), "{sent}");
    let serves = head(&mut stage, "serves");
    assert_eq!(serves, json!(good.head.id));
    let path = stage.home.put("new.jpg", &picture(Part::Nut, 50));
    let prediction = stage.ears.prediction(&path);
    assert_eq!((&prediction["head"], &prediction["label"]), (&serves, &json!("spring")), "{prediction}");

    let changes: [(&str, Change); 4] = [
        ("tensor", |tail| tail.input.push('x')),
        ("name", |tail| tail.weights[0].name.push('x')),
        ("shape", |tail| {
            tail.weights[0].shape.push(2);
            tail.weights[0].values.extend_from_within(..);
        }),
        ("overflow", |tail| tail.weights.iter_mut().for_each(|weight| weight.values.fill(f32::MAX))),
    ];
    for (version, (what, change)) in (2..).zip(changes) {
        let mut record = good.clone();
        let tuning = record.tuning.as_mut().unwrap();
        change(&mut tuning.tail);
        record.dense.space = tuning.tail.space(tuning.first.space);
        record.head.id = record.dense.id();
        let file = format!("{what}.safetensors");
        fs::write(workshop.path(&file), record.to_bytes()).unwrap();
        let signed = workshop.sign_in_chunks(&file, version, "signing.key", 64);
        let (code, sent) = workshop.publish(&stage, &signed, &file);
        assert_eq!((code, &sent["error"]["code"]), (1, &json!("bad_content")), "{what}: {sent}");
        assert!(sent["error"].to_string().contains("last layers do not fit"), "{what}: {sent}");
        assert_eq!(head(&mut stage, what), serves, "{what}");
    }
}

/// Sends those of the chunks asked for that `send` lets through, as it changes them.
fn answer(stage: &Stage, file: &[u8], request: &Value, send: impl Fn(u64, &mut Vec<u8>) -> bool) {
    for n in request["chunks"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()) {
        let start = n as usize * 1024;
        let mut bytes = file[start..file.len().min(start + 1024)].to_vec();
        if send(n, &mut bytes) {
            let topic = format!("update/head/chunk/{}/{n}", Digest::of(file));
            stage.ears.send_raw(&topic, bytes, QoS::AtLeastOnce, false);
        }
    }
}

#[test]
fn a_download_continues_after_a_kill_and_a_flipped_byte_is_found() {
    let workshop = Workshop::new();
    let Some(mut stage) = workshop.stage() else { return };
    workshop.train("parts.safetensors", 20, "default");
    let file = fs::read(workshop.path("parts.safetensors")).unwrap();
    let manifest = fs::read(workshop.path(&workshop.sign("parts.safetensors", 1, "signing.key"))).unwrap();
    stage.ears.send_raw("update/head/desired", manifest, QoS::AtLeastOnce, true);
    let first = stage.ears.wait("update/head/request", "there", |_| true).json;
    // Every second chunk, and then the power goes.
    answer(&stage, &file, &first, |n, _| n % 2 == 0);
    let count = first["chunks"].as_array().unwrap().iter().filter(|n| n.as_u64().unwrap() % 2 == 0).count();
    let until = std::time::Instant::now() + crate::daemon::PATIENCE;
    while chunks(&stage.home.state()) < count {
        assert!(std::time::Instant::now() < until, "{} of {count} chunks are stored", chunks(&stage.home.state()));
        std::thread::yield_now();
    }
    let Stage { broker, home, daemon, mut ears } = stage;
    daemon.kill();
    ears.forget();
    let daemon = home.start();
    stage = Stage { broker, home, daemon, ears };
    let mut request = stage.ears.wait("update/head/request", "there", |_| true).json;
    let wanted: Vec<u64> = request["chunks"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
    assert!(wanted.contains(&1) && wanted.iter().all(|n| n % 2 == 1 || *n >= 16), "only what is missing: {request}");
    let mut missing = file.len().div_ceil(1024) - count;
    loop {
        answer(&stage, &file, &request, |n, bytes| {
            bytes[0] ^= u8::from(n == 1);
            true
        });
        missing -= request["chunks"].as_array().unwrap().len();
        if missing == 0 {
            break;
        }
        let seq = request["seq"].as_u64();
        request = stage.ears.wait("update/head/request", "next", |next| next["seq"].as_u64() > seq).json;
    }
    let reported = stage.ears.wait("event", "refused", |event| event["event_type"] == "update_failed").json;
    assert_eq!((&reported["code"], &reported["version"]), (&json!("sha256"), &json!(1)), "{reported}");
    assert_eq!((chunks(&stage.home.state()), head(&mut stage, "none")), (0, Value::Null));
}
