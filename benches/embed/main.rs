//! Milliseconds of ONNX Runtime a picture for every bundled backbone, then images a second of the whole way (read,
//! decode, prepare, embed) beside ONNX Runtime alone on a ready tensor.
//!
//! `cargo bench --bench embed [-- MANIFEST FOLDER]`: pictures of the synthetic camera and, where they are, the trashnet
//! photographs of `../shared/data`, with `MobileNetV2` from there and the bundled `photo`. Beside it runs Pillow with
//! onnxruntime (`peer.py`) in `EDGETUNED_PYTHON` or `python3`. One thread in each runtime; decoding runs beside ours, as in
//! `edgetuned embed`, so on one core (`taskset -c 0`) both have the same. What is compared is measured in turns, so that a
//! busy machine hits all of it.
//!
//! `-- together` compares runs of one picture with runs of several, and nothing else.

#[allow(dead_code, reason = "other programs use the rest")]
#[path = "../../tests/support/camera/mod.rs"]
mod camera;
mod peer;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use camera::{Camera, Light, Part};
use edgetuned::backbone::{Manifest, OnnxBackbone, bundled, embed_all};
use edgetuned::image::{Decode, Limits, Preprocess};
use edgetuned::ports::Embedder;
use edgetuned::words::Region;
use peer::Peer;

const ROUNDS: usize = 3;
/// Of the bundled backbones, one picture each.
const TURNS: usize = 60;
/// Pictures in a run; more than the last are given to the network in several.
const TOGETHER: [usize; 3] = [1, 2, 4];
/// The backbone that the others are compared with, and how many times its time another may take.
const COMPARED: &str = "photo";
const BARS: [(&str, f64); 1] = [("fast", 3.0)];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if arguments.first().is_some_and(|argument| argument == "together") {
        return together();
    }
    all_bundled()?;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let temporary = tempfile::tempdir()?;
    let mut sets = vec![
        ("pictures of 640 x 480", drawn(temporary.path(), 120, (640, 480))?),
        ("pictures of 4000 x 3000", drawn(temporary.path(), 12, (4000, 3000))?),
    ];
    let mut manifests = vec![Manifest::resolve("photo")?];
    if let Some(folder) =
        arguments.get(1).map(PathBuf::from).or_else(|| data.is_dir().then(|| data.join("images/trashnet")))
    {
        let mut photographs = Vec::new();
        collect(&folder, &mut photographs)?;
        photographs.sort();
        sets.insert(0, ("photographs", photographs));
    }
    match arguments.first() {
        Some(manifest) => manifests = vec![Manifest::resolve(manifest)?],
        None if data.is_dir() => manifests.insert(0, mobilenet(&data)?),
        None => println!("skipped: MobileNetV2 and photographs; ../shared/data is not here"),
    }
    for manifest in &manifests {
        for (what, pictures) in &sets {
            whole_way(manifest, what, pictures)?;
            for decode in [Decode::Exact, Decode::Scaled] {
                let mut manifest = manifest.clone();
                manifest.preprocess.decode = decode;
                steps(&manifest, &format!("{what}, {}", decode.as_str()), pictures)?;
            }
        }
    }
    Ok(())
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

/// The runtime alone with several ready pictures in a run: medians over the turns, in which each way comes once.
fn together() -> Result<(), Box<dyn std::error::Error>> {
    println!("ms a picture with so many in a run, median of {TURNS} turns");
    for (name, manifest) in bundled::list() {
        let Some(manifest) = manifest.ok().filter(|manifest| manifest.file.is_file()) else { continue };
        for threads in [1, 2] {
            let mut backbone = OnnxBackbone::open(&manifest, threads)?;
            let mut taken = TOGETHER.map(|pictures| (pictures, vec![]));
            let most = TOGETHER.into_iter().max().unwrap_or(1);
            let tensor = vec![0.1; most * backbone.preprocess().tensor_len()];
            for turn in 0..TURNS + 3 {
                for (pictures, taken) in &mut taken {
                    let tensor = &tensor[..*pictures * backbone.preprocess().tensor_len()];
                    let started = Instant::now();
                    backbone.embed(tensor, *pictures)?;
                    // The first turns warm caches and allocators.
                    if turn >= 3 {
                        taken.push(1000.0 * started.elapsed().as_secs_f64() / *pictures as f64);
                    }
                }
            }
            let row = taken.map(|(pictures, taken)| format!("{pictures}: {:6.2}", median(taken)));
            println!("{name:16} {threads} threads  {}", row.join("  "));
        }
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Seconds of all pictures of a set, in each way, over all rounds.
#[derive(Default)]
struct Taken {
    exact: f64,
    scaled: f64,
    alone: f64,
    pillow: Option<f64>,
    draft: Option<f64>,
}

/// The whole way of these pictures beside ONNX Runtime alone, and beside Pillow with onnxruntime where they are.
fn whole_way(manifest: &Manifest, what: &str, pictures: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    let open = |decode: Decode| {
        let mut manifest = manifest.clone();
        manifest.preprocess.decode = decode;
        OnnxBackbone::open(&manifest, 1)
    };
    let (mut exact, mut scaled) = (open(Decode::Exact)?, open(Decode::Scaled)?);
    let tensor = vec![0.1; exact.preprocess().tensor_len()];
    let mut peer = Peer::start(manifest, pictures);
    let mut taken =
        Taken { pillow: peer.is_some().then_some(0.0), draft: peer.is_some().then_some(0.0), ..Taken::default() };
    for round in 0..=ROUNDS {
        let seconds = [embedded(&mut exact, pictures)?, embedded(&mut scaled, pictures)?];
        let started = Instant::now();
        for _ in pictures {
            exact.embed(&tensor, 1)?;
        }
        let alone = started.elapsed().as_secs_f64();
        let of_peer = |how| peer.as_mut().and_then(|peer| peer.seconds(how));
        let [pillow, draft] = ["exact", "draft"].map(of_peer);
        // The first round warms caches and allocators.
        if round > 0 {
            taken.exact += seconds[0];
            taken.scaled += seconds[1];
            taken.alone += alone;
            taken.pillow = taken.pillow.zip(pillow).map(|(sum, more)| sum + more);
            taken.draft = taken.draft.zip(draft).map(|(sum, more)| sum + more);
        }
    }
    let each = |seconds: f64| 1000.0 * seconds / (ROUNDS * pictures.len()) as f64;
    let peer_of = |seconds: Option<f64>| {
        seconds.map_or_else(
            || "not run".to_owned(),
            |of| {
                format!(
                    "{:.2} ms, {:.2} times exact, {:.2} times scaled",
                    each(of),
                    of / taken.exact,
                    of / taken.scaled
                )
            },
        )
    };
    println!("{} on {} {what}", exact.name(), pictures.len());
    println!(
        "  exact            {:7.2} ms, ONNX Runtime alone is {:.3} of it",
        each(taken.exact),
        taken.alone / taken.exact
    );
    println!(
        "  scaled           {:7.2} ms, ONNX Runtime alone is {:.3} of it",
        each(taken.scaled),
        taken.alone / taken.scaled
    );
    println!("  runtime alone    {:7.2} ms", each(taken.alone));
    println!("  Pillow           {}", peer_of(taken.pillow));
    println!("  Pillow's draft   {}", peer_of(taken.draft));
    if let Some(peer) = &peer {
        println!("  {}", peer.versions);
    }
    Ok(())
}

/// Seconds of reading, decoding, preparing and embedding all pictures.
fn embedded(backbone: &mut OnnxBackbone, pictures: &[PathBuf]) -> Result<f64, Box<dyn std::error::Error>> {
    let started = Instant::now();
    let read = |path: &&PathBuf, preprocess: &Preprocess, regions: &[Region]| {
        let looked = preprocess.look(&std::fs::read(path)?, &Limits::default(), regions);
        looked.map(|looked| looked.tensors).map_err(std::io::Error::other)
    };
    let mut failed = 0;
    embed_all(backbone, pictures, read, |_, result| {
        failed += usize::from(result.is_err());
        ControlFlow::Continue(())
    })?;
    if failed > 0 {
        return Err(format!("{failed} pictures cannot be embedded").into());
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Milliseconds of each step of one picture after another.
fn steps(manifest: &Manifest, what: &str, pictures: &[PathBuf]) -> Result<(), Box<dyn std::error::Error>> {
    let limits = Limits::default();
    let [mut read, mut decoding, mut preparing] = [0.0; 3];
    let timed = |sum: &mut f64, started: Instant| *sum += started.elapsed().as_secs_f64();
    for path in pictures {
        let started = Instant::now();
        let bytes = std::fs::read(path)?;
        timed(&mut read, started);
        let started = Instant::now();
        let image = manifest.preprocess.decode(&bytes, &limits, &Region::WHOLE)?;
        timed(&mut decoding, started);
        let started = Instant::now();
        std::hint::black_box(manifest.preprocess.apply(&image));
        timed(&mut preparing, started);
    }
    let each = |seconds: f64| 1000.0 * seconds / pictures.len() as f64;
    println!(
        "steps of {} {what}: read {:.3} ms, decode {:.3}, prepare {:.3}",
        pictures.len(),
        each(read),
        each(decoding),
        each(preparing)
    );
    Ok(())
}

/// Pictures of the synthetic camera, of this size.
fn drawn(folder: &Path, count: u64, (width, height): (u32, u32)) -> std::io::Result<Vec<PathBuf>> {
    let camera = Camera::new(1).with_size(width, height);
    let write = |index: u64| {
        let path = folder.join(format!("{width}-{index}.jpg"));
        std::fs::write(&path, camera.jpeg(Part::ALL[index as usize % 8], index, &Light::DAY))?;
        Ok(path)
    };
    (0..count).map(write).collect()
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
