//! Merging files from memory: read and checked, added, and finished; one thread.

use std::process::Command;
use std::time::Instant;

use edgetuned::fleet::{Aliases, Merge, Source, Statistics};
use edgetuned::head::BackboneRef;
use edgetuned::words::{Digest, EmbeddingSpace, Label, Region, TaskId};
use ndarray::Array2;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::{CLASSES, SIZES, VALUES};

/// Different files; devices take them in turn.
const FILES: usize = 32;
/// Images of a device.
const IMAGES: usize = 120;
/// Longest time and largest memory for 10,000 devices.
const BARS: (f64, f64) = (5.0, 1024.0);

const NUMPY: &str = "
import sys, time
import numpy
devices, length, files = map(int, sys.argv[1:])
random = numpy.random.default_rng(0)
arrays = [random.standard_normal(length).astype(numpy.float32).tobytes() for _ in range(files)]
started = time.perf_counter()
total = numpy.zeros(length)
for device in range(devices):
    total += numpy.frombuffer(arrays[device % files], numpy.float32)
print(time.perf_counter() - started)
";

/// What a merge took.
pub struct Merged {
    pub devices: usize,
    pub seconds: f64,
    pub memory_mib: f64,
    /// Of `NumPy`, which adds the same arrays.
    pub numpy_seconds: Option<f64>,
}

pub fn run() -> Vec<Merged> {
    let files: Vec<Vec<u8>> = (0..FILES as u64).map(file).collect();
    println!("{} bytes a device: {CLASSES} classes, {VALUES} values", files[0].len());
    println!(
        "{:>8} {:>10} {:>10} {:>10} {:>12} {:>14}",
        "devices", "read s", "add s", "finish s", "memory MiB", "NumPy adds s"
    );
    let before = resident();
    SIZES.into_iter().map(|devices| merge(devices, &files, before)).collect()
}

/// Merges so many devices; `before` is the memory of before any merge, since what one frees the next one may use.
fn merge(devices: usize, files: &[Vec<u8>], before: f64) -> Merged {
    let mut merge = Merge::new(Aliases::default());
    let (mut reading, mut adding) = (0.0, 0.0);
    for device in 0..devices {
        let started = Instant::now();
        let statistics = Statistics::from_bytes(&files[device % FILES]).expect("a file");
        reading += started.elapsed().as_secs_f64();
        let started = Instant::now();
        merge.add(&format!("line-{device:05}"), &statistics).expect("one space");
        adding += started.elapsed().as_secs_f64();
    }
    let started = Instant::now();
    let merged = merge.finish().expect("devices");
    let finishing = started.elapsed().as_secs_f64();
    assert_eq!(merged.devices.len(), devices);
    let memory = peak() - before;
    let numpy_seconds = numpy(devices);
    let numpy = numpy_seconds.map_or("not run".to_owned(), |seconds| format!("{seconds:.2}"));
    println!("{devices:>8} {reading:>10.2} {adding:>10.2} {finishing:>10.2} {memory:>12.0} {numpy:>14}");
    let seconds = reading + adding + finishing;
    if devices == 10_000 {
        let kept = |is: bool| if is { "reached" } else { "missed" };
        println!("10,000 devices in {} s: {seconds:.2} ({})", BARS.0, kept(seconds < BARS.0));
        println!("10,000 devices in {} MiB: {memory:.0} ({})", BARS.1, kept(memory < BARS.1));
    }
    Merged { devices, seconds, memory_mib: memory, numpy_seconds }
}

pub fn file(seed: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: VALUES };
    let backbone = BackboneRef { name: "drawn".into(), sha256: Digest::of(b"m"), dim: VALUES };
    let source = Source { task: TaskId::default(), backbone, space, region: Region::WHOLE, projection: None };
    let labels: Vec<Label> =
        (0..IMAGES).map(|image| Label::new(&format!("class {}", image % CLASSES)).expect("a label")).collect();
    let x = Array2::from_shape_simple_fn((IMAGES, VALUES), || rng.random::<f32>());
    Statistics::gather(source, x.view(), &labels, None, 2).expect("enough images").to_bytes()
}

fn numpy(devices: usize) -> Option<f64> {
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".into());
    let length = VALUES * (VALUES + 1) / 2 + CLASSES * VALUES;
    let sizes = [devices, length, FILES].map(|size| size.to_string());
    let output = Command::new(python).args(["-c", NUMPY]).args(sizes).env("OMP_NUM_THREADS", "1").output().ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

fn status(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(field));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

fn resident() -> f64 {
    status("VmRSS:")
}

fn peak() -> f64 {
    status("VmHWM:")
}
