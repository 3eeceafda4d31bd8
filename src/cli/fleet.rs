//! `edgetuned fleet`: many devices together.

mod merge;

use clap::Subcommand;

use super::failure::Failure;
use super::output::Output;

/// `fleet`
#[derive(Debug, Subcommand)]
pub enum Fleet {
    /// Merge the statistics of devices into one head
    #[command(
        long_about = "\
Merge the statistics of devices into one head.

The sums are exactly those of all pictures in one place, in whatever order the files are given. A table has each device's images of each class; a device that sees a class differently from the others is named. Devices are called by the names of their files.",
        after_help = "\
Examples:
  edgetuned fleet merge statistics/*.safetensors --out parts.safetensors
  edgetuned fleet merge statistics/*.safetensors --out parts.safetensors --alias mother=nut --head lda"
    )]
    Merge(merge::Merge),
}

pub fn fleet(command: &Fleet, output: Output) -> Result<(), Failure> {
    match command {
        Fleet::Merge(merge) => merge::merge(merge, output),
    }
}
