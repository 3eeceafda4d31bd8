//! `edgetuned fleet merge`: one head of the statistics of many devices.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::trials::{Fleet, Measured};
use crate::cli::args::Args;
use crate::cli::broker::BrokerChoice;
use crate::cli::failure::{Failure, one_line, one_line_chain};
use crate::cli::now;
use crate::cli::output::{Output, same};
use crate::cli::values::keyword;
use crate::fleet::{Aliases, Disagreement, HeadKind, Merge as Sums, Merged, Statistics};
use crate::head::HeadRecord;
use crate::store::files;
use crate::words::Label;

/// What is appended to a device's id in the name of its file.
pub const EXTENSION: &str = "safetensors";
/// Disagreements that are printed.
const TOLD: usize = 10;

/// `fleet merge`
#[derive(Debug, clap::Args)]
pub struct Merge {
    /// Statistics files, one of each device
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Output file of the head
    #[arg(long, value_name = "HEAD")]
    pub out: PathBuf,
    /// Count class A as B; may be given several times
    #[arg(long, value_name = "A=B", value_parser = alias)]
    pub alias: Vec<(Label, Label)>,
    /// How the head is made of sums [default: softmax, or with --url what the devices answer best with]
    #[arg(long, value_name = "KIND", value_parser = keyword::<HeadKind>(), conflicts_with = "url")]
    pub head: Option<HeadKind>,
    /// Have the devices measure heads, at this broker
    #[arg(long)]
    pub url: Option<String>,
    /// What topics begin with [default: the configuration's, else edgetuned]
    #[arg(long, requires = "url")]
    pub prefix: Option<String>,
    /// Seed of the draws that a head is fitted on
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    out: PathBuf,
    /// The head's id.
    head: String,
    kind: String,
    classes: Vec<Label>,
    devices: Vec<Row>,
    /// What the devices said of it; null where they were not asked.
    measured: Option<Measured>,
    disagreements: Vec<Differs>,
}

/// Images of a device by class.
#[derive(Debug, Serialize)]
struct Row {
    device: String,
    images: BTreeMap<Label, u64>,
}

#[derive(Debug, Serialize)]
struct Differs {
    device: String,
    class: Label,
    distance: f64,
    nearest: Option<Label>,
}

pub fn merge(args: &Args, command: &Merge, output: Output) -> Result<(), Failure> {
    if let Some(file) = command.files.iter().find(|file| same(&command.out, file)) {
        return Err(Failure::usage(format!("--out {} is one of the files; give another one", file.display())));
    }
    let aliases = aliases(&command.alias)?;
    let mut sums = Sums::new(aliases.clone());
    // Kept only where they are needed again: a fleet may be large.
    let mut parts = BTreeMap::new();
    for file in &command.files {
        let (device, statistics) = (device_of(file), read(file)?);
        sums.add(&device, &statistics).map_err(Failure::failed)?;
        if command.url.is_some() {
            parts.insert(device, statistics);
        }
    }
    let merged = sums.finish().map_err(Failure::failed)?;
    let (made, measured) = match &command.url {
        None => {
            let kind = command.head.unwrap_or(HeadKind::Softmax).usual();
            (kind.head(&merged.statistics, command.seed).map_err(Failure::failed)?, None)
        }
        Some(url) => {
            let broker = BrokerChoice { url: Some(url.clone()), prefix: command.prefix.clone() };
            let settings = broker.settings(args, None)?;
            let (settings, aliases) = (&settings, &aliases);
            let fleet = Fleet { settings, statistics: &parts, aliases, seed: command.seed, output };
            let (head, measured) = fleet.choose(&merged)?;
            (head, Some(measured))
        }
    };
    let Merged { statistics, devices, disagreements } = merged;
    let record = made.into_record(&statistics.source, now());
    files::write(&command.out, &record.to_bytes()).map_err(|error| {
        Failure::failed(format!("cannot write {}: {error}; check the folder and the free space", command.out.display()))
    })?;
    let classes = statistics.classes.labels().to_vec();
    let row = |(device, counts): (String, Vec<u64>)| {
        let images = classes.iter().cloned().zip(counts).filter(|(_, count)| *count > 0).collect();
        Row { device, images }
    };
    let report = Report {
        out: command.out.clone(),
        head: record.head.id.to_string(),
        kind: record.training.kind.clone(),
        devices: devices.into_iter().map(row).collect(),
        measured,
        disagreements: disagreements.into_iter().map(Differs::from).collect(),
        classes,
    };
    output.print(&report, |out| report.write(&record, out))
}

/// The name of the device whose statistics a file holds.
pub fn device_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
    name.strip_suffix(&format!(".{EXTENSION}")).unwrap_or(&name).to_owned()
}

pub fn read(file: &Path) -> Result<Statistics, Failure> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::failed(format!("cannot read {}: {error}; check its path", file.display())))?;
    Statistics::from_bytes(&bytes)
        .map_err(|error| Failure::failed(format!("{}: {}", file.display(), one_line_chain(&error))))
}

/// Refuses what would count one class as two.
fn aliases(given: &[(Label, Label)]) -> Result<Aliases, Failure> {
    let mut map: BTreeMap<Label, Label> = BTreeMap::new();
    for (from, to) in given {
        if map.insert(from.clone(), to.clone()).is_some_and(|other| other != *to) {
            return Err(Failure::usage(format!("--alias gives {from:?} two meanings; give one")));
        }
    }
    if let Some((from, to)) = map.iter().find(|(_, to)| map.get(*to).is_some_and(|next| next != *to)) {
        let next = &map[to];
        return Err(Failure::usage(format!(
            "--alias counts {from:?} as {to:?} and {to:?} as {next:?}; give {from:?}={next:?}"
        )));
    }
    Ok(Aliases(map))
}

fn alias(text: &str) -> Result<(Label, Label), String> {
    let (from, to) = text.split_once('=').ok_or("expected A=B: the class A counts as B")?;
    let label = |text: &str| Label::new(text).map_err(|error| error.to_string());
    Ok((label(from)?, label(to)?))
}

impl From<Disagreement> for Differs {
    fn from(Disagreement { device, class, distance, nearest }: Disagreement) -> Self {
        Self { device, class, distance, nearest }
    }
}

impl Report {
    fn write(&self, record: &HeadRecord, out: &mut dyn Write) -> io::Result<()> {
        let name = |row: &Row| one_line(&row.device);
        let first = self.devices.iter().map(|row| name(row).chars().count()).chain([6]).max().unwrap_or(6);
        let widths: Vec<usize> = self.classes.iter().map(|class| class.as_str().chars().count().max(6)).collect();
        write!(out, "{:first$}", "device")?;
        for (class, width) in self.classes.iter().zip(&widths) {
            write!(out, "  {:>width$}", class.as_str())?;
        }
        writeln!(out)?;
        let mut line = |name: &str, images: &dyn Fn(&Label) -> u64| -> io::Result<()> {
            write!(out, "{name:first$}")?;
            for (class, width) in self.classes.iter().zip(&widths) {
                match images(class) {
                    0 => write!(out, "  {:>width$}", "-")?,
                    count => write!(out, "  {count:>width$}")?,
                }
            }
            writeln!(out)
        };
        for row in &self.devices {
            line(&name(row), &|class| row.images.get(class).copied().unwrap_or(0))?;
        }
        let total = |class: &Label| self.devices.iter().filter_map(|row| row.images.get(class)).sum();
        line("all", &total)?;
        for Differs { device, class, distance, nearest } in self.disagreements.iter().take(TOLD) {
            let what = match nearest {
                Some(nearest) => format!("is nearest to what others call {:?}", nearest.as_str()),
                None => "is far from what others call so".to_owned(),
            };
            writeln!(out, "{}: {:?} {what} (distance {distance:.1})", one_line(device), class.as_str())?;
        }
        if let more @ 1.. = self.disagreements.len().saturating_sub(TOLD) {
            writeln!(out, "and {more} more, in --json")?;
        }
        if !self.disagreements.is_empty() {
            writeln!(
                out,
                "Look at these devices' labels; leave a file out, or count one class as another with --alias."
            )?;
        }
        let training = &record.training;
        writeln!(
            out,
            "head {} of {} images on {} devices, kind {}, for {}: {}",
            self.head,
            training.n_train,
            self.devices.len() - self.measured.as_ref().map_or(0, |measured| measured.left_out.len()),
            self.kind,
            record.backbone.name,
            self.out.display()
        )?;
        match &self.measured {
            None => writeln!(out, "Nothing measured it yet; --url has the devices do it.")?,
            Some(measured) => measured.write(out)?,
        }
        writeln!(out, "Sign it with 'edgetuned update sign'; each device's gate decides.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(name: &str) -> Label {
        Label::new(name).unwrap()
    }

    #[test]
    fn devices_are_called_by_their_files() {
        assert_eq!(device_of(Path::new("/tmp/line-3.safetensors")), "line-3");
        assert_eq!(device_of(Path::new("line.3.stats")), "line.3.stats");
    }

    #[test]
    fn aliases_in_a_row_and_with_two_meanings_are_refused() {
        assert_eq!(alias("mother=nut"), Ok((label("mother"), label("nut"))));
        assert!(alias("mother").unwrap_err().contains("A=B"));
        let given =
            |pairs: &[(&str, &str)]| aliases(&pairs.iter().map(|(a, b)| (label(a), label(b))).collect::<Vec<_>>());
        assert!(given(&[("a", "b"), ("c", "b")]).is_ok());
        assert!(given(&[("a", "b"), ("a", "c")]).is_err());
        assert!(given(&[("a", "b"), ("b", "c")]).is_err());
    }
}
