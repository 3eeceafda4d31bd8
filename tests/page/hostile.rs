//! File names and labels that would like to be more than text.

use serde_json::{Value, json};

use crate::browser::{DESK, PHONE};
use crate::camera::{Camera, Light, Part};
use crate::places::PLACES;
use crate::stage::Stage;

/// Each says `hacked` where it gets to run.
const TEXTS: [&str; 5] = [
    "<img src=x onerror=globalThis.hacked=1>",
    "\"><script>globalThis.hacked=1<\u{2044}script>",
    "javascript:globalThis.hacked=1",
    "\u{202e}gpj.\u{2066}nut\u{2069} ${globalThis.hacked=1} {{hacked=1}}",
    "🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩🔩",
];

#[test]
fn names_and_labels_are_text_and_nothing_else() {
    let Some(stage) = Stage::set("training: { schedule: null, min_new_labels: 1000000 }") else { return };
    let mut items = Vec::new();
    for (number, text) in TEXTS.iter().enumerate() {
        for copy in 0..4 {
            let bytes = Camera::new(7).jpeg(Part::ALL[number], copy, &Light::DAY);
            stage.home.put(&format!("{copy}{}.jpg", text.replace('/', "\u{2044}")), &bytes);
            items.push(json!({ "image": edgetuned::words::SampleId::of(&bytes).to_string(), "label": text }));
        }
    }
    stage.samples(items.len() as u64);
    stage.good("POST", "label", Some(&json!({ "items": items[..16] })));
    stage.train();
    let browser = stage.browser();
    for screen in [DESK, PHONE] {
        browser.look(screen);
        for place in PLACES {
            browser.go(&format!("#/{place}"));
            browser.until("edgetuned.live.state === 'open'", "the stream of messages");
            browser.is_clean(place);
            assert_eq!(browser.value("globalThis.hacked ?? null"), Value::Null, "{place}");
            assert_eq!(
                browser.value("document.querySelectorAll('img[src=x], main script').length"),
                json!(0),
                "{place}"
            );
        }
    }
    browser.go("#/label?queue=unlabelled");
    let classes = browser.text(".classes, main");
    for text in &TEXTS[..4] {
        assert!(classes.contains(text), "{text} is a class: {classes}");
    }
    browser.close();
}
