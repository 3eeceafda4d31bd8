//! What a daemon costs at which nothing happens.

use std::time::Duration;

use crate::daemon::{Home, Listener};
use crate::mosquitto::Mosquitto;

/// What is said once comes within this time after a start.
const SETTLED: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_mins(2);

/// Wake-ups and processor time of a daemon at which nothing happens.
pub fn measure() {
    let Some(broker) = Mosquitto::start() else { return };
    let more = "training: { schedule: null }\nbackbone: { model: tiny-test }\nhttp: { listen: null }";
    let homes = [0, 1].map(|_| Home::new(env!("CARGO_BIN_EXE_edgetuned"), broker.port, more));
    homes[1].configure("mqtt: { url: null }");
    let mut ears = Listener::new(broker.port);
    let daemons = homes.each_ref().map(Home::start);
    ears.wait("status", "online", |status| status == "online");
    drop(ears);
    std::thread::sleep(SETTLED);
    let now = || daemons.each_ref().map(|daemon| (daemon.wake_ups(), daemon.cpu_seconds()));
    let before = now();
    std::thread::sleep(IDLE);
    for (what, (before, after)) in ["with a broker", "without one"].into_iter().zip(before.into_iter().zip(now())) {
        let wake_ups = (after.0 - before.0) as f64 / IDLE.as_secs_f64();
        let processor = (after.1 - before.1) * 1e3 * 60.0 / IDLE.as_secs_f64();
        println!(
            "idle {what}: {wake_ups:.2} wake-ups a second (bar: 0.5), {processor:.0} ms of processor time a minute"
        );
    }
}
