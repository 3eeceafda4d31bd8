//! `edgetuned ctl`: requests to the running daemon.
//!
//! Every request that changes something carries a transaction, so that repeating it after a lost answer is safe. A
//! request without a form of its own in [`CtlCommand`] is there under its name all the same, with its arguments as JSON.

mod arguments;
mod client;
mod print;

use std::io::Write;

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
use crate::wire::{Answer, Command};
use crate::words::TaskId;
pub use arguments::{Ctl, ForgetWhat};
use arguments::{CtlCommand, CtlRequest, CtlSamples, Latest};
use client::{Client, Frame};

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
    use clap::{FromArgMatches as _, Subcommand as _};

    use super::arguments::with_others;
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
