//! `edgetuned ctl`: requests to the running daemon.
//!
//! Every request that changes something carries a transaction, so that repeating it after a lost answer is safe. A
//! request without a form of its own in [`CtlCommand`] is there under its name all the same, with its arguments as JSON.

mod client;
mod print;

use std::io::Write;

use clap::{ArgMatches, FromArgMatches, Subcommand};
use serde_json::{Map, Value, json};

use super::args::Args;
use super::configuration;
use super::failure::{Failure, one_line};
use super::new_word;
use super::output::Output;
use super::statistics::{self, StatisticsFile};
use crate::config::Config;
use crate::http::PREFIX;
use crate::wire::command::{self, Effect, STATISTICS_MAX, Spec, StatisticsPart};
use crate::wire::{Answer, Command, ImagePrefix};
use crate::words::TaskId;
use client::{Client, Frame};

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
pub struct CtlRequest(CtlCommand);

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
fn with_others(parser: clap::Command, requests: impl Iterator<Item = (&'static str, &'static str)>) -> clap::Command {
    requests.filter(|(name, _)| !CtlCommand::has_subcommand(name)).fold(parser, |parser, (name, about)| {
        let arguments = clap::Arg::new("arguments").value_name("JSON").help("Arguments: a JSON object");
        parser.subcommand(clap::Command::new(name).about(about.trim_end_matches('.')).arg(arguments))
    })
}

/// Sends a request to the daemon of this configuration, in a transaction of its own where it is more than a question; the
/// data of its answer.
pub fn ask<C: Spec>(config: &Config, mut arguments: Value) -> Result<C::Data, Failure> {
    if C::EFFECT != Effect::Reads {
        arguments["transaction"] = json!(new_word("ctl"));
    }
    let Value::Object(arguments) = arguments else { unreachable!("arguments are an object") };
    let data = data(Client::new(config)?.ask(C::NAME, arguments)?)?;
    serde_json::from_value(data).map_err(Failure::failed)
}

pub fn ctl(args: &Args, ctl: &Ctl, output: Output) -> Result<(), Failure> {
    let client = Client::new(&configuration::load(args)?)?;
    let CtlRequest(command) = &ctl.command;
    if let CtlCommand::Watch = command {
        return watch(&client, ctl.task.as_ref(), output);
    }
    if let CtlCommand::Trainings(latest) | CtlCommand::Events(latest) = command {
        let data = data(client.read(&reports_path(command, latest, ctl.task.as_ref()))?)?;
        return print::print(command, &data, output);
    }
    if let CtlCommand::Get { path } = command {
        return print::body(&client.get(&with_task(path, ctl.task.as_ref()))?, output);
    }
    if let CtlCommand::Statistics(file) = command {
        return statistics::write(&file.out, &shared(&client, file, ctl.task.as_ref())?, output);
    }
    let (name, arguments) = asked(ctl)?;
    let data = data(client.ask(&name, arguments)?)?;
    print::print(command, &data, output)
}

/// The statistics file of the daemon, in one part.
fn shared(client: &Client, file: &StatisticsFile, task: Option<&TaskId>) -> Result<Vec<u8>, Failure> {
    let mut arguments = Map::from_iter([("length".to_owned(), json!(STATISTICS_MAX))]);
    arguments.extend(file.values.map(|values| ("values".to_owned(), json!(values))));
    arguments.extend(task.map(|task| ("task".to_owned(), json!(task))));
    let data = data(client.ask(command::Statistics::NAME, arguments)?)?;
    let part: StatisticsPart = serde_json::from_value(data).map_err(Failure::failed)?;
    let bytes = part.decoded().filter(|bytes| bytes.len() as u64 == part.bytes);
    bytes.ok_or_else(|| {
        Failure::failed(format!(
            "the statistics have {} bytes, too many for one answer; shorten them with --values",
            part.bytes
        ))
    })
}

/// Where reports of the past are read.
fn reports_path(command: &CtlCommand, latest: &Latest, task: Option<&TaskId>) -> String {
    let limit = latest.limit.map(|limit| format!("limit={limit}"));
    let (name, task) = match command {
        CtlCommand::Events(_) => ("events", None),
        _ => ("trainings", task.map(|task| format!("task={task}"))),
    };
    let query: Vec<String> = limit.into_iter().chain(task).collect();
    format!("{PREFIX}{name}?{}", query.join("&"))
}

/// The path, with the task in its query.
fn with_task(path: &str, task: Option<&TaskId>) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    task.map_or_else(|| path.to_owned(), |task| format!("{path}{separator}task={task}"))
}

/// The request's name and arguments, with the task and a transaction.
fn asked(ctl: &Ctl) -> Result<(String, Map<String, Value>), Failure> {
    let (name, mut arguments) = request(&ctl.command.0)?;
    if let Some(task) = &ctl.task {
        arguments.insert("task".into(), json!(task));
    }
    let only_reads = Command::entry(&name)
        .is_some_and(|command| command.only_reads(Value::Object(arguments.clone()).to_string().as_bytes()));
    if let Some(word) = &ctl.transaction {
        arguments.insert("transaction".into(), json!(word));
    } else if !only_reads {
        arguments.entry("transaction").or_insert_with(|| json!(new_word("ctl")));
    }
    Ok((name, arguments))
}

/// The data of an answer.
fn data(answer: Answer) -> Result<Value, Failure> {
    match answer {
        Answer::Ok { data } => Ok(data),
        Answer::Error { error } => Err(Failure::failed(error.message)),
    }
}

/// The request's name and arguments.
fn request(command: &CtlCommand) -> Result<(String, Map<String, Value>), Failure> {
    let (name, arguments) = match command {
        CtlCommand::Status => (command::Status::NAME, json!({})),
        CtlCommand::Train => (command::Train::NAME, json!({})),
        CtlCommand::Rescan => (command::Rescan::NAME, json!({})),
        CtlCommand::Rollback => (command::Rollback::NAME, json!({})),
        CtlCommand::Promote { id } => (command::Promote::NAME, json!({ "head": id })),
        CtlCommand::Label { image, class, was, .. } => {
            let mut item = json!({ "image": image, "label": class });
            if let Some(was) = was {
                item["was"] = json!(Some(was).filter(|was| !was.is_empty()));
            }
            (command::Label::NAME, json!({ "items": [item] }))
        }
        CtlCommand::Relabel { from, to, dry_run, .. } => {
            (command::Relabel::NAME, json!({ "from": from, "to": to, "dry_run": dry_run }))
        }
        CtlCommand::Exclude { images, include } => {
            (command::Exclude::NAME, json!({ "images": images, "excluded": !include }))
        }
        CtlCommand::Undo { change } => (command::Undo::NAME, json!({ "change": change })),
        CtlCommand::Forget(what) => (command::Forget::NAME, what.arguments()),
        CtlCommand::Review => (command::Review::NAME, json!({})),
        CtlCommand::Heads => (command::Heads::NAME, json!({})),
        CtlCommand::Samples(CtlSamples { limit, after, label, unlabelled }) => (
            command::Samples::NAME,
            json!({ "limit": limit, "after": after, "label": label, "unlabelled": unlabelled }),
        ),
        CtlCommand::Predict { image } => (command::Predict::NAME, json!({ "image": image })),
        CtlCommand::Export => (command::Export::NAME, json!({})),
        CtlCommand::Reload => (command::Reload::NAME, json!({})),
        CtlCommand::Watch
        | CtlCommand::Get { .. }
        | CtlCommand::Trainings(_)
        | CtlCommand::Events(_)
        | CtlCommand::Statistics(_) => {
            unreachable!("it is no request")
        }
        CtlCommand::Request { name, arguments } => {
            let text = arguments.as_deref().unwrap_or("{}");
            let parsed = serde_json::from_str(text)
                .map_err(|error| Failure::usage(format!("the arguments are not a JSON object: {error}")))?;
            (name.as_str(), parsed)
        }
    };
    match arguments {
        Value::Object(arguments) if is_name(name) => Ok((name.to_owned(), arguments)),
        Value::Object(_) => {
            Err(Failure::usage(format!("there is no request {name:?}; available: {}", Command::NAMES.join(", "))))
        }
        other => Err(Failure::usage(format!("the arguments are {other}, expected a JSON object"))),
    }
}

/// Characters that need no escaping in a path.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

fn watch(client: &Client, task: Option<&TaskId>, output: Output) -> Result<(), Failure> {
    let closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    let mut stdout = std::io::stdout().lock();
    let mut gone = false;
    let ended = client.watch(|frame| {
        let line = match frame {
            Frame::Message(message) if task.is_some_and(|task| !print::is_about(message, task)) => return Ok(()),
            Frame::Message(message) if output.json => message.to_owned(),
            Frame::Message(message) => print::message(message),
            Frame::Skipped(count) => {
                // If even standard error is closed, nothing can be reported.
                let _ = writeln!(std::io::stderr(), "edgetuned: {count} messages were missed, they came too fast");
                return Ok(());
            }
        };
        match writeln!(stdout, "{}", one_line(&line)).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) => {
                gone = closed(&error);
                Err(Failure::failed(format!(
                    "cannot write to standard output: {error}; make room there or send it elsewhere"
                )))
            }
        }
    });
    if gone { Ok(()) } else { ended }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_a_form_is_offered_by_its_name_with_its_arguments_as_json() {
        let parser = CtlCommand::augment_subcommands(clap::Command::new("ctl"));
        let parser = with_others(parser, [("fly", "Fly there."), ("train", "Train now.")].into_iter());
        let about = |name| parser.find_subcommand(name).unwrap().get_about().unwrap().to_string();
        assert_eq!((about("fly"), about("train")), ("Fly there".into(), "Train now".into()));
        let parsed = |arguments: &[&str]| {
            let matches = parser.clone().try_get_matches_from(["ctl"].iter().chain(arguments)).unwrap();
            CtlRequest::from_arg_matches(&matches).unwrap().0
        };
        let (name, arguments) = request(&parsed(&["fly", r#"{"far":true}"#])).unwrap();
        assert_eq!((name.as_str(), Value::Object(arguments)), ("fly", json!({ "far": true })));
        assert_eq!(request(&parsed(&["fly"])).unwrap(), ("fly".to_owned(), Map::new()));
        assert!(matches!(parsed(&["train"]), CtlCommand::Train));
    }

    #[test]
    fn every_request_can_name_its_task() {
        let parser = <Ctl as clap::Args>::augment_args(clap::Command::new("ctl"));
        for line in [
            "status",
            "train",
            "review",
            "heads",
            "promote 3",
            "rollback",
            "samples --limit 3",
            "forget abcdef01",
            "undo",
            "label abcdef01 open",
            "relabel shut closed",
            "relabel shut --clear --dry-run",
            "exclude abcdef01 abcdef02 --include",
            "config {}",
            "label abcdef01 open --was shut",
            "predict abcdef01",
            "export",
            "import {}",
            "request train",
        ] {
            for words in [format!("ctl {line} --task door"), format!("ctl --task door {line}")] {
                let matches = parser.clone().try_get_matches_from(words.split(' ')).unwrap();
                let (name, arguments) = asked(&Ctl::from_arg_matches(&matches).unwrap()).unwrap();
                assert_eq!(arguments["task"], "door", "{words}");
                let sent = Value::Object(arguments.clone()).to_string();
                let reads = Command::entry(&name).unwrap().only_reads(sent.as_bytes());
                assert_eq!(arguments.contains_key("transaction"), !reads, "{words}");
            }
        }
        let plain = parser.clone().try_get_matches_from(["ctl", "train"]).unwrap();
        assert!(!asked(&Ctl::from_arg_matches(&plain).unwrap()).unwrap().1.contains_key("task"));
        assert!(parser.try_get_matches_from(["ctl", "train", "--task", "Door"]).is_err());
    }

    #[test]
    fn reports_are_read_with_their_limit_and_trainings_of_their_task() {
        let parser = <Ctl as clap::Args>::augment_args(clap::Command::new("ctl"));
        for (line, path) in [
            ("trainings", "/api/v1/trainings?"),
            ("trainings --limit 3 --task door", "/api/v1/trainings?limit=3&task=door"),
            ("events --limit 3 --task door", "/api/v1/events?limit=3"),
        ] {
            let matches = parser.clone().try_get_matches_from(["ctl"].into_iter().chain(line.split(' '))).unwrap();
            let ctl = Ctl::from_arg_matches(&matches).unwrap();
            let (CtlCommand::Trainings(latest) | CtlCommand::Events(latest)) = &ctl.command.0 else { panic!("{line}") };
            assert_eq!(reports_path(&ctl.command.0, latest, ctl.task.as_ref()), path);
        }
    }

    #[test]
    fn a_path_gets_the_task_in_its_query() {
        let task = "door".parse().unwrap();
        assert_eq!(with_task("/readyz", None), "/readyz");
        assert_eq!(with_task("/api/v1/heads", Some(&task)), "/api/v1/heads?task=door");
        assert_eq!(with_task("/api/v1/samples?limit=3", Some(&task)), "/api/v1/samples?limit=3&task=door");
    }

    #[test]
    fn every_request_can_be_typed() {
        for name in Command::NAMES {
            assert!(CtlRequest::has_subcommand(name), "{name}");
        }
    }
}
