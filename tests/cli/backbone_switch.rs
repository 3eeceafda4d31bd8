//! `backbone switch`: its messages and exit codes; what a switch does with images is in `tests/pipeline/`.

use serde_json::json;

use crate::daemon::Daemon;
use crate::desk::{Desk, models};

/// A desk with a configuration of the small backbone.
fn desk() -> Desk {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("camera")).unwrap();
    let [camera, state] = ["camera", "state"].map(|name| desk.path(name).display().to_string());
    let text = format!(
        "watch: [{{ path: {camera} }}]\nstore: {{ path: {state} }}\nmqtt: {{ url: null }}\nbackbone: {{ model: tiny-test }}\n"
    );
    desk.put("config.yaml", text.as_bytes());
    desk
}

/// The same backbone with another way of resizing, as a manifest of somebody's own.
fn own(desk: &Desk) {
    let bundled = std::fs::read_to_string(models().join("tiny-test.yaml")).unwrap();
    let file = models().join("tiny-test.onnx");
    let own = bundled.replace("file: tiny-test.onnx", &format!("file: {}", file.display()));
    let own = own.replace("name: tiny-test", "name: own").replace("resize: stretch", "resize: letterbox");
    desk.put("own.yaml", own.as_bytes());
}

#[test]
fn without_a_daemon_the_remedy_names_the_setting_too() {
    let desk = desk();
    let says = ["no daemon answers", "start it with 'edgetuned run'", "setting backbone.model does as well"];
    desk.fails("--config config.yaml backbone switch default", 69, &says);
    assert_eq!(desk.run("backbone switch").code, Some(64));
}

#[test]
fn a_switch_says_how_it_ended_and_why_it_does_not_begin() {
    let desk = desk();
    own(&desk);
    let mut daemon = Daemon::start(&desk);
    let switch = |name: &str| format!("--config config.yaml backbone switch {name}");
    desk.fails(&switch("gone"), 1, &["there is no bundled backbone \"gone\"", "available:"]);
    desk.fails(&switch("./gone.yaml"), 1, &["cannot read the manifest", "gone.yaml"]);
    let ran = desk.run(&switch("tiny-test"));
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "tiny-test serves already\n"), "{}", ran.err);
    assert_eq!(desk.good(&switch("tiny-test"))["begun"], false);

    // Without a label there is nothing to compare.
    let ended = desk.good(&switch("./own.yaml"));
    assert_eq!((&ended["phase"], &ended["name"]), (&json!("trial"), &json!("own")), "{ended}");
    assert_eq!(ended["backbone"], desk.path("own.yaml").display().to_string());
    desk.fails(&switch("tiny-test"), 1, &["on probation until it has served for a minute"]);
    let status = desk.run("--config config.yaml ctl status").out;
    let lines: Vec<&str> = status.lines().filter(|line| line.starts_with("switch ")).collect();
    assert!(lines.len() == 1 && lines[0].contains("(own) serves, on probation for a minute"), "{status}");
    let listed = desk.good("--config config.yaml backbone list");
    assert!(listed.as_array().unwrap().iter().all(|row| row["serves"] != true), "it is not bundled: {listed}");
    daemon.stop();

    // What serves is what other commands use, too.
    desk.shoot("train", crate::camera::Part::Nut, 0..2);
    desk.shoot("train", crate::camera::Part::Gear, 0..2);
    let trained = desk.good("--config config.yaml train train --out h.safetensors");
    assert_eq!(trained["backbone"]["name"], "own", "{trained}");
    let predicted = desk.good("--config config.yaml predict train/nut/000.jpg --head h.safetensors");
    assert_eq!(predicted[0]["backbone"], "own", "{predicted}");
}
