//! The map of 20,000 generated samples, drawn by the page's own modules.

use crate::bars::{Bars, Unit, numbers, p95};
use crate::camera::Part;
use crate::stage::Stage;

/// Makes samples and places; the page's tests use the same.
const GENERATED: &str = include_str!("../../web/tests/generated.js");

pub fn measure(bars: &mut Bars) {
    let stage = Stage::set("training: { schedule: null, min_new_labels: 1000000 }").unwrap();
    stage.pictures(Part::Nut, 0..6, true);
    stage.samples(6);
    let browser = stage.browser();
    browser.go("#/map");
    // The program has no files of tests in it: this one is a function here instead of a module there.
    let (import, body) = GENERATED.split_once("import { NONE, Samples } from \"../columns.js\";").unwrap();
    let body = format!("{import}{}", body.replace("export function", "function"));
    let found = browser.value(&format!(
        "await (async () => {{ \
         const main = document.querySelector('script[type=module]').src; \
         const {{ NONE, Samples }} = await import(main.replace('main.js', 'columns.js'));\n{body}\n\
         return ({})(samples, places); }})()",
        include_str!("map.js")
    ));
    let figure = |name: &str| found[name].as_f64().unwrap();
    bars.most("Map of 20,000: first draw", Unit::Ms, figure("first"), 100.0, "");
    bars.most("frame while it is moved, p95", Unit::Ms, p95(&numbers(&found["frames"])), 80.0, "");
    let beside = format!("{:.0} selected, drawn again", figure("selected"));
    bars.most("lasso of 60 corners", Unit::Ms, figure("lasso"), 200.0, &beside);
    browser.close();
}
