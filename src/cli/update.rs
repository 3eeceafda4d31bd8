//! `edgetuned update`: keys, manifests, and sending them.

mod file;
mod publish;
mod rollout;
mod sign;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use clap::{Subcommand, ValueEnum};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::args::Args;
use super::broker::BrokerChoice;
use super::failure::Failure;
use super::now;
use super::output::Output;
use crate::shared::files::read_key;
use crate::store::files::sync_folder_of;
use crate::update::rollout::Percent;
use crate::update::{Manifest, Refusal, Signer, TrustedKey, TrustedKeys, VERSION_MAX, in_time};
use crate::wire::{DevicePattern, UpdateKind};
use crate::words::{Digest, TaskId, Timestamp};
use file::UpdateFile;
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
    /// Send an update to a device, or to many in stages, and stay until it is installed or refused
    #[command(after_help = "\
Examples:
  edgetuned update publish parts.json --file parts.safetensors --device line-3 --url mqtt://broker:1883
  edgetuned update publish parts.json --file parts.safetensors --device 'line-*' --first 10% --stop-after 3

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
    /// For a head: the task that it answers [default: the one called default, or the only one]
    #[arg(long, value_name = "ID")]
    pub task: Option<TaskId>,
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
    /// Id of the device, or a pattern with * for any characters: every such device that the broker knows
    #[arg(long, value_name = "ID")]
    pub device: DevicePattern,
    /// With a pattern: begin with this share of the devices; each stage after it has twice as many [default: 100%]
    #[arg(long, value_name = "P%")]
    pub first: Option<Percent>,
    /// With a pattern: stop at the Nth device that refuses the update or rolls it back
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub stop_after: Option<u32>,
    #[command(flatten)]
    pub broker: BrokerChoice,
    /// Wait no longer for a device that has reported nothing for this long: 90s, 10m or 2h
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

pub fn update(args: &Args, command: &Update, output: Output) -> Result<(), Failure> {
    match command {
        Update::Keygen { out } => keygen(out, output),
        Update::Sign(sign) => sign::sign(sign, output),
        Update::Verify { manifest, key, file } => verify(manifest, key, file.as_deref(), output),
        Update::Publish(wish) => publish(args, wish, output),
    }
}

/// Reads what is to be sent, and sends it to the device, or to the fleet in stages.
fn publish(args: &Args, wish: &Publish, output: Output) -> Result<(), Failure> {
    let single = wish.device.single();
    if single.is_some() && (wish.first.is_some() || wish.stop_after.is_some()) {
        let pattern = format!("--device '{}*'", wish.device);
        return Err(Failure::usage(format!(
            "--first and --stop-after are for several devices; give a pattern, as {pattern}, or leave them out"
        )));
    }
    let update = UpdateFile::open(&wish.manifest, &wish.file)?;
    match single {
        Some(device) => publish::publish(args, wish, device, update, output),
        None => rollout::rollout(args, wish, update, output),
    }
}

/// A pair of keys.
#[derive(Debug, Serialize)]
struct Made {
    key: PathBuf,
    public_key: PathBuf,
    key_id: String,
}

fn keygen(out: &Path, output: Output) -> Result<(), Failure> {
    let mut public = out.as_os_str().to_owned();
    public.push(".pub");
    let public = PathBuf::from(public);
    if let Some(there) = [out, &public].into_iter().find(|path| path.exists()) {
        return Err(Failure::failed(format!(
            "{} exists; a key is never replaced, choose another name",
            there.display()
        )));
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| {
        Failure::failed(format!("the system provides no random bytes: {error}; check /dev/urandom and try again"))
    })?;
    let signer = Signer::from_seed(&seed);
    write_new(out, 0o600, &signer.to_pem())?;
    write_new(&public, 0o644, &signer.public_pem())?;
    let made = Made { key: out.to_owned(), public_key: public, key_id: signer.public().id() };
    output.print(&made, |out| {
        writeln!(out, "{}: the private key, which signs; keep it secret", made.key.display())?;
        writeln!(out, "{}: the public key {}, for updates.trusted_keys", made.public_key.display(), made.key_id)
    })
}

/// Writes a file that was not there.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = made
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| sync_folder_of(path));
    written.map_err(|error| {
        Failure::failed(format!(
            "cannot write {}: {error}; check the folder, its owner and the free space on the disk",
            path.display()
        ))
    })
}

/// A valid manifest.
#[derive(Debug, Serialize)]
struct Verified {
    kind: UpdateKind,
    name: String,
    version: u64,
    size: u64,
    sha256: Digest,
    created: Timestamp,
    expires: Timestamp,
    devices: Option<Vec<String>>,
    signed_by: String,
    /// Whether the file was checked, too.
    file_checked: bool,
}

fn verify(path: &Path, keys: &[PathBuf], file: Option<&Path>, output: Output) -> Result<(), Failure> {
    let keys = keys.iter().map(|key| trusted(key)).collect::<Result<Vec<_>, _>>()?;
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    let refused =
        |refusal: Refusal| Failure::failed(format!("{}: {}: {refusal}", path.display(), refusal.code.as_str()));
    let manifest = Manifest::open(&bytes, &TrustedKeys(keys)).map_err(refused)?;
    in_time(&manifest, now()).map_err(refused)?;
    if let Some(file) = file {
        belongs(file, manifest.size, manifest.sha256)?;
    }
    let verified = Verified {
        kind: manifest.contents.kind(),
        name: manifest.name,
        version: manifest.version,
        size: manifest.size,
        sha256: manifest.sha256,
        created: manifest.created,
        expires: manifest.expires,
        devices: manifest.devices,
        signed_by: manifest.signed_by,
        file_checked: file.is_some(),
    };
    output.print(&verified, |out| {
        let Verified { kind, name, version, signed_by, expires, .. } = &verified;
        writeln!(out, "{}: {kind} {name:?} {version}, signed by key {signed_by}, until {expires}", path.display())?;
        let devices = verified.devices.as_ref().map_or("every device".to_owned(), |devices| devices.join(", "));
        let file = if verified.file_checked { "; the file matches" } else { "" };
        writeln!(out, "for {devices}{file}")
    })
}

/// A public key from its file.
fn trusted(path: &Path) -> Result<TrustedKey, Failure> {
    read_key(path).map_err(Failure::failed)
}

/// Fails unless the file at `path` has this size and digest.
fn belongs(path: &Path, size: u64, sha256: Digest) -> Result<(), Failure> {
    let (found_size, found) = measured(path)?;
    if (found_size, found) == (size, sha256) {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "{} has {found_size} bytes and SHA-256 {}, the manifest expects {size} bytes and {}; give the file that was \
         signed",
        path.display(),
        found.short(),
        sha256.short()
    )))
}

/// Length and SHA-256 of a file, however long it is.
fn measured(path: &Path) -> Result<(u64, Digest), Failure> {
    let read = || -> io::Result<(u64, Digest)> {
        let (mut file, mut hash, mut size) = (File::open(path)?, Sha256::new(), 0);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok((size, Digest(hash.finalize().into())));
            }
            hash.update(&buffer[..count]);
            size += count as u64;
        }
    };
    read().map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot read {}: {error}; check its path, its owner and its mode", path.display()))
}
