//! Half an hour of everything at once, after which nothing may have grown.
//!
//! The built daemon gets five images a second, labels and their corrections, an order to train every minute, and a link
//! that fails every twenty seconds. What has a bound fills up in the first third: its quota is so small that samples have to
//! go early on, labels come for most of them, and trainings often enough for all the heads that are kept. Every second it
//! is measured from outside. At the end the trend of each measure over the last two thirds is judged by a slope that single
//! peaks do not sway ([`trend`]), and the daemon must have predicted every image.
//!
//! Before that it is left alone for a minute: how often it wakes up, and what that costs.
//!
//! `make soak` plays 30 minutes and writes `docs/soak.svg`, with the figures beside it in a CSV file under `target/`;
//! `SOAK_MINUTES=60` plays more (with less the first third is too short to fill up), `SOAK_SEED=17` another script. Pauses are part of the script and prove nothing.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the test of the link, which uses all of it")]
#[path = "../link_faults/faults.rs"]
mod faults;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/proxy.rs"]
mod proxy;

mod measures;
mod plot;
mod report;
#[path = "../support/skip.rs"]
mod skip;
#[allow(dead_code, reason = "shared with benches, which use other parts of it")]
#[path = "../support/svg.rs"]
mod svg;
mod traffic;
mod trend;

use std::path::Path;
use std::time::{Duration, Instant};

use daemon::{Daemon, Home, Listener};
use faults::Stage;
use measures::{Measure, Process};
use mosquitto::Mosquitto;
use proxy::Proxy;
use report::{Alone, Report};
use traffic::Traffic;

/// MiB; reached within the third minute.
const QUOTA_MIB: u64 = 8;
/// How long a daemon is left alone.
const ALONE: Duration = Duration::from_mins(1);

#[test]
#[ignore = "takes half an hour: make soak"]
fn half_an_hour_of_everything_leaves_nothing_larger() {
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
    };
    let (minutes, seed) = (number("SOAK_MINUTES", 30), number("SOAK_SEED", 1));
    println!("SOAK_MINUTES={minutes} SOAK_SEED={seed}");
    let lines = "allow_anonymous true\nmax_queued_messages 100000\n";
    let Some(broker) = Mosquitto::start_with(lines) else { return };
    let proxy = Proxy::to(broker.port);
    let more = "training: { schedule: null, min_new_labels: 1000000, cooldown: 0s }";
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), proxy.port, more);
    // The statistics of 1,280 values would take most of the quota.
    home.configure(&format!(
        "backbone: {{ model: photo }}\nstore: {{ quota_mb: {QUOTA_MIB}, precision: f32 }}\nmqtt: {{ reconnect_max: 2s }}\n"
    ));
    let ears = Listener::new(broker.port);
    let mut stage = Stage { broker, proxy, ears, deaths: Vec::new() };
    let mut daemon = home.start();
    stage.ears.wait("status", "online", |status| status == "online");

    let alone = left_alone(&daemon, &mut stage.ears);
    println!("{alone}");
    let time = Duration::from_mins(minutes);
    let mut traffic = Traffic::new(seed, time / 3);
    let measures = play(time, &daemon, &home, &mut stage, &mut traffic);
    stage.proxy.open();
    traffic.settle(&mut stage.ears);
    let status = stage.answered("after the soak")["data"].clone();
    daemon.stop(Duration::from_secs(10));

    let report = Report { alone, measures, done: traffic.done, status, links: stage.proxy.links() };
    report.write(Path::new(&std::env::var("SOAK_OUT").unwrap_or_else(|_| env!("CARGO_TARGET_TMPDIR").to_owned())));
    println!("{report}");
    let faults = report.faults();
    assert!(faults.is_empty(), "SOAK_SEED={seed}: {faults:#?}");
}

/// What a daemon costs that has nothing to do.
fn left_alone(daemon: &Daemon, ears: &mut Listener) -> Alone {
    // What follows a start is over by then.
    ears.listen(Instant::now() + Duration::from_secs(10));
    let (before, begun) = (Process::of(daemon.id()), Instant::now());
    ears.listen(begun + ALONE);
    Alone::between(&before, &Process::of(daemon.id()), begun.elapsed())
}

/// Plays the script for `time`, measuring once a second.
fn play(time: Duration, daemon: &Daemon, home: &Home, stage: &mut Stage, traffic: &mut Traffic) -> Vec<Measure> {
    let begun = Instant::now();
    let mut measures = Vec::new();
    let mut measured_at = Duration::ZERO;
    while begun.elapsed() < time {
        traffic.act(begun.elapsed(), home, stage);
        stage.ears.listen(begun + traffic.next_at().min(measured_at));
        traffic.hear(&mut stage.ears);
        let now = begun.elapsed();
        if now >= measured_at {
            measured_at = now + Duration::from_secs(1);
            measures.push(Measure::of(now, daemon.id(), &home.state(), traffic));
        }
    }
    measures
}
