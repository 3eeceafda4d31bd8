//! How many keys a hundred labels take: one by one, and in bursts.

use std::collections::BTreeSet;

use edgetuned::words::SampleId;
use serde_json::json;

use crate::camera::{Camera, Light, Part};
use crate::stage::Stage;

/// Nothing is trained meanwhile.
pub const QUIET: &str = "training: { schedule: null, min_new_labels: 1000000 }";

/// Keys for a hundred images that come one after another.
pub fn one_by_one(stage: &Stage) -> usize {
    let picture = Camera::new(3).jpeg(Part::Nut, 1, &Light::DAY);
    begin(stage, (0..102).map(|number| numbered(&picture, number)));
    press(stage, "#/label?queue=unlabelled")
}

/// Keys for a hundred images in ten bursts, and how many bursts the device found.
pub fn in_bursts(stage: &Stage) -> (usize, usize) {
    let two =
        [(Part::Nut, 90), (Part::Gear, 91)].map(|(part, number)| Camera::new(8).jpeg(part, number, &Light::EVENING));
    let kinds = Part::ALL.into_iter().chain([Part::Nut, Part::Gear]).zip(0..);
    let pictures = kinds.flat_map(|(part, kind)| {
        let light = if kind < 8 { Light::DAY } else { Light::EVENING };
        let picture = Camera::new(3 + kind).jpeg(part, kind, &light);
        (0..10).map(move |number| numbered(&picture, number))
    });
    begin(stage, two.into_iter().chain(pictures));
    let columns = stage.good("GET", "index", None)["columns"].take();
    let of = |name: &str| columns[name].as_array().unwrap().clone();
    let rows = of("label").into_iter().zip(of("burst"));
    let bursts: BTreeSet<u64> =
        rows.filter(|(label, _)| label.is_null()).filter_map(|(_, burst)| burst.as_u64()).collect();
    (press(stage, "#/label?queue=unlabelled&mode=stack"), bursts.len())
}

/// Another file with the same pixels, which is another image.
fn numbered(picture: &[u8], number: u32) -> Vec<u8> {
    [picture, number.to_string().as_bytes()].concat()
}

/// Stores the pictures, and labels the first two, so that there are two classes.
fn begin(stage: &Stage, pictures: impl Iterator<Item = Vec<u8>>) {
    let names = pictures.enumerate().map(|(number, bytes)| {
        stage.home.put(&format!("{number}.jpg"), &bytes);
        SampleId::of(&bytes).to_string()
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
    let left = "Number(document.querySelector('.place').innerText.match(/(\\d+) left/)[1])";
    let mut pressed = 0;
    while browser.value(left) != 0 && pressed < 200 {
        browser.press(&["1"]);
        pressed += 1;
        browser.until("edgetuned.labels.open <= 20", "labels are confirmed");
    }
    stage.until("all labels are stored", || (stage.good("GET", "status", None)["labelled"] == 102).then_some(()));
    browser.is_clean("after a hundred labels");
    browser.close();
    pressed
}

#[test]
fn a_hundred_labels_take_at_most_105_keys() {
    let Some(stage) = Stage::set(QUIET) else { return };
    let keys = one_by_one(&stage);
    assert!(keys <= 105, "{keys} keys for 100 labels");
}

#[test]
fn a_hundred_labels_in_ten_bursts_take_at_most_15_keys() {
    let Some(stage) = Stage::set(QUIET) else { return };
    let (keys, bursts) = in_bursts(&stage);
    assert!(keys <= 15, "{keys} keys for 100 images, in {bursts} bursts by the device");
}
