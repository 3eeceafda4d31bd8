//! Bundled backbones by name, and what serves where the model of one was never made.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::Daemon;
use crate::desk::{Desk, models};

/// What every warning of a stand-in has in it.
const SAYS: [&str; 3] = ["models/gone.onnx", "photo", "run 'make setup'"];

/// A desk whose own folder `models` has a `default` without its model file.
fn without_a_model() -> Desk {
    let desk = Desk::with_pictures();
    let manifest = std::fs::read_to_string(models().join("default.yaml")).unwrap();
    let file = manifest.lines().find(|line| line.starts_with("file: ")).unwrap();
    desk.put("models/default.yaml", manifest.replace(file, "file: gone.onnx").as_bytes());
    let [camera, state] = ["camera", "state"].map(|name| desk.path(name).display().to_string());
    let text = format!("watch: [{{ path: {camera} }}]\nstore: {{ path: {state} }}\nmqtt: {{ url: null }}\n");
    desk.put("config.yaml", text.as_bytes());
    std::fs::create_dir(desk.path("camera")).unwrap();
    desk
}

fn says_all(text: &str) {
    for words in SAYS {
        assert!(text.contains(words), "{words:?} is not in {text}");
    }
}

#[test]
fn train_warns_that_another_backbone_serves_and_later_commands_know_it_by_the_head() {
    let desk = without_a_model();
    let ran = desk.run("train train --out h.safetensors --json");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    says_all(&ran.err);
    assert_eq!(ran.document()["backbone"]["name"], "edgetuned-photo");
    let ran = desk.run("predict test/nut/100.jpg --head h.safetensors");
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "the head's own backbone is no stand-in");
    let listed = desk.good("backbone list");
    let row = listed.as_array().unwrap().iter().find(|row| row["name"] == "default").unwrap();
    assert!(row["model"]["missing"].as_str().unwrap().contains("make setup"), "{listed}");
    says_all(&desk.run("backbone list").out);
}

#[test]
fn check_warns_of_it_and_is_content() {
    let desk = without_a_model();
    let checked = desk.good("check --config config.yaml");
    let warning = &checked["warnings"][0];
    assert_eq!((&warning["key"], &checked["problems"]), (&"backbone.model".into(), &serde_json::json!([])));
    says_all(&desk.run("check --config config.yaml").out);
}

#[test]
fn the_daemons_log_warns_of_it() {
    let desk = without_a_model();
    let mut daemon = desk.command("run --config config.yaml").stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(daemon.stderr.take().unwrap()).lines().map(Result::unwrap);
    let warned = log.find(|line| line.contains("WARN"));
    let opened = log.find(|line| line.contains("probe image"));
    kill_process(Pid::from_child(&daemon), Signal::TERM).unwrap();
    let rest: Vec<String> = log.collect();
    assert_eq!(daemon.wait().unwrap().code(), Some(0), "{rest:#?}");
    says_all(&warned.expect("a warning"));
    assert!(opened.is_some_and(|line| line.contains("edgetuned-photo")));
}

#[test]
fn a_missing_model_of_a_manifest_named_by_path_or_without_a_stand_in_is_an_error() {
    let desk = without_a_model();
    let says = ["the model models/gone.onnx is not there", "run 'make setup'"];
    desk.fails("train train --backbone models/default.yaml", 78, &says);
    desk.put("own/net.yaml", &std::fs::read(desk.path("models/default.yaml")).unwrap());
    desk.fails("train train --backbone own/net.yaml", 78, &["own/gone.onnx", "correct 'file' in own/net.yaml"]);
}

#[test]
fn a_model_that_is_made_later_serves_where_nothing_is_stored_yet() {
    let desk = without_a_model();
    let serves = || {
        let mut daemon = Daemon::start(&desk);
        let status = desk.good("--config config.yaml ctl status");
        daemon.stop();
        status["backbone"].clone()
    };
    assert_eq!(serves(), "edgetuned-photo");
    let made = std::fs::read_to_string(models().join("tiny-test.yaml")).unwrap();
    desk.put("models/default.yaml", made.as_bytes());
    desk.put("models/tiny-test.onnx", &std::fs::read(models().join("tiny-test.onnx")).unwrap());
    assert_eq!(serves(), "tiny-test");
    let checked = desk.good("--config config.yaml check --offline");
    let warned = checked["warnings"].as_array().unwrap().iter().any(|warning| warning["key"] == "backbone.model");
    assert!(!warned && checked.get("hints").is_none(), "{checked}");
}
