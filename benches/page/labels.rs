//! From a key or a picture to what is seen, and to what is kept.

use std::thread;
use std::time::Duration;

use edgetuned::words::SampleId;
use serde_json::{Value, json};

use crate::bars::{Bars, Unit, ms, numbers, p95};
use crate::browser::Browser;
use crate::camera::{Camera, Light, Part};
use crate::client::{Client, Watcher, now};
use crate::stage::Stage;

const KEYS: usize = 50;
const PICTURES: u64 = 40;

/// Notes for each key when its frame is on the screen, and when the device has confirmed its label.
const KEY_WITNESS: &str = include_str!("keys.js");
/// Notes when the tile of an image is on the screen, in milliseconds since 1970.
const TILE_WITNESS: &str = include_str!("tiles.js");

/// One key, one label, one at a time.
pub fn keys(bars: &mut Bars, browser: &Browser) {
    browser.go("#/label?queue=unlabelled");
    browser.until("document.querySelector('.queuebar .faint').textContent.includes('left')", "the queue");
    browser.value(&format!("({KEY_WITNESS})()"));
    for pressed in 1..=KEYS {
        browser.press(&["1"]);
        browser.until(&format!("seen.length >= {pressed} && kept.length >= {pressed}"), "the label is kept");
    }
    assert_eq!(browser.value("refused"), json!(0), "labels that the device did not take");
    let list = |name: &str| numbers(&browser.value(name));
    bars.most("key to seen, p95 of 50 labels", Unit::Ms, p95(&list("seen")), 50.0, "in a store of 10,000");
    bars.most("key to durable, p95 of 50 labels", Unit::Ms, p95(&list("kept")), 150.0, "in a store of 10,000");
}

/// A thousand in one request.
pub fn thousand(bars: &mut Bars, port: u16) {
    let mut client = Client::open(port);
    let columns = client.get("/api/v1/index", &[]).data()["columns"].take();
    let rows = columns["image"].as_array().unwrap().iter().zip(columns["label"].as_array().unwrap());
    let items = rows.filter(|(_, label)| label.is_null()).take(1_000);
    let items: Vec<Value> = items.map(|(image, _)| json!({ "image": image, "label": "nut", "was": null })).collect();
    let answer = client.post("label", &json!({ "items": items }));
    assert_eq!(answer.data()["set"], 1_000);
    bars.most(
        "1,000 labels in one request, durable",
        Unit::Ms,
        ms(answer.time),
        1_000.0,
        "Frigate has no such request",
    );
}

/// One picture at a time, from its file to the page. Their names.
pub fn predictions(bars: &mut Bars, stage: &Stage, browser: &Browser) -> Vec<String> {
    browser.go("#/overview");
    browser.until("document.querySelector('.strip') && edgetuned.live.state === 'open'", "the stream of messages");
    browser.value(&format!("({TILE_WITNESS})()"));
    let ears = Watcher::open(stage.port);
    let (mut after_event, mut after_file, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..PICTURES {
        let bytes = Camera::new(6).jpeg([Part::Nut, Part::Gear][number as usize % 2], number, &Light::DAY);
        let name = SampleId::of(&bytes).to_string();
        stage.home.put(&format!("live-{number}.jpg"), &bytes);
        let closed = now();
        let seen = browser.until(&format!("tiles['{name}'.slice(0, 16)]"), "the tile").as_f64().unwrap();
        let heard = stage.until("the prediction is heard", || ears.heard(&name));
        after_event.push(seen - heard);
        after_file.push(seen - closed);
        names.push(name);
        thread::sleep(Duration::from_millis(50));
    }
    let beside = "from its message at another watcher to the frame with its tile";
    bars.most("prediction durable to on the page, p95 of 40", Unit::Ms, p95(&after_event), 300.0, beside);
    bars.known("the same from closing the file", Unit::Ms, p95(&after_file), "while nothing else comes");
    names
}
