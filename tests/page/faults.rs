//! What the page does when the daemon goes away, or somebody else labels the same image.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::browser::{Browser, DESK};
use crate::camera::{Camera, Light, Part};
use crate::stage::Stage;
use edgetuned::words::SampleId;

/// Labels under way when the daemon is killed.
const LABELS: usize = 1_000;
const QUIET: &str = "training: { schedule: null, min_new_labels: 1000000 }";

/// Writes so many files that are different images with the same pixels; their digests.
fn copies(stage: &Stage, count: usize) -> Vec<String> {
    let picture = Camera::new(3).jpeg(Part::Nut, 1, &Light::DAY);
    let written = (0..count).map(|number| {
        let bytes = [&picture[..], number.to_string().as_bytes()].concat();
        stage.home.put(&format!("{number}.jpg"), &bytes);
        SampleId::of(&bytes).to_string()
    });
    written.collect()
}

/// Gives each image a label of its own, a request each, as fast as the page can; and notes which were confirmed.
fn label_each(browser: &Browser, images: &[String]) {
    browser.value(&format!(
        "(globalThis.confirmed = [], edgetuned.labels.on((change) => change.state === 'confirmed' && confirmed.push(change.items[0].image)), \
         {}.forEach((image, at) => edgetuned.labels.set(null, [{{ image, label: 'n' + at % 7, was: null }}], image)), 0)",
        json!(images)
    ));
}

fn labelled(stage: &Stage) -> BTreeSet<String> {
    let list = stage.good("GET", "samples?limit=1000", None);
    let entries = list.as_array().unwrap().iter().filter(|entry| !entry["label"].is_null());
    entries.map(|entry| entry["image"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_daemon_that_is_killed_loses_no_label_that_the_page_calls_confirmed() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    let images = copies(&stage, LABELS);
    stage.samples(LABELS as u64);
    let browser = stage.browser();
    browser.go("#/overview");
    label_each(&browser, &images);
    browser.until("confirmed.length >= 100", "some labels are confirmed");
    stage.daemon.take().unwrap().kill();
    browser.until(
        "[...edgetuned.labels.underWay.values()].some((change) => change.state === 'waiting')",
        "the page notices",
    );
    let toast = browser.text("#toast");
    assert!(toast.contains("does not answer") && toast.contains("wait"), "{toast}");
    let confirmed = browser.value("confirmed");
    let open = browser.value("edgetuned.labels.open").as_u64().unwrap();
    let confirmed: Vec<&str> = confirmed.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(confirmed.len() + open as usize, LABELS, "the page knows of each");
    stage.start();
    let stored = labelled(&stage);
    let lost: Vec<_> = confirmed.iter().filter(|image| !stored.contains(**image)).collect();
    assert!(lost.is_empty(), "confirmed and lost: {lost:?}");
    browser.until("edgetuned.labels.open === 0", "the rest is sent again");
    assert_eq!(labelled(&stage).len(), LABELS);
    browser.until("edgetuned.live.state === 'open'", "the stream is open again");
    browser.close();
}

#[test]
fn the_second_of_two_people_is_told_and_overwrites_nothing() {
    let Some(stage) = Stage::set(QUIET) else { return };
    let image = copies(&stage, 1).remove(0);
    stage.samples(1);
    let (first, second) = (stage.browser(), stage.browser_with(DESK));
    for browser in [&first, &second] {
        browser.go("#/overview");
    }
    let set = |browser: &Browser, label: &str| {
        let script = format!(
            "edgetuned.labels.set(null, [{{ image: '{image}', label: '{label}', was: null }}], '1 {label}').then((change) => \
             ({{ state: change.state, code: change.error?.code ?? null, conflicts: change.error?.details.conflicts ?? null }}))"
        );
        browser.value(&format!("await {script}"))
    };
    assert_eq!(set(&first, "nut")["state"], "confirmed");
    let refused = set(&second, "gear");
    assert_eq!((&refused["state"], &refused["code"]), (&json!("failed"), &json!("conflict")));
    assert_eq!(refused["conflicts"][0]["label"], "nut");
    assert_eq!(stage.good("GET", "samples", None)[0]["label"], "nut");
    first.is_clean("the first");
    second.is_clean("the second");
    first.close();
    second.close();
}

#[test]
fn ten_tabs_are_alive_together() {
    let Some(stage) = Stage::set(QUIET) else { return };
    copies(&stage, 3);
    stage.samples(3);
    let browser = stage.browser();
    browser.go("#/overview");
    // Nine more within one browser share its six connections to a host.
    for _ in 0..9 {
        browser.another_tab();
        browser.go("#/overview");
        assert_eq!(browser.value("(await fetch('api/v1/status')).status"), json!(200));
    }
    browser.close();
}
