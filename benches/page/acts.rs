//! How many keys a hundred labels take.

use serde_json::json;

use crate::bars::{Bars, Unit};
use crate::browser::Browser;
use crate::camera::{Camera, Light, Part};
use crate::client::Client;
use crate::stage::Stage;

const QUIET: &str = "training: { schedule: null, min_new_labels: 1000000 }";
/// Its documentation has two clicks for an image and none for several; its users count them (issue 24424).
const FRIGATE: &str = "Frigate: 200 clicks, counted from its documentation, not measured";

pub fn measure(bars: &mut Bars) {
    bars.most("keys for 100 labels, one by one", Unit::Count, one_by_one() as f64, 105.0, FRIGATE);
    let (keys, bursts) = bursts();
    let beside = format!("{FRIGATE}; the device found {bursts} bursts");
    bars.most("keys for 100 labels in ten bursts", Unit::Count, keys as f64, 15.0, &beside);
}

fn one_by_one() -> usize {
    let stage = Stage::set(QUIET).unwrap();
    let picture = Camera::new(3).jpeg(Part::Nut, 1, &Light::DAY);
    begin(&stage, (0..102).map(|number| [&picture[..], number.to_string().as_bytes()].concat()));
    press(&stage, "#/label?queue=unlabelled")
}

/// Keys, and how many bursts there were.
fn bursts() -> (usize, usize) {
    let stage = Stage::set(QUIET).unwrap();
    let two =
        [(Part::Nut, 90), (Part::Gear, 91)].map(|(part, number)| Camera::new(8).jpeg(part, number, &Light::EVENING));
    let kinds = Part::ALL.into_iter().chain([Part::Nut, Part::Gear]).zip(0..);
    let pictures = kinds.flat_map(|(part, kind)| {
        let light = if kind < 8 { Light::DAY } else { Light::EVENING };
        let picture = Camera::new(3 + kind).jpeg(part, kind, &light);
        (0..10).map(move |number| [&picture[..], number.to_string().as_bytes()].concat())
    });
    begin(&stage, two.into_iter().chain(pictures));
    let columns = Client::open(stage.port).get("/api/v1/index", &[]).data()["columns"].take();
    let rows = columns["label"].as_array().unwrap().iter().zip(columns["burst"].as_array().unwrap());
    let mut bursts: Vec<u64> =
        rows.filter(|(label, _)| label.is_null()).filter_map(|(_, burst)| burst.as_u64()).collect();
    bursts.sort_unstable();
    bursts.dedup();
    (press(&stage, "#/label?queue=unlabelled&mode=stack"), bursts.len())
}

/// Stores the pictures, and labels the first two, so that there are two classes.
fn begin(stage: &Stage, pictures: impl Iterator<Item = Vec<u8>>) {
    let names = pictures.enumerate().map(|(number, bytes)| {
        stage.home.put(&format!("{number}.jpg"), &bytes);
        edgetuned::words::SampleId::of(&bytes).to_string()
    });
    let names: Vec<String> = names.collect();
    stage.samples(names.len() as u64);
    let items = [(0, "nut"), (1, "gear")].map(|(at, label)| json!({ "image": names[at], "label": label }));
    stage.good("POST", "label", Some(&json!({ "items": items })));
}

/// How many keys it takes until a hundred more have a label.
fn press(stage: &Stage, place: &str) -> usize {
    let browser = stage.browser();
    browser.go(place);
    browser.until("document.querySelector('.place').innerText.includes('100 left')", "the queue");
    let mut pressed = 0;
    while left(&browser) > 0 && pressed < 200 {
        browser.press(&["1"]);
        pressed += 1;
        browser.until("edgetuned.labels.open <= 20", "labels are confirmed");
    }
    stage.until("all labels are stored", || (stage.good("GET", "status", None)["labelled"] == 102).then_some(()));
    browser.close();
    pressed
}

fn left(browser: &Browser) -> u64 {
    browser.value("Number(document.querySelector('.place').innerText.match(/(\\d+) left/)[1])").as_u64().unwrap()
}
