//! A step of training the last block of a backbone beside `PyTorch`'s, one thread each, the whole second phase, and a prediction
//! of a tuned head beside one of a frozen head.
//!
//! `cargo bench --bench tail [-- MANIFEST...]`; by default photo, EfficientNet-Lite0 and, where `../shared` is,
//! `MobileNetV2`. Inner values are drawn: their size matters, not what they show. The peer is `tail_peer.py`, run by
//! `EDGETUNED_PYTHON` or python3, which needs torch and onnx. Milliseconds are the processor's, but of
//! predictions, whose medians in turns are compared.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use edgetuned::backbone::{Embedding, Manifest, OnnxBackbone, Pool, read, tail_input, tail_network};
use edgetuned::head::{BackboneRef, DenseHead, HeadRecord, Tuning};
use edgetuned::ports::{Embedder as _, TailedEmbedder as _};
use edgetuned::train::{
    Dataset, Fitted, L2, Latents, Settings, TailLayers, TailNetwork, TailRunner, TuneSettings, fit, tune,
};
use edgetuned::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId, Timestamp};
use ndarray::{Array1, Array2};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

type Error = Box<dyn std::error::Error>;

const SEED: u64 = 6;
const IMAGES: usize = 600;
const CLASSES: usize = 10;
const VIEWS: usize = 6;
/// Seconds that a second phase of 600 images may take.
const BAR: f64 = 60.0;
/// Most that a prediction of a tuned head may cost, in predictions of a frozen one.
const SERVING: f64 = 1.05;
/// Predictions of each kind, in turns.
const PREDICTIONS: usize = 60;

fn main() -> Result<(), Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given: Vec<PathBuf> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).map(PathBuf::from).collect();
    let bundled = ["photo", "default"].map(|name| root.join(format!("models/{name}.yaml")));
    let names = if given.is_empty() { bundled.to_vec() } else { given.clone() };
    let mut manifests = names.iter().map(|path| Manifest::load(path)).collect::<Result<Vec<_>, _>>()?;
    let shared = root.join("../shared/data/models/mobilenetv2-1.0-224-tf2-fp32.onnx");
    if given.is_empty() && shared.is_file() {
        manifests.push(mobilenet(&manifests[1], &shared)?);
    }
    println!("seed {SEED}; {IMAGES} drawn images of {CLASSES} classes, {VIEWS} views; last_block");
    for manifest in &manifests {
        side_by_side(manifest)?;
    }
    Ok(())
}

/// The manifest of a model of `../shared`, prepared as the one of `like`.
fn mobilenet(like: &Manifest, file: &Path) -> Result<Manifest, Error> {
    let embedding = Embedding { tensor: "embedding".to_owned(), dim: 1280, pool: Pool::None, inner: Vec::new() };
    let (file, sha256, name) = (file.to_owned(), Digest::of(&std::fs::read(file)?), "mobilenetv2".to_owned());
    Ok(Manifest { file, sha256, name, input: "input".to_owned(), embedding, ..like.clone() })
}

fn side_by_side(manifest: &Manifest) -> Result<(), Error> {
    let (bytes, graph) = read(manifest)?;
    let input = tail_input(&graph, &manifest.embedding.tensor, TailLayers::LastBlock)?;
    let cut = Embedding { tensor: input.clone(), dim: 1, pool: Pool::None, inner: Vec::new() };
    let shape: Vec<usize> = OnnxBackbone::shape(&Manifest { embedding: cut, ..manifest.clone() })?
        .iter()
        .skip(1)
        .map(|side| *side as usize)
        .collect();
    let shape: [usize; 3] = shape.try_into().map_err(|_| "the cut is no map")?;
    let network = tail_network(&bytes, &graph, &input, &manifest.embedding, shape, TailLayers::LastBlock)?;
    let bytes = network.bytes(32);
    println!(
        "\n{}: from {input:?} {shape:?}, {} trained values, {:.1} MB of layers, {:.1} MB of a batch",
        manifest.name,
        network.trained(),
        bytes.parameters as f64 / 1e6,
        bytes.activations as f64 / 1e6
    );
    let ratio = serving(manifest, &network)?;
    println!("  a prediction with a tail beside the frozen one: {ratio:.3} x, bar {SERVING}");
    let (data, latents) = drawn(&network)?;
    let first =
        fit(&data, &Settings { l2: L2::Fixed(0.1), ..Settings::default() }, &mut |_| ControlFlow::Continue(()))?;
    let peer = peer(manifest, &input, shape);
    let ours = step(&data, &latents, &network, &first)?;
    match peer {
        Ok((torch, layout)) => {
            println!("  a step of 32: {ours:.1} ms, PyTorch {torch:.1} ms ({layout}): {:.2} x", ours / torch);
        }
        Err(why) => println!("  a step of 32: {ours:.1} ms; peer skipped: {why}"),
    }
    let started = seconds();
    let tuned = tune(&data, &latents, &network, &first, &TuneSettings::default(), &mut |_| ControlFlow::Continue(()))?;
    println!(
        "  3 folds and the whole, {} epochs: {:.1} s, bar {BAR} s; {} bytes an image",
        tuned.epochs.len(),
        seconds() - started,
        latents.stored(0).len()
    );
    Ok(())
}

/// Time of the network with a tail beside its own layers, over that without; medians of predictions in turns.
fn serving(manifest: &Manifest, network: &TailNetwork) -> Result<f64, Error> {
    let space = manifest.space();
    let tail = network.tail(&network.original());
    let classes: ClassSet = ["a", "b"].into_iter().map(Label::new).collect::<Result<_, _>>()?;
    let dense = |space: EmbeddingSpace| {
        DenseHead::linear(space, classes.clone(), Array2::zeros((2, space.dim)), Array1::zeros(2))
    };
    let reference = BackboneRef { name: manifest.name.clone(), sha256: manifest.sha256, dim: space.dim };
    let record = HeadRecord::new(dense(tail.space(space)), 1, Timestamp(0), reference);
    let tuning = Some(Tuning { tail, first: dense(space), figures: None });
    let mut plain = OnnxBackbone::open(manifest, 1)?;
    let mut tuned = OnnxBackbone::open(manifest, 1)?;
    tuned.follow(&[Arc::new(HeadRecord { tuning, ..record })])?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let picture: Vec<f32> = (0..plain.preprocess().tensor_len()).map(|_| rng.random()).collect();
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..PREDICTIONS {
        for (backbone, times) in [&mut plain, &mut tuned].into_iter().zip(&mut times) {
            let started = Instant::now();
            std::hint::black_box(backbone.embed_tailed(&picture, 1)?);
            times.push(started.elapsed().as_secs_f64());
        }
    }
    let [frozen, tuned] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    Ok(tuned / frozen)
}

fn drawn(network: &TailNetwork) -> Result<(Dataset, Latents), Error> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut latents = Latents::new([network.cut().channels, network.cut().height, network.cut().width]);
    let mut runner = TailRunner::original(network.clone());
    let mut x = Vec::new();
    for _ in 0..IMAGES {
        let views: Vec<f32> = (0..VIEWS * network.cut().values()).map(|_| 2.0 * rng.random::<f32>() - 1.0).collect();
        latents.push(&views)?;
        x.extend(runner.embed(&views[..network.cut().values()]));
    }
    let ids: Vec<SampleId> = (0..IMAGES).map(|i| SampleId::of(&i.to_le_bytes())).collect();
    let classes: ClassSet =
        (0..CLASSES).map(|class| Label::new(&format!("class {class}"))).collect::<Result<_, _>>()?;
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: network.dim() };
    let (x, y) = (Array2::from_shape_vec((IMAGES, network.dim()), x)?, (0..IMAGES).map(|i| i % CLASSES).collect());
    Ok((Dataset::new(space, x, y, classes, ids.clone(), ids)?, latents))
}

/// Milliseconds of a step, the median of an epoch's.
fn step(data: &Dataset, latents: &Latents, network: &TailNetwork, first: &Fitted) -> Result<f64, Error> {
    let (mut last, mut times) = (f64::NAN, Vec::new());
    // The steps after the folds are those of the model on everything; an epoch of it has no held-out pass in between.
    let settings = TuneSettings { epochs: Some(2), ..TuneSettings::default() };
    tune(data, latents, network, first, &settings, &mut |progress| {
        times.push((progress.fraction, 1e3 * (seconds() - last)));
        last = seconds();
        ControlFlow::Continue(())
    })?;
    let mut whole: Vec<f64> = times.iter().filter(|(fraction, _)| *fraction > 0.7).map(|(_, time)| *time).collect();
    whole.sort_by(f64::total_cmp);
    Ok(whole[whole.len() / 2])
}

/// Milliseconds of `PyTorch`'s step, in the faster of its two layouts.
fn peer(manifest: &Manifest, input: &str, shape: [usize; 3]) -> Result<(f64, String), String> {
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/tail_peer.py");
    let mut command = Command::new(&python);
    command.arg(script).arg("time").arg(&manifest.file).args([input, &manifest.embedding.tensor]);
    let answer =
        command.args(shape.map(|side| side.to_string())).output().map_err(|error| format!("{python}: {error}"))?;
    if !answer.status.success() {
        let text = String::from_utf8_lossy(&answer.stderr).into_owned();
        return Err(format!("{python}: {}", text.lines().last().unwrap_or("no word")));
    }
    let times: serde_json::Value = serde_json::from_slice(&answer.stdout).map_err(|error| error.to_string())?;
    let layouts = times.as_object().into_iter().flatten();
    let times = layouts.filter_map(|(layout, time)| Some((time.as_f64()?, layout.clone())));
    times.min_by(|a, b| a.0.total_cmp(&b.0)).ok_or_else(|| "no times".to_owned())
}

/// Seconds of processor time of this thread so far.
fn seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}
