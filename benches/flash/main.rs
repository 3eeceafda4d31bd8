//! What the daemon writes to flash for an image, beside the bytes that are worth keeping: `make bench-flash`.
//!
//! `cargo bench --bench flash [-- PART…]` needs mosquitto, and takes a part's name or `name=IMAGESxSECONDS`. Parts are
//! `stream`, five images a second for two minutes; `slow`, one every ten seconds for ten minutes; both once more with
//! `-bare`, without thumbnails, and `-filled`, into a store of 20,000 samples. The daemon is the built program with
//! backbone `photo`, pictures are of the synthetic camera, 320 x 240.
//!
//! The state folder is an ext4 file system of its own on a loop device where this process may mount: sectors that were
//! written to the device, the journal of the file system included, are counted by the kernel. Otherwise only the
//! process's own `write_bytes` are to be had. With `strace` on the path, writes are told apart by file.
//! `EDGETUNED_BENCH_PROGRAM` names another build of the program to compare with.

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

mod device;
mod trace;
mod worth;

use std::error::Error;
use std::time::{Duration, Instant};

use camera::{Camera, Light, Part};
use daemon::{Home, Listener};
use device::Device;
use mosquitto::Mosquitto;
use trace::Trace;
use worth::Worth;

/// Names another build of the program, to compare with.
const PROGRAM: &str = "EDGETUNED_BENCH_PROGRAM";

/// How images come in one part of the measurement.
struct Pace {
    name: String,
    images: u64,
    every: Duration,
    thumbnails: bool,
    /// Samples that are stored before.
    filled: u64,
    /// How many times the bytes that are worth keeping may be written.
    bar: f64,
}

impl Pace {
    /// A part by its name, with other numbers where it says so.
    fn parse(word: &str) -> Option<Self> {
        let (name, numbers) = word.split_once('=').map_or((word, None), |(name, numbers)| (name, Some(numbers)));
        let is = |suffix| name.split('-').any(|part| part == suffix);
        let (mut images, mut seconds, bar) = if is("stream") { (600, 0.2, 8.0) } else { (60, 10.0, 16.0) };
        if let Some((other_images, other_seconds)) = numbers.and_then(|numbers| numbers.split_once('x')) {
            (images, seconds) = (other_images.parse().ok()?, other_seconds.parse().ok()?);
        }
        (is("stream") || is("slow")).then(|| Self {
            name: name.to_owned(),
            images,
            every: Duration::from_secs_f64(seconds),
            thumbnails: !is("bare"),
            filled: if is("filled") { 20_000 } else { 0 },
            bar,
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    if words.is_empty() {
        words =
            ["stream", "slow", "stream-bare", "slow-bare", "stream-filled", "slow-filled"].map(str::to_owned).into();
    }
    for word in words {
        let pace = Pace::parse(&word).ok_or_else(|| format!("{word} is no part; parts are stream and slow"))?;
        let Some(broker) = Mosquitto::start() else { return Ok(()) };
        measure(&pace, broker.port)?;
    }
    Ok(())
}

fn measure(pace: &Pace, port: u16) -> Result<(), Box<dyn Error>> {
    let program = std::env::var(PROGRAM).unwrap_or_else(|_| env!("CARGO_BIN_EXE_edgetuned").to_owned());
    let home = Home::new(&program, port, "training: { schedule: null }\nbackbone: { model: photo }");
    home.configure(&format!("store: {{ thumbnails: {} }}", pace.thumbnails));
    let device = Device::under(&home.state());
    if pace.filled > 0 {
        worth::fill(&home.state(), pace.filled, pace.thumbnails)?;
    }
    let mut ears = Listener::new(port);
    let mut daemon = home.start();
    ears.wait("status", "online", |status| status == "online");
    // The first image makes what every later one finds, and the first start what it finds to be done.
    put(&home, &mut ears, u64::MAX >> 32)?;
    daemon.stop(Duration::from_mins(1));
    ears.forget();
    let mut daemon = home.start();
    ears.wait("status", "online", |status| status == "online");

    let before = (device.written(), device::write_bytes(daemon.id())?);
    let trace = Trace::of(daemon.id());
    let started = Instant::now();
    let (mut messages, mut message_bytes) = (0_u32, 0);
    for index in 0..pace.images {
        let at = started + pace.every * index as u32;
        ears.listen(at);
        put(&home, &mut ears, index)?;
        for message in ears.news().iter().filter(|message| message.topic == "prediction") {
            messages += 1;
            message_bytes += message.topic.len() + message.json.to_string().len();
        }
    }
    // What is written later for these images counts, too.
    ears.listen(started + pace.every * pace.images as u32 + Duration::from_secs(2));
    let split = trace.map(Trace::end);
    device.sync();
    let after = (device.written(), device::write_bytes(daemon.id())?);
    daemon.stop(Duration::from_secs(30));
    let closed = device.written();

    let n = pace.images as f64;
    let worth = Worth::of(&home.state(), pace.images, message_bytes as f64 / f64::from(messages))?;
    println!(
        "{}: {} images, one every {:?}{}, {messages} predictions heard",
        pace.name,
        pace.images,
        pace.every,
        if pace.filled > 0 { format!(", into {} samples", pace.filled) } else { String::new() }
    );
    println!("  worth keeping: {worth}");
    let kib = |bytes: u64| bytes as f64 / n / 1024.0;
    let times = |bytes: u64| bytes as f64 / n / worth.bytes();
    let process = after.1 - before.1;
    println!("  write_bytes of the process: {:.1} KiB an image, {:.1} times", kib(process), times(process));
    if let (Some(before), Some(after), Some(closed)) = (before.0, after.0, closed) {
        let (written, with_end) = (after - before, closed - before);
        println!(
            "  written to the device: {:.1} KiB an image, {:.1} times (bar: {}, {})",
            kib(written),
            times(written),
            pace.bar,
            if times(written) <= pace.bar { "reached" } else { "missed" }
        );
        println!("  the same with the end of the daemon: {:.1} KiB, {:.1} times", kib(with_end), times(with_end));
    }
    match split {
        Some(split) => print!("{}", split.table(n)),
        None => println!("  not told apart by file: strace cannot be run"),
    }
    Ok(())
}

/// Puts a picture and waits for its prediction.
fn put(home: &Home, ears: &mut Listener, index: u64) -> Result<(), Box<dyn Error>> {
    let part = Part::ALL[index as usize % Part::ALL.len()];
    let picture = Camera::new(3).with_size(320, 240).jpeg(part, index, &Light::DAY);
    let path = home.put(&format!("{index:08}.jpg"), &picture);
    let path = path.to_str().ok_or("a path that is no text")?;
    ears.wait("prediction", path, |json| json["path"] == path);
    Ok(())
}
