//! A link that fails in every way, hundreds of times, while the daemon predicts.
//!
//! Every image's prediction must be acknowledged by a broker under one `seq`, and the listener at the broker must have
//! heard it. One exception is fair: what a broker acknowledged in the moment before it was killed, and took with it.
//! Such messages are counted, and each must have been acknowledged right before a kill; a device cannot do better.
//!
//! `make link-faults` plays 500 faults and 2,000 images, the ordinary tests 40 and 200. `LINK_SEED=17` plays another
//! script. Pauses are part of the script and prove nothing.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/proxy.rs"]
mod proxy;

mod faults;
#[path = "../support/skip.rs"]
mod skip;
mod verdict;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use camera::{Camera, Light, Part};
use daemon::{Home, Listener, PATIENCE};
use edgetuned::words::SampleId;
use faults::{Fault, Stage};
use mosquitto::Mosquitto;
use proxy::Proxy;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// A daemon may hold so much more at the end than half-way: by then the caches of its database are full.
const GROWTH_MAX_KIB: u64 = 4 * 1024;

#[test]
fn forty_faults_lose_nothing_and_double_nothing() {
    play(40, 200);
}

#[test]
#[ignore = "takes minutes: make link-faults"]
fn five_hundred_faults_lose_nothing_and_double_nothing() {
    play(500, 2_000);
}

fn play(faults: u64, images: u64) {
    let seed = std::env::var("LINK_SEED").map_or(1, |seed| seed.parse().expect("LINK_SEED is a number"));
    println!("LINK_SEED={seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let lines = "allow_anonymous true\npersistence true\npersistence_location {folder}/\nmax_queued_messages 100000\n";
    let Some(broker) = Mosquitto::start_with(lines) else { return };
    let proxy = Proxy::to(broker.port);
    let more = "training: { schedule: null, min_new_labels: 1000000 }\nbackbone: { model: tiny-test }";
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), proxy.port, more);
    home.configure("mqtt: { reconnect_max: 200ms }\n");
    let ears = Listener::new(broker.port);
    let mut stage = Stage { broker, proxy, ears, deaths: Vec::new() };
    let mut daemon = home.start();
    stage.ears.wait("status", "online", |status| status == "online");

    let begun = Instant::now();
    let mut taken = BTreeMap::new();
    let mut put = |from: u64, to: u64| {
        for index in from..to {
            let bytes = Camera::new(7).with_size(160, 120).jpeg(
                Part::ALL[index as usize % Part::ALL.len()],
                index,
                &Light::DAY,
            );
            taken.insert(SampleId::of(&bytes).to_string(), index);
            home.put(&format!("{index}.jpg"), &bytes);
        }
    };
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    let mut resident = Vec::new();
    for round in 0..faults {
        put(images * round / faults, images * (round + 1) / faults);
        stage.ears.send("request/status", &json!({"transaction": format!("t{round}")}));
        stage.ears.listen(Instant::now() + Duration::from_millis(rng.random_range(0..120)));
        let fault = Fault::draw(&mut rng);
        *kinds.entry(fault.name()).or_default() += 1;
        let links = stage.proxy.links();
        stage.strike(fault);
        // Most faults meet a link at work, some one that is just coming up.
        if fault.cuts() && rng.random_bool(0.8) {
            assert!(stage.proxy.wait_for_link(links, PATIENCE), "no link after {fault:?}");
        }
        if (round + 1) % (faults / 10) == 0 {
            resident.push(daemon.resident_kib());
        }
    }
    let struck = begun.elapsed();
    stage.proxy.open();
    stage.settle(images);
    for round in 0..faults {
        stage.answered(&format!("t{round}"));
    }
    resident.push(daemon.resident_kib());
    daemon.stop(Duration::from_secs(10));

    println!("{kinds:?} in {:.0} s, {} links", struck.as_secs_f64(), stage.proxy.links());
    println!("resident memory, KiB, after each tenth and at the end: {resident:?}");
    let predictions = stage.ears.heard("prediction");
    let verdict = verdict::judge(&taken, &predictions, &stage.proxy.acknowledged(), &stage.deaths);
    println!("{verdict}");
    assert!(stage.proxy.links() > faults / 3, "the faults did break links");
    assert!(verdict.faults.is_empty(), "LINK_SEED={seed}: {:#?}", verdict.faults);
    assert!(resident[10] < resident[4] + GROWTH_MAX_KIB, "LINK_SEED={seed}: memory grew");
}
