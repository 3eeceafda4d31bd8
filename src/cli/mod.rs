//! The command line: parse, call, print.
//!
//! Each command is a file, and no command uses another: what several need has a file of its own. A command returns what
//! it found; how it is printed, as text or as the one JSON document of `--json`, is decided beside it, and which exit
//! code a failure means is decided in `failure`.

mod args;
mod backbone;
mod broker;
mod check;
mod configuration;
mod ctl;
mod dataset;
mod embed;
mod embedding;
mod evaluate;
mod export;
mod failure;
mod figures;
mod fleet;
mod heads;
mod log;
mod output;
mod ownership;
mod predict;
mod regions;
mod report;
mod samples;
mod statistics;
mod task;
mod train;
mod update;
mod values;

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, Parser};

use crate::daemon;
use crate::words::{Digest, Timestamp};
use args::{Args, Command};
use failure::Failure;
use output::Output;

/// Everything that can be typed, for the manual pages and completions of the packages.
#[must_use]
pub fn command() -> clap::Command {
    Args::command()
}

/// Runs the program with the process's arguments and returns its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // The arguments did not parse, but whether `--json` was given can still be seen.
            let json = std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
            return failure::usage(&error, Output { json });
        }
    };
    log::start(args.verbose, matches!(args.command, Command::Run));
    let output = Output { json: args.json };
    let ended = match &args.command {
        Command::Run => {
            let path = configuration::path(&args);
            daemon::run(Arc::new(move || configuration::sources(&path))).map_err(Failure::from)
        }
        Command::Check(check) => check::check(&args, check, output),
        Command::Train(train) => train::train(&args, train, output),
        Command::Predict(predict) => predict::predict(&args, predict, output),
        Command::Evaluate(evaluate) => evaluate::evaluate(&args, evaluate, output),
        Command::Embed(embed) => embed::embed(&args, embed, output),
        Command::Regions(regions) => regions::regions(&args, regions, output),
        Command::Export(export) => export::export(&args, export, output),
        Command::Backbone(command) => backbone::backbone(&args, command, output),
        Command::Heads(command) => heads::heads(&args, command, output),
        Command::Ctl(ctl) => ctl::ctl(&args, ctl, output),
        Command::Samples(command) => samples::samples(&args, command, output),
        Command::Statistics(command) => statistics::statistics(&args, command, output),
        Command::Fleet(command) => fleet::fleet(&args, command, output),
        Command::Update(command) => update::update(&args, command, output),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(output),
    }
}

/// The current time, for what commands write.
fn now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}

/// A word that no other command has for its transactions; it begins with `whose`.
fn new_word(whose: &str) -> String {
    let seed = format!("{} {:?}", std::process::id(), std::time::SystemTime::now());
    format!("{whose}-{}", Digest::of(seed.as_bytes()).short())
}
