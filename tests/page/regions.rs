//! A region that is drawn on the latest picture by the mouse, previewed, and in force.

use serde_json::{Value, json};

use crate::camera::Part;
use crate::stage::Stage;

#[test]
fn a_region_is_drawn_by_the_mouse_and_its_corner_is_moved() {
    let Some(stage) = Stage::set("training: { schedule: null, min_new_labels: 1000000 }") else { return };
    stage.pictures(Part::Nut, 0..2, false);
    stage.samples(2);
    let browser = stage.browser();
    browser.go("#/system?view=regions");
    browser.until("document.querySelector('.scene img')?.naturalWidth", "the latest picture");
    browser.drag(".scene", [0.2, 0.1], [0.7, 0.6]);
    let numbers = || {
        let text = browser.value("document.getElementById('region-numbers').value");
        let numbers = text.as_str().unwrap().split([',', ' ']).filter(|part| !part.is_empty());
        numbers.map(|number| number.parse().unwrap()).collect::<Vec<f64>>()
    };
    let near = |found: &[f64], wanted: [f64; 4]| {
        found.len() == 4 && found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 0.01)
    };
    assert!(near(&numbers(), [0.2, 0.1, 0.7, 0.6]), "{:?}", numbers());
    browser.picture("region");
    // The lower right corner goes half a scene down and a little to the left.
    let corner =
        "[...document.querySelectorAll('.corner')].findIndex((one) => /70.*left.*60.*top/.test(one.ariaLabel))";
    let corner = browser.until(&format!("{corner} + 1"), "the corner");
    browser.drag(&format!(".corner:nth-child({corner})"), [0.5, 0.5], [0.5, 0.5]);
    assert!(near(&numbers(), [0.2, 0.1, 0.7, 0.6]), "a click moves nothing: {:?}", numbers());
    browser.value(&format!("(document.querySelector('.corner:nth-child({corner})').dataset.test = 'it', 0)"));
    let size = browser
        .value("(({ width, height }) => [width, height])(document.querySelector('.scene').getBoundingClientRect())");
    let own = browser.value(
        "(({ width, height }) => [width, height])(document.querySelector('[data-test=it]').getBoundingClientRect())",
    );
    let of = |value: &Value, at: usize| value[at].as_f64().unwrap();
    let to = [0.5 - 0.1 * of(&size, 0) / of(&own, 0), 0.5 + 0.3 * of(&size, 1) / of(&own, 1)];
    browser.drag("[data-test=it]", [0.5, 0.5], to);
    assert!(near(&numbers(), [0.2, 0.1, 0.6, 0.9]), "{:?}", numbers());

    browser.click_button("Preview");
    browser.click_button("Apply");
    stage.until("the region is in force", || {
        let tasks = stage.ask("GET", "config", None)?["data"]["effective"]["tasks"].take();
        let text = tasks.to_string();
        let region = tasks[0]["from"][0]["region"].clone();
        let found: Vec<f64> = region.as_array()?.iter().filter_map(Value::as_f64).collect();
        assert!(near(&found, [0.2, 0.1, 0.6, 0.9]), "{text}");
        (tasks[0]["id"] == json!("default")).then_some(())
    });
    browser.until("document.querySelector('.place').innerText.toLowerCase().includes('trial')", "it is on trial");
    browser.is_clean("at the end");
    browser.close();
}
