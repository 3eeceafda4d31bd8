//! The socket and `ctl`: the same requests as by MQTT, with a broker or without, for every client.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::words::Digest;
use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::{Home, PATIENCE};
use crate::{ENDING, QUIET, Stage, home, name, picture};

/// A home whose daemon has no broker.
pub fn alone() -> Home {
    let home = home(1, QUIET);
    home.configure("mqtt: { url: null }");
    home
}

/// Connects as soon as the daemon listens.
fn connect(home: &Home) -> UnixStream {
    let until = Instant::now() + PATIENCE;
    loop {
        match UnixStream::connect(home.state().join("edgetuned.sock")) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                return stream;
            }
            Err(error) => assert!(Instant::now() < until, "nobody listens at the socket: {error}"),
        }
        // Nothing reports that a socket appears.
        thread::park_timeout(Duration::from_millis(5));
    }
}

/// Sends bytes and reads all that comes back: the status, if there is one, and the body.
pub fn talk(home: &Home, bytes: &[u8]) -> (Option<u16>, String) {
    let mut stream = connect(home);
    // Who is refused early may find that nobody reads any more.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    let said = String::from_utf8_lossy(&said).into_owned();
    let status = said.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    (status, said.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

fn ask(home: &Home, method: &str, path: &str, body: &str) -> (u16, Value) {
    let length = body.len();
    let head = format!("{method} /api/v1/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n");
    let (status, said) = talk(home, format!("{head}{body}").as_bytes());
    (status.unwrap(), serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said:?}")))
}

/// The data of an answer that must be good.
pub fn good(home: &Home, request: &str, arguments: &Value) -> Value {
    let (status, said) = ask(home, "POST", request, &arguments.to_string());
    assert_eq!((status, &said["status"]), (200, &json!("ok")), "{request}: {said}");
    said["data"].clone()
}

fn ctl(home: &Home, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetuned"));
    let config = home.camera().with_file_name("config.yaml");
    command.arg("--config").arg(config).arg("ctl").args(words);
    command.env_remove("RUNTIME_DIRECTORY").env_remove("EDGETUNED_LOG").output().unwrap()
}

fn ctl_json(home: &Home, words: &[&str]) -> Value {
    let ran = ctl(home, &[words, &["--json"]].concat());
    assert!(ran.status.success(), "ctl {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

/// Everything that is published from the moment when this returns.
fn watch(home: &Home) -> impl Iterator<Item = Value> {
    let mut stream = connect(home);
    stream.write_all(b"GET /api/v1/watch HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("200"));
    assert!(lines.by_ref().any(|line| line.is_empty()), "the head ends");
    lines.filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
}

fn prediction_of(said: &mut impl Iterator<Item = Value>, path: &Path) -> Value {
    let path = path.to_str().unwrap();
    said.find(|said| said["topic"] == "prediction" && said["payload"]["path"] == path).unwrap()["payload"].clone()
}

/// Waits until a status has these values.
pub fn until(home: &Home, is: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let status = good(home, "status", &json!({}));
        if is(&status) {
            return status;
        }
        assert!(Instant::now() < until, "{status}");
        thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn one_transaction_has_one_effect_over_both_transports_and_restarts() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    for (part, index) in [(Part::Nut, 1), (Part::Bolt, 2)] {
        let path = stage.home.put(&format!("{part}/1.jpg"), &picture(part, index));
        stage.ears.prediction(&path);
    }
    until(&stage.home, |status| status["labelled"] == 2);
    let (status, first) = ask(&stage.home, "POST", "train", r#"{"transaction": "t"}"#);
    assert_eq!((status, &first["transaction"], &first["v"]), (200, &json!("t"), &json!(1)), "{first}");
    assert_eq!(stage.ears.ask("train", "t")["data"], first["data"]);
    stage.ears.wait("train/result", "of the training", |_| true);
    stage.restart();
    assert_eq!(good(&stage.home, "train", &json!({"transaction": "t"})), first["data"]);
    let (status, reused) = ask(&stage.home, "POST", "rescan", r#"{"transaction": "t"}"#);
    assert_eq!((status, &reused["error"]["code"]), (409, &json!("transaction_reused")));
    let later = good(&stage.home, "train", &json!({"transaction": "other"}));
    assert_ne!(later, first["data"], "another transaction is another training");
}

#[test]
fn labels_count_and_predictions_are_seen_without_any_broker() {
    let home = alone();
    let mut daemon = home.start();
    let mut said = watch(&home);
    let mode = fs::metadata(home.state().join("edgetuned.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let [nut, bolt] = [Part::Nut, Part::Bolt].map(|part| picture(part, 5));
    for (file, bytes) in [("1.jpg", &nut), ("2.jpg", &bolt)] {
        let path = home.put(file, bytes);
        assert_eq!(prediction_of(&mut said, &path)["image"], name(bytes));
    }
    assert!(said.any(|said| said["topic"] == "health"), "values are said without a broker too");
    let items = json!([{"image": name(&nut), "label": "nut"}, {"image": "00000000", "label": "pin"}]);
    assert_eq!(good(&home, "label", &json!({ "items": items })), json!({"set": 1, "kept": 1, "change": 1}));
    let (status, listed) = ask(&home, "GET", "samples?label=nut", "");
    assert_eq!((status, &listed["data"][0]["image"]), (200, &json!(name(&nut))));
    let rest = good(&home, "samples", &json!({"after": &name(&nut)[..8], "limit": 1}));
    assert_eq!((rest.as_array().unwrap().len(), &rest[0]["label"]), (1, &Value::Null));
    assert_eq!(good(&home, "predict", &json!({"image": name(&bolt)}))["label"], Value::Null);
    let (status, missing) = ask(&home, "POST", "predict", r#"{"image": "ffffffffff"}"#);
    assert_eq!((status, &missing["error"]["code"]), (404, &json!("not_found")));
    daemon.stop(ENDING);
    assert!(!home.state().join("edgetuned.sock").exists(), "it goes with the daemon");
    assert!(said.any(|said| said["payload"]["event_type"] == "stopped"), "the last word is heard, and then the end");
}

#[test]
fn heads_are_exported_and_promoted_by_ctl() {
    let home = alone();
    let _daemon = home.start();
    let mut said = watch(&home);
    for index in 0..12 {
        for part in [Part::Nut, Part::Gear] {
            home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
    until(&home, |status| status["labelled"] == 24);
    assert!(!ctl(&home, &["export"]).status.success(), "no head is in service");
    assert_eq!(ctl_json(&home, &["train"]), json!({"training": 1}));
    let promoted = |said: &Value| said["payload"]["event_type"] == "promoted";
    let head = said.find(promoted).unwrap()["payload"]["head"].clone();
    let exported = ctl_json(&home, &["export"]);
    assert_eq!(exported["head"], head);
    let model = fs::read(exported["path"].as_str().unwrap()).unwrap();
    assert_eq!(
        (exported["sha256"].as_str().unwrap(), &exported["bytes"]),
        (&*Digest::of(&model).to_string(), &json!(model.len()))
    );
    let image = name(&picture(Part::Nut, 3));
    let predicted = ctl_json(&home, &["predict", &image]);
    assert_eq!((&predicted["label"], &predicted["head"]), (&json!("nut"), &head["id"]));
    assert_eq!(ctl_json(&home, &["promote", "1"]), json!({"head": head, "from": head}));
    let list = ctl(&home, &["heads"]);
    assert!(String::from_utf8(list.stdout).unwrap().contains("champion"));
    let refused = ctl(&home, &["promote", "9"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("there is no head 9"));
}

#[test]
fn ctl_prints_for_people_and_programs_and_reports_a_missing_daemon() {
    let home = alone();
    let absent = ctl(&home, &["status"]);
    assert_eq!(absent.status.code(), Some(69));
    assert!(String::from_utf8(absent.stderr).unwrap().contains("start it with 'edgetuned run'"));
    let daemon = home.start();
    let bytes = picture(Part::Pin, 1);
    home.put("1.jpg", &bytes);
    drop(connect(&home));
    until(&home, |status| status["samples"] == 1);
    daemon.kill();
    assert_eq!(ctl(&home, &["status"]).status.code(), Some(69), "a socket is left, but nobody listens");
    let _daemon = home.start();
    drop(connect(&home));
    let status = ctl_json(&home, &["status"]);
    assert_eq!((&status["samples"], &status["broker"], &status["phase"]), (&json!(1), &json!("off"), &json!("idle")));
    assert!(status["head"].is_null() && status["backbone"].is_string() && status["uptime_s"].is_u64());
    for (words, says) in [
        (&["status"][..], "1, of these 0 labelled"),
        (&["label", &name(&bytes), "pin"], "done"),
        (&["label", "0123456789", "pin"], "kept"),
        (&["samples", "--label", "pin"], "pin"),
        (&["label", &name(&bytes)[..8], "--remove"], "done"),
        (&["predict", &name(&bytes)], "no head is in service"),
        (&["heads"], "no heads yet"),
        (&["review"], ""),
        (&["rescan"], "listed again"),
        (&["request", "samples", r#"{"limit": 1}"#], &name(&bytes)),
    ] {
        let ran = ctl(&home, words);
        assert!(ran.status.success(), "ctl {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
        let out = String::from_utf8(ran.stdout).unwrap();
        assert!(out.contains(says), "ctl {words:?}: {out}");
    }
    let twice = ["--transaction", "w", "request", "rescan"];
    assert_eq!((ctl_json(&home, &twice), ctl_json(&home, &twice)), (json!({}), json!({})));
    for (words, code) in [
        (&["--transaction", "w", "train"][..], 1),
        (&["train"], 1),
        (&["request", "fly"], 1),
        (&["request", "samples", "[]"], 64),
        (&["request", "a/b"], 64),
        (&["label", "0123456789"], 64),
        (&["predict", "xyz"], 64),
    ] {
        assert_eq!(ctl(&home, words).status.code(), Some(code), "ctl {words:?}");
    }
}

#[test]
fn ctl_watch_prints_a_line_for_each_message() {
    let home = alone();
    let _daemon = home.start();
    drop(connect(&home));
    for (json, begins) in [(false, "prediction {"), (true, "{\"topic\":\"prediction\"")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_edgetuned"));
        command.arg("--config").arg(home.camera().with_file_name("config.yaml")).args(["ctl", "watch"]);
        command.args(json.then_some("--json")).env_remove("RUNTIME_DIRECTORY").stdout(Stdio::piped());
        let mut watching = command.spawn().unwrap();
        let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines().map(Result::unwrap);
        // A picture comes every now and then until it listens.
        let mut index = if json { 100 } else { 0 };
        let (heard, hears) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let _ = heard.send(lines.find(|line| line.starts_with(begins)));
        });
        let until = Instant::now() + PATIENCE;
        let found = loop {
            home.put(&format!("{index}.jpg"), &picture(Part::Washer, index));
            index += 1;
            match hears.recv_timeout(Duration::from_millis(300)) {
                Ok(found) => break found,
                Err(_) => assert!(Instant::now() < until, "nothing was printed"),
            }
        };
        assert!(found.is_some_and(|line| line.contains(".jpg")), "it ended by itself");
        watching.kill().unwrap();
        watching.wait().unwrap();
    }
}

#[test]
fn no_client_blocks_the_daemon() {
    let home = alone();
    let mut daemon = home.start();
    drop(connect(&home));
    let long = format!("POST /api/v1/label HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", 2 << 20);
    let mut huge = long.into_bytes();
    huge.resize(huge.len() + (2 << 20), b' ');
    let (status, body) = talk(&home, &huge);
    // Whether the answer is still read depends on who is quicker; the daemon lives in any case.
    assert!(status.is_none_or(|status| status == 413 && body.contains("bad_request")), "{status:?} {body}");
    let mut chunked = b"POST /api/v1/label HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        chunked.extend_from_slice(b"8000\r\n");
        chunked.resize(chunked.len() + 0x8000, b'x');
        chunked.extend_from_slice(b"\r\n");
    }
    assert!(talk(&home, &chunked).0.is_none_or(|status| status == 413));
    for garbage in
        [&b"\x00\x01\x02\r\n\r\n"[..], b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"POST / HTTP/9.9\r\n\r\n"]
    {
        let mut stream = connect(&home);
        stream.write_all(garbage).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    }
    for (method, path, expected) in [
        ("GET", "train", 405),
        ("DELETE", "status", 405),
        ("POST", "no/such", 404),
        ("POST", "No", 404),
        ("POST", "fly", 404),
        ("GET", "samples?limit=0", 400),
        ("GET", "samples?limit=%zz", 400),
    ] {
        let (status, said) = ask(&home, method, path, "");
        assert_eq!((status, &said["status"]), (expected, &json!("error")), "{method} {path}: {said}");
    }
    let (status, said) = ask(&home, "POST", "status", "{\"transaction\": [");
    assert_eq!((status, &said["error"]["code"]), (400, &json!("bad_request")));

    // Fewer than there are places, and one of them waits to see that it is sent away.
    let mut half_open: Vec<UnixStream> = (0..10).map(|_| connect(&home)).collect();
    for stream in &mut half_open {
        stream.write_all(b"POST /api/v1/st").unwrap();
    }
    let _mute: Vec<UnixStream> = (0..3).map(|_| connect(&home)).collect();
    let crowd: Vec<_> = (0..50).map(|_| connect(&home)).collect();
    let statuses: Vec<u16> = thread::scope(|scope| {
        let asking: Vec<_> = crowd.into_iter().map(|stream| scope.spawn(move || status_by(stream))).collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    assert_eq!(statuses, [200; 50]);
    let mut last = Vec::new();
    let _ = half_open[0].read_to_end(&mut last);
    assert!(last.is_empty() || last.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&last));
    daemon.stop(ENDING);
}

fn status_by(mut stream: UnixStream) -> u16 {
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap()
}

#[test]
fn a_slow_watcher_blocks_nothing_and_the_number_of_watchers_is_limited() {
    let home = alone();
    let _daemon = home.start();
    let mut lazy = connect(&home);
    lazy.write_all(b"GET /api/v1/watch HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut said = watch(&home);
    for index in 0..3 {
        let path = home.put(&format!("{index}.jpg"), &picture(Part::Spring, index));
        prediction_of(&mut said, &path);
    }
    let watching: Vec<UnixStream> = (0..6)
        .map(|_| {
            let mut stream = connect(&home);
            stream.write_all(b"GET /api/v1/watch HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            let mut head = [0; 12];
            stream.read_exact(&mut head).unwrap();
            assert_eq!(&head, b"HTTP/1.1 200");
            stream
        })
        .collect();
    let (status, refused) = ask(&home, "GET", "watch", "");
    assert_eq!((status, &refused["error"]["code"]), (503, &json!("busy")));
    drop(watching);
}
