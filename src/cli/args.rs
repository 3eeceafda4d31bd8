//! What can be typed.

mod ctl;
mod samples;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Parser, Subcommand};

use super::values::{divisor, keyword, manifest, normalization, normalizations, per_channel, positive, ratio, size};
use crate::backbone::{Normalization, Pool};
use crate::image::{Channels, Layout, Resize};
use crate::train::{HeadKind, Solver};

pub use ctl::{Ctl, CtlCommand, CtlSamples};
pub use samples::{SampleList, Samples};

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
  edgetuned train photographs --solver adam --epochs 50 --batch 32 --lr 1e-3
  edgetuned train photographs --head auto                 try every kind of head, keep the simplest good one")]
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
    /// Write a head and its backbone as one ONNX file, for any runtime
    #[command(after_help = "Example:\n  edgetuned export --head parts.safetensors --out parts.onnx")]
    Export(Export),
    /// List bundled backbones, look into a model, write a model's manifest
    #[command(subcommand)]
    Backbone(Backbone),
    /// List, show, promote and roll back the heads in the store
    #[command(subcommand)]
    Heads(Heads),
    /// Talk to the running daemon over its socket
    Ctl(Ctl),
    /// List, export and import the samples in the store and their labels; take changes of labels back
    #[command(subcommand)]
    Samples(Samples),
    /// Sign updates of heads and backbones, check them, send them to a device
    #[command(subcommand)]
    Update(super::update::Update),
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
    /// Kind of head [default: the configuration's, else softmax]
    #[arg(long, value_parser = keyword::<HeadKind>(), value_name = "KIND")]
    pub head: Option<HeadKind>,
    /// Where the head is written; its report goes beside it
    #[arg(long, value_name = "HEAD", default_value = "head.safetensors")]
    pub out: PathBuf,
    /// Take only this many pictures of each class, drawn with --seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub shots: Option<u32>,
    /// Seed of everything random
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How a softmax head is fitted [default: lbfgs, or adam when --epochs, --batch or --lr are given]
    #[arg(long, value_parser = keyword::<Solver>())]
    pub solver: Option<Solver>,
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

/// `export`
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    pub head: HeadChoice,
    /// Where the model is written
    #[arg(long, value_name = "MODEL.onnx")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
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
    /// Write the manifest of a model of your own, proved on pictures
    #[command(after_help = "\
Examples:
  edgetuned backbone add resnet18.onnx --normalize imagenet
  edgetuned backbone add mobilenet.onnx --mean 127.5 --std 127.5 --license Apache-2.0
  edgetuned backbone add dinov2.onnx --normalize imagenet --size 224 --tensor pooler_output")]
    Add(Box<Add>),
}

/// `backbone add`
#[derive(Debug, clap::Args)]
pub struct Add {
    /// An ONNX model
    pub file: PathBuf,
    /// Where the manifest is written [default: beside the model, its name with .yaml]
    #[arg(long, value_name = "MANIFEST", value_parser = manifest)]
    pub out: Option<PathBuf>,
    /// What reports call the backbone [default: the model file's name]
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub name: Option<String>,
    /// Name of the input tensor [default: the model's only one]
    #[arg(long, value_name = "TENSOR")]
    pub input: Option<String>,
    /// Order of the input's axes [default: from the model]
    #[arg(long, value_parser = keyword::<Layout>())]
    pub layout: Option<Layout>,
    /// Height and width, 224 or 192x256 [default: from the model]
    #[arg(long, value_name = "HxW", value_parser = size)]
    pub size: Option<(u32, u32)>,
    /// Order of the colours [default: rgb, or the normalisation's]
    #[arg(long, value_parser = keyword::<Channels>())]
    pub channels: Option<Channels>,
    /// How pixels were normalised in training, by its known name
    #[arg(long, value_name = "NAME", value_parser = normalization, conflicts_with_all = ["mean", "std"],
        long_help = normalizations())]
    pub normalize: Option<Normalization>,
    /// Subtracted: one number or three, on 0..255 values, in the order of the channels
    #[arg(long, value_name = "M[,M,M]", value_parser = per_channel, requires = "std", allow_hyphen_values = true)]
    pub mean: Option<[f32; 3]>,
    /// Divided by: one number or three
    #[arg(long, value_name = "S[,S,S]", value_parser = divisor, requires = "mean")]
    pub std: Option<[f32; 3]>,
    /// Multiplied with, before the mean is subtracted: one number or three [default: 1]
    #[arg(long, value_name = "S[,S,S]", value_parser = per_channel, allow_hyphen_values = true)]
    pub scale: Option<[f32; 3]>,
    /// How pictures get the model's size [default: crop]
    #[arg(long, value_parser = keyword::<Resize>())]
    pub resize: Option<Resize>,
    /// For crop: its side in the shorter side of the picture [default: 0.875]
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub crop_ratio: Option<f32>,
    /// For letterbox: grey value of the border [default: 114]
    #[arg(long, value_name = "GREY")]
    pub pad: Option<u8>,
    /// The embedding: an output or an inner tensor [default: the likeliest that 'inspect' lists]
    #[arg(long)]
    pub tensor: Option<String>,
    /// What happens to its height and width, or tokens [default: what its shape asks for]
    #[arg(long, value_parser = keyword::<Pool>())]
    pub pool: Option<Pool>,
    /// Licence of the weights, for the manifest
    #[arg(long, value_name = "TEXT")]
    pub license: Option<String>,
    /// Where the weights come from, for the manifest
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Replace a manifest that is there
    #[arg(long)]
    pub force: bool,
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
