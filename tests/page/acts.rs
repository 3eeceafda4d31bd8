//! How many keys labels take: one by one, and in bursts.

use crate::camera::{Camera, Light, Part};
use crate::stage::Stage;

const QUIET: &str = "training: { schedule: null, min_new_labels: 1000000 }";

fn labelled(stage: &Stage) -> u64 {
    stage.good("GET", "status", None)["labelled"].as_u64().unwrap()
}

/// A key that labels what is seen, until nothing is left; how many were pressed.
fn press_until_done(stage: &Stage, browser: &crate::browser::Browser, wanted: u64) -> usize {
    let mut pressed = 0;
    while browser.value("Number(document.querySelector('.place').innerText.match(/(\\d+) left/)[1]) > 0") == true
        && pressed < 200
    {
        browser.press(&["1"]);
        pressed += 1;
        if browser.value("edgetuned.labels.open > 20") == true {
            browser.until("edgetuned.labels.open === 0", "labels are confirmed");
        }
    }
    stage.until("all labels are stored", || (labelled(stage) >= wanted).then_some(()));
    pressed
}

#[test]
fn a_hundred_labels_take_at_most_105_keys() {
    let Some(stage) = Stage::set(QUIET) else { return };
    let picture = Camera::new(3).jpeg(Part::Nut, 1, &Light::DAY);
    for number in 0..102 {
        stage.home.put(&format!("{number}.jpg"), &[&picture[..], number.to_string().as_bytes()].concat());
    }
    stage.samples(102);
    let two = stage.good("GET", "samples?limit=2", None);
    let items =
        [(0, "nut"), (1, "gear")].map(|(at, label)| serde_json::json!({ "image": two[at]["image"], "label": label }));
    stage.good("POST", "label", Some(&serde_json::json!({ "items": items })));
    let browser = stage.browser();
    browser.go("#/label?queue=unlabelled");
    browser.until("document.querySelector('.place').innerText.includes('100 left')", "the queue");
    let keys = press_until_done(&stage, &browser, 102);
    assert!(keys <= 105, "{keys} keys for 100 labels");
    browser.is_clean("after a hundred labels");
    browser.close();
}
