//! `edgetuned fleet`: many devices together.

mod asking;
mod collect;
mod merge;
mod status;
mod trials;

use clap::Subcommand;

use super::args::Args;
use super::failure::Failure;
use super::output::Output;

/// `fleet`
#[derive(Debug, Subcommand)]
pub enum Fleet {
    /// Collect the statistics of devices over the broker
    #[command(
        long_about = "\
Collect the statistics of devices over the broker.

Each device gives counts, means and scatter of its labelled images where its own configuration says fleet.share: true, and no picture. Those that refuse or do not answer are listed with the reason.",
        after_help = "\
Example:
  edgetuned fleet collect --url mqtt://broker:1883 --devices 'line-*' --out statistics

User, password and TLS are those of the mqtt section of the file that --config names."
    )]
    Collect(collect::Collect),
    /// Merge the statistics of devices into one head
    #[command(
        long_about = "\
Merge the statistics of devices into one head.

The sums are exactly those of all pictures in one place, in whatever order the files are given. A table has each device's images of each class; a device that sees a class differently from the others is named. Devices are called by the names of their files.",
        after_help = "\
Examples:
  edgetuned fleet merge statistics/*.safetensors --out parts.safetensors
  edgetuned fleet merge statistics/*.safetensors --out parts.safetensors --alias mother=nut --head lda
  edgetuned fleet merge statistics/*.safetensors --out parts.safetensors --url mqtt://broker:1883

With --url the devices measure heads of each kind on their own images, each without its own statistics; only numbers come back. The kind and the temperature with the smallest log-loss are taken, and a device without which the others answer better is left out."
    )]
    Merge(merge::Merge),
    /// Show every device: whether it is online, its head, live accuracy, alerts, drift and backlog
    #[command(after_help = status::EXAMPLES)]
    Status(status::StatusOptions),
}

pub fn fleet(args: &Args, command: &Fleet, output: Output) -> Result<(), Failure> {
    match command {
        Fleet::Collect(collect) => collect::collect(args, collect, output),
        Fleet::Status(options) => status::status(args, options, output),
        Fleet::Merge(merge) => merge::merge(args, merge, output),
    }
}
