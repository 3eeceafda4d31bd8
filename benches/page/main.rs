//! How light and quick the page is, with the door and the metrics behind it: `make page-bench`.
//!
//! `cargo bench --bench page [-- PART…]` drives Chromium (`chromium-driver`) at the built program with the backbone
//! `tiny-test` and prints a table: bar, figure, reached or missed, and a peer's figure where there is one. Parts are
//! `weight`, `acts`, `store`, `map`, `idle` and `flood`; all of them without an argument. Nothing fails because it is
//! slow: a bar that is missed is printed as missed. What else runs on the machine is in the figures, so its load is
//! printed, too.
#![allow(clippy::unwrap_used, reason = "what cannot be measured is not, and says so")]

#[path = "../../tests/page/acts.rs"]
mod acts;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/page/browser.rs"]
mod browser;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/mosquitto.rs"]
mod mosquitto;
#[path = "../../tests/support/skip.rs"]
mod skip;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/page/stage.rs"]
mod stage;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/wheels.rs"]
mod wheels;

mod bars;
mod client;
mod flood;
mod idle;
mod keys;
mod labels;
mod map;
mod store;
mod weight;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use bars::Bars;

/// A part of the measurement.
type Part = (&'static str, fn(&mut Bars));

const PARTS: [Part; 6] = [
    ("weight", weight::measure),
    ("acts", keys::measure),
    ("store", store::measure),
    ("map", map::measure),
    ("idle", idle::measure),
    ("flood", flood::measure),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if browser::Driver::start().is_none() {
        println!("not measured: there is no chromedriver (apt-get install chromium chromium-driver)");
        return;
    }
    let started = Instant::now();
    println!("load before: {}", load());
    let mut bars = Bars::default();
    for (name, measure) in PARTS {
        if !wanted.is_empty() && !wanted.iter().any(|one| one == name) {
            continue;
        }
        eprintln!("{name}, after {:.0} s", started.elapsed().as_secs_f64());
        if catch_unwind(AssertUnwindSafe(|| measure(&mut bars))).is_err() {
            bars.not_measured(name);
        }
    }
    println!("load after: {}, in {:.0} s\n\n{bars}", load(), started.elapsed().as_secs_f64());
}

/// What waits for the processors, in the mean of one, five and fifteen minutes.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{} on {processors} processors", text.split(' ').take(3).collect::<Vec<_>>().join(" "))
}
