//! A broker that goes away, a disk that is full, and light that changes: what the page says, and that it says it no longer.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use crate::browser::Browser;
use crate::camera::{Camera, Light, Part};
use crate::mount::Mount;
use crate::stage::Stage;

const QUIET: &str = "training: { schedule: null, min_new_labels: 1000000 }";

/// Waits for a text on the page, or until it is gone.
fn shows(browser: &Browser, text: &str, is_there: bool) {
    let not = if is_there { "" } else { "!" };
    browser.until(&format!("{not}document.body.innerText.includes({})", json!(text)), text);
}

#[test]
fn while_the_broker_is_away_the_page_works_and_says_that_messages_wait() {
    let Some((mut stage, mut ears)) = Stage::with_broker(QUIET) else { return };
    stage.pictures(Part::Nut, 0..1, false);
    ears.wait("prediction", "of the first", |_| true);
    let browser = stage.browser();
    browser.go("#/system");
    shows(&browser, "connected", true);
    stage.broker.as_mut().unwrap().kill();
    shows(&browser, "disconnected", true);
    let image = stage.pictures(Part::Gear, 1..2, false).remove(0);
    stage.samples(2);
    browser.go(&format!("#/label?queue=one&image={}", &image[..16]));
    let set = format!("edgetuned.labels.set(null, [{{ image: '{image}', label: 'gear', was: null }}], '1 gear')");
    assert_eq!(browser.value(&format!("(await {set}).state")), "confirmed", "labels need no broker");
    browser.go("#/overview");
    browser.until(&format!("document.querySelector(\".strip [data-key='{}']\")", &image[..16]), "the live prediction");
    browser.go("#/system");
    browser.until("/Messages not sent\\s+[1-9]/.test(document.body.innerText)", "messages wait");
    browser.picture("broker-away");
    stage.broker.as_mut().unwrap().restart();
    shows(&browser, "disconnected", false);
    browser.until("/Messages not sent\\s+0/.test(document.body.innerText)", "all are sent");
    ears.wait("prediction", "of the second", |said| said["image"] == json!(image));
    browser.is_clean("at the end");
    browser.close();
}

#[test]
fn a_full_disk_is_said_with_what_waits_and_is_over_when_there_is_room() {
    let Some(mut stage) = Stage::set(QUIET) else { return };
    stage.daemon.take().unwrap().stop(Duration::from_secs(10));
    let Some(mount) = Mount::new(&stage.home.state(), &["-t", "tmpfs", "-o", "size=6m", "tmpfs"]) else { return };
    stage.start();
    let before = stage.pictures(Part::Nut, 0..1, false).remove(0);
    stage.samples(1);
    let browser = stage.browser();
    browser.go("#/overview");
    let ballast = stage.home.state().join("ballast");
    let mut file = File::create(&ballast).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    // The first images after this find the last free page, or none.
    stage.pictures(Part::Bolt, 1..30, false);
    browser.until("document.querySelector('#alerts')?.innerText.includes('disk is full')", "the alert");
    let set = format!("edgetuned.labels.set(null, [{{ image: '{before}', label: 'nut', was: null }}], '1 nut')");
    browser.value(&format!("({set}.then((change) => (globalThis.given = change.state)), 0)"));
    // Requests of one page are answered in their order, so the label has come to the device by then.
    assert_eq!(browser.value("(await fetch('api/v1/status')).status"), json!(200));
    let waiting = browser.value("[globalThis.given ?? null, edgetuned.labels.open]");
    assert_eq!(waiting, json!([null, 1]), "no label is confirmed that is not stored");
    browser.picture("disk-full");
    drop(file);
    fs::remove_file(&ballast).unwrap();
    browser.until("!document.querySelector('#alerts')?.innerText.includes('disk is full')", "it is over");
    stage.samples(30);
    browser.until("globalThis.given === 'confirmed'", "the label is stored");
    assert_eq!(stage.good("GET", "samples?limit=1000&label=nut", None)[0]["image"], json!(before));
    browser.is_clean("at the end");
    browser.close();
    stage.daemon.take().unwrap().stop(Duration::from_secs(10));
    drop(mount);
}

#[test]
fn drift_is_said_where_everything_looks_otherwise_than_what_was_learned() {
    let Some(stage) = Stage::set(QUIET) else { return };
    for part in [Part::Nut, Part::Gear] {
        stage.pictures(part, 0..20, true);
    }
    stage.samples(40);
    stage.train();
    stage.pictures(Part::Nut, 100..220, false);
    stage.samples(160);
    let browser = stage.browser();
    browser.go("#/system");
    browser.until("document.querySelector('.place').innerText.includes('No drift was seen')", "none yet");
    let night = Light { brightness: 0.15, ..Light::EVENING };
    for number in 0..400 {
        stage.home.put(&format!("night-{number}.jpg"), &Camera::new(5).jpeg(Part::Washer, number, &night));
    }
    browser.until("document.querySelector('#alerts')?.innerText.includes('drift')", "the alert");
    browser.until("!document.querySelector('.place').innerText.includes('No drift was seen')", "the table of drift");
    browser.picture("drift");
    browser.is_clean("at the end");
    browser.close();
}
