//! `edgetuned update`: what can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Subcommand, ValueEnum};

use crate::update::VERSION_MAX;
use crate::wire::UpdateKind;

/// `update`
#[derive(Debug, Subcommand)]
pub enum Update {
    /// Make a pair of keys to sign updates with
    #[command(after_help = "Example:\n  edgetuned update keygen --out signing.key\n\nKeep signing.key secret; \
        signing.key.pub goes into updates.trusted_keys of the devices.")]
    Keygen {
        /// Output file of the private key; the public one is written next to it, with .pub added
        #[arg(long, value_name = "KEY")]
        out: PathBuf,
    },
    /// Sign a head or a backbone
    #[command(after_help = "\
Examples:
  edgetuned update sign --kind head --file parts.safetensors --name parts --version 5 --key signing.key --out parts.json
  edgetuned update sign --kind backbone --file net.onnx --backbone-manifest net.yaml --name net --version 2 \
--key signing.key --device line-* --out net.json")]
    Sign(Box<Sign>),
    /// Verify a manifest's signature and time, and optionally its file
    #[command(
        after_help = "Example:\n  edgetuned update verify parts.json --key signing.key.pub --file parts.safetensors"
    )]
    Verify {
        /// The manifest
        manifest: PathBuf,
        /// PEM file with a public key that may have signed it; may be given several times
        #[arg(long, value_name = "PUB", required = true)]
        key: Vec<PathBuf>,
        /// The file that it is for
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Send an update to a device and stay until it is installed or refused
    #[command(after_help = "\
Example:
  edgetuned update publish parts.json --file parts.safetensors --device line-3 --url mqtt://broker:1883

User, password and TLS are those of the mqtt section of the file that --config names.")]
    Publish(Publish),
}

/// `update sign`
#[derive(Debug, clap::Args)]
pub struct Sign {
    /// What it brings
    #[arg(long, value_enum)]
    pub kind: Kind,
    /// The head (.safetensors) or the model (.onnx)
    #[arg(long)]
    pub file: PathBuf,
    /// Its name for people
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    pub name: String,
    /// Its version, above that of every update before
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=VERSION_MAX))]
    pub version: u64,
    /// The private key
    #[arg(long)]
    pub key: PathBuf,
    /// How long it may be begun: 12h or 30d
    #[arg(long, value_name = "TIME", default_value = "30d", value_parser = lasting)]
    pub expires: Duration,
    /// A device that it is for, with * for any characters; may be given several times [default: every device]
    #[arg(long, value_name = "ID")]
    pub device: Vec<String>,
    /// For a backbone: its manifest
    #[arg(long, value_name = "YAML", required_if_eq("kind", "backbone"))]
    pub backbone_manifest: Option<PathBuf>,
    /// KiB of a chunk, less than the devices take as a packet
    #[arg(long, value_name = "KIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub chunk_kb: u64,
    /// Where the manifest is written
    #[arg(long, value_name = "MANIFEST")]
    pub out: PathBuf,
}

/// `update publish`
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// The manifest
    pub manifest: PathBuf,
    /// The file that it is for
    #[arg(long)]
    pub file: PathBuf,
    /// Id of the device
    #[arg(long, value_name = "ID")]
    pub device: String,
    /// The broker [default: the configuration's, else this machine's]
    #[arg(long)]
    pub url: Option<String>,
    /// What topics begin with [default: the configuration's, else edgetuned]
    #[arg(long)]
    pub prefix: Option<String>,
    /// Give up when the device has reported nothing for this long: 90s, 10m or 2h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = lasting)]
    pub timeout: Duration,
}

/// What can be updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A dense head
    Head,
    /// A model with its manifest
    Backbone,
}

impl From<Kind> for UpdateKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Head => Self::Head,
            Kind::Backbone => Self::Backbone,
        }
    }
}

/// A whole number of seconds, minutes, hours or days, up to ten years.
fn lasting(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3_600), ('d', 86_400)];
    let unit = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, *seconds)));
    let seconds = unit.and_then(|(number, seconds)| number.parse::<u64>().ok()?.checked_mul(seconds));
    let seconds = seconds.filter(|seconds| (1..=3_650 * 86_400).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| "expected a time up to 3650d: 90s, 10m, 12h or 30d".into())
}
