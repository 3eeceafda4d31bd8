//! `edgetuned fleet collect`: the statistics files of many devices.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::asking;
use super::merge::EXTENSION;
use crate::cli::args::Args;
use crate::cli::broker::{BrokerChoice, no_device};
use crate::cli::failure::{Failure, one_line};
use crate::cli::new_word;
use crate::cli::output::Output;
use crate::rounds::{Ending, Gathering, Round};
use crate::store::files;
use crate::wire::DevicePattern;
use crate::wire::command::{Spec as _, Statistics};
use crate::words::TaskId;

/// `fleet collect`
#[derive(Debug, clap::Args)]
pub struct Collect {
    #[command(flatten)]
    pub broker: BrokerChoice,
    /// The devices, with * for any characters: every such device that the broker knows
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    pub devices: DevicePattern,
    /// Output folder, with a file of each device
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The task [default: the one called default, or the only one of each device]
    #[arg(long, value_name = "ID")]
    pub task: Option<TaskId>,
    /// Shorten embeddings to so many values, for a slow link [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(16..))]
    pub values: Option<u32>,
    /// KiB of a file in one message; as text they are a third more, which has to fit the broker's and the devices' bounds
    #[arg(long, value_name = "KIB", default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=12288))]
    pub chunk_kb: u32,
}

/// How it ended.
#[derive(Debug, Serialize)]
struct Report {
    out: PathBuf,
    devices: Vec<Line>,
}

/// A device of the report.
#[derive(Debug, Serialize)]
struct Line {
    device: String,
    /// Its file; null where there is none.
    file: Option<PathBuf>,
    bytes: u64,
    /// Why there is none.
    reason: Option<String>,
}

pub fn collect(args: &Args, wish: &Collect, output: Output) -> Result<(), Failure> {
    let settings = wish.broker.settings(args, wish.devices.single())?;
    let talk = |_: &str| Gathering::new(wish.task.clone(), wish.values, wish.chunk_kb << 10);
    let round = Round::searching(&new_word("fleet"), talk);
    let mut lines = Vec::new();
    asking::run(round, &settings, &wish.devices, Statistics::NAME, output, |device, talk, ending| {
        lines.push(match ending {
            Ending::Answered => {
                let file = wish.out.join(format!("{device}.{EXTENSION}"));
                write(&wish.out, &file, talk.file())?;
                Line { device, file: Some(file), bytes: talk.file().len() as u64, reason: None }
            }
            Ending::Refused(reason) => without(device, reason),
            Ending::Silent => without(device, "it does not answer; check that it runs and is connected".to_owned()),
        });
        Ok(())
    })?;
    lines.sort_by(|a, b| a.device.cmp(&b.device));
    if lines.is_empty() {
        return Err(no_device(&wish.devices, "--devices", &settings));
    }
    let answered = lines.iter().any(|line| line.file.is_some());
    let report = Report { out: wish.out.clone(), devices: lines };
    output.print(&report, |out| report.write(out))?;
    if answered { Ok(()) } else { Err(Failure::already_printed(1)) }
}

fn write(folder: &Path, file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = files::create_folder(folder).and_then(|()| files::write(file, bytes));
    written.map_err(|error| {
        Failure::failed(format!("cannot write {}: {error}; check the folder and the free space", file.display()))
    })
}

fn without(device: String, reason: String) -> Line {
    Line { device, file: None, bytes: 0, reason: Some(reason) }
}

impl Report {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let width = self.devices.iter().map(|line| line.device.len()).max().unwrap_or(0).max("device".len());
        for line in &self.devices {
            let what = match (&line.file, &line.reason) {
                (Some(file), _) => format!("{} ({} bytes)", file.display(), line.bytes),
                (None, reason) => format!("nothing: {}", one_line(reason.as_deref().unwrap_or_default())),
            };
            writeln!(out, "{:width$}  {what}", line.device)?;
        }
        let files = self.devices.iter().filter(|line| line.file.is_some()).count();
        writeln!(out, "{files} of {} devices: {}", self.devices.len(), self.out.display())?;
        if files > 0 {
            writeln!(out, "Merge them with 'edgetuned fleet merge {}/*.{EXTENSION} --out HEAD'.", self.out.display())?;
        }
        Ok(())
    }
}
