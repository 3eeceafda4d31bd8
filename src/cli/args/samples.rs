//! `samples`: what can be done with the samples in the store.

use std::path::PathBuf;

use clap::Subcommand;

use crate::wire::ImagePrefix;

/// `samples`
#[derive(Debug, Subcommand)]
pub enum Samples {
    /// List every sample with its label and its prediction, oldest first
    #[command(after_help = "Example:\n  edgetuned samples list --unlabelled --limit 20")]
    List(SampleList),
    /// Export every sample with its label and its metadata to a file
    #[command(after_help = "Example:\n  edgetuned samples export --out labels.csv")]
    Export {
        /// Output file: .csv, or .jsonl (.ndjson) with one object a line
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Import the labels in a file; the daemon must not be running
    #[command(
        long_about = "\
Import the labels in a file; the daemon must not be running.

Only 'image', an image's SHA-256 or its first 8 or more digits, and 'label' are read; an empty label removes the current one. Other columns are ignored, so an exported file can be edited and imported. If any line is bad, nothing changes.",
        after_help = "Example:\n  edgetuned samples import labels.csv"
    )]
    Import {
        /// A .csv with a header, or a .jsonl (.ndjson) with one object a line
        file: PathBuf,
    },
    /// Undo the latest change of labels, repeat for the one before; the daemon must not be running
    Undo,
    /// List every label that an image was ever given
    History {
        /// Its SHA-256, or the first 8 or more digits
        image: ImagePrefix,
    },
}

/// `samples list`
#[derive(Debug, clap::Args)]
pub struct SampleList {
    /// Only those with a label
    #[arg(long, conflicts_with = "unlabelled")]
    pub labelled: bool,
    /// Only those without a label
    #[arg(long)]
    pub unlabelled: bool,
    /// Only those with this label
    #[arg(long, value_name = "CLASS", conflicts_with = "unlabelled")]
    pub class: Option<String>,
    /// Only the latest of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}
