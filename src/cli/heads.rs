//! `edgetuned heads`: the heads in the store.

use serde::Serialize;
use serde_json::json;

use super::args::{Args, Heads as Command};
use super::failure::{Failure, one_line_chain};
use super::figures::write_figures;
use super::now;
use super::output::{self, Output};
use super::ownership::{Ownership, owned};
use super::{configuration, ctl};
use crate::config::Config;
use crate::engine::{HeadInfo, HeadStatus, Registry};
use crate::head::{Figures, HeadRecord, TrainingFacts};
use crate::shared::settings::precision;
use crate::store::{OpenOptions, Reader, SpacesInUse, Store, StoreError};
use crate::wire::HeadEntry;
use crate::wire::command;
use crate::words::TaskId;

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
    let reader = Reader::open(&config.store.path, SpacesInUse::default())?;
    match command {
        Command::List => list(&reader, output),
        Command::Show { id } => show(&reader, id, output),
        Command::Promote { id } => promote(&config, &reader, id, output),
        Command::Rollback => roll_back(&config, &reader, output),
    }
}

fn list(reader: &Reader, output: Output) -> Result<(), Failure> {
    let rows: Vec<HeadEntry> = reader.heads(&TaskId::default())?.iter().map(HeadEntry::from).collect();
    output.print(&rows, |out| output::heads(&rows, out))
}

fn show(reader: &Reader, id: &str, output: Output) -> Result<(), Failure> {
    let info = find(reader, id)?;
    let stored = reader.head(&TaskId::default(), info.head.version)?.ok_or_else(|| gone(id))?;
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
    match owned(open(config, &served(reader, &info)?))? {
        Ownership::Here(mut store) => {
            let (version, reason, at) = (info.head.version, "promoted by hand".to_owned(), now());
            let write = Registry::new(reader.heads(&TaskId::default())?, info.space).set(
                TaskId::default(),
                version,
                HeadStatus::Champion,
                reason,
                at,
            );
            store.commit(&[write])?;
        }
        Ownership::Daemon => drop(ctl::ask::<command::Promote>(config, json!({ "head": info.head.version }))?),
    }
    say(reader, info.head.version, output)
}

fn roll_back(config: &Config, reader: &Reader, output: Output) -> Result<(), Failure> {
    let nothing = || Failure::failed("no earlier head is kept; 'edgetuned heads list' shows those that are");
    let champion = reader.champion(&TaskId::default())?.ok_or_else(nothing)?.info;
    let to = match owned(open(config, &served(reader, &champion)?))? {
        Ownership::Here(mut store) => {
            let mut heads = Registry::new(reader.heads(&TaskId::default())?, champion.space);
            let rollback = heads.roll_back(TaskId::default(), now(), "by hand").ok_or_else(nothing)?;
            store.commit(&rollback.writes)?;
            rollback.to
        }
        Ownership::Daemon => ctl::ask::<command::Rollback>(config, json!({}))?.head.ok_or_else(nothing)?,
    };
    say(reader, to.version, output)
}

/// A head that is to be put in service, or taken out of it: nothing is done with one that cannot be read.
fn served(reader: &Reader, info: &HeadInfo) -> Result<HeadRecord, Failure> {
    let stored = reader.head(&TaskId::default(), info.head.version)?.ok_or_else(|| gone(&info.head.id.0))?;
    HeadRecord::from_bytes(&stored.bytes).map_err(|error| Failure::failed(one_line_chain(&error)))
}

/// The store for writing.
fn open(config: &Config, record: &HeadRecord) -> Result<Store, StoreError> {
    let (space, backbone) = (record.dense.space, &record.backbone);
    Store::open(
        &config.store.path,
        &OpenOptions { spaces: SpacesInUse::whole(space), backbone, precision: precision(Some(config)) },
    )
}

fn say(reader: &Reader, version: u64, output: Output) -> Result<(), Failure> {
    let row = HeadEntry::from(&find(reader, &version.to_string())?);
    output.print(&row, |out| writeln!(out, "head {} ({}) is champion", row.version, row.id))
}

/// A head by version or by the start of its id.
fn find(reader: &Reader, id: &str) -> Result<HeadInfo, Failure> {
    let heads = reader.heads(&TaskId::default())?;
    let by_version = heads.iter().find(|info| info.head.version.to_string() == id);
    let by_id = || heads.iter().rev().find(|info| id.len() >= 4 && info.head.id.0.starts_with(id));
    by_version.or_else(by_id).cloned().ok_or_else(|| gone(id))
}

fn gone(id: &str) -> Failure {
    Failure::failed(format!("there is no head {id}; 'edgetuned heads list' shows all"))
}
