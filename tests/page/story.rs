//! The life of a device, as a person leads it on the page; the broker hears the same.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::camera::Part;
use crate::daemon::Listener;
use crate::stage::Stage;

/// Chooses the tiles of these images, and gives them the label that was named.
fn choose(browser: &Browser, images: &[String]) {
    for image in images {
        browser.click(&format!("main [data-key='{}']", &image[..16]));
    }
    browser.press(&["Enter"]);
}

/// Names a class in the wizard, by keys alone.
fn name(browser: &Browser, class: &str) {
    browser.until("document.activeElement.id === 'class-name'", "the field for a name has the focus");
    browser.type_text(class);
    browser.press(&["Enter"]);
}

fn labels(stage: &Stage, class: &str) -> usize {
    stage.good("GET", &format!("samples?limit=1000&label={class}"), None).as_array().unwrap().len()
}

/// Waits for an event at the broker.
fn event(ears: &mut Listener, kind: &str) -> Value {
    ears.wait("event", kind, |event| event["event_type"] == kind).json
}

#[test]
fn a_device_is_begun_taught_corrected_and_taken_back() {
    let Some((stage, mut ears)) =
        Stage::with_broker("training: { schedule: null, min_new_labels: 1000000, cooldown: 1s }")
    else {
        return;
    };
    let nuts = stage.pictures(Part::Nut, 0..16, false);
    let gears = stage.pictures(Part::Gear, 0..16, false);
    stage.samples(32);
    let browser = stage.browser();

    // From nothing: two classes, ten labels each.
    browser.go("#/overview");
    browser.until("document.querySelector('.next').innerText === 'Name the first class.'", "what to do first");
    browser.click_button("Begin");
    name(&browser, "nut");
    choose(&browser, &nuts[..10]);
    name(&browser, "gear");
    choose(&browser, &gears[..10]);
    stage.until("the labels are stored", || (labels(&stage, "nut") + labels(&stage, "gear") == 20).then_some(()));
    browser.picture("wizard");

    // Train; the gate speaks, and the page says the same as the broker.
    browser.click_button("Train now");
    let first = event(&mut ears, "promoted");
    assert_eq!(first["head"]["version"], 1);
    browser.until("document.body.innerText.includes('See it answer')", "the first answers");
    browser.picture("answers");
    browser.go("#/training");
    browser.until("document.querySelector('.place').innerText.includes('in service')", "the head in service");
    let reason = first["reason"].as_str().unwrap();
    browser.until(&format!("document.body.innerText.includes({})", json!(reason)), "the gate's reason");

    // A live prediction is right, and seen within a moment.
    browser.go("#/overview");
    let new = stage.pictures(Part::Nut, 16..17, false).remove(0);
    let seen = browser.until(
        &format!("document.querySelector(\".strip [data-key='{}']\")?.innerText", &new[..16]),
        "the live prediction",
    );
    let heard = ears.wait("prediction", "of the new image", |said| said["image"] == json!(new)).json;
    assert_eq!(heard["label"], "nut");
    assert!(seen.as_str().unwrap().starts_with("nut"), "{seen}");

    correct_a_label(&stage, &browser, &gears[10]);
    roll_back_the_second_head(&stage, &browser, &mut ears);

    // Everybody is renamed, and it is taken back.
    stage.good("POST", "relabel", Some(&json!({ "from": "gear", "to": "cog" })));
    browser.go("#/samples");
    browser.until("document.querySelector('.place').innerText.includes('cog')", "the new name");
    stage.good("POST", "undo", Some(&json!({})));
    assert_eq!(labels(&stage, "cog"), 0);

    change_a_setting(&browser, &mut ears);
    browser.is_clean("at the end");
    browser.close();
}

/// One key an image: a wrong label, undone, done again, and put right.
fn correct_a_label(stage: &Stage, browser: &Browser, image: &str) {
    let label = || {
        let list = stage.good("GET", "samples?limit=1000", None);
        let entry = list.as_array().unwrap().iter().find(|entry| entry["image"] == json!(image)).cloned().unwrap();
        entry["label"].as_str().map(str::to_owned)
    };
    browser.go(&format!("#/label?queue=one&image={}", &image[..16]));
    browser.until("document.querySelector('.place').innerText.includes('nut')", "the classes");
    browser.press(&["1"]);
    let wrong = stage.until("the label is stored", label);
    browser.press(&["u"]);
    stage.until("undo takes it back", || label().is_none().then_some(()));
    browser.press(&["Ctrl+Shift+Z"]);
    stage.until("redo gives it again", || (label().as_ref() == Some(&wrong)).then_some(()));
    browser.go(&format!("#/label?queue=class&class={wrong}"));
    browser.go(&format!("#/label?queue=one&image={}", &image[..16]));
    browser.press(&["2"]);
    stage.until("the other class is stored", || label().is_some_and(|label| label != wrong).then_some(()));
}

/// A second head, put in service by hand where the gate refuses it, and the first one back again.
fn roll_back_the_second_head(stage: &Stage, browser: &Browser, ears: &mut Listener) {
    browser.go("#/training");
    browser.press(&["t"]);
    browser.click_button("Train");
    ears.wait("train/result", "the second training", |said| said["training"] == 2);
    if stage.good("GET", "heads", None)[1]["status"] != "champion" {
        browser.click_button("Promote head 2");
        browser.click_button("Promote");
        ears.wait("event", "head 2 promoted", |said| said["event_type"] == "promoted" && said["head"]["version"] == 2);
    }
    browser.until("document.querySelector('.heads tbody').innerText.match(/^2\\s[^]*?in service/)", "head 2 serves");
    browser.click_button("Roll back");
    browser.until("document.querySelector('dialog[open]')", "the question");
    browser.value("document.querySelector('dialog[open] button[value=yes]').click()");
    let back = event(ears, "rolled_back");
    assert_eq!((&back["head"]["version"], &back["from"]["version"]), (&json!(1), &json!(2)));
    browser.until("document.querySelector('.heads tbody').innerText.match(/1\\s[^]*in service/)", "head 1 serves");
}

/// A setting, with its preview; the broker hears that it is in force.
fn change_a_setting(browser: &Browser, ears: &mut Listener) {
    browser.go("#/system?view=settings");
    let field = "[...document.querySelectorAll('.setting')].find((one) => one.querySelector('label')?.textContent.includes('top_k'))?.querySelector('input')";
    browser.until(field, "the field");
    browser.value(&format!("({field}.focus(), {field}.select(), 0)"));
    browser.type_text("5");
    browser.click_button("Preview");
    browser.click_button("Apply");
    let said = ears.wait("config/reported", "the setting", |said| said["applied"] == json!(["prediction.top_k"])).json;
    assert_eq!(said["effective"]["prediction"]["top_k"], 5);
    browser.until("document.querySelector('.place').innerText.toLowerCase().includes('trial')", "it is on trial");
}
