//! The first place: how many bytes and requests, and how soon it is there.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bars::{Bars, Unit, quantile};
use crate::camera::Part;
use crate::client::Client;
use crate::stage::Stage;

/// Each in a browser of its own, which has kept nothing.
const TIMES: usize = 5;

/// Runs before the page's own scripts and notes when the place says that it is filled.
const WITNESS: &str = "const look = () => document.querySelector('.place')?.dataset.ready \
    ? (globalThis.filledAt = performance.now()) : requestAnimationFrame(look); look();";

pub fn measure(bars: &mut Bars) {
    let stage = Stage::set("training: { schedule: null, min_new_labels: 1000000 }").unwrap();
    for part in [Part::Nut, Part::Gear] {
        stage.pictures(part, 0..12, true);
    }
    stage.samples(24);
    stage.train();
    let (mut painted, mut filled, mut files) = (Vec::new(), Vec::new(), Value::Null);
    for _ in 0..TIMES {
        let browser = stage.browser();
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WITNESS }));
        browser.go("#/overview");
        browser.until("globalThis.filledAt", "the place is filled");
        let paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
        painted.push(browser.until(paint, "something is painted").as_f64().unwrap());
        filled.push(browser.value("globalThis.filledAt").as_f64().unwrap());
        files = browser.value(
            "[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]\
             .map(({ name }) => new URL(name).pathname)",
        );
        browser.close();
    }
    let names: Vec<&str> = files.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let (asked, own): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.starts_with("/api/"));
    let mut client = Client::open(stage.port);
    let bodies: Vec<Vec<u8>> = own.iter().map(|name| client.get(name, &[]).body).collect();
    let raw: usize = bodies.iter().map(Vec::len).sum();
    bars.most("first place, its files, raw", Unit::Kb, raw as f64 / 1e3, 150.0, "");
    if let Some(packed) = bodies.iter().map(|body| gzipped(body)).sum::<Option<usize>>() {
        bars.most("the same by gzip -9 (the door sends them as they are)", Unit::Kb, packed as f64 / 1e3, 60.0, "");
    }
    let beside = format!("and {} of the API", asked.len());
    bars.most("requests for its files", Unit::Count, own.len() as f64, 8.0, &beside);
    let median = |values: &[f64]| quantile(values, 0.5);
    bars.most("first contentful paint, median of 5", Unit::Ms, median(&painted), 500.0, "");
    bars.most("Overview filled, median of 5", Unit::Ms, median(&filled), 1_000.0, "");
    let openapi = std::fs::metadata(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json")).unwrap().len();
    let all = (folder("web") + openapi) as f64 / 1e3;
    let beside = format!("{:.0} KB of it `openapi.json`; the code behind them is not counted", openapi as f64 / 1e3);
    bars.most("files of page and API in the program", Unit::Kb, all, 500.0, &beside);
    let program = std::fs::metadata(env!("CARGO_BIN_EXE_edgetuned")).unwrap().len();
    bars.known("the program", Unit::Kb, program as f64 / 1e3, "");
}

/// How many bytes gzip makes of it; `None` where there is no gzip.
fn gzipped(bytes: &[u8]) -> Option<usize> {
    let mut child =
        Command::new("gzip").args(["-9", "-c"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut stdin = child.stdin.take()?;
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(bytes));
        child.wait_with_output()
    });
    Some(output.ok()?.stdout.len())
}

/// Bytes of the files below a folder of the repository, tests left out.
fn folder(name: &str) -> u64 {
    let entries = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap().map(Result::unwrap);
    let sizes = entries.map(|entry| {
        let below = format!("{name}/{}", entry.file_name().display());
        match entry.metadata().unwrap() {
            found if !found.is_dir() => found.len(),
            _ if below == "web/tests" => 0,
            _ => folder(&below),
        }
    });
    sizes.sum()
}
