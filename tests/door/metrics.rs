//! `/metrics`: what a life leaves there, what Prometheus' own tools say of it, and that the dashboard and the alerting rules
//! name nothing else.
#![allow(clippy::float_cmp, reason = "counts are whole, and figures come back as they were set")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::words::SampleId;
use serde_json::Value;

use crate::camera::{Camera, Light, Part};
use crate::daemon::{Home, PATIENCE};
use crate::skip::skip;
use crate::{Stage, TOKEN, free_port};

/// What a machine may be without.
const BY_MACHINE: [&str; 1] = ["edgetuned_temperature_celsius"];

/// A daemon with a broker that is away, which trains on request only.
fn stage() -> Stage {
    let program = env!("CARGO_BIN_EXE_edgetuned");
    let home = Home::new(program, free_port(), "training: { schedule: null, min_new_labels: 1000000 }");
    let port = free_port();
    home.configure(&format!("http: {{ listen: '127.0.0.1:{port}' }}"));
    let daemon = home.start();
    let stage = Stage { home, daemon, port };
    stage.client().wait();
    stage
}

fn picture(part: Part, index: u64) -> Vec<u8> {
    Camera::new(11).with_size(160, 120).jpeg(part, index, &Light::DAY)
}

fn scrape(stage: &Stage) -> String {
    let reply = stage.client().get("/metrics");
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("text/plain; version=0.0.4")));
    reply.text()
}

/// The values of a metric's series, by their labels as they are written.
fn series(text: &str, name: &str) -> BTreeMap<String, f64> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with([' ', '{']));
    lines
        .map(|rest| rest.rsplit_once(' ').unwrap())
        .map(|(labels, n)| (labels.to_owned(), n.parse().unwrap()))
        .collect()
}

fn sum(text: &str, name: &str) -> f64 {
    series(text, name).values().sum()
}

/// Scrapes until it is so.
fn wait(stage: &Stage, what: &str, is: impl Fn(&str) -> bool) -> String {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = scrape(stage);
        if is(&text) {
            return text;
        }
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}; its log:\n{}\n{text}", stage.log());
        thread::park_timeout(Duration::from_millis(50));
    }
}

fn act(stage: &Stage, name: &str, body: &str) {
    let reply = stage.client().post(&format!("/api/v1/{name}"), body);
    assert_eq!(reply.status, 200, "{name}: {}", reply.text());
}

/// Everything that metrics are of: labels, a training, predictions, one of them judged, a file that is known and one that is none.
fn live(stage: &Stage) -> String {
    for index in 0..15 {
        for part in [Part::Nut, Part::Washer] {
            stage.home.put(&format!("{part}/{index}.jpg"), &picture(part, index));
        }
    }
    wait(stage, "labels", |text| sum(text, "edgetuned_labels") == 30.0);
    act(stage, "train", "{}");
    let promoted = "{result=\"promoted\"}";
    wait(stage, "a head", |text| series(text, "edgetuned_trainings_total")[promoted] == 1.0);
    let new: Vec<Vec<u8>> = (100..112).map(|index| picture(Part::Nut, index)).collect();
    for (index, bytes) in new.iter().enumerate() {
        stage.home.put(&format!("new-{index}.jpg"), bytes);
    }
    wait(stage, "predictions", |text| sum(text, "edgetuned_predictions_total") == 12.0);
    stage.home.put("again.jpg", &new[0]);
    stage.home.put("none.jpg", b"no picture");
    act(stage, "label", &format!(r#"{{"items":[{{"image":"{}","label":"nut"}}]}}"#, SampleId::of(&new[0])));
    wait(stage, "all of it", |text| {
        series(text, "edgetuned_live_judged_images").get("{kind=\"prequential\"}") == Some(&1.0)
            && sum(text, "edgetuned_images_total") == 44.0
    })
}

/// The names in a text that are those of metrics.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("edgetuned_") || word.starts_with("process_"));
    ours.map(|word| ["_bucket", "_sum", "_count"].into_iter().find_map(|part| word.strip_suffix(part)).unwrap_or(word))
        .map(str::to_owned)
        .collect()
}

/// The metrics that an answer has.
fn there(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    types.map(str::to_owned).collect()
}

fn packaged(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)
}

/// Runs promtool; `None`, and a word of it, where it is not installed.
fn promtool(words: &[&str], input: &str) -> Option<(Option<i32>, String)> {
    let spawned = Command::new("promtool")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = spawned else {
        skip("promtool is not installed");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Some((output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()))
}

#[test]
fn a_life_is_counted_and_everything_that_dashboard_and_rules_name_is_there() {
    let stage = stage();
    let text = live(&stage);
    let of = |name: &str, labels: &str| series(&text, name)[labels];
    for (result, count) in
        [("unpredicted", 30.0), ("predicted", 12.0), ("duplicate", 1.0), ("quarantined", 1.0), ("failed", 0.0)]
    {
        assert_eq!(of("edgetuned_images_total", &format!("{{result=\"{result}\"}}")), count, "{result}");
    }
    assert_eq!(of("edgetuned_samples", ""), 42.0);
    assert_eq!(of("edgetuned_label_changes_total", "{source=\"folder\"}"), 30.0);
    assert_eq!(of("edgetuned_label_changes_total", "{source=\"mqtt\"}"), 1.0);
    assert_eq!(of("edgetuned_image_latency_seconds_count", ""), 42.0);
    for (stage, least) in [("settle", 42.0), ("decode", 42.0), ("embed", 42.0), ("predict", 12.0), ("commit", 1.0)] {
        let count = of("edgetuned_stage_duration_seconds_count", &format!("{{stage=\"{stage}\"}}"));
        assert!(count >= least, "{stage}: {count}");
    }
    assert!(of("edgetuned_head_heldout_accuracy_ratio", "") > 0.8);
    assert_eq!(of("edgetuned_mqtt_connected", ""), 0.0);
    assert!(of("edgetuned_outbox_messages", "") > 42.0 && of("edgetuned_outbox_oldest_age_seconds", "") > 0.0);
    assert!(text.len() <= 15 << 10, "{} bytes:\n{text}", text.len());

    let there = there(&text);
    let dashboard = fs::read_to_string(packaged("grafana/edgetuned.json")).unwrap();
    let rules = fs::read_to_string(packaged("prometheus/edgetuned.rules.yml")).unwrap();
    let rule_names: BTreeSet<String> =
        rules.lines().filter(|line| !line.trim_start().starts_with("- alert")).flat_map(names).collect();
    let dashboard_names = names(&dashboard);
    assert!(dashboard_names.len() > 35 && rule_names.len() >= 7, "{} and {}", dashboard_names.len(), rule_names.len());
    let missing: Vec<_> = dashboard_names
        .union(&rule_names)
        .filter(|name| !there.contains(*name) && !BY_MACHINE.contains(&name.as_str()))
        .collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
    let unused: Vec<_> = there.difference(&dashboard_names).collect();
    assert!(unused.is_empty(), "there and on no panel: {unused:?}");

    let Some((code, said)) = promtool(&["check", "metrics"], &text) else { return };
    assert_eq!((code, said.as_str()), (Some(0), ""));
    // It does say so where something is wrong.
    let wrong = text.replace("edgetuned_images_total", "edgetuned_images");
    assert_ne!(promtool(&["check", "metrics"], &wrong).unwrap().0, Some(0));
}

#[test]
fn the_alerting_rules_are_sound_and_fire_when_they_should() {
    let rules = packaged("prometheus/edgetuned.rules.yml");
    let Some((code, said)) = promtool(&["check", "rules", rules.to_str().unwrap()], "") else { return };
    assert_eq!(code, Some(0), "{said}");
    let tests = packaged("prometheus/edgetuned.rules.test.yml");
    let (code, said) = promtool(&["test", "rules", tests.to_str().unwrap()], "").unwrap();
    assert_eq!(code, Some(0), "{said}");
    // Every rule is among the tests.
    let (rules, tests) = (fs::read_to_string(rules).unwrap(), fs::read_to_string(tests).unwrap());
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert_eq!(alerts.len(), 6);
    for alert in alerts {
        assert!(tests.matches(&format!("alertname: {alert}\n")).count() >= 2, "{alert} is not tried both ways");
    }
}

#[test]
fn the_dashboard_lets_one_choose_where_to_read_and_which_device() {
    let dashboard: Value = serde_json::from_slice(&fs::read(packaged("grafana/edgetuned.json")).unwrap()).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let variables: Vec<_> = variables.iter().map(|variable| variable["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "device"]);
    let panels = dashboard["panels"].as_array().unwrap();
    let rows = panels.iter().filter(|panel| panel["type"] == "row").map(|row| row["title"].as_str().unwrap());
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            "Fleet",
            "Is it well",
            "Throughput and latency",
            "Accuracy and drift",
            "Labels and trainings",
            "MQTT",
            "Machine"
        ]
    );
    let (mut ids, mut queries) = (BTreeSet::new(), 0);
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            queries += 1;
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{query}");
            let selectors =
                query.matches("edgetuned_").count() + query.matches("process_").count() + query.matches("up{").count();
            assert_eq!(query.matches("instance=~\"$device\"").count(), selectors, "{query}");
        }
    }
    assert!(queries > 40, "only {queries} queries were found");
}

#[test]
fn the_dashboard_has_a_table_of_the_fleet_that_joins_by_device() {
    let dashboard: Value = serde_json::from_slice(&fs::read(packaged("grafana/edgetuned.json")).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let table = panels.iter().find(|panel| panel["title"] == "Devices" && panel["type"] == "table").unwrap();
    assert_eq!(table["transformations"][0]["id"], "merge");
    let organised = &table["transformations"][1]["options"];
    let mut columns = BTreeSet::new();
    for target in table["targets"].as_array().unwrap() {
        let (query, column) =
            (target["expr"].as_str().unwrap(), format!("Value #{}", target["refId"].as_str().unwrap()));
        // Rows are joined by what the queries have in common.
        assert!(query.contains(" by (instance) (") || query.contains(" by (instance, version) ("), "{query}");
        assert_eq!((&target["format"], &target["instant"]), (&Value::from("table"), &Value::from(true)), "{query}");
        let named = organised["renameByName"].get(&column).or_else(|| organised["excludeByName"].get(&column));
        assert!(named.is_some() && columns.insert(column), "{query} has a column without a name");
    }
    assert_eq!((columns.len(), &organised["renameByName"]["version"]), (9, &Value::from("Head")));
    // Panels neither lie over each other nor stick out.
    let place = |panel: &Value| ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
    for (at, one) in panels.iter().enumerate() {
        let [x, y, w, h] = place(one);
        assert!(x + w <= 24, "{one}");
        for other in &panels[at + 1..] {
            let [ox, oy, ow, oh] = place(other);
            let apart = x + w <= ox || ox + ow <= x || y + h <= oy || oy + oh <= y;
            assert!(apart, "{} and {}", one["title"], other["title"]);
        }
    }
}

#[test]
fn a_scrape_needs_the_token_where_there_is_one_and_the_socket_gives_the_same() {
    let stage = Stage::guarded("");
    let client = stage.client();
    assert_eq!(client.get("/metrics").status, 401);
    let reply = client.with_token(TOKEN).get("/metrics");
    assert_eq!(reply.status, 200);
    let counted = series(&reply.text(), "edgetuned_http_requests_total");
    assert_eq!(counted.get("{code=\"401\",route=\"other\"}"), Some(&1.0), "{counted:?}");
    assert_eq!(client.with_token(TOKEN).send("POST", "/metrics", b"{}").status, 415);

    let at_socket = || {
        let mut stream = UnixStream::connect(stage.home.state().join("edgetuned.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    let mut said = at_socket();
    let counted = series(&said, "edgetuned_http_requests_total");
    assert_eq!(counted.get("{code=\"200\",route=\"/metrics\"}"), Some(&1.0), "{counted:?}");
    // The first figures of the engine are there a moment after its start.
    let until = Instant::now() + PATIENCE;
    while !said.contains("edgetuned_samples") {
        assert!(Instant::now() < until, "no figures of the engine:\n{said}");
        thread::park_timeout(Duration::from_millis(20));
        said = at_socket();
    }
    assert_eq!(there(&said), there(&client.with_token(TOKEN).get("/metrics").text()));
}
