//! `edgetuned export`: a head and its backbone as one ONNX file.

use std::path::Path;

use ndarray::Array2;
use serde::Serialize;

use super::args::{Args, Export};
use super::configuration;
use super::evaluate;
use super::failure::Failure;
use super::file;
use super::output::Output;
use super::report::HeadFile;
use crate::backbone::{Embedding, Manifest, OnnxBackbone, PROBABILITIES, Pool, with_head};
use crate::head::{BackboneRef, HeadRecord};
use crate::image::Rgb;
use crate::ports::Embedder;
use crate::words::{Digest, Label};

/// How far a probability of the exported model may be from the program's own.
const TOLERANCE: f32 = 1e-4;

#[derive(Debug, Serialize)]
struct Done {
    out: String,
    bytes: usize,
    head: HeadFile,
    backbone: BackboneRef,
    classes: Vec<Label>,
    input: String,
    output: &'static str,
    /// Pictures on which both were compared.
    probes: usize,
    /// Largest difference between a probability of the exported model and the program's own.
    largest_difference: f32,
}

pub fn export(args: &Args, command: &Export, output: Output) -> Result<(), Failure> {
    let out = &command.out;
    let free = || match out.symlink_metadata() {
        Ok(_) if !command.force => {
            Err(Failure::failed(format!("{} exists; give another --out, or --force to replace it", out.display())))
        }
        _ => Ok(()),
    };
    free()?;
    let config = configuration::if_named(args)?;
    let (record, manifest) = evaluate::find(config.as_ref(), &command.head)?;
    // With --force the file's own sources would be lost.
    for source in [&command.head.file, &manifest.file, &manifest.path] {
        if same(out, source) {
            return Err(Failure::usage(format!("--out {} is what is exported; give another file", out.display())));
        }
    }
    let threads = config.map_or(1, |config| config.backbone.threads);
    let mut backbone = OnnxBackbone::open(&manifest, threads)?;
    let probes = probes(&backbone);
    let expected = probabilities(&mut backbone, &probes)
        .and_then(|embeddings| record.dense.probabilities_of(&embeddings).map_err(Failure::failed))?;
    drop(backbone);

    let (bytes, _) = crate::backbone::read(&manifest)?;
    let model = with_head(&bytes, &manifest, &OnnxBackbone::shape(&manifest)?, &record)
        .map_err(|error| Failure::failed(format!("cannot export {}: {error}", command.head.file.display())))?;
    let classes = record.dense.classes.labels().to_vec();
    let largest_difference = file::write_checked(out, &model, |written| {
        let found = exported(&manifest, written, Digest::of(&model), classes.len());
        let found = probabilities(&mut OnnxBackbone::open(&found, threads)?, &probes)?;
        let apart = (&found - &expected).iter().fold(0.0, |apart: f32, difference| apart.max(difference.abs()));
        if apart > TOLERANCE {
            return Err(Failure::failed(format!(
                "the exported model's probabilities differ from the program's own by {apart}, expected at most \
                 {TOLERANCE}; {} was not written: report it, with the name of the backbone",
                out.display()
            )));
        }
        free().map(|()| apart)
    })?;
    let done = Done {
        out: out.display().to_string(),
        bytes: model.len(),
        head: head_file(&record, &command.head.file),
        backbone: record.backbone.clone(),
        classes,
        input: manifest.input.clone(),
        output: PROBABILITIES,
        probes: probes.len(),
        largest_difference,
    };
    output.print(&done, |out| {
        let (height, width) = manifest.preprocess.size;
        let names: Vec<&str> = done.classes.iter().map(Label::as_str).collect();
        writeln!(out, "model      {} ({} bytes)", done.out, done.bytes)?;
        writeln!(out, "head       {} ({})", done.head.path, done.head.id)?;
        writeln!(out, "backbone   {} ({} values)", done.backbone.name, done.backbone.dim)?;
        writeln!(out, "classes    {}: {}", names.len(), names.join(", "))?;
        writeln!(out, "input      {}, {height}x{width}; its preparation is in the metadata", done.input)?;
        writeln!(out, "output     {PROBABILITIES}, in the order of the classes")?;
        writeln!(out, "checked    in ONNX Runtime on {} pictures: within {largest_difference:.1e}", done.probes)
    })
}

fn head_file(record: &HeadRecord, path: &Path) -> HeadFile {
    HeadFile { id: record.head.id.clone(), version: record.head.version, path: path.display().to_string() }
}

/// Whether both paths lead to one file.
fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// The exported model seen as a backbone whose embedding are the probabilities of `k` classes.
fn exported(manifest: &Manifest, file: &Path, sha256: Digest, k: usize) -> Manifest {
    let embedding = Embedding { tensor: PROBABILITIES.to_owned(), dim: k, pool: Pool::None };
    Manifest { file: file.to_owned(), path: file.to_owned(), sha256, embedding, ..manifest.clone() }
}

/// Tensors of pictures that differ much: plain grey, a slope of each colour in its own direction, and noise.
fn probes(backbone: &OnnxBackbone) -> Vec<Vec<f32>> {
    const SIDE: u32 = 256;
    let pictures: [fn(u32, u32) -> [u32; 3]; 3] = [
        |_, _| [128; 3],
        |x, y| [x, y, 255 - x.midpoint(y)],
        // Three of the primes that scatter neighbours: no two of them are alike.
        |x, y| [7919, 104_729, 1_299_709].map(|prime| (x * SIDE + y + 1).wrapping_mul(prime) >> 7),
    ];
    let tensor = |picture: fn(u32, u32) -> [u32; 3]| {
        let places = (0..SIDE).flat_map(|y| (0..SIDE).map(move |x| (x, y)));
        let pixels = places.flat_map(|(x, y)| picture(x, y)).map(|value| (value & 255) as u8).collect();
        backbone.preprocess().apply(&Rgb::new(SIDE, SIDE, pixels).expect("three bytes a pixel"))
    };
    pictures.into_iter().map(tensor).collect()
}

/// What `network` makes of the tensors (n, 3*h*w): (n, dim).
fn probabilities(network: &mut OnnxBackbone, tensors: &[Vec<f32>]) -> Result<Array2<f32>, Failure> {
    let values = network.embed(&tensors.concat(), tensors.len())?;
    Array2::from_shape_vec((tensors.len(), network.space().dim), values).map_err(Failure::failed)
}
