//! The daemon as a whole: what it adds to decoding and inference, what memory it takes, how many images a second.
//!
//! `cargo bench --bench daemon` needs mosquitto. It measures the bundled default backbone and, where `../shared/data`
//! is beside the checkout, `MobileNetV2` fp32; pictures are of the synthetic camera, 640 x 480. The memory is compared
//! with that of a process that only opens the backbone and embeds one picture: this program again, started by itself.
//!
//! `-- idle` measures what a daemon costs at which nothing happens, with a broker and without one, and nothing else.

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../tests/support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../tests/support/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../tests/support/mosquitto.rs"]
mod mosquitto;
#[path = "../tests/support/skip.rs"]
mod skip;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use camera::{Camera, Light, Part};
use daemon::{Home, Listener};
use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::image::{Limits, decode};
use edgetuned::ports::Embedder;
use mosquitto::Mosquitto;

/// Names the backbone for the process that is only a probe.
const PROBE: &str = "EDGETUNED_BENCH_PROBE";
const SINGLE: u64 = 200;
const STREAM: u64 = 1_000;
/// What is said once comes within this time after a start.
const SETTLED: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_mins(2);

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(model) = std::env::var(PROBE) {
        return probe(&model);
    }
    if std::env::args().any(|argument| argument == "idle") {
        idle();
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut models = vec!["default".to_owned()];
    models.extend(mobilenet(folder.path())?);
    for model in models {
        let Some(broker) = Mosquitto::start() else { return Ok(()) };
        measure(&model, broker.port)?;
    }
    Ok(())
}

fn measure(model: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let mut backbone = OnnxBackbone::open(&Manifest::resolve(model)?, 1)?;
    println!("{}", backbone.name());
    let more = format!("training: {{ schedule: null }}\nbackbone: {{ model: {model} }}");
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), port, &more);
    let mut ears = Listener::new(port);
    let mut daemon = home.start();
    ears.wait("status", "online", |status| status == "online");

    let mut added = Vec::new();
    for index in 0..SINGLE {
        let bytes = picture(index);
        let own = ours(&mut backbone, &bytes)?;
        let path = home.put(&format!("{index:04}.jpg"), &bytes);
        let closed = Instant::now();
        let path = path.to_str().ok_or("a path that is no text")?;
        let heard = ears.wait("prediction", path, |json| json["path"] == path).at;
        added.push(heard.saturating_duration_since(closed).saturating_sub(own));
        ears.forget();
    }
    added.sort();
    let quantile = |share: f64| added[(share * (added.len() - 1) as f64) as usize].as_secs_f64() * 1e3;
    let (median, late) = (quantile(0.5), quantile(0.95));
    println!(
        "  from closing a file to its prediction, without decoding and inference: median {median:.1} ms, \
         p95 {late:.1} ms (bar: median 30 ms)"
    );
    drop(backbone);

    // Written beside the watched folder and moved in, so that drawing them does not count.
    let staged: Vec<_> = (SINGLE..SINGLE + STREAM)
        .map(|index| {
            let path = home.camera().with_file_name(format!("{index:04}.jpg"));
            fs::write(&path, picture(index)).map(|()| path)
        })
        .collect::<Result<_, _>>()?;
    let started = Instant::now();
    let mut awaited = BTreeSet::new();
    for path in staged {
        let name = path.file_name().ok_or("a file has a name")?;
        let there = home.camera().join(name);
        fs::rename(&path, &there)?;
        awaited.insert(there.display().to_string());
    }
    let mut last = started;
    while let Some(path) = awaited.pop_first() {
        last = last.max(ears.wait("prediction", &path, |json| json["path"] == path.as_str()).at);
    }
    let seconds = last.duration_since(started).as_secs_f64();
    println!("  sustained: {:.1} predictions/s over {STREAM} pictures", STREAM as f64 / seconds);

    let whole = peak_kib(&format!("/proc/{}/status", daemon.id()))?;
    daemon.stop(Duration::from_secs(10));
    let output = Command::new(std::env::current_exe()?).env(PROBE, model).output()?;
    let alone: f64 = String::from_utf8(output.stdout)?.trim().parse()?;
    let mib = |kib: f64| kib / 1024.0;
    println!(
        "  peak memory: {:.1} MiB, the backbone alone {:.1} MiB, ratio {:.2} (bar: 1.4)",
        mib(whole),
        mib(alone),
        whole / alone
    );
    Ok(())
}

/// Wake-ups and processor time of a daemon at which nothing happens.
fn idle() {
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

/// Opens the backbone, embeds one picture, and prints time and memory of that.
fn probe(model: &str) -> Result<(), Box<dyn Error>> {
    let mut backbone = OnnxBackbone::open(&Manifest::resolve(model)?, 1)?;
    let tensor = vec![0.1; backbone.preprocess().tensor_len()];
    backbone.embed(&tensor, 1)?;
    println!("{}", peak_kib("/proc/self/status")?);
    Ok(())
}

/// How long decoding and inference of this picture take at least: the best of three, so that the daemon is not
/// credited with a slow moment of ours.
fn ours(backbone: &mut OnnxBackbone, bytes: &[u8]) -> Result<Duration, Box<dyn Error>> {
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let started = Instant::now();
        let tensor = backbone.preprocess().apply(&decode(bytes, &Limits::default())?);
        backbone.embed(&tensor, 1)?;
        best = best.min(started.elapsed());
    }
    Ok(best)
}

fn picture(index: u64) -> Vec<u8> {
    let part = Part::ALL[index as usize % Part::ALL.len()];
    Camera::new(3).with_size(640, 480).jpeg(part, index, &Light::DAY)
}

/// `VmHWM`, the most memory that was ever resident, in KiB.
fn peak_kib(status: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string(status)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// A manifest for `MobileNetV2` fp32 in `folder`, where the model is to be had.
fn mobilenet(folder: &Path) -> Result<Option<String>, Box<dyn Error>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let Ok(file) = data.join("models/mobilenetv2-1.0-224-tf2-fp32.onnx").canonicalize() else { return Ok(None) };
    let manifest = folder.join("mobilenetv2.yaml");
    let text = format!(
        "name: mobilenetv2-1.0-224-tf2-fp32\nfile: {}\n\
         sha256: 6f85b71919b20473b979b45d0d326154174b2fd8819fc692536d983af4e029df\n\
         input: {{ tensor: input, layout: nchw, size: [224, 224], channels: rgb, mean: 127.5, std: 127.5, resize: crop }}\n\
         embedding: {{ tensor: embedding, dim: 1280 }}\n",
        file.display()
    );
    fs::write(&manifest, text)?;
    Ok(Some(manifest.display().to_string()))
}
