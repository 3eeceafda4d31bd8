//! Fitting the softmax head, beside scikit-learn on the same data, folds and penalties; one thread each.
//!
//! `cargo bench --bench fit [-- N D K [KIND...]]`; by default 10,000 x 1,280 of 10 classes. Kinds: `photographs` (what
//! a rectified backbone gives of well separated classes: power-law spectrum, class means, no negative value), `blurred`
//! (the same, classes nearer) and `noise` (nothing to learn). The peer is `fit_peer.py`, run by `EDGETUNED_PYTHON` or
//! python3. Seconds are the processor's, so that a busy machine does not decide.

use std::io::Write as _;
use std::ops::ControlFlow;
use std::time::Instant;

use edgetuned::train::{ClassWeights, Dataset, Fitted, L2, Settings, fit, folds_of};
use edgetuned::words::{ClassSet, Digest, EmbeddingSpace, Label, SampleId};
use ndarray::{Array2, Axis};
use rand::{Rng, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

#[allow(dead_code, unused_imports, reason = "shared with the library, which keeps it to itself")]
#[path = "../src/train/fast/simd.rs"]
mod simd;

type Error = Box<dyn std::error::Error>;

const SEED: u64 = 11;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |at: usize, usual| arguments.get(at).map_or(Ok(usual), |text| text.parse::<usize>());
    let (n, d, k) = (number(0, 10_000)?, number(1, 1_280)?, number(2, 10)?);
    let kinds: Vec<&str> = arguments.iter().skip(3).map(String::as_str).collect();
    println!("seed {SEED}; peak of the SIMD product on a square product of 1,104: {:.1} GFlop/s", peak());
    for kind in if kinds.is_empty() { vec!["photographs", "blurred", "noise"] } else { kinds } {
        println!("\n{kind}: {n} x {d}, {k} classes");
        side_by_side(kind, n, d, k)?;
    }
    Ok(())
}

fn side_by_side(kind: &str, n: usize, d: usize, k: usize) -> Result<(), Error> {
    let (x, y) = generate(kind, n, d, k);
    let ids: Vec<SampleId> = (0..n).map(|i| SampleId::of(&i.to_le_bytes())).collect();
    // C = 1 of scikit-learn is 1 / n; 0.01 and 0.1 are what cross-validation chooses most often.
    let single = [1.0 / n as f64, 0.01, 0.1];
    let space = EmbeddingSpace { backbone: Digest::of(b"b"), preprocessing: Digest::of(b"p"), dim: d };
    let classes: ClassSet = (0..k).map(|class| Label::new(&format!("class {class}"))).collect::<Result<_, _>>()?;
    let of = |x, groups| Dataset::new(space, x, y.clone(), classes.clone(), groups, ids.clone());
    // One group cannot be split, so nothing is held out: a single fit.
    let mut data = of(x, vec![ids[0]; n])?;
    let mut singles = Vec::new();
    for lambda in single {
        let ours = run(&data, L2::Fixed(lambda))?;
        println!(
            "  ours, single fit     lambda {lambda:<8.2e} {:7.3} s, {:3} passes, loss {:.7}, converged {}",
            ours.seconds, ours.passes, ours.fitted.facts.loss, ours.fitted.facts.converged
        );
        singles.push((ours.seconds, ours.fitted.facts.loss));
    }
    let x = data.x().clone();
    drop(std::mem::replace(&mut data, of(x, ids.clone())?));
    let fixed = run(&data, L2::Fixed(0.01))?;
    println!("  ours, with folds     lambda 1.00e-2  {:7.3} s, {:3} passes", fixed.seconds, fixed.passes);
    let auto = run(&data, L2::Auto)?;
    let bytes = (n * d * 4) as f64;
    println!(
        "  ours, path of {:<2}     lambda {:<8.2e} {:7.3} s, {:3} passes, memory {:.2} x the data",
        auto.fitted.facts.lambda_path.len(),
        auto.fitted.facts.lambda,
        auto.seconds,
        auto.passes,
        (bytes + auto.grew) / bytes
    );
    let flops = 4.0 * (n * d * k) as f64 * 4.0 / auto.pass_seconds;
    println!("    a pass of five folds: {:.1} ms, {:.1} GFlop/s", 1e3 * auto.pass_seconds, flops / 1e9);
    println!("    held-out losses: {}", losses(&auto.fitted.facts.lambda_path));
    // The peer fits the penalties that we fitted: a path of ours that ended early is no shorter than its own.
    let path: Vec<f64> = auto.fitted.facts.lambda_path.iter().map(|(lambda, _)| *lambda).collect();
    let labels: Vec<Label> = y.iter().map(|&class| classes.labels()[class].clone()).collect();
    let folds = folds_of(&labels, &ids, 0);
    peer(&write(data.x(), &y, &folds, &single, &path)?, &singles, auto.seconds)
}

struct Run {
    fitted: Fitted,
    seconds: f64,
    passes: usize,
    grew: f64,
    /// The least between the first passes at the first penalty, while every fold is still on its way.
    pass_seconds: f64,
}

fn run(data: &Dataset, l2: L2) -> Result<Run, Error> {
    let settings = Settings { l2, class_weights: ClassWeights::None, ..Settings::default() };
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let (before, started) = (status("VmRSS:"), seconds());
    let (mut passes, mut last, mut pass_seconds) = (0, Instant::now(), f64::INFINITY);
    let fitted = fit(data, &settings, &mut |_| {
        if (1..4).contains(&passes) {
            pass_seconds = last.elapsed().as_secs_f64().min(pass_seconds);
        }
        (passes, last) = (passes + 1, Instant::now());
        ControlFlow::Continue(())
    })?;
    let seconds = seconds() - started;
    Ok(Run { fitted, seconds, passes: passes - 1, grew: status("VmHWM:") - before, pass_seconds })
}

/// Seconds of processor time of this thread so far.
fn seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

/// A line of this process's status, in bytes.
fn status(name: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<f64>().map_or(f64::NAN, |kb| 1024.0 * kb)
}

fn peak() -> f64 {
    // Not a power of two: rows would all fall into the same few sets of the cache.
    let size = 1_104;
    let (x, w, mut out) = (vec![0.5; size * size], vec![0.25; size * size], vec![0.0; size * size]);
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let started = Instant::now();
        for (x, w) in x.chunks(96 * size).zip(w.chunks(96 * size)) {
            simd::accumulate(x, w, size, &mut out);
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    2.0 * (size * size * size) as f64 / best / 1e9
}

fn normal(rng: &mut impl Rng) -> f32 {
    let (a, b): (f32, f32) = (1.0 - rng.random::<f32>(), rng.random());
    (-2.0 * a.ln()).sqrt() * (std::f32::consts::TAU * b).cos()
}

fn generate(kind: &str, n: usize, d: usize, k: usize) -> (Array2<f32>, Vec<usize>) {
    let rng = &mut ChaCha8Rng::seed_from_u64(SEED);
    let y: Vec<usize> = (0..n).map(|_| rng.random_range(0..k)).collect();
    if kind == "noise" {
        return (Array2::from_shape_simple_fn((n, d), || normal(rng)), y);
    }
    let apart = if kind == "blurred" { 0.35 } else { 0.9 };
    let latent = 256;
    let spectrum: Vec<f32> = (1..=latent).map(|i| (i as f32).powf(-0.75)).collect();
    let mixing = Array2::from_shape_simple_fn((latent, d), || 6.0 * normal(rng) / (latent as f32).sqrt());
    let means = Array2::from_shape_fn((k, latent), |(_, j)| apart * spectrum[j] * normal(rng));
    let factors = Array2::from_shape_fn((n, latent), |(i, j)| means[[y[i], j]] + 1.6 * spectrum[j] * normal(rng));
    let mut x = factors.dot(&mixing);
    x.mapv_inplace(|v| (v + 0.25 * normal(rng) + 0.1).max(0.0));
    (x, y)
}

/// The data as the peer reads them.
fn write(
    x: &Array2<f32>,
    y: &[usize],
    folds: &[usize],
    single: &[f64],
    path: &[f64],
) -> Result<tempfile::NamedTempFile, Error> {
    let mut file = tempfile::NamedTempFile::new()?;
    let mut out = std::io::BufWriter::new(&mut file);
    let (n, d) = x.dim();
    writeln!(out, "{}", serde_json::json!({ "n": n, "d": d, "single": single, "path": path }))?;
    for row in x.axis_iter(Axis(0)) {
        for value in row {
            out.write_all(&value.to_le_bytes())?;
        }
    }
    for value in y.iter().chain(folds) {
        out.write_all(&(*value as u32).to_le_bytes())?;
    }
    out.flush()?;
    drop(out);
    Ok(file)
}

fn losses(path: &[(f64, f64)]) -> String {
    path.iter().map(|(_, loss)| format!("{loss:.4}")).collect::<Vec<_>>().join(" ")
}

fn peer(file: &tempfile::NamedTempFile, singles: &[(f64, f64)], path_seconds: f64) -> Result<(), Error> {
    let python = std::env::var("EDGETUNED_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/fit_peer.py");
    let mut command = std::process::Command::new(&python);
    let answer = command.arg(script).arg(file.path()).env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
    let answer = match answer.output() {
        Ok(answer) if answer.status.success() => answer,
        Ok(answer) => {
            let why = String::from_utf8_lossy(&answer.stderr).lines().last().unwrap_or("no word").to_owned();
            println!("  peer skipped: {python}: {why}");
            return Ok(());
        }
        Err(error) => {
            println!("  peer skipped: {python}: {error}");
            return Ok(());
        }
    };
    let mut number = 0;
    for line in String::from_utf8_lossy(&answer.stdout).lines() {
        let result: serde_json::Value = serde_json::from_str(line)?;
        let value = |name: &str| result[name].as_f64().unwrap_or(f64::NAN);
        match result["fit"].as_str() {
            Some("single") => {
                let (seconds, loss) = singles[number % singles.len()];
                number += 1;
                println!(
                    "  peer, single {} lambda {:<8.2e} {:7.3} s (wall {:.3}), {:3} iterations, loss {:.7}: {:.1} x ours, loss {:+.1e}",
                    result["dtype"].as_str().unwrap_or_default(),
                    value("lam"),
                    value("cpu"),
                    value("wall"),
                    value("passes"),
                    value("loss"),
                    value("cpu") / seconds,
                    value("loss") - loss,
                );
            }
            Some("path") => {
                let path: Vec<(f64, f64)> = serde_json::from_value(result["path"].clone())?;
                println!(
                    "  peer, path of {} {} {:7.3} s (wall {:.3}), memory grew {:.0} MB: {:.1} x ours\n    held-out losses: {}",
                    path.len(),
                    result["dtype"].as_str().unwrap_or_default(),
                    value("cpu"),
                    value("wall"),
                    value("grew") / 1e6,
                    value("cpu") / path_seconds,
                    losses(&path),
                );
            }
            _ => println!("  peer: scikit-learn {}, numpy {}", result["version"], result["numpy"]),
        }
    }
    Ok(())
}
