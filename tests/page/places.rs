//! Every place, on every screen: the rules of accessibility, the policy, no request to anybody else.

use serde_json::json;

use crate::browser::{DESK, ENLARGED, PHONE, Screen};
use crate::camera::Part;
use crate::stage::{Stage, axe};

/// Every place, with what it shows.
pub const PLACES: [&str; 6] = ["overview", "label", "samples", "training", "map", "system"];

#[test]
fn every_place_is_accessible_and_asks_nobody_else() {
    let Some(stage) = Stage::set("training: { schedule: null, min_new_labels: 1000000 }") else { return };
    for part in [Part::Nut, Part::Gear] {
        stage.pictures(part, 0..8, true);
        stage.pictures(part, 8..12, false);
    }
    stage.samples(24);
    stage.train();
    let rules = axe();
    let browser = stage.browser();
    for screen in [DESK, PHONE, Screen { dark: true, ..DESK }, Screen { dark: true, ..PHONE }, ENLARGED] {
        browser.look(screen);
        for place in PLACES {
            let what = format!("{place} at {screen:?}");
            browser.go(&format!("#/{place}"));
            browser.until("edgetuned.live.state === 'open'", "the stream of messages");
            if let Some(rules) = &rules {
                assert_eq!(browser.faults(rules), json!([]), "{what}");
            }
            browser.is_clean(&what);
            browser.picture(&format!("{place}-{}{}", screen.width, if screen.dark { "-dark" } else { "" }));
        }
    }
    browser.close();
}
