//! The whole daemon, from a file to the broker's subscriber.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::store::{Reader, SpacesInUse};

use crate::daemon::{Home, Listener};
use crate::mosquitto::Mosquitto;

/// Pictures of one measurement.
const PICTURES: u64 = 12_000;
/// A second, where they come evenly; the bar.
const EVENLY: u64 = 200;

/// What one measurement gave.
struct Measured {
    per_second: f64,
    cpu_us: f64,
}

pub fn measure() -> Result<(), Box<dyn Error>> {
    println!("the whole daemon, {PICTURES} pictures of 16 x 16 pixels, tiny-test");
    let evenly = with_broker(Some(EVENLY))?;
    let flood = with_broker(None)?;
    let silent = without_broker()?;
    println!(
        "  at {EVENLY}/s: {:.1} predictions/s heard (bar: {EVENLY}), {:.0} us of processor each",
        evenly.per_second, evenly.cpu_us
    );
    println!("  as fast as it goes: {:.0} predictions/s heard, {:.0} us each", flood.per_second, flood.cpu_us);
    println!("  the same without MQTT: {:.0} pictures/s, {:.0} us each", silent.per_second, silent.cpu_us);
    println!("  so MQTT adds {:.0} us of processor to a prediction", flood.cpu_us - silent.cpu_us);
    Ok(())
}

fn with_broker(rate: Option<u64>) -> Result<Measured, Box<dyn Error>> {
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_queued_messages 0\n").ok_or("mosquitto")?;
    let home = home(broker.port);
    let mut ears = Listener::new(broker.port);
    let mut daemon = home.start();
    ears.wait("status", "online", |status| status == "online");
    let staged = stage(&home)?;
    let before = daemon.cpu_seconds();
    let started = Instant::now();
    let mut heard = 0;
    let mut last = started;
    let mut listen = |ears: &mut Listener, until: Instant| {
        ears.listen(until);
        let messages = ears.take("prediction");
        heard += messages.len() as u64;
        last = messages.last().map_or(last, |message| message.at);
        heard
    };
    for (number, path) in (0_u32..).zip(staged) {
        if let Some(rate) = rate {
            let due = started + Duration::from_secs(1) * number / u32::try_from(rate)?;
            if number % 20 == 0 {
                listen(&mut ears, due);
            } else {
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        }
        arrive(&home, &path)?;
    }
    let backlog = PICTURES - listen(&mut ears, Instant::now());
    while listen(&mut ears, Instant::now() + Duration::from_millis(100)) < PICTURES {
        if started.elapsed() > Duration::from_mins(5) {
            return Err("not every prediction is heard after five minutes".into());
        }
    }
    let cpu = daemon.cpu_seconds() - before;
    let status = ears.ask("status", "at the end");
    println!("  {backlog} to go when the last picture came, {} in the outbox at the end", status["data"]["spooled"]);
    daemon.stop(Duration::from_secs(10));
    Ok(measured(last.duration_since(started), cpu))
}

fn without_broker() -> Result<Measured, Box<dyn Error>> {
    let home = home(1);
    home.configure("mqtt: { url: null }\n");
    let mut daemon = home.start();
    let reader = loop {
        match Reader::open(&home.state(), SpacesInUse::default()) {
            Ok(reader) => break reader,
            Err(_) => thread::sleep(Duration::from_millis(50)),
        }
    };
    let staged = stage(&home)?;
    let before = daemon.cpu_seconds();
    let started = Instant::now();
    for path in staged {
        arrive(&home, &path)?;
    }
    while reader.counts()?.samples < PICTURES {
        thread::sleep(Duration::from_millis(100));
        if started.elapsed() > Duration::from_mins(5) {
            return Err("not every picture is stored after five minutes".into());
        }
    }
    let measured = measured(started.elapsed(), daemon.cpu_seconds() - before);
    daemon.stop(Duration::from_secs(10));
    Ok(measured)
}

fn measured(time: Duration, cpu_seconds: f64) -> Measured {
    let count = PICTURES as f64;
    Measured { per_second: count / time.as_secs_f64(), cpu_us: cpu_seconds * 1e6 / count }
}

fn home(port: u16) -> Home {
    let more = "training: { schedule: null, min_new_labels: 1000000 }\nbackbone: { model: tiny-test }";
    Home::new(env!("CARGO_BIN_EXE_edgetuned"), port, more)
}

/// Writes the pictures beside the watched folder.
fn stage(home: &Home) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut paths = Vec::new();
    for number in 0..PICTURES {
        let path = home.camera().with_file_name(format!("{number:05}.bmp"));
        fs::write(&path, picture(number))?;
        paths.push(path);
    }
    Ok(paths)
}

/// Moves one in, as a whole.
fn arrive(home: &Home, path: &PathBuf) -> Result<(), Box<dyn Error>> {
    Ok(fs::rename(path, home.camera().join(path.file_name().ok_or("a file has a name")?))?)
}

/// A BMP of 16 x 16 pixels that no other number gives.
fn picture(number: u64) -> Vec<u8> {
    const SIDE: u32 = 16;
    const PIXELS: u32 = SIDE * SIDE * 3;
    let mut bytes = b"BM".to_vec();
    for field in [54 + PIXELS, 0, 54, 40, SIDE, SIDE] {
        bytes.extend(field.to_le_bytes());
    }
    // One plane of 24 bits, and no compression.
    bytes.extend([1, 0, 24, 0]);
    for field in [0, PIXELS, 2_835, 2_835, 0, 0] {
        bytes.extend(u32::to_le_bytes(field));
    }
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..PIXELS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.push((state >> 32) as u8);
    }
    bytes
}
