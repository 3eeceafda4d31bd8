//! `edgetuned statistics`: what this device shares with its fleet, as a file.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::args::Args;
use super::configuration;
use super::failure::Failure;
use super::output::Output;
use super::task::TaskChoice;
use crate::fleet::Statistics as Sums;
use crate::shared::backbone::BackboneInUse;
use crate::shared::fleet::Labelled;
use crate::shared::views;
use crate::store::{Reader, files};
use crate::words::{Digest, Label, TaskId};

/// `statistics`
#[derive(Debug, clap::Args)]
pub struct Statistics {
    #[command(flatten)]
    pub task: TaskChoice,
    #[command(flatten)]
    pub file: StatisticsFile,
}

/// Which statistics, and where to.
#[derive(Debug, clap::Args)]
pub struct StatisticsFile {
    /// Output file
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Shorten embeddings to so many values, for a slow link [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    pub values: Option<u32>,
}

/// What was written.
#[derive(Debug, Serialize)]
pub struct Written {
    out: PathBuf,
    bytes: u64,
    sha256: Digest,
    task: TaskId,
    /// Values of an embedding in it.
    values: usize,
    classes: Vec<Class>,
}

#[derive(Debug, Serialize)]
struct Class {
    label: Label,
    images: u64,
}

pub fn statistics(args: &Args, command: &Statistics, output: Output) -> Result<(), Failure> {
    let config = configuration::load(args)?;
    let task = command.task.meant(&config)?;
    if !config.fleet.share {
        return Err(Failure::failed(
            "fleet.share is false, so nothing leaves this device; docs/fleet.md says what statistics reveal: set it to true to share them",
        ));
    }
    let manifest = BackboneInUse::find(&config)?.manifest;
    let reader = Reader::open(&config.store.path, views::spaces_in_use(&config, manifest.space()))?;
    let training = &task.task().training;
    let labelled =
        Labelled { reader: &reader, task: task.id(), max_samples: training.max_samples, seed: training.seed };
    let values = command.file.values.map(|values| values as usize);
    let sums =
        labelled.statistics(manifest.reference(), config.fleet.min_class_count, values).map_err(Failure::failed)?;
    write(&command.file.out, &sums.to_bytes(), output)
}

/// Writes the bytes of a statistics file, and says what is in it.
pub fn write(out: &Path, bytes: &[u8], output: Output) -> Result<(), Failure> {
    let sums = Sums::from_bytes(bytes).map_err(Failure::failed)?;
    files::write(out, bytes).map_err(|error| {
        Failure::failed(format!("cannot write {}: {error}; check the folder and the free space", out.display()))
    })?;
    let written = Written {
        out: out.to_owned(),
        bytes: bytes.len() as u64,
        sha256: Digest::of(bytes),
        task: sums.source.task.clone(),
        values: sums.sums.dim(),
        classes: sums.counts().map(|(label, images)| Class { label: label.clone(), images }).collect(),
    };
    output.print(&written, |out| {
        let Written { bytes, values, .. } = &written;
        for Class { label, images } in &written.classes {
            writeln!(out, "{images:>8}  {label}")?;
        }
        writeln!(
            out,
            "{}: {bytes} bytes, sums of {values} values a picture; no picture is in it",
            written.out.display()
        )
    })
}
