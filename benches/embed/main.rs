//! Milliseconds of ONNX Runtime a picture for every bundled backbone, then images a second of the whole way (read,
//! decode, prepare, embed) beside ONNX Runtime alone on a ready tensor.
//!
//! `cargo bench --bench embed [-- MANIFEST FOLDER]`; the whole way is measured with `MobileNetV2` and the trashnet
//! photographs of `../shared/data` where neither is given. One thread in the runtime; decoding runs beside it, as in
//! `edgetuned embed`. What is compared is measured in turns, so that a busy machine hits all of it.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use edgetuned::backbone::{Manifest, OnnxBackbone, bundled, embed_all};
use edgetuned::image::{Limits, decode};
use edgetuned::ports::Embedder;

const ROUNDS: usize = 3;
/// Of the bundled backbones, one picture each.
const TURNS: usize = 60;
/// The backbone that the others are compared with, and how many times its time another may take.
const COMPARED: &str = "photo";
const BARS: [(&str, f64); 1] = [("fast", 3.0)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    all_bundled()?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let manifest = match arguments.first() {
        Some(manifest) => Manifest::resolve(manifest)?,
        None if data.is_dir() => mobilenet(&data)?,
        None => {
            println!("skipped: ../shared/data is not here; give a manifest and a folder of photographs");
            return Ok(());
        }
    };
    let folder = arguments.get(1).map_or_else(|| data.join("images/trashnet"), PathBuf::from);
    whole_way(&manifest, &folder)
}

/// The runtime alone on one ready tensor: medians over the turns of all bundled backbones.
fn all_bundled() -> Result<(), Box<dyn std::error::Error>> {
    let mut models = Vec::new();
    for (name, manifest) in bundled::list() {
        match manifest {
            Ok(manifest) if manifest.file.is_file() => models.push((name, OnnxBackbone::open(&manifest, 1)?, vec![])),
            Ok(manifest) => println!("{name} is left out: {} is not there", manifest.file.display()),
            Err(reason) => println!("{name} is left out: {reason}"),
        }
    }
    // The first turns warm caches and allocators.
    for turn in 0..TURNS + 3 {
        for (_, backbone, taken) in &mut models {
            let tensor = vec![0.1; backbone.preprocess().tensor_len()];
            let started = Instant::now();
            backbone.embed(&tensor, 1)?;
            if turn >= 3 {
                taken.push(1000.0 * started.elapsed().as_secs_f64());
            }
        }
    }
    let medians: Vec<(String, f64)> = models.into_iter().map(|(name, _, taken)| (name, median(taken))).collect();
    let compared = medians.iter().find(|(name, _)| name == COMPARED).map(|(_, ms)| *ms);
    println!("ONNX Runtime alone, one thread, one picture, median of {TURNS} turns");
    for (name, ms) in &medians {
        let ratio =
            compared.map_or_else(|| format!("{COMPARED} is not there"), |of| format!("{:.2} of {COMPARED}", ms / of));
        let bar = BARS.iter().find(|(of, _)| of == name).zip(compared).map_or_else(String::new, |((_, bar), of)| {
            let verdict = if ms / of <= *bar { "reached" } else { "missed" };
            format!(", bar at most {bar}: {verdict}")
        });
        println!("{name:16} {ms:7.2} ms, {ratio}{bar}");
    }
    println!();
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn whole_way(manifest: &Manifest, folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let mut pictures = Vec::new();
    collect(folder, &mut pictures)?;
    pictures.sort();
    let mut backbone = OnnxBackbone::open(manifest, 1)?;
    let tensor = vec![0.1; backbone.preprocess().tensor_len()];
    println!("{} on {} photographs of {}", backbone.name(), pictures.len(), folder.display());

    let (mut ours, mut alone) = (0.0, 0.0);
    for round in 0..=ROUNDS {
        let started = Instant::now();
        let mut failed = 0;
        let read = |path: &PathBuf| match std::fs::read(path) {
            Ok(bytes) => decode(&bytes, &Limits::default()).map_err(std::io::Error::other),
            Err(error) => Err(error),
        };
        embed_all(
            &mut backbone,
            &pictures,
            |path: &&PathBuf| read(path),
            |_, result| {
                failed += usize::from(result.is_err());
                ControlFlow::Continue(())
            },
        )?;
        let whole = started.elapsed().as_secs_f64();
        let started = Instant::now();
        for _ in &pictures {
            backbone.embed(&tensor, 1)?;
        }
        let bare = started.elapsed().as_secs_f64();
        // The first round warms caches and allocators.
        if round > 0 {
            (ours, alone) = (ours + whole, alone + bare);
            let n = pictures.len() as f64;
            println!("round {round}: {:.1} images/s, runtime alone {:.1}, failed {failed}", n / whole, n / bare);
        }
    }
    let n = (ROUNDS * pictures.len()) as f64;
    println!("in all: {:.1} images/s, runtime alone {:.1}, ratio {:.3}", n / ours, n / alone, alone / ours);
    Ok(())
}

fn mobilenet(data: &Path) -> Result<Manifest, Box<dyn std::error::Error>> {
    let file = data.join("models/mobilenetv2-1.0-224-tf2-fp32.onnx").canonicalize()?;
    let text = format!(
        "name: mobilenetv2-1.0-224-tf2-fp32\nfile: {}\n\
         sha256: 6f85b71919b20473b979b45d0d326154174b2fd8819fc692536d983af4e029df\n\
         input: {{ tensor: input, layout: nchw, size: [224, 224], channels: rgb, mean: 127.5, std: 127.5, resize: crop }}\n\
         embedding: {{ tensor: embedding, dim: 1280 }}\n",
        file.display()
    );
    Ok(Manifest::parse(&text, &file)?)
}

fn collect(folder: &Path, pictures: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, pictures)?;
        } else {
            pictures.push(path);
        }
    }
    Ok(())
}
