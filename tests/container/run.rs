//! The add-on's script in a folder of its own, with a supervisor that says what it is told to. What it starts are stand-ins.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::packaged::root;
use crate::{has, skip};

const TOKEN: &str = "the-supervisors-token";
const PASSWORD: &str = "the \"brokers\" $password";

/// The add-on's folders.
struct AddOn {
    root: TempDir,
}

/// How the script ended.
struct Ran {
    code: Option<i32>,
    said: String,
}

impl AddOn {
    /// One with these options; `None` where the script's programs are not here.
    fn new(options: &Value) -> Option<Self> {
        if !has("jq", "--version") || !has("curl", "--version") {
            skip::skip("jq and curl are not installed (apt-get install jq curl)");
            return None;
        }
        let add_on = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["data", "etc/edgetuned/conf.d", "etc/nginx", "media/frigate", "stand-ins"] {
            fs::create_dir_all(add_on.path(folder)).unwrap();
        }
        fs::write(add_on.path("data/options.json"), options.to_string()).unwrap();
        // The user is known within the image only.
        for program in ["nginx", "setpriv", "chown"] {
            let stand_in = add_on.path(&format!("stand-ins/{program}"));
            fs::write(&stand_in, format!("#!/bin/sh\necho \"$@\" >>\"$EDGETUNED_ROOT/{program}\"\n")).unwrap();
            fs::set_permissions(&stand_in, Permissions::from_mode(0o755)).unwrap();
        }
        Some(add_on)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The configuration that the script made.
    fn configuration(&self) -> Value {
        serde_json::from_str(&self.read("etc/edgetuned/config.yaml")).unwrap()
    }

    fn run(&self, supervisor: &str) -> Ran {
        let path = format!("{}:{}", self.path("stand-ins").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(root().join("packaging/home-assistant/edgetuned/run"));
        command.env("PATH", path).env("EDGETUNED_ROOT", self.root.path());
        let output = command.env("SUPERVISOR_URL", supervisor).env("SUPERVISOR_TOKEN", TOKEN).output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        Ran { code: output.status.code(), said }
    }

    /// What `edgetuned check` says of what the script made.
    fn check(&self) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_edgetuned"))
            .args(["check", "--offline", "--json", "--config"])
            .arg(self.path("etc/edgetuned/config.yaml"))
            .current_dir(root())
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
    }
}

/// A supervisor that answers one request, and tells what it was asked.
fn supervisor(answer: &Value) -> (String, thread::JoinHandle<String>) {
    let status = if answer["result"] == "ok" { "200 OK" } else { "400 Bad Request" };
    let body = answer.to_string();
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        stream.write_all(answer.as_bytes()).unwrap();
        head.join("\n")
    });
    (url, asked)
}

fn broker() -> Value {
    let data = json!({ "host": "core-mosquitto", "port": 1883, "ssl": false, "protocol": "3.1.1", "username": "addons",
        "password": PASSWORD, "addon": "core_mosquitto" });
    json!({ "result": "ok", "data": data })
}

/// The options as they are installed, with more.
fn options(more: &Value) -> Value {
    let mut options = crate::yaml("packaging/home-assistant/edgetuned/config.yaml")["options"].clone();
    options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    options
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn options_and_the_broker_of_home_assistant_become_a_good_configuration() {
    let options = options(&json!({
        "device_name": "Front door",
        "folders": [{ "path": "/media/frigate", "label_from": "none" }],
        "sources": [
            { "id": "garage", "camera": "camera.garage_door", "every": "30s", "keep": "labelled" },
            { "id": "bin", "http": "http://ccab4aaf-frigate:5000/api/bin/latest.jpg", "camera": "" },
            { "id": "street", "mqtt": "frigate/street/car/snapshot" },
        ],
    }));
    let Some(add_on) = AddOn::new(&options) else { return };
    let layer = "tasks: [{ id: door, from: [{ source: garage, region: [0.0, 0.25, 0.3, 0.85] }], state: {} }]\n";
    fs::write(add_on.path("etc/edgetuned/conf.d/tasks.yaml"), layer).unwrap();
    let (url, asked) = supervisor(&broker());
    let ran = add_on.run(&url);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("GET /services/mqtt HTTP/1.1"), "{asked}");
    assert!(asked.contains(&format!("Authorization: Bearer {TOKEN}")), "{asked}");

    let checked = add_on.check();
    assert_eq!((&checked["ok"], &checked["problems"]), (&json!(true), &json!([])), "{}", add_on.configuration());
    let [secrets, state, folder] =
        ["run/edgetuned", "data/edgetuned", "media/frigate"].map(|name| add_on.path(name).display().to_string());
    let expected = json!({
        "device": { "id": "home", "name": "Front door" },
        "backbone": { "model": "default" },
        "store": { "path": state, "quota_mb": 512 },
        "watch": [{ "path": folder, "label_from": "none" }],
        "sources": [
            { "id": "garage", "every": "30s", "keep": "labelled", "token_file": format!("{secrets}/home_assistant_token"),
              "http": "http://supervisor/core/api/camera_proxy/camera.garage_door" },
            { "id": "bin", "http": "http://ccab4aaf-frigate:5000/api/bin/latest.jpg" },
            { "id": "street", "mqtt": "frigate/street/car/snapshot" },
        ],
        "mqtt": { "url": "mqtt://core-mosquitto:1883", "username": "addons",
                  "password_file": format!("{secrets}/mqtt_password") },
        "http": { "listen": "127.0.0.1:8787", "trusted_proxies": ["127.0.0.1"] },
    });
    assert_eq!(add_on.configuration(), expected);
}

#[test]
fn secrets_are_in_files_that_only_the_daemon_reads() {
    let Some(add_on) = AddOn::new(&options(&json!({}))) else { return };
    let (url, _asked) = supervisor(&broker());
    let ran = add_on.run(&url);
    for (name, secret) in [("mqtt_password", PASSWORD), ("home_assistant_token", TOKEN)] {
        let file = format!("run/edgetuned/{name}");
        assert_eq!((add_on.read(&file).as_str(), mode(&add_on.path(&file))), (secret, 0o600));
        assert!(add_on.read("chown").contains(&format!("edgetuned:edgetuned {}\n", add_on.path(&file).display())));
        let elsewhere = [add_on.read("etc/edgetuned/config.yaml"), add_on.read("setpriv"), ran.said.clone()];
        assert!(elsewhere.iter().all(|text| !text.contains(secret)), "{elsewhere:?}");
    }
    assert_eq!(mode(&add_on.path("run/edgetuned")), 0o700);
    assert_eq!(mode(&add_on.path("etc/edgetuned/config.yaml")), 0o640);
}

#[test]
fn the_daemon_gets_no_root_and_the_proxy_is_there_before_it() {
    let Some(add_on) = AddOn::new(&options(&json!({ "log_level": "debug" }))) else { return };
    let (url, _asked) = supervisor(&broker());
    let ran = add_on.run(&url);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let started = add_on.read("setpriv");
    let config = add_on.path("etc/edgetuned/config.yaml");
    assert!(started.starts_with("--reuid edgetuned --regid edgetuned --clear-groups --no-new-privs"), "{started}");
    assert!(started.contains("--bounding-set=-all"), "{started}");
    let daemon = format!("/usr/bin/edgetuned --verbose --config {} run\n", config.display());
    assert!(started.ends_with(&daemon), "{started}");
    assert_eq!(add_on.read("nginx"), format!("-c {}/etc/nginx/edgetuned.conf\n", add_on.root.path().display()));
}

#[test]
fn without_a_broker_it_works_on_its_own_and_says_so() {
    let Some(add_on) = AddOn::new(&options(&json!({}))) else { return };
    let (url, _asked) = supervisor(&json!({ "result": "error", "message": "Service not enabled" }));
    let ran = add_on.run(&url);
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    assert!(ran.said.contains("there is no MQTT broker: install the add-on 'Mosquitto broker'"), "{}", ran.said);
    assert_eq!(add_on.configuration()["mqtt"], json!({ "url": null, "username": null, "password_file": null }));
    assert_eq!(add_on.check()["ok"], true);
}

#[test]
fn a_broker_of_ones_own_is_used_and_the_supervisor_not_asked() {
    let own = json!({ "mqtt_url": "mqtts://broker.lan", "mqtt_username": "line-3", "mqtt_password": PASSWORD });
    let Some(add_on) = AddOn::new(&options(&own)) else { return };
    let ran = add_on.run("http://127.0.0.1:1");
    assert_eq!(ran.code, Some(0), "{}", ran.said);
    let mqtt = &add_on.configuration()["mqtt"];
    assert_eq!((&mqtt["url"], &mqtt["username"]), (&json!("mqtts://broker.lan"), &json!("line-3")));
    assert_eq!(add_on.read("run/edgetuned/mqtt_password"), PASSWORD);
    assert_eq!(add_on.check()["ok"], true);
}

#[test]
fn an_answer_that_is_not_understood_is_69_and_nothing_starts() {
    let Some(add_on) = AddOn::new(&options(&json!({}))) else { return };
    let (url, _asked) = supervisor(&json!(["what", "is", "this"]));
    let ran = add_on.run(&url);
    assert_eq!(ran.code, Some(69), "{}", ran.said);
    assert!(ran.said.contains("update the supervisor"), "{}", ran.said);
    assert!(!add_on.path("setpriv").exists() && !add_on.path("nginx").exists());
}
