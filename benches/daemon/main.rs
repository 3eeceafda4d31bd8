//! The daemon as a whole: what it adds to decoding and inference, alone and beside a training, how soon a label corrects
//! what it says, what memory it takes, how many images a second.
//!
//! `cargo bench --bench daemon [-- MODEL]` needs mosquitto. It measures the bundled default backbone and, where
//! `../shared/data` is beside the checkout, `MobileNetV2` fp32; pictures are of the synthetic camera, 640 x 480. The memory is
//! compared with that of a process that only opens the backbone and embeds one picture: this program again, started by
//! itself.
//!
//! `-- idle` measures what a daemon costs at which nothing happens, with a broker and without one, and nothing else.

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
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

mod idle;
mod labels;
mod latency;

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use camera::{Camera, Light, Part};
use daemon::{Home, Listener};
use edgetuned::backbone::{Manifest, OnnxBackbone};
use edgetuned::ports::Embedder;
use mosquitto::Mosquitto;

/// Names the backbone for the process that is only a probe.
const PROBE: &str = "EDGETUNED_BENCH_PROBE";
const STREAM: u64 = 1_000;
/// Pictures one at a time have higher numbers than those of the stream.
const SINGLE: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    if let Ok(model) = std::env::var(PROBE) {
        return probe(&model);
    }
    if std::env::args().any(|argument| argument == "idle") {
        idle::measure();
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut models: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if models.is_empty() {
        models.push("default".to_owned());
        models.extend(mobilenet(folder.path())?);
    }
    for model in models {
        // Without it the second of two messages waits until the first is acknowledged: up to 40 ms.
        let Some(broker) = Mosquitto::start_with("allow_anonymous true\nset_tcp_nodelay true\n") else { return Ok(()) };
        measure(&model, broker.port)?;
    }
    Ok(())
}

fn measure(model: &str, port: u16) -> Result<(), Box<dyn Error>> {
    let mut backbone = OnnxBackbone::open(&Manifest::resolve(model)?, 1)?;
    println!("{}, {} values", backbone.name(), backbone.space().dim);
    let more = format!("training: {{ schedule: null, min_new_labels: 1000000 }}\nbackbone: {{ model: {model} }}");
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), port, &more);
    let mut stage = Stage { home: &home, ears: Listener::new(port) };
    let mut daemon = home.start();
    stage.ears.wait("status", "online", |status| status == "online");
    stream(&mut stage)?;
    let whole = peak_kib(&format!("/proc/{}/status", daemon.id()))?;
    latency::measure(&mut stage, &mut backbone)?;
    labels::measure(&mut stage)?;
    drop(backbone);
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

/// A daemon's folders, and who listens to it.
struct Stage<'a> {
    home: &'a Home,
    ears: Listener,
}

/// Many pictures at once, labelled by their folders.
fn stream(stage: &mut Stage) -> Result<(), Box<dyn Error>> {
    // Written beside the watched folder and moved in, so that drawing them does not count.
    let camera = stage.home.camera();
    let staged: Vec<_> = (0..STREAM)
        .map(|index| {
            let name = format!("{index:04}.jpg");
            let path = camera.with_file_name(&name);
            let folder = camera.join(part(index).to_string());
            fs::create_dir_all(&folder)?;
            fs::write(&path, picture(index)).map(|()| (path, folder.join(name)))
        })
        .collect::<Result<_, _>>()?;
    let started = Instant::now();
    let mut awaited = BTreeSet::new();
    for (path, there) in staged {
        fs::rename(&path, &there)?;
        awaited.insert(there.display().to_string());
    }
    let mut last = started;
    while let Some(path) = awaited.pop_first() {
        last = last.max(stage.ears.wait("prediction", &path, |json| json["path"] == path.as_str()).at);
    }
    let seconds = last.duration_since(started).as_secs_f64();
    println!("  sustained: {:.1} predictions/s over {STREAM} pictures", STREAM as f64 / seconds);
    stage.ears.forget();
    Ok(())
}

/// Opens the backbone, embeds one picture, and prints time and memory of that.
fn probe(model: &str) -> Result<(), Box<dyn Error>> {
    let mut backbone = OnnxBackbone::open(&Manifest::resolve(model)?, 1)?;
    let tensor = vec![0.1; backbone.preprocess().tensor_len()];
    backbone.embed(&tensor, 1)?;
    println!("{}", peak_kib("/proc/self/status")?);
    Ok(())
}

fn part(index: u64) -> Part {
    Part::ALL[index as usize % Part::ALL.len()]
}

fn picture(index: u64) -> Vec<u8> {
    Camera::new(3).with_size(640, 480).jpeg(part(index), index, &Light::DAY)
}

/// The value below which this share of them lies, of more than none.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(share * (values.len() - 1) as f64) as usize]
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
