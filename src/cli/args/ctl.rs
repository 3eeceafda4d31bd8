//! `ctl`: requests to the running daemon.

use clap::Subcommand;

use crate::wire::ImagePrefix;

/// `ctl`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgetuned ctl status
  edgetuned ctl label 2cf24dba gear
  edgetuned ctl watch --json | grep prediction

It finds the daemon through the same configuration: in $RUNTIME_DIRECTORY, else in the folder store.path.")]
pub struct Ctl {
    /// Transaction of this request: repeating it has no second effect [default: a new one]
    #[arg(long, global = true, value_name = "WORD")]
    pub transaction: Option<String>,
    /// What to ask
    #[command(subcommand)]
    pub command: CtlCommand,
}

/// What to ask of the daemon.
#[derive(Debug, Subcommand)]
pub enum CtlCommand {
    /// Show health counters and what is in service
    Status,
    /// Train now
    Train,
    /// List the watched folders again
    Rescan,
    /// Put the previous head back in service
    Rollback,
    /// Put a head in service
    Promote {
        /// Its version, or its id or the first 4 or more characters of that
        id: String,
    },
    /// Label an image
    Label {
        /// Its SHA-256, or the first 8 or more digits
        #[arg(value_name = "ID")]
        image: ImagePrefix,
        /// Its class
        #[arg(value_name = "CLASS", required_unless_present = "remove", conflicts_with = "remove")]
        class: Option<String>,
        /// Remove its label
        #[arg(long)]
        remove: bool,
    },
    /// List the images that are worth a label
    Review,
    /// List every head, oldest first
    Heads,
    /// List samples in the order of their arrival
    Samples(CtlSamples),
    /// Classify a stored image with the head in service
    Predict {
        /// Its SHA-256, or the first 8 or more digits
        image: ImagePrefix,
    },
    /// Write backbone and head in service as one ONNX file into the state folder
    Export,
    /// Read the configuration again
    Reload,
    /// Print every message of the daemon, one a line, until Ctrl-C
    Watch,
    /// Send any request by its name
    #[command(after_help = "Example:\n  edgetuned ctl request samples '{\"limit\": 3}'")]
    Request {
        /// As in the topic request/NAME
        name: String,
        /// Arguments: a JSON object
        #[arg(value_name = "JSON")]
        arguments: Option<String>,
    },
}

/// `ctl samples`
#[derive(Debug, clap::Args)]
pub struct CtlSamples {
    /// Maximum number [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub limit: Option<u32>,
    /// Only those that arrived after this image
    #[arg(long, value_name = "ID")]
    pub after: Option<ImagePrefix>,
    /// Only those with this label
    #[arg(long, value_name = "CLASS", conflicts_with = "unlabelled")]
    pub label: Option<String>,
    /// Only those without a label
    #[arg(long)]
    pub unlabelled: bool,
}
