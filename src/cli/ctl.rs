//! `edgetuned ctl`: talking to the running daemon.
//!
//! Every request that changes something carries a transaction, so that asking again after a lost answer is safe.

mod client;
mod print;

use std::io::Write;

use serde_json::{Map, Value, json};

use super::args::{Args, Ctl, CtlCommand as Command, CtlSamples};
use super::configuration;
use super::failure::{Failure, one_line};
use super::output::Output;
use crate::wire::{Answer, Command as Known};
use crate::words::Digest;
use client::{Client, Frame};

pub fn ctl(args: &Args, ctl: &Ctl, output: Output) -> Result<(), Failure> {
    let client = Client::new(&configuration::load(args)?)?;
    if let Command::Watch = ctl.command {
        return watch(&client, output);
    }
    let (name, mut arguments) = request(&ctl.command)?;
    if let Some(word) = &ctl.transaction {
        arguments.insert("transaction".into(), json!(word));
    } else if !Known::only_reads(&name) {
        arguments.entry("transaction").or_insert_with(|| json!(new_word()));
    }
    let data = data(client.ask(&name, arguments)?)?;
    print::print(&ctl.command, &data, output)
}

/// What was answered.
fn data(answer: Answer) -> Result<Value, Failure> {
    match answer {
        Answer::Ok { data } => Ok(data),
        Answer::Error { error } => Err(Failure::failed(error.message)),
    }
}

/// The request's name and arguments.
fn request(command: &Command) -> Result<(String, Map<String, Value>), Failure> {
    let (name, arguments) = match command {
        Command::Status => ("status", json!({})),
        Command::Train => ("train", json!({})),
        Command::Rescan => ("rescan", json!({})),
        Command::Rollback => ("rollback", json!({})),
        Command::Promote { id } => ("promote", json!({ "head": id })),
        Command::Label { image, class, .. } => ("label", json!({ "items": [{ "image": image, "label": class }] })),
        Command::Review => ("review", json!({})),
        Command::Heads => ("heads", json!({})),
        Command::Samples(CtlSamples { limit, after, label, unlabelled }) => {
            ("samples", json!({ "limit": limit, "after": after, "label": label, "unlabelled": unlabelled }))
        }
        Command::Predict { image } => ("predict", json!({ "image": image })),
        Command::Export => ("export", json!({})),
        Command::Reload => ("reload", json!({})),
        Command::Watch => unreachable!("it is no request"),
        Command::Request { name, arguments } => {
            let text = arguments.as_deref().unwrap_or("{}");
            let parsed = serde_json::from_str(text)
                .map_err(|error| Failure::usage(format!("the arguments are not a JSON object: {error}")))?;
            (name.as_str(), parsed)
        }
    };
    match arguments {
        Value::Object(arguments) if is_name(name) => Ok((name.to_owned(), arguments)),
        Value::Object(_) => {
            Err(Failure::usage(format!("there is no request {name:?}; available: {}", Known::NAMES.join(", "))))
        }
        other => Err(Failure::usage(format!("the arguments are {other}, expected a JSON object"))),
    }
}

/// Characters that need no escaping in a path.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// A word that no other request has.
fn new_word() -> String {
    let seed = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    format!("ctl-{}", Digest::of(seed.as_bytes()).short())
}

fn watch(client: &Client, output: Output) -> Result<(), Failure> {
    let closed = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    let mut stdout = std::io::stdout().lock();
    let mut gone = false;
    let ended = client.watch(|frame| {
        let line = match frame {
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
