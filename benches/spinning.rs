//! What a picture costs in processor time where pictures come seldom: ONNX Runtime with two threads as it is by default,
//! whose threads spin while they wait, beside a backbone of edgetuned, whose threads sleep.
//!
//! `cargo bench --bench spinning [-- BACKBONE]`: five pictures a second, 25 a turn, the two in turns so that a busy machine
//! hits both; processor time is that of the whole process, waiting included.

use std::time::{Duration, Instant};

use edgetuned::backbone::{Manifest, OnnxBackbone, environment, expose, read};
use edgetuned::ports::Embedder;
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel as Level;
use ort::value::TensorRef;
use rustix::time::{ClockId, clock_gettime};

const THREADS: usize = 2;
const EVERY: Duration = Duration::from_millis(200);
const PICTURES: u32 = 25;
const TURNS: usize = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let manifest = Manifest::resolve(name.as_deref().unwrap_or("photo"))?;
    let mut ours = OnnxBackbone::open(&manifest, THREADS)?;
    let mut default = as_by_default(&manifest)?;
    let tensor = vec![0.1_f32; ours.preprocess().tensor_len()];
    let (h, w) = (ours.preprocess().size.0 as usize, ours.preprocess().size.1 as usize);
    let mut turns = Vec::with_capacity(TURNS);
    for _ in 0..TURNS {
        let spinning = paced(|| {
            default.run(ort::inputs![TensorRef::from_array_view(([1, 3, h, w], &*tensor))?])?;
            Ok(())
        })?;
        let sleeping = paced(|| {
            ours.embed(&tensor, 1)?;
            Ok(())
        })?;
        turns.push((spinning, sleeping));
    }
    println!("{name}: {THREADS} threads, five pictures a second, {TURNS} turns of {PICTURES}", name = manifest.name);
    let median = |of: fn(&(Paced, Paced)) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    println!("                       CPU ms a picture   latency ms");
    println!("ONNX Runtime's default {:16.1} {:12.2}", median(|(a, _)| a.cpu_ms), median(|(a, _)| a.latency_ms));
    println!("spinning off           {:16.1} {:12.2}", median(|(_, b)| b.cpu_ms), median(|(_, b)| b.latency_ms));
    Ok(())
}

/// What a picture took in one turn.
struct Paced {
    /// Processor time of the process until the next picture.
    cpu_ms: f64,
    /// From the picture to its embedding, the mean of the turn.
    latency_ms: f64,
}

/// Runs `one` for a picture every [`EVERY`].
fn paced(mut one: impl FnMut() -> Result<(), Box<dyn std::error::Error>>) -> Result<Paced, Box<dyn std::error::Error>> {
    one()?;
    std::thread::sleep(EVERY);
    let (cpu, started) = (cpu_seconds(), Instant::now());
    let mut latency = Duration::ZERO;
    for n in 1..=PICTURES {
        let run = Instant::now();
        one()?;
        latency += run.elapsed();
        std::thread::sleep((EVERY * n).saturating_sub(started.elapsed()));
    }
    let pictures = f64::from(PICTURES);
    Ok(Paced { cpu_ms: 1e3 * (cpu_seconds() - cpu) / pictures, latency_ms: 1e3 * latency.as_secs_f64() / pictures })
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
}

/// The same model with the same options but for the spinning.
fn as_by_default(manifest: &Manifest) -> Result<Session, Box<dyn std::error::Error>> {
    let (bytes, graph) = read(manifest)?;
    let model = expose(&bytes, &graph, &[&manifest.embedding.tensor])?;
    Ok(session(&environment()?, &model)?)
}

fn session(environment: &Environment, model: &[u8]) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(Level::All)?
        .with_intra_threads(THREADS)?
        .with_inter_threads(1)?
        .commit_from_memory(model)
}
