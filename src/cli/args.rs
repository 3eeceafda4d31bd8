//! What can be typed.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  edgetuned train photographs --out parts.safetensors     a folder per class becomes a head
  edgetuned predict new/*.jpg --head parts.safetensors    which class each picture is
  edgetuned check --config edgetuned.yaml                 every problem of a configuration at once
  edgetuned run --config edgetuned.yaml                   the daemon";

/// Transfer learning that adapts by itself at the edge.
#[derive(Debug, Parser)]
#[command(name = "edgetuned", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    /// Configuration of the daemon and of the store
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print one JSON document on standard output and nothing else
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on standard error; twice for every image
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: watch, embed, store, predict, train on schedule, report over MQTT
    Run,
    /// Validate the configuration and everything that it points at
    Check,
    /// Train a head from a folder per class
    #[command(after_help = "\
Examples:
  edgetuned train photographs                             report on held-out folds, head in head.safetensors
  edgetuned train photographs --test more --shots 10      ten pictures a class, report on other pictures
  edgetuned train photographs --solver adam --epochs 50 --batch 32 --lr 1e-3")]
    Train(Train),
    /// Say which class each picture is
    #[command(after_help = "Example:\n  edgetuned predict new/*.jpg --head parts.safetensors --json")]
    Predict(Predict),
    /// Measure a head on a folder per class
    #[command(after_help = "Example:\n  edgetuned evaluate more --head parts.safetensors")]
    Evaluate(Evaluate),
    /// Write the embeddings of a folder's pictures
    #[command(after_help = "Example:\n  edgetuned embed photographs --out embeddings.npz")]
    Embed(Embed),
    /// List bundled backbones, look into a model
    #[command(subcommand)]
    Backbone(Backbone),
    /// List, show, promote and roll back the heads in the store
    #[command(subcommand)]
    Heads(Heads),
}

/// `train`
#[derive(Debug, clap::Args)]
pub struct Train {
    /// A folder with a folder of pictures for each class
    pub dir: PathBuf,
    /// Another such folder to measure on; without it the figures are of held-out folds
    #[arg(long, value_name = "DIR")]
    pub test: Option<PathBuf>,
    /// A bundled backbone's name or a manifest's path [default: the configuration's, else 'default']
    #[arg(long, value_name = "MODEL")]
    pub backbone: Option<String>,
    /// Kind of head
    #[arg(long, value_enum, default_value_t = HeadKind::Softmax)]
    pub head: HeadKind,
    /// Where the head is written; its report goes beside it
    #[arg(long, value_name = "HEAD", default_value = "head.safetensors")]
    pub out: PathBuf,
    /// Take only this many pictures of each class, drawn with --seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub shots: Option<u32>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How the head is fitted [default: lbfgs, or adam when --epochs, --batch or --lr are given]
    #[arg(long, value_enum)]
    pub solver: Option<SolverKind>,
    /// L2 penalty; chosen by cross-validation when not given
    #[arg(long, value_name = "LAMBDA", value_parser = positive)]
    pub l2: Option<f64>,
    /// Passes over the pictures (adam) [default: 50]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    /// Pictures a step (adam) [default: 32]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    /// Length of a step (adam) [default: 0.001]
    #[arg(long, value_parser = positive)]
    pub lr: Option<f64>,
}

/// `predict`
#[derive(Debug, clap::Args)]
pub struct Predict {
    /// Pictures
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub head: HeadChoice,
    /// Classes to name for each picture [default: the configuration's, else 3]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: Option<u32>,
}

/// `evaluate`
#[derive(Debug, clap::Args)]
pub struct Evaluate {
    /// A folder with a folder of pictures for each class
    pub dir: PathBuf,
    #[command(flatten)]
    pub head: HeadChoice,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// A head and the backbone that it needs.
#[derive(Debug, clap::Args)]
pub struct HeadChoice {
    /// The head's file
    #[arg(long = "head", value_name = "HEAD")]
    pub file: PathBuf,
    /// A manifest to look at beside the bundled backbones
    #[arg(long, value_name = "MODEL")]
    pub backbone: Option<String>,
}

/// `embed`
#[derive(Debug, clap::Args)]
pub struct Embed {
    /// A folder of pictures, with folders below it or without
    pub dir: PathBuf,
    /// Where the embeddings are written: .npz with the arrays ids, paths and embeddings
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// A bundled backbone's name or a manifest's path [default: the configuration's, else 'default']
    #[arg(long, value_name = "MODEL")]
    pub backbone: Option<String>,
}

/// `backbone`
#[derive(Debug, Subcommand)]
pub enum Backbone {
    /// Name the bundled backbones
    List,
    /// Show inputs, outputs and tensors that could be the embedding
    Inspect {
        /// An ONNX model
        file: PathBuf,
    },
}

/// `heads`
#[derive(Debug, Subcommand)]
pub enum Heads {
    /// Name every head in the store, oldest first
    List,
    /// Show one head's figures
    Show {
        /// Its id or version
        id: String,
    },
    /// Put a head in service; the daemon must not be running
    Promote {
        /// Its id or version
        id: String,
    },
    /// Put the head before the present one back in service; the daemon must not be running
    Rollback,
}

/// Kinds of head in this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HeadKind {
    /// Softmax regression
    Softmax,
}

/// How a head is fitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SolverKind {
    /// To the optimum, deterministic
    Lbfgs,
    /// The classic recipe in epochs and batches
    Adam,
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".into()),
    }
}
