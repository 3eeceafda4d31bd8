//! `check`, and the layers of the configuration.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;

use serde_json::Value;

use crate::desk::{Desk, Ran};
use crate::mosquitto::{Mosquitto, free_port};

/// A desk with a good configuration.
fn desk() -> Desk {
    let desk = Desk::new();
    fs::create_dir(desk.path("camera")).unwrap();
    fs::create_dir(desk.path("state")).unwrap();
    let [camera, state] = ["camera", "state"].map(|name| desk.path(name).display().to_string());
    let text = format!("watch:\n  - path: {camera}\nstore:\n  path: {state}\nmqtt:\n  url: null\n");
    desk.put("config.yaml", text.as_bytes());
    desk
}

fn keys(document: &Value) -> Vec<&str> {
    document["problems"].as_array().unwrap().iter().map(|problem| problem["key"].as_str().unwrap()).collect()
}

#[test]
fn a_valid_configuration_is_reported_as_valid() {
    let desk = desk();
    let checked = desk.good("check --config config.yaml");
    assert_eq!((&checked["ok"], keys(&checked).len()), (&true.into(), 0));
    assert!(desk.run("check --config config.yaml").out.contains("good"));
}

#[test]
fn every_problem_is_reported_at_once_with_file_line_key_and_remedy() {
    let desk = desk();
    desk.put("config.yaml", b"training:\n  min_new_lables: 3\n  cooldown: soon\nprediction:\n  top_k: 0\n");
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, &checked["ok"]), (Some(78), &false.into()));
    assert_eq!(keys(&checked), ["training.min_new_lables", "training.cooldown", "prediction.top_k"]);
    for (problem, line) in checked["problems"].as_array().unwrap().iter().zip([2, 3, 5]) {
        let mut names: Vec<_> = problem.as_object().unwrap().keys().collect();
        names.sort();
        assert_eq!(names, ["expected", "file", "found", "key", "line", "remedy"]);
        assert_eq!((&problem["file"], &problem["line"]), (&"config.yaml".into(), &line.into()));
    }
    assert!(checked["problems"][0]["remedy"].as_str().unwrap().contains("min_new_labels"), "{checked}");
    // Other commands refuse it too.
    for words in ["run", "heads list", "train nothing"] {
        let (code, document) = desk.json(&format!("{words} --config config.yaml"));
        assert_eq!((code, keys(&document).len()), (Some(78), 3), "{words}");
    }
}

#[test]
fn problems_of_what_a_key_points_at_have_the_line_of_the_key() {
    let desk = desk();
    let state = desk.path("state").display().to_string();
    let text = format!("watch:\n  - path: /nonexistent/camera\nstore:\n  path: {state}\nbackbone:\n  model: defualt\n");
    let tls = "mqtt:\n  url: mqtts://broker\n  ca_file: /nonexistent/ca.pem\n";
    desk.put("config.yaml", (text + tls).as_bytes());
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, keys(&checked)), (Some(78), vec!["backbone.model", "watch[0].path", "mqtt.ca_file"]));
    let lines: Vec<_> = checked["problems"].as_array().unwrap().iter().map(|problem| &problem["line"]).collect();
    assert_eq!(lines, [6, 2, 9]);
    desk.put("ca.pem", b"no certificate");
    let ca = desk.path("ca.pem").display().to_string();
    desk.put(
        "config.yaml",
        format!("mqtt:\n  url: mqtts://broker\n  ca_file: {ca}\nstore:\n  path: {state}\n").as_bytes(),
    );
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, keys(&checked)), (Some(78), vec!["mqtt.ca_file"]));
}

#[test]
fn what_is_missing_is_reported_beside_what_is_written_wrongly() {
    let desk = desk();
    let state = desk.path("state").display().to_string();
    let text = "backbone:\n  model: defualt\nwatch:\n  - path: relative\n  - path: /nonexistent/camera\ntraining:\n  cooldown: soon\n";
    desk.put("config.yaml", format!("{text}store:\n  path: {state}\n  quota_mb: 1\n").as_bytes());
    let (code, checked) = desk.json("check --config config.yaml");
    let wrong = ["watch[0].path", "training.cooldown"];
    assert_eq!((code, &keys(&checked)[..2]), (Some(78), &wrong[..]));
    for key in ["backbone.model", "store.quota_mb"] {
        assert!(keys(&checked).contains(&key), "{key}: {checked}");
    }
}

#[test]
fn a_state_folder_that_cannot_be_opened_and_a_folder_that_the_service_does_not_see_are_reported() {
    let desk = desk();
    desk.put("state/edgetuned.db", b"no database at all");
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, keys(&checked)), (Some(69), vec!["store.path"]));
    fs::remove_file(desk.path("state/edgetuned.db")).unwrap();
    let state = desk.path("state").display().to_string();
    let text = format!("watch:\n  - path: /home\nstore:\n  path: {state}\nmqtt:\n  url: null\n");
    desk.put("config.yaml", text.as_bytes());
    let checked = desk.good("check --config config.yaml");
    let warning = checked["warnings"].as_array().unwrap().iter().find(|warning| warning["key"] == "watch[0].path");
    let warning = warning.unwrap_or_else(|| panic!("{checked}"));
    assert_eq!(warning["line"], 2, "{checked}");
    assert!(warning["expected"].as_str().unwrap().contains("ProtectHome"), "{checked}");
}

#[test]
fn problems_of_the_machine_alone_end_with_69() {
    let desk = desk();
    let mut command = desk.command("check --config config.yaml --json");
    let ran = Ran::of(command.env("EDGETUNED_ORT", "/nonexistent").output().unwrap());
    assert_eq!((ran.code, keys(&ran.document())), (Some(69), vec!["backbone.model"]));
    fs::remove_dir(desk.path("state")).unwrap();
    desk.put("state", b"a file in its place");
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, keys(&checked)), (Some(69), vec!["store.path"]));
}

#[test]
fn the_broker_is_tried_under_another_client_id_and_gets_no_message() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("  url: mqtt://{}\n", listener.local_addr().unwrap());
    let broker = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut connect = [0; 1024];
        let length = stream.read(&mut connect).unwrap();
        stream.write_all(&[0x20, 2, 0, 0]).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        (connect[..length].to_vec(), rest)
    });
    let desk = desk();
    with_broker(&desk, &format!("{url}  client_id: line-3\n"));
    assert_eq!(desk.good("check --config config.yaml")["ok"], true);
    let (connect, rest) = broker.join().unwrap();
    let flags = connect[connect.iter().position(|byte| *byte == b'M').unwrap() + 5];
    assert_eq!(flags, 0b10, "a clean session, no last will");
    assert!(connect.ends_with(b"line-3-check"), "{connect:?}");
    assert_eq!(rest, [0xe0, 0], "nothing but the disconnect");
}

/// A configuration with these lines below `mqtt:`.
fn with_broker(desk: &Desk, lines: &str) {
    let state = desk.path("state").display().to_string();
    desk.put("config.yaml", format!("store:\n  path: {state}\nmqtt:\n{lines}").as_bytes());
}

#[test]
fn a_broker_that_does_not_answer_is_reported_unless_the_check_is_offline() {
    let desk = desk();
    with_broker(&desk, &format!("  url: mqtt://127.0.0.1:{}\n", free_port()));
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, keys(&checked)), (Some(69), vec!["mqtt.url"]));
    let problem = &checked["problems"][0];
    assert!(problem["found"].as_str().unwrap().starts_with("nothing listens at mqtt://127.0.0.1:"), "{checked}");
    assert_eq!((&problem["line"], &problem["remedy"]), (&4.into(), &"start the broker or correct mqtt.url".into()));
    assert_eq!(desk.good("check --offline --config config.yaml")["ok"], true);
}

#[test]
fn the_broker_is_tried_with_the_credentials_of_the_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users");
    let made = Command::new("mosquitto_passwd").args(["-b", "-c"]).arg(&users).args(["line-3", "right"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return crate::skip::skip("mosquitto_passwd is not installed");
    }
    let lines = "allow_anonymous false\npassword_file {folder}/users\n";
    let Some(broker) = Mosquitto::start_in(folder, free_port(), lines) else { return };
    let desk = desk();
    let url = format!("  url: mqtt://127.0.0.1:{}\n", broker.port);
    with_broker(&desk, &url);
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, keys(&checked)), (Some(69), vec!["mqtt.username"]), "{checked}");
    let password = desk.path("password").display().to_string();
    with_broker(&desk, &format!("{url}  username: line-3\n  password_file: {password}\n"));
    desk.put("password", b"wrong\n");
    let (code, checked) = desk.json("check --config config.yaml");
    assert_eq!((code, keys(&checked)), (Some(69), vec!["mqtt.username"]), "{checked}");
    assert!(checked["problems"][0]["found"].as_str().unwrap().contains("refuses user \"line-3\""), "{checked}");
    desk.put("password", b"right\n");
    assert_eq!(desk.good("check --config config.yaml")["ok"], true);
}

#[test]
fn a_missing_configuration_is_refused_with_the_remedy() {
    let desk = Desk::new();
    desk.fails("run --config gone.yaml", 78, &["gone.yaml", "no such file", "--config"]);
    let (code, checked) = desk.json("check --config gone.yaml");
    assert_eq!((code, &checked["problems"][0]["found"]), (Some(78), &"no such file".into()));
}

#[test]
fn drop_ins_win_over_the_file_and_the_environment_over_both() {
    let desk = desk();
    let wrong = |desk: &Desk, variable: Option<&str>| {
        let mut command = desk.command("check --config config.yaml --json");
        let ran = Ran::of(command.envs(variable.map(|value| ("EDGETUNED__BACKBONE__MODEL", value))).output().unwrap());
        let document = ran.document();
        let problems = document["problems"].as_array().unwrap();
        let words = |name: &str| problems.iter().map(|problem| problem[name].to_string()).collect::<String>();
        (words("file"), words("found"))
    };
    let base = fs::read_to_string(desk.path("config.yaml")).unwrap();
    desk.put("config.yaml", format!("{base}backbone:\n  model: from-file\n").as_bytes());
    assert!(wrong(&desk, None).1.contains("from-file"));
    desk.put("conf.d/20-b.yaml", b"backbone:\n  model: from-second\n");
    desk.put("conf.d/10-a.yaml", b"backbone:\n  model: from-first\n");
    desk.put("conf.d/30-c.yaml.off", b"backbone:\n  model: from-none\n");
    let (file, found) = wrong(&desk, None);
    assert!(found.contains("from-second") && file.contains("20-b.yaml"), "{file} {found}");
    let (file, found) = wrong(&desk, Some("from-environment"));
    assert!(found.contains("from-environment") && file.contains("environment"), "{file} {found}");
    assert_eq!(wrong(&desk, Some("default")), (String::new(), String::new()));
}

#[test]
fn in_the_journal_of_systemd_a_problem_is_an_error() {
    use std::os::unix::fs::MetadataExt;

    let desk = desk();
    desk.put("config.yaml", b"prediction:\n  top_q: 3\n");
    let file = || fs::File::create(desk.path("journal")).unwrap();
    for command in ["check", "run"] {
        let journal = file();
        let is = journal.metadata().unwrap();
        let run = |named: String| {
            let ended = Command::new(env!("CARGO_BIN_EXE_edgetuned"))
                .args([command, "--config"])
                .arg(desk.path("config.yaml"))
                .env("JOURNAL_STREAM", named)
                .stdout(file())
                .stderr(file())
                .status()
                .unwrap();
            assert_eq!(ended.code(), Some(78));
            fs::read_to_string(desk.path("journal")).unwrap()
        };
        let said = run(format!("{}:{}", is.dev(), is.ino()));
        let marked = said.lines().any(|line| line.starts_with("<3>") && line.contains("top_q"));
        assert!(
            marked && said.lines().all(|line| line.starts_with('<') || !line.contains("warning")),
            "{command}: {said}"
        );
        let elsewhere = run(format!("{}:{}", is.dev(), is.ino() + 1));
        assert!(!elsewhere.contains("<3>"), "{command}, with its output somewhere else: {elsewhere}");
    }
}

#[test]
fn files_of_cameras_that_cannot_be_read_are_reported_with_their_lines() {
    let desk = desk();
    let state = desk.path("state").display().to_string();
    let with = |token: &str, password: &str, ca: &str| {
        let text = format!(
            "store: {{ path: {state} }}\nmqtt: {{ url: null }}\nsources:\n\
             - id: a\n  http: http://camera/a\n  token_file: {token}\n\
             - id: b\n  http: https://camera/b\n  username: me\n  password_file: {password}\n  ca_file: {ca}\n"
        );
        desk.put("config.yaml", text.as_bytes());
        desk.json("check --config config.yaml")
    };
    let (code, checked) = with("/nonexistent/token", "/nonexistent/password", "/nonexistent/ca.pem");
    let keys_and_lines: Vec<(&str, u64)> = checked["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| (problem["key"].as_str().unwrap(), problem["line"].as_u64().unwrap()))
        .collect();
    let expected = [("sources[0].token_file", 6), ("sources[1].password_file", 10), ("sources[1].ca_file", 11)];
    assert_eq!((code, &keys_and_lines[..]), (Some(78), &expected[..]));
    desk.put("secret", b"word");
    let secret = desk.path("secret").display().to_string();
    let (code, checked) = with(&secret, &secret, &secret);
    assert_eq!((code, &checked["ok"]), (Some(0), &true.into()), "{checked}");
}
