//! `edgetuned samples export`: every sample with its label to a file, or the pictures themselves.

use std::path::PathBuf;

use serde::Serialize;

use super::file::{self, LeftOut, say_left_out};
use super::format::{self, Format};
use super::label_studio::{self, Images};
use super::pictures::{self, Layout, Put};
use super::{parquet, reader};
use crate::cli::failure::{Failure, one_line};
use crate::cli::output::{Output, write_file};
use crate::cli::task::Meant;
use crate::config::Config;
use crate::shared;

/// `samples export`
#[derive(Debug, clap::Args)]
pub struct Export {
    /// Output: .csv, .jsonl, .parquet, .json for Label Studio, .tar or a new folder/ for the pictures themselves
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Its format [default: by the name of the file]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// With pictures: also those without a label
    #[arg(long)]
    pub unlabelled: bool,
    /// In a folder: links to the files in place of copies
    #[arg(long)]
    pub links: bool,
    /// For Label Studio: the address before the path of each picture below its watched folder; {image} in it stands for the
    /// picture's SHA-256, and then no path follows
    #[arg(long, value_name = "ADDRESS")]
    pub image_root: Option<String>,
}

#[derive(Debug, Serialize)]
struct Exported {
    out: String,
    samples: usize,
    /// Those that were left out for want of a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    unlabelled: Option<usize>,
    /// Those that were left out because they are excluded.
    #[serde(skip_serializing_if = "Option::is_none")]
    excluded: Option<usize>,
    /// Pictures of which nobody has the bytes any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left_out: Vec<LeftOut>,
}

pub fn export(config: &Config, task: &Meant, asked: &Export, output: Output) -> Result<(), Failure> {
    let out = asked.out.as_path();
    let format = format::of(out, asked.format, "write")?;
    check(asked, format)?;
    let reader = reader(config)?;
    let rows = shared::samples(&reader, task.id(), task.seed())?;
    let out_name = out.display().to_string();
    let mut done =
        Exported { out: out_name, samples: rows.len(), unlabelled: None, excluded: None, left_out: Vec::new() };
    let bytes = match format {
        Format::Csv => file::csv(&rows, task.name()).map_err(Failure::failed)?,
        Format::JsonLines => file::json_lines(&rows, task.name()).map_err(Failure::failed)?,
        Format::Parquet => parquet::bytes(&rows, task.name()).map_err(Failure::failed)?,
        Format::LabelStudio => {
            let images = Images::new(config, asked.image_root.as_deref());
            label_studio::bytes(&reader, task, &rows, &images)?
        }
        Format::Folders | Format::ImageFolder => {
            let layout = if format == Format::Folders { Layout::Classes } else { Layout::Flat };
            let put = pictures::export(&reader, rows, asked, layout, output)?;
            let Put { pictures: samples, unlabelled, excluded, left_out } = put;
            done = Exported { samples, unlabelled: Some(unlabelled), excluded: Some(excluded), left_out, ..done };
            Vec::new()
        }
    };
    if done.unlabelled.is_none() {
        write_file(out, &bytes)?;
    }
    output.print(&done, |to| {
        writeln!(to, "{} samples in {}", done.samples, one_line(&done.out))?;
        if let Some(unlabelled @ 1..) = done.unlabelled {
            writeln!(to, "without a label, and left out: {unlabelled}; --unlabelled writes them too")?;
        }
        if let Some(excluded @ 1..) = done.excluded {
            writeln!(to, "excluded, and left out: {excluded}")?;
        }
        say_left_out(&done.left_out, to)
    })
}

/// Whether the options belong to the format.
fn check(asked: &Export, format: Format) -> Result<(), Failure> {
    let has_pictures = matches!(format, Format::Folders | Format::ImageFolder);
    if asked.unlabelled && !has_pictures {
        return Err(Failure::usage(
            "--unlabelled is about pictures, a .tar or a folder; all other formats have every sample",
        ));
    }
    if asked.links && (!has_pictures || format::is_archive(&asked.out)) {
        return Err(Failure::usage("--links needs a folder to write into; end --out with a slash"));
    }
    if asked.image_root.is_some() && format != Format::LabelStudio {
        return Err(Failure::usage("--image-root is about Label Studio; name the file .json, or leave it out"));
    }
    Ok(())
}
