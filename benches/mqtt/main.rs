//! The cost of publishing every prediction durably: pictures a second through the whole daemon, and messages a second
//! through outbox and link alone, beside a plain client that keeps nothing.
//!
//! `cargo bench --bench mqtt` needs mosquitto. The bar is 200 predictions a second, sustained. The pictures are 16 x 16
//! pixels and the backbone is `tiny-test`, so that neither hides the rest.

#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../../tests/support/mosquitto.rs"]
mod mosquitto;
#[path = "../../tests/support/skip.rs"]
mod skip;

mod alone;
mod whole;

use std::error::Error;
use std::fs;

use mosquitto::Mosquitto;

fn main() -> Result<(), Box<dyn Error>> {
    if Mosquitto::start().is_none() {
        return Ok(());
    }
    whole::measure()?;
    alone::measure()
}

/// Seconds of processor time that this process used so far.
fn own_cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = numbers.skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / 100.0)
}
