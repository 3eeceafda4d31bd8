//! A folder that is full when the daemon first sees it: memory stays bounded, what arrives does not wait for it, and a
//! crash in the middle costs the few images in hand.
//!
//! `make backlog` plays 100,000 images, the ordinary tests 4,000; the pictures are tiny and so is the backbone, since the
//! queues are under test. `BACKLOG_SEED=17` draws other ones.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/skip.rs"]
mod skip;

use std::fs::{self, File};
use std::io::Cursor;
use std::time::{Duration, Instant, SystemTime};

use daemon::{Daemon, Home, Listener};
use edgetuned::words::SampleId;
use image::{ImageFormat, RgbImage};
use mosquitto::Mosquitto;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

const SETTINGS: &str = "training: { schedule: null, min_new_labels: 1000000 }\nbackbone: { model: tiny-test }";

/// An image or a label that comes in the middle of a backlog is answered within this.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A file counts as old when it changed longer ago than this: nobody awaits its prediction.
const AGE: Duration = Duration::from_hours(1);

#[test]
fn four_thousand_files_at_the_start_hold_nothing_up_and_are_done_once() {
    play(4_000, 48 * 1024);
}

#[test]
#[ignore = "takes minutes: make backlog"]
fn a_hundred_thousand_files_at_the_start_hold_nothing_up_and_are_done_once() {
    // About 100 bytes of the catalogue, and of what waits for the broker, for each sample.
    play(100_000, 64 * 1024);
}

/// `growth_max_kib`: so much more memory than before its first image may the daemon take.
fn play(count: u64, growth_max_kib: u64) {
    let seed = std::env::var("BACKLOG_SEED").map_or(1, |seed| seed.parse().expect("BACKLOG_SEED is a number"));
    println!("BACKLOG_SEED={seed}");
    let Some(broker) = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n") else { return };
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), broker.port, SETTINGS);
    let mut ears = Listener::new(broker.port);
    let mut daemon = home.start();
    ears.wait("health", "there", |_| true);
    let before = daemon.resident_kib();
    daemon.stop(Duration::from_secs(10));

    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let hour_ago = SystemTime::now() - AGE;
    for number in 0..count {
        let path = home.put(&format!("{number:06}.png"), &picture(&mut rng));
        File::options().write(true).open(path).unwrap().set_modified(hour_ago).unwrap();
    }
    ears.forget();
    let started = Instant::now();
    let mut daemon = home.start();
    let mut peak = 0;
    wait_for(count / 8, &mut ears, &daemon, &mut peak);

    // Late in the order of names.
    let (bytes, at) = (picture(&mut rng), Instant::now());
    let path = home.put("zz.png", &bytes);
    ears.prediction(&path);
    let image = at.elapsed();
    let at = Instant::now();
    let label = json!({"transaction": "label", "items": [{"image": SampleId::of(&bytes), "label": "nut"}]});
    ears.send("request/label", &label);
    assert_eq!(ears.answer("label", "label")["status"], "ok");
    let label = at.elapsed();
    let samples = status(&mut ears, "middle");
    assert!(samples < count, "the backlog of {count} was over before the image and the label came");
    assert!(image < ANSWER_MAX && label < ANSWER_MAX, "the image took {image:?}, the label {label:?}");

    wait_for(count / 2, &mut ears, &daemon, &mut peak);
    let until_cut = started.elapsed();
    daemon.kill();
    ears.forget();
    let again = Instant::now();
    daemon = home.start();
    ears.wait("health", "there again", |_| true);
    let kept = status(&mut ears, "again");
    assert!(kept >= count / 2, "{kept} samples are left after the power cut");
    wait_for(count + 1, &mut ears, &daemon, &mut peak);
    let took = until_cut + again.elapsed();
    // Those before the cut were not read again.
    let handled = ears.ask("status", "end")["data"]["images_total"].as_u64().unwrap();
    assert!(handled <= count + 1 - count / 2, "{handled} of {count} were read after the cut");
    daemon.stop(Duration::from_secs(10));
    let speed = count as f64 / took.as_secs_f64();
    println!(
        "{count} files in {took:.1?}, {speed:.0} a second; a new image was predicted after {image:.1?}, a label stored \
         after {label:.1?}; resident memory {before} KiB before, {peak} KiB at most"
    );
    assert!(peak <= before + growth_max_kib, "memory went from {before} KiB to {peak} KiB");
    assert_eq!(fs::read_dir(home.camera()).unwrap().count() as u64, count + 1, "no file was touched");
}

/// A picture of 32 x 32 coloured fields that nobody else has.
fn picture(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let fields: [[u8; 3]; 64] = std::array::from_fn(|_| [rng.random(), rng.random(), rng.random()]);
    let image = RgbImage::from_fn(32, 32, |x, y| image::Rgb(fields[(y / 4 * 8 + x / 4) as usize]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn status(ears: &mut Listener, transaction: &str) -> u64 {
    ears.ask("status", transaction)["data"]["samples"].as_u64().unwrap()
}

/// Waits until so many samples are stored, and keeps the highest memory seen in `peak`.
fn wait_for(samples: u64, ears: &mut Listener, daemon: &Daemon, peak: &mut u64) {
    let mut seen = 0;
    while seen < samples {
        let health = ears.wait("health", "going on", |health| health["samples"].as_u64().is_some_and(|now| now > seen));
        seen = health.json["samples"].as_u64().unwrap();
        *peak = (*peak).max(daemon.resident_kib());
        // A hundred thousand predictions need not be remembered here.
        ears.forget();
    }
}
