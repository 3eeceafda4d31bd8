//! `update publish --device 'line-*'`: played devices on a real mosquitto get an update in stages.

use std::fs;

use serde_json::{Value, json};

use crate::desk::Desk;
use crate::fleet::{Fleet, Nature};
use crate::mosquitto::Mosquitto;
use crate::update::{SIGN, desk};

/// A desk with a signed head in chunks of a KiB, of which a device needs several windows.
fn signed() -> Desk {
    let desk = desk();
    desk.good(&format!("{SIGN} --version 5 --chunk-kb 1"));
    desk
}

fn command(port: u16, more: &str) -> String {
    let broker = format!("--url mqtt://127.0.0.1:{port}");
    format!("update publish parts.json --file parts.safetensors --device line-* {broker} --timeout 60s {more}")
}

fn outcomes(report: &Value) -> Vec<String> {
    let lines = report["devices"].as_array().unwrap_or_else(|| panic!("{report}"));
    let text = |line: &Value| format!("{} {} {}", line["device"], line["outcome"], line["stage"]).replace('"', "");
    lines.iter().map(text).collect()
}

#[test]
fn a_rollout_stops_at_the_nth_refusal_and_goes_on_where_it_stopped() {
    let Some(broker) = Mosquitto::start() else { return };
    let desk = signed();
    let natures = [
        ("cam-1", Nature::Installs),
        ("line-1", Nature::Installs),
        ("line-2", Nature::Refuses),
        ("line-3", Nature::Dawdles),
        ("line-4", Nature::Refuses),
        ("line-5", Nature::Dawdles),
        ("line-6", Nature::Dawdles),
        ("line-7", Nature::Installs),
    ];
    let fleet = Fleet::new(broker.port, &natures);
    let (code, report) = desk.json(&command(broker.port, "--first 20% --stop-after 2"));
    let expected = [
        "line-1 installed 1",
        "line-2 refused 1",
        "line-3 withdrawn 2",
        "line-4 refused 2",
        "line-5 withdrawn 2",
        "line-6 withdrawn 2",
        "line-7 not_sent null",
    ];
    assert_eq!((code, outcomes(&report)), (Some(1), expected.map(str::to_owned).to_vec()), "{report}");
    assert_eq!((&report["stopped"], &report["devices"][3]["code"]), (&json!(true), &json!("worse")));
    let mut withdrawn = [(); 3].map(|()| fleet.withdrawn());
    withdrawn.sort();
    assert_eq!(withdrawn, ["line-3", "line-5", "line-6"], "what was not installed is not installed later");
    assert_eq!(fleet.device("line-7").manifests, 0, "its stage had not begun");

    // Somebody sees to them; the same command goes on.
    for id in ["line-2", "line-3", "line-4", "line-5", "line-6"] {
        fleet.set(id, Nature::Installs);
    }
    let ran = desk.run(&command(broker.port, "--first 20% --stop-after 2"));
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "device  outcome       reason");
    assert_eq!(lines[1], "line-1  installed     it had this version already");
    assert_eq!(lines[2], "line-2  installed");
    assert_eq!(lines[8], "head \"parts\" 5: 7 of 7 devices have it, 0 refused; done");
    for said in ["stage 1: 2 devices", "stage 3: 1 device, then 7 of 7", "line-7 installed"] {
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
    let file = fs::read(desk.path("parts.safetensors")).unwrap();
    for n in 1..=7 {
        let device = fleet.device(&format!("line-{n}"));
        assert!(device.file == file && device.installed == Some(5), "line-{n} has another file");
    }
    assert_eq!((fleet.device("line-1").manifests, fleet.device("cam-1").manifests), (1, 0));

    let (code, report) = desk.json(&command(broker.port, ""));
    assert_eq!((code, &report["chunks_sent"], &report["stopped"]), (Some(0), &json!(0), &json!(false)), "{report}");
}

#[test]
fn a_silent_device_is_reported_and_does_not_stop_the_others() {
    let Some(broker) = Mosquitto::start() else { return };
    let desk = signed();
    let _fleet = Fleet::new(broker.port, &[("line-1", Nature::Dawdles), ("line-2", Nature::Installs)]);
    let words = command(broker.port, "--first 1% --stop-after 1").replace("60s", "1s");
    let (code, report) = desk.json(&words);
    assert_eq!((code, outcomes(&report)), (Some(69), vec!["line-1 timed_out 1".into(), "line-2 installed 2".into()]));
    assert_eq!(report["devices"][0]["reason"], "it has reported nothing for 1 s");
}

#[test]
fn a_rollout_that_reaches_nobody_says_what_to_do() {
    let desk = signed();
    let single = command(1, "--first 10%").replace("line-*", "line-3");
    desk.fails(&single, 64, &["--first and --stop-after are for several devices", "--device 'line-3*'"]);
    for words in ["--first 10", "--first 0%", "--stop-after 0"] {
        assert_eq!(desk.run(&command(1, words)).code, Some(64), "{words}");
    }
    assert_eq!(desk.run(&command(1, "").replace("line-*", "Line-*")).code, Some(64));
    // Nobody listens at port 1.
    let unreachable = command(1, "").replace("60s", "1s");
    desk.fails(&unreachable, 69, &["no connection to", "127.0.0.1:1", "check --url"]);
    let Some(broker) = Mosquitto::start() else { return };
    let _fleet = Fleet::new(broker.port, &[("cam-1", Nature::Installs)]);
    desk.fails(&command(broker.port, ""), 69, &["no device line-*", "edgetuned/+/info", "check --device"]);
}
