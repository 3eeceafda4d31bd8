//! `edgetuned samples`: lists stored samples and changes their labels.

mod annotations;
mod archive;
mod class_folders;
mod columns;
mod export;
mod file;
mod forget;
mod format;
mod import;
mod label_studio;
mod parquet;
mod pictures;
mod purge;
mod undo;

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;

use super::args::Args;
use super::ctl::ForgetWhat;
use super::failure::Failure;
use super::now;
use super::output::{self, Output};
use super::ownership::{Ownership, owned};
use super::task::{Meant, TaskChoice};
use super::{configuration, ctl};
use crate::config::Config;
use crate::engine::{LabelSource, PendingLabel, StoredSample, StoredTask, TrainingState, Write};
use crate::shared;
use crate::store::{LabelLine, Reader, SpacesInUse, Store};
use crate::wire::command;
use crate::wire::{ImagePrefix, LabelsTaken, SampleEntry};
use crate::words::{Label, SampleId, TaskId, Timestamp};

/// `samples`
#[derive(Debug, clap::Args)]
pub struct Samples {
    #[command(flatten)]
    pub task: TaskChoice,
    #[command(subcommand)]
    pub command: SamplesCommand,
}

/// What to do with samples.
#[derive(Debug, Subcommand)]
pub enum SamplesCommand {
    /// List every sample with its label and its prediction, oldest first
    #[command(after_help = "Example:\n  edgetuned samples list --unlabelled --limit 20")]
    List(SampleList),
    /// Export every sample with its label and its metadata to a file, or the pictures themselves by class
    #[command(
        long_about = "\
Export every sample with its label and its metadata to a file, or the pictures themselves by class.

Tables (.csv, .jsonl, .parquet) and tasks of Label Studio (.json) have every sample. A .tar, or a folder, has the pictures of those with a label, in a folder for each class; with --format imagefolder they lie beside a metadata.csv, as Hugging Face's datasets reads it.",
        after_help = "\
Examples:
  edgetuned samples export --out labels.csv
  edgetuned samples export --out labels.tar
  edgetuned samples export --out labels/ --format imagefolder
  edgetuned samples export --out tasks.json --image-root 'http://device:8080/api/v1/images/{image}'"
    )]
    Export(export::Export),
    /// Import the labels in a file, while the daemon runs or not
    #[command(
        long_about = "\
Import the labels in a file, while the daemon runs or not.

Of a table only 'image', an image's SHA-256 or its first 8 or more digits, and 'label' are read; an empty label removes the current one. Other columns are ignored, so an exported file can be edited and imported. Of a .tar or a folder, each picture gets the name of its class's folder, or what metadata.csv says; nothing is unpacked. Of Label Studio's export as JSON, each image gets what was chosen for it. If any line is bad, nothing changes.",
        after_help = "\
Examples:
  edgetuned samples import labels.csv
  edgetuned samples import labels.tar"
    )]
    Import(import::Import),
    /// Give every image with one label another one, while the daemon runs or not
    #[command(after_help = "Example:\n  edgetuned samples relabel screw bolt")]
    Relabel {
        /// The label that they have
        #[arg(value_name = "OLD")]
        from: String,
        /// The label that they get
        #[arg(value_name = "NEW")]
        to: String,
    },
    /// Forget samples for good, with their embeddings and labels, while the daemon runs or not
    #[command(
        long_about = "\
Forget samples for good, with their embeddings and labels, while the daemon runs or not.

No later training learns from them. Their files stay where they are and are not taken in again, unless they change, move or are copied.",
        after_help = "Examples:\n  edgetuned samples forget 2cf24dba\n  edgetuned samples forget --class 2026-11-27"
    )]
    Forget(ForgetWhat),
    /// Undo the latest change of labels, or the one with this number, while the daemon runs or not
    #[command(
        long_about = "\
Undo the latest change of labels, or the one with this number, while the daemon runs or not.

A change is everything that one message, request or import did. Images that got a label after it keep that. Repeat without a number for the change before.",
        after_help = "Examples:\n  edgetuned samples undo\n  edgetuned samples undo 12"
    )]
    Undo {
        /// Its number, as 'samples history' and 'samples import' show it
        change: Option<u64>,
    },
    /// End a task that is no longer in the configuration, while the daemon runs or not
    #[command(
        long_about = "\
End a task that is no longer in the configuration, while the daemon runs or not.

Its labels, heads and statistics go; images and their embeddings stay, and other tasks with all that is theirs. Nothing is asked, and nothing brings it back.",
        after_help = "Example:\n  edgetuned samples purge --task door"
    )]
    Purge,
    /// List every label that an image was ever given, and whether it was excluded
    History {
        /// Its SHA-256, or the first 8 or more digits
        image: ImagePrefix,
    },
}

/// `samples list`
#[derive(Debug, clap::Args)]
pub struct SampleList {
    /// Only those with a label
    #[arg(long, conflicts_with = "unlabelled")]
    pub labelled: bool,
    /// Only those without a label
    #[arg(long)]
    pub unlabelled: bool,
    /// Only those with this label
    #[arg(long, value_name = "CLASS", conflicts_with = "unlabelled")]
    pub class: Option<String>,
    /// Only the latest of them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

pub fn samples(args: &Args, Samples { task, command }: &Samples, output: Output) -> Result<(), Failure> {
    let config = &configuration::load(args)?;
    match command {
        SamplesCommand::List(choice) => list(config, &task.meant(config)?, choice, output),
        SamplesCommand::Export(asked) => export::export(config, &task.meant(config)?, asked, output),
        SamplesCommand::Import(asked) => import::import(config, task, asked, output),
        SamplesCommand::Relabel { from, to } => relabel(config, &task.meant(config)?, from, to, output),
        SamplesCommand::Forget(what) => forget::forget(config, task, what, output),
        SamplesCommand::Undo { change } => undo::undo(config, &task.meant(config)?, *change, output),
        SamplesCommand::Purge => purge::purge(config, task.task.as_ref(), output),
        SamplesCommand::History { image } => history(config, &task.meant(config)?, image, output),
    }
}

fn reader(config: &Config) -> Result<Reader, Failure> {
    Ok(Reader::open(&config.store.path, SpacesInUse::default())?)
}

/// Every sample with its fold, in the order of arrival.
fn rows(config: &Config, task: &Meant) -> Result<Vec<SampleEntry>, Failure> {
    Ok(shared::samples(&reader(config)?, task.id(), task.seed())?)
}

fn list(config: &Config, task: &Meant, choice: &SampleList, output: Output) -> Result<(), Failure> {
    let mut rows = rows(config, task)?;
    rows.retain(|row| {
        let label = row.label.as_ref().map(Label::as_str);
        (!choice.labelled || label.is_some())
            && (!choice.unlabelled || label.is_none())
            && choice.class.as_ref().is_none_or(|class| label == Some(class.as_str()))
    });
    if let Some(limit) = choice.limit {
        rows.drain(..rows.len().saturating_sub(limit as usize));
    }
    output.print(&rows, |out| output::samples(&rows, out))
}

/// Gives every image with one label another one: in the store, or by the daemon that works on it.
fn relabel(config: &Config, task: &Meant, from: &str, to: &str, output: Output) -> Result<(), Failure> {
    let [from, to] = [from, to].map(Label::new);
    let (from, to) = (&from.map_err(Failure::usage)?, &to.map_err(Failure::usage)?);
    let taken = match owned(Store::open_existing(&config.store.path))? {
        Ownership::Here(store) => relabel_stored(*store, task.id(), from, to)?,
        Ownership::Daemon => ctl::ask::<command::Relabel>(config, task.asks(json!({ "from": from, "to": to })))?,
    };
    let LabelsTaken { set, kept, .. } = taken;
    output.print(&taken, |out| writeln!(out, "labels changed: {set}, and of those that wait for their image: {kept}"))
}

fn relabel_stored(mut store: Store, task: &TaskId, from: &Label, to: &Label) -> Result<LabelsTaken, Failure> {
    let mut snapshot = store.snapshot()?;
    let (at, change) = (now(), Some(snapshot.changes + 1));
    let (label, source) = (Some(to.clone()), LabelSource::Mqtt);
    let has_it = |sample: &&StoredSample| sample.label.as_ref().is_some_and(|(label, _)| label == from);
    let StoredTask { samples, training, .. } = snapshot.tasks.remove(task).unwrap_or_default();
    let mut writes: Vec<Write> = (samples.iter().filter(has_it))
        .map(|sample| Write::Label { task: task.clone(), id: sample.id, label: label.clone(), source, at, change })
        .collect();
    let set = writes.len();
    let learned = samples.iter().filter(has_it).filter(|sample| !sample.excluded).count();
    let has_it = |awaited: &PendingLabel| awaited.task == *task && awaited.label == *from;
    let awaited = snapshot.awaited.into_iter().filter(has_it);
    writes.extend(awaited.map(|awaited| {
        let renamed = PendingLabel { label: to.clone(), change, ..awaited.clone() };
        Write::PendingLabel(renamed.in_place_of(Some(&awaited)))
    }));
    let kept = writes.len() - set;
    let taken = LabelsTaken { set, kept, change: change.filter(|_| from != to) };
    if writes.is_empty() {
        return Err(no_such_label(from));
    }
    if from != to {
        writes.push(count_new_labels(task, &training, learned));
        store.commit(&writes)?;
    }
    Ok(taken)
}

fn no_such_label(label: &Label) -> Failure {
    Failure::failed(format!("no image has the label {label}; 'edgetuned samples list' shows all"))
}

/// A line of an image's history.
#[derive(Debug, Serialize)]
struct HistoryLine {
    at: Timestamp,
    label: Option<Label>,
    /// Whether the image was excluded, or taken back; left out where the line is about its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    excluded: Option<bool>,
    source: LabelSource,
    /// The number of the change that it belongs to.
    change: Option<u64>,
    undone: bool,
}

fn history(config: &Config, task: &Meant, image: &ImagePrefix, output: Output) -> Result<(), Failure> {
    let reader = reader(config)?;
    let rows = reader.sample_rows(task.id())?;
    let id = sample_named(rows.iter().map(|row| row.id), image)?;
    let change = |LabelLine { at, label, excluded, source, change, undone }: LabelLine| HistoryLine {
        at,
        label,
        excluded,
        source,
        change,
        undone,
    };
    let changes: Vec<HistoryLine> = reader.label_history(task.id(), &id)?.into_iter().map(change).collect();
    output.print(&changes, |out| {
        if changes.is_empty() {
            writeln!(out, "image {id} never had a label")?;
        }
        for change in &changes {
            let label = match change.excluded {
                None => change.label.as_ref().map_or("(removed)", Label::as_str),
                Some(true) => "(excluded)",
                Some(false) => "(no longer excluded)",
            };
            let number = change.change.map_or_else(String::new, |number| format!("  change {number}"));
            let undone = if change.undone { "  (taken back)" } else { "" };
            writeln!(out, "{}  {:6}  {label}{undone}{number}", change.at, change.source.as_str())?;
        }
        Ok(())
    })
}

/// The stored sample that is meant by the first digits of its digest.
fn sample_named(ids: impl Iterator<Item = SampleId>, image: &ImagePrefix) -> Result<SampleId, Failure> {
    let mut ids = ids.filter(|id| id.to_string().starts_with(image.as_str()));
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => {
            let reason = format!("no sample's SHA-256 begins with {image}; 'edgetuned samples list' names them");
            Err(Failure::failed(reason))
        }
        (Some(_), Some(_)) => {
            Err(Failure::failed(format!("{image} is the start of more than one SHA-256; give more digits")))
        }
    }
}

/// The write that counts `changed` labels of a task as new, as the daemon does when it changes them.
pub fn count_new_labels(task: &TaskId, memory: &TrainingState, changed: usize) -> Write {
    let state = TrainingState { new_labels: memory.new_labels + changed as u64, ..memory.clone() };
    Write::TrainingState { task: task.clone(), state }
}
