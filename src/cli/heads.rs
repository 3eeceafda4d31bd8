//! `edgetuned heads`: the heads in the store.

use serde::Serialize;

use super::args::{Args, Heads as Command};
use super::configuration;
use super::failure::{Failure, one_line_chain};
use super::now;
use super::output::{self, Output};
use super::report::write_figures;
use crate::config::Config;
use crate::engine::{HeadInfo, HeadStatus, Registry, Write};
use crate::head::{BackboneRef, Figures, HeadRecord, TrainingFacts};
use crate::shared::settings::precision;
use crate::store::{OpenOptions, Reader, Store};
use crate::wire::HeadEntry;

/// A head by itself.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    row: HeadEntry,
    training: TrainingFacts,
    figures: Option<Figures>,
}

pub fn heads(args: &Args, command: &Command, output: Output) -> Result<(), Failure> {
    let config = configuration::load(args)?;
    let reader = Reader::open(&config.store.path, None)?;
    match command {
        Command::List => list(&reader, output),
        Command::Show { id } => show(&reader, id, output),
        Command::Promote { id } => promote(&config, &reader, id, output),
        Command::Rollback => roll_back(&config, &reader, output),
    }
}

fn list(reader: &Reader, output: Output) -> Result<(), Failure> {
    let rows: Vec<HeadEntry> = reader.heads()?.iter().map(HeadEntry::from).collect();
    output.print(&rows, |out| output::heads(&rows, out))
}

fn show(reader: &Reader, id: &str, output: Output) -> Result<(), Failure> {
    let info = find(reader, id)?;
    let stored = reader.head(info.head.version)?.ok_or_else(|| gone(id))?;
    let record = HeadRecord::from_bytes(&stored.bytes).map_err(|error| Failure::failed(one_line_chain(&error)))?;
    let shown = Shown { row: (&info).into(), training: record.training, figures: record.figures };
    output.print(&shown, |out| {
        let row = &shown.row;
        writeln!(out, "head {} ({}), {:?}: {}", row.version, row.id, row.status, row.reason)?;
        writeln!(out, "trained {} on {} samples with {}", row.created, shown.training.n_train, row.backbone)?;
        shown.figures.as_ref().map_or(Ok(()), |figures| write_figures(figures, &row.classes, out))
    })
}

fn promote(config: &Config, reader: &Reader, id: &str, output: Output) -> Result<(), Failure> {
    let info = find(reader, id)?;
    let mut store = open(config, reader, &info)?;
    let reason = "promoted by hand".to_owned();
    let at = now();
    let write = Registry::new(reader.heads()?, info.space).set(info.head.version, HeadStatus::Champion, reason, at);
    store.commit(&[write])?;
    say(reader, info.head.version, output)
}

fn roll_back(config: &Config, reader: &Reader, output: Output) -> Result<(), Failure> {
    let nothing = || Failure::failed("no earlier head is kept; 'edgetuned heads list' shows those that are");
    let champion = reader.champion()?.ok_or_else(nothing)?.info;
    let mut store = open(config, reader, &champion)?;
    let at = now();
    let rollback = Registry::new(reader.heads()?, champion.space).roll_back(at, "by hand").ok_or_else(nothing)?;
    let writes: [Write; 2] = rollback.writes;
    store.commit(&writes)?;
    say(reader, rollback.to.version, output)
}

/// The store for writing; a running daemon keeps it for itself.
fn open(config: &Config, reader: &Reader, info: &HeadInfo) -> Result<Store, Failure> {
    let stored = reader.head(info.head.version)?.ok_or_else(|| gone(&info.head.id.0))?;
    // Nothing that cannot serve is put in service.
    let record = HeadRecord::from_bytes(&stored.bytes).map_err(|error| Failure::failed(one_line_chain(&error)))?;
    let backbone: &BackboneRef = &record.backbone;
    let options = OpenOptions { space: info.space, backbone, precision: precision(Some(config)) };
    Ok(Store::open(&config.store.path, &options)?)
}

fn say(reader: &Reader, version: u64, output: Output) -> Result<(), Failure> {
    let row = HeadEntry::from(&find(reader, &version.to_string())?);
    output.print(&row, |out| writeln!(out, "head {} ({}) is champion", row.version, row.id))
}

/// A head by version or by the start of its id.
fn find(reader: &Reader, id: &str) -> Result<HeadInfo, Failure> {
    let heads = reader.heads()?;
    let by_version = heads.iter().find(|info| info.head.version.to_string() == id);
    let by_id = || heads.iter().rev().find(|info| id.len() >= 4 && info.head.id.0.starts_with(id));
    by_version.or_else(by_id).cloned().ok_or_else(|| gone(id))
}

fn gone(id: &str) -> Failure {
    Failure::failed(format!("there is no head {id}; 'edgetuned heads list' shows all"))
}
