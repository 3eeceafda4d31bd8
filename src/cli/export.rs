//! `edgetuned export`: a head and its backbone as one ONNX file.

use std::path::Path;

use serde::Serialize;

use super::args::{Args, Export};
use super::configuration;
use super::embedding;
use super::failure::Failure;
use super::output::{Output, listed, same, write_checked};
use super::report::HeadFile;
use crate::backbone::{Alone, PROBABILITIES, Proof, with_head};
use crate::head::{BackboneRef, HeadRecord};
use crate::words::{Digest, Label, Region};

#[derive(Debug, Serialize)]
struct Done {
    out: String,
    bytes: usize,
    head: HeadFile,
    backbone: BackboneRef,
    /// What has to be cut out of a picture before it is prepared, unless it is the whole.
    #[serde(skip_serializing_if = "Region::is_whole")]
    region: Region,
    classes: Vec<Label>,
    input: String,
    output: &'static str,
    /// Pictures on which both were compared.
    probes: usize,
    /// Largest difference between a probability of the exported model and the program's own.
    largest_difference: f32,
    /// Pictures that it takes at once, where it takes but one though its backbone's input takes more.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<usize>,
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
    let (record, manifest) = embedding::find_head(config.as_ref(), &command.head)?;
    // With --force the file's own sources would be lost.
    for source in [&command.head.file, &manifest.file, &manifest.path] {
        if same(out, source) {
            return Err(Failure::usage(format!(
                "--out {} is the head that is exported; give another file",
                out.display()
            )));
        }
    }
    let threads = config.map_or(1, |config| config.backbone.threads);
    let proof = Proof::prepare(&manifest, threads, &record)?;
    let (bytes, _) = crate::backbone::read(&manifest)?;
    let model = with_head(&bytes, &manifest, proof.cut(), &record)
        .map_err(|error| Failure::failed(format!("cannot export {}: {error}", command.head.file.display())))?;
    let classes = record.dense.classes.labels().to_vec();
    let largest_difference = write_checked(out, &model, |written| {
        let apart = proof.compare(written, Digest::of(&model))?;
        free().map(|()| apart)
    })?;
    let done = Done {
        out: out.display().to_string(),
        bytes: model.len(),
        head: head_file(&record, &command.head.file),
        backbone: record.backbone.clone(),
        region: record.region.clone(),
        classes,
        input: manifest.input.clone(),
        output: PROBABILITIES,
        probes: proof.pictures(),
        largest_difference,
        batch: proof.cut().alone.map(|_| 1),
    };
    output.print(&done, |out| {
        let (height, width) = manifest.preprocess.size;
        writeln!(out, "model      {} ({} bytes)", done.out, done.bytes)?;
        writeln!(out, "head       {} ({})", done.head.path, done.head.id)?;
        writeln!(out, "backbone   {} ({} values)", done.backbone.name, done.backbone.dim)?;
        writeln!(out, "classes    {}: {}", done.classes.len(), listed(&done.classes))?;
        writeln!(out, "input      {}, {height}x{width}; its preparation is in the metadata", done.input)?;
        if !done.region.is_whole() {
            writeln!(out, "region     {}; cut it out before, as the metadata says", done.region)?;
        }
        if let Some(alone) = proof.cut().alone {
            let why = match alone {
                Alone::Written => "a batch of 1 is written into the backbone",
                Alone::Quantised => "the backbone quantises by what is in the batch",
            };
            writeln!(out, "batch      one picture at a time: {why}")?;
        }
        writeln!(out, "output     {PROBABILITIES}, in the order of the classes")?;
        writeln!(out, "checked    in ONNX Runtime on {} pictures: within {largest_difference:.1e}", done.probes)
    })
}

fn head_file(record: &HeadRecord, path: &Path) -> HeadFile {
    HeadFile { id: record.head.id.clone(), version: record.head.version, path: path.display().to_string() }
}
