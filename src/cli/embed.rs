//! `edgetuned embed`: embeddings for other programs.

mod npz;
mod parquet;

use std::ffi::OsStr;
use std::path::Path;

use ndarray::Array2;
use serde::Serialize;

use super::args::{Args, Embed};
use super::configuration;
use super::dataset::{self, Found, PassedOver};
use super::embedding::Embeddings;
use super::failure::Failure;
use super::output::{Output, write_file};
use super::report::{Refused, refused};
use crate::head::BackboneRef;
use crate::words::Region;

/// What is written: a row an image.
struct Table<'a> {
    /// SHA-256 in hexadecimal (n,).
    ids: &'a [String],
    /// (n,)
    paths: &'a [String],
    /// (n, dim)
    embeddings: &'a Array2<f32>,
}

/// How it is written.
enum Format {
    Npz,
    Parquet,
}

impl Format {
    /// By the file's extension.
    fn of(out: &Path) -> Result<Self, Failure> {
        let extension = out.extension().map(OsStr::to_ascii_lowercase);
        match extension.as_deref().and_then(|extension| extension.to_str()) {
            Some("npz") => Ok(Self::Npz),
            Some("parquet") => Ok(Self::Parquet),
            _ => Err(Failure::usage(format!("cannot write {}: name the file .npz or .parquet", out.display()))),
        }
    }
}

#[derive(Debug, Serialize)]
struct Done {
    out: String,
    backbone: BackboneRef,
    /// What of each picture was embedded, unless it is the whole.
    #[serde(skip_serializing_if = "Region::is_whole")]
    region: Region,
    n: usize,
    embedded: usize,
    embed_seconds: f64,
    refused: Vec<Refused>,
    /// Pictures of kinds that are not read, by ending.
    passed_over: PassedOver,
}

pub fn embed(args: &Args, command: &Embed, output: Output) -> Result<(), Failure> {
    let format = Format::of(&command.out)?;
    let Found { pictures: files, passed_over } = dataset::pictures(&command.dir)?;
    let config = configuration::if_named(args)?;
    let region = command.region.region();
    let mut embeddings = Embeddings::open(config.as_ref(), command.backbone.as_deref(), &region)?;
    let embedded = embeddings.embed(&files, output)?;
    let ids: Vec<String> = embedded.ids.iter().map(ToString::to_string).collect();
    let paths: Vec<String> = embedded.files.iter().map(|file| files[*file].display().to_string()).collect();
    let table = Table { ids: &ids, paths: &paths, embeddings: &embedded.embeddings };
    let bytes = match format {
        Format::Npz => npz::bytes(&table).map_err(Failure::failed)?,
        Format::Parquet => parquet::bytes(&table).map_err(Failure::failed)?,
    };
    write_file(&command.out, &bytes)?;
    let done = Done {
        out: command.out.display().to_string(),
        backbone: embeddings.reference(),
        region,
        n: ids.len(),
        embedded: embedded.computed,
        embed_seconds: embedded.seconds,
        refused: refused(&embedded, |index| files[index].clone()),
        passed_over,
    };
    output.print(&done, |out| {
        let of = if done.region.is_whole() { String::new() } else { format!(" of {}", done.region.in_words()) };
        writeln!(
            out,
            "{}: {} embeddings{of} of {} values ({} new) in {:.2} s",
            done.out, done.n, done.backbone.dim, done.embedded, done.embed_seconds
        )?;
        done.refused.iter().try_for_each(|refused| writeln!(out, "left out   {}", refused.line()))
    })
}
