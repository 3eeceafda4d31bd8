//! A camera that is off: its recorder saves the same "no signal" picture every second under a new name, one file in ten is
//! broken, and the latest 200 are kept. At the end of a day a file costs what the first ones did, and those that are gone
//! have left nothing behind.
//!
//! `make placeholder` plays 24 hours, 86,400 files, as fast as they are taken; the ordinary tests play 2,000. The pictures are
//! tiny and so is the backbone, since what is measured is everything else.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "support/mosquitto.rs"]
mod mosquitto;
#[path = "support/skip.rs"]
mod skip;

use std::collections::VecDeque;
use std::fs;
use std::io::Cursor;
use std::time::{Duration, Instant};

use daemon::{Home, Listener};
use image::{ImageFormat, Rgb, RgbImage};
use mosquitto::Mosquitto;
use rusqlite::{Connection, OpenFlags};

const SETTINGS: &str = "training: { schedule: null, min_new_labels: 1000000 }\nbackbone: { model: tiny-test }";

/// Files that the recorder keeps.
const KEPT: usize = 200;

/// Of so many files one is broken: cut off, and no picture at all, in turn.
const BROKEN: usize = 10;

/// Of so many files one is a real picture. Its prediction is awaited before the next ones are written, so that no file is
/// deleted before it was read.
const REAL: usize = 100;

/// Rows for files that are gone may wait to be deleted.
const ROWS_MAX: u64 = 3 * KEPT as u64;

/// A real picture is predicted within this.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A day at one file a second.
const DAY: usize = 86_400;

/// What the daemon takes, after a part of the files.
#[derive(Debug)]
struct Measures {
    /// Processor time of a file of this part, in milliseconds.
    cpu_ms: f64,
    /// Rows for files in the store.
    rows: u64,
    /// Resident memory, in KiB.
    resident: u64,
    /// The longest time in which a real picture of this part was predicted.
    slowest: Duration,
}

#[test]
fn files_that_are_gone_leave_no_rows_behind() {
    let Some(quarters) = play(2_000) else { return };
    assert!(quarters.iter().all(|quarter| quarter.rows <= ROWS_MAX), "{quarters:#?}");
}

#[test]
#[ignore = "takes minutes: make placeholder"]
fn after_a_day_of_the_same_picture_a_file_costs_what_the_first_ones_did() {
    let Some(quarters) = play(DAY) else { return };
    let [first, .., last] = &quarters;
    assert!(quarters.iter().all(|quarter| quarter.rows <= ROWS_MAX), "{quarters:#?}");
    assert!(quarters.iter().all(|quarter| quarter.slowest < ANSWER_MAX), "{quarters:#?}");
    assert!(last.cpu_ms <= 1.5 * first.cpu_ms, "{quarters:#?}");
    assert!(last.resident <= first.resident + 8 * 1024, "{quarters:#?}");
}

/// Writes so many files; what the daemon takes after each quarter of them. `None` without a broker.
fn play(count: usize) -> Option<[Measures; 4]> {
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n")?;
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), broker.port, SETTINGS);
    let mut ears = Listener::new(broker.port);
    let mut daemon = home.start();
    ears.wait("health", "there", |_| true);
    let blank = picture(0);
    let broken = [&blank[..blank.len() / 2], b"no picture at all"];
    let mut kept = VecDeque::new();
    let quarters = [0, 1, 2, 3].map(|quarter| {
        let (started, before, mut slowest) = (Instant::now(), daemon.cpu_seconds(), Duration::ZERO);
        for number in quarter * count / 4..(quarter + 1) * count / 4 {
            let name = format!("{number:05}.png");
            if number % REAL == REAL - 1 {
                let (path, at) = (home.put(&name, &picture(number)), Instant::now());
                ears.prediction(&path);
                slowest = slowest.max(at.elapsed());
                ears.forget();
                kept.push_back(path);
            } else if number % BROKEN == 0 {
                kept.push_back(home.put(&name, broken[number / BROKEN % 2]));
            } else {
                kept.push_back(home.put(&name, &blank));
            }
            while kept.len() > KEPT {
                fs::remove_file(kept.pop_front().unwrap()).unwrap();
            }
        }
        let cpu_ms = (daemon.cpu_seconds() - before) * 4_000.0 / count as f64;
        let measures = Measures { cpu_ms, rows: rows(&home), resident: daemon.resident_kib(), slowest };
        println!("quarter {} of {count} files, {:.0?}: {measures:?}", quarter + 1, started.elapsed());
        measures
    });
    let taken = ears.ask("status", "end")["data"]["images_total"].as_u64().unwrap();
    let pictures = (count - count / BROKEN) as u64;
    assert!(taken + REAL as u64 >= pictures, "{taken} of {pictures} pictures were taken before they were deleted");
    daemon.stop(Duration::from_secs(10));
    Some(quarters)
}

/// A picture that only this number has.
fn picture(number: usize) -> Vec<u8> {
    let bits = |x: u32, y: u32| number >> ((y / 8 * 4 + x / 8) % 16) & 1;
    let image = RgbImage::from_fn(32, 32, |x, y| Rgb([(x * 8) as u8, (y * 8) as u8, 255 * bits(x, y) as u8]));
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Rows for files in the store.
fn rows(home: &Home) -> u64 {
    let store =
        Connection::open_with_flags(home.state().join("edgetuned.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    store.query_row("select count(*) from files", [], |row| row.get(0)).unwrap()
}
