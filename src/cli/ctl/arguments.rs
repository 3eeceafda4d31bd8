//! What can be typed behind `edgetuned ctl`.

use clap::{ArgMatches, FromArgMatches, Subcommand};
use serde_json::{Value, json};

use crate::cli::statistics::StatisticsFile;
use crate::wire::{Command, ImagePrefix};
use crate::words::TaskId;

/// `ctl`
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  edgetuned ctl status
  edgetuned ctl label 2cf24dba gear
  edgetuned ctl train --task door
  edgetuned ctl watch --json | grep prediction
  edgetuned ctl get /healthz

It finds the daemon through the same configuration: in $RUNTIME_DIRECTORY, else in the folder store.path.")]
pub struct Ctl {
    /// Transaction of this request: repeating it has no second effect [default: a new one]
    #[arg(long, global = true, value_name = "WORD")]
    pub transaction: Option<String>,
    /// The task that it is about [default: the one called default, or the only one]
    #[arg(long, global = true, value_name = "ID")]
    pub task: Option<TaskId>,
    /// What to ask
    #[command(subcommand)]
    pub command: CtlRequest,
}

/// The requests that have a form of their own, and what is no request.
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
        /// Only if this is its label now; '' for none
        #[arg(long, value_name = "LABEL")]
        was: Option<String>,
    },
    /// Give every image with one label another one, or take it away
    Relabel {
        /// The label that they have
        #[arg(value_name = "OLD")]
        from: String,
        /// The label that they get
        #[arg(value_name = "NEW", required_unless_present = "clear", conflicts_with = "clear")]
        to: Option<String>,
        /// Take the label away
        #[arg(long)]
        clear: bool,
        /// Only count them
        #[arg(long)]
        dry_run: bool,
    },
    /// Exclude images from training and review, or take them back
    Exclude {
        /// Their SHA-256, or the first 8 or more digits
        #[arg(value_name = "ID", required = true)]
        images: Vec<ImagePrefix>,
        /// Take them back
        #[arg(long)]
        include: bool,
    },
    /// Take back the latest change of labels, or the one with this number
    Undo {
        /// Its number, as 'samples history' shows it
        change: Option<u64>,
    },
    /// Forget samples for good
    Forget(ForgetWhat),
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
    /// Write the sums of the labelled images, for a fleet, to a file
    Statistics(StatisticsFile),
    /// Read the configuration again
    Reload,
    /// Show the results of the latest trainings, newest first
    Trainings(Latest),
    /// Show the latest events, newest first
    Events(Latest),
    /// Print every message of the daemon, one a line, until Ctrl-C
    Watch,
    /// Print what it answers to GET at a path: /healthz, /readyz, or any other that ends
    Get {
        /// Path and query, as in docs/http.md
        path: String,
    },
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

/// `ctl trainings` and `ctl events`
#[derive(Debug, clap::Args)]
pub struct Latest {
    /// Maximum number [default: all that are kept]
    #[arg(long, value_name = "N")]
    pub limit: Option<u32>,
}

/// Which samples to forget.
#[derive(Debug, clap::Args)]
pub struct ForgetWhat {
    /// Their SHA-256, or the first 8 or more digits
    #[arg(value_name = "ID", required_unless_present = "class", conflicts_with = "class")]
    pub images: Vec<ImagePrefix>,
    /// Every image with this label
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,
}

impl ForgetWhat {
    /// The arguments of the request.
    pub fn arguments(&self) -> Value {
        match &self.class {
            Some(class) => json!({ "label": class }),
            None => json!({ "images": self.images }),
        }
    }
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

/// [`CtlCommand`], or by its name any other request.
#[derive(Debug)]
pub struct CtlRequest(pub CtlCommand);

impl FromArgMatches for CtlRequest {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        match matches.subcommand() {
            Some((name, form)) if !CtlCommand::has_subcommand(name) => {
                let (name, arguments) = (name.to_owned(), form.get_one("arguments").cloned());
                Ok(Self(CtlCommand::Request { name, arguments }))
            }
            _ => CtlCommand::from_arg_matches(matches).map(Self),
        }
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for CtlRequest {
    fn augment_subcommands(parser: clap::Command) -> clap::Command {
        let requests = Command::ALL.iter().map(|command| (command.name, command.about));
        with_others(CtlCommand::augment_subcommands(parser), requests)
    }

    fn augment_subcommands_for_update(parser: clap::Command) -> clap::Command {
        Self::augment_subcommands(parser)
    }

    fn has_subcommand(name: &str) -> bool {
        CtlCommand::has_subcommand(name) || Command::entry(name).is_some()
    }
}

/// Adds those of `requests`, each a name and what it does, that have no form of their own.
pub(super) fn with_others(
    parser: clap::Command,
    requests: impl Iterator<Item = (&'static str, &'static str)>,
) -> clap::Command {
    requests.filter(|(name, _)| !CtlCommand::has_subcommand(name)).fold(parser, |parser, (name, about)| {
        let arguments = clap::Arg::new("arguments").value_name("JSON").help("Arguments: a JSON object");
        parser.subcommand(clap::Command::new(name).about(about.trim_end_matches('.')).arg(arguments))
    })
}
