//! What can be typed.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgAction, Parser, Subcommand};

use super::task::TaskChoice;
use super::values::{
    divisor, inner, keyword, manifest, normalization, normalizations, per_channel, positive, ratio, size,
};
use crate::backbone::{Inner, Normalization, Pool};
use crate::image::{Channels, Decode, Layout, Resize};
use crate::train::{HeadKind, Schedule, Solver, TailLayers};
use crate::words::Region;

const EXAMPLES: &str = "\
Examples:
  edgetuned train photographs --out parts.safetensors     train a head from a folder per class
  edgetuned predict new/*.jpg --head parts.safetensors    classify images
  edgetuned check --config edgetuned.yaml                 list every problem of a configuration
  edgetuned run --config edgetuned.yaml                   the daemon";

/// Train and run image classifiers on small devices.
#[derive(Debug, Parser)]
#[command(name = "edgetuned", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub struct Args {
    /// Configuration of the daemon and of the store
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// More log output on standard error; -vv logs every image
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the daemon: watch folders, classify images, train, report over MQTT
    Run,
    /// Check the configuration and everything it refers to
    Check(Check),
    /// Train a head from a folder with one subfolder per class
    #[command(after_help = "\
Examples:
  edgetuned train photographs                             cross-validated report, head in head.safetensors
  edgetuned train photographs --test more --shots 10      ten images a class, evaluated on other images
  edgetuned train photographs --solver adam --epochs 50 --batch 32 --lr 1e-3
  edgetuned train photographs --head auto                 try every kind of head, keep the simplest good one")]
    Train(Train),
    /// Classify images
    #[command(after_help = "Example:\n  edgetuned predict new/*.jpg --head parts.safetensors --json")]
    Predict(Predict),
    /// Evaluate a head on a folder with one subfolder per class
    #[command(after_help = "Example:\n  edgetuned evaluate more --head parts.safetensors")]
    Evaluate(Evaluate),
    /// Write the embeddings of a folder's images
    #[command(after_help = "Example:\n  edgetuned embed photographs --out embeddings.npz")]
    Embed(Embed),
    /// Export a head and its backbone as one ONNX file, for any runtime
    #[command(after_help = "Example:\n  edgetuned export --head parts.safetensors --out parts.onnx")]
    Export(Export),
    /// Draw what the tasks of the configuration look at
    #[command(subcommand)]
    Regions(Regions),
    /// List bundled backbones, inspect a model, write its manifest, change over to another one
    #[command(subcommand)]
    Backbone(Backbone),
    /// List, show, promote and roll back the heads in the store
    Heads(Heads),
    /// Control the running daemon over its socket
    Ctl(super::ctl::Ctl),
    /// List, export and import samples and their labels; undo label changes
    Samples(super::samples::Samples),
    /// Write the sums of this device's labelled images, for a fleet
    #[command(
        after_help = "Example:\n  edgetuned statistics --out line-3.safetensors\n\nIt needs fleet.share: true. docs/fleet.md says what the file reveals."
    )]
    Statistics(super::statistics::Statistics),
    /// Collect, merge and look after many devices
    #[command(subcommand)]
    Fleet(super::fleet::Fleet),
    /// Sign, verify and publish updates of heads and backbones
    #[command(subcommand)]
    Update(super::update::Update),
}

/// `check`
#[derive(Debug, clap::Args)]
pub struct Check {
    /// Do not connect to the broker
    #[arg(long)]
    pub offline: bool,
}

/// `train`
#[derive(Debug, clap::Args)]
pub struct Train {
    /// A folder with one subfolder of images per class
    pub dir: PathBuf,
    /// Another such folder to evaluate on; without it metrics are cross-validated
    #[arg(long, value_name = "DIR")]
    pub test: Option<PathBuf>,
    /// A bundled backbone's name or a manifest's path [default: what serves with the configuration, else 'default']
    #[arg(long, value_name = "MODEL")]
    pub backbone: Option<String>,
    /// Kind of head [default: the configuration's, else softmax]
    #[arg(long, value_parser = keyword::<HeadKind>(), value_name = "KIND")]
    pub head: Option<HeadKind>,
    /// Output file of the head; its report is written next to it
    #[arg(long, value_name = "HEAD", default_value = "head.safetensors")]
    pub out: PathBuf,
    /// Use only this many images of each class, chosen with --seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub shots: Option<u32>,
    /// Random seed
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// How a softmax head is fitted [default: lbfgs, or adam when --epochs, --batch or --lr are given]
    #[arg(long, value_parser = keyword::<Solver>())]
    pub solver: Option<Solver>,
    /// L2 penalty [default: chosen by cross-validation]
    #[arg(long, value_name = "LAMBDA", value_parser = positive)]
    pub l2: Option<f64>,
    #[arg(long, help = format!("Epochs (adam) [default: {}]", Solver::EPOCHS), value_parser = clap::value_parser!(u32).range(1..))]
    pub epochs: Option<u32>,
    #[arg(long, help = format!("Batch size (adam) [default: {}]", Solver::BATCH), value_parser = clap::value_parser!(u32).range(1..))]
    pub batch: Option<u32>,
    #[arg(long, help = format!("Learning rate (adam) [default: {}]", Solver::LEARNING_RATE), value_parser = positive)]
    pub lr: Option<f64>,
    #[command(flatten)]
    pub tuning: TuningChoice,
    #[command(flatten)]
    pub region: RegionChoice,
}

/// The second phase of a training.
#[derive(Debug, clap::Args)]
pub struct TuningChoice {
    /// Train the last layers of the backbone on, too, in a second phase; kept if it is shown to be better
    #[arg(long)]
    pub tune: bool,
    #[arg(long, help = "Which layers [default: the configuration's, else last_block]", value_parser = keyword::<TailLayers>(), value_name = "LAYERS", requires = "tune")]
    pub tune_layers: Option<TailLayers>,
    /// Epochs of the second phase [default: as many as make 320 steps]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), requires = "tune")]
    pub tune_epochs: Option<u32>,
    /// Learning rate of the second phase [default: 0.0001, falling to 0; one that is given stays]
    #[arg(long, value_name = "RATE", value_parser = positive, requires = "tune")]
    pub tune_lr: Option<f64>,
    /// Whether its learning rate falls to 0 or stays [default: constant with --tune-lr, else cosine]
    #[arg(long, value_parser = keyword::<Schedule>(), value_name = "SCHEDULE", requires = "tune")]
    pub tune_schedule: Option<Schedule>,
    /// Views of each picture that it sees: as it is, mirrored, cropped [default: 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16), requires = "tune")]
    pub tune_views: Option<u32>,
}

/// The part of pictures that is looked at.
#[derive(Debug, clap::Args)]
pub struct RegionChoice {
    /// Part of each image to look at: LEFT,TOP,RIGHT,BOTTOM in parts of its width and height, or a polygon's corners
    /// as JSON pairs of X and Y [default: the whole image, or what the head looks at]
    #[arg(long, value_name = "REGION", allow_hyphen_values = true)]
    pub region: Option<Region>,
}

impl RegionChoice {
    /// The one that was named, else the whole picture.
    pub fn region(&self) -> Region {
        self.region.clone().unwrap_or(Region::WHOLE)
    }
}

/// `predict`
#[derive(Debug, clap::Args)]
pub struct Predict {
    /// Pictures
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub head: HeadChoice,
    /// Classes to list for each image [default: the configuration's, else 3]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..))]
    pub top_k: Option<u32>,
    #[command(flatten)]
    pub region: RegionChoice,
}

/// `evaluate`
#[derive(Debug, clap::Args)]
pub struct Evaluate {
    /// A folder with one subfolder of images per class
    pub dir: PathBuf,
    #[command(flatten)]
    pub head: HeadChoice,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub region: RegionChoice,
}

/// A head and the backbone that it needs.
#[derive(Debug, clap::Args)]
pub struct HeadChoice {
    /// The head's file
    #[arg(long = "head", value_name = "HEAD")]
    pub file: PathBuf,
    /// A manifest to try in addition to the bundled backbones
    #[arg(long, value_name = "MODEL")]
    pub backbone: Option<String>,
}

/// `embed`
#[derive(Debug, clap::Args)]
pub struct Embed {
    /// A folder of images, with or without subfolders
    pub dir: PathBuf,
    /// Output file: .npz with the arrays ids, paths and embeddings, or .parquet with columns of these names
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// A bundled backbone's name or a manifest's path [default: what serves with the configuration, else 'default']
    #[arg(long, value_name = "MODEL")]
    pub backbone: Option<String>,
    #[command(flatten)]
    pub region: RegionChoice,
}

/// `export`
#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    pub head: HeadChoice,
    /// Output file of the model
    #[arg(long, value_name = "MODEL.onnx")]
    pub out: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub force: bool,
}

/// `regions`
#[derive(Debug, Subcommand)]
pub enum Regions {
    /// Write a picture with every region on it, in a colour for each task; what no task looks at is grey and dark
    #[command(after_help = "\
Examples:
  edgetuned --config edgetuned.yaml regions draw garage.jpg --out regions.png
  edgetuned regions draw garage.jpg --region 0,0.25,0.3,0.85      try one before it is in the configuration")]
    Draw(DrawRegions),
}

/// `regions draw`
#[derive(Debug, clap::Args)]
pub struct DrawRegions {
    /// A picture of the camera
    pub image: PathBuf,
    /// Output file, a PNG; it is replaced
    #[arg(long, value_name = "FILE", default_value = "regions.png")]
    pub out: PathBuf,
    /// A further region: LEFT,TOP,RIGHT,BOTTOM in parts of width and height, or corners as JSON pairs of X and Y; may be repeated
    #[arg(long = "region", value_name = "REGION", allow_hyphen_values = true)]
    pub regions: Vec<Region>,
}

/// `backbone`
#[derive(Debug, Subcommand)]
pub enum Backbone {
    /// List the bundled backbones; with --config, which one serves there
    List,
    /// Show inputs, outputs and tensors that could be the embedding
    Inspect {
        /// An ONNX model
        file: PathBuf,
    },
    /// Write the manifest of your own model, checked on images
    #[command(after_help = "\
Examples:
  edgetuned backbone add resnet18.onnx --normalize imagenet
  edgetuned backbone add mobilenet.onnx --mean 127.5 --std 127.5 --license Apache-2.0
  edgetuned backbone add dinov2.onnx --normalize imagenet --size 224 --tensor pooler_output")]
    Add(Box<Add>),
    /// Measure a backbone on execution providers, beside the CPU
    #[command(
        long_about = "\
Measure a backbone on execution providers, beside the CPU.

Prints images a second (four at a time), milliseconds for one alone, resident memory, and the least cosine of an embedding and the CPU's. Each provider is measured in a process of its own, whose memory holds this backbone alone. Threads, libraries and options are those of the configuration.",
        after_help = "\
Examples:
  edgetuned backbone bench photo
  edgetuned backbone bench default --provider openvino --provider cpu
  edgetuned --config edgetuned.yaml backbone bench --json"
    )]
    Bench {
        /// A bundled backbone's name or a manifest's path [default: the one that serves, or default]
        #[arg(value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
        backbone: Option<String>,
        /// An execution provider; may be repeated [default: those of the configuration, and cpu]
        #[arg(long, value_name = "P", value_parser = NonEmptyStringValueParser::new())]
        provider: Vec<String>,
    },
    /// Have the running daemon change over to another backbone, if it is no worse
    #[command(
        long_about = "\
Have the running daemon change over to another backbone, if it is no worse.

Beside the one in service it embeds every stored image again and trains a head, and compares the two pairs on the labelled images as it does with signed updates. The new pair serves from then on, or the reason why not is printed and nothing has changed. This command waits for that; when it is interrupted, the daemon goes on, and 'edgetuned ctl status' shows how.",
        after_help = "\
Examples:
  edgetuned --config edgetuned.yaml backbone switch default
  edgetuned --config edgetuned.yaml backbone switch ./resnet18.yaml"
    )]
    Switch {
        /// A bundled backbone's name or a manifest's path
        #[arg(value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
        backbone: String,
    },
}

/// `backbone add`
#[derive(Debug, clap::Args)]
pub struct Add {
    /// An ONNX model
    pub file: PathBuf,
    /// Output file of the manifest [default: the model's name with .yaml]
    #[arg(long, value_name = "MANIFEST", value_parser = manifest)]
    pub out: Option<PathBuf>,
    /// Name of the backbone in reports [default: the model file's name]
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
    /// Name of a known normalisation of pixels
    #[arg(long, value_name = "NAME", value_parser = normalization, conflicts_with_all = ["mean", "std"],
        long_help = normalizations())]
    pub normalize: Option<Normalization>,
    /// Subtracted: one number or three, on 0..255 values, in the order of the channels
    #[arg(long, value_name = "M[,M,M]", value_parser = per_channel, requires = "std", allow_hyphen_values = true)]
    pub mean: Option<[f32; 3]>,
    /// Divided by: one number or three
    #[arg(long, value_name = "S[,S,S]", value_parser = divisor, requires = "mean")]
    pub std: Option<[f32; 3]>,
    /// Multiplied by, before the mean is subtracted: one number or three [default: 1]
    #[arg(long, value_name = "S[,S,S]", value_parser = per_channel, allow_hyphen_values = true)]
    pub scale: Option<[f32; 3]>,
    /// How images are resized to the model's size [default: crop]
    #[arg(long, value_parser = keyword::<Resize>())]
    pub resize: Option<Resize>,
    /// For crop: its side as a share of the image's shorter side [default: 0.875]
    #[arg(long, value_name = "RATIO", value_parser = ratio)]
    pub crop_ratio: Option<f32>,
    /// Grey value of what is filled: the border of a letterbox, the rest of a polygon's box [default: 114]
    #[arg(long, value_name = "GREY")]
    pub pad: Option<u8>,
    /// How large JPEGs are decoded [default: exact]
    #[arg(long, value_parser = keyword::<Decode>())]
    pub decode: Option<Decode>,
    /// The embedding: an output or an inner tensor [default: the most likely one that 'inspect' lists]
    #[arg(long)]
    pub tensor: Option<String>,
    /// How its height and width, or its tokens, are pooled [default: by its shape]
    #[arg(long, value_parser = keyword::<Pool>())]
    pub pool: Option<Pool>,
    /// Inner map whose means and deviations over height and width are appended; may be repeated
    #[arg(long, value_name = "TENSOR[:mean,std]", value_parser = inner)]
    pub inner: Vec<Inner>,
    /// Licence of the weights, for the manifest
    #[arg(long, value_name = "TEXT")]
    pub license: Option<String>,
    /// Where the weights come from, for the manifest
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// Replace an existing manifest
    #[arg(long)]
    pub force: bool,
}

/// `heads`
#[derive(Debug, clap::Args)]
pub struct Heads {
    #[command(flatten)]
    pub task: TaskChoice,
    #[command(subcommand)]
    pub command: HeadsCommand,
}

/// What to do with heads.
#[derive(Debug, Subcommand)]
pub enum HeadsCommand {
    /// List every head in the store, oldest first
    List,
    /// Show one head's metrics
    Show {
        /// Its id or version
        id: String,
    },
    /// Put a head in service, while the daemon runs or not
    Promote {
        /// Its id or version
        id: String,
    },
    /// Put the previous head back in service, while the daemon runs or not
    Rollback,
}
