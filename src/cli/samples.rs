//! `edgetuned samples`: lists stored samples and changes their labels.

mod file;
mod import;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::args::{Args, SampleList, Samples as Command};
use super::clock::now;
use super::failure::{Failure, one_line};
use super::output::{Output, write_file};
use super::store::{count_new_labels, open_for_labels};
use super::{configuration, print};
use crate::config::Config;
use crate::engine::{LabelSource, Write};
use crate::shared;
use crate::store::{LabelChange, Reader};
use crate::wire::{ImagePrefix, SampleEntry};
use crate::words::{Label, SampleId, Timestamp};

pub fn samples(args: &Args, command: &Command, output: Output) -> Result<(), Failure> {
    let config = configuration::load(args)?;
    match command {
        Command::List(choice) => list(&config, choice, output),
        Command::Export { out } => export(&config, out, output),
        Command::Import { file } => import::import(&config, file, output),
        Command::Undo => undo(&config, output),
        Command::History { image } => history(&config, image, output),
    }
}

fn reader(config: &Config) -> Result<Reader, Failure> {
    Ok(Reader::open(&config.store.path, None)?)
}

/// Every sample with its fold, in the order of arrival.
fn rows(config: &Config) -> Result<Vec<SampleEntry>, Failure> {
    Ok(shared::samples(&reader(config)?, config.training.seed)?)
}

fn list(config: &Config, choice: &SampleList, output: Output) -> Result<(), Failure> {
    let mut rows = rows(config)?;
    rows.retain(|row| {
        let label = row.label.as_ref().map(Label::as_str);
        (!choice.labelled || label.is_some())
            && (!choice.unlabelled || label.is_none())
            && choice.class.as_ref().is_none_or(|class| label == Some(class.as_str()))
    });
    if let Some(limit) = choice.limit {
        rows.drain(..rows.len().saturating_sub(limit as usize));
    }
    output.print(&rows, |out| print::samples(&rows, out))
}

fn export(config: &Config, out: &Path, output: Output) -> Result<(), Failure> {
    let form = file::form(out, "write")?;
    let rows = rows(config)?;
    write_file(out, &file::written(&rows, form).map_err(Failure::failed)?)?;
    let done = Exported { out: out.display().to_string(), samples: rows.len() };
    output.print(&done, |to| writeln!(to, "{} samples in {}", done.samples, one_line(&done.out)))
}

#[derive(Debug, Serialize)]
struct Exported {
    out: String,
    samples: usize,
}

/// What was undone.
#[derive(Debug, Serialize)]
struct Undone {
    /// The source and time of the change.
    source: LabelSource,
    at: Timestamp,
    restored: Vec<Restored>,
}

#[derive(Debug, Serialize)]
struct Restored {
    image: SampleId,
    /// The label that it has again.
    label: Option<Label>,
    /// The label that was undone.
    instead_of: Option<Label>,
}

fn undo(config: &Config, output: Output) -> Result<(), Failure> {
    let mut store = open_for_labels(config)?;
    let changes = store.reader()?.last_changes()?;
    let Some((LabelChange { source, at, .. }, _)) = changes.first().cloned() else {
        return Err(Failure::failed("there is no change of labels to undo"));
    };
    let snapshot = store.snapshot()?;
    let numbers: Vec<u64> = changes.iter().map(|(change, _)| change.number).collect();
    let before: BTreeMap<SampleId, Option<Label>> =
        changes.into_iter().map(|(change, before)| (change.id, before)).collect();
    let restored: Vec<Restored> = snapshot
        .samples
        .into_iter()
        .filter_map(|sample| {
            let (instead_of, label) = (sample.label.map(|(label, _)| label), before.get(&sample.id)?.clone());
            (instead_of != label).then_some(Restored { image: sample.id, label, instead_of })
        })
        .collect();
    let present = now();
    let mut writes: Vec<Write> = restored
        .iter()
        .map(|Restored { image, label, .. }| Write::Label {
            id: *image,
            label: label.clone(),
            source: LabelSource::Undo,
            at: present,
        })
        .collect();
    writes.push(count_new_labels(&snapshot.training, restored.len()));
    store.commit_undoing(&numbers, &writes)?;
    let undone = Undone { source, at, restored };
    output.print(&undone, |out| write_undone(&undone, out))
}

fn write_undone(undone: &Undone, out: &mut dyn io::Write) -> io::Result<()> {
    let name = |label: &Option<Label>| label.as_ref().map_or("no label".into(), ToString::to_string);
    let (source, changed) = (undone.source.as_str(), undone.restored.len());
    writeln!(out, "undid the labels of {} that came by {source}: {changed} changed", undone.at)?;
    undone.restored.iter().try_for_each(|restored| {
        let (label, instead_of) = (name(&restored.label), name(&restored.instead_of));
        writeln!(out, "{}  {label}, not {instead_of}", restored.image.0.short())
    })
}

/// A line of an image's history.
#[derive(Debug, Serialize)]
struct Change {
    at: Timestamp,
    label: Option<Label>,
    source: LabelSource,
    undone: bool,
}

fn history(config: &Config, image: &ImagePrefix, output: Output) -> Result<(), Failure> {
    let reader = reader(config)?;
    let named = |id: &SampleId| id.to_string().starts_with(image.as_str());
    let mut ids = reader.sample_rows()?.into_iter().map(|sample| sample.id).filter(named);
    let id = match (ids.next(), ids.next()) {
        (Some(id), None) => id,
        (None, _) => {
            let reason = format!("no sample's SHA-256 begins with {image}; 'edgetuned samples list' names them");
            return Err(Failure::failed(reason));
        }
        (Some(_), Some(_)) => {
            return Err(Failure::failed(format!("{image} is the start of more than one SHA-256; give more digits")));
        }
    };
    let change = |LabelChange { at, label, source, undone, .. }: LabelChange| Change { at, label, source, undone };
    let changes: Vec<Change> = reader.label_history(&id)?.into_iter().map(change).collect();
    output.print(&changes, |out| {
        if changes.is_empty() {
            writeln!(out, "image {id} never had a label")?;
        }
        for change in &changes {
            let label = change.label.as_ref().map_or("(removed)", Label::as_str);
            let undone = if change.undone { "  (taken back)" } else { "" };
            writeln!(out, "{}  {:6}  {label}{undone}", change.at, change.source.as_str())?;
        }
        Ok(())
    })
}
